/* The prefetcher before a host of a few arrays and policies in C that do as they are told. */
#include "unit.h"

#include "base/base.h"
#include "policy/policy.h"

enum { KEYS = 4096 };

/* What policies wish for at every WANT, and what they heard. */
typedef struct script {
  int wishes; /* the next so many keys; negative: those before */
  int fault;  /* what decide returns */
  int wish_count_lie;
  int heard[5]; /* by kind */
} script;

typedef struct world {
  neap_host host;
  neap_registry *registry;
  neap_prefetch_host asked;
  neap_prefetcher *prefetcher;
  bool held[KEYS], flying[KEYS];
  int fetched, dropped, faulty_fetches;
} world;

static script scripts[2]; /* of the policies "one" and "two" */

typedef struct instance {
  script *script;
  neap_prefetch_board *board;
} instance;

static void instance_destroy(void *self) {
  free(self);
}

static int instance_observe(void *self, const neap_event *events, int n) {
  (void)self, (void)events, (void)n;
  return 0;
}

static int instance_decide(void *self, neap_ask ask) {
  instance *i = self;
  assert_int_equal(ask, NEAP_ASK_WISHES);
  neap_prefetch_board *board = i->board;
  for (int32_t e = 0; e < board->event_count; e++) {
    const neap_prefetch_event *event = &board->events[e];
    i->script->heard[event->kind]++;
    if (event->kind != NEAP_PREFETCH_WANT) continue;
    int wishes = i->script->wishes;
    for (int w = 1; w <= abs(wishes) && board->wish_count < NEAP_PREFETCH_WISHES_MAX; w++)
      board->wishes[board->wish_count++] = (neap_wish){.hash = event->hash + (wishes > 0 ? w : -w)};
  }
  if (i->script->wish_count_lie) board->wish_count = i->script->wish_count_lie;
  return i->script->fault;
}

static const neap_policy_vt fake_vt = {.name = "fake",
                                       .domain = NEAP_PREFETCH,
                                       .destroy = instance_destroy,
                                       .observe = instance_observe,
                                       .decide = instance_decide};

static int open_fake(void *user, neap_domain domain, const char *spec, const char *source,
                     const neap_policy_env *env, const neap_param *params, size_t param_count,
                     const neap_policy_vt **vt, void **self, char **text, neap_err *err) {
  (void)user, (void)source, (void)params, (void)param_count, (void)err;
  if (domain != NEAP_PREFETCH) return NEAP_ENOTFOUND;
  instance *i = calloc(1, sizeof *i);
  *i = (instance){&scripts[strcmp(spec, "two") == 0], env->prefetch};
  *vt = &fake_vt;
  *self = i;
  *text = NULL;
  return 0;
}

/* Key k has hash (k + 1) << 11, so that its short hash is k + 1. */
static uint64_t hash_of(int key) {
  return (uint64_t)(key + 1) << 11;
}

static bool resolve(void *user, const neap_wish *wish, neap_prefetch_item *out) {
  (void)user;
  if (!(wish->hash >= 1 && wish->hash <= KEYS)) return false;
  int key = (int)wish->hash - 1;
  *out = (neap_prefetch_item){.hash = hash_of(key), .size = 1, .id = (uint64_t)key};
  return true;
}

static bool holds(void *user, const neap_prefetch_item *item) {
  return ((world *)user)->held[item->id];
}

static int fetch(void *user, const neap_prefetch_item *item) {
  world *w = user;
  if (w->faulty_fetches > 0) {
    w->faulty_fetches--;
    return NEAP_EROOM;
  }
  assert_false(w->flying[item->id]);
  w->flying[item->id] = true;
  w->fetched++;
  return 0;
}

static void drop(void *user, const neap_prefetch_item *item) {
  world *w = user;
  w->dropped++;
  w->held[item->id] = false;
}

static uint64_t no_time(void *user) {
  (void)user;
  return 1;
}

