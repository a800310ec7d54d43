/* Everything that C and Lua both read: LuaJIT parses the text between the two marks of this file, word for
 * word (lua/neap/abi.lua, made by core/script/embed.cmake), so it stays free of macros, bit-fields and
 * atomics.
 *
 * A *board* is the memory that the engine shares with one policy instance, handed over once at create.
 * Questions, answers and events are written on it; nothing is passed on the Lua stack (a call costs 20 ns
 * that way, 200 ns with arguments). Only the trusted runtime sees a board; a policy sees bounds-checked views
 * made by the runtime.
 *
 * Numbers in Lua are doubles: int32_t where the JIT is to stay on integers, double for what may be larger. A
 * hash is the top 53 bits of the entry's 64-bit hash, so that it is exact as a double.
 */
#ifndef NEAP_POLICY_ABI_H
#define NEAP_POLICY_ABI_H

#include <stdbool.h>
#include <stdint.h>

/* neap-abi: begin */
/* --- evict
 * ---------------------------------------------------------------------------------------------------- */
enum {
  NEAP_SLOT_FIRST = 16,  /* slots 0..15 are never entries: heads of lists and "none" (0) */
  NEAP_EVENT_SHIFT = 28, /* what = kind << 28 | slot */
  NEAP_SLOT_MASK = 0x0fffffff,
  NEAP_EVENTS_MAX = 256, /* most events in one batch */
  NEAP_VICTIMS_MAX = 128 /* most victims asked for at once */
};

/* HIT is 0, so that a hit's `what` is its slot. */
enum {
  NEAP_EVENT_HIT = 0,    /* slot */
  NEAP_EVENT_INSERT = 1, /* slot, size, hash: a new entry, or a victim given back */
  NEAP_EVENT_UPDATE = 2, /* slot, size, hash: same key, new value */
  NEAP_EVENT_REMOVE = 3, /* slot: gone other than as a victim of this policy */
  NEAP_EVENT_MISS = 4,   /* size (0: not yet known), hash: a put is about to ask for room. No slot */
  NEAP_EVENT_TICK = 5    /* about once a second; the time is on the board. No slot */
};

typedef struct neap_event {
  int32_t what;
  int32_t size; /* bytes charged, at most 2^31 - 1; 1 in a cache that counts objects */
  double hash;
} neap_event;

typedef struct neap_evict_board {
  /* The question. */
  int32_t event_count;    /* of `events`, for observe */
  int32_t want;           /* victims asked for, for decide; 1..NEAP_VICTIMS_MAX */
  int32_t steps;          /* most step() calls for this ask */
  int32_t slot_end;       /* every slot number is below; fixed for the life of the policy */
  int32_t candidate_size; /* of the object that room is made for; 0: none, the cache is shrinking */
  int32_t reserved;
  double candidate_hash;
  double limit;  /* what may be held: in bytes, or objects in a cache that counts them */
  double used;   /* what is held, same unit */
  double now_ms; /* engine time of the newest event */
  /* The answer. */
  int32_t
      victim_count; /* of `victims`: distinct live slots, which the policy has forgotten. 0: sulk, fallback */
  int32_t refused;  /* 1: the candidate is not to be admitted */
  int32_t admit_max; /* objects above this size are refused unasked; 0: no such bound, -1: all are. May change
                        any time */
  int32_t calls;     /* step() calls used */
  int32_t victims[128];
  neap_event events[256];
} neap_evict_board;

/* A slot's place in a list; both 0: in none. The head of a list is one of the slots below NEAP_SLOT_FIRST,
 * and links to itself where the list is empty. Front: newest. */
typedef struct neap_link {
  int32_t prev, next; /* towards the front, towards the back */
} neap_link;

/* C functions for the runtime of evict policies (core/script/evict.c). Slots, hashes and sizes may be
 * anything: each leaf checks them. The runtime keeps the pointers to itself. */
