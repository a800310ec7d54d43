/* Consistent hashing with bounded load: requests of one key go to one backend, unless that has more than its
 * part of the work; when a backend goes, only its own keys move.
 *
 *   up to 64 places   rendezvous: the backend with the largest -share / ln(u), u made of key and backend
 *                     (Thaler and Ravishankar, 1998; Schindelhauer and Schomaker, 2005). No state
 *   above             Maglev: a table of 65537 places, filled in turn by each backend's own order, as often
 * as its weight says (Eisenbud et al., NSDI 2016). Filled when the pool's members or their weights change, 1
 * to 3 ms, and never because one is down: a few keys more than needed move then
 * (docs/decisions/0040-consistent-hash.md)
 *
 * Which one is chosen when the policy is made, by the size of the pool then, and not changed by who joins:
 * that would move every key.
 *
 * The bound: a backend takes a request only while it has less than `bound` times its part of all requests in
 * flight, this one included (Mirrokni, Thorup and Zadimoghaddam, 2018). A key whose backend has more goes on
 * through the others in an order of its own, not to a neighbour for all: so no wave runs round a ring.
 *
 * Parameters: bound (1.25; 0: none). Cost: one look and one logarithm per backend, up to 64 of them; above, a
 * load from the table, and once a millisecond a look at each for the bound. */
#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "policy/native_balance.h"

enum {
  HASH_MAGIC = 0x4e636873, /* "Nchs" */
  RENDEZVOUS_MOST = 64,
  TABLE_SIZE = 65537, /* a prime */
  WALK_MOST = 32      /* looks at the table before everybody is looked at */
};

typedef struct consistent_hash {
  uint32_t magic;
  bool by_client; /* whatever the pool balances by */
  double bound;   /* 0: none */
  neap_pick_board *board;
  int32_t *table; /* of places; NULL: rendezvous */
  bool stale;     /* the members are not those of the table */
  /* Of those that may be picked, for the bound. */
  double totals_ms, share, in_flight;
} consistent_hash;

/* --- life */

