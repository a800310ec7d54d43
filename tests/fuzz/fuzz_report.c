/* Load reports: whatever a backend says, what comes out is in bounds, and reading it again says the same. */
#include <stdint.h>
#include <string.h>

#include "base/base.h"
#include "upstream/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  neap_view text = {(const char *)bytes, size};
  neap_report report, again;
  if (!neap_report_parse(text, &report)) return 0;
  neap_assert(report.load >= -1 && report.load <= 1000000000);
  neap_assert(report.capacity >= 0 && report.capacity <= 1000000000);
  neap_assert(report.utilization == -1 || (report.utilization >= 0 && report.utilization <= 100));
  neap_assert(neap_report_parse(text, &again) && memcmp(&report, &again, sizeof report) == 0);
  return 0;
}