typedef struct neap_ghost neap_ghost;
typedef struct neap_heap neap_heap;
typedef struct neap_sketch neap_sketch;
typedef struct neap_evict_leaves {
  /* Memory that the policy keeps, one `width` for each slot or one `size` for all; reload matches it by name.
   * NULL: no memory, or too many. */
  void *(*column)(void *self, const char *name, int32_t width);
  void *(*state)(void *self, const char *name, int32_t size);
  neap_ghost *(*ghost)(void *self, double limit);
  neap_heap *(*heap)(void *self);
  neap_sketch *(*sketch)(void *self, int32_t width);
  void (*ghost_add)(neap_ghost *ghost, double hash, double size);
  double (*ghost_take)(neap_ghost *ghost, double hash);
  bool (*ghost_has)(const neap_ghost *ghost, double hash);
  void (*ghost_resize)(neap_ghost *ghost, double limit);
  int32_t (*ghost_count)(const neap_ghost *ghost);
  void (*heap_put)(neap_heap *heap, int32_t slot, double key, double order);
  void (*heap_remove)(neap_heap *heap, int32_t slot);
  int32_t (*heap_min)(const neap_heap *heap);
  double (*heap_key)(const neap_heap *heap, int32_t slot);
  bool (*heap_has)(const neap_heap *heap, int32_t slot);
  int32_t (*heap_count)(const neap_heap *heap);
  void (*sketch_add)(neap_sketch *sketch, double hash);
  int32_t (*sketch_estimate)(const neap_sketch *sketch, double hash);
  int32_t (*random)(void *self, int32_t bound); /* 0..bound-1 */
  void (*stat)(void *self, const char *name, double value);
  /* facts of an entry; 0 for what is no live slot */
  double (*size)(void *self, int32_t slot);
  double (*cost)(void *self, int32_t slot);
  double (*created_ms)(void *self, int32_t slot);
  double (*expires_ms)(void *self, int32_t slot);
  double (*last_access_ms)(void *self, int32_t slot);
  double (*access_count)(void *self, int32_t slot);
  double (*version)(void *self, int32_t slot);
  double (*hash)(void *self, int32_t slot);
  int32_t (*key)(void *self, int32_t slot, char *out, int32_t capacity);
} neap_evict_leaves;

/* --- prefetch
 * ------------------------------------------------------------------------------------------------- */
enum { NEAP_PREFETCH_EVENTS_MAX = 64, NEAP_PREFETCH_WISHES_MAX = 256 };

enum {
  NEAP_PREFETCH_WANT = 0,   /* asked for, and not there or there only because it was prefetched */
  NEAP_PREFETCH_USED = 1,   /* a wish of this policy came true */
  NEAP_PREFETCH_LATE = 2,   /* it was asked for before it was there */
  NEAP_PREFETCH_WASTED = 3, /* nobody asked for it in time */
  NEAP_PREFETCH_HINT = 4    /* whoever made `like` says that `hash` will be wanted */
};

typedef struct neap_prefetch_event {
  int32_t kind;
  int32_t size;  /* bytes; 0: not known */
  double hash;   /* of the key, 53 bits */
  double space;  /* hash of the key without its last number: keys alike but for it. 0 where it has none */
  double number; /* the last number in the key, whole, below 2^53 either way; 0 where it has none */
  double stream; /* hash of who asks; 0: not known */
  double like;   /* of HINT: hash of the key whose value has the hint; 0: the operator's */
} neap_prefetch_event;

/* "What has this hash", or with `by_number` "what is called as `hash` is, with another number". */
typedef struct neap_wish {
  double hash, number;
  int32_t by_number, reserved;
} neap_wish;

typedef struct neap_prefetch_board {
  int32_t event_count; /* the question */
  int32_t wish_count; /* the answer: the most urgent first. What is there already costs nothing to wish for */
  int32_t calls;      /* events gone through */
  int32_t room;       /* about so many wishes can be fetched now */
  double now_ms;
  neap_prefetch_event events[64];
  neap_wish wishes[256];
} neap_prefetch_board;

