/* The life of a candidate. What operators say to it is in control_candidate.c. */
#include "server/candidate.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* --- preparing */

int neap_candidate_plan(neap_candidate *candidate, neap_reload_plan *plan, neap_err *err) {
  neap_gateway *gateway = candidate->gateway;
  if (candidate->subject == NEAP_FILE_CONFIGURATION) {
    plan->file = candidate->file;
    return 0;
  }
  const neap_config_instead instead = {.pool = candidate->pool, .policy = candidate->file};
  neap_config_record *record = neap_config_record_of(gateway->loaded->config);
  plan->record = neap_config_record_with(record, &instead);
  neap_config_record_unref(&record);
  plan->source = plan->generation;
  return plan->record ? 0 : neap_fail(err, NEAP_ENOMEM, "out of memory");
}

static void tell_difference(neap_trial *trial, const neap_trial_difference *difference);
static void on_attach(neap_task *task);
static void on_detach(neap_task *task);
static void on_detached(neap_task *task);

static int make_parts(neap_candidate *candidate, neap_err *err) {
  const neap_loaded *loaded = candidate->loaded;
  candidate->parts = calloc(loaded->part_count, sizeof *candidate->parts);
  candidate->examples = json_array();
  if (candidate->parts == NULL || candidate->examples == NULL)
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  candidate->part_count = loaded->part_count;
  candidate->pool_count = candidate->gateway->loaded->config->pool_count;
  for (uint32_t i = 0; i < loaded->part_count; i++) {
    neap_candidate_part *part = &candidate->parts[i];
    if (loaded->parts[i].loaded == NULL) continue;
    part->candidate = candidate;
    part->attach.run = on_attach;
    part->detach.run = on_detach;
    part->trial.candidate = &loaded->parts[i].generation;
    part->trial.differs = tell_difference;
  }
  return 0;
}

int neap_candidate_prepare(neap_candidate *candidate, neap_reload_plan *plan, char **report, neap_err *err) {
  int code = neap_plan_prepare_beside(plan, report, err);
  if (code) return code;
  candidate->loaded = plan->loaded; /* the plan's until begin */
  code = make_parts(candidate, err);
  if (code == 0 && candidate->kind == NEAP_CANDIDATE_SHADOW) code = neap_shadow_prepare(candidate, err);
  if (code == 0) neap_config_seal(plan->loaded->config);
  return code;
}

/* --- on the workers */

static void on_attach(neap_task *task) {
  neap_candidate_part *part = NEAP_CONTAINER_OF(task, neap_candidate_part, attach);
  for (size_t i = 0; part->shadows && i < part->candidate->pool_count; i++)
    neap_pool_set_shadow(part->trial.in_force->pools[i], part->shadows[i]);
  part->flow->trial = &part->trial;
}

static void destroy_shadows(neap_candidate_part *part) {
  for (size_t i = 0; part->shadows && i < part->candidate->pool_count; i++)
    neap_pool_shadow_destroy(&part->shadows[i]);
  free(part->shadows);
  part->shadows = NULL;
}

/* The last one tells; the task that retires the candidate's generation comes after this. */
static void on_detach(neap_task *task) {
  neap_candidate_part *part = NEAP_CONTAINER_OF(task, neap_candidate_part, detach);
  neap_candidate *candidate = part->candidate;
  part->flow->trial = NULL;
  for (size_t i = 0; part->shadows && i < candidate->pool_count; i++)
    neap_pool_set_shadow(part->trial.in_force->pools[i], NULL);
  destroy_shadows(part);
  if (atomic_fetch_sub(&candidate->attached, 1) == 1)
    neap_loop_post(candidate->gateway->loop, &candidate->detached);
}

/* A difference on its way to the control thread. */
typedef struct difference_told {
  neap_task task;
  neap_candidate *candidate;
  json_t *line;
} difference_told;

static void on_difference(neap_task *task) {
  difference_told *told = NEAP_CONTAINER_OF(task, difference_told, task);
  neap_candidate *candidate = told->candidate;
  if (json_array_size(candidate->examples) < NEAP_CANDIDATE_EXAMPLES)
    json_array_append(candidate->examples, told->line);
  json_decref(told->line);
  free(told);
}

static json_t *text_of(neap_view view) {
  char text[257];
  size_t size = NEAP_MIN(view.size, sizeof text - 1);
  memcpy(text, view.ptr, size);
  text[size] = '\0';
  return neap_control_string(text);
}