static void begin(world *w, const neap_prefetch_options *options) {
  memset(w, 0, sizeof *w);
  memset(scripts, 0, sizeof scripts);
  neap_host_complete(&(neap_host){.now_ms = no_time, .now_ns = no_time, .thread_cpu_ns = no_time, .seed = 1},
                     &w->host);
  assert_int_equal(neap_registry_create(&w->host, &w->registry), 0);
  neap_registry_add(w->registry, &(neap_loader){.name = "fake", .open = open_fake});
  w->asked = (neap_prefetch_host){w, resolve, holds, fetch, drop};
  assert_int_equal(neap_prefetcher_create(options, &w->asked, &w->prefetcher), 0);
}

static void open_policy(world *w, const char *name) {
  neap_err err = {0};
  const neap_policy_env env = {.host = &w->host, .seed = 1};
  if (neap_prefetcher_open(w->prefetcher, w->registry, name, NULL, NULL, 0, &env, &err) < 0)
    fail_msg("%s", err.text);
}

static void end(world *w) {
  neap_prefetcher_destroy(&w->prefetcher);
  assert_null(w->prefetcher);
  neap_registry_destroy(&w->registry);
}

static neap_prefetch_options plain(void) {
  neap_prefetch_options options;
  neap_prefetch_options_init(&options, 1000);
  options.delay = 0;
  options.share = 1;
  return options;
}

/* Whatever flies lands. */
static void land(world *w) {
  for (int key = 0; key < KEYS; key++) {
    if (!w->flying[key]) continue;
    w->flying[key] = false;
    if (neap_prefetcher_landed(w->prefetcher, hash_of(key))) w->held[key] = true;
  }
}

/* A request for a key; `land` before it or not is the caller's. True: it was there. */
static bool request(world *w, int key) {
  const neap_prefetch_event want = {.kind = NEAP_PREFETCH_WANT, .hash = key + 1, .size = 1};
  neap_prefetcher_request(w->prefetcher);
  bool there = w->held[key];
  if (there)
    neap_prefetcher_used(w->prefetcher, hash_of(key), &want);
  else
    neap_prefetcher_miss(w->prefetcher, hash_of(key), &want);
  w->held[key] = false; /* each is asked for once */
  neap_prefetcher_turn(w->prefetcher, 0);
  return there;
}

static neap_prefetch_counters counters(const world *w, int issuer) {
  neap_prefetch_counters out;
  neap_prefetcher_counters_get(w->prefetcher, issuer, &out);
  return out;
}

static void test_a_trial_fetches_nothing_and_opens_for_who_is_right(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  begin(&w, &options);
  open_policy(&w, "one");
  scripts[0].wishes = 1;
  int enough = 13; /* of 32, at 0.4 */
  for (int key = 0; key < enough; key++) assert_false(request(&w, key));
  assert_int_equal(w.fetched, 0);
  assert_int_equal(neap_prefetcher_state(w.prefetcher, 0), NEAP_PREFETCH_TRIAL);
  assert_false(request(&w, enough)); /* the wish that decides comes true */
  assert_int_equal(neap_prefetcher_state(w.prefetcher, 0), NEAP_PREFETCH_OPEN);
  assert_int_equal(counters(&w, 0).tried, enough);
  assert_int_equal(w.fetched, 1);
  land(&w);
  assert_true(request(&w, enough + 1));
  assert_int_equal(counters(&w, 0).used, 1);
  assert_int_equal(scripts[0].heard[NEAP_PREFETCH_USED], enough + 1);
  end(&w);
}

static void test_who_is_wrong_is_paused_for_longer_each_time(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  options.horizon = 10;
  options.pause = 100;
  options.pause_most = 400;
  begin(&w, &options);
  open_policy(&w, "one");
  scripts[0].wishes = 1;
  int lengths[4], pauses = 0, length = 0;
  for (int i = 0; i < 4000 && pauses < 4; i++) {
    request(&w, i * 2 % KEYS); /* never what was wished */
    bool paused = neap_prefetcher_state(w.prefetcher, 0) == NEAP_PREFETCH_PAUSED;
    if (paused) length++;
    if (!paused && length > 0) lengths[pauses++] = length, length = 0;
  }
  assert_int_equal(pauses, 4);
  assert_int_equal(w.fetched, 0);
  assert_in_range(lengths[0], 95, 105);
  assert_in_range(lengths[1], 195, 205);
  assert_in_range(lengths[2], 395, 405);
  assert_in_range(lengths[3], 395, 405);
  assert_true(counters(&w, 0).suppressed > 900);
  end(&w);
}

