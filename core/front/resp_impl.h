/* The RESP front from inside.
 *
 *   resp_keyspace.c    keys, their locks, what all workers share
 *   resp_front.c       clients come and go
 *   resp_connection.c  bytes in, requests run one after the other
 *   resp_reply.c       replies, borrowed values among them, out
 *   resp_commands.c    the table of commands, and what is said about them
 *   resp_tracking.c    who is told when a key changes
 *   resp_tiers.c       commands that wait for the tiers below memory
 *   resp_errand.c      what they ask of them
 *   resp_strings.c ... the commands, by theme
 *
 * A client that has asked nothing holds no buffer: requests are read into the loop's scratch memory and
 * replies gathered in the front's; only what is left over when either has to wait becomes the client's own.
 */
#ifndef NEAP_FRONT_RESP_IMPL_H
#define NEAP_FRONT_RESP_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"
#include "front/front.h"
#include "resp/resp.h"
#include "store/store.h"
#include "tier/tier.h"

enum {
  NEAP_PORT_LOCKS = 32,          /* checkers of locks look after 64 that one thread holds */
  NEAP_PORT_COMMAND_SEATS = 256, /* of the table by hash: a power of two, well above the commands there are */
  NEAP_PORT_COPY_MAX = 4096,     /* bytes of a value that are copied; what is larger is borrowed */
  NEAP_PORT_BATCH_BYTES = 64 * 1024, /* of replies, then they are sent before more is done */
  NEAP_PORT_SMALL_REQUEST =
      16384, /* bytes of a string from a client that has not said who it is, as in Redis */
  NEAP_PORT_GENTLE_MS = 60000
};

typedef struct neap_port_client neap_port_client;
typedef struct neap_port_call neap_port_call;
typedef struct neap_port_errand neap_port_errand;

/* --- commands */

typedef enum neap_port_flags {
  NEAP_PORT_WRITE = 1,   /* changes keys: nothing may be borrowed meanwhile */
  NEAP_PORT_READ = 2,    /* reads keys */
  NEAP_PORT_NO_AUTH = 4, /* for everybody */
  NEAP_PORT_FAST = 8,    /* does the same amount of work for any argument, as in Redis */
  NEAP_PORT_ADMIN = 16
} neap_port_flags;

typedef struct neap_port_command {
  const char *name; /* in small letters */
  int arity;        /* arguments with the name; at least so many where negative */
  unsigned flags;
  int first, last, step; /* of the arguments that are keys; all 0: none is */
  const char *group, *text;
  void (*run)(neap_port_call *call);
} neap_port_command;

/* All there are, in the order of COMMAND; by name, whatever its case. NULL: there is none. */
extern const neap_port_command neap_port_commands[];
extern const size_t neap_port_command_count;
typedef struct neap_port_command_index {
  uint8_t seats[NEAP_PORT_COMMAND_SEATS]; /* number + 1; 0: free */
} neap_port_command_index;
static inline bool neap_port_arity_fits(const neap_port_command *command, size_t count) {
  return command->arity >= 0 ? count == (size_t)command->arity : count >= (size_t)-command->arity;
}
void neap_port_command_index_init(neap_port_command_index *index);
const neap_port_command *neap_port_command_find(const neap_port_command_index *index, neap_view name);

/* --- who wants to be told of changes (resp_tracking.c) */

typedef struct neap_port_tracking neap_port_tracking;
typedef struct neap_port_tracker neap_port_tracker;
typedef struct neap_port_inbox neap_port_inbox;

/* --- what all workers share */

struct neap_keyspace {
  neap_cache *cache;
  neap_keyspace_tiers tiers; /* cascade: NULL where there is memory alone */
  const neap_host *host;
  neap_port_command_index commands;
  char run_id[41];
  uint64_t started_ms;
  _Atomic uint64_t last_client_id, client_count;
  neap_port_tracking *tracking;
  _Atomic uint64_t commands_run, connections, rejected, closed_stalled, closed_room;
  struct {
    _Alignas(NEAP_CACHE_LINE) pthread_mutex_t mutex;
  } locks[NEAP_PORT_LOCKS];
};

