/* Scenarios: the built-in ones and those of files, in one text format.
 *
 *   # comment
 *   [name]
 *   key = value ...
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "base/decimal.h"
#include "base/nearest.h"
#include "sim/sim.h"

enum { BACKENDS_MAX = 4096, FILE_BYTES_MAX = 1 << 20 };

/* A homogeneous; B half of the backends twice as fast; C one of them slow for a while; D each disturbed now
 * and then; E several balancers; F one answers with errors; G other laws of service; H cores that are shared.
 */
const char neap_scenarios_builtin[] =
    "[A1]\nabout = homogeneous, load 0.7\nload = 0.7\n"
    "[A2]\nabout = homogeneous, load 0.9\nload = 0.9\n"
    "[B1]\nabout = half of them twice as fast, load 0.7\nload = 0.7\nspeed = 1 2\nweight = 1 2\n"
    "[B2]\nabout = half of them twice as fast, load 0.9\nload = 0.9\nspeed = 1 2\nweight = 1 2\n"
    "[C1]\nabout = one slow for a while, load 0.7\nload = 0.7\nslow = 1 0.2 0.4 0.7\n"
    "[C2]\nabout = one slow for a while, load 0.7, 10 balancers\nload = 0.7\nslow = 1 0.2 0.4 0.7\n"
    "balancers = 10\n"
    "[D1]\nabout = antagonists, load 0.7\nload = 0.7\nantagonists = 0.4 2000 8000\n"
    "[D2]\nabout = antagonists, load 0.7, 10 balancers\nload = 0.7\nantagonists = 0.4 2000 8000\n"
    "balancers = 10\n"
    "[E0]\nabout = 10 balancers, load 0.7\nload = 0.7\nbalancers = 10\n"
    "[E1]\nabout = 10 balancers, load 0.9\nload = 0.9\nbalancers = 10\n"
    "[E2]\nabout = 10 balancers, half of them twice as fast, load 0.9\nload = 0.9\nbalancers = 10\n"
    "speed = 1 2\nweight = 1 2\n"
    "[E3]\nabout = 100 backends, 20 balancers, load 0.9\nload = 0.9\nbackends = 100\nbalancers = 20\n"
    "[F]\nabout = one answers with errors for a while, load 0.7\nload = 0.7\nerrors = 1 0.1 0.4 0.7\n"
    "[G1]\nabout = exponential service, load 0.9\nload = 0.9\nservice = exponential\n"
    "[G2]\nabout = bimodal service, load 0.9\nload = 0.9\nservice = bimodal 0.01 50\n"
    "[H1]\nabout = shared cores, load 0.9\nload = 0.9\nsharing = cores\n"
    "[H2]\nabout = shared cores, half of them twice as fast, 10 balancers, load 0.9\nload = 0.9\n"
    "sharing = cores\nspeed = 1 2\nweight = 1 2\nbalancers = 10\n";

static const neap_scenario defaults = {
    .backends = 20,
    .balancers = 1,
    .workers = {1, {4}},
    .speed = {1, {1}},
    .weight = {1, {1}},
    .delay_ms = {1, {0.25}},
    .load = {0.7, 0.7},
    .service = NEAP_SERVICE_PARETO,
    .service_ms = 10,
    .service_a = 1.5,
    .service_b = 1000,
    .keys = 10000,
    .key_skew = 0.9,
    .requests = 250000,
};

/* --- values --- */

typedef struct reader {
  const char *file;
  uint32_t line, begun;    /* that is read; of the scenario's [name] */
  neap_scenario *scenario; /* NULL before the first */
  neap_err *err;
} reader;

