#include "script/embed.h"

#include <string.h>

const neap_embedded_file *neap_embedded_find(const char *path) {
  for (const neap_embedded_file *file = neap_embedded_files; file->path != NULL; file++)
    if (strcmp(file->path, path) == 0) return file;
  return NULL;
}
