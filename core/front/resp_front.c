/* The clients of one worker's RESP port: they come, wait and go. */
#include <stdlib.h>

#include "front/resp_impl.h"

enum { LINGER_MS = 2000, OUT_ROOM = 1 << 20 };

/* --- life */

bool neap_port_client_hold(neap_port_client *client, size_t before, size_t after) {
  neap_resp_front *front = client->front;
  front->buffered += after - before;
  if (after <= before || front->buffered <= front->options.buffer_bytes) return true;
  atomic_fetch_add(&front->keys->closed_room, 1);
  return false;
}

static void forget(neap_port_client *client) {
  neap_resp_front *front = client->front;
  neap_timer_clear(&client->timer);
  neap_port_errand_end(client);
  neap_port_untrack(client);
  neap_resp_out_fini(&client->pushes);
  if (client->sending) neap_port_drop_unsent(client);
  neap_port_client_hold(client, client->in_room, 0);
  free(client->in);
  free(client->name);
  neap_resp_request_fini(&client->request);
  if (client->prev)
    client->prev->next = client->next;
  else
    front->clients = client->next;
  if (client->next) client->next->prev = client->prev;
  front->count--;
  atomic_fetch_sub(&front->keys->client_count, 1);
  client->magic = 0;
  client->next = front->free;
  front->free = client;
}

void neap_port_client_close(neap_port_client *client) {
  if (client->broken)
    neap_stream_reset(&client->stream);
  else if (client->lingers || client->in_size > 0)
    neap_stream_linger(&client->stream, LINGER_MS);
  else
    neap_stream_close(&client->stream);
  forget(client);
}

/* --- time */

/* What the client has still to take. */
static size_t bytes_left(const neap_port_client *client) {
  const neap_port_reply *reply = &client->unsent;
  size_t bytes = neap_stream_unsent(client->stream) + reply->out.size - reply->sent_bytes;
  for (size_t i = reply->sent_pieces; i < reply->piece_count; i++) bytes += reply->pieces[i].bytes.size;
  return bytes;
}

void neap_port_client_wait(neap_port_client *client) {
  const neap_resp_options *options = &client->front->options;
  uint64_t wait_ms = client->sending           ? options->stall_timeout_ms
                     : client->errand          ? 0 /* tiers have time limits */
                     : client->front->draining ? NEAP_PORT_GENTLE_MS
                                               : options->idle_timeout_ms;
  if (client->sending) client->unsent_seen = bytes_left(client);
  if (wait_ms > 0)
    neap_timer_set(client->front->loop, &client->timer, wait_ms);
  else
    neap_timer_clear(&client->timer);
}

void neap_port_client_on_time(neap_timer *timer) {
  neap_port_client *client = NEAP_CONTAINER_OF(timer, neap_port_client, timer);
  neap_check_magic(client, NEAP_PORT_CLIENT_MAGIC);
  if (client->sending && bytes_left(client) < client->unsent_seen) {
    neap_port_client_wait(client);
    return;
  }
  client->broken = client->sending;
  if (client->sending) atomic_fetch_add(&client->front->keys->closed_stalled, 1);
  neap_port_client_close(client);
}

/* --- the front */

static void set_limits(neap_resp_front *front) {
  size_t most = (size_t)front->options.buffer_bytes;
  front->limits = neap_resp_limits_default;
  front->limits.total_bytes = NEAP_MIN(front->limits.total_bytes, most);
  front->limits.bulk_bytes = NEAP_MIN(front->limits.bulk_bytes, most);
  front->small_limits = front->limits;
  front->small_limits.element_count = 10;
  front->small_limits.bulk_bytes = NEAP_MIN(most, (size_t)NEAP_PORT_SMALL_REQUEST);
}

void neap_resp_front_set_options(neap_resp_front *front, const neap_resp_options *options) {
  bool same_wait = front->options.idle_timeout_ms == options->idle_timeout_ms;
  front->options = *options;
  front->reply.out.max = (size_t)options->buffer_bytes;
  set_limits(front);
  for (neap_port_client *client = front->clients; client; client = client->next) {
    if (options->password[0] == '\0') neap_port_client_know(client);
    if (!same_wait && !client->sending) neap_port_client_wait(client);
  }
}