/* C functions for the runtime of prefetch policies (core/script/prefetch.c): tables of bounded memory. */
typedef struct neap_assoc neap_assoc;
typedef struct neap_runs neap_runs;
typedef struct neap_prefetch_leaves {
  neap_assoc *(*assoc)(void *self, int32_t rows, int32_t window);
  void (*assoc_learn)(neap_assoc *assoc, double hash, double stream);
  double (*assoc_next)(const neap_assoc *assoc, double hash, int32_t rank); /* 0: none */
  double (*assoc_share)(const neap_assoc *assoc, double hash, int32_t rank);
  int32_t (*assoc_count)(const neap_assoc *assoc, double hash, int32_t rank);
  neap_runs *(*runs)(void *self, int32_t count, double reach);
  int32_t (*runs_observe)(neap_runs *runs, double space, double number); /* -1: in no run */
  int32_t (*runs_length)(const neap_runs *runs, int32_t run);
  double (*runs_stride)(const neap_runs *runs, int32_t run);
  double (*runs_ahead)(const neap_runs *runs, int32_t run);
  void (*runs_set_ahead)(neap_runs *runs, int32_t run, double number);
  int32_t (*random)(void *self, int32_t bound); /* 0..bound-1 */
  void (*stat)(void *self, const char *name, double value);
} neap_prefetch_leaves;

/* What countdown and place a policy keeps while it runs: core/script/fuel.h. */
typedef struct neap_fuel {
  int32_t n;  /* checks left before the clock is read */
  int32_t at; /* file << 20 | line of the last check */
  int32_t reserved;
  int32_t trace_aborts;
} neap_fuel;

/* C functions for the runtime: leaves, which never re-enter Lua. `vm` is neap.core's. */
typedef struct neap_vm_leaves {
  int32_t (*refill)(void *vm); /* 0: out of time */
  int32_t (*charge)(void *vm,
                    double bytes); /* counts work that a built-in function is about to do. 0: out of time */
} neap_vm_leaves;

/* --- balance and route
 * ---------------------------------------------------------------------------------------- */
typedef struct neap_slice {
  const char *ptr; /* never shown to a policy */
  int32_t size;
  int32_t reserved;
} neap_slice;

typedef struct neap_header_row {
  neap_slice name; /* as received; compared without regard to case */
  neap_slice value;
} neap_header_row;

/* One request, as routing and balancing see it. The engine zeroes it when the request is over. */
typedef struct neap_request_board {
  neap_slice method, target, path, query; /* target as sent; path in its normal spelling; query without "?" */
  neap_slice host;                        /* in lower case, without port and final dot */
  neap_slice client;                      /* address without port */
  int32_t header_count;
  int32_t version_minor; /* of HTTP/1 */
  const neap_header_row *headers;
  neap_slice folded; /* the path as routes compare it, where that differs; ptr NULL: it does not */
} neap_request_board;

enum { NEAP_BACKEND_UP = 0, NEAP_BACKEND_DOWN = 1, NEAP_BACKEND_DRAINING = 2, NEAP_BACKEND_UNKNOWN = 3 };

/* Why a backend may not be the answer now: bits of neap_backend_row.barred. */
enum {
  NEAP_BAR_TRIED = 1,    /* this exchange has tried it */
  NEAP_BAR_DOWN = 2,     /* it could not be reached */
  NEAP_BAR_DRAINING = 4, /* it takes no new requests */
  NEAP_BAR_EJECTED = 8,  /* it gave too many errors */
  NEAP_BAR_FULL = 16,    /* it has as many requests as it may have */
  NEAP_BAR_SPARE = 32,   /* backends of a better priority are there */
  NEAP_BAR_GONE = 64,    /* an empty place: the backend has left the pool */
  NEAP_BAR_SICK = 128,   /* its probes fail, or have not yet said that it is well */
  NEAP_BAR_OPEN = 256    /* its circuit breaker is open */
};

/* One backend. Written by the engine, read by policies as it is. A backend keeps its place as long as it is
 * in the pool; the place of one that left is used again later. */
