/* Redis as a tier: it gives out versions, leases and tombstones by scripts (redis_scripts.h). */
#include "tier/redis.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

enum { DIGITS = 17, ARGS = 8 };

/* A call under way. */
struct neap_redis_errand {
  neap_redis_errand *next; /* among those that wait for the epoch */
  neap_redis_tier *home;
  neap_tier_call *call;
  neap_redis_request *request;
  uint64_t lease;
};

/* --- answers */

static bool is_text(const neap_resp_value *value, const char *text) {
  return value->type == NEAP_RESP_STRING && neap_view_is(value->text, text);
}

/* Sixteen digits, as the scripts write versions. */
static bool read_version(const neap_resp_value *value, uint64_t *out) {
  if (value->type != NEAP_RESP_STRING || value->text.size != 16) return false;
  uint64_t version = 0;
  for (size_t i = 0; i < 16; i++) {
    if (value->text.ptr[i] < '0' || value->text.ptr[i] > '9') return false;
    version = version * 10 + (uint64_t)(value->text.ptr[i] - '0');
  }
  *out = version;
  return true;
}

static uint64_t ttl_of(const neap_resp_value *left) {
  if (left->type != NEAP_RESP_INTEGER) return 0;
  return left->integer < 0 ? NEAP_TTL_NEVER : (uint64_t)left->integer;
}

static neap_tier_answer open_value(neap_redis_errand *it, uint64_t version, uint64_t ttl_ms,
                                   neap_view bytes) {
  neap_redis_tier *self = it->home;
  neap_tier_answer answer = {.code = NEAP_ENOTFOUND};
  neap_record record;
  if (neap_codec_open(self->codec, neap_view_of(self->config->options.ns), it->call->key, bytes, &record))
    return answer;
  if (record.flags & NEAP_RECORD_NEGATIVE || ttl_ms == 0) return answer;
  answer.code = 0;
  answer.object = (neap_tier_object){.version = version,
                                     .ttl_ms = ttl_ms,
                                     .cost_us = record.cost_us,
                                     .meta = record.meta,
                                     .body = record.body};
  return answer;
}

/* {'N',version,pttl} {'V',version,pttl,envelope} {'G',floor,version} {'W',floor} {'M',floor} */
static neap_tier_answer judge_get(neap_redis_errand *it, const neap_resp_value *value) {
  neap_tier_answer answer = {.code = NEAP_EIO};
  neap_resp_value parts[4];
  size_t count = 0;
  neap_resp_cursor cursor = value->elements;
  if (value->type != NEAP_RESP_ARRAY) return answer;
  while (count < 4 && neap_resp_next(&cursor, &parts[count])) count++;
  uint64_t version;
  if (count < 2 || !read_version(&parts[1], &version)) return answer;
  if (count == 4 && is_text(&parts[0], "V") && parts[3].type == NEAP_RESP_STRING)
    return open_value(it, version, ttl_of(&parts[2]), parts[3].text);
  if (count == 3 && is_text(&parts[0], "N"))
    return (neap_tier_answer){.unchanged = true, .object = {.version = version, .ttl_ms = ttl_of(&parts[2])}};
  answer.object.version = version;
  if (is_text(&parts[0], "M") || is_text(&parts[0], "W")) answer.code = NEAP_ENOTFOUND;
  if (count == 3 && is_text(&parts[0], "G") && read_version(&parts[2], &answer.lease_version)) {
    answer.code = NEAP_ENOTFOUND;
    answer.lease = it->lease;
  }
  return answer;
}

/* {1,version}: done; {0,version}: there is something newer. */
static neap_tier_answer judge_write(neap_redis_errand *it, const neap_resp_value *value) {
  neap_tier_answer answer = {.code = NEAP_EIO};
  neap_resp_value done, version;
  neap_resp_cursor cursor = value->elements;
  if (value->type != NEAP_RESP_ARRAY || !neap_resp_next(&cursor, &done) ||
      !neap_resp_next(&cursor, &version) || done.type != NEAP_RESP_INTEGER ||
      !read_version(&version, &answer.object.version))
    return answer;
  answer.code = done.integer == 1 ? 0 : NEAP_EVERSION;
  if (it->call->verb == NEAP_TIER_CLEAR) neap_redis_tier_learn_epoch(it->home->config, answer.object.version);
  return answer;
}

static neap_tier_answer judge(neap_redis_errand *it, const neap_redis_reply *reply) {
  bool reads = it->call->verb == NEAP_TIER_GET;
  switch (reply->end) {
  case NEAP_REDIS_DONE: return reads ? judge_get(it, &reply->value) : judge_write(it, &reply->value);
  case NEAP_REDIS_LATE: return (neap_tier_answer){.code = NEAP_ETIMEDOUT};
  case NEAP_REDIS_ERROR: /* a list or the like, which somebody else keeps there, is nothing of ours */
    if (reads && neap_resp_is_error(&reply->value, "WRONGTYPE"))
      return (neap_tier_answer){.code = NEAP_ENOTFOUND};
    return (neap_tier_answer){.code = NEAP_EIO};
  default: return (neap_tier_answer){.code = NEAP_EIO};
  }
}

