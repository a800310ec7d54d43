/* Commands about the server. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "front/resp_handlers.h"

enum { INFO_ROOM = 8192 };
#define REDIS_VERSION "7.0.15" /* whose commands and errors these are */

/* --- small ones */

void neap_port_ping(neap_port_call *call) {
  if (call->count > 2)
    neap_port_put_error(call, "ERR wrong number of arguments for 'ping' command");
  else if (call->count == 2)
    neap_resp_put_bulk(call->out, neap_port_arg(call, 1));
  else
    neap_resp_put_string(call->out, "PONG");
}

void neap_port_echo(neap_port_call *call) {
  neap_resp_put_bulk(call->out, neap_port_arg(call, 1));
}

void neap_port_select(neap_port_call *call) {
  int64_t number;
  if (!neap_port_arg_integer(call, 1, &number)) return;
  if (number < INT32_MIN || number > INT32_MAX)
    neap_port_put_error(call, "ERR value is out of range, value must between -2147483648 and 2147483647");
  else if (number != 0)
    neap_port_put_error(call, "ERR DB index is out of range");
  else
    neap_port_put_ok(call);
}

/* --- INFO */

typedef struct info {
  neap_port_call *call;
  neap_cache_stats stats;
  char text[INFO_ROOM];
  size_t size;
} info;

