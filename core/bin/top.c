#include "bin/top.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/timing.h"
#include "base/utf8.h"

/* --- figures */

static double number(const json_t *object, const char *key) {
  return json_number_value(json_object_get(object, key));
}

static json_int_t whole(const json_t *object, const char *key) {
  return (json_int_t)number(object, key);
}

static const char *word(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

static double grown(const json_t *before, const json_t *now, const char *key) {
  double by = number(now, key) - (before ? number(before, key) : 0);
  return by > 0 ? by : 0; /* another process answers now */
}

static double share(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

/* The row of `now` as it was in the list `before`. */
static const json_t *same_row(const json_t *before, const json_t *now, const char *a, const char *b) {
  for (size_t i = 0; i < json_array_size(before); i++) {
    const json_t *row = json_array_get(before, i);
    if (strcmp(word(row, a), word(now, a)) == 0 && strcmp(word(row, b), word(now, b)) == 0) return row;
  }
  return NULL;
}

static double quantile_ms(const json_t *before, const json_t *now, double q) {
  neap_timing_sum sum = {0};
  for (size_t i = 0; i < NEAP_MIN(json_array_size(now), (size_t)NEAP_TIMING_EDGE_COUNT + 1); i++) {
    json_int_t old = json_integer_value(json_array_get(before, i));
    json_int_t count = json_integer_value(json_array_get(now, i));
    sum.cells[i] = (uint64_t)NEAP_MAX(count - old, 0);
    sum.count += sum.cells[i];
  }
  return neap_timing_quantile_us(&sum, q) / 1e3;
}

static json_t *backend_rows(const json_t *before, const json_t *now, double seconds) {
  json_t *rows = json_array();
  double all = 0;
  for (size_t i = 0; i < json_array_size(now); i++) {
    const json_t *one = json_array_get(now, i), *old = same_row(before, one, "pool", "backend");
    all += grown(old, one, "requests");
  }
  for (size_t i = 0; i < json_array_size(now); i++) {
    const json_t *one = json_array_get(now, i), *old = same_row(before, one, "pool", "backend");
    double requests = grown(old, one, "requests");
    json_array_append_new(
        rows, json_pack("{s:s, s:s, s:s, s:I, s:f, s:f, s:I, s:f, s:f, s:f}", "pool", word(one, "pool"),
                        "backend", word(one, "backend"), "state", word(one, "state"), "weight",
                        whole(one, "weight"), "rps", requests / seconds, "share", share(requests, all),
                        "in_flight", whole(one, "in_flight"), "ewma_ms", number(one, "ewma_ms"), "p99_ms",
                        number(one, "p99_ms"), "error_rate", number(one, "error_rate")));
  }
  return rows;
}

static json_t *policy_rows(const json_t *before, const json_t *now, double seconds) {
  json_t *rows = json_array();
  for (size_t i = 0; i < json_array_size(now); i++) {
    const json_t *one = json_array_get(now, i), *old = same_row(before, one, "kind", "name");
    json_int_t faults =
        whole(one, "errors") + whole(one, "fuel") + whole(one, "memory") + whole(one, "answers");
    json_array_append_new(rows,
                          json_pack("{s:s, s:s, s:s, s:f, s:I, s:I, s:I}", "kind", word(one, "kind"), "name",
                                    word(one, "name"), "policy", word(one, "policy"), "calls_per_s",
                                    grown(old, one, "calls") / seconds, "faults", faults, "fallbacks",
                                    whole(one, "fallbacks"), "trips", whole(one, "trips")));
  }
  return rows;
}

static json_t *cache_figures(const json_t *before, const json_t *now, double seconds) {
  if (!json_is_object(now)) return json_null();
  double hits = grown(before, now, "hits"), lookups = hits + grown(before, now, "misses");
  return json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:f}", "policy", word(now, "policy"), "entries",
                   whole(now, "entries"), "bytes", whole(now, "bytes"), "limit", whole(now, "limit"),
                   "hit_ratio", share(hits, lookups), "evictions_per_s",
                   grown(before, now, "evictions") / seconds, "fallback_share",
                   number(now, "fallback_share"));
}