/* Through its trial: then every key of a run is prefetched. */
static void open_up(world *w, int *key) {
  while (neap_prefetcher_state(w->prefetcher, 0) != NEAP_PREFETCH_OPEN) {
    request(w, *key);
    ++*key;
  }
}

static void test_one_who_begins_to_be_wrong_is_cut_off_and_found_again(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  options.horizon = 10;
  options.pause = 100;
  begin(&w, &options);
  open_policy(&w, "one");
  scripts[0].wishes = 1;
  int key = 0;
  open_up(&w, &key);
  int fetched = w.fetched, i = 0;
  for (; i < 500 && neap_prefetcher_state(w.prefetcher, 0) == NEAP_PREFETCH_OPEN; i++) {
    land(&w);
    request(&w, 100 + 2 * i);
  }
  assert_in_range(i, options.trial, options.window);
  assert_true(w.dropped >= w.fetched - fetched - (int)options.horizon - 2); /* nothing is left lying */
  assert_int_equal(counters(&w, 0).pauses, 1);
  for (i = 0; i < 400 && neap_prefetcher_state(w.prefetcher, 0) != NEAP_PREFETCH_OPEN; i++)
    request(&w, 2000 + i);
  assert_in_range(i, 100, 200); /* the pause and one trial */
  end(&w);
}

/* Used wishes are known at once, wasted ones after the horizon: that must not speak for who wishes for all.
 */
static void test_a_trial_waits_for_what_is_wasted(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  options.horizon = 20;
  begin(&w, &options);
  open_policy(&w, "one");
  scripts[0].wishes = 7; /* of which one is right */
  for (int key = 0; key < 500; key++) request(&w, key * 7);
  assert_int_equal(w.fetched, 0);
  end(&w);
}

static void test_only_the_wrong_one_of_two_is_paused(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  options.horizon = 20;
  begin(&w, &options);
  open_policy(&w, "one");
  open_policy(&w, "two");
  scripts[0].wishes = 1;
  scripts[1].wishes = -5; /* what was asked for before, and will not be again */
  for (int key = 10; key < 400; key++) {
    land(&w);
    request(&w, key);
  }
  assert_int_equal(neap_prefetcher_state(w.prefetcher, 0), NEAP_PREFETCH_OPEN);
  assert_int_not_equal(neap_prefetcher_state(w.prefetcher, 1), NEAP_PREFETCH_OPEN);
  assert_true(counters(&w, 0).used > 300);
  assert_int_equal(counters(&w, 1).issued, 0);
  assert_true(counters(&w, 1).pauses > 0);
  assert_int_equal(counters(&w, -1).issued, counters(&w, 0).issued);
  assert_int_equal(neap_prefetcher_count(w.prefetcher), 2);
  assert_string_equal(neap_prefetcher_name(w.prefetcher, 1), "fake");
  end(&w);
}

static void test_the_budget_is_a_share_of_the_requests(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  options.share = 0.25;
  options.burst = 4;
  begin(&w, &options);
  open_policy(&w, "one");
  scripts[0].wishes = 2;
  int key = 0;
  open_up(&w, &key);
  int before = w.fetched;
  for (int i = 0; i < 400; i++) {
    land(&w);
    request(&w, key++);
  }
  assert_in_range(w.fetched - before, 90, 105);
  assert_true(counters(&w, 0).suppressed > 200);
  end(&w);
}

