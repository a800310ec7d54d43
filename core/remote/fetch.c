/* Fetches, by libcurl's multi interface: it says which sockets it waits for and until when, the loop tells it
 * when that has come.
 *
 * A fetch is
 *   1 under way  in its fetcher's list and in libcurl's
 *   2 over       libcurl has said so: taken out of both, told, freed
 */
#include "remote/remote.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

struct neap_fetcher {
  neap_loop *loop;
  CURLM *multi;
  neap_timer timer; /* libcurl's */
  neap_fetch *first;
};

struct neap_fetch {
  neap_fetch *prev, *next;
  neap_fetcher *home;
  CURL *easy;
  struct curl_slist *fields, *connect_to;
  void (*done)(void *user, const neap_fetch_reply *reply);
  bool (*piece)(void *user, neap_view bytes);
  void *user;
  char *body;
  size_t body_size, body_room, body_max;
  bool cut;
  size_t head_size;
  char head[NEAP_FETCH_HEAD_MAX];
};

/* --- what comes in */

static size_t on_head(char *bytes, size_t width, size_t count, void *user) {
  neap_fetch *fetch = user;
  size_t size = width * count;
  if (size >= 5 && memcmp(bytes, "HTTP/", 5) == 0) fetch->head_size = 0; /* a status line: a new head */
  if (size <= sizeof fetch->head - fetch->head_size) {
    memcpy(fetch->head + fetch->head_size, bytes, size);
    fetch->head_size += size;
  }
  return size;
}

static bool grow(neap_fetch *fetch, size_t size) {
  if (size <= fetch->body_room) return true;
  size_t room = NEAP_MIN(NEAP_MAX(size, 2 * fetch->body_room + 1024), fetch->body_max);
  char *body = realloc(fetch->body, room);
  if (body == NULL) return false;
  fetch->body = body;
  fetch->body_room = room;
  return true;
}

static size_t on_body(char *bytes, size_t width, size_t count, void *user) {
  neap_fetch *fetch = user;
  size_t size = width * count;
  if (fetch->piece) {
    fetch->cut = !fetch->piece(fetch->user, (neap_view){bytes, size});
    return fetch->cut ? 0 : size;
  }
  size_t wanted = NEAP_MIN(size, fetch->body_max - fetch->body_size);
  if (!grow(fetch, fetch->body_size + wanted)) return 0;
  if (wanted > 0) memcpy(fetch->body + fetch->body_size, bytes, wanted);
  fetch->body_size += wanted;
  fetch->cut = wanted < size;
  return wanted;
}

/* --- the end */

static void unlink_fetch(neap_fetch *fetch) {
  if (fetch->prev)
    fetch->prev->next = fetch->next;
  else
    fetch->home->first = fetch->next;
  if (fetch->next) fetch->next->prev = fetch->prev;
  curl_multi_remove_handle(fetch->home->multi, fetch->easy);
}

static void free_fetch(neap_fetch *fetch) {
  curl_easy_cleanup(fetch->easy);
  curl_slist_free_all(fetch->fields);
  curl_slist_free_all(fetch->connect_to);
  free(fetch->body);
  free(fetch);
}

