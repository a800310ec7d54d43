/* What commands ask of tiers: for their keys, and to write them. */
#include "front/resp_errand.h"

#include <stdlib.h>

/* --- life */

static size_t keys_of(const neap_port_call *call) {
  const neap_port_command *command = call->command;
  if (command->first == 0) return 0;
  return command->last < 0 ? (call->count - (size_t)command->first) / (size_t)command->step +
                                 ((call->count - (size_t)command->first) % (size_t)command->step != 0)
                           : 1;
}

static neap_view key_of(const neap_port_errand *errand, size_t i) {
  const neap_port_command *command = errand->client->last;
  return neap_resp_request_arg(&errand->client->request, errand->bytes,
                               (size_t)command->first + i * (size_t)command->step);
}

static uint64_t time_left(const neap_port_errand *errand) {
  uint64_t now = neap_port_errand_now(errand);
  return errand->deadline_ms > now ? errand->deadline_ms - now : 1;
}

static bool hold(neap_port_errand *errand, size_t bytes) {
  errand->held_bytes += bytes;
  return neap_port_client_hold(errand->client, 0, bytes);
}

void neap_port_errand_forget(neap_port_errand *errand) {
  for (size_t i = 0; errand->looks && i < errand->next; i++) neap_tier_reply_release(&errand->finds[i].reply);
}

static void on_again(neap_timer *timer) {
  neap_port_errand *errand = NEAP_CONTAINER_OF(timer, neap_port_errand, again);
  errand->left--;
  errand->bytes = neap_port_client_bytes(errand->client);
  neap_port_errand_find(errand);
  if (errand->left == 0) neap_port_client_resume(errand->client);
}

neap_port_errand *neap_port_errand_begin(neap_port_call *call, bool looks) {
  neap_port_client *client = call->client;
  size_t keys = keys_of(call), bytes = sizeof(neap_port_errand) + (looks ? keys * sizeof(neap_port_step) : 0);
  neap_port_errand *errand = calloc(1, bytes);
  if (errand == NULL) return NULL;
  errand->client = client;
  errand->bytes = call->bytes;
  errand->key_count = keys;
  errand->looks = looks;
  errand->peeked = call->peeks;
  errand->deadline_ms = neap_loop_now_ms(call->front->loop) + call->keys->tiers.timeout_ms;
  neap_timer_init(&errand->again, on_again);
  client->errand = errand;
  client->broken |= !hold(errand, bytes);
  return errand;
}

void neap_port_errand_end(neap_port_client *client) {
  neap_port_errand *errand = client->errand;
  if (errand == NULL) return;
  neap_port_settle(client->front); /* what the reply has of it */
  client->errand = NULL;
  neap_timer_clear(&errand->again);
  for (size_t i = 0; errand->looks && i < errand->next; i++) neap_tier_cancel(&errand->finds[i].op);
  for (size_t i = 0; errand->writes && i < NEAP_PORT_WINDOW; i++) neap_tier_cancel(&errand->writes[i].op);
  neap_tier_cancel(&errand->write.op);
  neap_port_errand_forget(errand);
  neap_port_client_hold(client, errand->held_bytes, 0);
  free(errand->writes);
  free(errand);
}

size_t *neap_port_errand_used(neap_port_errand *errand) {
  return &errand->used;
}

/* --- looking */

static void more(neap_port_errand *errand);

/* An answer has come; may close the client. */
static void step_done(neap_port_errand *errand) {
  errand->bytes = neap_port_client_bytes(errand->client);
  errand->left--;
  if (!errand->client->broken) more(errand);
  if (errand->left == 0) neap_port_client_resume(errand->client);
}

static void take(neap_port_step *it, neap_tier_reply *reply) {
  it->op = NULL;
  it->reply = *reply;
  reply->value = (neap_tier_value){0};
  if (it->reply.value.home && neap_tier_value_entry(&it->reply.value) == NULL)
    it->errand->client->broken |= !hold(it->errand, neap_tier_value_size(&it->reply.value));
}

static void on_found(void *user, neap_tier_reply *reply) {
  neap_port_step *it = user;
  take(it, reply);
  step_done(it->errand);
}

