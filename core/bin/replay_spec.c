#include "bin/replay_spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/decimal.h"
#include "bin/args.h"

static char *keep(const char *text, size_t size) {
  char *copy = strndup(text, size);
  if (copy == NULL) neap_fatal(__FILE__, __LINE__, "out of memory");
  return copy;
}

/* Where the item at `text` ends: at a comma outside parentheses, or the end. NULL: parentheses do not match.
 */
static const char *item_end(const char *text) {
  int depth = 0;
  for (; *text && (depth > 0 || *text != ','); text++) {
    depth += (*text == '(') - (*text == ')');
    if (depth < 0) return NULL;
  }
  return depth == 0 ? text : NULL;
}

/* Takes the next item off a list: a copy; *list is NULL after the last. */
static int next_item(const char **list, size_t taken, const char *option, char **out, neap_err *err) {
  const char *end = item_end(*list);
  if (end == NULL)
    return neap_fail(err, NEAP_EINVAL, "--%s: parentheses do not match in '%s'", option, *list);
  if (end == *list)
    return neap_fail(err, NEAP_EINVAL, "--%s: there is nothing before or behind a comma", option);
  if (taken == NEAP_SPECS_MAX)
    return neap_fail(err, NEAP_EINVAL, "--%s: more than %d", option, NEAP_SPECS_MAX);
  *out = keep(*list, (size_t)(end - *list));
  *list = *end ? end + 1 : NULL;
  return 0;
}

/* --- policies --- */

/* "name=value", cut apart in place. */
static int parse_param(neap_policy_spec *spec, char *text, neap_err *err) {
  char *equals = strchr(text, '=');
  if (equals == NULL || equals == text || equals[1] == '\0')
    return neap_fail(err, NEAP_EINVAL, "--policy %s: '%s' is not param=value", spec->label, text);
  if (spec->param_count == NEAP_SPEC_PARAMS_MAX)
    return neap_fail(err, NEAP_EINVAL, "--policy %s: more than %d parameters", spec->label,
                     NEAP_SPEC_PARAMS_MAX);
  *equals = '\0';
  bool minus = equals[1] == '-';
  double number = 0;
  const char *end = neap_decimal_read(equals + 1 + minus, &number);
  bool numeric = end && *end == '\0';
  spec->params[spec->param_count++] = (neap_param){.name = text,
                                                   .number = !numeric ? 0
                                                             : minus  ? -number
                                                                      : number,
                                                   .text = numeric ? NULL : equals + 1};
  return 0;
}

/* Parameters are the last parentheses, if there is an "=" in them: "Custom(mine)" has none. */
static int parse_policy(neap_policy_spec *spec, char *label, neap_err *err) {
  size_t size = strlen(label);
  char *text = keep(label, size), *open = strrchr(text, '(');
  *spec = (neap_policy_spec){.label = label, .text = text};
  if (open == NULL || open == text || text[size - 1] != ')' || strchr(open, '=') == NULL) return 0;
  text[size - 1] = *open = '\0';
  char *rest = open + 1;
  for (char *param; (param = strsep(&rest, ";")) != NULL;) {
    int rc = parse_param(spec, param, err);
    if (rc) return rc;
  }
  return 0;
}

/* A name of a command line becomes one of the registry. */
static void resolve(neap_policy_spec *spec, neap_domain domain) {
  size_t size = strlen(spec->text) + 64; /* an alias may be shorter than what it means */
  char *name = calloc(1, size);
  if (name == NULL) neap_fatal(__FILE__, __LINE__, "out of memory");
  neap_policy_resolve(domain, spec->text, name, size);
  spec->name = name;
}

int neap_policy_specs_add(neap_policy_specs *specs, neap_domain domain, const char *list, neap_err *err) {
  while (list) {
    char *label;
    int rc = next_item(&list, specs->count, "policy", &label, err);
    if (rc) return rc;
    neap_policy_spec *spec = &specs->items[specs->count++];
    rc = parse_policy(spec, label, err);
    resolve(spec, domain);
    if (rc) return rc;
  }
  return 0;
}

static void spec_fini(neap_policy_spec *spec) {
  free(spec->label);
  free(spec->name);
  free(spec->text);
}