/* Who reads a key to write it holds its lock, whatever worker it is on. Locks of single keys are never held
 * together; `all` takes them in order. */
void neap_port_lock(neap_keyspace *keys, neap_view key);
void neap_port_unlock(neap_keyspace *keys, neap_view key);
void neap_port_lock_all(neap_keyspace *keys);
void neap_port_unlock_all(neap_keyspace *keys);

/* --- replies */

/* Bytes of a value that follow `at` bytes of the buffer. */
typedef struct neap_port_piece {
  size_t at;
  neap_view bytes;
  neap_entry *entry; /* whose bytes they are */
  bool referenced;   /* else borrowed: the thread is inside the cache */
} neap_port_piece;

typedef struct neap_port_reply {
  neap_resp_out out;
  neap_port_piece *pieces;
  size_t piece_count, piece_room;
  size_t sent_bytes, sent_pieces; /* what has been handed to the stream */
} neap_port_reply;

/* --- clients */

struct neap_port_client {
  uint32_t magic;
  neap_resp_front *front;
  neap_port_client *prev, *next;
  neap_stream *stream;
  neap_timer timer;
  neap_resp_request request;
  char *in;                         /* what has arrived and is not done: NULL but when something waits */
  size_t in_from, in_size, in_room; /* from: where in `in` what is not done begins */
  neap_port_reply unsent;           /* what the stream has kept, and what comes behind */
  size_t unsent_seen;               /* when last looked */
  bool sending;                     /* `unsent` is under way */
  bool serving;                     /* its requests are on the stack */
  bool ending;                      /* is closed when all is sent */
  bool broken;                      /* is closed now */
  bool lingers;                     /* may still send: what it gets last is not to be lost */
  bool known;                       /* has said who it is, or need not */
  bool version3;
  uint64_t id, since_ms, active_ms;
  const neap_port_command *last;
  neap_port_errand *errand; /* its request waits for tiers; NULL: none does */
  neap_consistency consistency;
  char *name;                 /* NULL: none */
  neap_port_tracker *tracker; /* NULL: it is told of no changes */
  neap_resp_out pushes;       /* of changes, while replies wait to be taken */
};

struct neap_resp_front {
  neap_loop *loop;
  neap_keyspace *keys;
  neap_tiers_port *port; /* to the tiers; NULL: there are none */
  neap_resp_options options;
  neap_resp_limits limits, small_limits;
  neap_port_client *clients, *free;
  size_t count;
  uint64_t buffered;     /* bytes of clients' own buffers */
  neap_port_reply reply; /* of the client that is served */
  neap_port_inbox *inbox;
  bool inside; /* the cache: pieces of `reply` may be borrowed */
  bool draining, gently;
};

enum { NEAP_PORT_CLIENT_MAGIC = 0x5265434c };

/* What a key holds, borrowed until neap_port_settle. */
typedef struct neap_port_value {
  const neap_entry *entry; /* memory's; NULL where memory did not take it: then the rest holds */
  neap_tier_value outside; /* the errand's */
  uint64_t version, ttl_ms;
} neap_port_value;

/* One command of one client. */
struct neap_port_call {
  neap_port_client *client;
  neap_resp_front *front;
  neap_keyspace *keys;
  const neap_port_command *command;
  neap_resp_out *out;
  const char *bytes;     /* of the request */
  size_t count;          /* arguments, the name included */
  neap_port_value value; /* the last that was looked at */
  /* over tiers: resp_tiers.c */
  neap_port_errand *errand; /* has looked for its keys; NULL: memory alone is asked */
  uint64_t now_ms;          /* when it was begun */
  size_t looked;            /* at so many keys */
  bool peeks;               /* memory may answer, where it is sure */
  bool missed;              /* memory alone is no answer */
  bool tolerant;            /* of what could not be asked */
  int failed;               /* why there is no answer */
};