static int wrong(const reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int wrong(const reader *r, const char *format, ...) {
  char text[256];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  return neap_fail(r->err, NEAP_ESYNTAX, "%s:%u: error: %s", r->file, r->line, text);
}

/* Takes a number off *text; false where there is none. */
static bool take_number(char **text, double *out) {
  const char *end = neap_decimal_read(*text, out);
  if (end == NULL || (*end != '\0' && *end != ' ' && *end != '\t')) return false;
  *text += (size_t)(end - *text) + strspn(end, " \t");
  return true;
}

/* `text` as least_count..most_count numbers of min..max. */
static int numbers(const reader *r, const char *key, char *text, int least_count, int most_count, double min,
                   double max, double *out, int *count) {
  int got = 0;
  while (*text) {
    double value;
    if (got == most_count) return wrong(r, "%s takes at most %d numbers", key, most_count);
    if (!take_number(&text, &value)) return wrong(r, "%s: not a number", key);
    if (!(value >= min && value <= max)) return wrong(r, "%s: %g is not in %g to %g", key, value, min, max);
    out[got++] = value;
  }
  if (got < least_count)
    return wrong(r, "%s takes %s%d numbers", key, least_count < most_count ? "at least " : "", least_count);
  *count = got;
  return 0;
}

/* --- keys --- */

typedef int set_fn(const reader *r, const char *key, char *text, void *at);

static int set_text(const reader *r, const char *key, char *text, void *at) {
  (void)r, (void)key;
  snprintf(at, sizeof((neap_scenario *)0)->about, "%s", text);
  return 0;
}

static int set_count(const reader *r, const char *key, char *text, void *at) {
  double value;
  int count;
  int rc = numbers(r, key, text, 1, 1, 1, BACKENDS_MAX, &value, &count);
  if (rc == 0) *(uint32_t *)at = (uint32_t)value;
  return rc;
}

static int set_requests(const reader *r, const char *key, char *text, void *at) {
  double value;
  int count;
  int rc = numbers(r, key, text, 1, 1, 100, 1e8, &value, &count);
  if (rc == 0) *(uint64_t *)at = (uint64_t)value;
  return rc;
}

static int set_cycle(const reader *r, const char *key, char *text, void *at) {
  neap_cycle *cycle = at;
  int count;
  int rc = numbers(r, key, text, 1, NEAP_CYCLE_MAX, 1e-3, 1e4, cycle->values, &count);
  if (rc == 0) cycle->count = (uint32_t)count;
  return rc;
}

static int set_workers(const reader *r, const char *key, char *text, void *at) {
  int rc = set_cycle(r, key, text, at);
  const neap_cycle *cycle = at;
  for (uint32_t i = 0; rc == 0 && i < cycle->count; i++)
    if (cycle->values[i] < 1 || cycle->values[i] != (uint32_t)cycle->values[i])
      rc = wrong(r, "%s: %g is not a whole number", key, cycle->values[i]);
  return rc;
}

static int set_load(const reader *r, const char *key, char *text, void *at) {
  double *load = at;
  int count;
  int rc = numbers(r, key, text, 1, 2, 0.01, 2, load, &count);
  if (rc == 0 && count == 1) load[1] = load[0];
  return rc;
}

static int set_mean(const reader *r, const char *key, char *text, void *at) {
  int count;
  return numbers(r, key, text, 1, 1, 1e-3, 1e6, at, &count);
}

static int set_service(const reader *r, const char *key, char *text, void *at) {
  static const struct {
    const char *name;
    neap_service_law law;
    int params;
  } laws[] = {{"fixed", NEAP_SERVICE_FIXED, 0},
              {"exponential", NEAP_SERVICE_EXPONENTIAL, 0},
              {"pareto", NEAP_SERVICE_PARETO, 2},
              {"bimodal", NEAP_SERVICE_BIMODAL, 2}};
  neap_scenario *s = at;
  size_t size = strcspn(text, " \t");
  for (size_t i = 0; i < NEAP_COUNT_OF(laws); i++) {
    if (strlen(laws[i].name) != size || memcmp(laws[i].name, text, size) != 0) continue;
    double values[2] = {1.5, 1000};
    int count;
    text += size + strspn(text + size, " \t");
    int rc = numbers(r, key, text, laws[i].params, laws[i].params, 1e-6, 1e6, values, &count);
    if (rc) return rc;
    if (laws[i].law == NEAP_SERVICE_PARETO && values[1] <= 1)
      return wrong(r, "service: the largest must be more than the smallest");
    if (laws[i].law == NEAP_SERVICE_BIMODAL && values[0] >= 1)
      return wrong(r, "service: the share of the large ones must be below 1");
    s->service = laws[i].law;
    s->service_a = values[0];
    s->service_b = values[1];
    return 0;
  }
  return wrong(r, "service is fixed, exponential, pareto ALPHA RATIO or bimodal SHARE TIMES");
}

static int set_sharing(const reader *r, const char *key, char *text, void *at) {
  (void)key;
  bool cores = strcmp(text, "cores") == 0;
  if (!cores && strcmp(text, "queue") != 0) return wrong(r, "sharing is queue or cores");
  *(bool *)at = cores;
  return 0;
}

static int set_episode(const reader *r, const char *key, char *text, void *at) {
  double v[4];
  int count;
  int rc = numbers(r, key, text, 4, 4, 0, BACKENDS_MAX, v, &count);
  if (rc) return rc;
  if (v[1] <= 0 || v[2] >= v[3] || v[3] > 1) return wrong(r, "%s takes COUNT VALUE FROM UNTIL", key);
  *(neap_episode *)at = (neap_episode){(uint32_t)v[0], v[1], v[2], v[3]};
  return 0;
}

static int set_noise(const reader *r, const char *key, char *text, void *at) {
  int count;
  return numbers(r, key, text, 3, 3, 1e-3, 1e9, &((neap_scenario *)at)->noise_factor, &count);
}

static int set_change(const reader *r, const char *key, char *text, uint32_t *who, double *when) {
  double v[2];
  int count;
  int rc = numbers(r, key, text, 2, 2, 0, BACKENDS_MAX, v, &count);
  if (rc) return rc;
  if (v[1] > 1) return wrong(r, "%s takes COUNT AT, AT being a fraction of the run", key);
  *who = (uint32_t)v[0];
  *when = v[1];
  return 0;
}

static int set_join(const reader *r, const char *key, char *text, void *at) {
  neap_scenario *s = at;
  return set_change(r, key, text, &s->joining, &s->join_at);
}

static int set_leave(const reader *r, const char *key, char *text, void *at) {
  neap_scenario *s = at;
  return set_change(r, key, text, &s->leaving, &s->leave_at);
}

static int set_keys(const reader *r, const char *key, char *text, void *at) {
  neap_scenario *s = at;
  double v[2];
  int count;
  int rc = numbers(r, key, text, 2, 2, 0, 1e7, v, &count);
  if (rc) return rc;
  if (v[0] < 1) return wrong(r, "keys takes COUNT SKEW");
  s->keys = (uint32_t)v[0];
  s->key_skew = v[1];
  return 0;
}

static const struct {
  const char *name;
  size_t offset;
  set_fn *set;
} keys[] = {
    {"about", offsetof(neap_scenario, about), set_text},
    {"antagonists", 0, set_noise},
    {"backends", offsetof(neap_scenario, backends), set_count},
    {"balancers", offsetof(neap_scenario, balancers), set_count},
    {"delay_ms", offsetof(neap_scenario, delay_ms), set_cycle},
    {"errors", offsetof(neap_scenario, errors), set_episode},
    {"join", 0, set_join},
    {"keys", 0, set_keys},
    {"leave", 0, set_leave},
    {"load", offsetof(neap_scenario, load), set_load},
    {"requests", offsetof(neap_scenario, requests), set_requests},
    {"service", 0, set_service},
    {"service_ms", offsetof(neap_scenario, service_ms), set_mean},
    {"sharing", offsetof(neap_scenario, cores), set_sharing},
    {"slow", offsetof(neap_scenario, slow), set_episode},
    {"speed", offsetof(neap_scenario, speed), set_cycle},
    {"weight", offsetof(neap_scenario, weight), set_cycle},
    {"workers", offsetof(neap_scenario, workers), set_workers},
};

static int set_key(const reader *r, const char *key, char *value) {
  neap_nearest nearest;
  neap_nearest_init(&nearest, key);
  for (size_t i = 0; i < NEAP_COUNT_OF(keys); i++) {
    neap_nearest_offer(&nearest, keys[i].name);
    if (strcmp(keys[i].name, key) == 0)
      return keys[i].set(r, key, value, (char *)r->scenario + keys[i].offset);
  }
  if (nearest.name == NULL) return wrong(r, "unknown key '%s'", key);
  return wrong(r, "unknown key '%s', did you mean '%s'?", key, nearest.name);
}

/* --- lines --- */

static char *trimmed(char *text) {
  text += strspn(text, " \t\r");
  size_t size = strlen(text);
  while (size > 0 && strchr(" \t\r", text[size - 1])) size--;
  text[size] = 0;
  return text;
}

/* What only the whole scenario shows. */
static int check(reader *r) {
  const neap_scenario *s = r->scenario;
  if (s == NULL) return 0;
  uint32_t line = r->line;
  r->line = r->begun;
  if (s->slow.count > s->backends || s->errors.count > s->backends || s->joining >= s->backends ||
      s->leaving >= s->backends)
    return wrong(r, "scenario '%s' has only %u backends", s->name, s->backends);
  r->line = line;
  return 0;
}

static int begin(reader *r, neap_scenarios *out, const char *name) {
  size_t size = strlen(name);
  if (size == 0 || size >= sizeof out->items->name || strpbrk(name, ", []"))
    return wrong(r, "a scenario's name has 1 to %zu characters, no blanks and no commas",
                 sizeof out->items->name - 1);
  neap_scenario *items = realloc(out->items, (out->count + 1) * sizeof *items);
  if (items == NULL) return neap_fail(r->err, NEAP_ENOMEM, "out of memory");
  out->items = items;
  r->scenario = &items[out->count++];
  r->begun = r->line;
  *r->scenario = defaults;
  memcpy(r->scenario->name, name, size + 1);
  return 0;
}

static int read_line(reader *r, neap_scenarios *out, char *line) {
  line = trimmed(line);
  if (*line == 0 || *line == '#') return 0;
  size_t size = strlen(line);
  if (*line == '[') {
    if (line[size - 1] != ']') return wrong(r, "a scenario begins with [name]");
    line[size - 1] = 0;
    int rc = check(r);
    return rc ? rc : begin(r, out, line + 1);
  }
  char *equals = strchr(line, '=');
  if (equals == NULL) return wrong(r, "neither [name] nor key = value");
  if (r->scenario == NULL) return wrong(r, "a scenario begins with [name]");
  *equals = 0;
  return set_key(r, trimmed(line), trimmed(equals + 1));
}

/* --- the facade --- */

int neap_scenarios_parse(const char *file, const char *text, neap_scenarios *out, neap_err *err) {
  neap_scenarios found = {0};
  reader r = {.file = file, .err = err};
  char *copy = strdup(text), *rest = copy;
  int rc = copy == NULL ? neap_fail(err, NEAP_ENOMEM, "out of memory") : 0;
  for (char *line; rc == 0 && (line = strsep(&rest, "\n")) != NULL;) {
    r.line++;
    rc = read_line(&r, &found, line);
  }
  if (rc == 0) rc = check(&r);
  if (rc == 0 && found.count == 0) rc = wrong(&r, "no scenario");
  free(copy);
  if (rc)
    neap_scenarios_destroy(&found);
  else
    *out = found;
  return rc;
}

static int read_file(const char *path, neap_scenarios *out, neap_err *err) {
  FILE *file = fopen(path, "r");
  if (file == NULL) return neap_fail(err, NEAP_EIO, "%s: error: cannot open: %s", path, strerror(errno));
  char *text = calloc(1, FILE_BYTES_MAX + 1);
  size_t size = text ? fread(text, 1, FILE_BYTES_MAX + 1, file) : 0;
  int rc = 0;
  if (text == NULL)
    rc = neap_fail(err, NEAP_ENOMEM, "out of memory");
  else if (ferror(file))
    rc = neap_fail(err, NEAP_EIO, "%s: error: cannot read: %s", path, strerror(errno));
  else if (size > FILE_BYTES_MAX || memchr(text, 0, size))
    rc = neap_fail(err, NEAP_ESYNTAX, "%s: error: not a file of scenarios", path);
  fclose(file);
  if (rc == 0) rc = neap_scenarios_parse(path, text, out, err);
  free(text);
  return rc;
}

static bool is_file(const char *name) {
  struct stat about;
  return stat(name, &about) == 0 && S_ISREG(about.st_mode);
}

/* Says what there is; and of a file that lies here how it is named. */
static int no_such(const neap_scenarios *all, const char *names, size_t size, neap_err *err) {
  char name[256];
  neap_nearest nearest;
  snprintf(name, sizeof name, "%.*s", (int)size, names);
  if (name[0] && is_file(name))
    return neap_fail(err, NEAP_ENOTFOUND, "no scenario '%s'; to read the file of that name: -s ./%s", name,
                     name);
  neap_nearest_init(&nearest, name);
  for (size_t i = 0; name[0] && i < all->count; i++) neap_nearest_offer(&nearest, all->items[i].name);
  if (nearest.name)
    return neap_fail(err, NEAP_ENOTFOUND, "no scenario '%s', did you mean '%s'? (see --list)", name,
                     nearest.name);
  return neap_fail(
      err, NEAP_ENOTFOUND,
      "no scenario '%s': --list prints the built-in ones, a file is named with its path, as in ./mine.txt",
      name);
}

/* Keeps those that `names` has, in its order. NEAP_ENOTFOUND: has one that is unknown. */
static int choose(neap_scenarios *all, const char *names, neap_scenarios *out, neap_err *err) {
  neap_scenarios chosen = {0};
  while (*names) {
    size_t size = strcspn(names, ","), at = 0;
    while (at < all->count &&
           (strlen(all->items[at].name) != size || memcmp(all->items[at].name, names, size)))
      at++;
    if (at == all->count) {
      free(chosen.items);
      return no_such(all, names, size, err);
    }
    neap_scenario *items = realloc(chosen.items, (chosen.count + 1) * sizeof *items);
    if (items == NULL) neap_fatal(__FILE__, __LINE__, "out of memory");
    chosen.items = items;
    chosen.items[chosen.count++] = all->items[at];
    names += size + (names[size] == ',');
  }
  if (chosen.count == 0) return no_such(all, "", 0, err);
  *out = chosen;
  return 0;
}

int neap_scenarios_open(const char *what, neap_scenarios *out, neap_err *err) {
  neap_scenarios all;
  int rc = neap_scenarios_parse("built-in", neap_scenarios_builtin, &all, err);
  if (rc) return rc;
  if (strcmp(what, "all") == 0) {
    *out = all;
    return 0;
  }
  rc = choose(&all, what, out, err);
  neap_scenarios_destroy(&all);
  if (rc == NEAP_ENOTFOUND && strpbrk(what, "./")) rc = read_file(what, out, err);
  return rc;
}

void neap_scenarios_destroy(neap_scenarios *scenarios) {
  free(scenarios->items);
  *scenarios = (neap_scenarios){0};
}
