/* neap prefetch, and the figures of prefetching. */
#include <string.h>

#include "server/control.h"
#include "server/figures.h"
#include "server/prefetch.h"

static const char *const states[] = {
    [NEAP_PREFETCH_TRIAL] = "trial", [NEAP_PREFETCH_OPEN] = "open", [NEAP_PREFETCH_PAUSED] = "paused"};

/* --- status */

static json_t *issuer_of(const neap_prefetcher *prefetcher, int issuer) {
  neap_prefetch_counters c;
  neap_prefetcher_counters_get(prefetcher, issuer, &c);
  return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "issuer",
                   neap_prefetcher_name(prefetcher, issuer), "state",
                   states[neap_prefetcher_state(prefetcher, issuer)], "issued", (json_int_t)c.issued, "used",
                   (json_int_t)c.used, "late", (json_int_t)c.late, "wasted", (json_int_t)c.wasted, "held",
                   (json_int_t)c.held, "refused", (json_int_t)c.refused, "suppressed",
                   (json_int_t)(c.suppressed - c.refused), "tried", (json_int_t)c.tried);
}

json_t *neap_prefetching_status(const neap_prefetching *prefetching) {
  const neap_prefetcher *prefetcher = neap_prefetching_prefetcher(prefetching);
  const neap_targets *targets = neap_prefetching_targets(prefetching);
  if (prefetcher == NULL) return json_null();
  json_t *list = json_array();
  for (int i = 0; i < neap_prefetcher_count(prefetcher); i++)
    json_array_append_new(list, issuer_of(prefetcher, i));
  return json_pack("{s:o, s:i, s:f, s:I, s:I}", "issuers", list, "in_flight",
                   (int)neap_prefetcher_in_flight(prefetcher), "waiting_bytes",
                   neap_prefetcher_waiting(prefetcher), "targets", (json_int_t)neap_targets_count(targets),
                   "memory", (json_int_t)neap_targets_memory(targets));
}

/* --- metrics */

static uint64_t issued(const neap_prefetch_counters *c) {
  return c->issued;
}
static uint64_t used(const neap_prefetch_counters *c) {
  return c->used;
}
static uint64_t late(const neap_prefetch_counters *c) {
  return c->late;
}
static uint64_t wasted(const neap_prefetch_counters *c) {
  return c->wasted;
}
static uint64_t held(const neap_prefetch_counters *c) {
  return c->held;
}
static uint64_t refused(const neap_prefetch_counters *c) {
  return c->refused;
}
static uint64_t suppressed(const neap_prefetch_counters *c) {
  return c->suppressed - c->refused;
}
static uint64_t tried(const neap_prefetch_counters *c) {
  return c->tried;
}
static uint64_t pauses(const neap_prefetch_counters *c) {
  return c->pauses;
}

void neap_prefetching_expose(const neap_prefetching *prefetching, neap_exposition *out) {
  static const struct {
    neap_metric metric;
    uint64_t (*of)(const neap_prefetch_counters *counters);
  } figures[] = {{NEAP_METRIC_PREFETCH_ISSUED, issued},     {NEAP_METRIC_PREFETCH_USED, used},
                 {NEAP_METRIC_PREFETCH_LATE, late},         {NEAP_METRIC_PREFETCH_WASTED, wasted},
                 {NEAP_METRIC_PREFETCH_HELD, held},         {NEAP_METRIC_PREFETCH_REFUSED, refused},
                 {NEAP_METRIC_PREFETCH_PAUSED, suppressed}, {NEAP_METRIC_PREFETCH_TRIED, tried},
                 {NEAP_METRIC_PREFETCH_PAUSES, pauses}};
  const neap_prefetcher *prefetcher = neap_prefetching_prefetcher(prefetching);
  if (prefetcher == NULL) return;
  int count = neap_prefetcher_count(prefetcher);
  for (size_t f = 0; f < NEAP_COUNT_OF(figures); f++)
    for (int i = 0; i < count; i++) {
      neap_prefetch_counters counters;
      neap_prefetcher_counters_get(prefetcher, i, &counters);
      neap_expose(out, figures[f].metric, (double)figures[f].of(&counters),
                  (const char *[]){neap_prefetcher_name(prefetcher, i)});
    }
  for (int i = 0; i < count; i++)
    neap_expose(out, NEAP_METRIC_PREFETCH_OPEN, neap_prefetcher_state(prefetcher, i) == NEAP_PREFETCH_OPEN,
                (const char *[]){neap_prefetcher_name(prefetcher, i)});
  neap_expose(out, NEAP_METRIC_PREFETCH_IN_FLIGHT, neap_prefetcher_in_flight(prefetcher), NULL);
  neap_expose(out, NEAP_METRIC_PREFETCH_WAITING, neap_prefetcher_waiting(prefetcher), NULL);
  neap_expose(out, NEAP_METRIC_PREFETCH_MEMORY,
              (double)neap_targets_memory(neap_prefetching_targets(prefetching)), NULL);
  neap_expose(out, NEAP_METRIC_PREFETCH_LOST, (double)neap_prefetching_lost(prefetching), NULL);
}

/* --- neap prefetch URL [HOST] */

/* Cuts "http://host/target" in two. False: it is not such a URL. */
static bool cut_url(const char *url, neap_view *host, neap_view *target) {
  size_t scheme = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : 0;
  const char *at = url + scheme, *slash = at + strcspn(at, "/?#");
  size_t size = strcspn(slash, "#");
  if (scheme == 0 || slash == at || (size > 0 && *slash != '/')) return false;
  *host = (neap_view){at, (size_t)(slash - at)};
  *target = size > 0 ? (neap_view){slash, size} : NEAP_BYTES("/");
  return true;
}

/* Visible ASCII, and no longer than the requests that prefetches are. */
static bool is_plain(neap_view text, size_t most) {
  for (size_t i = 0; i < text.size; i++)
    if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f) return false;
  return text.size > 0 && text.size <= most;
}

static void answer(int code, const char *url, neap_control_reply *reply) {
  switch (code) {
  case 0:
    neap_control_done(reply, json_pack("{s:o, s:b}", "url", neap_control_string(url), "fetching", 1));
    return;
  case NEAP_EEXIST:
    neap_control_done(reply, json_pack("{s:o, s:b}", "url", neap_control_string(url), "fetching", 0));
    return;
  case NEAP_ESTATE: neap_control_fail(reply, "nothing is prefetched: neap.cache has no prefetch"); return;
  case NEAP_EBUSY: neap_control_fail(reply, "the budget of prefetching is spent: try again later"); return;
  default: neap_control_fail(reply, "cannot prefetch %.200s: %s", url, neap_strerror(code));
  }
}

void neap_control_prefetch(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  const char *url = neap_control_text(args, "url"), *name = neap_control_text_or_none(args, "host");
  neap_view host = neap_view_of(name ? name : ""), target = neap_view_of(url ? url : "");
  bool is_path = url && url[0] == '/';
  if (url && !is_path && (name || !cut_url(url, &host, &target)))
    neap_control_args_fail(args, "url is http://HOST/PATH, or /PATH with a host beside it");
  else if (is_path && name == NULL)
    neap_control_args_fail(args, "of a path, host must be given, too");
  else if (url && (!is_plain(target, NEAP_HTTP_REFERENCE_MAX) || !is_plain(host, 255)))
    neap_control_args_fail(args, "url and host are visible ASCII, of at most %d and 255 bytes",
                           NEAP_HTTP_REFERENCE_MAX);
  if (!neap_control_args_end(args)) return;
  answer(neap_prefetching_ask(gateway->prefetching, host, target), url, reply);
}