void neap_policy_specs_fini(neap_policy_specs *specs) {
  for (size_t i = 0; i < specs->count; i++) spec_fini(&specs->items[i]);
  specs->count = 0;
}

/* --- teams --- */

#define DEFAULT_TEAM "stride+association"

/* Where the member at `text` ends: at a plus outside parentheses, or the end. Parentheses match. */
static const char *member_end(const char *text) {
  int depth = 0;
  for (; *text && (depth > 0 || *text != '+'); text++) depth += (*text == '(') - (*text == ')');
  return text;
}

static int parse_team(neap_team_spec *team, char *label, neap_err *err) {
  *team = (neap_team_spec){.label = label};
  const char *text = strcmp(label, "default") == 0 ? DEFAULT_TEAM : label;
  while (text) {
    const char *end = member_end(text);
    if (end == text)
      return neap_fail(err, NEAP_EINVAL, "--prefetch: there is nothing before or behind a plus in '%s'",
                       label);
    if (team->count == NEAP_TEAM_MAX)
      return neap_fail(err, NEAP_EINVAL, "--prefetch %s: more than %d policies", label, NEAP_TEAM_MAX);
    neap_policy_spec *member = &team->members[team->count++];
    int rc = parse_policy(member, keep(text, (size_t)(end - text)), err);
    resolve(member, NEAP_PREFETCH);
    if (rc) return rc;
    text = *end ? end + 1 : NULL;
  }
  return 0;
}

int neap_team_specs_add(neap_team_specs *specs, const char *list, neap_err *err) {
  while (list) {
    char *label;
    int rc = next_item(&list, specs->count, "prefetch", &label, err);
    if (rc == 0) rc = parse_team(&specs->items[specs->count++], label, err);
    if (rc) return rc;
  }
  return 0;
}

void neap_team_specs_fini(neap_team_specs *specs) {
  for (size_t i = 0; i < specs->count; i++) {
    neap_team_spec *team = &specs->items[i];
    for (size_t j = 0; j < team->count; j++) spec_fini(&team->members[j]);
    free(team->label);
  }
  specs->count = 0;
}

/* --- sizes --- */

static bool parse_percentage(const char *text, double *fraction) {
  double percentage;
  const char *end = neap_decimal_read(text, &percentage);
  if (end == NULL || strcmp(end, "%") != 0) return false;
  *fraction = percentage / 100;
  return percentage > 0 && percentage <= 100;
}

static int parse_size(neap_size_spec *spec, char *label, bool bytes, neap_err *err) {
  *spec = (neap_size_spec){.label = label};
  if (strchr(label, '%')) {
    if (parse_percentage(label, &spec->fraction)) return 0;
    return neap_fail(err, NEAP_EINVAL, "--size: '%s' is not a percentage above 0%% and up to 100%%", label);
  }
  bool plain = label[strspn(label, "0123456789")] == '\0';
  if (!neap_parse_bytes(label, &spec->count))
    return neap_fail(err, NEAP_EINVAL, "--size: '%s' is not a number%s or a percentage", label,
                     bytes ? ", a number with KB, MB or GB," : "");
  if (!plain && !bytes)
    return neap_fail(err, NEAP_EINVAL, "--size: '%s' counts objects; units are for --unit bytes", label);
  if (spec->count == 0) return neap_fail(err, NEAP_EINVAL, "--size: a cache of size 0 holds nothing");
  return 0;
}

int neap_size_specs_add(neap_size_specs *specs, const char *list, bool bytes, neap_err *err) {
  while (list) {
    char *label;
    int rc = next_item(&list, specs->count, "size", &label, err);
    if (rc == 0) rc = parse_size(&specs->items[specs->count++], label, bytes, err);
    if (rc) return rc;
  }
  return 0;
}

void neap_size_specs_fini(neap_size_specs *specs) {
  for (size_t i = 0; i < specs->count; i++) free(specs->items[i].label);
  specs->count = 0;
}

int neap_size_spec_resolve(const neap_size_spec *spec, uint64_t unique, uint64_t *out, neap_err *err) {
  uint64_t size = spec->fraction > 0 ? (uint64_t)((double)unique * spec->fraction) : spec->count;
  if (size == 0)
    return neap_fail(err, NEAP_EINVAL, "--size: %s of %llu is less than 1", spec->label,
                     (unsigned long long)unique);
  *out = size;
  return 0;
}