int neap_resp_front_create(neap_loop *loop, neap_keyspace *keys, neap_tiers_port *port,
                           const neap_resp_options *options, neap_resp_front **out) {
  neap_resp_front *front = calloc(1, sizeof *front);
  if (front == NULL) return NEAP_ENOMEM;
  front->loop = loop;
  front->keys = keys;
  front->port = port;
  neap_port_reply_init(&front->reply, (size_t)options->buffer_bytes);
  neap_resp_front_set_options(front, options);
  front->inbox = neap_port_inbox_open(front);
  if (front->inbox == NULL) {
    free(front);
    return NEAP_ENOMEM;
  }
  *out = front;
  return 0;
}

void neap_resp_front_destroy(neap_resp_front **front_ptr) {
  neap_resp_front *front = *front_ptr;
  if (front == NULL) return;
  neap_assert(front->count == 0);
  while (front->free) {
    neap_port_client *client = front->free;
    front->free = client->next;
    free(client);
  }
  neap_port_inbox_close(front->inbox);
  neap_port_reply_fini(front->keys, &front->reply);
  free(front);
  *front_ptr = NULL;
}

void neap_port_client_know(neap_port_client *client) {
  client->known = true;
  client->request.limits = &client->front->limits;
}

void neap_port_client_forget_who(neap_port_client *client) {
  client->known = client->front->options.password[0] == '\0';
  client->request.limits = client->known ? &client->front->limits : &client->front->small_limits;
}

static void refuse(neap_resp_front *front, neap_stream *stream) {
  static const char text[] = "-ERR max number of clients reached\r\n";
  struct iovec piece = {(char *)text, sizeof text - 1};
  atomic_fetch_add(&front->keys->rejected, 1);
  neap_stream_send(stream, &piece, 1);
  neap_stream_linger(&stream, LINGER_MS);
}

void neap_resp_front_accept(void *front_ptr, neap_stream *stream) {
  neap_resp_front *front = front_ptr;
  atomic_fetch_add(&front->keys->connections, 1);
  if (atomic_fetch_add(&front->keys->client_count, 1) >= front->options.max_clients) {
    atomic_fetch_sub(&front->keys->client_count, 1);
    refuse(front, stream);
    return;
  }
  neap_port_client *made = front->free;
  if (made)
    front->free = made->next;
  else
    made = malloc(sizeof *made);
  if (made == NULL) {
    atomic_fetch_sub(&front->keys->client_count, 1);
    neap_stream_close(&stream);
    return;
  }
  *made = (neap_port_client){.magic = NEAP_PORT_CLIENT_MAGIC,
                             .front = front,
                             .stream = stream,
                             .next = front->clients,
                             .consistency = front->keys->tiers.consistency,
                             .id = atomic_fetch_add(&front->keys->last_client_id, 1) + 1,
                             .since_ms = neap_loop_now_ms(front->loop),
                             .active_ms = neap_loop_now_ms(front->loop)};
  neap_resp_request_init(&made->request, &front->small_limits);
  if (front->options.password[0] == '\0') neap_port_client_know(made);
  if (front->clients) front->clients->prev = made;
  front->clients = made;
  front->count++;
  neap_timer_init(&made->timer, neap_port_client_on_time);
  neap_port_client_wait(made);
  neap_stream_own(stream, &neap_port_stream_vt, made);
}

void neap_resp_front_drain(neap_resp_front *front, bool gently) {
  front->draining = true;
  front->gently = gently;
  for (neap_port_client *client = front->clients, *next; client; client = next) {
    next = client->next;
    client->ending |= !gently;
    if (!client->sending && !client->errand && !gently)
      neap_port_client_close(client);
    else if (!client->sending)
      neap_port_client_wait(client);
  }
}

void neap_resp_front_close(neap_resp_front *front) {
  front->draining = true;
  while (front->clients) {
    front->clients->broken = true;
    neap_port_client_close(front->clients);
  }
}

size_t neap_resp_front_connection_count(const neap_resp_front *front) {
  return front->count;
}
