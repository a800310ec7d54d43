/* Compiles matches to a route table: checks them, copies their texts, sorts them so that what shares a host
 * and a path lies together in order of precedence, and cuts the sorted list into radix trees. */
#include "route/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define ROUTES_MAGIC 0x4e727473u /* "Nrts" */

/* One place of a rule in a tree. */
typedef struct pattern {
  const char *host; /* in `texts`; "" any; ".example.com" for a wildcard */
  const char *path; /* in `texts` */
  int32_t path_size;
  bool prefix;
  const neap_match *match;
  int32_t index;
} pattern;

typedef struct builder {
  neap_routes *routes;
  pattern *patterns;
  int32_t pattern_count, node_count, rule_count, field_count;
  size_t text_size;
} builder;

/* --- checking and measuring --- */

static bool valid_host(const char *host) {
  if (host == NULL) return true;
  const char *name = strncmp(host, "*.", 2) == 0 ? host + 2 : host;
  size_t size = strlen(name);
  if (size == 0 || size > NEAP_ROUTE_HOST_MAX || name[0] == '.') return false;
  for (const char *c = name; *c; c++)
    if (*c == '*' || (*c == ':' && name[0] != '[') || *c == '/' || (*c >= 'A' && *c <= 'Z')) return false;
  return true;
}

static bool valid_path(const neap_match *match) {
  if (match->path_how == NEAP_PATH_ANY) return match->path == NULL;
  if (match->path == NULL || match->path[0] != '/') return false;
  size_t size = strlen(match->path);
  return size < NEAP_ROUTE_PATH_MAX && (match->path_how != NEAP_PATH_BELOW || match->path[size - 1] != '/');
}

static bool valid_fields(const neap_match_field *fields, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (fields[i].name == NULL || fields[i].name[0] == 0) return false;
  return true;
}

static size_t fields_text(const neap_match_field *fields, size_t count) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++)
    size += strlen(fields[i].name) + (fields[i].value ? strlen(fields[i].value) : 0) + 2;
  return size;
}

/* An upper bound of the text that a match needs: BELOW needs its path twice. */
static size_t match_text(const neap_match *match) {
  size_t size = 2 + (match->host ? strlen(match->host) : 0) + 2 * (match->path ? strlen(match->path) + 2 : 1);
  for (size_t i = 0; i < match->method_count; i++) size += strlen(match->methods[i]) + 1;
  return size + fields_text(match->headers, match->header_count) +
         fields_text(match->queries, match->query_count);
}

static bool measure(builder *b, const neap_match *const *matches, size_t count, size_t *text) {
  for (size_t i = 0; i < count; i++) {
    const neap_match *match = matches[i];
    if (!valid_host(match->host) || !valid_path(match)) return false;
    if (!valid_fields(match->headers, match->header_count)) return false;
    if (!valid_fields(match->queries, match->query_count)) return false;
    b->pattern_count += match->path_how == NEAP_PATH_BELOW ? 2 : 1;
    b->field_count += (int32_t)(match->header_count + match->query_count);
    *text += match_text(match);
  }
  return true;
}

/* --- copying --- */

static char *copy_text(builder *b, const char *text, size_t size) {
  char *at = b->routes->texts + b->text_size;
  memcpy(at, text, size);
  at[size] = 0;
  b->text_size += size + 1;
  return at;
}

static void add_pattern(builder *b, const neap_match *match, int32_t index, const char *host, bool prefix,
                        bool below) {
  const char *path = match->path ? match->path : "";
  int32_t size = (int32_t)strlen(path);
  char *copy = copy_text(b, path, (size_t)size + (below ? 1 : 0)); /* the NUL makes room for the slash */
  if (below) copy[size++] = '/';
  b->patterns[b->pattern_count++] = (pattern){host, copy, size, prefix, match, index};
}

static void add_patterns(builder *b, const neap_match *match, int32_t index) {
  const char *host = match->host == NULL ? "" : match->host[0] == '*' ? match->host + 1 : match->host;
  host = copy_text(b, host, strlen(host));
  bool exact = match->path_how == NEAP_PATH_EXACT || match->path_how == NEAP_PATH_BELOW;
  if (exact) add_pattern(b, match, index, host, false, false);
  if (match->path_how != NEAP_PATH_EXACT)
    add_pattern(b, match, index, host, true, match->path_how == NEAP_PATH_BELOW);
}

static const neap_route_field *copy_fields(builder *b, const neap_match_field *fields, size_t count) {
  neap_route_field *first = b->routes->fields + b->field_count;
  for (size_t i = 0; i < count; i++, b->field_count++) {
    neap_route_field *field = b->routes->fields + b->field_count;
    field->name = neap_view_of(copy_text(b, fields[i].name, strlen(fields[i].name)));
    field->value = (neap_view){NULL, 0};
    if (fields[i].value) field->value = neap_view_of(copy_text(b, fields[i].value, strlen(fields[i].value)));
  }
  return first;
}

