/* neap status: what runs, and what became of the last reload. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/candidate.h"
#include "server/figures.h"

/* "2026-11-25T22:44:23Z" */
static json_t *wall_time(uint64_t ms) {
  char text[32] = "";
  struct tm parts;
  time_t seconds = (time_t)(ms / 1000);
  if (ms == 0 || gmtime_r(&seconds, &parts) == NULL) return json_null();
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return json_string(text);
}

static json_t *listeners_of(const neap_gateway *gateway) {
  json_t *list = json_array();
  for (size_t i = 0; i < gateway->bound_count; i++)
    json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "configured", gateway->bound[i].configured,
                                          "address", gateway->bound[i].address, "sockets",
                                          (int)gateway->bound[i].socket_count));
  return list;
}

static json_t *workers_of(const neap_gateway *gateway) {
  json_t *list = json_array();
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++)
    if (gateway->workers[i])
      json_array_append_new(list, json_pack("{s:i, s:s}", "place", (int)i, "state",
                                            gateway->serving[i] ? "serving" : "leaving"));
  return list;
}

/* --- sources of backends */

static void add_source(void *list, const neap_discovery_info *info) {
  json_t *row =
      json_pack("{s:s, s:o, s:I, s:o}", "pool", info->pool, "source", neap_control_string(info->spec),
                "backends", (json_int_t)info->backends, "changed", wall_time(info->changed_ms));
  json_object_set_new(row, "error", info->reason[0] ? neap_control_string(info->reason) : json_null());
  json_array_append_new(list, row);
}

static json_t *sources_of(const neap_gateway *gateway) {
  json_t *list = json_array();
  neap_discovery_each(gateway->discovery, add_source, list);
  return list;
}

/* --- generations */

/* How many exchanges have it, over all workers. */
static json_int_t exchanges_of(const neap_loaded *loaded) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < loaded->part_count; i++)
    sum += atomic_load_explicit(&loaded->parts[i].generation.exchanges, memory_order_relaxed);
  return (json_int_t)sum;
}

static json_t *generation_of(const neap_loaded *loaded, const char *state) {
  return json_pack("{s:I, s:s, s:I, s:o, s:I}", "generation", (json_int_t)loaded->set->number, "state", state,
                   "source", (json_int_t)loaded->source, "since", wall_time(loaded->since_ms), "exchanges",
                   exchanges_of(loaded));
}

/* In force, retired with exchanges that have not finished, kept for a rollback. */
static json_t *generations_of(const neap_gateway *gateway) {
  json_t *list = json_array();
  json_array_append_new(list, generation_of(gateway->loaded, "serving"));
  for (const neap_loaded *loaded = gateway->retired; loaded; loaded = loaded->next)
    json_array_append_new(list, generation_of(loaded, "finishing"));
  for (size_t i = gateway->history.count; i-- > 0;) {
    const neap_past *past = &gateway->history.list[i];
    json_array_append_new(list, json_pack("{s:I, s:s, s:I, s:o}", "generation", (json_int_t)past->source,
                                          "state", "kept", "source", (json_int_t)past->source, "since",
                                          wall_time(past->since_ms)));
  }
  return list;
}

/* --- what was promoted: in force until the file is loaded again */

static void add_promoted(const neap_gateway *gateway, json_t *body) {
  size_t count;
  neap_config_record *record = neap_config_record_of(gateway->loaded->config);
  const neap_config_instead *instead = neap_config_record_instead(record, &count);
  const char *name = neap_config_record_name(record);
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++)
    json_array_append_new(list,
                          json_pack("{s:s, s:o}", "pool", instead[i].pool[0] ? instead[i].pool : "(cache)",
                                    "policy", neap_control_string(instead[i].policy)));
  if (count > 0) json_object_set(body, "policies_until_reload", list);
  if (strcmp(name, gateway->options->name) != 0)
    json_object_set_new(body, "configuration_until_reload", neap_control_string(name));
  json_decref(list);
  neap_config_record_unref(&record);
}

/* --- the candidate that is tried */

static void add_candidate(const neap_gateway *gateway, json_t *body) {
  const neap_candidate *candidate = gateway->candidate;
  if (candidate == NULL) return;
  json_t *all = neap_candidate_json(candidate), *out = json_object();
  static const char *const names[] = {"kind", "state", "file", "subject", "pool", "generation", "for_s"};
  for (size_t i = 0; i < NEAP_COUNT_OF(names); i++)
    if (json_object_get(all, names[i])) json_object_set(out, names[i], json_object_get(all, names[i]));
  json_object_set_new(body, "candidate", out);
  json_decref(all);
}

/* --- the last reload */

static json_t *last_reload_of(const neap_gateway *gateway) {
  const neap_reload_result *last = &gateway->last_reload;
  if (last->at_ms == 0) return json_null();
  json_t *out = json_pack("{s:b, s:o, s:s, s:f}", "ok", last->ok, "at", wall_time(last->at_ms), "by",
                          last->by, "took_ms", (double)last->took_us / 1e3);
  if (last->error) json_object_set_new(out, "error", neap_control_string(last->error));
  if (last->report) json_object_set_new(out, "problems", neap_control_lines(last->report));
  return out;
}

void neap_control_status(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  if (!neap_control_args_end(args)) return;
  uint64_t uptime_ms = gateway->host->now_ms(gateway->host->user) - gateway->started_ms;
  json_t *body =
      json_pack("{s:s, s:i, s:I, s:b, s:I, s:i}", "version", neap_version(), "pid", (int)getpid(), "uptime_s",
                (json_int_t)(uptime_ms / 1000), "stopping", gateway->stopping, "generation",
                (json_int_t)gateway->last_generation, "workers", (int)gateway->worker_count);
  json_object_set_new(body, "configuration", neap_control_string(gateway->options->name));
  add_promoted(gateway, body);
  add_candidate(gateway, body);
  json_object_set_new(body, "reloading", json_boolean(gateway->reloads != NULL));
  json_object_set_new(body, "last_reload", last_reload_of(gateway));
  json_object_set_new(body, "generations", generations_of(gateway));
  json_object_set_new(body, "policies", neap_policies_json(gateway));
  json_object_set_new(body, "faults", neap_faults_json(gateway));
  json_object_set_new(body, "threads", workers_of(gateway));
  json_object_set_new(body, "listeners", listeners_of(gateway));
  json_object_set_new(body, "sources", sources_of(gateway));
  json_object_set_new(body, "tiers", neap_cascade_status(gateway));
  json_object_set_new(body, "prefetch", neap_prefetching_status(gateway->prefetching));
  json_object_set_new(body, "tables", neap_tables_status(gateway->tables));
  neap_control_done(reply, body);
}