static void on_reply(void *user, const neap_redis_reply *reply) {
  neap_redis_errand *it = user;
  neap_tier_call *call = it->call;
  neap_tier_answer answer = judge(it, reply);
  free(it);
  call->done(call, &answer);
}

/* --- commands */

typedef struct command {
  neap_view args[ARGS];
  size_t count;
  char digits[ARGS][24];
  const neap_redis_script *script;
} command;

static void add(command *to, neap_view arg) {
  to->args[to->count++] = arg;
}

static void add_number(command *to, const char *format, uint64_t number) {
  char *text = to->digits[to->count];
  snprintf(text, sizeof to->digits[0], format, (unsigned long long)number);
  add(to, neap_view_of(text));
}

static void add_ttl(command *to, uint64_t ttl_ms) {
  add_number(to, "%llu", ttl_ms > INT64_MAX / 2 ? 0 : ttl_ms);
}

static void add_version(command *to, uint64_t version) {
  if (version)
    add_number(to, "%016llu", version);
  else
    add(to, (neap_view){"", 0});
}

static void build_get(neap_redis_errand *it, command *to) {
  const neap_tier_call *call = it->call;
  to->script = &it->home->config->get;
  add_version(to, call->object.version);
  add_number(to, "%llu", call->lease_wanted ? it->home->config->options.lease_ms : 0);
  it->lease = it->home->token += 2; /* odd: never 0 */
  add_number(to, "%016llx", it->lease);
}

static int build_set(neap_redis_errand *it, command *to) {
  neap_redis_tier *self = it->home;
  const neap_tier_call *call = it->call;
  const neap_record record = {.ns = neap_view_of(self->config->options.ns),
                              .key = call->key,
                              .created_ms = neap_loop_wall_ms(self->loop),
                              .cost_us = call->object.cost_us,
                              .meta = call->object.meta,
                              .body = call->object.body};
  neap_view envelope;
  int code = neap_codec_seal(self->codec, &record, &envelope);
  if (code) return code;
  if (call->fill) {
    if (call->lease == 0) return NEAP_EVERSION; /* another fills it */
    to->script = &self->config->fill;
    add_number(to, "%016llu", call->object.version);
    add_number(to, "%016llx", call->lease);
    add(to, envelope);
    add_ttl(to, call->object.ttl_ms);
    return 0;
  }
  to->script = call->compares ? &self->config->exchange : &self->config->set;
  add(to, envelope);
  add_ttl(to, call->object.ttl_ms);
  add(to, neap_view_of(self->config->channel));
  if (call->compares)
    add_version(to, call->expected);
  else
    add_number(to, "%llu", call->replay ? call->made_us : 0);
  return 0;
}

static void build_delete(neap_redis_errand *it, command *to) {
  const neap_redis_config *config = it->home->config;
  bool remembered = neap_tiers_keeps(config->tiers, NEAP_TIER_TOMBSTONES);
  to->script = it->call->compares ? &config->take : &config->delete;
  add_number(to, "%llu", remembered ? config->options.tombstone_ms : 1);
  add(to, neap_view_of(config->channel));
  if (it->call->compares)
    add_version(to, it->call->expected);
  else
    add_number(to, "%llu", it->call->replay ? it->call->made_us : 0);
}

static int send_off(neap_redis_errand *it) {
  neap_redis_tier *self = it->home;
  neap_redis_config *config = self->config;
  char key[NEAP_KEY_MAX + sizeof config->prefix];
  size_t prefix = strlen(config->prefix);
  memcpy(key, config->prefix, prefix);
  if (it->call->key.size) memcpy(key + prefix, it->call->key.ptr, it->call->key.size);
  bool clears = it->call->verb == NEAP_TIER_CLEAR;
  neap_view name = clears ? neap_view_of(config->epoch_key) : (neap_view){key, prefix + it->call->key.size};
  command to = {.count = 0};
  add(&to, NEAP_BYTES("1"));
  add(&to, name);
  int code = 0;
  if (clears) {
    to.script = &config->clear;
    add(&to, neap_view_of(config->channel));
  } else {
    add_number(&to, "%llu", atomic_load(&config->epoch));
  }
  if (it->call->verb == NEAP_TIER_GET) build_get(it, &to);
  if (it->call->verb == NEAP_TIER_SET) code = build_set(it, &to);
  if (it->call->verb == NEAP_TIER_DELETE) build_delete(it, &to);
  if (code) return code;
  const neap_redis_command asked = {
      .args = to.args, .count = to.count, .script = to.script, .key = name, .done = on_reply, .user = it};
  return neap_redis_start(self->redis, &asked, &it->request);
}

/* --- the epoch: without it nobody knows what is void */