typedef struct neap_backend_row {
  int32_t state;     /* NEAP_BACKEND_...: what is known of it */
  int32_t barred;    /* 0: may be picked; else NEAP_BAR_...: the engine's word, health and panic included */
  int32_t weight;    /* as configured, or as set since */
  int32_t in_flight; /* requests, over all workers */
  int32_t limit;     /* most of them at once; 0: no limit */
  int32_t load;      /* requests in flight by its own report, whoever sent them; -1: no fresh report */
  int32_t capacity;  /* requests it can work on at once, by its own report; 0: not known */
  int32_t priority;  /* 0 first; the others are spare */
  double share;      /* weight as it counts now: slow start and reports included; above 0 */
  double ewma_us;    /* response time, peak-sensitive; 0: not known */
  double error_rate; /* 0..1 */
  double load_ms;    /* engine time of its newest report */
  double id;         /* hash of its address (53 bits): who it is, whatever its place in the pool */
} neap_backend_row;

/* What a balance policy is told, as neap_event: what = kind << NEAP_EVENT_SHIFT | backend. A request that was
 * sent has one outcome, but for two cases: none where its client went away first, and FAILED after DONE where
 * the answer broke off. Who wants to know what is in flight reads the row. */
enum {
  NEAP_EVENT_SENT = 0, /* a request goes to it. size: its requests in flight, this one included */
  NEAP_EVENT_DONE = 1, /* it answered. size: its requests in flight when this one was sent; hash: took, us */
  NEAP_EVENT_FAILED = 2, /* it did not, or with an error of its own (5xx). size and hash as of DONE */
  NEAP_EVENT_REPORT = 3, /* load and capacity of its row are new */
  NEAP_EVENT_JOINED = 4, /* a backend took this place */
  NEAP_EVENT_LEFT = 5,   /* it left this place */
  NEAP_EVENT_WEIGHT = 6  /* its weight was set */
};

enum { NEAP_PICK_EVENTS_MAX = 64, NEAP_PICK_PROBES_MAX = 4 };

enum {
  NEAP_PICK_NONE = -1, /* there is nobody to pick */
  NEAP_PICK_WAIT = -2  /* hold the request until something changes: late binding */
};

typedef struct neap_pick_board {
  /* The question. */
  int32_t count;            /* places; the answer is 0..count-1 */
  int32_t answer;           /* or NEAP_PICK_... */
  int32_t random1, random2; /* draws in proportion to shares of those that may be picked: neap_pick_draw */
  int32_t waiting;          /* requests that are held now */
  int32_t may_wait;         /* 1: NEAP_PICK_WAIT is an answer */
  double key;               /* hash of what the pool balances by, 53 bits */
  double now_ms;            /* may have a fraction */
  const neap_backend_row *rows;
  const neap_request_board *request;
  /* Backends whose load the policy wants to know: asked for beside the request, where the pool does so. */
  int32_t probe_count;
  int32_t probes[4];
  /* What happened since the last pick, for observe. */
  int32_t event_count;
  neap_event events[64];
  int32_t statuses[64]; /* of DONE and FAILED among them: the status of the answer, 0 where there was none */
} neap_pick_board;

/* C functions for the runtime of balance policies (core/script/balance.c). */
typedef struct neap_balance_leaves {
  void *self;
  double (*random)(void *self);                  /* [0, 1), the same again for the same seed */
  double (*slowness)(void *self, int32_t place); /* 1: as the rest of the pool; learned from outcomes */
} neap_balance_leaves;

/* --- views of a request
 * --------------------------------------------------------------------------------------------------- */
enum { NEAP_VIEWS_MAX = 64, NEAP_VIEWS_FIXED = 6 };

/* What Lua's views of a request stand on: a view is an index of `slices`. The first six are method, target,
 * path, query, host and client; what header(), query() and cookie() find is put behind them. The engine fills
 * the six before a call and zeroes all that was used after it: a view that was kept sees the next request, or
 * nothing. The functions are leaves; they check every index, and -1 stands for "not there". */