/* The bit of a method, added to the table's where it is new. 0: there are too many. */
static uint64_t method_bit(builder *b, const char *name) {
  neap_routes *routes = b->routes;
  for (int32_t i = 0; i < routes->method_count; i++)
    if (neap_view_is(routes->methods[i], name)) return UINT64_C(1) << i;
  if (routes->method_count == NEAP_ROUTE_METHODS_MAX) return 0;
  routes->methods[routes->method_count] = neap_view_of(copy_text(b, name, strlen(name)));
  return UINT64_C(1) << routes->method_count++;
}

static void compile_rule(builder *b, const pattern *from, const neap_route_rule *compiled) {
  b->routes->rules[b->rule_count] = compiled[from->index];
  b->rule_count++;
}

/* --- precedence --- */

static int more_first(size_t a, size_t b) {
  return a == b ? 0 : a > b ? -1 : 1;
}

/* Between rules that share host and place in the tree: points 2 to 7 of route.h. */
static int compare_matches(const pattern *a, const pattern *b) {
  const neap_match *x = a->match, *y = b->match;
  int order = (x->path_how == NEAP_PATH_BELOW) - (y->path_how == NEAP_PATH_BELOW);
  if (order == 0) order = more_first(x->method_count > 0, y->method_count > 0);
  if (order == 0) order = more_first(x->header_count, y->header_count);
  if (order == 0) order = more_first(x->query_count, y->query_count);
  if (order == 0) order = more_first(x->conditional, y->conditional);
  return order ? order : a->index - b->index;
}

static int compare_patterns(const void *left, const void *right) {
  const pattern *a = left, *b = right;
  int order = strcmp(a->host, b->host);
  if (order == 0) order = strcmp(a->path, b->path);
  if (order == 0) order = (int)a->prefix - (int)b->prefix;
  return order ? order : compare_matches(a, b);
}

/* --- trees --- */

static int32_t common_size(const pattern *a, const pattern *b, int32_t from) {
  int32_t size = from, end = NEAP_MIN(a->path_size, b->path_size);
  while (size < end && a->path[size] == b->path[size]) size++;
  return size;
}

static unsigned char byte_at(const builder *b, int32_t i, int32_t at) {
  return (unsigned char)b->patterns[i].path[at];
}

/* Marks the bytes that follow `at` in patterns [low, high) and returns how many there are. */
static int32_t mark_children(const builder *b, neap_route_node *node, int32_t low, int32_t high, int32_t at) {
  for (int32_t i = low; i < high; i++) {
    unsigned char c = byte_at(b, i, at);
    node->present[c >> 6] |= UINT64_C(1) << (c & 63);
  }
  int32_t count = 0;
  for (int word = 0; word < 4; word++) {
    node->below[word] = (uint8_t)count;
    count += __builtin_popcountll(node->present[word]);
  }
  return count;
}

/* Makes node `self` of patterns [low, high), which agree up to `from`. `compiled`: rules by declaration. */
static void build_node(builder *b, const neap_route_rule *compiled, int32_t self, int32_t low, int32_t high,
                       int32_t from, int32_t up) {
  int32_t at = common_size(&b->patterns[low], &b->patterns[high - 1], from);
  neap_route_node *node = &b->routes->nodes[self];
  node->label = (int32_t)(b->patterns[low].path + from - b->routes->texts);
  node->label_size = (uint16_t)(at - from);
  node->up = up;
  node->rule = b->rule_count;
  for (; low < high && b->patterns[low].path_size == at; low++) {
    compile_rule(b, &b->patterns[low], compiled);
    if (b->patterns[low].prefix)
      node->prefix_count++;
    else
      node->exact_count++;
  }
  int32_t child = b->node_count, next_up = node->prefix_count > 0 ? self : up;
  node->child = child;
  b->node_count += mark_children(b, node, low, high, at);
  while (low < high) {
    int32_t end = low + 1;
    while (end < high && byte_at(b, end, at) == byte_at(b, low, at)) end++;
    build_node(b, compiled, child++, low, end, at, next_up);
    low = end;
  }
}

/* --- hosts --- */

static void put_host(builder *b, const char *host, int32_t root) {
  neap_routes *routes = b->routes;
  size_t size = strlen(host);
  int32_t place = size == 0 ? 0 : neap_route_host_find(routes, host, size);
  routes->hosts[place] = (neap_route_host){.hash = size ? neap_route_host_hash(host, size) : 0,
                                           .text = (int32_t)(host - routes->texts),
                                           .size = (int32_t)size,
                                           .root = root};
  routes->wildcards |= host[0] == '.';
  routes->host_sizes |= UINT64_C(1) << size % 64;
  if (size < 8) return;
  uint32_t bit = neap_route_host_ends(host, size);
  routes->host_ends[bit / 64] |= UINT64_C(1) << bit % 64;
}

