/* Commands that read and set values. */
#include "front/resp_handlers.h"

/* --- reading */

/* hot: */
static void put_key(neap_port_call *call, neap_view key) {
  const neap_port_value *value = neap_port_look(call, key, true);
  if (value)
    neap_port_put_value(call, value);
  else
    neap_resp_put_null(call->out);
}

/* hot: */
void neap_port_get(neap_port_call *call) {
  neap_port_borrow(call->front);
  put_key(call, neap_port_arg(call, 1));
}

void neap_port_mget(neap_port_call *call) {
  neap_port_borrow(call->front);
  neap_resp_put_array(call->out, call->count - 1);
  for (size_t i = 1; i < call->count; i++) put_key(call, neap_port_arg(call, i));
}

void neap_port_strlen(neap_port_call *call) {
  neap_port_borrow(call->front);
  const neap_port_value *value = neap_port_look(call, neap_port_arg(call, 1), true);
  neap_resp_put_integer(call->out, value ? (int64_t)neap_port_value_size(value) : 0);
}

/* --- options of SET and GETEX */

typedef enum setting {
  SET_NX = 1,
  SET_XX = 2,
  SET_GET = 4,
  SET_KEEPTTL = 8,
  SET_PERSIST = 16,
  SET_EX = 32,
  SET_PX = 64,
  SET_EXAT = 128,
  SET_PXAT = 256,
  SET_TIMES = SET_EX | SET_PX | SET_EXAT | SET_PXAT
} setting;

typedef struct settings {
  unsigned flags;
  size_t time; /* number of the argument that says when; 0: none */
} settings;

/* What each option says, with which others it cannot be, and whose it is. */
static const struct {
  const char *word;
  unsigned flag, not_with;
  bool of_set, of_getex, takes_time;
} options[] = {
    {"nx", SET_NX, SET_XX, true, false, false},
    {"xx", SET_XX, SET_NX, true, false, false},
    {"get", SET_GET, 0, true, false, false},
    {"keepttl", SET_KEEPTTL, SET_PERSIST | SET_TIMES, true, false, false},
    {"persist", SET_PERSIST, SET_KEEPTTL | SET_TIMES, false, true, false},
    {"ex", SET_EX, SET_KEEPTTL | SET_PERSIST | (SET_TIMES & ~SET_EX), true, true, true},
    {"px", SET_PX, SET_KEEPTTL | SET_PERSIST | (SET_TIMES & ~SET_PX), true, true, true},
    {"exat", SET_EXAT, SET_KEEPTTL | SET_PERSIST | (SET_TIMES & ~SET_EXAT), true, true, true},
    {"pxat", SET_PXAT, SET_KEEPTTL | SET_PERSIST | (SET_TIMES & ~SET_PXAT), true, true, true},
};

static bool read_option(const neap_port_call *call, size_t *i, bool of_set, settings *out) {
  for (size_t j = 0; j < NEAP_COUNT_OF(options); j++) {
    if (!neap_port_arg_is(call, *i, options[j].word)) continue;
    if (!(of_set ? options[j].of_set : options[j].of_getex) || (out->flags & options[j].not_with))
      return false;
    if (options[j].takes_time) {
      if (*i + 1 == call->count) return false;
      out->time = ++*i;
    }
    out->flags |= options[j].flag;
    return true;
  }
  return false;
}

static bool read_settings(neap_port_call *call, size_t from, bool of_set, settings *out) {
  *out = (settings){0};
  for (size_t i = from; i < call->count; i++) {
    if (read_option(call, &i, of_set, out)) continue;
    neap_port_put_syntax_error(call);
    return false;
  }
  return true;
}

static bool refuse_time(neap_port_call *call) {
  neap_port_put_errorf(call, "ERR invalid expire time in '%s' command", call->command->name);
  return false;
}

/* The argument as milliseconds since 1970; says why not. `seconds`, `from_now`: what it means. */
static bool read_time(neap_port_call *call, size_t i, bool seconds, bool from_now, int64_t *expires) {
  int64_t number, base = from_now ? neap_port_wall_ms(call) : 0;
  if (!neap_port_arg_integer(call, i, &number)) return false;
  if (number <= 0 || (seconds && number > INT64_MAX / 1000)) return refuse_time(call);
  if (seconds) number *= 1000;
  if (number > INT64_MAX - base) return refuse_time(call);
  *expires = number + base;
  return true;
}

static bool read_times(neap_port_call *call, const settings *set, int64_t *expires) {
  *expires = NEAP_PORT_NEVER;
  if (set->time == 0) return true;
  return read_time(call, set->time, set->flags & (SET_EX | SET_EXAT), set->flags & (SET_EX | SET_PX),
                   expires);
}

/* --- setting */