static int create(const char *name, bool by_client, const neap_policy_env *env, const neap_param *params,
                  size_t param_count, void **out, neap_err *err) {
  double bound = 1.25;
  const neap_native_param known[] = {{"bound", 0, 1000, &bound}, {.name = NULL}};
  int code = neap_native_params(name, known, params, param_count, err);
  if (code) return code;
  if (bound > 0 && bound < 1)
    return neap_fail(err, NEAP_EINVAL, "native:%s: 'bound' must be at least 1, or 0 for none", name);
  consistent_hash *hash = calloc(1, sizeof *hash);
  if (hash == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  *hash = (consistent_hash){.magic = HASH_MAGIC,
                            .by_client = by_client,
                            .bound = bound,
                            .board = env->pick,
                            .stale = true,
                            .totals_ms = -1};
  if (env->pick->count > RENDEZVOUS_MOST) {
    hash->table = malloc(TABLE_SIZE * sizeof *hash->table);
    if (hash->table == NULL) {
      free(hash);
      return neap_fail(err, NEAP_ENOMEM, "out of memory");
    }
  }
  *out = hash;
  return 0;
}

static int create_consistent(const neap_policy_env *env, const neap_param *params, size_t param_count,
                             void **out, neap_err *err) {
  return create("consistent_hash", false, env, params, param_count, out, err);
}

static int create_by_client(const neap_policy_env *env, const neap_param *params, size_t param_count,
                            void **out, neap_err *err) {
  return create("ip_hash", true, env, params, param_count, out, err);
}

static void destroy(void *self) {
  consistent_hash *hash = self;
  neap_check_magic(hash, HASH_MAGIC);
  hash->magic = 0;
  free(hash->table);
  free(hash);
}

static int observe(void *self, const neap_event *events, int n) {
  consistent_hash *hash = self;
  for (int i = 0; i < n; i++) {
    int32_t kind = events[i].what >> NEAP_EVENT_SHIFT;
    if (kind == NEAP_EVENT_JOINED || kind == NEAP_EVENT_LEFT || kind == NEAP_EVENT_WEIGHT) hash->stale = true;
  }
  return 0;
}

static void report(void *self, neap_policy_report *out) {
  const consistent_hash *hash = self;
  out->memory = sizeof *hash + (hash->table ? TABLE_SIZE * sizeof *hash->table : 0);
}

/* --- the bound */

static void add_up(consistent_hash *hash) {
  const neap_pick_board *board = hash->board;
  hash->totals_ms = board->now_ms;
  hash->share = hash->in_flight = 0;
  for (int32_t i = 0; i < board->count; i++) {
    if (!neap_pick_usable(board, i)) continue;
    hash->share += board->rows[i].share;
    hash->in_flight += board->rows[i].in_flight;
  }
}

/* Has it less than `bound` times its part, rounded up? So somebody always has. */
static inline bool has_room(const consistent_hash *hash, const neap_backend_row *row) {
  if (hash->bound == 0) return true;
  return row->in_flight < ceil(hash->bound * (hash->in_flight + 1) * row->share / hash->share);
}

/* --- rendezvous */

/* Who would have the key if nobody but those that may be picked (and have room) were there. */
static int32_t highest(const consistent_hash *hash, double key, bool with_room) {
  const neap_pick_board *board = hash->board;
  int32_t best = NEAP_PICK_NONE;
  double highest = -1;
  for (int32_t i = 0; i < board->count; i++) {
    const neap_backend_row *row = &board->rows[i];
    if (!neap_pick_usable(board, i) || (with_room && !has_room(hash, row))) continue;
    double score = row->share / -log(neap_hash_unit(key, row->id));
    if (score > highest) best = i, highest = score;
  }
  return best;
}

/* --- Maglev */

/* A backend's own order of the places of the table, and how many it has taken. */
typedef struct filler {
  int32_t place;
  uint32_t at, skip;
  double weight, owed;
} filler;

static filler begin(int32_t place, const neap_backend_row *row) {
  double first = neap_hash_unit(row->id, 1), second = neap_hash_unit(row->id, 2);
  return (filler){.place = place,
                  .at = (uint32_t)(first * TABLE_SIZE),
                  .skip = 1 + (uint32_t)(second * (TABLE_SIZE - 1)),
                  .weight = row->weight};
}

static void take_next(int32_t *table, filler *from) {
  while (table[from->at] != NEAP_PICK_NONE) from->at = (from->at + from->skip) % TABLE_SIZE;
  table[from->at] = from->place;
}

/* In order of who they are and not of their places, so that all workers and gateways fill it alike. */
static int by_id(const void *a, const void *b, void *user) {
  const neap_backend_row *rows = user;
  double first = rows[((const filler *)a)->place].id, second = rows[((const filler *)b)->place].id;
  return first < second ? -1 : first > second;
}

/* Each round everybody takes as many places as its weight is of the mean: parts of one are owed. */
static void fill(int32_t *table, filler *fillers, int32_t count) {
  double all = 0;
  for (int32_t i = 0; i < count; i++) all += fillers[i].weight;
  int32_t left = TABLE_SIZE;
  while (left > 0)
    for (int32_t i = 0; i < count; i++)
      for (fillers[i].owed += fillers[i].weight * count / all; fillers[i].owed >= 1 && left > 0; left--) {
        fillers[i].owed -= 1;
        take_next(table, &fillers[i]);
      }
}

static int fill_anew(consistent_hash *hash) {
  const neap_pick_board *board = hash->board;
  filler *fillers = malloc((size_t)board->count * sizeof *fillers);
  if (fillers == NULL) return NEAP_ENOMEM;
  int32_t count = 0;
  for (int32_t i = 0; i < board->count; i++)
    if (!(board->rows[i].barred & NEAP_BAR_GONE)) fillers[count++] = begin(i, &board->rows[i]);
  for (int32_t i = 0; i < TABLE_SIZE; i++) hash->table[i] = NEAP_PICK_NONE;
  qsort_r(fillers, (size_t)count, sizeof *fillers, by_id, (void *)(uintptr_t)board->rows);
  if (count > 0) fill(hash->table, fillers, count);
  free(fillers);
  hash->stale = false;
  return 0;
}

static int32_t walk(const consistent_hash *hash, double key) {
  const neap_pick_board *board = hash->board;
  for (int look = 0; look < WALK_MOST; look++) {
    int32_t place = hash->table[(uint32_t)(neap_hash_unit(key, look) * TABLE_SIZE)];
    if (place < 0) break;
    if (neap_pick_usable(board, place) && has_room(hash, &board->rows[place])) return place;
  }
  return NEAP_PICK_NONE;
}

/* --- picking */

static double key_of(const consistent_hash *hash) {
  const neap_request_board *request = hash->board->request;
  if (!hash->by_client || request == NULL) return hash->board->key;
  return (double)(neap_hash_bytes(request->client.ptr, (size_t)request->client.size) >> 11);
}

/* hot: */
static int decide(void *self, neap_ask ask) {
  consistent_hash *hash = self;
  neap_check_magic(hash, HASH_MAGIC);
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  neap_pick_board *board = hash->board;
  double key = key_of(hash);
  board->answer = NEAP_PICK_NONE;
  if (board->count == 0) return 0;
  if (hash->table && hash->stale && fill_anew(hash)) return NEAP_ENOMEM;
  if (hash->bound > 0 && (hash->table == NULL || hash->totals_ms != board->now_ms)) add_up(hash);
  if (hash->table) board->answer = walk(hash, key);
  if (board->answer < 0) board->answer = highest(hash, key, true);
  if (board->answer < 0)
    board->answer = highest(hash, key, false); /* sums of this millisecond are no longer true */
  hash->in_flight += 1;                        /* until they are added up again */
  return 0;
}

const neap_policy_vt neap_native_consistent_hash = {
    .name = "consistent_hash",
    .domain = NEAP_BALANCE,
    .create = create_consistent,
    .destroy = destroy,
    .observe = observe,
    .decide = decide,
    .report = report,
};

const neap_policy_vt neap_native_ip_hash = {
    .name = "ip_hash",
    .domain = NEAP_BALANCE,
    .create = create_by_client,
    .destroy = destroy,
    .observe = observe,
    .decide = decide,
    .report = report,
};
