/* Commands about how long keys stay. */
#include "front/resp_handlers.h"

bool neap_port_expire_at(neap_port_call *call, neap_view key, int64_t expires) {
  uint64_t ttl_ms = neap_port_ttl(call, expires);
  if (ttl_ms == 0) return neap_port_remove(call, key);
  if (call->front->port) {
    neap_port_write_joined(call, key, &call->value, (neap_view){"", 0}, ttl_ms);
    return false;
  }
  if (neap_cache_touch(call->keys->cache, key, ttl_ms) == 0) neap_port_changed(call, key);
  return false;
}

/* --- when a key goes */

typedef enum condition { IF_NX = 1, IF_XX = 2, IF_GT = 4, IF_LT = 8 } condition;

static bool read_conditions(neap_port_call *call, unsigned *out) {
  static const char *const words[] = {"nx", "xx", "gt", "lt"};
  *out = 0;
  for (size_t i = 3; i < call->count; i++) {
    size_t j = 0;
    while (j < NEAP_COUNT_OF(words) && !neap_port_arg_is(call, i, words[j])) j++;
    if (j == NEAP_COUNT_OF(words)) {
      neap_view word = neap_port_word(neap_port_arg(call, i));
      neap_port_put_errorf(call, "ERR Unsupported option %.*s", (int)word.size, word.ptr);
      return false;
    }
    *out |= 1u << j;
  }
  const char *fault = NULL;
  if ((*out & IF_NX) && (*out & ~(unsigned)IF_NX))
    fault = "ERR NX and XX, GT or LT options at the same time are not compatible";
  else if ((*out & IF_GT) && (*out & IF_LT))
    fault = "ERR GT and LT options at the same time are not compatible";
  if (fault) neap_port_put_error(call, fault);
  return fault == NULL;
}

static bool holds(unsigned conditions, int64_t now, int64_t wanted) {
  bool never = now == NEAP_PORT_NEVER;
  if ((conditions & IF_NX) && !never) return false;
  if ((conditions & IF_XX) && never) return false;
  if ((conditions & IF_GT) && (never || wanted <= now)) return false;
  return !(conditions & IF_LT) || never || wanted < now;
}

static bool read_when(neap_port_call *call, bool seconds, bool from_now, int64_t *out) {
  int64_t number, base = from_now ? neap_port_wall_ms(call) : 0;
  if (!neap_port_arg_integer(call, 2, &number)) return false;
  bool fits = !seconds || (number <= INT64_MAX / 1000 && number >= INT64_MIN / 1000);
  if (fits && seconds) number *= 1000;
  if (!fits || number > INT64_MAX - base) {
    neap_port_put_errorf(call, "ERR invalid expire time in '%s' command", call->command->name);
    return false;
  }
  *out = number + base;
  return true;
}

static void expire(neap_port_call *call, bool seconds, bool from_now) {
  unsigned conditions;
  int64_t when;
  if (!read_conditions(call, &conditions) || !read_when(call, seconds, from_now, &when)) return;
  if (when == NEAP_PORT_NEVER) when--; /* long past, all the same */
  neap_view key = neap_port_arg(call, 1);
  const neap_port_value *value = neap_port_open(call, key, false);
  bool done = value && holds(conditions, neap_port_expires(call, value), when);
  if (done) neap_port_expire_at(call, key, when);
  neap_port_done(call, key);
  neap_resp_put_integer(call->out, done);
}

void neap_port_expire(neap_port_call *call) {
  expire(call, true, true);
}
void neap_port_pexpire(neap_port_call *call) {
  expire(call, false, true);
}
void neap_port_expireat(neap_port_call *call) {
  expire(call, true, false);
}
void neap_port_pexpireat(neap_port_call *call) {
  expire(call, false, false);
}

void neap_port_persist(neap_port_call *call) {
  neap_view key = neap_port_arg(call, 1);
  const neap_port_value *value = neap_port_open(call, key, false);
  bool done = value && neap_port_expires(call, value) != NEAP_PORT_NEVER;
  if (done) neap_port_expire_at(call, key, NEAP_PORT_NEVER);
  neap_port_done(call, key);
  neap_resp_put_integer(call->out, done);
}

/* --- how long it stays */

static int64_t expires_of(neap_port_call *call) {
  neap_port_borrow(call->front);
  const neap_port_value *value = neap_port_look(call, neap_port_arg(call, 1), false);
  return value ? neap_port_expires(call, value) : NEAP_PORT_GONE;
}

static void put_time(neap_port_call *call, int64_t ms, bool seconds) {
  neap_resp_put_integer(call->out, ms < 0 || !seconds ? ms : (ms + 500) / 1000);
}

static void left(neap_port_call *call, bool seconds) {
  int64_t expires = expires_of(call);
  if (expires >= 0) expires = NEAP_MAX(expires - neap_port_wall_ms(call), 0);
  put_time(call, expires, seconds);
}

void neap_port_ttl_command(neap_port_call *call) {
  left(call, true);
}
void neap_port_pttl(neap_port_call *call) {
  left(call, false);
}
void neap_port_expiretime(neap_port_call *call) {
  put_time(call, expires_of(call), true);
}
void neap_port_pexpiretime(neap_port_call *call) {
  put_time(call, expires_of(call), false);
}