static neap_view trim(const char *from, const char *to) {
  while (from < to && (*from == ' ' || *from == '\t')) from++;
  while (from < to && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r')) to--;
  return (neap_view){from, (size_t)(to - from)};
}

static size_t split_head(const neap_fetch *fetch, neap_fetch_field *fields) {
  size_t count = 0;
  const char *end = fetch->head + fetch->head_size;
  for (const char *line = fetch->head, *stop; line < end && count < NEAP_FETCH_FIELDS_MAX; line = stop + 1) {
    stop = memchr(line, '\n', (size_t)(end - line));
    if (stop == NULL) break;
    const char *colon = memchr(line, ':', (size_t)(stop - line));
    if (line == fetch->head || colon == NULL) continue; /* the status line */
    fields[count++] = (neap_fetch_field){trim(line, colon), trim(colon + 1, stop)};
  }
  return count;
}

/* The time was over: before there was a connection, or after. */
static neap_fetch_end late(const neap_fetch *fetch) {
  curl_off_t connected_us = 0;
  curl_easy_getinfo(fetch->easy, CURLINFO_CONNECT_TIME_T, &connected_us);
  return connected_us > 0 ? NEAP_FETCH_LATE : NEAP_FETCH_UNREACHABLE;
}

static neap_fetch_end end_of(const neap_fetch *fetch, CURLcode code) {
  if (fetch->cut) return NEAP_FETCH_CUT;
  switch (code) {
  case CURLE_OK: return NEAP_FETCH_DONE;
  case CURLE_COULDNT_CONNECT:
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_RESOLVE_PROXY: return NEAP_FETCH_UNREACHABLE;
  case CURLE_OPERATION_TIMEDOUT: return late(fetch);
  default: return NEAP_FETCH_BROKEN;
  }
}

static void tell(neap_fetch *fetch, CURLcode code) {
  neap_fetch_field fields[NEAP_FETCH_FIELDS_MAX];
  long status = 0;
  curl_off_t took_us = 0;
  curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(fetch->easy, CURLINFO_TOTAL_TIME_T, &took_us);
  const neap_fetch_reply reply = {.end = end_of(fetch, code),
                                  .text = fetch->cut ? "the body is too long" : curl_easy_strerror(code),
                                  .status = (int)status,
                                  .took_us = (uint64_t)took_us,
                                  .body = {fetch->body ? fetch->body : "", fetch->body_size},
                                  .fields = fields,
                                  .field_count = split_head(fetch, fields)};
  fetch->done(fetch->user, &reply);
}

static void finish_all(neap_fetcher *fetcher) {
  int left;
  for (CURLMsg *message; (message = curl_multi_info_read(fetcher->multi, &left)) != NULL;) {
    if (message->msg != CURLMSG_DONE) continue;
    CURLcode code = message->data.result;
    neap_fetch *fetch = NULL;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&fetch);
    unlink_fetch(fetch); /* the message is gone with it */
    tell(fetch, code);
    free_fetch(fetch);
  }
}

/* --- what libcurl waits for */

static void act(neap_fetcher *fetcher, curl_socket_t socket, int what) {
  int running;
  curl_multi_socket_action(fetcher->multi, socket, what, &running);
  finish_all(fetcher);
}

static void on_timer(neap_timer *timer) {
  act(NEAP_CONTAINER_OF(timer, neap_fetcher, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long timeout_ms, void *user) {
  (void)multi;
  neap_fetcher *fetcher = user;
  if (timeout_ms < 0)
    neap_timer_clear(&fetcher->timer);
  else
    neap_timer_set(fetcher->loop, &fetcher->timer, (uint64_t)timeout_ms);
  return 0;
}

/* A socket that libcurl waits for. */
typedef struct socket_watch {
  neap_fetcher *home;
  neap_watch *watch;
  curl_socket_t socket;
} socket_watch;

static void on_socket(void *user, int events) {
  socket_watch *watched = user;
  int what =
      (events & NEAP_WATCH_READ ? CURL_CSELECT_IN : 0) | (events & NEAP_WATCH_WRITE ? CURL_CSELECT_OUT : 0);
  act(watched->home, watched->socket, what);
}

static int stop_watching(neap_fetcher *fetcher, curl_socket_t socket, socket_watch *watched) {
  if (watched == NULL) return 0;
  curl_multi_assign(fetcher->multi, socket, NULL);
  neap_watch_close(&watched->watch);
  free(watched);
  return 0;
}

static int set_watch(CURL *easy, curl_socket_t socket, int what, void *user, void *assigned) {
  (void)easy;
  neap_fetcher *fetcher = user;
  socket_watch *watched = assigned;
  if (what == CURL_POLL_REMOVE) return stop_watching(fetcher, socket, watched);
  if (watched == NULL) {
    watched = calloc(1, sizeof *watched);
    if (watched == NULL) return -1;
    *watched = (socket_watch){.home = fetcher, .socket = socket};
    if (neap_watch_open(fetcher->loop, socket, on_socket, watched, &watched->watch)) {
      free(watched);
      return -1;
    }
    curl_multi_assign(fetcher->multi, socket, watched);
  }
  neap_watch_want(watched->watch, (what & CURL_POLL_IN ? NEAP_WATCH_READ : 0) |
                                      (what & CURL_POLL_OUT ? NEAP_WATCH_WRITE : 0));
  return 0;
}

/* --- start and cancel */

static bool add_line(struct curl_slist **list, const char *line) {
  struct curl_slist *longer = curl_slist_append(*list, line);
  if (longer) *list = longer;
  return longer != NULL;
}

static bool make_lists(neap_fetch *fetch, const neap_fetch_request *request) {
  char place[NEAP_ADDRESS_TEXT + 256];
  for (const char *const *line = request->fields; line && *line; line++)
    if (!add_line(&fetch->fields, *line)) return false;
  if (request->body.size > 0 && !add_line(&fetch->fields, "Expect:"))
    return false; /* do not wait for a 100 */
  if (request->connect_to == NULL) return true;
  snprintf(place, sizeof place, "::%s", request->connect_to);
  return add_line(&fetch->connect_to, place);
}

static int set_options(neap_fetch *fetch, const neap_fetch_request *request) {
  CURL *easy = fetch->easy;
  CURLcode code = curl_easy_setopt(easy, CURLOPT_URL, request->url);
  code |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  code |= curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
  code |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  code |= curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* the environment's is for people */
  code |= curl_easy_setopt(easy, CURLOPT_USERAGENT, "neap");
  code |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                           (long)(request->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
  code |= curl_easy_setopt(easy, CURLOPT_PIPEWAIT, (long)request->http2);
  code |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
  code |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->timeout_ms);
  code |= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)request->fresh);
  code |= curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, (long)request->fresh);
  code |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fetch->fields);
  code |= curl_easy_setopt(easy, CURLOPT_CONNECT_TO, fetch->connect_to);
  code |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
  code |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
  code |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  code |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
  if (request->body.size > 0) {
    code |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
    code |= curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body.ptr);
  }
  if (request->method) code |= curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
  return code == CURLE_OK ? 0 : NEAP_EINVAL;
}

