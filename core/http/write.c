/* Heads written anew: the request for the origin, the response for the client, small messages of our own. */
#include "http/write.h"

#include "http/caching.h"
#include "http/out.h"

/* --- to the origin ----------------------------------------------------------------------------------- */

#define FORWARDED                                                                                            \
  (NEAP_HTTP_BIT(FORWARDED) | NEAP_HTTP_BIT(X_FORWARDED_FOR) | NEAP_HTTP_BIT(X_FORWARDED_HOST) |             \
   NEAP_HTTP_BIT(X_FORWARDED_PORT) | NEAP_HTTP_BIT(X_FORWARDED_PROTO))

static void put_request_line(neap_http_out *out, const neap_http_request *request, neap_view fallback_host) {
  neap_http_put_slice(out, request->method);
  NEAP_HTTP_PUT(out, " ");
  neap_http_put_slice(out, request->path);
  if (request->has_query) NEAP_HTTP_PUT(out, "?");
  neap_http_put_slice(out, request->query);
  NEAP_HTTP_PUT(out, " HTTP/1.1\r\nHost: ");
  if (request->authority.size > 0)
    neap_http_put_slice(out, request->authority);
  else
    neap_http_put_view(out, fallback_host);
  NEAP_HTTP_PUT(out, "\r\n");
}

/* What the client of a trusted proxy had been told, with our client added at the end. */
static void put_forwarded_for(neap_http_out *out, const neap_http_head *head,
                              const neap_http_forward *forward) {
  const neap_http_field *field =
      forward->trust_client ? neap_http_field_first(head, NEAP_HTTP_ID_X_FORWARDED_FOR) : NULL;
  if (field == NULL && forward->client.size == 0) return; /* nobody asked: it is fetched ahead */
  NEAP_HTTP_PUT(out, "X-Forwarded-For: ");
  for (; field; field = neap_http_field_next(head, field)) {
    neap_http_put_slice(out, field->value);
    NEAP_HTTP_PUT(out, ", ");
  }
  neap_http_put_view(out, forward->client);
  NEAP_HTTP_PUT(out, "\r\n");
}

static void put_forwarded(neap_http_out *out, const neap_http_request *request,
                          const neap_http_forward *forward) {
  const neap_http_head *head = &request->head;
  put_forwarded_for(out, head, forward);
  if (!forward->trust_client || !head->first[NEAP_HTTP_ID_X_FORWARDED_PROTO]) {
    NEAP_HTTP_PUT(out, "X-Forwarded-Proto: ");
    neap_http_put_view(out, forward->scheme);
    NEAP_HTTP_PUT(out, "\r\n");
  }
  if (request->authority.size > 0 &&
      (!forward->trust_client || !head->first[NEAP_HTTP_ID_X_FORWARDED_HOST])) {
    NEAP_HTTP_PUT(out, "X-Forwarded-Host: ");
    neap_http_put_slice(out, request->authority);
    NEAP_HTTP_PUT(out, "\r\n");
  }
}

static void put_kept_fields(neap_http_out *out, const neap_http_head *head, const neap_http_hops *hops) {
  const neap_http_field *end = head->fields + head->field_count;
  for (const neap_http_field *field = head->fields; field < end; field++)
    if (neap_http_hops_keeps(hops, field)) neap_http_put_field(out, field);
}

ssize_t neap_http_request_write(char *buffer, size_t capacity, const neap_http_request *request,
                                const neap_http_forward *forward) {
  neap_http_out out = neap_http_out_of(buffer, capacity);
  const neap_http_head *head = &request->head;
  uint64_t dropped = NEAP_HTTP_BIT(HOST) | NEAP_HTTP_BIT(EXPECT);
  neap_http_hops hops;
  /* A trusted client's X-Forwarded-For is written below, together with ours. */
  dropped |= forward->trust_client ? NEAP_HTTP_BIT(X_FORWARDED_FOR) : FORWARDED;
  if (forward->request_id.size) dropped |= NEAP_HTTP_BIT(X_REQUEST_ID);
  neap_http_hops_read(&hops, head, dropped);
  put_request_line(&out, request, forward->fallback_host);
  put_kept_fields(&out, head, &hops);
  if (head->version_minor == 0)
    NEAP_HTTP_PUT(&out, "Via: 1.0 neap\r\n");
  else
    NEAP_HTTP_PUT(&out, "Via: 1.1 neap\r\n");
  put_forwarded(&out, request, forward);
  if (forward->request_id.size) {
    NEAP_HTTP_PUT(&out, "X-Request-Id: ");
    neap_http_put_view(&out, forward->request_id);
    NEAP_HTTP_PUT(&out, "\r\n");
  }
  if (head->framing == NEAP_HTTP_FRAMING_LENGTH)
    neap_http_put_length(&out, head->content_length);
  else if (head->framing == NEAP_HTTP_FRAMING_CHUNKED)
    NEAP_HTTP_PUT(&out, "Transfer-Encoding: chunked\r\n");
  NEAP_HTTP_PUT(&out, "\r\n");
  return neap_http_out_size(&out);
}

