/* Replies: gathered in a buffer of the front, large values beside it by reference, sent in one go. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "front/resp_impl.h"

void neap_port_reply_init(neap_port_reply *reply, size_t max) {
  *reply = (neap_port_reply){0};
  neap_resp_out_init(&reply->out, max);
}

static void forget_pieces(neap_keyspace *keys, neap_port_reply *reply) {
  for (size_t i = 0; i < reply->piece_count; i++)
    if (reply->pieces[i].referenced) neap_entry_unref(keys->cache, reply->pieces[i].entry);
  reply->piece_count = 0;
}

void neap_port_reply_fini(neap_keyspace *keys, neap_port_reply *reply) {
  forget_pieces(keys, reply);
  free(reply->pieces);
  neap_resp_out_fini(&reply->out);
  *reply = (neap_port_reply){0};
}

/* Bytes that it takes, those of entries left out: the cache counts them. */
static size_t held_by(const neap_port_reply *reply) {
  return reply->out.room + reply->piece_room * sizeof *reply->pieces;
}

/* --- borrowing */

void neap_port_borrow(neap_resp_front *front) {
  if (front->inside) return;
  front->inside = true;
  neap_cache_enter(front->keys->cache);
}

void neap_port_settle(neap_resp_front *front) {
  if (!front->inside) return;
  neap_port_reply *reply = &front->reply;
  for (size_t i = reply->piece_count; i-- > 0 && !reply->pieces[i].referenced;) {
    reply->pieces[i].entry = neap_entry_ref(front->keys->cache, reply->pieces[i].entry);
    reply->pieces[i].referenced = true;
  }
  neap_cache_leave(front->keys->cache);
  front->inside = false;
}

/* --- putting */

static void put_piece(neap_port_call *call, const neap_entry *entry, neap_view bytes) {
  neap_port_reply *reply = &call->front->reply;
  if (reply->piece_count == reply->piece_room) {
    size_t room = NEAP_MAX(16, 2 * reply->piece_room);
    neap_port_piece *more = realloc(reply->pieces, room * sizeof *more);
    if (more == NULL || room * sizeof *more > reply->out.max) {
      if (more) reply->pieces = more;
      reply->out.failed = true;
      return;
    }
    reply->pieces = more;
    reply->piece_room = room;
  }
  reply->pieces[reply->piece_count++] =
      (neap_port_piece){.at = reply->out.size, .bytes = bytes, .entry = (neap_entry *)entry};
}

void neap_port_put_value(neap_port_call *call, const neap_port_value *value) {
  const neap_entry *entry = value->entry;
  if (NEAP_UNLIKELY(entry == NULL)) { /* what the errand holds is in one piece, and gone with it */
    neap_resp_put_bulk(call->out, neap_tier_value_piece(&value->outside, 0));
    return;
  }
  uint64_t size = neap_entry_size(entry);
  if (size <= NEAP_PORT_COPY_MAX) {
    neap_resp_put_bulk(call->out, neap_entry_piece(entry, 0));
    return;
  }
  char head[NEAP_RESP_HEAD_MAX];
  neap_resp_put_bytes(call->out, head, neap_resp_head(head, '$', size));
  neap_view piece;
  for (size_t i = 0; (piece = neap_entry_piece(entry, i)).size > 0; i++) put_piece(call, entry, piece);
  neap_resp_put_bytes(call->out, "\r\n", 2);
}

void neap_port_take_back(neap_port_call *call, size_t size) {
  neap_port_reply *reply = &call->front->reply;
  while (reply->piece_count > 0 && reply->pieces[reply->piece_count - 1].at > size) {
    neap_port_piece *piece = &reply->pieces[--reply->piece_count];
    if (piece->referenced) neap_entry_unref(call->keys->cache, piece->entry);
  }
  reply->out.size = size;
}

void neap_port_put_ok(neap_port_call *call) {
  neap_resp_put_bytes(call->out, "+OK\r\n", 5);
}

void neap_port_put_error(neap_port_call *call, const char *text) {
  neap_resp_put_error(call->out, neap_view_of(text));
}

void neap_port_put_errorf(neap_port_call *call, const char *format, ...) {
  char few[512], *text = few;
  va_list list, again;
  va_start(list, format);
  va_copy(again, list);
  int size = vsnprintf(few, sizeof few, format, list);
  if (size >= (int)sizeof few && (text = malloc((size_t)size + 1)) != NULL)
    vsnprintf(text, (size_t)size + 1, format, again);
  va_end(again);
  va_end(list);
  neap_port_put_error(call, text ? text : few); /* cut short where there is no memory */
  if (text != few) free(text);
}

void neap_port_put_syntax_error(neap_port_call *call) {
  neap_port_put_error(call, "ERR syntax error");
}