/* The one thing to know. */
static const char *verdict(const json_t *now, double error_share, char *out, size_t size) {
  const json_t *backends = json_object_get(now, "backends");
  size_t bad = 0, count = json_array_size(backends);
  double faults = 0;
  for (size_t i = 0; i < count; i++) {
    const char *state = word(json_array_get(backends, i), "state");
    bad += strcmp(state, "down") == 0 || strcmp(state, "ejected") == 0;
  }
  const json_t *policies = json_object_get(now, "policies");
  for (size_t i = 0; i < json_array_size(policies); i++)
    faults += number(json_array_get(policies, i), "trips");
  if (json_is_true(json_object_get(now, "stopping"))) return "stopping";
  if (bad > 0 && bad == count) return "no backend is up";
  if (error_share > 0.01)
    snprintf(out, size, "%.1f %% of requests end in 5xx", error_share * 100);
  else if (bad > 0)
    snprintf(out, size, "%zu of %zu backends are not up", bad, count);
  else if (faults > 0)
    return "a policy was taken out: see the log";
  else if (json_is_true(json_object_get(now, "reload_refused")))
    return "the last reload was refused: see neap status";
  else
    return "all is well";
  return out;
}

json_t *neap_top_figures(const json_t *before, const json_t *now) {
  if (!json_is_array(json_object_get(now, "took"))) return NULL;
  if (before && number(before, "at_ms") >= number(now, "at_ms")) before = NULL;
  double seconds = (before ? number(now, "at_ms") - number(before, "at_ms") : number(now, "uptime_ms")) / 1e3;
  if (seconds <= 0) seconds = 1;
  double requests = grown(before, now, "requests"), errors = grown(before, now, "errors");
  const json_t *old_took = json_object_get(before, "took"), *took = json_object_get(now, "took");
  char text[80];
  return json_pack(
      "{s:s, s:s, s:f, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:o, s:o, s:o}", "version",
      word(now, "version"), "verdict", verdict(now, share(errors, requests), text, sizeof text), "uptime_s",
      number(now, "uptime_ms") / 1e3, "generation", whole(now, "generation"), "workers",
      whole(now, "workers"), "rps", requests / seconds, "error_share", share(errors, requests), "p50_ms",
      quantile_ms(old_took, took, 0.5), "p99_ms", quantile_ms(old_took, took, 0.99), "hit_share",
      share(grown(before, now, "hits"), grown(before, now, "lookups")), "in_flight", whole(now, "in_flight"),
      "clients", whole(now, "clients"), "cache",
      cache_figures(json_object_get(before, "cache"), json_object_get(now, "cache"), seconds), "backends",
      backend_rows(json_object_get(before, "backends"), json_object_get(now, "backends"), seconds),
      "policies",
      policy_rows(json_object_get(before, "policies"), json_object_get(now, "policies"), seconds));
}

/* --- the frame */

typedef struct frame {
  const neap_top_view *view;
  FILE *out;
  int row;
} frame;

/* One line, cut at the right; `mark`: "1" bold, "31" red, or NULL. Nothing below the last row. */
__attribute__((format(printf, 3, 4))) static void line(frame *f, const char *mark, const char *format, ...) {
  char text[512];
  va_list list;
  if (f->row >= f->view->rows) return;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  neap_text_tame(text, 0);
  int width = NEAP_MIN(f->view->columns, (int)sizeof text - 1);
  bool marked = mark && f->view->colour;
  if (f->row++ > 0) fputc('\n', f->out);
  if (marked) fprintf(f->out, "\033[%sm", mark);
  fprintf(f->out, "%.*s", width, text);
  if (marked) fputs("\033[0m", f->out);
}

static const char *amount(double value, char *out, size_t size) {
  static const char units[] = " KMGT";
  int unit = 0;
  for (; value >= 1024 && unit < 4; unit++) value /= 1024;
  snprintf(out, size, unit ? "%.1f%cB" : "%.0fB", value, units[unit]);
  return out;
}

static void put_head(frame *f, const json_t *figures) {
  const char *said = word(figures, "verdict");
  long up = (long)number(figures, "uptime_s");
  line(f, "1", "neap %s   generation %.0f   workers %.0f   up %ldd %02ld:%02ld:%02ld",
       word(figures, "version"), number(figures, "generation"), number(figures, "workers"), up / 86400,
       up / 3600 % 24, up / 60 % 60, up % 60);
  line(f, strcmp(said, "all is well") == 0 ? NULL : "31", "%s", said);
  line(f, NULL, "%10.1f req/s  %5.2f%% 5xx  p50 %.2f ms  p99 %.2f ms  %.0f in flight  %.0f clients",
       number(figures, "rps"), number(figures, "error_share") * 100, number(figures, "p50_ms"),
       number(figures, "p99_ms"), number(figures, "in_flight"), number(figures, "clients"));
  const json_t *cache = json_object_get(figures, "cache");
  char used[24], limit[24];
  if (json_is_object(cache))
    line(f, NULL, "cache %5.1f%% hits  %.0f entries  %s of %s  %.1f evicted/s by %s",
         number(figures, "hit_share") * 100, number(cache, "entries"),
         amount(number(cache, "bytes"), used, sizeof used),
         amount(number(cache, "limit"), limit, sizeof limit), number(cache, "evictions_per_s"),
         word(cache, "policy"));
  else
    line(f, NULL, "no cache");
}