static void test_in_flight_and_shelf_are_bounded(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  options.in_flight = 5;
  options.shelf = 16;
  options.horizon = 40;
  options.share = 100;
  options.burst = 1000;
  options.precision = 0;
  begin(&w, &options);
  open_policy(&w, "one");
  scripts[0].wishes = 1;
  int key = 0;
  open_up(&w, &key);
  scripts[0].wishes = 40;
  request(&w, key);
  int flying = 0, held = 0;
  for (int i = key + 1; i < KEYS; i++) flying += w.flying[i];
  assert_int_equal(flying, 5);
  for (int i = 0; i < 60; i++) {
    land(&w);
    request(&w, key); /* the same again: nothing is used, more is wished */
    held = 0;
    for (int k = 0; k < KEYS; k++) held += w.held[k];
    assert_true(held <= 16);
  }
  assert_true(held >= 10);
  assert_true(w.dropped > 0); /* what is stale makes room */
  end(&w);
}

static void test_an_item_too_large_for_the_shelf_is_never_fetched(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  options.shelf = 7.9; /* an item of 1 is more than an eighth */
  begin(&w, &options);
  open_policy(&w, "one");
  scripts[0].wishes = 3;
  for (int key = 0; key < 500; key++) request(&w, key);
  assert_int_equal(w.fetched, 0);
  assert_int_equal(counters(&w, 0).tried, 0);
  end(&w);
}

static void test_what_is_asked_for_in_flight_is_late_and_not_kept(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  begin(&w, &options);
  open_policy(&w, "one");
  scripts[0].wishes = 1;
  int key = 0;
  open_up(&w, &key);
  assert_true(w.flying[key]);
  const neap_prefetch_event want = {.kind = NEAP_PREFETCH_WANT, .hash = key + 1};
  neap_prefetcher_request(w.prefetcher);
  assert_true(neap_prefetcher_miss(w.prefetcher, hash_of(key), &want));
  assert_false(neap_prefetcher_landed(w.prefetcher, hash_of(key)));
  assert_int_equal(counters(&w, 0).late, 1);
  end(&w);
}

static void test_a_fetch_that_fails_or_cannot_begin_is_wasted(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  begin(&w, &options);
  open_policy(&w, "one");
  scripts[0].wishes = 1;
  int key = 0;
  open_up(&w, &key);
  neap_prefetcher_failed(w.prefetcher, hash_of(key));
  assert_int_equal(counters(&w, 0).wasted, 1);
  w.flying[key] = false;
  w.faulty_fetches = 1;
  request(&w, key);
  assert_int_equal(counters(&w, 0).wasted, 2);
  neap_prefetcher_failed(w.prefetcher, 12345); /* never heard of */
  assert_false(neap_prefetcher_landed(w.prefetcher, 12345));
  end(&w);
}

static void test_a_faulty_policy_wishes_for_nothing_and_is_out_after_three(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  begin(&w, &options);
  open_policy(&w, "one");
  scripts[0].wishes = 1;
  int key = 0;
  open_up(&w, &key);
  int before = w.fetched;
  scripts[0].fault = NEAP_EFAULT;
  for (int i = 0; i < 10; i++) request(&w, key++);
  assert_int_equal(w.fetched, before);
  neap_policy_counters policy;
  neap_prefetcher_policy_counters(w.prefetcher, &policy);
  assert_int_equal(policy.faults_error, 3);
  assert_int_equal(policy.trips, 1);
  end(&w);
}

static void test_a_lie_about_the_number_of_wishes_is_a_fault(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  begin(&w, &options);
  open_policy(&w, "one");
  scripts[0].wish_count_lie = 1 << 20;
  request(&w, 1);
  neap_policy_counters policy;
  neap_prefetcher_policy_counters(w.prefetcher, &policy);
  assert_int_equal(policy.faults_answer, 1);
  end(&w);
}

