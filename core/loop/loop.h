/* The facade of the only folder that knows libuv and reads clocks: loops, tasks from other threads, timers,
 * signals, listeners and byte streams.
 *
 * One loop belongs to one thread. Every function is for that thread ("worker only") unless its comment says
 * "any thread". Callbacks run on the loop's thread, never from inside the call that asked for them.
 *
 * Streams use libuv's poll handle and do their own recv and sendmsg: that is the same number of system calls
 * as libuv's streams, without their requests, queues and per-stream memory (docs/decisions has the figures).
 */
#ifndef NEAP_LOOP_LOOP_H
#define NEAP_LOOP_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "neap/neap.h"

/* --- clocks. Any thread. `user` is ignored: the signatures are those of neap_host. */
uint64_t neap_clock_now_ms(void *user);        /* monotonic */
uint64_t neap_clock_now_ns(void *user);        /* monotonic */
uint64_t neap_clock_thread_cpu_ns(void *user); /* CPU time of the calling thread */
uint64_t neap_clock_wall_ms(void);             /* since 1970, for the borders: HTTP dates, logs */

/* --- loop */
typedef struct neap_loop neap_loop;

int neap_loop_create(neap_loop **out);
/* The same on a loop of libuv that the host runs, which goes on after neap_loop_destroy: it must run on until
 * what was closed has been told so, two turns later. It does not end by itself before. neap_loop_run and
 * _stop are the host's then. NEAP_ENOMEM, NEAP_EIO. */
struct uv_loop_s;
int neap_loop_adopt(struct uv_loop_s *uv, neap_loop **out);
/* Closes what the loop itself holds and frees it. Streams, listeners and signals must be closed before; the
 * memory of those is given back here at the latest. */
void neap_loop_destroy(neap_loop **loop);
/* Serves until neap_loop_stop. */
void neap_loop_run(neap_loop *loop);
void neap_loop_stop(neap_loop *loop);
/* Monotonic milliseconds, read once per turn. hot: */
uint64_t neap_loop_now_ms(const neap_loop *loop);
/* The same moment as milliseconds since 1970, read at most once per turn. hot: */
uint64_t neap_loop_wall_ms(neap_loop *loop);
/* Memory to read into, the same for everybody: what is in it is gone when the callback returns. */
enum { NEAP_LOOP_SCRATCH = 65536 };
char *neap_loop_scratch(neap_loop *loop);
/* Calls `run` before every wait for events: for what is gathered in a turn and done once, such as writing
 * logs. */
void neap_loop_on_turn(neap_loop *loop, void (*run)(void *user), void *user);

/* --- tasks */
/* Something to be done on the loop's thread. Embedded in whatever it is about; owned by the loop from post to
 * run. */
typedef struct neap_task {
  struct neap_task *next;
  void (*run)(struct neap_task *task);
} neap_task;
/* Any thread. Tasks posted by one thread run in the order in which they were posted. */
void neap_loop_post(neap_loop *loop, neap_task *task);
/* Takes one back that was posted. False: it is about to be run, or has been. The loop's thread. */
bool neap_loop_take_back(neap_loop *loop, neap_task *task);

/* Something to be done before the loop next waits for events, embedded in what it is about: what gathers
 * during a turn, or must not be told from within a call. Set again while it waits, it is done once. It must
 * not set itself again when it runs. */
typedef struct neap_soon {
  struct neap_soon *prev, *next; /* NULL: not set */
  void (*run)(struct neap_soon *soon);
} neap_soon;
void neap_soon_init(neap_soon *soon, void (*run)(neap_soon *soon));
/* hot: */
void neap_soon_set(neap_loop *loop, neap_soon *soon);
void neap_soon_clear(neap_soon *soon);

/* --- timers */
/* A timer embedded in what it guards. Setting it later, the usual case of a deadline that moves with every
 * request, is a plain store. It fires at its time or up to 16 ms after. */
typedef struct neap_timer {
  struct neap_timer *prev, *next; /* in a slot of the wheel; NULL: not set */
  uint64_t due_ms;
  uint64_t tick; /* of the slot it is in */
  void (*fire)(struct neap_timer *timer);
} neap_timer;
void neap_timer_init(neap_timer *timer, void (*fire)(neap_timer *timer));
/* Fires `delay_ms` from now, once. Replaces what was set before. hot: */
void neap_timer_set(neap_loop *loop, neap_timer *timer, uint64_t delay_ms);
void neap_timer_clear(neap_timer *timer);
static inline bool neap_timer_is_set(const neap_timer *timer) {
  return timer->next != NULL;
}

