/* Connections to backends, kept open between requests.
 *
 * A connection is
 *   1 connecting  told by `connected`
 *   2 in use      its user reads and writes the stream
 *   3 kept        in the list of its backend, newest first; anything that happens to it closes it: the
 * backend has closed it, or sent bytes that nobody asked for
 */
#include "upstream/backend.h"

#include <stdlib.h>

#include "base/base.h"

/* Kept connections of one backend. */
typedef struct kept_list {
  neap_connection *newest;
  uint64_t serial; /* of the backend they lead to */
  uint32_t count;
} kept_list;

/* Counts of kept connections by the backend's id, for others to look at: blocks are made once and stay. What
 * lies beyond the last block is not counted. */
enum { KEPT_BLOCK = 256, KEPT_BLOCKS = 64 };
typedef struct kept_block {
  _Atomic uint32_t counts[KEPT_BLOCK];
} kept_block;

struct neap_connections {
  neap_loop *loop;
  _Atomic(kept_block *) kept[KEPT_BLOCKS];
  kept_list *shelves; /* by the backend's id */
  uint32_t shelf_count;
  neap_connection *free;
};

struct neap_connection {
  neap_connections *home;
  neap_stream *stream;
  const neap_connection_vt *vt; /* of its user; NULL while kept */
  void *user;
  neap_connection *newer, *older; /* while kept; `older` also links free memory */
  neap_timer idle;
  uint64_t serial;
  uint32_t backend_id;
};

int neap_connections_create(neap_loop *loop, neap_connections **out) {
  neap_connections *connections = calloc(1, sizeof *connections);
  if (connections == NULL) return NEAP_ENOMEM;
  connections->loop = loop;
  *out = connections;
  return 0;
}

/* --- the shelf */

static kept_list *shelf_of(neap_connections *connections, const neap_connection *connection) {
  return &connections->shelves[connection->backend_id];
}

static void show_count(neap_connections *connections, uint32_t id) {
  kept_block *block = NULL;
  if (id / KEPT_BLOCK < KEPT_BLOCKS)
    block = atomic_load_explicit(&connections->kept[id / KEPT_BLOCK], memory_order_relaxed);
  if (block)
    atomic_store_explicit(&block->counts[id % KEPT_BLOCK], connections->shelves[id].count,
                          memory_order_relaxed);
}

static void make_block(neap_connections *connections, uint32_t id) {
  if (id / KEPT_BLOCK >= KEPT_BLOCKS) return;
  _Atomic(kept_block *) *place = &connections->kept[id / KEPT_BLOCK];
  if (atomic_load_explicit(place, memory_order_relaxed) == NULL)
    atomic_store_explicit(place, calloc(1, sizeof(kept_block)), memory_order_release);
}

uint32_t neap_connections_kept(const neap_connections *connections, const neap_backend *backend) {
  const kept_block *block = NULL;
  if (backend->id / KEPT_BLOCK < KEPT_BLOCKS)
    block = atomic_load_explicit(&connections->kept[backend->id / KEPT_BLOCK], memory_order_acquire);
  return block ? atomic_load_explicit(&block->counts[backend->id % KEPT_BLOCK], memory_order_relaxed) : 0;
}

static void take_off(neap_connection *connection) {
  kept_list *shelf = shelf_of(connection->home, connection);
  if (connection->newer)
    connection->newer->older = connection->older;
  else
    shelf->newest = connection->older;
  if (connection->older) connection->older->newer = connection->newer;
  shelf->count--;
  show_count(connection->home, connection->backend_id);
}

static void release(neap_connection *connection) {
  neap_timer_clear(&connection->idle);
  neap_stream_close(&connection->stream);
  connection->older = connection->home->free;
  connection->home->free = connection;
}

static void close_kept(neap_connection *connection) {
  take_off(connection);
  release(connection);
}

static void empty_shelf(kept_list *shelf) {
  while (shelf->newest) close_kept(shelf->newest);
}

/* The shelf of a backend, empty where what lies there leads to another that had the same id before. */
static kept_list *shelf_for(neap_connections *connections, const neap_backend *backend) {
  if (backend->id >= connections->shelf_count) {
    uint32_t count = NEAP_MAX(backend->id + 1, connections->shelf_count * 2);
    kept_list *grown = realloc(connections->shelves, count * sizeof *grown);
    if (grown == NULL) return NULL;
    for (uint32_t i = connections->shelf_count; i < count; i++) grown[i] = (kept_list){0};
    connections->shelves = grown;
    connections->shelf_count = count;
  }
  kept_list *shelf = &connections->shelves[backend->id];
  make_block(connections, backend->id);
  if (shelf->serial != backend->serial) {
    empty_shelf(shelf);
    shelf->serial = backend->serial;
  }
  return shelf;
}