static void test_code_of_the_engine_shares_the_budget(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = plain();
  options.in_flight = 2;
  begin(&w, &options);
  int refresh = neap_prefetcher_add(w.prefetcher, "refresh");
  assert_int_equal(refresh, 0);
  assert_false(neap_prefetcher_allow(w.prefetcher, refresh, 1)); /* no request yet, no budget */
  for (int i = 0; i < 10; i++) neap_prefetcher_request(w.prefetcher);
  assert_true(neap_prefetcher_allow(w.prefetcher, refresh, 1));
  assert_true(neap_prefetcher_allow(w.prefetcher, refresh, 1));
  assert_false(neap_prefetcher_allow(w.prefetcher, refresh, 1));
  neap_prefetcher_settle(w.prefetcher, refresh, 1, NEAP_PREFETCH_USED);
  assert_true(neap_prefetcher_allow(w.prefetcher, refresh, 1));
  neap_prefetch_counters c = counters(&w, refresh);
  assert_int_equal(c.issued, 3);
  assert_int_equal(c.used, 1);
  assert_int_equal(c.suppressed, 2);
  for (int i = 1; i < NEAP_ISSUERS_MAX; i++) assert_int_equal(neap_prefetcher_add(w.prefetcher, "more"), i);
  assert_int_equal(neap_prefetcher_add(w.prefetcher, "one too many"), NEAP_EROOM);
  end(&w);
}

static void test_wrong_options_are_refused(void **state) {
  (void)state;
  neap_prefetcher *p = NULL;
  const neap_prefetch_host host = {0};
  for (int i = 0; i < 5; i++) {
    neap_prefetch_options options = plain();
    if (i == 0) options.share = -1;
    if (i == 1) options.precision = 1.5;
    if (i == 2) options.trial = 0;
    if (i == 3) options.window = 1;
    if (i == 4) options.shelf = -1;
    assert_int_equal(neap_prefetcher_create(&options, &host, &p), NEAP_EINVAL);
    assert_null(p);
  }
}

/* --- issuers without a policy, and changes while it runs */

static neap_prefetch_item item_of(int key) {
  return (neap_prefetch_item){.hash = hash_of(key), .size = 1, .id = (uint64_t)key};
}

static int wish(world *w, int issuer, int key) {
  const neap_prefetch_item item = item_of(key);
  return neap_prefetcher_wish(w->prefetcher, issuer, &item);
}

static neap_prefetch_options live_options(void) {
  neap_prefetch_options options;
  neap_prefetch_options_init(&options, 1000);
  options.saved = options.burst;
  return options;
}

static void test_an_issuer_of_the_engine_is_open_and_paused_by_its_precision(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = live_options();
  options.share = 1;
  options.horizon = 10;
  begin(&w, &options);
  int links = neap_prefetcher_add(w.prefetcher, "links"), code = 0, key = 0;
  assert_int_equal(neap_prefetcher_state(w.prefetcher, links), NEAP_PREFETCH_OPEN);
  assert_int_equal(wish(&w, links, 0), 0);
  assert_int_equal(wish(&w, links, 0), NEAP_EEXIST); /* it is under way */
  for (key = 1; key < 1000 && code != NEAP_EREFUSED; key++) {
    code = wish(&w, links, key);
    land(&w);
    request(&w, 3000);
  }
  assert_int_equal(code, NEAP_EREFUSED);
  assert_int_equal(neap_prefetcher_state(w.prefetcher, links), NEAP_PREFETCH_PAUSED);
  neap_prefetch_counters c = counters(&w, links);
  assert_int_equal(c.used, 0);
  assert_true(c.wasted >= options.trial && c.wasted <= options.trial + 2); /* some were under way */
  assert_true(c.suppressed >= 1);
  assert_int_equal(c.refused, 0); /* it was not the budget */
  for (uint64_t i = 0; i < options.pause; i++) neap_prefetcher_request(w.prefetcher);
  assert_int_equal(wish(&w, links, key), 0); /* noted: it is on trial */
  assert_int_equal(neap_prefetcher_state(w.prefetcher, links), NEAP_PREFETCH_TRIAL);
  end(&w);
}

static void test_a_trusted_issuer_is_not_paused_and_stays_within_the_budget(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = live_options();
  options.saved = 0;
  options.share = 0;
  options.horizon = 10;
  options.in_flight = 3;
  begin(&w, &options);
  int asked = neap_prefetcher_add(w.prefetcher, "asked");
  assert_int_equal(wish(&w, asked, 500), NEAP_EBUSY);
  neap_prefetcher_trust(w.prefetcher, asked);
  for (int key = 0; key < 3; key++) assert_int_equal(wish(&w, asked, key), 0);
  assert_int_equal(wish(&w, asked, 3), NEAP_EBUSY);
  assert_int_equal(counters(&w, asked).refused, 2);
  for (int key = 4; key < 200; key++) {
    land(&w);
    request(&w, 3000);
    assert_int_equal(wish(&w, asked, key), 0);
  }
  assert_int_equal(neap_prefetcher_state(w.prefetcher, asked), NEAP_PREFETCH_OPEN);
  end(&w);
}

