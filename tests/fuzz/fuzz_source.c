/* Lines of files and keys of etcd that name backends: whatever they say, what is taken is an address in
 * bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "upstream/source_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  neap_backend_source_list list = {0};
  neap_err err = {0};
  char *line = malloc(size + 1);
  if (line == NULL) return 0;
  memcpy(line, bytes, size);
  int code = neap_backend_source_add_line(&list, (neap_view){line, size}, &err);
  neap_assert(code == 0 ? list.count <= 1 : list.count == 0 && err.text[0] != '\0');
  for (size_t i = 0; i < list.count; i++) {
    const neap_backend_source_member *member = &list.members[i];
    neap_assert(member->weight >= 1 && member->weight <= 1000);
    neap_assert(member->priority >= 0 && member->priority <= 15);
    neap_assert(strchr(member->address, ':') && strpbrk(member->address, " \t\r\n/\"'") == NULL);
  }
  neap_backend_source_list_fini(&list);
  line[size] = '\0';
  neap_backend_source_check(line, &err);
  free(line);
  return 0;
}