/* --- what the stream tells */

static void on_readable(void *user) {
  neap_connection *connection = user;
  if (connection->vt)
    connection->vt->readable(connection->user);
  else
    close_kept(connection);
}

static void on_sent(void *user) {
  neap_connection *connection = user;
  connection->vt->sent(connection->user);
}

static void on_failed(void *user) {
  neap_connection *connection = user;
  if (connection->vt)
    connection->vt->failed(connection->user);
  else
    close_kept(connection);
}

static void on_connected(void *user, int error) {
  neap_connection *connection = user;
  connection->vt->connected(connection->user, error);
}

static const neap_stream_vt stream_vt = {.name = "backend",
                                         .readable = on_readable,
                                         .sent = on_sent,
                                         .failed = on_failed,
                                         .connected = on_connected};

/* Left running while the connection is in use: setting it later is cheaper than stopping and starting it. */
static void on_idle(neap_timer *timer) {
  neap_connection *connection = NEAP_CONTAINER_OF(timer, neap_connection, idle);
  if (connection->vt == NULL) close_kept(connection);
}

/* --- for the user */

int neap_connection_open(neap_connections *connections, neap_backend *backend, const neap_connection_vt *vt,
                         void *user, neap_connection **out) {
  if (shelf_for(connections, backend) == NULL) return NEAP_ENOMEM; /* a place to keep it later */
  neap_connection *connection = connections->free;
  if (connection)
    connections->free = connection->older;
  else
    connection = malloc(sizeof *connection);
  if (connection == NULL) return NEAP_ENOMEM;
  *connection = (neap_connection){
      .home = connections, .vt = vt, .user = user, .serial = backend->serial, .backend_id = backend->id};
  neap_timer_init(&connection->idle, on_idle);
  int code =
      neap_stream_connect(connections->loop, &backend->address, &stream_vt, connection, &connection->stream);
  if (code) {
    release(connection);
    return code;
  }
  *out = connection;
  return 0;
}

neap_connection *neap_connection_take(neap_connections *connections, neap_backend *backend,
                                      const neap_connection_vt *vt, void *user) {
  kept_list *shelf = shelf_for(connections, backend);
  if (shelf == NULL || shelf->newest == NULL) return NULL;
  neap_connection *connection = shelf->newest;
  take_off(connection);
  connection->vt = vt;
  connection->user = user;
  return connection;
}

neap_stream *neap_connection_stream(neap_connection *connection) {
  return connection->stream;
}

void neap_connection_serve(neap_connection *connection, const neap_connection_vt *vt, void *user) {
  connection->vt = vt;
  connection->user = user;
}

bool neap_connection_is_quiet(neap_connection *connection) {
  char byte;
  return neap_stream_read(connection->stream, &byte, 1) == NEAP_EBUSY;
}

void neap_connection_keep(neap_connection **connection_ptr, uint64_t idle_timeout_ms, uint32_t max_idle) {
  neap_connection *connection = *connection_ptr;
  kept_list *shelf = shelf_of(connection->home, connection);
  if (shelf->serial != connection->serial || shelf->count >= max_idle) {
    neap_connection_drop(connection_ptr);
    return;
  }
  *connection_ptr = NULL;
  connection->vt = NULL;
  connection->user = NULL;
  connection->newer = NULL;
  connection->older = shelf->newest;
  if (shelf->newest) shelf->newest->newer = connection;
  shelf->newest = connection;
  shelf->count++;
  show_count(connection->home, connection->backend_id);
  neap_stream_reading(connection->stream, true);
  neap_timer_set(connection->home->loop, &connection->idle, idle_timeout_ms);
}

void neap_connection_drop(neap_connection **connection) {
  if (*connection == NULL) return;
  release(*connection);
  *connection = NULL;
}

void neap_connections_destroy(neap_connections **connections_ptr) {
  neap_connections *connections = *connections_ptr;
  if (connections == NULL) return;
  *connections_ptr = NULL;
  for (uint32_t i = 0; i < connections->shelf_count; i++) empty_shelf(&connections->shelves[i]);
  while (connections->free) {
    neap_connection *connection = connections->free;
    connections->free = connection->older;
    free(connection);
  }
  for (uint32_t i = 0; i < KEPT_BLOCKS; i++)
    free(atomic_load_explicit(&connections->kept[i], memory_order_relaxed));
  free(connections->shelves);
  free(connections);
}
