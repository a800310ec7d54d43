/* Pools: members, their rows on the board, and the policy that picks.
 *
 * Rows are this worker's copy of what is known of the backends. They are read again when the clock has moved
 * on; within a millisecond only what this worker itself does is written through, so that a pick in a pool of
 * a thousand does not read a thousand cache lines of others.
 */
#include "upstream/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"

static const neap_care no_care;

/* --- rows */

static void read_row(neap_pool *pool, int32_t member, uint64_t now_ms) {
  neap_backend *backend = pool->members[member].backend;
  neap_backend_row *row = &pool->rows[member];
  uint64_t down_until_ms = atomic_load_explicit(&backend->down_until_ms, memory_order_relaxed);
  double told_ms = row->load_ms;
  row->state = neap_backend_state(backend, pool->options.care->health.key, now_ms);
  neap_vitals_row(&backend->vitals, pool->options.care, down_until_ms, now_ms, row);
  if (pool->places[member].leaving) row->barred |= NEAP_BAR_GONE;
  if (pool->members[member].draining) row->barred |= NEAP_BAR_DRAINING;
  if (row->load_ms != told_ms) neap_pool_tell(pool, NEAP_EVENT_REPORT, member, 0, 0, 0);
  row->in_flight = atomic_load_explicit(&backend->in_flight, memory_order_relaxed);
  row->ewma_us = atomic_load_explicit(&backend->ewma_us, memory_order_relaxed);
  row->error_rate = atomic_load_explicit(&backend->error_rate, memory_order_relaxed);
}

/* Who is full is well: it is marked when panic and priorities have been decided. */
static void read_rows(neap_pool *pool, uint64_t now_ms) {
  pool->now_ms = now_ms;
  if (pool->rows_ms == now_ms) return;
  pool->rows_ms = now_ms;
  double top = 0;
  for (int32_t i = 0; i < pool->board.count; i++) {
    if (pool->members[i].backend == NULL) continue;
    read_row(pool, i, now_ms);
    top = NEAP_MAX(top, pool->rows[i].share);
  }
  pool->top_share = top;
  neap_vitals_pool(pool->options.care, pool->rows, pool->board.count, &pool->overflow);
  for (int32_t i = 0; i < pool->board.count; i++)
    if (neap_pool_is_full(&pool->rows[i])) pool->rows[i].barred |= NEAP_BAR_FULL;
}

/* --- members */

/* Every member's hash is in the row of its place, so that few texts are compared. */
static int32_t find(const neap_pool *pool, const char *address) {
  double id = neap_backend_id(address);
  for (int32_t i = 0; i < pool->board.count; i++)
    if (pool->rows[i].id == id && pool->members[i].backend &&
        strcmp(pool->members[i].backend->text, address) == 0)
      return i;
  return -1;
}

static bool make_room(neap_pool *pool, int32_t capacity) {
  neap_pool_member *members = realloc(pool->members, (size_t)capacity * sizeof *members);
  if (members == NULL) return false;
  pool->members = members;
  pool_place *places = realloc(pool->places, (size_t)capacity * sizeof *places);
  if (places == NULL) return false;
  pool->places = places;
  neap_backend_row *rows = realloc(pool->rows, (size_t)capacity * sizeof *rows);
  if (rows == NULL) return false;
  pool->board.rows = pool->rows = rows;
  pool->capacity = capacity;
  return true;
}

/* An empty place, the first or a new one; -1: out of memory. */
static int32_t empty_place(neap_pool *pool) {
  for (int32_t i = 0; i < pool->board.count && pool->empties > 0; i++)
    if (pool->members[i].backend == NULL) {
      pool->empties--;
      return i;
    }
  if (pool->board.count == pool->capacity && !make_room(pool, pool->capacity ? pool->capacity * 2 : 4))
    return -1;
  return pool->board.count++;
}

