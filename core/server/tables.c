/* The data tables of a gateway. A table stays over reloads as long as it is configured alike; the file of one
 * is looked at every second, and read again on a thread of its own when it has changed. What cannot be read
 * changes nothing.
 *
 *   control thread: looks, starts, tells      builder: reads, parses, swaps, frees what was before */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/gateway.h"

enum { WATCH_MS = 1000, PATH_SIZE = 1024 };
#define FILE_MAX ((off_t)1 << 30)

/* What tells one version of a file from the next. */
typedef struct version {
  dev_t device;
  ino_t file;
  off_t size;
  struct timespec changed;
} version;

struct neap_table_seat {
  neap_table table; /* first: what generations hold */
  neap_table_seat *next;
  char *name, *path; /* path NULL: the rows are in the configuration */
  uint64_t hash;     /* of those */
  bool rates;        /* each value has to be one */
  uint32_t uses;
  version version; /* that was read last, or tried to */
  bool gone;       /* the file was not there when it was looked at last */
  uint64_t loaded_ms, took_us;
  char error[sizeof((neap_err *)0)->text]; /* why the newest version was not taken; "" : it was */
};

struct neap_tables {
  neap_gateway *gateway;
  pthread_mutex_t lock; /* of the list, the uses, and what is told of a table */
  neap_table_seat *list;
  neap_table_readers readers;
  neap_timer watch;
  /* the builder */
  bool building;
  pthread_t thread;
  neap_table_seat *seat; /* what it works at; it has a use of it */
  neap_task built;
  int code;
  neap_err err;
};

/* --- reading a file ------------------------------------------------------------------------------------ */

static version version_of(const struct stat *about) {
  return (version){about->st_dev, about->st_ino, about->st_size, about->st_mtim};
}