static void say(info *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(info *out, const char *format, ...) {
  va_list list;
  va_start(list, format);
  int size = vsnprintf(out->text + out->size, sizeof out->text - out->size, format, list);
  va_end(list);
  if (size > 0) out->size = NEAP_MIN(out->size + (size_t)size, sizeof out->text - 1);
}

static uint64_t up_s(const neap_keyspace *keys) {
  return (keys->host->now_ms(keys->host->user) - keys->started_ms) / 1000;
}

static void say_server(info *out) {
  const neap_keyspace *keys = out->call->keys;
  say(out, "redis_version:%s\r\nneap_version:%s\r\nredis_mode:standalone\r\n", REDIS_VERSION, neap_version());
  say(out, "process_id:%ld\r\nrun_id:%s\r\n", (long)getpid(), keys->run_id);
  say(out, "uptime_in_seconds:%" PRIu64 "\r\nuptime_in_days:%" PRIu64 "\r\n", up_s(keys), up_s(keys) / 86400);
}

static void say_clients(info *out) {
  const neap_port_call *call = out->call;
  say(out, "connected_clients:%" PRIu64 "\r\nmaxclients:%u\r\ntracking_clients:%u\r\n",
      atomic_load(&call->keys->client_count), call->front->options.max_clients,
      neap_port_tracker_count(call->keys->tracking));
}

static void say_memory(info *out) {
  const neap_cache_stats *stats = &out->stats;
  say(out, "used_memory:%" PRIu64 "\r\nmaxmemory:%" PRIu64 "\r\nmaxmemory_policy:%s\r\n", stats->memory,
      stats->max_memory, stats->policy);
  say(out,
      "neap_memory_entries:%" PRIu64 "\r\nneap_memory_tables:%" PRIu64 "\r\nneap_memory_retired:%" PRIu64
      "\r\n",
      stats->memory_entries, stats->memory_tables, stats->memory_retired);
}

static void say_persistence(info *out) {
  say(out, "loading:0\r\n");
}

static void say_stats(info *out) {
  const neap_cache_stats *stats = &out->stats;
  neap_keyspace *keys = out->call->keys;
  say(out,
      "total_connections_received:%" PRIu64 "\r\ntotal_commands_processed:%" PRIu64
      "\r\nrejected_connections:%" PRIu64 "\r\n",
      atomic_load(&keys->connections), atomic_load(&keys->commands_run), atomic_load(&keys->rejected));
  say(out,
      "keyspace_hits:%" PRIu64 "\r\nkeyspace_misses:%" PRIu64 "\r\nexpired_keys:%" PRIu64
      "\r\nevicted_keys:%" PRIu64 "\r\n",
      stats->hits, stats->misses, stats->expirations, stats->evictions_policy + stats->evictions_fallback);
  say(out,
      "neap_hit_rate:%.6f\r\nneap_clients_closed_stalled:%" PRIu64 "\r\nneap_clients_closed_room:%" PRIu64
      "\r\n",
      stats->hit_rate, atomic_load(&keys->closed_stalled), atomic_load(&keys->closed_room));
}

static void say_tiers(info *out) {
  static const char *const states[] = {[NEAP_TIER_BREAKER_CLOSED] = "closed",
                                       [NEAP_TIER_BREAKER_OPEN] = "open",
                                       [NEAP_TIER_BREAKER_HALF_OPEN] = "half-open"};
  neap_tiers_stats stats = {0};
  if (out->call->front->port) neap_tiers_stats_get(out->call->keys->tiers.cascade, &stats);
  for (int i = 1; i < stats.tier_count; i++) {
    const neap_tier_stats *tier = &stats.tiers[i];
    say(out,
        "neap_tier%d:name=%s,breaker=%s,hits=%" PRIu64 ",misses=%" PRIu64 ",sets=%" PRIu64 ",deletes=%" PRIu64
        ",errors=%" PRIu64 ",waiting=%" PRIu64 "\r\n",
        i, tier->name, states[tier->breaker], tier->hits, tier->misses, tier->sets, tier->deletes,
        tier->errors, tier->waiting);
  }
}

static void say_replication(info *out) {
  say(out, "role:master\r\nconnected_slaves:0\r\n");
}

static void say_cluster(info *out) {
  say(out, "cluster_enabled:0\r\n");
}

static void say_keyspace(info *out) {
  if (out->stats.entries > 0) say(out, "db0:keys=%" PRIu64 "\r\n", out->stats.entries);
}

static const struct {
  const char *name, *title;
  void (*say)(info *out);
} sections[] = {{"server", "Server", say_server},
                {"clients", "Clients", say_clients},
                {"memory", "Memory", say_memory},
                {"persistence", "Persistence", say_persistence},
                {"stats", "Stats", say_stats},
                {"tiers", "Tiers", say_tiers},
                {"replication", "Replication", say_replication},
                {"cluster", "Cluster", say_cluster},
                {"keyspace", "Keyspace", say_keyspace}};

static bool section_wanted(const neap_port_call *call, const char *name) {
  if (call->count == 1) return true;
  for (size_t i = 1; i < call->count; i++)
    if (neap_port_arg_is(call, i, name) || neap_port_arg_is(call, i, "default") ||
        neap_port_arg_is(call, i, "all") || neap_port_arg_is(call, i, "everything"))
      return true;
  return false;
}

void neap_port_info(neap_port_call *call) {
  info out = {.call = call};
  neap_cache_stats_get(call->keys->cache, &out.stats);
  for (size_t i = 0; i < NEAP_COUNT_OF(sections); i++) {
    if (!section_wanted(call, sections[i].name)) continue;
    say(&out, "%s# %s\r\n", out.size > 0 ? "\r\n" : "", sections[i].title);
    sections[i].say(&out);
  }
  neap_port_put_verbatim(call, (neap_view){out.text, out.size});
}

/* --- CONFIG */

typedef struct setting {
  const char *name;
  char value[80];
} setting;

/* What clients and tools ask for. */
static size_t list_settings(const neap_port_call *call, setting list[]) {
  neap_cache_stats stats;
  const neap_resp_options *options = &call->front->options;
  neap_cache_stats_get(call->keys->cache, &stats);
  size_t n = 0;
#define SETTING(word, ...)                                                                                   \
  (list[n].name = word, snprintf(list[n].value, sizeof list[n].value, __VA_ARGS__), n++)
  SETTING("appendonly", "no");
  SETTING("databases", "1");
  SETTING("maxclients", "%u", options->max_clients);
  SETTING("maxmemory", "%" PRIu64, stats.max_memory);
  SETTING("maxmemory-policy", "%s", stats.policy);
  SETTING("proto-max-bulk-len", "%zu", call->front->limits.bulk_bytes);
  SETTING("save", "%s", "");
  SETTING("timeout", "%" PRIu64, options->idle_timeout_ms / 1000);
#undef SETTING
  return n;
}
enum { SETTINGS = 8 };

static void config_get(neap_port_call *call) {
  setting list[SETTINGS];
  bool wanted[SETTINGS] = {0};
  size_t count = list_settings(call, list), found = 0;
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 2; j < call->count && !wanted[i]; j++)
      wanted[i] = neap_port_glob_word(neap_port_arg(call, j), list[i].name);
    found += wanted[i];
  }
  neap_resp_put_map(call->out, found);
  for (size_t i = 0; i < count; i++) {
    if (!wanted[i]) continue;
    neap_port_put_text(call, list[i].name);
    neap_port_put_text(call, list[i].value);
  }
}

