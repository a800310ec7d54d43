/* Any bytes as a date: what is read can be written, and is read the same again. */
#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  const int64_t now_s = 1767323045, year_10000_s = 253402300800;
  int64_t unix_s, again_s;
  char text[NEAP_HTTP_DATE_SIZE];
  if (neap_http_date_read((const char *)bytes, size, now_s, &unix_s)) return 0;
  if (unix_s < 0 || unix_s >= year_10000_s)
    return 0; /* before 1970: read, never written; a leap second of 9999 */
  neap_http_date_write(text, unix_s);
  neap_assert(neap_http_date_read(text, sizeof text, now_s, &again_s) == 0);
  neap_assert(again_s == unix_s);
  return 0;
}