static void test_so_many_fetches_a_second_and_no_more(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = live_options();
  options.rate = 5;
  begin(&w, &options);
  int links = neap_prefetcher_add(w.prefetcher, "links"), key = 0;
  for (uint64_t second = 1; second <= 4; second++) {
    neap_prefetcher_turn(w.prefetcher, (double)(second * 1000));
    for (int i = 0; i < 5; i++) assert_int_equal(wish(&w, links, key++), 0);
    assert_int_equal(wish(&w, links, key), NEAP_EBUSY);
    neap_prefetcher_turn(w.prefetcher, (double)(second * 1000 + 100)); /* half a fetch */
    assert_int_equal(wish(&w, links, key), NEAP_EBUSY);
    neap_prefetcher_turn(w.prefetcher, 0); /* a clock that goes back gives nothing */
    assert_int_equal(wish(&w, links, key), NEAP_EBUSY);
    neap_prefetcher_turn(w.prefetcher, (double)(second * 1000));
  }
  assert_int_equal(counters(&w, links).issued, 20);
  end(&w);
}

static int busy_fetch(void *user, const neap_prefetch_item *item) {
  (void)user, (void)item;
  return NEAP_EBUSY;
}

static void test_a_host_with_too_much_under_way_refuses(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = live_options();
  begin(&w, &options);
  neap_prefetcher_destroy(&w.prefetcher);
  w.asked.fetch = busy_fetch;
  assert_int_equal(neap_prefetcher_create(&options, &w.asked, &w.prefetcher), 0);
  int links = neap_prefetcher_add(w.prefetcher, "links");
  for (int key = 0; key < 50; key++) assert_int_equal(wish(&w, links, key), NEAP_EBUSY);
  neap_prefetch_counters c = counters(&w, links);
  assert_int_equal(c.issued + c.wasted + c.held, 0);
  assert_int_equal(c.refused, 50);
  assert_int_equal(neap_prefetcher_in_flight(w.prefetcher), 0);
  assert_int_equal(neap_prefetcher_state(w.prefetcher, links), NEAP_PREFETCH_OPEN);
  end(&w);
}

static void test_what_was_there_already_is_nobodys_fault(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = live_options();
  begin(&w, &options);
  int links = neap_prefetcher_add(w.prefetcher, "links");
  for (int key = 0; key < 60; key++) {
    assert_int_equal(wish(&w, links, key), 0);
    neap_prefetcher_held(w.prefetcher, hash_of(key));
    neap_prefetcher_held(w.prefetcher, hash_of(key));
  }
  neap_prefetch_counters c = counters(&w, links);
  assert_int_equal(c.issued, 60);
  assert_int_equal(c.held, 60);
  assert_int_equal(c.wasted, 0);
  assert_int_equal(neap_prefetcher_in_flight(w.prefetcher), 0);
  assert_true(neap_prefetcher_waiting(w.prefetcher) == 0);
  assert_int_equal(neap_prefetcher_state(w.prefetcher, links), NEAP_PREFETCH_OPEN);
  end(&w);
}

static void test_what_lands_weighs_what_it_is(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = live_options(); /* a shelf of 50 */
  begin(&w, &options);
  int links = neap_prefetcher_add(w.prefetcher, "links");
  assert_int_equal(wish(&w, links, 0), 0);
  neap_prefetcher_weigh(w.prefetcher, hash_of(0), 50);
  assert_true(neap_prefetcher_landed(w.prefetcher, hash_of(0)));
  assert_int_equal(wish(&w, links, 1), NEAP_EBUSY);
  neap_prefetcher_drop_all(w.prefetcher);
  assert_int_equal(w.dropped, 1);
  assert_int_equal(wish(&w, links, 1), 0);
  end(&w);
}