void neap_port_config(neap_port_call *call) {
  static const neap_port_subcommand subcommands[] = {{"get", -3, config_get}};
  neap_port_run_subcommand(call, subcommands, NEAP_COUNT_OF(subcommands));
}

/* --- NEAP.* */

void neap_port_neap_version(neap_port_call *call) {
  neap_port_borrow(call->front);
  const neap_port_value *value = neap_port_look(call, neap_port_arg(call, 1), false);
  if (value)
    neap_resp_put_integer(call->out, (int64_t)neap_port_value_version(call, value));
  else
    neap_resp_put_null(call->out);
}

/* Of memory alone no more can be promised. */
static void consistency_of_memory(neap_port_call *call) {
  if (call->count == 1 || (call->count == 2 && neap_port_arg_is(call, 1, "local")))
    neap_port_put_text(call, "local");
  else if (call->count == 2 && (neap_port_arg_is(call, 1, "eventual") || neap_port_arg_is(call, 1, "strong")))
    neap_port_put_error(call, "ERR there is no tier below memory: only local can be promised");
  else
    neap_port_put_syntax_error(call);
}

/* Of this connection, from now on. */
void neap_port_neap_consistency(neap_port_call *call) {
  static const char *const words[] = {[NEAP_CONSISTENCY_LOCAL] = "local",
                                      [NEAP_CONSISTENCY_EVENTUAL] = "eventual",
                                      [NEAP_CONSISTENCY_STRONG] = "strong"};
  if (call->front->port == NULL) {
    consistency_of_memory(call);
    return;
  }
  size_t said = call->count == 1 ? call->client->consistency : NEAP_CONSISTENCY_LOCAL;
  while (call->count == 2 && said < NEAP_COUNT_OF(words) && !neap_port_arg_is(call, 1, words[said])) said++;
  if (call->count > 2 || said == NEAP_COUNT_OF(words)) {
    neap_port_put_syntax_error(call);
    return;
  }
  call->client->consistency = (neap_consistency)said;
  neap_port_put_text(call, words[said]);
}

void neap_port_neap_policy(neap_port_call *call) {
  neap_cache_stats stats;
  neap_cache_stats_get(call->keys->cache, &stats);
  neap_resp_put_map(call->out, 4);
  neap_port_put_text(call, "policy");
  neap_port_put_text(call, stats.policy);
  neap_port_put_text(call, "generation");
  neap_resp_put_integer(call->out, (int64_t)stats.generation);
  neap_port_put_text(call, "evictions");
  neap_resp_put_integer(call->out, (int64_t)(stats.evictions_policy + stats.evictions_fallback));
  neap_port_put_text(call, "faults");
  neap_resp_put_integer(call->out, (int64_t)stats.policy_faults);
}
