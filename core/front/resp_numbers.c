/* Commands that make a new value of the one that is there. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "front/resp_handlers.h"

enum { NUMBER_TEXT = 256 };

/* With the time to live that the key has. */
static int store_kept(neap_port_call *call, neap_view key, neap_view bytes, const neap_port_value *before) {
  int64_t expires = before ? neap_port_expires(call, before) : NEAP_PORT_NEVER;
  uint64_t ttl_ms = before ? neap_port_ttl(call, expires) : NEAP_TTL_DEFAULT;
  return neap_port_store(call, key, bytes, NEAP_MAX(ttl_ms, before ? 1u : 0u));
}

/* A value as text that ends with NUL; false where it is too long to be a number. */
static bool number_text(const neap_port_value *value, char out[NUMBER_TEXT], size_t *size) {
  *size = (size_t)neap_port_value_size(value);
  if (*size >= NUMBER_TEXT) return false;
  if (*size > 0) memcpy(out, neap_port_value_piece(value, 0).ptr, *size);
  out[*size] = '\0';
  return true;
}

/* --- integers */

static const char *add(const neap_port_value *value, int64_t by, int64_t *sum) {
  char text[NUMBER_TEXT];
  size_t size;
  int64_t number = 0;
  if (value && (!number_text(value, text, &size) || !neap_resp_integer((neap_view){text, size}, &number)))
    return "ERR value is not an integer or out of range";
  return __builtin_add_overflow(number, by, sum) ? "ERR increment or decrement would overflow" : NULL;
}

static void increment(neap_port_call *call, int64_t by) {
  neap_view key = neap_port_arg(call, 1);
  char text[NUMBER_TEXT];
  int64_t sum = 0;
  int code = 0;
  const neap_port_value *value = neap_port_open(call, key, true);
  const char *fault = add(value, by, &sum);
  if (fault == NULL) {
    int size = snprintf(text, sizeof text, "%lld", (long long)sum);
    code = store_kept(call, key, (neap_view){text, (size_t)size}, value);
  }
  neap_port_done(call, key);
  if (fault)
    neap_port_put_error(call, fault);
  else if (code)
    neap_port_put_failure(call, code);
  else
    neap_resp_put_integer(call->out, sum);
}

void neap_port_incr(neap_port_call *call) {
  increment(call, 1);
}

void neap_port_decr(neap_port_call *call) {
  increment(call, -1);
}

void neap_port_incrby(neap_port_call *call) {
  int64_t by;
  if (neap_port_arg_integer(call, 2, &by)) increment(call, by);
}

void neap_port_decrby(neap_port_call *call) {
  int64_t by;
  if (!neap_port_arg_integer(call, 2, &by)) return;
  if (by == INT64_MIN)
    neap_port_put_error(call, "ERR decrement would overflow");
  else
    increment(call, -by);
}

/* --- fractions */

/* What Redis takes for a number. The program and its library stay in the locale "C". */
static bool read_fraction(const char *text, size_t size, long double *out) {
  char *end;
  if (size == 0 || size >= NUMBER_TEXT || isspace((unsigned char)text[0])) return false;
  errno = 0;
  *out = strtold(text, &end);
  if (end != text + size || isnan(*out)) return false;
  return errno != ERANGE || !(isinf(*out) || fpclassify(*out) == FP_ZERO);
}

static size_t write_fraction(long double number, char *out, size_t room) {
  int size = snprintf(out, room, "%.17Lf", number);
  if (size < 0 || (size_t)size >= room) return 0;
  if (memchr(out, '.', (size_t)size)) {
    while (out[size - 1] == '0') size--;
    if (out[size - 1] == '.') size--;
  }
  if (size == 2 && memcmp(out, "-0", 2) == 0) {
    out[0] = '0';
    size = 1;
  }
  return (size_t)size;
}

static const char *add_fraction(const neap_port_value *value, long double by, long double *sum) {
  char text[NUMBER_TEXT];
  size_t size;
  long double number = 0;
  if (value && (!number_text(value, text, &size) || !read_fraction(text, size, &number)))
    return "ERR value is not a valid float";
  *sum = number + by;
  return isnan(*sum) || isinf(*sum) ? "ERR increment would produce NaN or Infinity" : NULL;
}

static bool fraction_arg(neap_port_call *call, size_t i, long double *out) {
  neap_view arg = neap_port_arg(call, i);
  char text[NUMBER_TEXT];
  bool fits = arg.size < sizeof text;
  if (fits && arg.size > 0) memcpy(text, arg.ptr, arg.size);
  if (fits) text[arg.size] = '\0';
  if (fits && read_fraction(text, arg.size, out)) return true;
  neap_port_put_error(call, "ERR value is not a valid float");
  return false;
}

void neap_port_incrbyfloat(neap_port_call *call) {
  long double by, sum = 0;
  char text[5 * 1024]; /* the largest has 4933 digits and a fraction */
  size_t size = 0;
  int code = 0;
  neap_view key = neap_port_arg(call, 1);
  const neap_port_value *value = neap_port_open(call, key, true);
  if (fraction_arg(call, 2, &by)) {
    const char *fault = add_fraction(value, by, &sum);
    if (fault == NULL) size = write_fraction(sum, text, sizeof text);
    if (size > 0) code = store_kept(call, key, (neap_view){text, size}, value);
    if (fault)
      neap_port_put_error(call, fault);
    else if (code)
      neap_port_put_failure(call, code);
    else
      neap_resp_put_bulk(call->out, (neap_view){text, size});
  }
  neap_port_done(call, key);
}

/* --- bytes */

/* The value that is there with more behind it, as one that is put in parts. */
static int append(neap_port_call *call, neap_view key, const neap_port_value *value, neap_view more) {
  neap_put_options options = {.ttl_ms = NEAP_MAX(neap_port_ttl(call, neap_port_expires(call, value)), 1u)};
  if (call->front->port) return neap_port_write_joined(call, key, value, more, options.ttl_ms);
  neap_fill *fill;
  neap_view piece;
  int code =
      neap_cache_put_begin(call->keys->cache, key, neap_port_value_size(value) + more.size, &options, &fill);
  if (code) return code;
  for (size_t i = 0; code == 0 && (piece = neap_port_value_piece(value, i)).size > 0; i++)
    code = neap_fill_append(fill, piece);
  if (code == 0 && more.size > 0) code = neap_fill_append(fill, more);
  if (code == 0) {
    code = neap_fill_commit(&fill, NULL);
    if (code == 0) neap_port_changed(call, key);
    return code;
  }
  neap_fill_abort(&fill);
  return code;
}

void neap_port_append(neap_port_call *call) {
  neap_view key = neap_port_arg(call, 1), more = neap_port_arg(call, 2);
  const neap_port_value *value = neap_port_open(call, key, true);
  uint64_t size = (value ? neap_port_value_size(value) : 0) + more.size;
  int code = value ? append(call, key, value, more) : neap_port_store(call, key, more, NEAP_TTL_DEFAULT);
  if (code == NEAP_EREFUSED) {
    neap_port_remove(call, key);
    code = 0;
  }
  neap_port_done(call, key);
  if (code)
    neap_port_put_failure(call, code);
  else
    neap_resp_put_integer(call->out, (int64_t)size);
}
