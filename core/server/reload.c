/* Reloads: who asked, one after the other, and what became of them.
 *
 * A reload is
 *   1 waiting    in the queue behind another
 *   2 preparing  on a thread of its own, so that the control thread goes on; its steps are told as they end
 *   3 committed or refused, on the control thread; told and forgotten
 */
#include "server/candidate.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { STEPS_MAX = NEAP_WORKERS_MAX + 16 };

typedef struct reload_step {
  neap_task task;
  neap_reload *reload;
  uint64_t took_us;
  char text[64];
} reload_step;

struct neap_reload {
  neap_reload *next;
  neap_gateway *gateway;
  const char *by;
  neap_control_reply *reply; /* NULL: nobody waits */
  bool rollback, promotion;
  uint64_t to;               /* of a rollback; 0: what was in force before */
  bool pointless;            /* a rollback that waited for what was then refused */
  uint64_t tried;            /* by a promotion: the candidate's number */
  neap_candidate *candidate; /* to be tried; NULL: a generation is to be put in force */
  neap_reload_plan plan;
  pthread_t thread;
  bool running, joined;
  bool astray; /* a rollback to what is not there */
  neap_task done;
  int code;
  char *report;
  neap_err err;
  uint64_t start_ns, step_ns;
  size_t step_count;
  reload_step steps[STEPS_MAX];
};

static uint64_t now_ns(const neap_gateway *gateway) {
  return gateway->host->now_ns(gateway->host->user);
}

/* --- steps */

static void tell_step(neap_control_reply *reply, const char *text, uint64_t took_us) {
  char line[96];
  snprintf(line, sizeof line, "  %-26s %8.2f ms", text, (double)took_us / 1e3);
  if (reply)
    neap_control_tell(
        reply, json_pack("{s:s, s:f, s:s}", "step", text, "took_ms", (double)took_us / 1e3, "text", line));
}

static void on_step(neap_task *task) {
  const reload_step *step = NEAP_CONTAINER_OF(task, reload_step, task);
  tell_step(step->reload->reply, step->text, step->took_us);
}

/* On the thread that prepares. */
static void end_step(neap_reload_plan *plan, const char *text) {
  neap_reload *reload = NEAP_CONTAINER_OF(plan, neap_reload, plan);
  uint64_t now = now_ns(reload->gateway);
  if (reload->step_count == STEPS_MAX) return;
  reload_step *step = &reload->steps[reload->step_count++];
  *step = (reload_step){.task.run = on_step, .reload = reload, .took_us = (now - reload->step_ns) / 1000};
  snprintf(step->text, sizeof step->text, "%s", text);
  reload->step_ns = now;
  neap_loop_post(reload->gateway->loop, &step->task);
}

/* --- results */

/* One event per problem, so that each has its line in the log. */
static void log_report(const neap_gateway *gateway, const char *report) {
  for (const char *line = report; line && *line;) {
    int size = (int)strcspn(line, "\n");
    neap_gateway_log(gateway, NEAP_LOG_ERROR, "server reload_problem %.*s", size, line);
    line += size + (line[size] == '\n');
  }
}

/* A rollback to what is not kept is a slip of the keyboard: it must neither look like a reload that was
 * refused nor hide one. */
static void remember(neap_reload *reload, const char *error) {
  if (reload->candidate || reload->astray) return;
  neap_reload_result *last = &reload->gateway->last_reload;
  free(last->report);
  free(last->error);
  *last = (neap_reload_result){.at_ms = neap_clock_wall_ms(),
                               .took_us = (now_ns(reload->gateway) - reload->start_ns) / 1000,
                               .ok = reload->code == 0,
                               .by = reload->by,
                               .report = reload->report,
                               .error = error ? strdup(error) : NULL};
  reload->report = NULL;
  reload->gateway->reloads_taken += reload->code == 0;
  reload->gateway->reloads_refused += reload->code != 0;
}

