#include "base/reasons.h"

static const struct {
  const char *group, *code, *text;
  int16_t status;
} reasons[] = {{"", "", "", 0},
#define NEAP_GROUP_END                          "end"
#define NEAP_GROUP_REFUSED                      "refused"
#define NEAP_GROUP_FWD                          "cache"
#define NEAP_GROUP_LOOKUP                       "lookup"
#define NEAP_GROUP_TIER                         "tier"
#define NEAP_GROUP_STORE                        "store"
#define NEAP_GROUP_FILL                         "fill"
#define NEAP_GROUP_BAR                          "bar"
#define REASON(GROUP, NAME, name, status, text) {NEAP_GROUP_##GROUP, #name, text, status},
               NEAP_REASONS(REASON)
#undef REASON
};

const char *neap_reason_code(neap_reason reason) {
  return reasons[reason].code;
}

const char *neap_reason_group(neap_reason reason) {
  return reasons[reason].group;
}

const char *neap_reason_text(neap_reason reason) {
  return reasons[reason].text;
}

int neap_reason_status(neap_reason reason) {
  return reasons[reason].status;
}
