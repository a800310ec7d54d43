/* neap shadow, canary, promote: what operators say to a candidate. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/candidate.h"

/* --- arguments */

/* "5%" or 0.05. */
static double take_share(neap_control_args *args, const char *name, double most, double otherwise) {
  const char *unit;
  double share;
  if (!neap_control_amount(args, name, &share, &unit)) return otherwise;
  bool percent = strcmp(unit, "%") == 0;
  if (percent) share /= 100;
  if ((percent || *unit == '\0') && share >= 0 && share <= most) return share;
  neap_control_args_fail(args, "%s must be a share up to %g %%, such as 5%% or 0.05", name, most * 100);
  return otherwise;
}

/* With no requests there would be no end to it. */
static double take_canary_share(neap_control_args *args) {
  double share = take_share(args, "share", 0.5, 0.05);
  if (share <= 0)
    neap_control_args_fail(args, "%s must be above 0: neap shadow tries a candidate without serving by it",
                           "share");
  return share;
}

/* "500ms", "60s", "5m", "1h"; a bare number is seconds. */
static uint64_t take_time_ms(neap_control_args *args, const char *name, uint64_t otherwise) {
  static const struct {
    const char *unit;
    double ms;
  } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
  const char *unit;
  double value;
  if (!neap_control_amount(args, name, &value, &unit)) return otherwise;
  for (size_t i = 0; value >= 0 && value < 1e6 && i < NEAP_COUNT_OF(units); i++)
    if (strcmp(unit, units[i].unit) == 0) return (uint64_t)(value * units[i].ms);
  neap_control_args_fail(args, "%s must be a time, such as 60s", name);
  return otherwise;
}

/* "client", "header NAME", "cookie NAME". */
static void take_key(neap_control_args *args, neap_canary_terms *terms) {
  const char *text = neap_control_text_or_none(args, "by");
  terms->by = NEAP_KEY_CLIENT;
  if (text == NULL || strcmp(text, "client") == 0) return;
  bool header = strncmp(text, "header ", 7) == 0;
  const char *name = text + 7;
  if ((!header && strncmp(text, "cookie ", 7) != 0) || *name == '\0' ||
      strlen(name) >= sizeof terms->by_name) {
    neap_control_args_fail(args, "%s must be client, \"header NAME\" or \"cookie NAME\"", "by");
    return;
  }
  terms->by = header ? NEAP_KEY_HEADER : NEAP_KEY_COOKIE;
  strcpy(terms->by_name, name);
}

/* --- what FILE is */

static bool has_pool(const neap_gateway *gateway, const char *name) {
  const neap_config *config = gateway->loaded->config;
  for (size_t i = 0; i < config->pool_count; i++)
    if (strcmp(config->pools[i].name, name) == 0) return true;
  return false;
}

static int file_subject(const char *file, neap_file_kind *out, neap_err *err) {
  int rc = neap_script_kind(file, out, err);
  if (rc || *out != NEAP_FILE_PREFETCH) return rc;
  return neap_fail(err, NEAP_EINVAL, "%.200s prefetches: try it with neap replay --prefetch", file);
}

/* A file by what it requires; a name by who has such a policy, the pool being named. */
static int find_subject(neap_candidate *candidate, bool pool_given, neap_err *err) {
  const char *file = candidate->file;
  size_t size = strlen(file);
  if (size > 4 && strcmp(file + size - 4, ".lua") == 0) return file_subject(file, &candidate->subject, err);
  candidate->subject =
      !pool_given && neap_script_ships(NEAP_EVICT, file) ? NEAP_FILE_EVICT : NEAP_FILE_BALANCE;
  if (candidate->subject == NEAP_FILE_EVICT || neap_script_ships(NEAP_BALANCE, file)) return 0;
  return neap_fail(err, NEAP_ENOTFOUND, "%.200s is neither a file that ends with .lua nor a shipped policy",
                   file);
}

static int find_pool(neap_candidate *candidate, const char *pool, neap_err *err) {
  const neap_gateway *gateway = candidate->gateway;
  const neap_config *config = gateway->loaded->config;
  if (candidate->subject != NEAP_FILE_BALANCE)
    return pool ? neap_fail(err, NEAP_EINVAL, "a pool is named with a balance policy, which that is not") : 0;
  if (pool == NULL && config->pool_count == 1) pool = config->pools[0].name;
  if (pool == NULL) return neap_fail(err, NEAP_EINVAL, "say for which pool: --pool NAME");
  if (!has_pool(gateway, pool)) return neap_fail(err, NEAP_ENOTFOUND, "there is no pool '%.60s'", pool);
  snprintf(candidate->pool, sizeof candidate->pool, "%s", pool);
  return 0;
}

