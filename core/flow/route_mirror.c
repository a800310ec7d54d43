/* Mirrors: a copy of a request goes to another pool, as an exchange of its own whose client takes everything
 * and says nothing. It has its own copy of the head, so that it may outlive the request; the client never
 * waits for it. Requests with a body are not copied: their bytes are the client's, and go to one backend. */
#include "flow/acts.h"

/* --- the client of a copy */

static bool swallow(void *client, const struct iovec *pieces, int count, bool last) {
  (void)client, (void)pieces, (void)count, (void)last;
  return true;
}

static void nothing(void *client) {
  (void)client;
}

static void no_body(void *client, bool wanted) {
  (void)client, (void)wanted;
}

static neap_view address_of(void *client) {
  const neap_exchange *copy = client;
  return (neap_view){copy->board.client.ptr, (size_t)copy->board.client.size};
}

static void leave(void *client) {
  neap_exchange *copy = client;
  neap_exchange **at = &copy->flow->mirrors;
  while (*at != copy) at = &(*at)->next_mirror;
  *at = copy->next_mirror;
  copy->flow->mirror_count--;
}

static const neap_client_vt mirror_vt = {.name = "mirror",
                                         .send = swallow,
                                         .abort = nothing,
                                         .want_body = no_body,
                                         .done = leave,
                                         .address = address_of};

void neap_flow_drop_mirrors(neap_flow *flow) {
  while (flow->mirrors) neap_exchange_client_gone(flow->mirrors);
  while (flow->aheads) neap_exchange_client_gone(flow->aheads);
}

/* --- the copy */

static bool copy_slice(neap_exchange *copy, neap_http_slice *slice) {
  const char *text = neap_acts_copy(copy, (neap_view){slice->ptr, (size_t)slice->size});
  if (text == NULL) return false;
  slice->ptr = text;
  return true;
}

static bool copy_request(neap_exchange *copy, const neap_exchange *from) {
  const neap_http_head *head = &from->request.head;
  neap_http_request *request = &copy->request;
  char *bytes = neap_arena_take(&copy->arena, head->cursor);
  if (bytes == NULL) return false;
  memcpy(bytes, head->base, head->cursor);
  memcpy(copy->fields, head->fields, (size_t)head->field_count * sizeof *copy->fields);
  *request = from->request;
  request->head.fields = copy->fields;
  neap_http_request_move(request, bytes);
  if (from->request.path.ptr != NULL && !copy_slice(copy, &request->path))
    return false; /* it may be rewritten */
  return !request->has_query || copy_slice(copy, &request->query);
}

static bool copy_fields(neap_exchange *copy, neap_acts_change change, const neap_match_field *fields,
                        size_t count) {
  for (size_t i = 0; i < count; i++) {
    const char *name = neap_acts_copy(copy, neap_view_of(fields[i].name));
    const char *value = neap_acts_copy(copy, neap_view_of(fields[i].value));
    if (name == NULL || value == NULL || neap_acts_edit(copy, &copy->acts->request, change, name, value))
      return false;
  }
  return true;
}

/* What the actions did to the request is done to its copy. */
static bool copy_acts(neap_exchange *copy, const neap_exchange *from) {
  const neap_flow_edits *edits = neap_acts_request(from);
  copy->acts = neap_arena_take(&copy->arena, sizeof *copy->acts);
  if (copy->acts == NULL) return false;
  *copy->acts = (neap_acts){.bypass = true};
  for (size_t i = 0; edits && i < edits->remove_count; i++) {
    const char *name = neap_acts_copy(copy, neap_view_of(edits->remove[i]));
    if (name == NULL || neap_acts_edit(copy, &copy->acts->request, NEAP_ACTS_REMOVE, name, "")) return false;
  }
  return edits == NULL || (copy_fields(copy, NEAP_ACTS_SET, edits->set, edits->set_count) &&
                           copy_fields(copy, NEAP_ACTS_ADD, edits->add, edits->add_count));
}

static bool make_copy(neap_exchange *copy, const neap_exchange *from) {
  const neap_slice *client = &from->board.client;
  const char *address = neap_acts_copy(copy, (neap_view){client->ptr, (size_t)client->size});
  if (address == NULL || !copy_request(copy, from) || !copy_acts(copy, from)) return false;
  if (neap_flow_board(&copy->request, &copy->arena, &copy->board)) return false;
  copy->board.client = (neap_slice){.ptr = address, .size = client->size};
  return true;
}

static void start(neap_exchange *copy, const neap_exchange *from, int32_t pool) {
  neap_flow *flow = copy->flow;
  copy->client = copy;
  copy->mirror = true;
  copy->id = from->id;
  if (from->client_id.size) neap_exchange_identify(copy); /* which lies in the copy's own head */
  copy->generation = from->generation;
  neap_generation_count(copy->generation, 1);
  copy->rule = from->rule;
  copy->route = from->route;
  copy->pool_index = pool;
  copy->pool = copy->generation->pools[pool];
  copy->next_mirror = flow->mirrors;
  flow->mirrors = copy;
  flow->mirror_count++;
  neap_exchange_resume(copy, NEAP_STEP_BALANCE);
}

void neap_acts_mirror(neap_exchange *exchange, const neap_mirror *mirror) {
  neap_flow *flow = exchange->flow;
  if (exchange->ahead || neap_random_next(&flow->random) % 1000000 >= mirror->ppm) return;
  neap_pool_tally *tally = neap_exchange_tally_of(exchange, mirror->pool);
  if (!neap_body_is_over(exchange)) {
    neap_count_add(&tally->mirrors_skipped, 1);
    return;
  }
  neap_exchange *copy = NULL;
  if (flow->mirror_count < mirror->most)
    copy = neap_exchange_take(flow, exchange->request.head.limits, &mirror_vt, NULL);
  if (copy && !make_copy(copy, exchange)) {
    neap_exchange_give(copy);
    copy = NULL;
  }
  neap_count_add(copy ? &tally->mirrored : &tally->mirrors_dropped, 1);
  if (copy) start(copy, exchange, mirror->pool);
}