static bool same_version(const version *a, const version *b) {
  return a->device == b->device && a->file == b->file && a->size == b->size &&
         a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static int read_all(int fd, const char *path, char **text, size_t *size, version *seen, neap_err *err) {
  struct stat before, after;
  if (fstat(fd, &before)) return neap_fail(err, NEAP_EIO, "cannot read %s: %s", path, strerror(errno));
  *seen = version_of(&before);
  if (!S_ISREG(before.st_mode)) return neap_fail(err, NEAP_EIO, "cannot read %s: not a file", path);
  if (before.st_size > FILE_MAX) return neap_fail(err, NEAP_EIO, "cannot read %s: larger than 1 GB", path);
  size_t want = (size_t)before.st_size, used = 0;
  char *bytes = malloc(want + 1);
  if (bytes == NULL) return neap_fail(err, NEAP_ENOMEM, "%s: out of memory", path);
  ssize_t got = 1;
  while (used < want && (got = read(fd, bytes + used, want - used)) > 0) used += (size_t)got;
  bool whole = used == want && fstat(fd, &after) == 0;
  version then = whole ? version_of(&after) : *seen;
  if (!whole || !same_version(seen, &then)) {
    free(bytes);
    return neap_fail(err, NEAP_EBUSY, "%s: changed while it was read", path);
  }
  *text = bytes;
  *size = want;
  return 0;
}

/* Rows of a text (taken), as the table wants them. */
static int parse(const neap_table_seat *seat, const char *name, char *text, size_t size, neap_rows **out,
                 neap_err *err) {
  int code = neap_rows_parse(seat->table.kind, name, text, size, out, err);
  if (code || !seat->rates) return code;
  code = neap_rows_check_rates(*out, name, err);
  if (code) neap_rows_destroy(out);
  return code;
}

static int load_file(const neap_table_seat *seat, version *seen, neap_rows **rows, neap_err *err) {
  const char *path = seat->path;
  *seen = (version){0};
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hold us */
  if (fd < 0) return neap_fail(err, NEAP_EIO, "cannot read %s: %s", path, strerror(errno));
  char *text;
  size_t size;
  int code = read_all(fd, path, &text, &size, seen, err);
  close(fd);
  return code ? code : parse(seat, path, text, size, rows, err);
}

/* --- seats --------------------------------------------------------------------------------------------- */

static void free_seat(neap_table_seat *seat) {
  neap_rows *rows = atomic_load(&seat->table.rows);
  neap_rows_destroy(&rows);
  free(seat->name);
  free(seat->path);
  free(seat);
}

static uint64_t now_us(const neap_tables *tables) {
  return tables->gateway->host->now_ns(tables->gateway->host->user) / 1000;
}

static int load_seat(neap_tables *tables, neap_table_seat *seat, const neap_config_table *from,
                     neap_err *err) {
  neap_rows *rows = NULL;
  uint64_t start_us = now_us(tables);
  int code;
  if (seat->path) {
    code = load_file(seat, &seat->version, &rows, err);
  } else {
    char name[96], *text = strdup(from->rows);
    snprintf(name, sizeof name, "rows of table %s", from->name);
    code = text ? parse(seat, name, text, strlen(text), &rows, err)
                : neap_fail(err, NEAP_ENOMEM, "out of memory");
  }
  if (code) return code;
  atomic_store(&seat->table.rows, rows);
  seat->loaded_ms = neap_clock_wall_ms();
  seat->took_us = now_us(tables) - start_us;
  return 0;
}

static int make_seat(neap_tables *tables, const neap_config_table *from, const char *path,
                     neap_table_seat **out, neap_err *err) {
  neap_table_seat *seat = calloc(1, sizeof *seat);
  if (seat == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  seat->table.kind = from->kind;
  seat->hash = from->hash;
  seat->rates = from->rates;
  seat->uses = 1;
  seat->name = strdup(from->name);
  seat->path = path ? strdup(path) : NULL;
  int code = seat->name && (seat->path || path == NULL) ? load_seat(tables, seat, from, err)
                                                        : neap_fail(err, NEAP_ENOMEM, "out of memory");
  if (code)
    free_seat(seat);
  else
    *out = seat;
  return code;
}

static bool is_same(const neap_table_seat *seat, const neap_config_table *from, const char *path) {
  if (seat->table.kind != from->kind || seat->rates != from->rates || strcmp(seat->name, from->name) != 0)
    return false;
  if (seat->path == NULL || path == NULL)
    return seat->path == NULL && path == NULL && seat->hash == from->hash;
  return strcmp(seat->path, path) == 0;
}

static neap_table_seat *find_seat(neap_tables *tables, const neap_config_table *from, const char *path) {
  pthread_mutex_lock(&tables->lock);
  neap_table_seat *seat = tables->list;
  while (seat && !is_same(seat, from, path)) seat = seat->next;
  if (seat) seat->uses++;
  pthread_mutex_unlock(&tables->lock);
  return seat;
}

static int take(neap_tables *tables, const neap_config_table *from, const char *folder, neap_table **out,
                neap_err *err) {
  char path[PATH_SIZE];
  bool in_folder = from->file[0] != '/' && folder && strcmp(folder, ".") != 0;
  int size = snprintf(path, sizeof path, "%s%s%s", in_folder ? folder : "", in_folder ? "/" : "", from->file);
  if (size >= (int)sizeof path)
    return neap_fail(err, NEAP_EINVAL, "table %s: the path is too long", from->name);
  const char *where = from->file[0] ? path : NULL;
  neap_table_seat *seat = find_seat(tables, from, where);
  if (seat == NULL) { /* loads are prepared one at a time: nobody else makes it meanwhile */
    int code = make_seat(tables, from, where, &seat, err);
    if (code) return code;
    pthread_mutex_lock(&tables->lock);
    seat->next = tables->list;
    tables->list = seat;
    pthread_mutex_unlock(&tables->lock);
  }
  *out = &seat->table;
  return 0;
}

static void give(neap_tables *tables, neap_table *table) {
  neap_table_seat *seat = NEAP_CONTAINER_OF(table, neap_table_seat, table);
  pthread_mutex_lock(&tables->lock);
  bool last = --seat->uses == 0;
  neap_table_seat **at = &tables->list;
  while (last && *at != seat) at = &(*at)->next;
  if (last) *at = seat->next;
  pthread_mutex_unlock(&tables->lock);
  if (last) free_seat(seat);
}

neap_table_readers *neap_tables_readers(neap_tables *tables) {
  return &tables->readers;
}

/* --- what a generation has of them -------------------------------------------------------------------------
 */

/* The rows of a table, where the worker of this part has announced that it reads; else NULL. */
static const neap_rows *rows_of(const neap_loaded_part *part, int32_t table) {
  const neap_loaded *loaded = part->loaded;
  const neap_table_readers *readers = part->generation.readers;
  size_t place = (size_t)(part - loaded->parts);
  if (table < 0 || (size_t)table >= loaded->config->table_count) return NULL;
  if (atomic_load_explicit(&readers->of[place].since, memory_order_relaxed) == 0) return NULL;
  return neap_table_rows(loaded->tables[table]);
}

static bool get_row(void *user, int32_t table, neap_slice key, neap_slice *value) {
  const neap_rows *rows = rows_of(user, table);
  return rows && neap_rows_get(rows, key, value);
}

static bool draw_row(void *user, int32_t table, double number, neap_slice *name) {
  const neap_rows *rows = rows_of(user, table);
  return rows && neap_rows_draw(rows, number, name);
}

/* The folder of the configuration; "" where it has none. */
static void folder_of(const neap_gateway *gateway, char *out, size_t size) {
  const char *slash = gateway->options->text ? NULL : strrchr(gateway->options->name, '/');
  int length = slash ? (int)(slash - gateway->options->name) + (slash == gateway->options->name) : 0;
  snprintf(out, size, "%.*s", length, gateway->options->name);
}

int neap_tables_take(neap_loaded *loaded, neap_err *err) {
  const neap_config *config = loaded->config;
  char folder[1024];
  folder_of(loaded->gateway, folder, sizeof folder);
  loaded->tables = calloc(config->table_count + 1, sizeof *loaded->tables);
  if (loaded->tables == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  for (size_t i = 0; i < config->table_count; i++) {
    int code =
        take(loaded->gateway->tables, &config->tables[i], folder[0] ? folder : NULL, &loaded->tables[i], err);
    if (code) return code;
  }
  return 0;
}

void neap_tables_give(neap_loaded *loaded) {
  for (size_t i = 0; loaded->tables && loaded->tables[i]; i++)
    give(loaded->gateway->tables, loaded->tables[i]);
  free(loaded->tables);
}

void neap_tables_show(neap_loaded_part *part) {
  part->reader = (neap_table_reader){part, get_row, draw_row};
  neap_worker_read_tables(part->vm, &part->reader);
}

/* --- the builder --------------------------------------------------------------------------------------- */

static void *build(void *user) {
  neap_tables *tables = user;
  setpriority(PRIO_PROCESS, 0, 10); /* of this thread: where cores are few, requests go first */
  neap_table_seat *seat = tables->seat;
  neap_rows *rows = NULL;
  version seen;
  uint64_t start_us = now_us(tables);
  tables->code = load_file(seat, &seen, &rows, &tables->err);
  if (tables->code == 0) neap_table_swap(&seat->table, &tables->readers, rows);
  pthread_mutex_lock(&tables->lock);
  if (tables->code != NEAP_EBUSY) seat->version = seen; /* that one is looked at again */
  snprintf(seat->error, sizeof seat->error, "%s", tables->code ? tables->err.text : "");
  if (tables->code == 0) {
    seat->loaded_ms = neap_clock_wall_ms();
    seat->took_us = now_us(tables) - start_us;
  }
  pthread_mutex_unlock(&tables->lock);
  neap_loop_post(tables->gateway->loop, &tables->built);
  return NULL;
}

static void join_builder(neap_tables *tables) {
  if (!tables->building) return;
  pthread_join(tables->thread, NULL);
  tables->building = false;
  give(tables, &tables->seat->table);
}

static void on_built(neap_task *task) {
  neap_tables *tables = NEAP_CONTAINER_OF(task, neap_tables, built);
  const neap_table_seat *seat = tables->seat;
  if (tables->code)
    neap_gateway_log(tables->gateway, NEAP_LOG_ERROR, "table refused name=%s error=\"%s\"", seat->name,
                     tables->err.text);
  else
    neap_gateway_log(tables->gateway, NEAP_LOG_INFO, "table loaded name=%s rows=%zu took_ms=%.1f", seat->name,
                     neap_rows_count(atomic_load(&seat->table.rows)), (double)seat->took_us / 1e3);
  join_builder(tables);
}

/* Under the lock. Tells once that the file is gone; the rows stay. */
static void tell_gone(neap_tables *tables, neap_table_seat *seat, int why) {
  if (seat->gone) return;
  seat->gone = true;
  snprintf(seat->error, sizeof seat->error, "cannot read %s: %s; the old rows stay", seat->path,
           strerror(why));
  neap_gateway_log(tables->gateway, NEAP_LOG_ERROR, "table refused name=%s error=\"%s\"", seat->name,
                   seat->error);
}

/* Has the file another version than the one that was read, or is it back? */
static bool has_changed(neap_tables *tables, neap_table_seat *seat) {
  struct stat about;
  if (seat->path == NULL) return false;
  if (stat(seat->path, &about)) {
    tell_gone(tables, seat, errno);
    return false;
  }
  version now = version_of(&about);
  bool back = seat->gone;
  seat->gone = false;
  return back || !same_version(&now, &seat->version);
}

static void start_builder(neap_tables *tables, neap_table_seat *seat) {
  tables->seat = seat;
  tables->built.run = on_built;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the control thread's */
  tables->building = pthread_create(&tables->thread, NULL, build, tables) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!tables->building) give(tables, &seat->table);
}

/* Tables in use once more are looked at; one is built at a time. */
void neap_tables_look(neap_tables *tables) {
  if (tables->building) return;
  pthread_mutex_lock(&tables->lock);
  neap_table_seat *seat = tables->list;
  while (seat && !has_changed(tables, seat)) seat = seat->next;
  if (seat) seat->uses++;
  pthread_mutex_unlock(&tables->lock);
  if (seat) start_builder(tables, seat);
}

static void on_watch(neap_timer *timer) {
  neap_tables *tables = NEAP_CONTAINER_OF(timer, neap_tables, watch);
  neap_tables_look(tables);
  neap_timer_set(tables->gateway->loop, timer, WATCH_MS);
}

/* --- what is told of them ------------------------------------------------------------------------------ */

/* Under the lock: nothing is freed that is in the list, though rows may be swapped. So their number is read
 * as a reader reads them, in the place of nobody's worker. */
static json_t *show(neap_tables *tables, neap_table_seat *seat) {
  enum { NOBODY = NEAP_WORKERS_MAX };
  _Static_assert((int)NOBODY < (int)NEAP_TABLE_READERS, "a place beside the workers'");
  neap_table_enter(&tables->readers, NOBODY);
  const neap_rows *rows = neap_table_rows(&seat->table);
  size_t count = neap_rows_count(rows), bytes = neap_rows_bytes(rows);
  neap_table_leave(&tables->readers, NOBODY);
  json_t *out = json_pack("{s:s, s:I, s:I, s:I, s:f}", "name", seat->name, "rows", (json_int_t)count, "bytes",
                          (json_int_t)bytes, "loaded_ms", (json_int_t)seat->loaded_ms, "took_ms",
                          (double)seat->took_us / 1e3);
  if (seat->path) json_object_set_new(out, "file", neap_control_string(seat->path));
  if (seat->error[0]) json_object_set_new(out, "error", neap_control_string(seat->error));
  return out;
}

json_t *neap_tables_status(neap_tables *tables) {
  json_t *list = json_array();
  pthread_mutex_lock(&tables->lock);
  for (neap_table_seat *seat = tables->list; seat; seat = seat->next)
    json_array_append_new(list, show(tables, seat));
  pthread_mutex_unlock(&tables->lock);
  return list;
}

/* --- life ---------------------------------------------------------------------------------------------- */

int neap_tables_create(neap_gateway *gateway, neap_tables **out) {
  neap_tables *tables = aligned_alloc(NEAP_CACHE_LINE, sizeof *tables);
  if (tables == NULL) return NEAP_ENOMEM;
  memset(tables, 0, sizeof *tables);
  tables->gateway = gateway;
  atomic_store(&tables->readers.epoch, 1);
  pthread_mutex_init(&tables->lock, NULL);
  neap_timer_init(&tables->watch, on_watch);
  *out = tables;
  return 0;
}

void neap_tables_start(neap_tables *tables) {
  neap_timer_set(tables->gateway->loop, &tables->watch, WATCH_MS);
}

void neap_tables_stop(neap_tables *tables) {
  if (tables == NULL) return;
  neap_timer_clear(&tables->watch);
  join_builder(tables);
}

void neap_tables_destroy(neap_tables **tables_ptr) {
  neap_tables *tables = *tables_ptr;
  if (tables == NULL) return;
  neap_assert(tables->list == NULL && !tables->building);
  pthread_mutex_destroy(&tables->lock);
  free(tables);
  *tables_ptr = NULL;
}
