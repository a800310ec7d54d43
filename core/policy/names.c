/* What people call policies. */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/base.h"
#include "policy/policy.h"

/* Names of the guide and of other gateways that differ in more than case and "_". lua/neap/schema.lua has the
 * same; a test holds both together. */
static const struct {
  const char *name, *of;
} aliases[] = {{"leastconn", "least_connections"},
               {"wrr", "weighted_round_robin"},
               {"poweroftwochoices", "p2c"},
               {"maglev", "consistent_hash"},
               {"rendezvous", "consistent_hash"}};

bool neap_policy_same_name(const char *a, const char *b) {
  for (;; a++, b++) {
    while (*a == '_' || *a == '-') a++;
    while (*b == '_' || *b == '-') b++;
    if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
    if (*a == '\0') return true;
  }
}

static const char *native_of(neap_domain domain, const char *name) {
  for (const neap_policy_vt *const *vt = neap_native_policies; *vt; vt++)
    if ((*vt)->domain == domain && neap_policy_same_name((*vt)->name, name)) return (*vt)->name;
  return NULL;
}

bool neap_policy_resolve(neap_domain domain, const char *name, char *out, size_t size) {
  bool twin = strncasecmp(name, "lua:", 4) == 0, native = strncasecmp(name, "native:", 7) == 0;
  const char *word = name + (twin ? 4 : native ? 7 : 0), *known = NULL;
  for (size_t i = 0; domain == NEAP_BALANCE && i < NEAP_COUNT_OF(aliases); i++)
    if (neap_policy_same_name(aliases[i].name, word)) word = aliases[i].of;
  if (native || (domain == NEAP_BALANCE && !twin)) known = native_of(domain, word);
  bool prefixed = known || native;
  int length = snprintf(out, size, "%s%s", prefixed ? "native:" : "", known ? known : word);
  return length >= 0 && (size_t)length < size;
}