static void take_place(neap_pool *pool, int32_t place, const neap_pool_member *member) {
  const char *address = neap_backend_address(member->backend);
  pool->members[place] = *member;
  neap_backend_hold(member->backend);
  pool->places[place] = (pool_place){.holds = 0};
  pool->rows[place] = (neap_backend_row){.barred = member->draining ? NEAP_BAR_DRAINING : 0,
                                         .weight = member->weight,
                                         .share = member->weight,
                                         .limit = member->limit,
                                         .priority = member->priority,
                                         .load = -1,
                                         .id = neap_backend_id(address)};
  pool->top_share = NEAP_MAX(pool->top_share, pool->rows[place].share);
}

/* Nobody holds it and its backend has left. */
static void empty(neap_pool *pool, int32_t place) {
  neap_backend *backend = pool->members[place].backend;
  neap_backend_give(backend->home, backend);
  pool->members[place] = (neap_pool_member){.backend = NULL};
  pool->empties++;
  pool->places[place] = (pool_place){.holds = 0};
  pool->rows[place] = (neap_backend_row){.barred = NEAP_BAR_GONE, .weight = 1, .share = 1, .load = -1};
}

/* One that has left, and that exchanges still hold, is back. */
static void take_back(neap_pool *pool, int32_t place, const neap_pool_member *member) {
  pool->members[place] = *member; /* the same backend, held already */
  pool->places[place].leaving = false;
  pool->rows[place].weight = member->weight;
  pool->rows[place].limit = member->limit;
  pool->rows[place].priority = member->priority;
}

int neap_pool_join(neap_pool *pool, const neap_pool_member *member) {
  int32_t place = find(pool, member->backend->text);
  if (place >= 0 && !pool->places[place].leaving) return NEAP_EEXIST;
  if (place >= 0) {
    take_back(pool, place, member);
  } else {
    place = empty_place(pool);
    if (place < 0) return NEAP_ENOMEM;
    take_place(pool, place, member);
  }
  neap_pool_look_again(pool);
  neap_pool_tell(pool, NEAP_EVENT_JOINED, place, 0, 0, 0);
  return 0;
}

/* The place of a member that has not left; -1: there is none. */
static int32_t find_present(const neap_pool *pool, const char *address) {
  int32_t place = find(pool, address);
  return place >= 0 && pool->places[place].leaving ? -1 : place;
}

const neap_pool_member *neap_pool_find(const neap_pool *pool, const char *address) {
  int32_t place = find_present(pool, address);
  return place < 0 ? NULL : &pool->members[place];
}

int neap_pool_leave(neap_pool *pool, const char *address) {
  int32_t place = find_present(pool, address);
  if (place < 0) return NEAP_ENOTFOUND;
  pool->places[place].leaving = true;
  pool->rows[place].barred |= NEAP_BAR_GONE;
  neap_pool_tell(pool, NEAP_EVENT_LEFT, place, 0, 0, 0);
  if (pool->places[place].holds == 0) empty(pool, place);
  return 0;
}

int neap_pool_set_weight(neap_pool *pool, const char *address, int32_t weight) {
  int32_t place = find_present(pool, address);
  if (place < 0) return NEAP_ENOTFOUND;
  pool->members[place].weight = pool->rows[place].weight = weight;
  neap_pool_look_again(pool);
  neap_pool_tell(pool, NEAP_EVENT_WEIGHT, place, 0, 0, 0);
  return 0;
}

int neap_pool_set_draining(neap_pool *pool, const char *address, bool draining) {
  int32_t place = find_present(pool, address);
  if (place < 0) return NEAP_ENOTFOUND;
  pool->members[place].draining = draining;
  neap_pool_look_again(pool);
  return 0;
}

/* --- picking */

/* One that nothing but `excused` bars; NEAP_PICK_NONE. */
static int32_t find_excused(const neap_pool *pool, int32_t excused) {
  for (int32_t i = 0; i < pool->board.count; i++) {
    int32_t member = (pool->board.random1 + i) % pool->board.count;
    if (!(pool->rows[member].barred & ~excused)) return member;
  }
  return NEAP_PICK_NONE;
}

/* Nobody may be picked. What is known of health may be out of date, and an error is all that not trying can
 * give: so those that are spare, then those said to be unwell, then those that could not be reached; but
 * nobody whom a limit or an operator keeps out. Where one is merely busy, waiting is better than the unwell.
 */
