/* What a head costs: parsed, written, found again in the cache; and what llhttp takes for the same bytes,
 * with spans recorded as views. Usage: bench_http [ROUNDS]; prints nanoseconds per message, best of five. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llhttp.h>

#include "http/http.h"
#include "loop/loop.h"

static const char small[] = "GET /1k?7 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

static const char browser[] =
    "GET /assets/app/main.3f2b1c.js?v=20260102&lang=en HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: https://www.example.com/section/article-12345?utm_source=newsletter\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1; "
    "_ga=GA1.2.123456789.1700000000\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: script\r\n"
    "Sec-Fetch-Mode: no-cors\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "If-None-Match: \"5f3a-61b2c3d4e5f60\"\r\n"
    "Priority: u=2\r\n"
    "\r\n";

static const char answer[] =
    "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: text/html; charset=utf-8\r\nContent-Length: 1024\r\n"
    "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT\r\nETag: \"5f3a-61b2c3d4e5f60\"\r\n"
    "Cache-Control: public, max-age=60\r\nVary: Accept-Encoding\r\n\r\n";

static neap_http_field fields[NEAP_HTTP_FIELDS_MAX];
static volatile uint64_t sink; /* so that nothing is optimised away */

/* --- llhttp: the least that makes its answer usable ------------------------------------------------------
 */

typedef struct spans {
  neap_http_slice target;
  int count;
  neap_http_field rows[64];
} spans;

static int on_url(llhttp_t *parser, const char *at, size_t size) {
  ((spans *)parser->data)->target = (neap_http_slice){at, (int32_t)size, 0};
  return 0;
}
static int on_name(llhttp_t *parser, const char *at, size_t size) {
  spans *out = parser->data;
  out->rows[out->count].name = (neap_http_slice){at, (int32_t)size, 0};
  return 0;
}
static int on_value(llhttp_t *parser, const char *at, size_t size) {
  spans *out = parser->data;
  out->rows[out->count++].value = (neap_http_slice){at, (int32_t)size, 0};
  return 0;
}
static int on_complete(llhttp_t *parser) {
  (void)parser;
  return HPE_PAUSED;
}

static void parse_with_llhttp(const char *text, size_t size) {
  static llhttp_settings_t settings = {.on_url = on_url,
                                       .on_header_field = on_name,
                                       .on_header_value = on_value,
                                       .on_headers_complete = on_complete};
  spans out = {.count = 0};
  llhttp_t parser;
  llhttp_init(&parser, HTTP_REQUEST, &settings);
  parser.data = &out;
  if (llhttp_execute(&parser, text, size) != HPE_PAUSED) abort();
  sink += (uint64_t)out.count + (uint64_t)out.target.size;
}

/* --- ours ------------------------------------------------------------------------------------------------
 */

static neap_http_request request;
static neap_http_response response;

static void parse_ours(const char *text, size_t size) {
  neap_http_request_init(&request, fields, &neap_http_limits_default);
  if (neap_http_request_parse(&request, text, size) != (ssize_t)size) abort();
  sink += (uint64_t)request.head.field_count;
}

static void parse_answer(const char *text, size_t size) {
  static neap_http_field rows[NEAP_HTTP_FIELDS_MAX];
  neap_http_response_init(&response, rows, &neap_http_limits_default, NEAP_HTTP_METHOD_GET);
  if (neap_http_response_parse(&response, text, size) != (ssize_t)size) abort();
  sink += (uint64_t)response.status;
}

static char out[4096], meta[4096];
static size_t meta_size;
static const neap_http_times times = {.request_ms = 1000, .response_ms = 1001, .wall_s = 784111777};

static void write_request(const char *text, size_t size) {
  static const neap_http_forward forward = {.client = {"127.0.0.1", 9}, .scheme = {"http", 4}};
  (void)text, (void)size;
  sink += (uint64_t)neap_http_request_write(out, sizeof out, &request, &forward);
}

static void write_response(const char *text, size_t size) {
  neap_http_reply reply = {.wall_s = times.wall_s, .fwd = NEAP_HTTP_FWD_URI_MISS};
  (void)text, (void)size;
  neap_http_reply_plan(&reply, &request, &response, true);
  sink += (uint64_t)neap_http_response_write(out, sizeof out, &request, &response, &reply);
}

static void decide_and_store(const char *text, size_t size) {
  neap_http_decision decision;
  (void)text, (void)size;
  neap_http_store_decide(&decision, &request, &response, &neap_http_rules_default, &times);
  if (decision.store != NEAP_HTTP_STORE_YES) abort();
  meta_size = (size_t)neap_http_stored_write(meta, sizeof meta, &response, &decision, &times);
  sink += meta_size;
}

/* All that http/ does for a hit, but for parsing the request. */
static void serve_hit(const char *text, size_t size) {
  char key[256], tail[NEAP_HTTP_TAIL_MAX];
  neap_http_stored stored;
  (void)text, (void)size;
  if (neap_http_lookup_decide(&request) != NEAP_HTTP_LOOKUP_USABLE) abort();
  sink += (uint64_t)neap_http_key(key, sizeof key, &request, (neap_view){"http", 4});
  if (neap_http_stored_open((neap_view){meta, meta_size}, &stored)) abort();
  neap_http_serve serve = neap_http_stored_match(&stored, &request, times.wall_s);
  sink += neap_http_stored_tail(tail, &stored, serve, &request, 1024, 5000, true);
}

/* --- measuring -------------------------------------------------------------------------------------------
 */

static double best_ns(void (*once)(const char *, size_t), const char *text, size_t size, int rounds) {
  double best = 1e9;
  for (int run = 0; run < 5; run++) {
    uint64_t start = neap_clock_thread_cpu_ns(NULL);
    for (int i = 0; i < rounds; i++) once(text, size);
    double each = (double)(neap_clock_thread_cpu_ns(NULL) - start) / rounds;
    if (each < best) best = each;
  }
  return best;
}

static void show(const char *what, double ns) {
  printf("%-44s %7.1f ns\n", what, ns);
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 200000;
  show("parse, 46 bytes, 1 field", best_ns(parse_ours, small, sizeof small - 1, rounds));
  show("  llhttp for the same", best_ns(parse_with_llhttp, small, sizeof small - 1, rounds));
  show("parse, browser, 14 fields", best_ns(parse_ours, browser, sizeof browser - 1, rounds));
  show("  llhttp for the same", best_ns(parse_with_llhttp, browser, sizeof browser - 1, rounds));
  show("write that request for the origin", best_ns(write_request, "", 0, rounds));
  show("parse a response, 8 fields", best_ns(parse_answer, answer, sizeof answer - 1, rounds));
  show("write it for the client", best_ns(write_response, "", 0, rounds));
  show("decide to store it, write the stored head", best_ns(decide_and_store, "", 0, rounds));
  show("hit: key, open, conditions, tail", best_ns(serve_hit, "", 0, rounds));
  return sink == 0;
}