/* What is to go at once is not stored. `expires` NEVER: as the cache does by default. */
static int put(neap_port_call *call, neap_view key, neap_view value, int64_t expires) {
  uint64_t ttl_ms = expires == NEAP_PORT_NEVER ? NEAP_TTL_DEFAULT : neap_port_ttl(call, expires);
  if (expires == NEAP_PORT_NEVER || ttl_ms > 0) return neap_port_store(call, key, value, ttl_ms);
  neap_port_remove(call, key);
  return 0;
}

static void put_result(neap_port_call *call, int code) {
  if (code)
    neap_port_put_failure(call, code);
  else
    neap_port_put_ok(call);
}

/* hot: */
static void set_plainly(neap_port_call *call, int64_t expires) {
  neap_view key = neap_port_arg(call, 1);
  neap_port_lock(call->keys, key);
  int code = put(call, key, neap_port_arg(call, call->count == 4 ? 3 : 2), expires);
  neap_port_unlock(call->keys, key);
  put_result(call, code);
}

static void put_old(neap_port_call *call, const neap_port_value *value) {
  if (value)
    neap_port_put_value(call, value);
  else
    neap_resp_put_null(call->out);
}

/* Sets as the options say. With GET the answer is what was there, also where nothing was set. */
static void set_so(neap_port_call *call, const settings *set, int64_t expires) {
  neap_view key = neap_port_arg(call, 1);
  size_t before = call->out->size;
  const neap_port_value *value = neap_port_open(call, key, set->flags & SET_GET);
  bool sets = !(value ? set->flags & SET_NX : set->flags & SET_XX);
  int code = 0;
  if (set->flags & SET_GET) put_old(call, value);
  if (value && (set->flags & SET_KEEPTTL)) expires = neap_port_expires(call, value);
  if (sets && value && (set->flags & SET_KEEPTTL) && expires == NEAP_PORT_NEVER)
    code = neap_port_store(call, key, neap_port_arg(call, 2), NEAP_TTL_NEVER);
  else if (sets)
    code = put(call, key, neap_port_arg(call, 2), expires);
  neap_port_done(call, key);
  if (code) {
    neap_port_take_back(call, before);
    neap_port_put_failure(call, code);
  } else if (!(set->flags & SET_GET)) {
    sets ? neap_port_put_ok(call) : neap_resp_put_null(call->out);
  }
}

/* hot: */
void neap_port_set(neap_port_call *call) {
  settings set;
  int64_t expires;
  if (call->count == 3) {
    set_plainly(call, NEAP_PORT_NEVER);
    return;
  }
  if (read_settings(call, 3, true, &set) && read_times(call, &set, &expires)) set_so(call, &set, expires);
}

void neap_port_setex(neap_port_call *call) {
  int64_t expires;
  if (read_time(call, 2, true, true, &expires)) set_plainly(call, expires);
}

void neap_port_psetex(neap_port_call *call) {
  int64_t expires;
  if (read_time(call, 2, false, true, &expires)) set_plainly(call, expires);
}

void neap_port_setnx(neap_port_call *call) {
  neap_view key = neap_port_arg(call, 1);
  const neap_port_value *value = neap_port_open(call, key, false);
  int code = value ? 0 : put(call, key, neap_port_arg(call, 2), NEAP_PORT_NEVER);
  neap_port_done(call, key);
  if (code)
    neap_port_put_failure(call, code);
  else
    neap_resp_put_integer(call->out, value == NULL);
}

void neap_port_getset(neap_port_call *call) {
  set_so(call, &(settings){.flags = SET_GET}, NEAP_PORT_NEVER);
}

void neap_port_mset(neap_port_call *call) {
  int code = 0;
  if (call->count % 2 == 0) {
    neap_port_put_error(call, "ERR wrong number of arguments for 'mset' command");
    return;
  }
  if (call->front->port) code = neap_port_write_all(call);
  for (size_t i = 1; i < call->count && code == 0 && !call->front->port; i += 2) {
    neap_view key = neap_port_arg(call, i);
    neap_port_lock(call->keys, key);
    code = put(call, key, neap_port_arg(call, i + 1), NEAP_PORT_NEVER);
    neap_port_unlock(call->keys, key);
  }
  put_result(call, code);
}

/* --- reading and changing */

void neap_port_getdel(neap_port_call *call) {
  neap_view key = neap_port_arg(call, 1);
  const neap_port_value *value = neap_port_open(call, key, true);
  put_old(call, value);
  if (value) neap_port_remove(call, key);
  neap_port_done(call, key);
}

void neap_port_getex(neap_port_call *call) {
  settings set;
  int64_t expires = NEAP_PORT_NEVER;
  if (!read_settings(call, 2, false, &set)) return;
  neap_view key = neap_port_arg(call, 1);
  const neap_port_value *value = neap_port_open(call, key, true);
  if (value == NULL) {
    neap_resp_put_null(call->out);
  } else if (read_times(call, &set, &expires)) {
    neap_port_put_value(call, value);
    if (set.time || (set.flags & SET_PERSIST)) neap_port_expire_at(call, key, expires);
  }
  neap_port_done(call, key);
}
