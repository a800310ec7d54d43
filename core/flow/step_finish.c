/* finish: accounts, logs, gives everything back. Every path ends here. */
#include "flow/acts.h"
#include "flow/prefetch.h"

static neap_view view_of(neap_http_slice slice) {
  return (neap_view){slice.ptr ? slice.ptr : "", (size_t)slice.size};
}

static void write_steps(const neap_exchange *exchange, char *out) {
  static const char *const names[] = {
#define STEP_NAME(NAME, name, text) [NEAP_STEP_##NAME] = #name,
      NEAP_STEPS(STEP_NAME)
#undef STEP_NAME
  };
  for (uint8_t i = 0; i < exchange->trace_count; i++) {
    if (i) *out++ = ',';
    out = stpcpy(out, names[exchange->trace[i]]);
  }
  *out = '\0';
}

static const char *backend_of(const neap_exchange *exchange) {
  if (!exchange->holds_member) return NULL;
  return neap_backend_address(neap_pool_backend(exchange->pool, exchange->member));
}

static const char *cache_code(const neap_exchange *exchange) {
  if (exchange->route == NULL || exchange->fwd == NEAP_HTTP_FWD_NONE) return NULL;
  return neap_http_fwd_text(exchange->fwd);
}

static void count(neap_exchange *exchange, uint64_t now_ns) {
  static const neap_source sources[] = {[FROM_NOWHERE] = NEAP_SOURCE_GATEWAY,
                                        [FROM_HERE] = NEAP_SOURCE_GATEWAY,
                                        [FROM_CACHE] = NEAP_SOURCE_CACHE,
                                        [FROM_TIER] = NEAP_SOURCE_CACHE,
                                        [FROM_BACKEND] = NEAP_SOURCE_BACKEND};
  neap_tally *tally = exchange->flow->tally;
  neap_tally_record record = {
      .route = exchange->route ? exchange->route->series : NEAP_SERIES_NO_ROUTE,
      .pool = exchange->pool ? neap_pool_options_of(exchange->pool)->series : NEAP_SERIES_NO_POOL,
      .status = exchange->begun ? exchange->status : 0,
      .cache = (int)exchange->fwd,
      .source = sources[exchange->source],
      .end = neap_exchange_reason(exchange),
      .lookup = exchange->unasked,
      .store = exchange->stored_as,
      .took_us = (now_ns - exchange->start_ns) / 1000,
      .body_bytes = exchange->body_bytes,
  };
  neap_tally_add(tally, &record);
  if (exchange->source == FROM_BACKEND)
    neap_timing_add(&tally->pools[record.pool]->phases[NEAP_PHASE_BODY], (now_ns - exchange->head_ns) / 1000);
}

static neap_view field_of(const neap_http_request *request, neap_http_id id) {
  const neap_http_field *field = neap_http_field_first(&request->head, id);
  return field ? view_of(field->value) : NEAP_BYTES("");
}

static void log_line(neap_exchange *exchange, uint64_t now_ns) {
  char steps[TRACE_MAX * 8 + 1], id[NEAP_ID_SIZE];
  write_steps(exchange, steps);
  const neap_http_request *request = &exchange->request;
  bool refused = exchange->refusal != NEAP_REASON_NONE;
  neap_access_record record = {
      .wall_ms = exchange->wall_ms,
      .duration_us = (now_ns - exchange->start_ns) / 1000,
      .client = exchange->client_vt->address(exchange->client),
      .id = neap_exchange_id(exchange, id),
      .lookup = exchange->unasked ? neap_reason_code(exchange->unasked) : NULL,
      .first_byte_us =
          exchange->head_ns > exchange->sent_ns ? (exchange->head_ns - exchange->sent_ns) / 1000 : 0,
      .method = refused ? NEAP_BYTES("") : view_of(request->method),
      .host = refused ? NEAP_BYTES("") : view_of(request->host),
      .target = refused ? NEAP_BYTES("") : view_of(request->target),
      .referer = refused ? NEAP_BYTES("") : field_of(request, NEAP_HTTP_ID_REFERER),
      .user_agent = refused ? NEAP_BYTES("") : field_of(request, NEAP_HTTP_ID_USER_AGENT),
      .status = exchange->status,
      .bytes = exchange->body_bytes,
      .generation = exchange->generation->number,
      .route = exchange->route ? exchange->route->name : NULL,
      .tag = exchange->acts ? exchange->acts->tag : NULL,
      .pool = exchange->pool ? neap_pool_options_of(exchange->pool)->name : NULL,
      .backend = backend_of(exchange),
      .cache = cache_code(exchange),
      .stored = exchange->stored_as ? neap_reason_code(exchange->stored_as) : NULL,
      .reason = neap_reason_code(neap_exchange_reason(exchange)),
      .steps = steps,
      .tries = (uint32_t)exchange->tries,
      .purpose = exchange->ahead ? "prefetch" : NULL,
  };
  neap_access_log_add(exchange->flow->log, &record);
}

static void give_back(neap_exchange *exchange) {
  neap_timer_clear(&exchange->timer);
  if (NEAP_UNLIKELY(exchange->joined != NULL)) neap_prefetch_leave(exchange);
  neap_backend_release(exchange, false);
  neap_balance_let_go(exchange);
  if (exchange->fill) neap_fill_abort(&exchange->fill);
  if (exchange->pinned) neap_entry_unref(exchange->cache, exchange->pinned);
  if (exchange->entered) neap_cache_leave(exchange->cache);
  neap_blocks_give(&exchange->flow->blocks, exchange->block);
}

neap_step neap_step_finish(neap_exchange *exchange) {
  uint64_t now_ns = neap_clock_now_ns(NULL);
  if (NEAP_LIKELY(!exchange->explained && !exchange->mirror)) {
    count(exchange, now_ns);
    neap_exchange_remember(exchange, now_ns);
    if (exchange->flow->log) log_line(exchange, now_ns);
    if (NEAP_UNLIKELY(exchange->flow->trial)) neap_trial_finish(exchange, now_ns);
  } else if (exchange->ahead && exchange->flow->log) {
    log_line(exchange, now_ns);
  }
  if (NEAP_UNLIKELY(exchange->has_missed)) neap_prefetch_ended(exchange);
  give_back(exchange);
  neap_generation *generation = exchange->generation;
  exchange->generation = NULL;
  if (neap_generation_count(generation, -1) == 0 && generation->retired) generation->drained(generation);
  exchange->client_vt->done(exchange->client);
  return NEAP_STEP_DONE;
}