static int32_t without_a_pick(const neap_pool *pool) {
  enum { UNWELL = NEAP_BAR_SPARE | NEAP_BAR_SICK | NEAP_BAR_EJECTED };
  int32_t member = find_excused(pool, NEAP_BAR_SPARE);
  if (member == NEAP_PICK_NONE && find_excused(pool, NEAP_BAR_SPARE | NEAP_BAR_FULL) >= 0)
    return NEAP_PICK_WAIT;
  if (member == NEAP_PICK_NONE) member = find_excused(pool, UNWELL);
  if (member == NEAP_PICK_NONE) member = find_excused(pool, UNWELL | NEAP_BAR_DOWN);
  return member;
}

static void mark_tried(neap_pool *pool, const neap_pool_ask *ask, bool tried) {
  for (int i = 0; i < ask->tried_count; i++) {
    neap_backend_row *row = &pool->rows[ask->tried[i]];
    row->barred = tried ? row->barred | NEAP_BAR_TRIED : row->barred & ~NEAP_BAR_TRIED;
  }
}

int32_t neap_pool_pick(neap_pool *pool, const neap_pool_ask *ask) {
  neap_pick_board *board = &pool->board;
  bool waits = ask->waiter && ask->waiter->waiting;
  pool->queues = ask->queues;
  if (ask->waiter && !waits && pool->queue.fresh > 0)
    return NEAP_PICK_WAIT; /* behind those who came before */
  read_rows(pool, ask->now_ms);
  board->key = ask->key;
  board->now_ms = (double)ask->now_ms;
  board->request = ask->request;
  board->waiting = (int32_t)pool->queue.count;
  board->may_wait = pool->queues && ask->waiter && (waits || pool->queue.count < pool->options.max_queue);
  mark_tried(pool, ask, true);
  neap_pick_draw(board, &pool->random, pool->top_share);
  neap_policy_decide(pool->policy, NEAP_ASK_PICK);
  if (NEAP_UNLIKELY(pool->shadow)) neap_pool_shadow_ask(pool);
  int32_t answer = board->answer == NEAP_PICK_NONE ? without_a_pick(pool) : board->answer;
  mark_tried(pool, ask, false);
  board->request = NULL;
  if (answer >= 0) neap_pool_hold(pool, answer);
  return answer;
}

int neap_pool_probes(neap_pool *pool, int32_t *members, uint64_t fresh_ms) {
  neap_pick_board *board = &pool->board;
  int wanted = pool->options.care->load_probes ? NEAP_MIN(board->probe_count, NEAP_PICK_PROBES_MAX) : 0;
  int count = 0;
  board->probe_count = 0;
  for (int i = 0; i < wanted; i++) {
    int32_t member = board->probes[i];
    if (member < 0 || member >= board->count) continue;
    const neap_backend_row *row = &pool->rows[member];
    bool there = !(row->barred & (NEAP_BAR_GONE | NEAP_BAR_DOWN | NEAP_BAR_OPEN));
    if (there && row->load_ms + (double)fresh_ms <= board->now_ms) members[count++] = member;
  }
  return count;
}

void neap_pool_hold(neap_pool *pool, int32_t member) {
  pool->places[member].holds++;
}

void neap_pool_let_go(neap_pool *pool, int32_t member) {
  pool_place *place = &pool->places[member];
  neap_assert(place->holds > 0);
  if (--place->holds == 0 && place->leaving) empty(pool, member);
}

neap_backend *neap_pool_backend(const neap_pool *pool, int32_t member) {
  return pool->members[member].backend;
}

/* --- trying again */

void neap_pool_arrived(neap_pool *pool) {
  neap_retry_arrived(&pool->retry, &pool->options);
}

bool neap_pool_may_retry(neap_pool *pool, uint64_t now_ms) {
  return neap_retry_may(&pool->retry, now_ms);
}

bool neap_pool_may_hedge(neap_pool *pool) {
  return neap_retry_may_hedge(&pool->retry);
}

uint64_t neap_pool_hedge_delay_ms(neap_pool *pool, uint64_t now_ms) {
  return neap_retry_hedge_ms(&pool->retry, &pool->options, now_ms);
}

/* --- sessions */