/* --- to the client ----------------------------------------------------------------------------------- */

void neap_http_reply_plan(neap_http_reply *reply, const neap_http_request *request,
                          const neap_http_response *response, bool keep_alive) {
  reply->framing = response->head.framing;
  if (reply->framing == NEAP_HTTP_FRAMING_CHUNKED || reply->framing == NEAP_HTTP_FRAMING_CLOSE)
    reply->framing = request->head.version_minor > 0 ? NEAP_HTTP_FRAMING_CHUNKED : NEAP_HTTP_FRAMING_CLOSE;
  reply->keep_alive = keep_alive && request->head.keep_alive && reply->framing != NEAP_HTTP_FRAMING_CLOSE;
}

static void put_cache_status(neap_http_out *out, const neap_http_reply *reply) {
  if (reply->fwd == NEAP_HTTP_FWD_NONE) return;
  const char *text = neap_http_fwd_text(reply->fwd);
  NEAP_HTTP_PUT(out, "Cache-Status: neap; ");
  if (reply->fwd != NEAP_HTTP_FWD_HIT) NEAP_HTTP_PUT(out, "fwd=");
  neap_http_put(out, text, strlen(text));
  if (reply->stored) NEAP_HTTP_PUT(out, "; stored");
  const char *detail = neap_reason_code(reply->detail);
  if (*detail && strcmp(detail, text) != 0) {
    NEAP_HTTP_PUT(out, "; detail=");
    neap_http_put(out, detail, strlen(detail));
  }
  NEAP_HTTP_PUT(out, "\r\n");
}

static void put_reply_framing(neap_http_out *out, const neap_http_response *response,
                              neap_http_framing framing) {
  if (framing == NEAP_HTTP_FRAMING_CHUNKED)
    NEAP_HTTP_PUT(out, "Transfer-Encoding: chunked\r\n");
  else if (framing != NEAP_HTTP_FRAMING_CLOSE && response->head.has_length)
    neap_http_put_length(out, response->head.content_length);
}

ssize_t neap_http_response_write(char *buffer, size_t capacity, const neap_http_request *request,
                                 const neap_http_response *response, const neap_http_reply *reply) {
  neap_http_out out = neap_http_out_of(buffer, capacity);
  neap_http_hops hops;
  neap_http_hops_read(&hops, &response->head, 0);
  neap_http_put_status(&out, response->status, response->phrase);
  put_kept_fields(&out, &response->head, &hops);
  if (!neap_http_hops_keep_date(&hops, &response->head)) neap_http_put_date(&out, reply->wall_s);
  put_cache_status(&out, reply);
  put_reply_framing(&out, response, reply->framing);
  neap_http_put_connection(&out, request->head.version_minor, reply->keep_alive);
  NEAP_HTTP_PUT(&out, "\r\n");
  return neap_http_out_size(&out);
}

ssize_t neap_http_message_write(char *buffer, size_t capacity, const neap_http_request *request, int status,
                                neap_view text, int64_t wall_s, bool keep_alive) {
  neap_http_out out = neap_http_out_of(buffer, capacity);
  const char *phrase = neap_http_status_text(status);
  neap_http_put_status(&out, status, (neap_http_slice){phrase, (int32_t)strlen(phrase), 0});
  neap_http_put_date(&out, wall_s);
  if (text.size > 0) NEAP_HTTP_PUT(&out, "Content-Type: text/plain; charset=utf-8\r\n");
  neap_http_put_length(&out, text.size);
  neap_http_put_connection(&out, request ? request->head.version_minor : 1, keep_alive);
  NEAP_HTTP_PUT(&out, "\r\n");
  if (!request || request->method_id != NEAP_HTTP_METHOD_HEAD) neap_http_put_view(&out, text);
  return neap_http_out_size(&out);
}
