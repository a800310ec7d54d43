/* How busy backends say they are: reports in the heads of responses, and load probes, which are small
 * requests beside the traffic that a policy wants sent (board.probes), where the pool allows it.
 *
 * A load probe goes over the worker's kept connections, counts nowhere as a request, and says nothing of
 * health. It is
 *   1 under way   in the flow's list; holds its member, and its generation like an exchange does
 *   2 free
 * At most one is under way to a backend from each worker, and none is sent while a report is FRESH_MS young:
 * that bounds what probes cost, however many requests there are. */
#include "flow/steps.h"

#include <stdio.h>
#include <stdlib.h>

enum {
  UNDER_WAY_MAX = 32,
  FRESH_MS = 2,
  PATIENCE_MS = 1000,
  BYTES_MAX = 4096,
  BODY_MAX = 1024,
  FIELDS_MAX = 32
};

static const neap_http_limits limits = {.line_bytes = BYTES_MAX,
                                        .field_bytes = BYTES_MAX,
                                        .head_bytes = BYTES_MAX,
                                        .field_count = FIELDS_MAX,
                                        .extension_bytes = 256,
                                        .trailer_bytes = 256};

struct neap_load_probe {
  neap_load_probe *prev, *next; /* under way; `next` also links free ones */
  neap_flow *flow;
  neap_generation *generation;
  neap_pool *pool;
  int32_t member;
  neap_connection *connection;
  neap_timer patience;
  bool head_read;
  size_t used, at; /* of `bytes`: read, and taken by the body */
  neap_http_body body;
  size_t body_size;
  char body_bytes[BODY_MAX];
  neap_http_response response;
  neap_http_field fields[FIELDS_MAX];
  char bytes[BYTES_MAX]; /* the request, then the response */
};

bool neap_load_report_of(const neap_http_head *head, neap_report *out) {
  const neap_http_field *field = neap_http_field_first(head, NEAP_HTTP_ID_ENDPOINT_LOAD_METRICS);
  if (NEAP_LIKELY(field == NULL))
    field = neap_http_field_first(head, NEAP_HTTP_ID_ENDPOINT_LOAD_METRICS_JSON);
  if (NEAP_LIKELY(field == NULL)) return false;
  return neap_report_parse((neap_view){field->value.ptr, (size_t)field->value.size}, out);
}

/* --- the end */

static void end(neap_load_probe *probe) {
  neap_flow *flow = probe->flow;
  neap_generation *generation = probe->generation;
  if (probe->prev)
    probe->prev->next = probe->next;
  else
    flow->load_probes = probe->next;
  if (probe->next) probe->next->prev = probe->prev;
  flow->load_probe_count--;
  neap_timer_clear(&probe->patience);
  neap_connection_drop(&probe->connection);
  neap_pool_let_go(probe->pool, probe->member);
  probe->next = flow->free_load_probes;
  flow->free_load_probes = probe;
  if (--generation->exchanges == 0 && generation->retired) generation->drained(generation);
}

static void on_out_of_patience(neap_timer *timer) {
  end(NEAP_CONTAINER_OF(timer, neap_load_probe, patience));
}

/* --- the answer */

static void take_report(neap_load_probe *probe) {
  neap_report report;
  if (neap_load_report_of(&probe->response.head, &report) ||
      neap_report_parse((neap_view){probe->body_bytes, probe->body_size}, &report))
    neap_pool_reported(probe->pool, probe->member, &report, neap_loop_now_ms(probe->flow->loop));
}

static void finish(neap_load_probe *probe) {
  const neap_pool_options *options = neap_pool_options_of(probe->pool);
  if (probe->response.status == 200) take_report(probe);
  if (probe->response.head.keep_alive && probe->at == probe->used)
    neap_connection_keep(&probe->connection, options->idle_timeout_ms, options->max_idle);
  end(probe);
}

/* Cuts what was read; false where it is wrong or too long. */
static bool read_body(neap_load_probe *probe) {
  while (!probe->body.done && probe->at < probe->used) {
    neap_view payload;
    ssize_t took =
        neap_http_body_feed(&probe->body, probe->bytes + probe->at, probe->used - probe->at, &payload);
    if (took < 0 || payload.size > BODY_MAX - probe->body_size) return false;
    if (payload.size > 0) memcpy(probe->body_bytes + probe->body_size, payload.ptr, payload.size);
    probe->body_size += payload.size;
    probe->at += (size_t)took;
  }
  return true;
}