static int make(neap_gateway *gateway, neap_candidate_kind kind, const char *file, const char *pool,
                neap_candidate **out, neap_err *err) {
  neap_candidate *made = calloc(1, sizeof *made);
  if (made == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  made->gateway = gateway;
  made->kind = kind;
  int size = snprintf(made->file, sizeof made->file, "%s", file);
  int code = size > 0 && size < (int)sizeof made->file ? 0 : neap_fail(err, NEAP_EINVAL, "no such file");
  if (code == 0) code = find_subject(made, pool != NULL, err);
  if (code == 0) code = find_pool(made, pool, err);
  if (code)
    neap_candidate_drop(&made);
  else
    *out = made;
  return code;
}

/* --- the verbs */

/* The one that runs, or what the last one found. */
static void show(const neap_gateway *gateway, neap_candidate_kind kind, neap_control_reply *reply) {
  const char *name = kind == NEAP_CANDIDATE_SHADOW ? "shadow" : "canary";
  if (gateway->candidate && gateway->candidate->kind == kind) {
    neap_control_done(reply, neap_candidate_json(gateway->candidate));
    return;
  }
  const char *last = json_string_value(json_object_get(gateway->candidate_found, "kind"));
  if (last && strcmp(last, name) == 0)
    neap_control_done(reply, json_deep_copy(gateway->candidate_found));
  else
    neap_control_done(reply, json_pack("{s:s, s:s}", "kind", name, "state", "none"));
}

void neap_control_shadow(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  const char *file = neap_control_text_or_none(args, "file"), *pool = neap_control_text_or_none(args, "pool");
  bool stop = neap_control_flag(args, "stop");
  neap_candidate *made;
  neap_err err;
  if (!neap_control_args_end(args)) return;
  bool runs = gateway->candidate && gateway->candidate->kind == NEAP_CANDIDATE_SHADOW;
  if (stop && !runs) {
    neap_control_fail(reply, "no shadow runs");
  } else if (stop) {
    neap_candidate_end(gateway, "stopped", NULL);
    neap_control_done(reply, json_deep_copy(gateway->candidate_found));
  } else if (file == NULL && pool) {
    neap_control_fail(reply, "a FILE is missing: a pool is named for a shadow that begins");
  } else if (file == NULL) {
    show(gateway, NEAP_CANDIDATE_SHADOW, reply);
  } else if (make(gateway, NEAP_CANDIDATE_SHADOW, file, pool, &made, &err)) {
    neap_control_fail(reply, "%s", err.text);
  } else {
    neap_gateway_try(gateway, made, reply);
  }
}

static void take_terms(neap_control_args *args, neap_canary_terms *terms) {
  terms->share = take_canary_share(args);
  terms->max_errors = take_share(args, "max_errors", 1, 0.01);
  terms->max_p99 = take_share(args, "max_p99", 100, 0.2);
  terms->for_ms = take_time_ms(args, "for", 60000);
  terms->min_requests = (uint64_t)neap_control_count_or(args, "min_requests", 20, 1000000000, 200);
  terms->promote = neap_control_flag(args, "promote");
  take_key(args, terms);
}

void neap_control_canary(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  const char *file = neap_control_text_or_none(args, "file"), *pool = neap_control_text_or_none(args, "pool");
  neap_canary_terms terms = {0};
  neap_candidate *made;
  neap_err err;
  take_terms(args, &terms);
  if (!neap_control_args_end(args)) return;
  if (file == NULL && json_object_size(args->object) > 0) {
    neap_control_fail(
        reply,
        "a FILE is missing: options are for a canary that begins; neap promote is for the one that runs");
  } else if (file == NULL) {
    show(gateway, NEAP_CANDIDATE_CANARY, reply);
  } else if (make(gateway, NEAP_CANDIDATE_CANARY, file, pool, &made, &err)) {
    neap_control_fail(reply, "%s", err.text);
  } else if (made->subject == NEAP_FILE_EVICT) {
    neap_candidate_drop(&made);
    neap_control_fail(reply, "the cache is one for all requests: see what would be with neap shadow");
  } else {
    made->terms = terms;
    neap_gateway_try(gateway, made, reply);
  }
}

void neap_control_promote(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  if (!neap_control_args_end(args)) return;
  if (gateway->candidate)
    neap_gateway_promote(gateway, reply);
  else
    neap_control_fail(reply, "there is no candidate: begin with neap shadow or neap canary");
}