void neap_port_put_text(neap_port_call *call, const char *text) {
  neap_resp_put_bulk(call->out, neap_view_of(text));
}

void neap_port_put_verbatim(neap_port_call *call, neap_view text) {
  char head[NEAP_RESP_HEAD_MAX];
  if (!call->out->version3) {
    neap_resp_put_bulk(call->out, text);
    return;
  }
  neap_resp_put_bytes(call->out, head, neap_resp_head(head, '=', text.size + 4));
  neap_resp_put_bytes(call->out, "txt:", 4);
  neap_resp_put_bytes(call->out, text.ptr, text.size);
  neap_resp_put_bytes(call->out, "\r\n", 2);
}

void neap_port_put_failure(neap_port_call *call, int code) {
  if (code == NEAP_EROOM || code == NEAP_ENOMEM)
    neap_port_put_error(call, "OOM command not allowed when used memory > 'maxmemory'.");
  else if (code == NEAP_EUNAVAIL)
    neap_port_put_error(call, "ERR a tier cannot be reached: a write may have been done or not");
  else if (code == NEAP_EUNKNOWN || code == NEAP_ETIMEDOUT)
    neap_port_put_error(call, "ERR a tier did not answer in time: a write may have been done or not");
  else if (code == NEAP_EBUSY)
    neap_port_put_error(call, "ERR too much is under way: try again");
  else
    neap_port_put_errorf(call, "ERR %s", neap_strerror(code));
}

/* --- sending */

/* The next pieces to be sent, at most NEAP_STREAM_PIECES; counts them as sent. */
static int next_pieces(neap_port_reply *reply, struct iovec *to) {
  int count = 0;
  while (count < NEAP_STREAM_PIECES) {
    bool piece = reply->sent_pieces < reply->piece_count;
    size_t end = piece ? reply->pieces[reply->sent_pieces].at : reply->out.size;
    if (reply->sent_bytes < end) {
      to[count++] = (struct iovec){reply->out.bytes + reply->sent_bytes, end - reply->sent_bytes};
      reply->sent_bytes = end;
    } else if (piece) {
      neap_view bytes = reply->pieces[reply->sent_pieces++].bytes;
      to[count++] = (struct iovec){(char *)bytes.ptr, bytes.size};
    } else {
      break;
    }
  }
  return count;
}

/* 0: all is with the kernel; NEAP_EBUSY; NEAP_EIO. */
static int send_on(neap_stream *stream, neap_port_reply *reply) {
  struct iovec pieces[NEAP_STREAM_PIECES];
  int code = 0;
  for (int count; code == 0 && (count = next_pieces(reply, pieces)) > 0;)
    code = neap_stream_send(stream, pieces, count);
  return code;
}

static void start_anew(neap_keyspace *keys, neap_port_reply *reply) {
  forget_pieces(keys, reply);
  reply->out.size = reply->sent_bytes = reply->sent_pieces = 0;
  reply->out.failed = false;
}

/* What the stream has kept is the client's own from now on. */
static void keep_unsent(neap_port_client *client) {
  neap_resp_front *front = client->front;
  neap_port_settle(front);
  client->unsent = front->reply;
  client->sending = true;
  neap_port_reply_init(&front->reply, front->options.buffer_bytes);
  client->broken |= !neap_port_client_hold(client, 0, held_by(&client->unsent));
  neap_port_client_wait(client);
}

bool neap_port_send(neap_port_client *client) {
  neap_resp_front *front = client->front;
  neap_port_reply *reply = &front->reply;
  int code = 0;
  if (reply->out.failed) {
    atomic_fetch_add(&front->keys->closed_room, 1);
    code = NEAP_EROOM;
  } else if (reply->out.size > 0) {
    code = send_on(client->stream, reply);
  }
  if (code == NEAP_EBUSY) {
    keep_unsent(client);
    return false;
  }
  start_anew(front->keys, reply);
  if (reply->out.room > 4 * NEAP_PORT_BATCH_BYTES) neap_port_reply_fini(front->keys, reply);
  if (reply->out.bytes == NULL) neap_port_reply_init(reply, front->options.buffer_bytes);
  client->broken |= code != 0;
  return code == 0;
}

bool neap_port_send_rest(neap_port_client *client) {
  int code = send_on(client->stream, &client->unsent);
  if (code == NEAP_EBUSY) return false;
  neap_port_drop_unsent(client);
  client->broken |= code != 0;
  return true;
}

void neap_port_drop_unsent(neap_port_client *client) {
  neap_port_client_hold(client, held_by(&client->unsent), 0);
  neap_port_reply_fini(client->front->keys, &client->unsent);
  client->sending = false;
}