static inline neap_view neap_port_arg(const neap_port_call *call, size_t i) {
  return neap_resp_request_arg(&call->client->request, call->bytes, i);
}
/* As Redis quotes it in errors: up to its first NUL. */
static inline neap_view neap_port_word(neap_view view) {
  return (neap_view){view.ptr, view.size ? strnlen(view.ptr, view.size) : 0};
}
/* Whether an argument is that word, given in small letters, whatever its case. */
bool neap_port_arg_is(const neap_port_call *call, size_t i, const char *word);
/* The argument as an integer; else says what Redis says, and false. */
bool neap_port_arg_integer(neap_port_call *call, size_t i, int64_t *out);

/* One whole request. False: it waits for tiers. */
bool neap_port_client_run(neap_port_client *client, const char *bytes);
/* What it has waited for is there. May close it. */
void neap_port_client_resume(neap_port_client *client);
void neap_port_client_close(neap_port_client *client);
/* It is who it says it is; it has to say so again, where anybody has to. */
void neap_port_client_know(neap_port_client *client);
void neap_port_client_forget_who(neap_port_client *client);
/* What has arrived and is not done: `in_size` bytes. */
static inline char *neap_port_client_bytes(const neap_port_client *client) {
  return client->in ? client->in + client->in_from : NULL;
}
/* Takes or gives bytes of the front's clients; false: that is more than there may be. */
bool neap_port_client_hold(neap_port_client *client, size_t before, size_t after);

extern const neap_stream_vt neap_port_stream_vt;
void neap_port_client_on_time(neap_timer *timer);
/* Sets the timer to what is waited for now. */
void neap_port_client_wait(neap_port_client *client);