static void find_more(neap_port_errand *errand) {
  neap_port_client *client = errand->client;
  const neap_tier_get_options options = {.consistency =
                                             errand->strong ? NEAP_CONSISTENCY_STRONG : client->consistency,
                                         .deadline_ms = time_left(errand)};
  while (errand->next < errand->key_count && errand->left < NEAP_PORT_WINDOW) {
    neap_port_step *it = &errand->finds[errand->next];
    *it = (neap_port_step){.errand = errand};
    int code = (errand->peeked ? neap_tiers_get_peeked : neap_tiers_get)(
        client->front->port, key_of(errand, errand->next), &options, on_found, it, &it->reply, &it->op);
    errand->next++;
    if (code == NEAP_EPENDING)
      errand->left++;
    else
      it->reply.code = code;
  }
}

void neap_port_errand_find(neap_port_errand *errand) {
  errand->stage = NEAP_PORT_FINDING;
  errand->next = 0;
  find_more(errand);
}

/* Of a command that only reads, a failure may be a miss, but to who was promised to be told the truth. */
static bool bears(const neap_port_call *call) {
  if (call->command->flags & NEAP_PORT_WRITE) return call->tolerant;
  return !call->keys->tiers.failures_shown && call->client->consistency != NEAP_CONSISTENCY_STRONG;
}

const neap_port_value *neap_port_look_over_tiers(neap_port_call *call) {
  neap_port_value *value = &call->value;
  if (call->errand) {
    const neap_tier_reply *found = &call->errand->finds[call->looked++].reply;
    if (found->code) {
      bool nothing = found->code == NEAP_ENOTFOUND || found->code == NEAP_EKEY; /* no key is that long */
      if (!nothing && !bears(call)) call->failed = found->code;
      return NULL;
    }
    neap_port_borrow(call->front);
    *value = (neap_port_value){.entry = neap_tier_value_entry(&found->value),
                               .outside = found->value,
                               .version = found->version,
                               .ttl_ms = found->ttl_ms};
    return value;
  }
  call->missed = true;
  return NULL;
}

/* --- writing */

static void on_written(void *user, neap_tier_reply *reply) {
  neap_port_step *it = user;
  neap_port_errand *errand = it->errand;
  it->op = NULL;
  if (errand->fault == 0) errand->fault = reply->code;
  step_done(errand);
}

/* What was begun: answered at once, or under way. */
static void began(neap_port_step *it, int code) {
  neap_port_errand *errand = it->errand;
  if (code == NEAP_EPENDING) {
    errand->left++;
    return;
  }
  it->op = NULL;
  if (errand->fault == 0 && !(code == NEAP_EKEY && errand->deletes)) errand->fault = code;
}

static neap_tier_set_options options_of(const neap_port_errand *errand, uint64_t ttl_ms) {
  const neap_port_client *client = errand->client;
  neap_write_mode mode = client->front->keys->tiers.mode;
  bool strong = client->consistency == NEAP_CONSISTENCY_STRONG;
  return (neap_tier_set_options){.mode = strong && mode == NEAP_WRITE_BEHIND ? NEAP_WRITE_THROUGH : mode,
                                 .consistency = client->consistency,
                                 .ttl_ms = ttl_ms,
                                 .deadline_ms = time_left(errand)};
}

static void start(neap_port_step *it, neap_view key, const neap_view *value,
                  const neap_tier_set_options *options) {
  neap_port_errand *errand = it->errand;
  neap_tiers_port *port = errand->client->front->port;
  int code = NEAP_ETOOLARGE;
  uint64_t seen = errand->compares && errand->finds[0].reply.code == 0 ? errand->finds[0].reply.version : 0;
  it->reply = (neap_tier_reply){0};
  if (value && value->size > errand->client->front->keys->tiers.max_object)
    began(it, code);
  else if (errand->compares)
    began(it, neap_tiers_exchange(port, key, value, seen, options, on_written, it, &it->op));
  else if (value)
    began(it, neap_tiers_set(port, key, *value, options, on_written, it, &it->reply, &it->op));
  else
    began(it, neap_tiers_delete(port, key, options, on_written, it, &it->reply, &it->op));
}

/* True: there is something to write now. Else *code is what the command is to go by. */
static bool may_write(neap_port_call *call, int *code) {
  *code = 0;
  if (call->missed || call->failed) return false;
  if (call->errand && call->errand->stage == NEAP_PORT_WRITING) {
    *code = call->errand->fault;
    return false;
  }
  if (call->client->errand == NULL && neap_port_errand_begin(call, false) == NULL) {
    *code = NEAP_ENOMEM;
    return false;
  }
  neap_port_settle(call->front);
  call->client->errand->wrote = true;
  call->client->errand->fault = 0;
  return true;
}

