/* Probes of one backend by one set of rules: one after the other, each over a connection of its own.
 *
 *      waiting --timer--> under way --answer, refusal or time over--> verdict --> waiting
 */
#include "upstream/keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static void begin(neap_probe *probe);

static const neap_care_health *rules_of(const neap_probe *probe) {
  return &probe->pool->care->health;
}

static void count(_Atomic uint64_t *counter) {
  atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* --- the verdict */

/* What one probe brought. */
typedef struct finding {
  bool good, refused;
  const char *reason; /* why it is not good */
} finding;

static void tell_change(const neap_probe *probe, const finding *found) {
  const char *address = neap_backend_address(probe->backend);
  if (found->good)
    neap_host_log(probe->home->host, NEAP_LOG_INFO, "upstream backend_up pool=%s backend=%s",
                  probe->pool->name, address);
  else
    neap_host_log(probe->home->host, NEAP_LOG_WARN, "upstream backend_down pool=%s backend=%s reason=\"%s\"",
                  probe->pool->name, address, found->reason);
}

/* Somebody is there: what a worker found before is out of date. Who was down and is back has not to wait for
 * the end of an ejection either, though it is on probation. */
static void is_reachable(neap_backend *backend, bool changed, uint64_t now_ms) {
  uint64_t down_ms = atomic_exchange_explicit(&backend->down_until_ms, 0, memory_order_relaxed);
  if (changed && neap_vitals_is_ejected(&backend->vitals, now_ms))
    atomic_store_explicit(&backend->vitals.ejected_until_ms, now_ms, memory_order_relaxed);
  if (changed || down_ms != 0)
    atomic_store_explicit(&backend->vitals.up_since_ms, now_ms, memory_order_relaxed);
}

static void end(neap_probe *probe, const finding *found) {
  neap_vitals *vitals = &probe->backend->vitals;
  uint64_t now_ms = neap_loop_now_ms(probe->home->loop);
  count(&vitals->probes);
  if (!found->good) count(&vitals->probe_failures);
  atomic_store_explicit(&probe->health->checked_ms, now_ms, memory_order_relaxed);
  atomic_store_explicit(&probe->health->refused, found->refused, memory_order_relaxed);
  bool changed = neap_health_take(probe->health, rules_of(probe), found->good);
  if (atomic_load_explicit(&probe->health->state, memory_order_relaxed) == NEAP_BACKEND_UP && found->good)
    is_reachable(probe->backend, changed, now_ms);
  if (changed) {
    count(&vitals->transitions);
    tell_change(probe, found);
  }
  neap_timer_set(probe->home->loop, &probe->timer,
                 neap_health_pause_ms(probe->health, rules_of(probe), &probe->home->random));
}

/* --- HTTP */

static bool contains(neap_view text, const char *part) {
  size_t size = strlen(part);
  return size == 0 || (text.size >= size && memmem(text.ptr, text.size, part, size) != NULL);
}

static finding judge_plainly(const neap_care_health *rules, const neap_fetch_reply *reply, char *text,
                             size_t capacity) {
  if (reply->status == 0 || (reply->end != NEAP_FETCH_DONE && reply->end != NEAP_FETCH_CUT))
    return (finding){.refused = reply->end == NEAP_FETCH_UNREACHABLE, .reason = reply->text};
  snprintf(text, capacity, "status %d", reply->status);
  if (!neap_health_expects(rules, reply->status)) return (finding){.reason = text};
  if (!contains(reply->body, rules->contains)) return (finding){.reason = "the body lacks the expected text"};
  return (finding){.good = true};
}

static neap_slice slice_of(neap_view view) {
  return (neap_slice){.ptr = view.ptr, .size = (int32_t)view.size};
}

/* Asks the script; less than 0 where it has no answer. */
static int ask_script(const neap_probe *probe, const neap_fetch_reply *reply) {
  neap_header_row rows[NEAP_FETCH_FIELDS_MAX];
  for (size_t i = 0; i < reply->field_count; i++)
    rows[i] = (neap_header_row){slice_of(reply->fields[i].name), slice_of(reply->fields[i].value)};
  const neap_probe_board board = {.status = reply->status,
                                  .header_count = (int32_t)reply->field_count,
                                  .took_ms = (double)reply->took_us / 1e3,
                                  .body = slice_of(reply->body),
                                  .headers = rows};
  return probe->pool->judge(probe->pool->judge_user, probe->pool->index, &board);
}

static finding judge(const neap_probe *probe, const neap_fetch_reply *reply, char *text, size_t capacity) {
  bool answered = reply->status != 0 && (reply->end == NEAP_FETCH_DONE || reply->end == NEAP_FETCH_CUT);
  bool scripted = rules_of(probe)->scripted && probe->pool->judge;
  int verdict = answered && scripted ? ask_script(probe, reply) : -1;
  if (verdict < 0) return judge_plainly(rules_of(probe), reply, text, capacity);
  return (finding){.good = verdict == 1, .reason = "the script says so"};
}

/* In a header field, or as the body. */
static bool find_report(const neap_fetch_reply *reply, neap_report *out) {
  for (size_t i = 0; i < reply->field_count; i++)
    if (neap_report_is_field(reply->fields[i].name) && neap_report_parse(reply->fields[i].value, out))
      return true;
  return reply->body.size > 0 && reply->body.ptr[0] == '{' && neap_report_parse(reply->body, out);
}

static void read_report(neap_probe *probe, const neap_fetch_reply *reply) {
  neap_report report;
  if (find_report(reply, &report))
    neap_vitals_report(&probe->backend->vitals, &report, neap_loop_now_ms(probe->home->loop));
}

static void on_fetched(void *user, const neap_fetch_reply *reply) {
  neap_probe *probe = user;
  char text[32];
  probe->fetch = NULL;
  finding found = judge(probe, reply, text, sizeof text);
  read_report(probe, reply);
  end(probe, &found);
}

static int begin_http(neap_probe *probe) {
  const neap_care_health *rules = rules_of(probe);
  char url[NEAP_ADDRESS_TEXT + 1600], place[NEAP_ADDRESS_TEXT], host[300];
  const char *fields[] = {NULL, NULL};
  neap_address_format(&probe->backend->address, place);
  snprintf(url, sizeof url, "http://%s%s", neap_backend_address(probe->backend), rules->path);
  if (rules->host[0] != '\0') {
    snprintf(host, sizeof host, "Host: %s", rules->host);
    fields[0] = host;
  }
  const neap_fetch_request request = {.url = url,
                                      .connect_to = place,
                                      .fields = fields,
                                      .timeout_ms = rules->timeout_ms,
                                      .body_max = NEAP_PROBE_BODY_MAX,
                                      .fresh = true,
                                      .done = on_fetched,
                                      .user = probe};
  return neap_fetch_start(probe->home->fetcher, &request, &probe->fetch);
}

/* --- TCP */

static void on_connected(void *user, int error) {
  neap_probe *probe = user;
  neap_timer_clear(&probe->timer);
  neap_stream_reset(&probe->stream); /* leaves no TIME_WAIT behind */
  end(probe, &(finding){.good = error == 0, .refused = error != 0, .reason = "connection refused"});
}

static void on_nothing(void *user) {
  (void)user;
}

static const neap_stream_vt stream_vt = {.name = "probe",
                                         .readable = on_nothing,
                                         .sent = on_nothing,
                                         .failed = on_nothing,
                                         .connected = on_connected};

static int begin_tcp(neap_probe *probe) {
  int code =
      neap_stream_connect(probe->home->loop, &probe->backend->address, &stream_vt, probe, &probe->stream);
  if (code == 0) neap_timer_set(probe->home->loop, &probe->timer, rules_of(probe)->timeout_ms);
  return code;
}

/* --- one after the other */

static void begin(neap_probe *probe) {
  int code = rules_of(probe)->kind == NEAP_PROBE_HTTP ? begin_http(probe) : begin_tcp(probe);
  if (code) end(probe, &(finding){.refused = code == NEAP_EIO, .reason = neap_strerror(code)});
}

static void on_timer(neap_timer *timer) {
  neap_probe *probe = NEAP_CONTAINER_OF(timer, neap_probe, timer);
  if (probe->stream == NULL) {
    begin(probe);
    return;
  }
  neap_stream_reset(&probe->stream);
  end(probe, &(finding){.refused = true, .reason = "no connection in time"});
}

static void stop(neap_probe *probe) {
  neap_timer_clear(&probe->timer);
  neap_fetch_cancel(&probe->fetch);
  neap_stream_close(&probe->stream);
}

neap_probe *neap_probe_create(neap_keeper *home, neap_backend *backend, int place,
                              const neap_keeper_pool *pool, const neap_health *from) {
  neap_probe *probe = calloc(1, sizeof *probe);
  if (probe == NULL) return NULL;
  *probe = (neap_probe){.home = home,
                        .backend = backend,
                        .health = &backend->vitals.checks[place],
                        .place = place,
                        .pool = pool,
                        .wanted = true};
  neap_timer_init(&probe->timer, on_timer);
  backend->probes[place] = probe;
  neap_health_begin(probe->health, pool->care->health.key, from);
  begin(probe);
  return probe;
}

void neap_probe_change(neap_probe *probe, const neap_keeper_pool *pool) {
  uint64_t key = pool->care->health.key;
  bool same = atomic_load_explicit(&probe->health->key, memory_order_relaxed) == key;
  probe->pool = pool;
  probe->wanted = true;
  if (same) return;
  stop(probe); /* what is known stays; the new rules are asked at once */
  atomic_store_explicit(&probe->health->key, key, memory_order_relaxed);
  begin(probe);
}

void neap_probe_destroy(neap_probe **probe) {
  stop(*probe);
  neap_health_init((*probe)->health); /* nobody looks any more: nothing is known */
  (*probe)->backend->probes[(*probe)->place] = NULL;
  free(*probe);
  *probe = NULL;
}
