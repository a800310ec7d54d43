/* A CDN as a tier: GET, PUT and DELETE below base/cache/, bodies are envelopes (docs/envelope.md).
 *
 * What comes back is believed as far as the envelope says the right key, namespace and time; anything else is
 * a miss. Redirects are not followed, bodies are read up to the largest envelope there can be. */
#include "tier/cdn.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "remote/remote.h"

/* One port's. */
typedef struct cdn {
  const neap_cdn_config *config;
  neap_tiers_port *port;
  neap_fetcher *fetcher;
  neap_codec *codec;
} cdn;

/* A call under way. */
typedef struct errand {
  cdn *home;
  neap_tier_call *call;
  neap_fetch *fetch;
} errand;

static uint64_t wall_ms(const cdn *self) {
  const neap_tier_ground *ground = neap_tiers_port_ground(self->port);
  return ground->wall_ms(ground->user);
}

/* --- answers */

static bool is_there_no_more(int status) {
  return status == 404 || status == 410;
}

static neap_tier_answer open_body(cdn *self, const neap_tier_call *call, neap_view body) {
  neap_tier_answer answer = {.code = NEAP_ENOTFOUND};
  neap_record record;
  if (neap_codec_open(self->codec, neap_view_of(self->config->ns), call->key, body, &record)) return answer;
  uint64_t now_ms = wall_ms(self);
  if (record.flags & NEAP_RECORD_NEGATIVE || (record.expires_ms != 0 && record.expires_ms <= now_ms))
    return answer;
  answer.code = 0;
  answer.object =
      (neap_tier_object){.version = record.version,
                         .ttl_ms = record.expires_ms == 0 ? NEAP_TTL_NEVER : record.expires_ms - now_ms,
                         .cost_us = record.cost_us,
                         .meta = record.meta,
                         .body = record.body};
  return answer;
}

static neap_tier_answer judge_get(cdn *self, const neap_tier_call *call, const neap_fetch_reply *reply) {
  if (reply->end == NEAP_FETCH_CUT) return (neap_tier_answer){.code = NEAP_ETOOLARGE};
  if (reply->status == 200) return open_body(self, call, reply->body);
  return (neap_tier_answer){.code = is_there_no_more(reply->status) ? NEAP_ENOTFOUND : NEAP_EIO};
}

static neap_tier_answer judge_write(const neap_tier_call *call, const neap_fetch_reply *reply) {
  int status = reply->status;
  bool done = status >= 200 && status < 300;
  if (call->verb != NEAP_TIER_SET) done |= is_there_no_more(status);
  if (call->verb == NEAP_TIER_SET && status == 413) return (neap_tier_answer){.code = NEAP_ETOOLARGE};
  return (neap_tier_answer){.code = done ? 0 : NEAP_EIO};
}

static neap_tier_answer judge(cdn *self, const neap_tier_call *call, const neap_fetch_reply *reply) {
  bool writes = call->verb != NEAP_TIER_GET;
  if (reply->end == NEAP_FETCH_LATE) return (neap_tier_answer){.code = NEAP_ETIMEDOUT};
  if (reply->end != NEAP_FETCH_DONE && reply->end != NEAP_FETCH_CUT)
    return (neap_tier_answer){.code = NEAP_EIO};
  return writes ? judge_write(call, reply) : judge_get(self, call, reply);
}

static void on_done(void *user, const neap_fetch_reply *reply) {
  errand *it = user;
  neap_tier_call *call = it->call;
  neap_tier_answer answer = judge(it->home, call, reply);
  free(it);
  call->done(call, &answer);
}

/* --- requests */

enum { LINES = 8, LINE = 320 };

typedef struct head {
  char texts[LINES][LINE];
  const char *lines[LINES];
  int count;
} head;

static void add_line(head *to, const char *line) {
  if (line) to->lines[to->count++] = line;
}

static void add_max_age(head *to, uint64_t ttl_ms) {
  static const uint64_t year_s = 31536000;
  uint64_t seconds =
      ttl_ms == NEAP_TTL_NEVER ? year_s : NEAP_MIN(ttl_ms / 1000 + (ttl_ms % 1000 > 0), year_s);
  char *text = to->texts[to->count];
  snprintf(text, LINE, "Cache-Control: max-age=%llu", (unsigned long long)seconds);
  add_line(to, text);
}

static void add_surrogate(head *to, const char *name, const char *key) {
  if (name == NULL) return;
  char *text = to->texts[to->count];
  snprintf(text, LINE, "%s: %s", name, key);
  add_line(to, text);
}