/* Whoever asks for a rollback while something is under way wants that undone. Was there nothing to undo? */
static void tell_rollbacks(const neap_reload *ended, bool refused) {
  if (ended->candidate && ended->candidate->kind == NEAP_CANDIDATE_SHADOW) return;
  for (neap_reload *next = ended->next; next; next = next->next) next->pointless = refused;
}

static void tell_refused(neap_reload *reload) {
  neap_gateway *gateway = reload->gateway;
  tell_rollbacks(reload, true);
  const char *error = reload->err.text[0] ? reload->err.text : neap_strerror(reload->code);
  log_report(gateway, reload->report);
  neap_gateway_log(gateway, NEAP_LOG_ERROR, "server %s_refused generation=%llu by=%s error=\"%s\"",
                   reload->candidate ? "candidate"
                   : reload->astray  ? "rollback"
                                     : "reload",
                   (unsigned long long)gateway->last_generation, reload->by, error);
  if (reload->reply)
    neap_control_fail_with(reload->reply,
                           json_pack("{s:I, s:o}", "generation", (json_int_t)gateway->last_generation,
                                     "problems", neap_control_lines(reload->report)),
                           "refused, generation %llu stays: %s", (unsigned long long)gateway->last_generation,
                           error);
  remember(reload, error);
}

static void tell_done(neap_reload *reload) {
  neap_gateway *gateway = reload->gateway;
  uint64_t took_us = (now_ns(gateway) - reload->start_ns) / 1000;
  unsigned long long number = gateway->last_generation;
  tell_rollbacks(reload, false);
  log_report(gateway, reload->report);
  neap_gateway_log(gateway, NEAP_LOG_INFO, "server reloaded generation=%llu by=%s took_us=%llu", number,
                   reload->by, (unsigned long long)took_us);
  if (reload->reply) {
    char text[64];
    snprintf(text, sizeof text,
             reload->rollback ? "generation %llu serves, made of generation %llu" : "generation %llu serves",
             number, (unsigned long long)gateway->loaded->source);
    neap_control_done(reload->reply, json_pack("{s:I, s:f, s:o, s:s}", "generation", (json_int_t)number,
                                               "took_ms", (double)took_us / 1e3, "warnings",
                                               neap_control_lines(reload->report), "text", text));
  }
  remember(reload, NULL);
}

/* --- one after the other */

static void start_next(neap_gateway *gateway);

static void forget(neap_reload *reload) {
  neap_reload **at = &reload->gateway->reloads;
  while (*at != reload) at = &(*at)->next;
  *at = reload->next;
  free(reload->report);
  free(reload);
}

/* The candidate and its generation are the gateway's from now on. */
static void begin(neap_reload *reload) {
  log_report(reload->gateway, reload->report);
  neap_candidate_begin(reload->candidate, &reload->plan, reload->reply);
  neap_plan_undo(&reload->plan);
}

static bool is_tried(const neap_gateway *gateway, uint64_t number) {
  return gateway->candidate && gateway->candidate->number == number;
}

/* Prepared, or not. The service manager hears of it as of a reload of its own. */
static void finish(neap_reload *reload) {
  neap_gateway *gateway = reload->gateway;
  if (reload->code == 0 && gateway->stopping)
    reload->code = neap_fail(&reload->err, NEAP_ECANCELED, "the gateway is stopping");
  if (reload->code == 0 && reload->promotion && !is_tried(gateway, reload->tried))
    reload->code = neap_fail(&reload->err, NEAP_ECANCELED, "the candidate was ended meanwhile");
  if (reload->code == 0 && reload->candidate) {
    begin(reload);
  } else if (reload->code) {
    tell_refused(reload);
    neap_candidate_drop(&reload->candidate);
    neap_plan_undo(&reload->plan);
  } else {
    neap_plan_commit(&reload->plan);
    tell_step(reload->reply, "commit", (now_ns(gateway) - reload->step_ns) / 1000);
    tell_done(reload);
  }
  neap_notify_state(gateway, "READY=1\n");
  neap_gateway_make_spares(gateway);
}