/* The next less specific host: the longest wildcard that holds this one, else any. */
static void link_host(neap_routes *routes, neap_route_host *host) {
  const char *text = routes->texts + host->text;
  for (int32_t i = 1; i < host->size; i++) {
    if (text[i] != '.') continue;
    int32_t found = neap_route_host_find(routes, text + i, (size_t)(host->size - i));
    if (routes->hosts[found].size > 0) {
      host->up = found;
      return;
    }
  }
  host->up = 0;
}

static void build_hosts(builder *b, const neap_route_rule *compiled) {
  neap_routes *routes = b->routes;
  routes->hosts[0].root = -1;
  for (int32_t low = 0, high; low < b->pattern_count; low = high) {
    const char *host = b->patterns[low].host;
    for (high = low + 1; high < b->pattern_count && strcmp(b->patterns[high].host, host) == 0;) high++;
    int32_t root = b->node_count++;
    build_node(b, compiled, root, low, high, 0, -1);
    put_host(b, host, root);
    routes->host_count += host[0] != 0;
  }
  for (uint32_t i = 1; i <= routes->host_mask + 1; i++)
    if (routes->hosts[i].size > 0) link_host(routes, &routes->hosts[i]);
  routes->hosts[0].up = -1;
}

/* --- all of it --- */

static int compile_matches(builder *b, const neap_match *const *matches, size_t count,
                           neap_route_rule *compiled) {
  b->pattern_count = b->field_count = 0;
  for (size_t i = 0; i < count; i++) {
    const neap_match *match = matches[i];
    neap_route_rule *rule = &compiled[i];
    add_patterns(b, match, (int32_t)i);
    rule->index = (int32_t)i;
    rule->header_count = (int32_t)match->header_count;
    rule->headers = copy_fields(b, match->headers, match->header_count);
    rule->query_count = (int32_t)match->query_count;
    rule->queries = copy_fields(b, match->queries, match->query_count);
    for (size_t m = 0; m < match->method_count; m++) {
      uint64_t bit = method_bit(b, match->methods[m]);
      if (bit == 0) return NEAP_EINVAL;
      rule->methods |= bit;
    }
  }
  qsort(b->patterns, (size_t)b->pattern_count, sizeof *b->patterns, compare_patterns);
  build_hosts(b, compiled);
  return 0;
}

static bool allocate(builder *b, size_t count, size_t text, neap_route_rule **compiled) {
  neap_routes *routes = b->routes;
  size_t patterns = (size_t)b->pattern_count, hosts = 4, nodes = 3 * patterns + 1;
  while (hosts < 2 * count) hosts *= 2; /* at most half full: an empty place ends every search */
  routes->host_mask = (uint32_t)hosts - 1;
  routes->hosts = calloc(hosts + 1, sizeof *routes->hosts);
  routes->nodes = aligned_alloc(NEAP_CACHE_LINE, nodes * sizeof *routes->nodes);
  routes->rules = calloc(patterns + 1, sizeof *routes->rules);
  routes->fields = calloc((size_t)b->field_count + 1, sizeof *routes->fields);
  routes->texts = calloc(text + sizeof(uint64_t), 1);
  b->patterns = calloc(patterns + 1, sizeof *b->patterns);
  *compiled = calloc(count + 1, sizeof **compiled);
  if (routes->nodes) memset(routes->nodes, 0, nodes * sizeof *routes->nodes);
  return routes->hosts && routes->nodes && routes->rules && routes->fields && routes->texts && b->patterns &&
         *compiled;
}

int neap_routes_create(const neap_match *const *matches, size_t count, neap_routes **out) {
  builder b = {.routes = calloc(1, sizeof(neap_routes))};
  if (b.routes == NULL) return NEAP_ENOMEM;
  b.routes->magic = ROUTES_MAGIC;
  b.routes->descend = neap_route_descend_best();
  neap_route_rule *compiled = NULL;
  size_t text = 0;
  int status = NEAP_EINVAL;
  if (measure(&b, matches, count, &text))
    status =
        allocate(&b, count, text, &compiled) ? compile_matches(&b, matches, count, compiled) : NEAP_ENOMEM;
  free(b.patterns);
  free(compiled);
  if (status)
    neap_routes_destroy(&b.routes);
  else
    *out = b.routes;
  return status;
}

void neap_routes_destroy(neap_routes **routes) {
  neap_routes *r = *routes;
  if (r == NULL) return;
  neap_check_magic(r, ROUTES_MAGIC);
  free(r->hosts);
  free(r->nodes);
  free(r->rules);
  free(r->fields);
  free(r->texts);
  r->magic = 0;
  free(r);
  *routes = NULL;
}