/* --- signals */
typedef struct neap_signal neap_signal;
int neap_signal_open(neap_loop *loop, int number, void (*caught)(void *user, int number), void *user,
                     neap_signal **out);
void neap_signal_close(neap_signal **signal);

/* --- addresses */
typedef struct neap_address {
  struct sockaddr_storage bytes;
  socklen_t size;
} neap_address;
enum { NEAP_ADDRESS_TEXT = 64 }; /* "[v6]:port", NUL included */
/* Reads "1.2.3.4:80", "[::1]:80", "name:80", "*:80" or ":80". Names are looked up, which may block: any
 * thread but a worker. NEAP_EINVAL with a sentence in `err`. */
int neap_address_parse(const char *text, neap_address *out, neap_err *err);
enum { NEAP_HOST_TEXT = 254 };
/* The same without looking names up: NEAP_ENOTFOUND where it is one, with the name and its port. Any thread.
 */
int neap_address_read(const char *text, neap_address *out, char host[NEAP_HOST_TEXT], uint16_t *port,
                      neap_err *err);
/* Writes "1.2.3.4:80" and returns its length. Any thread. */
size_t neap_address_format(const neap_address *address, char out[NEAP_ADDRESS_TEXT]);
/* The same without the port. Any thread. */
size_t neap_address_format_host(const neap_address *address, char out[NEAP_ADDRESS_TEXT]);
uint16_t neap_address_port(const neap_address *address);
void neap_address_set_port(neap_address *address, uint16_t port);

/* --- streams */
typedef struct neap_stream neap_stream;

/* What the owner of a stream is told. The owner may close the stream in any of them. */
typedef struct neap_stream_vt {
  const char *name;
  void (*readable)(void *user);             /* neap_stream_read has something: bytes, the end, an error */
  void (*sent)(void *user);                 /* all that the last send kept is with the kernel */
  void (*failed)(void *user);               /* nothing can be sent any more */
  void (*connected)(void *user, int error); /* of neap_stream_connect; 0 or NEAP_EIO. Optional */
} neap_stream_vt;

/* Starts to connect. `connected` is told; on NEAP_EIO the stream is still to be closed. */
int neap_stream_connect(neap_loop *loop, const neap_address *address, const neap_stream_vt *vt, void *user,
                        neap_stream **out);
/* Hands the stream to another owner. */
void neap_stream_own(neap_stream *stream, const neap_stream_vt *vt, void *user);
/* Reads what is there. Bytes read, 0 at the end, NEAP_EBUSY when there is nothing now, NEAP_EIO. hot: */
ssize_t neap_stream_read(neap_stream *stream, void *buffer, size_t capacity);
/* Wants `readable`, as every stream does at first, or not. Costs nothing until bytes come in that nobody
 * wants. */
void neap_stream_reading(neap_stream *stream, bool wanted);
enum { NEAP_STREAM_PIECES = 64 }; /* most pieces of one send */
/* Sends all pieces in order. 0: they are with the kernel. NEAP_EBUSY: some are kept, their bytes stay valid
 * until `sent` or close; no other send until then. NEAP_EIO: nothing can be sent any more (`failed` is not
 * called). hot: */
int neap_stream_send(neap_stream *stream, const struct iovec *pieces, int count);
/* Bytes that the last send has kept. */
bool neap_stream_sending(const neap_stream *stream);
/* How many those are. */
size_t neap_stream_kept(const neap_stream *stream);
/* Bytes sent or kept that the peer has not yet acknowledged: falls as long as it reads. */
size_t neap_stream_unsent(const neap_stream *stream);
/* Closes; nothing is told any more. Clears the pointer. */
void neap_stream_close(neap_stream **stream);
/* Closes with a reset, so that the peer cannot take what it got for the whole. */
void neap_stream_reset(neap_stream **stream);
/* Says the end, then reads and forgets what the peer still sends, for at most `limit_ms`, so that it gets to
 * see what was sent last: closing with unread bytes would reset the connection and lose it. */
void neap_stream_linger(neap_stream **stream, uint64_t limit_ms);
/* Address of the peer. */
void neap_stream_peer(const neap_stream *stream, neap_address *out);

/* --- TLS, as a client */
typedef struct neap_tls_options {
  const char *ca_file;                     /* PEM; NULL: the authorities of the system */
  const char *certificate_file, *key_file; /* PEM, of this side; NULL: none; NULL key: in the same file */
} neap_tls_options;
typedef struct neap_tls_client neap_tls_client;
/* Reads the files. NEAP_EINVAL with a sentence in `err`, NEAP_ENOMEM. Any thread; used by several. */
int neap_tls_client_create(const neap_tls_options *options, neap_tls_client **out, neap_err *err);
/* Connections that are open stay so. */
void neap_tls_client_destroy(neap_tls_client **client);