static void join(neap_reload *reload) {
  if (!reload->joined) pthread_join(reload->thread, NULL);
  reload->joined = true;
}

static void on_prepared(neap_task *task) {
  neap_reload *reload = NEAP_CONTAINER_OF(task, neap_reload, done);
  neap_gateway *gateway = reload->gateway;
  join(reload);
  finish(reload);
  forget(reload);
  start_next(gateway);
}

static void *prepare(void *user) {
  neap_reload *reload = user;
  reload->code = reload->candidate
                     ? neap_candidate_prepare(reload->candidate, &reload->plan, &reload->report, &reload->err)
                     : neap_plan_prepare(&reload->plan, &reload->report, &reload->err);
  neap_loop_post(reload->gateway->loop, &reload->done);
  return NULL;
}

static int start_thread(neap_reload *reload) {
  sigset_t all, before; /* signals are for the control thread */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&reload->thread, NULL, prepare, reload);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failed;
}

/* What was tried, not what its files say by now. */
static int plan_promotion(neap_reload *reload) {
  const neap_candidate *candidate = reload->gateway->candidate;
  if (candidate == NULL) return neap_fail(&reload->err, NEAP_ESTATE, "the candidate is gone");
  reload->tried = candidate->number;
  reload->plan.record = neap_config_record_of(candidate->loaded->config);
  reload->plan.source = reload->plan.generation;
  reload->plan.promotion = true;
  return 0;
}

/* A rollback without a number undoes the newest change. Where that came to nothing, it has to say what else
 * it means, lest it take out the generation that is good. */
static int check_rollback(neap_reload *reload) {
  const neap_gateway *gateway = reload->gateway;
  neap_err none;
  if (reload->to || !(reload->pointless || gateway->canary_undone)) return 0;
  const neap_past *past = neap_history_find(&gateway->history, 0, gateway->loaded, &none);
  const char *what =
      reload->pointless ? "what it waited for was refused" : "the canary is rolled back already";
  if (past == NULL) return neap_fail(&reload->err, NEAP_ESTATE, "%s, and nothing earlier is kept", what);
  return neap_fail(&reload->err, NEAP_ESTATE, "%s; to go back further, say neap rollback %llu", what,
                   (unsigned long long)past->source);
}

static int plan_rollback(neap_reload *reload) {
  const neap_gateway *gateway = reload->gateway;
  const neap_past *past = check_rollback(reload) ? NULL
                                                 : neap_history_find(&gateway->history, reload->to,
                                                                     gateway->loaded, &reload->err);
  reload->astray = past == NULL;
  if (past == NULL) return reload->err.code;
  reload->plan.record = neap_config_record_ref(past->record);
  reload->plan.source = past->source;
  reload->plan.before = past->before;
  reload->plan.back = true;
  return 0;
}

/* What a canary lets happen beside it. */
static bool decides_on_canary(const neap_reload *reload) {
  return reload->promotion || (reload->rollback && reload->to);
}

static int start(neap_reload *reload) {
  neap_gateway *gateway = reload->gateway;
  uint64_t last = NEAP_MAX(gateway->last_generation, gateway->last_candidate);
  neap_plan_init(&reload->plan, gateway, last + 1);
  reload->plan.step = end_step;
  reload->start_ns = reload->step_ns = now_ns(gateway);
  if (gateway->stopping) return neap_fail(&reload->err, NEAP_ECANCELED, "the gateway is stopping");
  if (neap_candidate_canary(gateway) && !decides_on_canary(reload))
    return neap_fail(&reload->err, NEAP_EBUSY,
                     "a canary is under way: neap promote or neap rollback decides on it first");
  int code = reload->candidate   ? neap_candidate_plan(reload->candidate, &reload->plan, &reload->err)
             : reload->promotion ? plan_promotion(reload)
             : reload->rollback  ? plan_rollback(reload)
                                 : 0;
  if (code) return code;
  neap_notify(gateway, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(reload->start_ns / 1000));
  reload->running = start_thread(reload) == 0;
  return reload->running ? 0 : neap_fail(&reload->err, NEAP_EIO, "cannot start a thread");
}