static void test_a_successor_knows_what_is_under_way(void **state) {
  (void)state;
  world w;
  neap_prefetch_options options = live_options();
  begin(&w, &options);
  int links = neap_prefetcher_add(w.prefetcher, "links"), gone = neap_prefetcher_add(w.prefetcher, "gone");
  for (int key = 0; key < 4; key++) assert_int_equal(wish(&w, key < 3 ? links : gone, key), 0);
  neap_prefetcher_landed(w.prefetcher, hash_of(0));
  neap_prefetcher_landed(w.prefetcher, hash_of(3));
  assert_true(neap_prefetcher_allow(w.prefetcher, links, 2)); /* under way, and known by its number alone */
  neap_prefetcher *old = w.prefetcher;
  assert_int_equal(neap_prefetcher_create(&options, &w.asked, &w.prefetcher), 0);
  neap_prefetcher_add(w.prefetcher, "first");
  links = neap_prefetcher_add(w.prefetcher, "links");
  neap_prefetcher_adopt(w.prefetcher, &old);
  assert_null(old);
  assert_int_equal(w.dropped, 1); /* what was of the one that is gone */
  assert_int_equal(neap_prefetcher_in_flight(w.prefetcher), 3);
  assert_true(neap_prefetcher_waiting(w.prefetcher) == 5);
  neap_prefetcher_settle(w.prefetcher, links, 2, NEAP_PREFETCH_LATE);
  assert_int_equal(neap_prefetcher_in_flight(w.prefetcher), 2);
  assert_true(neap_prefetcher_waiting(w.prefetcher) == 3);
  assert_int_equal(wish(&w, links, 1), NEAP_EEXIST);
  assert_true(neap_prefetcher_landed(w.prefetcher, hash_of(1)));
  const neap_prefetch_event want = {.kind = NEAP_PREFETCH_WANT, .hash = 1};
  neap_prefetcher_used(w.prefetcher, hash_of(0), &want);
  assert_true(neap_prefetcher_miss(w.prefetcher, hash_of(2), &want)); /* late */
  neap_prefetch_counters c = counters(&w, links);
  assert_int_equal(c.issued, 4);
  assert_int_equal(c.used, 1);
  assert_int_equal(c.late, 2);
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_trial_fetches_nothing_and_opens_for_who_is_right),
      cmocka_unit_test(test_who_is_wrong_is_paused_for_longer_each_time),
      cmocka_unit_test(test_one_who_begins_to_be_wrong_is_cut_off_and_found_again),
      cmocka_unit_test(test_a_trial_waits_for_what_is_wasted),
      cmocka_unit_test(test_only_the_wrong_one_of_two_is_paused),
      cmocka_unit_test(test_the_budget_is_a_share_of_the_requests),
      cmocka_unit_test(test_in_flight_and_shelf_are_bounded),
      cmocka_unit_test(test_an_item_too_large_for_the_shelf_is_never_fetched),
      cmocka_unit_test(test_what_is_asked_for_in_flight_is_late_and_not_kept),
      cmocka_unit_test(test_a_fetch_that_fails_or_cannot_begin_is_wasted),
      cmocka_unit_test(test_a_faulty_policy_wishes_for_nothing_and_is_out_after_three),
      cmocka_unit_test(test_a_lie_about_the_number_of_wishes_is_a_fault),
      cmocka_unit_test(test_code_of_the_engine_shares_the_budget),
      cmocka_unit_test(test_wrong_options_are_refused),
      cmocka_unit_test(test_an_issuer_of_the_engine_is_open_and_paused_by_its_precision),
      cmocka_unit_test(test_a_trusted_issuer_is_not_paused_and_stays_within_the_budget),
      cmocka_unit_test(test_so_many_fetches_a_second_and_no_more),
      cmocka_unit_test(test_a_host_with_too_much_under_way_refuses),
      cmocka_unit_test(test_what_was_there_already_is_nobodys_fault),
      cmocka_unit_test(test_what_lands_weighs_what_it_is),
      cmocka_unit_test(test_a_successor_knows_what_is_under_way),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