static int by_text(const json_t *a, const json_t *b) {
  int order = strcmp(word(a, "pool"), word(b, "pool"));
  return order ? order : strcmp(word(a, "backend"), word(b, "backend"));
}

/* More first; names break ties, so that rows do not jump. */
static int compare(const json_t *a, const json_t *b, neap_top_sort sort) {
  static const char *const keys[] = {[NEAP_TOP_SORT_RPS] = "rps",
                                     [NEAP_TOP_SORT_IN_FLIGHT] = "in_flight",
                                     [NEAP_TOP_SORT_EWMA] = "ewma_ms",
                                     [NEAP_TOP_SORT_ERRORS] = "error_rate",
                                     [NEAP_TOP_SORT_NAME] = NULL};
  if (keys[sort] == NULL) return by_text(a, b);
  double x = number(a, keys[sort]), y = number(b, keys[sort]);
  return x != y ? (x < y ? 1 : -1) : by_text(a, b);
}

/* Few rows: by insertion. */
static const json_t **sorted(const json_t *rows, neap_top_sort sort) {
  size_t count = json_array_size(rows);
  const json_t **out = calloc(count + 1, sizeof *out);
  for (size_t i = 0; out && i < count; i++) {
    const json_t *row = json_array_get(rows, i);
    size_t at = i;
    for (; at > 0 && compare(out[at - 1], row, sort) > 0; at--) out[at] = out[at - 1];
    out[at] = row;
  }
  return out;
}

static void put_backends(frame *f, const json_t *rows, neap_top_sort sort, int room) {
  size_t count = json_array_size(rows);
  const json_t **order = sorted(rows, sort);
  line(f, "1", "%-10s %-21s %-8s %4s %8s %4s %5s %7s %5s", "POOL", "BACKEND", "STATE", "WT", "REQ/S", "%",
       "BUSY", "EWMA ms", "ERR%");
  size_t shown = NEAP_MIN(count, (size_t)NEAP_MAX(room, 0));
  if (shown < count && shown > 0) shown--;
  for (size_t i = 0; order && i < shown; i++) {
    const json_t *row = order[i];
    bool up = strcmp(word(row, "state"), "up") == 0 || strcmp(word(row, "state"), "unknown") == 0;
    line(f, up ? NULL : "31", "%-10.10s %-21.21s %-8s %4.0f %8.1f %3.0f%% %5.0f %7.2f %5.1f",
         word(row, "pool"), word(row, "backend"), word(row, "state"), number(row, "weight"),
         number(row, "rps"), number(row, "share") * 100, number(row, "in_flight"), number(row, "ewma_ms"),
         number(row, "error_rate") * 100);
  }
  if (shown < count) line(f, NULL, "... and %zu more", count - shown);
  free(order);
}

static void put_policies(frame *f, const json_t *rows) {
  line(f, "1", "%-8s %-14s %-28s %9s %7s %9s", "POLICY", "OF", "WHICH", "CALLS/S", "FAULTS", "FALLBACKS");
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *row = json_array_get(rows, i);
    line(f, number(row, "trips") > 0 ? "31" : NULL, "%-8s %-14.14s %-28.28s %9.1f %7.0f %9.0f",
         word(row, "kind"), word(row, "name"), word(row, "policy"), number(row, "calls_per_s"),
         number(row, "faults"), number(row, "fallbacks"));
  }
}

void neap_top_frame(const json_t *figures, const neap_top_view *view, FILE *out) {
  static const char *const sorts[] = {
#define SORT(NAME, text) text,
      NEAP_TOP_SORTS(SORT)
#undef SORT
  };
  frame f = {.view = view, .out = out};
  const json_t *policies = json_object_get(figures, "policies");
  int below = 3 + (int)NEAP_MIN(json_array_size(policies), (size_t)6); /* empty line, policies, keys */
  put_head(&f, figures);
  line(&f, NULL, "%s", "");
  put_backends(&f, json_object_get(figures, "backends"), view->sort, view->rows - f.row - 1 - below);
  line(&f, NULL, "%s", "");
  frame upper = f;
  neap_top_view bounded = *view;
  bounded.rows--; /* the last line is the keys' */
  upper.view = &bounded;
  put_policies(&upper, policies);
  f.row = upper.row;
  while (f.row < view->rows - 1) line(&f, NULL, "%s", "");
  line(&f, "1", "q quit   s sort: %s", sorts[view->sort]);
}