int neap_fetch_start(neap_fetcher *fetcher, const neap_fetch_request *request, neap_fetch **out) {
  neap_fetch *fetch = calloc(1, sizeof *fetch);
  if (fetch == NULL) return NEAP_ENOMEM;
  fetch->home = fetcher;
  fetch->done = request->done;
  fetch->piece = request->piece;
  fetch->user = request->user;
  fetch->body_max = request->body_max;
  fetch->easy = curl_easy_init();
  int code = fetch->easy && make_lists(fetch, request) ? set_options(fetch, request) : NEAP_ENOMEM;
  if (code == 0 && curl_multi_add_handle(fetcher->multi, fetch->easy)) code = NEAP_EINVAL;
  if (code) {
    free_fetch(fetch);
    return code;
  }
  fetch->next = fetcher->first;
  if (fetch->next) fetch->next->prev = fetch;
  fetcher->first = fetch;
  if (out) *out = fetch;
  return 0;
}

void neap_fetch_cancel(neap_fetch **fetch) {
  if (*fetch == NULL) return;
  unlink_fetch(*fetch);
  free_fetch(*fetch);
  *fetch = NULL;
}

/* --- life */

int neap_fetcher_create(neap_loop *loop, neap_fetcher **out) {
  neap_fetcher *fetcher = calloc(1, sizeof *fetcher);
  if (fetcher == NULL) return NEAP_ENOMEM;
  fetcher->loop = loop;
  neap_timer_init(&fetcher->timer, on_timer);
  if (curl_global_init(CURL_GLOBAL_DEFAULT)) goto fail_global; /* counted, and thread-safe since 7.84 */
  fetcher->multi = curl_multi_init();
  if (fetcher->multi == NULL) goto fail_multi;
  curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, set_timer);
  curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
  curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, set_watch);
  curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
  *out = fetcher;
  return 0;

fail_multi:
  curl_global_cleanup();
fail_global:
  free(fetcher);
  return NEAP_ENOMEM;
}

void neap_fetcher_destroy(neap_fetcher **fetcher_ptr) {
  neap_fetcher *fetcher = *fetcher_ptr;
  if (fetcher == NULL) return;
  *fetcher_ptr = NULL;
  for (neap_fetch *fetch = fetcher->first, *next; fetch; fetch = next) {
    next = fetch->next;
    neap_fetch_cancel(&fetch);
  }
  curl_multi_cleanup(fetcher->multi);
  neap_timer_clear(&fetcher->timer);
  curl_global_cleanup();
  free(fetcher);
}