/* At most NEAP_CANDIDATE_EXAMPLES times for a worker. */
static void tell_difference(neap_trial *trial, const neap_trial_difference *difference) {
  neap_candidate_part *part = NEAP_CONTAINER_OF(trial, neap_candidate_part, trial);
  difference_told *told = malloc(sizeof *told);
  if (told == NULL) return;
  told->task.run = on_difference;
  told->candidate = part->candidate;
  told->line = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "method", text_of(difference->method), "host",
                         text_of(difference->host), "path", text_of(difference->path), "route",
                         neap_control_string(difference->route), "to", neap_control_string(difference->to),
                         "candidate_route", neap_control_string(difference->candidate_route), "candidate_to",
                         neap_control_string(difference->candidate_to));
  neap_loop_post(part->candidate->gateway->loop, &told->task);
}

/* --- begin */

static void attach(neap_candidate *candidate) {
  neap_gateway *gateway = candidate->gateway;
  uint32_t count = 0;
  for (uint32_t i = 0; i < candidate->part_count; i++) count += candidate->parts[i].candidate != NULL;
  atomic_store(&candidate->attached, count);
  for (uint32_t i = 0; i < candidate->part_count; i++) {
    neap_candidate_part *part = &candidate->parts[i];
    if (part->candidate == NULL) continue;
    part->flow = neap_worker_flow(gateway->workers[i]);
    part->trial.in_force = &gateway->loaded->parts[i].generation;
    neap_loop_post(neap_worker_loop(gateway->workers[i]), &part->attach);
  }
}

static void forget_part(neap_candidate *candidate, uint32_t place) {
  neap_candidate_part *part = &candidate->parts[place];
  if (part->candidate == NULL) return;
  destroy_shadows(part);
  part->candidate = NULL;
  neap_loaded_close_part(candidate->loaded, place);
}

static const char *kind_name(const neap_candidate *candidate) {
  return candidate->kind == NEAP_CANDIDATE_SHADOW ? "shadow" : "canary";
}

static void tell_begun(const neap_candidate *candidate, neap_control_reply *reply) {
  char text[NEAP_CANDIDATE_FILE + 160];
  if (candidate->kind == NEAP_CANDIDATE_SHADOW)
    snprintf(text, sizeof text,
             "%s decides beside generation %llu; neap shadow shows what it would have done", candidate->file,
             (unsigned long long)candidate->gateway->last_generation);
  else
    snprintf(text, sizeof text, "generation %llu, made of %s, serves %.4g %% of the requests",
             (unsigned long long)candidate->number, candidate->file, candidate->terms.share * 100);
  json_t *body = neap_candidate_json(candidate);
  json_object_set_new(body, "text", neap_control_string(text));
  neap_control_done(reply, body);
}

void neap_candidate_begin(neap_candidate *candidate, neap_reload_plan *plan, neap_control_reply *reply) {
  neap_gateway *gateway = candidate->gateway;
  neap_candidate_end(gateway, "replaced", candidate->file);
  gateway->canary_undone = false;
  plan->loaded = NULL;
  candidate->number = gateway->last_candidate = plan->generation;
  candidate->salt = neap_hash_mix(gateway->host->seed, candidate->number);
  candidate->started_ms = gateway->host->now_ms(gateway->host->user);
  candidate->detached.run = on_detached;
  candidate->loaded->since_ms = neap_clock_wall_ms();
  gateway->candidate = candidate;
  for (uint32_t i = 0; i < candidate->part_count; i++)
    if (gateway->workers[i] == NULL) forget_part(candidate, i);
  if (candidate->kind == NEAP_CANDIDATE_CANARY) {
    neap_canary_begin(candidate);
    neap_loaded_keep(gateway->loaded, candidate->loaded);
    neap_members_catch_up(gateway);
  }
  if (candidate->cache && neap_shadow_cache_start(candidate->cache))
    neap_gateway_log(gateway, NEAP_LOG_ERROR, "server shadow_thread_failed");
  attach(candidate);
  neap_gateway_log(gateway, NEAP_LOG_INFO, "server %s_begun file=%s generation=%llu", kind_name(candidate),
                   candidate->file, (unsigned long long)candidate->number);
  if (reply) tell_begun(candidate, reply);
}

/* --- end */

static void destroy(neap_candidate *candidate) {
  for (uint32_t i = 0; candidate->parts && i < candidate->part_count; i++)
    if (candidate->parts[i].candidate) destroy_shadows(&candidate->parts[i]);
  neap_shadow_cache_destroy(&candidate->cache);
  json_decref(candidate->examples);
  free(candidate->parts);
  free(candidate);
}