static void end_canary(neap_gateway *gateway, neap_control_reply *reply) {
  neap_candidate_end(gateway, "rolled back", "neap rollback");
  if (reply) neap_control_done(reply, json_deep_copy(gateway->candidate_found));
}

static void start_next(neap_gateway *gateway) {
  for (neap_reload *reload; (reload = gateway->reloads) != NULL && !reload->running; forget(reload)) {
    if (reload->rollback && reload->to == 0 && neap_candidate_canary(gateway)) {
      end_canary(gateway, reload->reply);
      continue;
    }
    int code = start(reload); /* where it is 0, the rest is its thread's */
    if (code == 0) return;
    reload->code = code;
    tell_refused(reload);
    neap_candidate_drop(&reload->candidate);
    neap_plan_undo(&reload->plan);
  }
}

/* A reload for which nobody waits. */
static bool is_plain(const neap_reload *reload) {
  return reload->reply == NULL && !reload->rollback && !reload->promotion;
}

static void ask(neap_gateway *gateway, const neap_reload *wish) {
  neap_control_reply *reply = wish->reply;
  neap_reload **end = &gateway->reloads;
  for (; *end; end = &(*end)->next)
    if (is_plain(wish) && is_plain(*end) && !(*end)->running) return; /* one that has not begun will do */
  neap_reload *made = calloc(1, sizeof *made);
  if (made == NULL) {
    neap_candidate *candidate = wish->candidate;
    neap_candidate_drop(&candidate);
    if (reply) neap_control_fail(reply, "out of memory");
    return;
  }
  *made = *wish;
  made->gateway = gateway;
  made->done.run = on_prepared;
  *end = made;
  if (made != gateway->reloads && reply)
    neap_control_tell(
        reply, json_pack("{s:s, s:s}", "step", "wait", "text", "another reload is under way: waiting"));
  start_next(gateway);
}

void neap_gateway_reload(neap_gateway *gateway, const char *by, neap_control_reply *reply) {
  ask(gateway, &(neap_reload){.by = by, .reply = reply});
}

void neap_gateway_rollback(neap_gateway *gateway, uint64_t to, neap_control_reply *reply) {
  ask(gateway, &(neap_reload){.by = "rollback", .reply = reply, .rollback = true, .to = to});
}

void neap_gateway_try(neap_gateway *gateway, neap_candidate *candidate, neap_control_reply *reply) {
  ask(gateway, &(neap_reload){.by = "control", .reply = reply, .candidate = candidate});
}

void neap_gateway_promote(neap_gateway *gateway, neap_control_reply *reply) {
  ask(gateway, &(neap_reload){.by = "promote", .reply = reply, .promotion = true});
}

void neap_gateway_cancel_reloads(neap_gateway *gateway) {
  while (gateway->reloads) {
    neap_reload *reload = gateway->reloads;
    if (reload->running) {
      join(reload);
      neap_candidate_drop(&reload->candidate);
      neap_plan_undo(&reload->plan);
    }
    neap_candidate_drop(&reload->candidate);
    if (reload->reply) neap_control_fail(reload->reply, "the gateway is stopping");
    forget(reload);
  }
  free(gateway->last_reload.report);
  free(gateway->last_reload.error);
}

void neap_gateway_await_reload(neap_gateway *gateway) {
  if (gateway->reloads) join(gateway->reloads);
}

void neap_control_reload(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  if (!neap_control_args_end(args)) return;
  neap_gateway_reload(gateway, "control", reply);
}

void neap_control_rollback(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  int64_t to = neap_control_count_or(args, "generation", 1, (int64_t)1 << 53, 0);
  if (!neap_control_args_end(args)) return;
  if (to == 0 && neap_candidate_canary(gateway)) /* at once, whatever is under way */
    end_canary(gateway, reply);
  else
    neap_gateway_rollback(gateway, (uint64_t)to, reply);
}
