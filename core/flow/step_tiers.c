/* tiers: asks the tiers below memory for what memory has not. What they have goes into memory, and to the
 * client as they had it; what they do not have, or not in time, the backend is asked for. */
#include "flow/acts.h"
#include "flow/tiers.h"

enum { ROUNDS_MAX = 2 }; /* the marker, then the variant */

static neap_step go_on(neap_exchange *exchange, neap_reason why) {
  exchange->unasked = why;
  if (why) neap_count_add(&exchange->flow->tally->reasons[why], 1);
  neap_tiers_leave(exchange);
  return NEAP_STEP_BALANCE;
}

/* --- asking */

static void on_reply(void *user, neap_tier_reply *reply) {
  neap_asking *asking = user;
  neap_flow *flow = asking->exchange->flow;
  asking->op = NULL;
  asking->reply = *reply;
  reply->value = (neap_tier_value){0}; /* taken */
  asking->waiting = false;
  asking->answered = true;
  if (asking->prev)
    asking->prev->next = asking->next;
  else
    flow->askings = asking->next;
  if (asking->next) asking->next->prev = asking->prev;
  neap_exchange_resume(asking->exchange, NEAP_STEP_TIERS);
}

static neap_asking *asking_of(neap_exchange *exchange) {
  if (exchange->asking) return exchange->asking;
  neap_asking *made = neap_arena_take(&exchange->arena, sizeof *made);
  if (made) *made = (neap_asking){.exchange = exchange};
  return exchange->asking = made;
}

static void start_waiting(neap_flow *flow, neap_asking *asking) {
  asking->waiting = true;
  asking->prev = NULL;
  asking->next = flow->askings;
  if (asking->next) asking->next->prev = asking;
  flow->askings = asking;
}

/* True: it will be told. */
static bool ask(neap_exchange *exchange, neap_asking *asking) {
  neap_flow *flow = exchange->flow;
  uint32_t bits = neap_tiers_of_route(exchange, 0);
  asking->answered = true;
  asking->reply = (neap_tier_reply){.code = NEAP_ENOTFOUND, .tier = -1};
  if (bits == 0 || asking->rounds++ == ROUNDS_MAX) return false;
  const neap_tier_get_options options = {
      .tiers = bits | NEAP_TIER_MEMORY, .deadline_ms = flow->tiers->patience_ms, .no_stale = 1};
  int code = neap_tiers_get(flow->tiers->port, exchange->variant, &options, on_reply, asking, &asking->reply,
                            &asking->op);
  if (code != NEAP_EPENDING) {
    asking->reply.code = code;
    return false;
  }
  asking->answered = false;
  start_waiting(flow, asking);
  return true;
}

/* --- what they had */

/* As it lies in memory, in the arena. */
static int read_record(neap_exchange *exchange, const neap_tier_value *value, neap_http_record *record) {
  neap_loop *loop = exchange->flow->loop;
  neap_view head = neap_tier_value_meta(value);
  size_t rows = NEAP_HTTP_RECORD_FIELDS * sizeof(neap_http_field);
  size_t capacity = head.size + NEAP_HTTP_RECORD_EXTRA;
  neap_http_field *fields = neap_arena_take(&exchange->arena, rows);
  char *out = neap_arena_take(&exchange->arena, capacity);
  if (fields == NULL || out == NULL) return NEAP_ENOMEM;
  return neap_http_record_read(head, neap_tier_value_size(value), neap_loop_now_ms(loop),
                               neap_loop_wall_ms(loop), fields, out, capacity, record);
}

/* What memory does not take is served all the same. */
static void put_into_memory(neap_exchange *exchange, const neap_tier_value *value, neap_view meta,
                            uint64_t ttl_ms) {
  if (ttl_ms == 0) return;
  neap_fill *fill = NULL;
  const neap_put_options options = {.ttl_ms = ttl_ms, .meta = meta};
  int code =
      neap_cache_put_begin(exchange->cache, exchange->variant, neap_tier_value_size(value), &options, &fill);
  neap_view piece;
  for (size_t i = 0; code == 0 && (piece = neap_tier_value_piece(value, i)).size > 0; i++)
    code = neap_fill_append(fill, piece);
  if (code == 0) code = neap_fill_commit(&fill, NULL);
  if (fill) neap_fill_abort(&fill);
}