static bool read_head(neap_load_probe *probe) {
  ssize_t size = neap_http_response_parse(&probe->response, probe->bytes, probe->used);
  if (size <= 0) return size == 0;
  probe->head_read = true;
  probe->at = (size_t)size;
  neap_http_body_init(&probe->body, &probe->response.head);
  return true;
}

static void on_readable(void *user) {
  neap_load_probe *probe = user;
  ssize_t got = neap_stream_read(neap_connection_stream(probe->connection), probe->bytes + probe->used,
                                 BYTES_MAX - probe->used);
  if (got == NEAP_EBUSY) return;
  bool good = got > 0;
  if (good) {
    probe->used += (size_t)got;
    if (!probe->head_read) good = read_head(probe);
    if (good && probe->head_read) good = read_body(probe);
  }
  if (!good || (probe->used == BYTES_MAX && !(probe->head_read && probe->body.done)))
    end(probe);
  else if (probe->head_read && probe->body.done)
    finish(probe);
}

/* --- the request */

static void send_request(neap_load_probe *probe) {
  const neap_care_health *health = &neap_pool_options_of(probe->pool)->care->health;
  bool named = health->kind == NEAP_PROBE_HTTP;
  const char *address = neap_backend_address(neap_pool_backend(probe->pool, probe->member));
  int size = snprintf(probe->bytes, BYTES_MAX, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: neap\r\n\r\n",
                      named ? health->path : "/health", named && health->host[0] ? health->host : address);
  const struct iovec piece = {probe->bytes, (size_t)size};
  if (size >= BYTES_MAX || neap_stream_send(neap_connection_stream(probe->connection), &piece, 1)) end(probe);
}

static void on_connected(void *user, int error) {
  if (error)
    end(user);
  else
    send_request(user);
}

static void on_sent(void *user) {
  (void)user;
}

static void on_failed(void *user) {
  end(user);
}

static const neap_connection_vt vt = {
    .connected = on_connected, .readable = on_readable, .sent = on_sent, .failed = on_failed};

static neap_load_probe *take_memory(neap_flow *flow) {
  neap_load_probe *probe = flow->free_load_probes;
  if (probe == NULL) return malloc(sizeof *probe);
  flow->free_load_probes = probe->next;
  return probe;
}

static void begin(neap_exchange *exchange, int32_t member) {
  neap_flow *flow = exchange->flow;
  neap_load_probe *probe = take_memory(flow);
  if (probe == NULL) return;
  memset(probe, 0, offsetof(neap_load_probe, body_bytes));
  probe->flow = flow;
  probe->generation = exchange->generation;
  probe->generation->exchanges++;
  probe->pool = exchange->pool;
  probe->member = member;
  neap_pool_hold(probe->pool, member);
  neap_timer_init(&probe->patience, on_out_of_patience);
  neap_timer_set(flow->loop, &probe->patience, PATIENCE_MS);
  neap_http_response_init(&probe->response, probe->fields, &limits, NEAP_HTTP_METHOD_GET);
  probe->next = flow->load_probes;
  if (probe->next) probe->next->prev = probe;
  flow->load_probes = probe;
  flow->load_probe_count++;
  neap_backend *backend = neap_pool_backend(probe->pool, member);
  probe->connection = neap_connection_take(flow->connections, backend, &vt, probe);
  if (probe->connection)
    send_request(probe);
  else if (neap_connection_open(flow->connections, backend, &vt, probe, &probe->connection))
    end(probe);
}

static bool is_under_way(const neap_flow *flow, const neap_backend *backend) {
  for (const neap_load_probe *probe = flow->load_probes; probe; probe = probe->next)
    if (neap_pool_backend(probe->pool, probe->member) == backend) return true;
  return false;
}

void neap_load_probes_begin(neap_exchange *exchange) {
  int32_t members[NEAP_PICK_PROBES_MAX];
  neap_flow *flow = exchange->flow;
  int count = neap_pool_probes(exchange->pool, members, FRESH_MS);
  for (int i = 0; i < count && flow->load_probe_count < UNDER_WAY_MAX; i++)
    if (!is_under_way(flow, neap_pool_backend(exchange->pool, members[i]))) begin(exchange, members[i]);
}

void neap_flow_stop_probes(neap_flow *flow) {
  while (flow->load_probes) end(flow->load_probes);
  while (flow->free_load_probes) {
    neap_load_probe *probe = flow->free_load_probes;
    flow->free_load_probes = probe->next;
    free(probe);
  }
}