/* --- writing replies (resp_reply.c) */
void neap_port_reply_init(neap_port_reply *reply, size_t max);
void neap_port_reply_fini(neap_keyspace *keys, neap_port_reply *reply);
/* Comes into the cache, to borrow; until neap_port_settle. */
void neap_port_borrow(neap_resp_front *front);
/* Leaves the cache: borrowed pieces become references. */
void neap_port_settle(neap_resp_front *front);
/* hot: */
void neap_port_put_value(neap_port_call *call, const neap_port_value *value);
/* Forgets what was put since the buffer was that long. */
void neap_port_take_back(neap_port_call *call, size_t size);
void neap_port_put_ok(neap_port_call *call);
void neap_port_put_error(neap_port_call *call, const char *text);
void neap_port_put_errorf(neap_port_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void neap_port_put_syntax_error(neap_port_call *call);
void neap_port_put_text(neap_port_call *call, const char *text); /* a bulk string */
/* Text for people: RESP3 has a kind for it. */
void neap_port_put_verbatim(neap_port_call *call, neap_view text);
/* Why something could not be stored or read. */
void neap_port_put_failure(neap_port_call *call, int code);
/* Sends what the front has gathered for the client. False: it has to wait, or is to be closed. */
bool neap_port_send(neap_port_client *client);
/* Goes on with what the client has not taken. False: it still has to wait. */
bool neap_port_send_rest(neap_port_client *client);
void neap_port_drop_unsent(neap_port_client *client);

/* --- tracking (resp_tracking.c) */
int neap_port_tracking_create(neap_port_tracking **out);
void neap_port_tracking_destroy(neap_port_tracking **tracking);
/* Where other workers leave what the clients of a front are to be told. It stays with the keyspace. */
neap_port_inbox *neap_port_inbox_open(neap_resp_front *front);
void neap_port_inbox_close(neap_port_inbox *inbox);
/* Before a command reads keys: its client is told when one of them changes. */
void neap_port_track(neap_port_call *call);
/* A key has changed; all have gone. */
void neap_port_changed(neap_port_call *call, neap_view key);
void neap_port_changed_all(neap_port_call *call);
/* What tiers tell of a keyspace: any node has written the key; empty: any key. Any thread. */
void neap_port_changed_below(void *keyspace, neap_view key);
void neap_port_untrack(neap_port_client *client);
uint32_t neap_port_tracker_count(neap_port_tracking *tracking);

/* --- keys (resp_keyspace.c). Times are milliseconds since 1970. */
enum { NEAP_PORT_NEVER = -1, NEAP_PORT_GONE = -2 };
/* Now, to the millisecond. */
int64_t neap_port_wall_ms(const neap_port_call *call);
/* When it goes, or NEAP_PORT_NEVER. */
int64_t neap_port_expires(const neap_port_call *call, const neap_port_value *value);
uint64_t neap_port_value_size(const neap_port_value *value);
neap_view neap_port_value_piece(const neap_port_value *value, size_t index);
uint64_t neap_port_value_version(const neap_port_call *call, const neap_port_value *value);
/* Time to live for the cache of what goes at `expires`. 0: its time has passed. */
uint64_t neap_port_ttl(const neap_port_call *call, int64_t expires);
/* Looks at a key: its value, or NULL, until the next look. `read`: counts as an access. A command looks at
 * its keys in their order, once at each, or at none. */
static inline const neap_port_value *neap_port_look(neap_port_call *call, neap_view key, bool read);
/* The same to change it: locks it. */
const neap_port_value *neap_port_open(neap_port_call *call, neap_view key, bool read);
void neap_port_done(neap_port_call *call, neap_view key);
/* Stores: 0 or why not. The lock is held. Refused by the policy, a key
 * is as if it were evicted at once. */
int neap_port_store(neap_port_call *call, neap_view key, neap_view value, uint64_t ttl_ms);
/* Removes; whether it was there. The lock is held. */
bool neap_port_remove(neap_port_call *call, neap_view key);
/* Lets a key go then, at once where that has passed. Whether it is gone. The lock is held. */
bool neap_port_expire_at(neap_port_call *call, neap_view key, int64_t expires);
/* --- over tiers (resp_tiers.c) */
/* Runs a command. False: it waits, and its client's errand holds what it has so far. */
bool neap_port_try(neap_port_call *call);
/* Goes on with the one that waits. False: it still does. */
bool neap_port_run_over_tiers(neap_port_call *call);
const neap_port_value *neap_port_look_over_tiers(neap_port_call *call);
/* Sets a key everywhere, or deletes it where `value` is NULL, if it is still as it was looked at. What
 * they answer counts the last time that the command is run. */
int neap_port_write(neap_port_call *call, neap_view key, const neap_view *value, uint64_t ttl_ms);
/* The value with `more` behind it. */
int neap_port_write_joined(neap_port_call *call, neap_view key, const neap_port_value *value, neap_view more,
                           uint64_t ttl_ms);
/* Deletes all keys of the command, or sets them, where each is followed by its value. */
int neap_port_write_all(neap_port_call *call);
int neap_port_clear(neap_port_call *call);
/* The bytes of a request that waits. */
size_t *neap_port_errand_used(neap_port_errand *errand);
/* Ends it, in whatever state. Nothing where there is none. */
void neap_port_errand_end(neap_port_client *client);

/* hot: */
static inline const neap_port_value *neap_port_look(neap_port_call *call, neap_view key, bool read) {
  int code;
  if (NEAP_LIKELY(!call->front->port)) {
    code = (read ? neap_cache_get : neap_store_find)(call->keys->cache, key, &call->value.entry);
    return code ? NULL : &call->value;
  }
  if (!call->peeks) return neap_port_look_over_tiers(call);
  code = neap_tiers_peek(call->keys->tiers.cascade, key, call->now_ms, &call->value.entry);
  call->missed |= code != 0;
  return code ? NULL : &call->value;
}

/* As Redis matches names with "*", "?", "[a-z]" and "\\". */
bool neap_port_glob(neap_view pattern, neap_view text);
/* The same with a word in small letters, whatever the pattern's case. */
bool neap_port_glob_word(neap_view pattern, const char *word);

#endif