static void on_detached(neap_task *task) {
  neap_candidate *candidate = NEAP_CONTAINER_OF(task, neap_candidate, detached);
  neap_candidate **at = &candidate->gateway->ended_candidates;
  while (*at != candidate) at = &(*at)->next_ended;
  *at = candidate->next_ended;
  destroy(candidate);
}

void neap_candidate_drop(neap_candidate **candidate) {
  if (*candidate) destroy(*candidate);
  *candidate = NULL;
}

/* The worker writes to the tape until it is detached: the tapes go with the candidate. */
void neap_candidate_end(neap_gateway *gateway, const char *state, const char *why) {
  neap_candidate *candidate = gateway->candidate;
  if (candidate == NULL) return;
  json_t *found = neap_candidate_json(candidate);
  json_object_set_new(found, "state", json_string(state));
  if (why) json_object_set_new(found, "reason", neap_control_string(why));
  json_decref(gateway->candidate_found);
  gateway->candidate_found = found;
  gateway->candidate = NULL;
  gateway->canary_undone = candidate->kind == NEAP_CANDIDATE_CANARY && strcmp(state, "rolled back") == 0;
  candidate->next_ended = gateway->ended_candidates;
  gateway->ended_candidates = candidate;
  if (candidate->kind == NEAP_CANDIDATE_CANARY) neap_timer_clear(&candidate->watch);
  if (candidate->cache) neap_shadow_cache_stop(candidate->cache);
  neap_gateway_log(gateway, NEAP_LOG_INFO, "server %s_ended file=%s state=\"%s\"", kind_name(candidate),
                   candidate->file, state);
  for (uint32_t i = 0; i < candidate->part_count; i++)
    if (candidate->parts[i].candidate)
      neap_loop_post(neap_worker_loop(gateway->workers[i]), &candidate->parts[i].detach);
  if (candidate->kind == NEAP_CANDIDATE_CANARY) neap_loaded_keep(gateway->loaded, NULL);
  neap_loaded_retire(candidate->loaded);
  candidate->loaded = NULL;
}

void neap_candidate_worker_gone(neap_gateway *gateway, uint32_t place) {
  neap_candidate *candidate = gateway->candidate;
  if (candidate == NULL || place >= candidate->part_count) return;
  if (candidate->parts[place].candidate) atomic_fetch_sub(&candidate->attached, 1);
  forget_part(candidate, place);
}

void neap_candidate_close(neap_gateway *gateway) {
  neap_candidate *candidate = gateway->candidate;
  gateway->candidate = NULL;
  if (candidate) {
    if (candidate->kind == NEAP_CANDIDATE_CANARY) neap_timer_clear(&candidate->watch);
    neap_loaded *loaded = candidate->loaded;
    destroy(candidate);
    neap_loaded_destroy(&loaded);
  }
  while (gateway->ended_candidates) {
    candidate = gateway->ended_candidates;
    gateway->ended_candidates = candidate->next_ended;
    destroy(candidate);
  }
  json_decref(gateway->candidate_found);
}

neap_loaded *neap_candidate_canary(const neap_gateway *gateway) {
  const neap_candidate *candidate = gateway->candidate;
  return candidate && candidate->kind == NEAP_CANDIDATE_CANARY ? candidate->loaded : NULL;
}

/* --- seeing */

static const char *subject_name(const neap_candidate *candidate) {
  static const char *const names[] = {[NEAP_FILE_EVICT] = "evict",
                                      [NEAP_FILE_BALANCE] = "balance",
                                      [NEAP_FILE_PREFETCH] = "prefetch",
                                      [NEAP_FILE_CONFIGURATION] = "configuration"};
  return names[candidate->subject];
}

json_t *neap_candidate_json(const neap_candidate *candidate) {
  const neap_host *host = candidate->gateway->host;
  json_t *out = json_pack("{s:s, s:s, s:o, s:s, s:I, s:f}", "kind", kind_name(candidate), "state", "running",
                          "file", neap_control_string(candidate->file), "subject", subject_name(candidate),
                          "generation", (json_int_t)candidate->number, "for_s",
                          (double)(host->now_ms(host->user) - candidate->started_ms) / 1e3);
  if (candidate->pool[0]) json_object_set_new(out, "pool", json_string(candidate->pool));
  if (candidate->kind == NEAP_CANDIDATE_SHADOW)
    neap_shadow_json(candidate, out);
  else
    neap_canary_json(candidate, out);
  return out;
}