static int seal(cdn *self, const neap_tier_call *call, neap_view *body) {
  uint64_t now_ms = wall_ms(self);
  const neap_tier_object *object = &call->object;
  const neap_record record = {
      .ns = neap_view_of(self->config->ns),
      .key = call->key,
      .version = object->version,
      .created_ms = now_ms,
      .expires_ms = object->ttl_ms == NEAP_TTL_NEVER ? 0 : now_ms + object->ttl_ms,
      .cost_us = object->cost_us,
      .meta = object->meta,
      .body = object->body,
  };
  return neap_codec_seal(self->codec, &record, body);
}

static const char *method_of(const cdn *self, const neap_tier_call *call) {
  switch (call->verb) {
  case NEAP_TIER_GET: return "GET";
  case NEAP_TIER_SET: return "PUT";
  case NEAP_TIER_DELETE: return self->config->purge;
  default: return "DELETE";
  }
}

static int send_off(cdn *self, errand *it, const char *url, head *fields, neap_view body) {
  add_line(fields, self->config->authorization);
  add_line(fields, self->config->header);
  const neap_fetch_request request = {
      .url = url,
      .method = method_of(self, it->call),
      .fields = fields->lines,
      .body = body,
      .body_max = it->call->verb == NEAP_TIER_GET ? neap_codec_envelope_max(self->codec)
                                                  : 4096, /* what a server says to a write is not looked at */
      .http2 = true,
      .done = on_done,
      .user = it};
  return neap_fetch_start(self->fetcher, &request, &it->fetch);
}

static int start(void *user, neap_tier_call *call) {
  cdn *self = user;
  char url[2400], key[NEAP_CDN_KEY];
  neap_view body = {"", 0};
  head fields = {.count = 0};
  neap_cdn_key(call->key, key);
  snprintf(url, sizeof url, "%s/cache/%s", self->config->base, key);
  if (call->verb == NEAP_TIER_SET) {
    int code = seal(self, call, &body);
    if (code) return code;
    add_line(&fields, "Content-Type: application/octet-stream");
    add_max_age(&fields, call->object.ttl_ms);
    add_surrogate(&fields, self->config->surrogate, key);
  }
  if (call->verb == NEAP_TIER_DELETE) add_surrogate(&fields, self->config->surrogate, key);
  errand *it = calloc(1, sizeof *it);
  if (it == NULL) return NEAP_ENOMEM;
  *it = (errand){.home = self, .call = call};
  int code = send_off(self, it, call->verb == NEAP_TIER_CLEAR ? self->config->clear : url, &fields, body);
  if (code) {
    free(it);
    return code;
  }
  call->state = it;
  return 0;
}

static void cancel(void *user, neap_tier_call *call) {
  (void)user;
  errand *it = call->state;
  neap_fetch_cancel(&it->fetch);
  free(it);
}

/* --- life */

static void close_cdn(void **self_ptr) {
  cdn *self = *self_ptr;
  *self_ptr = NULL;
  neap_fetcher_destroy(&self->fetcher);
  neap_codec_destroy(&self->codec);
  free(self);
}

static int open_cdn(void *config, neap_tiers_port *port, void **out) {
  const neap_cdn_config *settings = config;
  neap_loop *loop = neap_tiers_port_ground(port)->loop;
  if (loop == NULL) return NEAP_EINVAL;
  cdn *self = calloc(1, sizeof *self);
  if (self == NULL) return NEAP_ENOMEM;
  void *taken = self;
  self->config = settings;
  self->port = port;
  int code = neap_fetcher_create(loop, &self->fetcher);
  if (code == 0)
    code = neap_codec_create(&settings->codec, settings->keyring, settings->dictionaries, &self->codec, NULL);
  if (code)
    close_cdn(&taken);
  else
    *out = self;
  return code;
}

static void destroy(void *config) {
  neap_cdn_config_destroy(config);
}

static const neap_tier_vt cdn_vt = {.name = "cdn",
                                    .open = open_cdn,
                                    .close = close_cdn,
                                    .start = start,
                                    .cancel = cancel,
                                    .destroy = destroy};

int neap_tiers_add_cdn_coded(neap_tiers *tiers, const neap_tier_cdn_options *options,
                             const neap_tier_codec *codec, const neap_tier_options *tier, neap_err *err) {
  neap_cdn_config *config;
  int code = neap_cdn_config_create(options, codec, &config, err);
  return code ? code : neap_tiers_add(tiers, &cdn_vt, config, tier, err);
}

int neap_tiers_add_cdn(neap_tiers *tiers, const neap_tier_cdn_options *options, const neap_tier_options *tier,
                       neap_err *err) {
  return neap_tiers_add_cdn_coded(tiers, options, NULL, tier, err);
}