static neap_step serve(neap_exchange *exchange) {
  exchange->serve =
      neap_http_stored_match(&exchange->stored, &exchange->request, neap_exchange_wall_s(exchange));
  if (exchange->serve == NEAP_HTTP_SERVE_FORWARD) {
    exchange->fwd = NEAP_HTTP_FWD_REQUEST;
    return go_on(exchange, NEAP_REASON_NONE);
  }
  bool redis = exchange->asking->reply.tier == exchange->flow->tiers->tiers[NEAP_FLOW_REDIS].number;
  exchange->fwd = redis ? NEAP_HTTP_FWD_HIT_REDIS : NEAP_HTTP_FWD_HIT_CDN;
  exchange->source = FROM_TIER;
  return NEAP_STEP_DELIVER;
}

/* A marker goes into memory: looking up anew then finds the variant's key. */
static neap_step take(neap_exchange *exchange) {
  neap_asking *asking = exchange->asking;
  const neap_tier_value *value = &asking->reply.value;
  neap_http_record record;
  int code = read_record(exchange, value, &record);
  if (code == NEAP_ENOTFOUND) return go_on(exchange, NEAP_REASON_NONE);
  if (code || neap_http_stored_open(record.meta, &exchange->stored))
    return go_on(exchange, NEAP_REASON_TIER_BAD_RECORD);
  bool primary = exchange->variant.ptr == exchange->key.ptr;
  if (exchange->stored.marker && !primary) return go_on(exchange, NEAP_REASON_TIER_BAD_RECORD);
  put_into_memory(exchange, value, record.meta, NEAP_MIN(record.ttl_ms, asking->reply.ttl_ms));
  if (!exchange->stored.marker) return serve(exchange);
  neap_tier_reply_release(&asking->reply);
  asking->answered = false;
  return NEAP_STEP_LOOKUP;
}

neap_step neap_step_tiers(neap_exchange *exchange) {
  if (NEAP_UNLIKELY(exchange->explained)) return NEAP_STEP_BALANCE; /* which does not wait */
  neap_asking *asking = asking_of(exchange);
  if (asking == NULL) return NEAP_STEP_BALANCE;
  if (!asking->answered) {
    if (exchange->flow->tiers == NULL) return go_on(exchange, NEAP_REASON_NONE);
    if (ask(exchange, asking)) return NEAP_STEP_WAIT;
  }
  switch (asking->reply.code) {
  case 0: return exchange->flow->tiers ? take(exchange) : go_on(exchange, NEAP_REASON_NONE);
  case NEAP_ENOTFOUND: return go_on(exchange, NEAP_REASON_NONE);
  case NEAP_ETIMEDOUT: return go_on(exchange, NEAP_REASON_TIER_LATE);
  default: return go_on(exchange, NEAP_REASON_TIER_DOWN);
  }
}

/* --- to the client */

static struct iovec piece_of(neap_view view) {
  return (struct iovec){(char *)view.ptr, view.size};
}

int neap_tiers_hit_pieces(neap_exchange *exchange, struct iovec pieces[NEAP_TIER_HIT_PIECES]) {
  const neap_http_stored *stored = &exchange->stored;
  const neap_tier_value *value = &exchange->asking->reply.value;
  const char *tier = exchange->fwd == NEAP_HTTP_FWD_HIT_REDIS ? "redis" : "cdn";
  char *tail = neap_arena_take(&exchange->arena, NEAP_HTTP_TAIL_MAX);
  if (tail == NULL) return 0;
  exchange->kept_alive = neap_answer_keep_alive(exchange);
  size_t size = neap_http_stored_tail_of(tail, stored, tier, exchange->serve, &exchange->request,
                                         neap_tier_value_size(value), neap_loop_now_ms(exchange->flow->loop),
                                         exchange->kept_alive);
  bool whole = exchange->serve != NEAP_HTTP_SERVE_NOT_MODIFIED;
  neap_view lines = whole ? stored->head : stored->lines_304, added = {NULL, 0};
  bool edited = neap_edits_any(&exchange->route->response) || neap_acts_response(exchange);
  if (edited && neap_acts_lines(exchange, &lines, &added)) return 0;
  int count = 0;
  exchange->status = whole ? stored->status : 304;
  if (!whole) pieces[count++] = piece_of(NEAP_BYTES(NEAP_HTTP_LINE_304));
  if (lines.size) pieces[count++] = piece_of(lines);
  if (added.size) pieces[count++] = piece_of(added);
  pieces[count++] = (struct iovec){tail, size};
  neap_view body = neap_tier_value_piece(value, 0);
  if (!whole || exchange->request.method_id == NEAP_HTTP_METHOD_HEAD || body.size == 0) return count;
  pieces[count++] = piece_of(body);
  exchange->body_bytes += body.size;
  return count;
}