int32_t neap_pool_session_read(neap_pool *pool, neap_view value, int64_t wall_s, bool *renew) {
  return neap_session_read(pool->session, value, wall_s, pool->members, pool->board.count, renew);
}

ssize_t neap_pool_session_write(neap_pool *pool, int32_t member, int64_t wall_s, char *out, size_t capacity) {
  return neap_session_write(pool->session, pool->members[member].backend, wall_s, out, capacity);
}

static uint64_t client_of(const neap_pool *pool, double key) {
  return neap_hash_mix(pool->hash, (uint64_t)key + 1) | 1;
}

static uint64_t name_of(const neap_pool *pool, int32_t member) {
  return (uint64_t)pool->rows[member].id | 1;
}

int32_t neap_pool_session_find(neap_pool *pool, double key, uint64_t now_ms) {
  uint64_t backend = neap_session_table_find(pool->options.sessions, client_of(pool, key), now_ms,
                                             pool->options.session.timeout_ms);
  for (int32_t i = 0; backend != 0 && i < pool->board.count; i++)
    if (name_of(pool, i) == backend) return i;
  return -1;
}

void neap_pool_session_keep(neap_pool *pool, double key, int32_t member, uint64_t now_ms) {
  neap_session_table_keep(pool->options.sessions, client_of(pool, key), name_of(pool, member), now_ms);
}

const neap_backend_row *neap_pool_rows(const neap_pool *pool, int32_t *count) {
  *count = pool->board.count;
  return pool->rows;
}

int32_t neap_pool_barred(neap_pool *pool, int32_t member, uint64_t now_ms) {
  read_rows(pool, now_ms);
  return pool->rows[member].barred;
}

/* --- life */

static int open_policy(neap_pool *pool, neap_err *err) {
  const neap_pool_options *options = &pool->options;
  neap_policy_env env = {
      .host = options->host, .seed = options->seed, .generation = options->generation, .pick = &pool->board};
  return neap_policy_open(options->registry, NEAP_BALANCE, options->balance, options->source, &env,
                          options->params, options->param_count, &pool->policy, err);
}

int neap_pool_create(const neap_pool_options *options, neap_pool **out, neap_err *err) {
  neap_pool *pool = calloc(1, sizeof *pool);
  if (pool == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  pool->options = *options;
  if (pool->options.care == NULL) pool->options.care = &no_care;
  pool->options.members = NULL;
  pool->options.member_count = 0;
  pool->random.state = options->seed;
  pool->overflow.state = ~options->seed;
  neap_pool_look_again(pool);
  int code =
      make_room(pool, (int32_t)options->member_count + 1) ? 0 : neap_fail(err, NEAP_ENOMEM, "out of memory");
  for (size_t i = 0; i < options->member_count && code == 0; i++)
    take_place(pool, pool->board.count++, &options->members[i]);
  pool->hash = neap_hash_bytes(options->name, strlen(options->name));
  if (code == 0 && neap_retry_init(&pool->retry, options))
    code = neap_fail(err, NEAP_ENOMEM, "out of memory");
  if (code == 0) code = open_policy(pool, err);
  if (code == 0 && options->session.kind != NEAP_SESSION_OFF)
    code = neap_session_create(options->name, &pool->options.session, options->sessions, &pool->session, err);
  if (code)
    neap_pool_destroy(&pool);
  else
    *out = pool;
  return code;
}

void neap_pool_destroy(neap_pool **pool_ptr) {
  neap_pool *pool = *pool_ptr;
  if (pool == NULL) return;
  *pool_ptr = NULL;
  neap_assert(pool->queue.count == 0);
  if (pool->policy) neap_policy_close(&pool->policy);
  neap_session_destroy(&pool->session);
  neap_retry_fini(&pool->retry);
  for (int32_t i = 0; i < pool->board.count; i++)
    if (pool->members[i].backend) neap_backend_give(pool->members[i].backend->home, pool->members[i].backend);
  free(pool->members);
  free(pool->places);
  free(pool->rows);
  free(pool);
}

const neap_pool_options *neap_pool_options_of(const neap_pool *pool) {
  return &pool->options;
}

neap_policy *neap_pool_policy(neap_pool *pool) {
  return pool->policy;
}