void neap_redis_tier_learn_epoch(neap_redis_config *config, uint64_t epoch) {
  uint64_t known = atomic_load(&config->epoch);
  while (epoch > known && !atomic_compare_exchange_weak(&config->epoch, &known, epoch)) continue;
  atomic_store(&config->epoch_known, true);
}

static void go_on(neap_redis_tier *self, int code) {
  while (self->waiting) {
    neap_redis_errand *it = self->waiting;
    neap_tier_call *call = it->call;
    self->waiting = it->next;
    int failed = code ? code : send_off(it);
    if (failed == 0) continue;
    free(it);
    call->done(call, &(neap_tier_answer){.code = failed});
  }
}

static void on_epoch(void *user, const neap_redis_reply *reply) {
  neap_redis_tier *self = user;
  uint64_t epoch = 0;
  bool known = reply->end == NEAP_REDIS_DONE &&
               (reply->value.type == NEAP_RESP_NULL || read_version(&reply->value, &epoch));
  self->asking_epoch = false;
  if (known) {
    uint64_t before = atomic_load(&self->config->epoch);
    bool first = !atomic_load(&self->config->epoch_known);
    neap_redis_tier_learn_epoch(self->config, epoch);
    if (epoch != before && !first)
      neap_tiers_suspect_all(self->config->tiers); /* cleared, or another Redis */
  }
  go_on(self, known ? 0 : NEAP_EIO);
}

void neap_redis_tier_ask_epoch(neap_redis_tier *self) {
  if (self->asking_epoch) return;
  const neap_view args[] = {NEAP_BYTES("GET"), neap_view_of(self->config->epoch_key)};
  const neap_redis_command asked = {.args = args, .count = 2, .key = args[1], .done = on_epoch, .user = self};
  self->asking_epoch = neap_redis_start(self->redis, &asked, NULL) == 0;
}

/* --- start and cancel */

static int start(void *user, neap_tier_call *call) {
  neap_redis_tier *self = user;
  neap_redis_errand *it = calloc(1, sizeof *it);
  if (it == NULL) return NEAP_ENOMEM;
  *it = (neap_redis_errand){.home = self, .call = call};
  int code = 0;
  if (atomic_load(&self->config->epoch_known) || call->verb == NEAP_TIER_CLEAR) {
    code = send_off(it);
  } else {
    it->next = self->waiting;
    self->waiting = it;
    neap_redis_tier_ask_epoch(self);
    if (!self->asking_epoch) {
      self->waiting = it->next;
      code = NEAP_EIO;
    }
  }
  if (code)
    free(it);
  else
    call->state = it;
  return code;
}

static void cancel(void *user, neap_tier_call *call) {
  neap_redis_tier *self = user;
  neap_redis_errand *it = call->state;
  neap_redis_errand **place = &self->waiting;
  while (*place && *place != it) place = &(*place)->next;
  if (*place) *place = it->next;
  neap_redis_cancel(&it->request);
  free(it);
}

/* --- life */

static void close_tier(void **self_ptr) {
  neap_redis_tier *self = *self_ptr;
  *self_ptr = NULL;
  neap_redis_channel_close(self);
  neap_redis_destroy(&self->redis);
  neap_codec_destroy(&self->codec);
  free(self);
}

static int open_tier(void *user, neap_tiers_port *port, void **out) {
  neap_redis_config *config = user;
  neap_loop *loop = neap_tiers_port_ground(port)->loop;
  if (loop == NULL) return NEAP_EINVAL;
  neap_redis_tier *self = calloc(1, sizeof *self);
  if (self == NULL) return NEAP_ENOMEM;
  void *taken = self;
  self->config = config;
  self->port = port;
  self->loop = loop;
  self->id = neap_clock_now_ns(NULL) * 31 + (uintptr_t)self;
  self->token = self->id | 1;
  int code = neap_redis_create(loop, &config->redis, &self->redis, NULL);
  if (code == 0)
    code = neap_codec_create(&config->codec, config->keyring, config->dictionaries, &self->codec, NULL);
  if (code) {
    neap_redis_destroy(&self->redis);
    free(taken);
    return code;
  }
  neap_redis_channel_open(self);
  *out = self;
  return 0;
}

static void destroy(void *config) {
  neap_redis_config_destroy(config);
}

static const neap_tier_vt redis_vt = {.name = "redis",
                                      .gives_versions = true,
                                      .open = open_tier,
                                      .close = close_tier,
                                      .start = start,
                                      .cancel = cancel,
                                      .destroy = destroy};

int neap_tiers_add_redis_coded(neap_tiers *tiers, const neap_tier_redis_options *options,
                               const neap_tier_codec *codec, const neap_tier_options *tier, neap_err *err) {
  neap_redis_config *config;
  int code = neap_redis_config_create(tiers, options, codec, &config, err);
  return code ? code : neap_tiers_add(tiers, &redis_vt, config, tier, err);
}

int neap_tiers_add_redis(neap_tiers *tiers, const neap_tier_redis_options *options,
                         const neap_tier_options *tier, neap_err *err) {
  return neap_tiers_add_redis_coded(tiers, options, NULL, tier, err);
}
