/* Commands and replies, written. */
#include "resp/resp.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "resp/number.h"

size_t neap_resp_head(char out[NEAP_RESP_HEAD_MAX], char mark, uint64_t number) {
  out[0] = mark;
  size_t size = 1 + resp_write_number(out + 1, number);
  out[size] = '\r';
  out[size + 1] = '\n';
  return size + 2;
}

/* --- commands */

static size_t head_size(uint64_t number) {
  return 3 + resp_digits(number);
}

size_t neap_resp_bulk_size(size_t size) {
  return head_size(size) + size + 2;
}

size_t neap_resp_bulk_write(char *out, neap_view bytes) {
  size_t size = neap_resp_head(out, '$', bytes.size);
  if (bytes.size > 0) memcpy(out + size, bytes.ptr, bytes.size);
  size += bytes.size;
  out[size] = '\r';
  out[size + 1] = '\n';
  return size + 2;
}

size_t neap_resp_command_size(const neap_view *args, size_t count) {
  size_t size = head_size(count);
  for (size_t i = 0; i < count; i++) size += neap_resp_bulk_size(args[i].size);
  return size;
}

size_t neap_resp_command_write(char *out, const neap_view *args, size_t count) {
  size_t size = neap_resp_head(out, '*', count);
  for (size_t i = 0; i < count; i++) size += neap_resp_bulk_write(out + size, args[i]);
  return size;
}

/* --- replies */

void neap_resp_out_init(neap_resp_out *out, size_t max) {
  *out = (neap_resp_out){.max = max};
}

void neap_resp_out_fini(neap_resp_out *out) {
  free(out->bytes);
  out->bytes = NULL;
  out->size = out->room = 0;
}

static bool make_room(neap_resp_out *out, size_t size) {
  if (out->failed) return false;
  if (size <= out->room - out->size) return true;
  size_t room = NEAP_MAX(out->size + size, NEAP_MIN(2 * out->room + 256, out->max));
  char *bytes = size > out->max || out->size > out->max - size ? NULL : realloc(out->bytes, room);
  if (bytes == NULL) {
    out->failed = true;
    return false;
  }
  out->bytes = bytes;
  out->room = room;
  return true;
}

static void put_head(neap_resp_out *out, char mark, uint64_t number) {
  char head[NEAP_RESP_HEAD_MAX];
  size_t size = neap_resp_head(head, mark, number);
  if (!make_room(out, size)) return;
  memcpy(out->bytes + out->size, head, size);
  out->size += size;
}

static void put_line(neap_resp_out *out, char mark, neap_view text) {
  if (text.size > out->max) out->failed = true;
  if (!make_room(out, text.size + 3)) return;
  char *at = out->bytes + out->size;
  *at++ = mark;
  for (size_t i = 0; i < text.size; i++)
    *at++ = text.ptr[i] == '\r' || text.ptr[i] == '\n' ? ' ' : text.ptr[i];
  *at++ = '\r';
  *at++ = '\n';
  out->size += text.size + 3;
}

void neap_resp_put_bytes(neap_resp_out *out, const char *bytes, size_t size) {
  if (size == 0 || !make_room(out, size)) return;
  memcpy(out->bytes + out->size, bytes, size);
  out->size += size;
}

void neap_resp_put_string(neap_resp_out *out, const char *text) {
  put_line(out, '+', neap_view_of(text));
}

void neap_resp_put_error(neap_resp_out *out, neap_view text) {
  put_line(out, '-', text);
}

void neap_resp_put_integer(neap_resp_out *out, int64_t number) {
  char text[24];
  size_t size = 0;
  if (number < 0) text[size++] = '-';
  size += resp_write_number(text + size, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
  put_line(out, ':', (neap_view){text, size});
}

void neap_resp_put_bulk(neap_resp_out *out, neap_view bytes) {
  if (bytes.size > out->max) out->failed = true;
  if (!make_room(out, neap_resp_bulk_size(bytes.size))) return;
  out->size += neap_resp_bulk_write(out->bytes + out->size, bytes);
}

void neap_resp_put_null(neap_resp_out *out) {
  const char *text = out->version3 ? "_\r\n" : "$-1\r\n";
  size_t size = strlen(text);
  if (!make_room(out, size)) return;
  memcpy(out->bytes + out->size, text, size);
  out->size += size;
}

void neap_resp_put_boolean(neap_resp_out *out, bool value) {
  if (out->version3)
    put_line(out, '#', neap_view_of(value ? "t" : "f"));
  else
    neap_resp_put_integer(out, value);
}

void neap_resp_put_array(neap_resp_out *out, size_t count) {
  put_head(out, '*', count);
}

void neap_resp_put_map(neap_resp_out *out, size_t pairs) {
  put_head(out, out->version3 ? '%' : '*', out->version3 ? pairs : 2 * pairs);
}

void neap_resp_put_set(neap_resp_out *out, size_t count) {
  put_head(out, out->version3 ? '~' : '*', count);
}

void neap_resp_put_push(neap_resp_out *out, size_t count) {
  put_head(out, out->version3 ? '>' : '*', count);
}