/* A stream that speaks TLS 1.2 or 1.3: verbs and callbacks are those of streams. */
typedef struct neap_tls neap_tls;
/* Starts to connect. The server must show a certificate for `name`, a host or an address, signed by one of
 * the authorities. `connected` is told when all this is so; on NEAP_EIO, neap_tls_fault has the reason and
 * the stream is still to be closed. NEAP_EINVAL where the name is empty, NEAP_EIO, NEAP_ENOMEM. */
int neap_tls_connect(neap_loop *loop, neap_tls_client *client, const neap_address *address, const char *name,
                     const neap_stream_vt *vt, void *user, neap_tls **out);
/* As neap_stream_read. What is left is told of again, but a little later: better read until NEAP_EBUSY. */
ssize_t neap_tls_read(neap_tls *tls, void *buffer, size_t capacity);
/* As neap_stream_send, but the bytes are taken: they need not stay. NEAP_EBUSY: no other send until `sent`.
 */
int neap_tls_send(neap_tls *tls, const struct iovec *pieces, int count);
bool neap_tls_sending(const neap_tls *tls);
/* Why it failed, in words; valid until it is closed. */
const char *neap_tls_fault(const neap_tls *tls);
/* Closes; nothing is told any more. Clears the pointer. */
void neap_tls_close(neap_tls **tls);

/* --- watches */
/* A socket that somebody else opens, uses and closes: libcurl's. */
typedef struct neap_watch neap_watch;
enum { NEAP_WATCH_READ = 1, NEAP_WATCH_WRITE = 2 };
/* `ready` is told NEAP_WATCH_... again and again while it is wanted and so. Nothing is wanted at first.
 * NEAP_EIO, NEAP_ENOMEM. */
int neap_watch_open(neap_loop *loop, int socket, void (*ready)(void *user, int events), void *user,
                    neap_watch **out);
void neap_watch_want(neap_watch *watch, int events);
/* Stops watching; the socket stays open and may be closed from now on. Clears the pointer. */
void neap_watch_close(neap_watch **watch);

/* --- listeners */
typedef struct neap_listener neap_listener;
/* Binds a listening socket. Port 0 takes a free one. Every further worker's socket of the same address is
 * bound with `share`; the first without it fails where anybody listens there already, and listens at once.
 * Any thread. */
int neap_listen_socket(const neap_address *address, bool share, int *out, neap_err *err);
/* From now on one that was bound with `share` gets its part of the connections: somebody has to accept them,
 * since closing it resets those in its queue. NEAP_EIO. Any thread. */
int neap_socket_listen(int socket);
/* The address that a socket is bound to. Any thread. */
int neap_socket_address(int socket, neap_address *out);
/* A second descriptor of the same socket: what arrives goes to whoever accepts first. NEAP_EIO. Any thread.
 */
int neap_socket_copy(int socket, int *out);
/* Closes a socket that no listener has taken. Any thread. */
void neap_socket_close(int socket);
/* Takes the socket and accepts from it. `accepted` owns the stream and must call neap_stream_own. */
int neap_listener_open(neap_loop *loop, int socket, void (*accepted)(void *user, neap_stream *stream),
                       void *user, neap_listener **out);
/* Stops accepting. Connections that the kernel has already taken for this socket are accepted first. */
void neap_listener_close(neap_listener **listener);

/* --- folders */
typedef struct neap_folder neap_folder;
/* Tells that something in the folder at `path` was made, changed, renamed or removed; maybe several times for
 * one change. NEAP_EIO where it cannot be watched. */
int neap_folder_watch(neap_loop *loop, const char *path, void (*changed)(void *user), void *user,
                      neap_folder **out);
void neap_folder_forget(neap_folder **folder);

/* --- listening sockets in the file system */
enum { NEAP_LOCAL_PATH = 108 }; /* of a path, NUL included */
typedef struct neap_local {
  int socket; /* for neap_listener_open, which takes it */
  char path[NEAP_LOCAL_PATH];
  uint64_t device, inode; /* tell it from one that another process has put there since */
} neap_local;
/* Listens at `path`, which gets the permissions `mode`. What a process that has ended left there is replaced;
 * NEAP_EEXIST where somebody answers or something else lies there, NEAP_EINVAL where the path is too long,
 * NEAP_EIO. Any thread. */
int neap_local_listen(const char *path, uint32_t mode, neap_local *out, neap_err *err);
/* Removes the path, unless another has taken it. The socket is closed by who has it. Any thread. */
void neap_local_remove(const neap_local *local);

#endif