typedef struct neap_view_board {
  int32_t count;   /* of `slices` in use; 0 between calls */
  int32_t answer;  /* of a predicate: 1 yes, 0 no */
  int32_t made;    /* 1: this call has made texts or numbers of the request's values */
  int32_t refused; /* 1: the request wanted too much, which ended the call */
  const neap_request_board *request;
  neap_slice slices[64];
  int32_t (*header)(struct neap_view_board *board, const char *name, int32_t size);
  int32_t (*query)(struct neap_view_board *board, const char *name, int32_t size);
  int32_t (*cookie)(struct neap_view_board *board, const char *name, int32_t size);
  int32_t (*same)(const struct neap_view_board *board, int32_t view, const char *text, int32_t size);
  int32_t (*starts)(const struct neap_view_board *board, int32_t view, const char *text, int32_t size);
  int32_t (*ends)(const struct neap_view_board *board, int32_t view, const char *text, int32_t size);
  int32_t (*contains)(const struct neap_view_board *board, int32_t view, const char *text, int32_t size);
  double (*hash)(const struct neap_view_board *board, int32_t view); /* 53 bits */
  double (*mix)(double a, double b); /* of two hashes: above 0, below 1, the same everywhere */
  /* Of a data table: a view of the value of a key (a view, or where `view` is -1 a text), or of a name drawn
   * by a hash.
   */
  int32_t (*table_get)(struct neap_view_board *board, int32_t table, int32_t view, const char *key,
                       int32_t size);
  int32_t (*table_draw)(struct neap_view_board *board, int32_t table, double hash);
  const void *tables; /* a neap_table_reader; NULL: there are none to be read */
} neap_view_board;

/* What a probe brought, for the function that judges it. */
typedef struct neap_probe_board {
  int32_t status;
  int32_t header_count;
  double took_ms;
  neap_slice body; /* its beginning */
  const neap_header_row *headers;
} neap_probe_board;

/* --- what an action of a route decides
 * ------------------------------------------------------------------------------------ */
/* Texts that it may give: indexes of neap_act_board.texts. */
enum {
  NEAP_ACT_PATH = 0,
  NEAP_ACT_QUERY = 1,
  NEAP_ACT_LOCATION = 2,
  NEAP_ACT_BODY = 3,
  NEAP_ACT_TYPE = 4,
  NEAP_ACT_KEY = 5,
  NEAP_ACT_TAG = 6
};
/* Changes to a head: of the request to the backend, or (with NEAP_ACT_RESPONSE) of the response to the
 * client. */
enum { NEAP_ACT_SET = 0, NEAP_ACT_ADD = 1, NEAP_ACT_REMOVE = 2, NEAP_ACT_RESPONSE = 4 };
/* What the leaves answer. */
enum { NEAP_ACT_OK = 0, NEAP_ACT_FULL = 1, NEAP_ACT_BAD_TEXT = 2, NEAP_ACT_BAD_NAME = 3 };

typedef struct neap_act_text {
  int32_t at, size; /* in `text`, ended by NUL; size -1: not given */
} neap_act_text;

typedef struct neap_act_edit {
  int32_t change;
  int32_t name, value; /* in `text`, ended by NUL */
} neap_act_edit;

/* Empty before the call; after one that failed it means nothing. The functions are leaves: they check what
 * they are given, so that nothing on the board can break a message. */
typedef struct neap_act_board {
  int32_t pool;   /* -1: as the route says */
  int32_t status; /* of an answer that is made here; 0: none */
  int32_t bypass; /* 1: the cache has no part in this */
  int32_t edit_count;
  int32_t used;    /* of `text` */
  int32_t refused; /* 1: a value was refused, which ended the call */
  double ttl_ms;   /* -1: as the route says */
  neap_act_text texts[7];
  neap_act_edit edits[32];
  char text[32768];
  int32_t (*put)(struct neap_act_board *board, int32_t what, const char *text, int32_t size);
  int32_t (*edit)(struct neap_act_board *board, int32_t change, const char *name, int32_t name_size,
                  const char *value, int32_t value_size);
  /* The same with a value of the request, which need not become a string of Lua. */
  int32_t (*put_view)(struct neap_act_board *board, int32_t what, const neap_view_board *views, int32_t view);
  int32_t (*edit_view)(struct neap_act_board *board, int32_t change, const char *name, int32_t name_size,
                       const neap_view_board *views, int32_t view);
} neap_act_board;
/* neap-abi: end */

#endif
