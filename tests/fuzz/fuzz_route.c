/* The route table against trying every rule. The input is lines: "rule" ones make the table, the others are
 * requests. Line: kind letter (a any, e exact, p prefix, b below; r a request), host, space, path. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base.h"
#include "base/host.h"
#include "route/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { RULES_MAX = 32, LINES_MAX = 64 };

typedef struct line {
  char kind;
  char *host;
  const char *path;
} line;

/* Splits `text` in place. */
static int split(char *text, line *lines) {
  int count = 0;
  for (char *rest = text, *at; count < LINES_MAX && (at = strsep(&rest, "\n")) != NULL;) {
    if (at[0] == 0) continue;
    char *host = at + 1, *path = strchr(host, ' ');
    if (path == NULL) continue;
    *path++ = 0;
    lines[count++] = (line){at[0], host, path};
  }
  return count;
}

static bool to_match(const line *from, neap_match *out) {
  static const char kinds[] = "aepb";
  const char *kind = strchr(kinds, from->kind);
  if (kind == NULL) return false;
  *out = (neap_match){.path_how = (neap_match_path)(kind - kinds), .host = from->host[0] ? from->host : NULL};
  if (out->path_how != NEAP_PATH_ANY) out->path = from->path;
  return true;
}

static bool path_matches(const neap_match *rule, const char *path) {
  size_t size = rule->path ? strlen(rule->path) : 0;
  bool begins = rule->path && strncmp(path, rule->path, size) == 0;
  switch (rule->path_how) {
  case NEAP_PATH_ANY: return true;
  case NEAP_PATH_EXACT: return begins && path[size] == 0;
  case NEAP_PATH_PREFIX: return begins;
  case NEAP_PATH_BELOW: return begins && (path[size] == 0 || path[size] == '/');
  }
  return false;
}

/* Hosts that need no cutting, so that the model is a comparison. */
static bool host_matches(const neap_match *rule, const char *host) {
  if (rule->host == NULL) return true;
  if (rule->host[0] != '*') return strcasecmp(rule->host, host) == 0;
  size_t tail = strlen(rule->host + 1), size = strlen(host);
  return host[0] != '.' && size > tail && strcasecmp(host + size - tail, rule->host + 1) == 0;
}

static neap_slice slice_of(const char *text) {
  return (neap_slice){.ptr = text, .size = (int32_t)strlen(text)};
}

static void check_request(const neap_routes *routes, const neap_match *rules, int count,
                          const line *request) {
  if (strpbrk(request->host, ":[")) return;
  size_t size = strlen(request->host);
  if (size > 253 || (size > 0 && request->host[size - 1] == '.')) return;
  const neap_request_board board = {
      .method = slice_of("GET"), .host = slice_of(request->host), .path = slice_of(request->path)};
  bool seen[RULES_MAX] = {0};
  neap_route_walk walk;
  neap_routes_find(routes, &board, &walk);
  for (int32_t rule; (rule = neap_routes_next(&walk)) >= 0;) {
    neap_assert(rule < count && !seen[rule]);
    seen[rule] = true;
  }
  for (int i = 0; i < count; i++)
    neap_assert(seen[i] ==
                (host_matches(&rules[i], request->host) && path_matches(&rules[i], request->path)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  char *text = malloc(size + 1);
  if (text == NULL) return 0;
  if (size > 0) memcpy(text, bytes, size);
  text[size] = 0;
  line lines[LINES_MAX];
  neap_match rules[RULES_MAX];
  const neap_match *pointers[RULES_MAX];
  neap_routes *routes = NULL;
  int line_count = split(text, lines), count = 0;
  for (int i = 0; i < line_count && count < RULES_MAX; i++) {
    const neap_match *one = &rules[count];
    if (!to_match(&lines[i], &rules[count]) || neap_routes_create(&one, 1, &routes)) continue;
    neap_routes_destroy(&routes);
    pointers[count] = &rules[count];
    count++;
  }
  neap_assert(neap_routes_create(pointers, (size_t)count, &routes) == 0);
  for (int i = 0; i < line_count; i++) {
    if (lines[i].kind != 'r') continue;
    neap_host_lower(lines[i].host, strlen(lines[i].host), lines[i].host); /* as a board has it */
    check_request(routes, rules, count, &lines[i]);
  }
  neap_routes_destroy(&routes);
  free(text);
  return 0;
}