int neap_port_write(neap_port_call *call, neap_view key, const neap_view *value, uint64_t ttl_ms) {
  int code;
  if (!may_write(call, &code)) {
    if (call->errand && call->errand->stage == NEAP_PORT_WRITING) neap_port_changed(call, key);
    return code;
  }
  neap_port_errand *errand = call->client->errand;
  errand->compares = call->looked > 0;
  errand->write.errand = errand;
  const neap_tier_set_options options = options_of(errand, ttl_ms);
  start(&errand->write, key, value, &options);
  return 0;
}

int neap_port_write_joined(neap_port_call *call, neap_view key, const neap_port_value *value, neap_view after,
                           uint64_t ttl_ms) {
  uint64_t size = neap_port_value_size(value) + after.size;
  neap_view piece, none = {"", 0};
  if (call->errand->stage == NEAP_PORT_WRITING)
    return neap_port_write(call, key, &none, ttl_ms); /* is done */
  if (size > call->keys->tiers.max_object) size = 0;  /* refused by its size, which is all that counts */
  char *bytes = malloc(size + 1), *at = bytes;
  if (bytes == NULL) return call->failed = NEAP_ENOMEM;
  for (size_t i = 0; size && (piece = neap_port_value_piece(value, i)).size > 0; i++) {
    memcpy(at, piece.ptr, piece.size);
    at += piece.size;
  }
  if (size && after.size > 0) memcpy(at, after.ptr, after.size);
  neap_view whole = {bytes, size ? size : neap_port_value_size(value) + after.size};
  int code = neap_port_write(call, key, &whole, ttl_ms);
  free(bytes);
  return code;
}

/* --- many keys */

static void write_more(neap_port_errand *errand) {
  const neap_tier_set_options options = options_of(errand, NEAP_TTL_DEFAULT);
  bool sets = errand->client->last->step == 2;
  for (size_t i = 0; i < NEAP_PORT_WINDOW && errand->next < errand->key_count;) {
    neap_port_step *it = &errand->writes[i];
    if (it->op) {
      i++;
      continue;
    }
    neap_view key = key_of(errand, errand->next), value = {"", 0};
    if (sets)
      value = neap_resp_request_arg(&errand->client->request, errand->bytes,
                                    (size_t)errand->client->last->first + 2 * errand->next + 1);
    errand->next++;
    it->errand = errand;
    start(it, key, sets ? &value : NULL, &options);
  }
}

static void more(neap_port_errand *errand) {
  if (errand->writes)
    write_more(errand);
  else if (errand->stage == NEAP_PORT_FINDING && errand->looks)
    find_more(errand);
}

int neap_port_write_all(neap_port_call *call) {
  int code;
  if (!may_write(call, &code)) {
    bool told = call->errand && call->errand->stage == NEAP_PORT_WRITING;
    for (size_t i = 0; told && i < call->errand->key_count; i++)
      neap_port_changed(call, key_of(call->errand, i));
    return code;
  }
  neap_port_errand *errand = call->client->errand;
  neap_port_errand_forget(errand);
  errand->writes = calloc(NEAP_PORT_WINDOW, sizeof *errand->writes);
  if (errand->writes == NULL) return call->failed = NEAP_ENOMEM;
  errand->client->broken |= !hold(errand, NEAP_PORT_WINDOW * sizeof *errand->writes);
  errand->compares = false;
  errand->deletes = call->command->step == 1;
  errand->next = 0;
  write_more(errand);
  return 0;
}

int neap_port_clear(neap_port_call *call) {
  int code;
  if (!may_write(call, &code)) {
    if (call->errand && call->errand->stage == NEAP_PORT_WRITING) neap_port_changed_all(call);
    return code;
  }
  neap_port_errand *errand = call->client->errand;
  const neap_tier_set_options options = {.consistency = NEAP_CONSISTENCY_EVENTUAL,
                                         .deadline_ms = time_left(errand)};
  errand->write = (neap_port_step){.errand = errand};
  began(&errand->write, neap_tiers_clear(call->front->port, &options, on_written, &errand->write,
                                         &errand->write.reply, &errand->write.op));
  return 0;
}
