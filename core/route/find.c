/* Looks up requests in a route table. hot: everything here; no allocation. */
#include "route/tree.h"

#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "policy/policy.h"

/* --- hosts --- */

static inline uint64_t load(const char *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

uint64_t neap_route_host_hash(const char *host, size_t size) {
  return neap_hash_bytes(host, size);
}

int32_t neap_route_host_find(const neap_routes *routes, const char *host, size_t size) {
  uint64_t hash = neap_route_host_hash(host, size);
  for (uint32_t i = (uint32_t)hash & routes->host_mask;; i = (i + 1) & routes->host_mask) {
    const neap_route_host *at = &routes->hosts[i + 1];
    if (at->size == 0) return (int32_t)i + 1;
    if (at->hash == hash && (size_t)at->size == size && memcmp(routes->texts + at->text, host, size) == 0)
      return (int32_t)i + 1;
  }
}

/* False: no rule names that host, or end of a host; which is told without hashing all of it. */
static inline bool may_have(const neap_routes *routes, const char *host, size_t size) {
  if (!(routes->host_sizes >> size % 64 & 1)) return false;
  if (size < 8) return true;
  uint32_t bit = neap_route_host_ends(host, size);
  return routes->host_ends[bit / 64] >> bit % 64 & 1;
}

/* The most specific entry for the request's host; 0: any. */
static int32_t find_host(const neap_routes *routes, const neap_slice *slice) {
  const char *host = slice->ptr;
  size_t size = (size_t)slice->size;
  if (size == 0 || size > NEAP_ROUTE_HOST_MAX || host[0] == '.') return 0;
  if (may_have(routes, host, size)) {
    int32_t found = neap_route_host_find(routes, host, size);
    if (routes->hosts[found].size > 0) return found;
  }
  for (size_t i = 1; routes->wildcards && i < size; i++) {
    if (host[i] != '.' || !may_have(routes, host + i, size - i)) continue;
    int32_t found = neap_route_host_find(routes, host + i, size - i);
    if (routes->hosts[found].size > 0) return found;
  }
  return 0;
}

/* --- paths --- */

/* Does `label` begin the `left` bytes at `path`, of which there are enough? One comparison where both can be
 * read as words: texts end with a word of zeros, a path may not. */
static inline bool has_label(const char *label, int32_t size, const char *path, int32_t left) {
  if (size <= 8 && left >= 8) {
    uint64_t differ = load(label) ^ load(path);
    return size == 8 ? differ == 0 : (differ & ((UINT64_C(1) << 8 * size) - 1)) == 0;
  }
  return memcmp(label, path, (size_t)size) == 0;
}

/* The deepest node whose whole text begins `path`, -1 where there is none; *whole: it is all of the path. */
__attribute__((always_inline)) static inline int32_t walk_down(const neap_routes *routes, int32_t node,
                                                               const neap_slice *path, bool *whole) {
  int32_t deepest = -1, at = 0;
  for (;;) {
    const neap_route_node *n = &routes->nodes[node];
    int32_t left = path->size - at;
    if (n->label_size > left || !has_label(routes->texts + n->label, n->label_size, path->ptr + at, left))
      break;
    at += n->label_size;
    deepest = node;
    if ((*whole = at == path->size)) break;
    unsigned char c = (unsigned char)path->ptr[at];
    uint64_t word = n->present[c >> 6], bit = UINT64_C(1) << (c & 63);
    if (!(word & bit)) break;
    node = n->child + n->below[c >> 6] + __builtin_popcountll(word & (bit - 1));
  }
  return deepest;
}

/* The baseline of x86-64 lacks the instruction that counts bits, and a library call for each node is a third
 * of a look-up: so there are two of them. */
static int32_t descend_plain(const neap_routes *routes, int32_t node, const neap_slice *path, bool *whole) {
  return walk_down(routes, node, path, whole);
}

#ifdef __x86_64__
__attribute__((target("popcnt"))) static int32_t descend_popcnt(const neap_routes *routes, int32_t node,
                                                                const neap_slice *path, bool *whole) {
  return walk_down(routes, node, path, whole);
}

neap_route_descend *neap_route_descend_best(void) {
  return __builtin_cpu_supports("popcnt") ? descend_popcnt : descend_plain;
}
#else
neap_route_descend *neap_route_descend_best(void) {
  return descend_plain;
}
#endif

/* Takes the exact rules of a host in hand, and its deepest node for what comes after. */
static void enter_host(neap_route_walk *walk) {
  const neap_routes *routes = walk->routes;
  bool whole = false;
  int32_t root = routes->hosts[walk->host].root;
  walk->node = root < 0 ? -1 : routes->descend(routes, root, walk->path, &whole);
  walk->rule = walk->rule_end = 0;
  if (!whole) return;
  const neap_route_node *node = &routes->nodes[walk->node];
  walk->rule = node->rule;
  walk->rule_end = node->rule + node->exact_count;
}

/* Takes the next list of rules in hand: prefixes from the longest to the shortest, then the next host. */
static bool next_list(neap_route_walk *walk) {
  const neap_routes *routes = walk->routes;
  if (walk->node >= 0) {
    const neap_route_node *node = &routes->nodes[walk->node];
    walk->rule = node->rule + node->exact_count;
    walk->rule_end = walk->rule + node->prefix_count;
    walk->node = node->up;
    return true;
  }
  if (walk->host < 0) return false;
  walk->host = routes->hosts[walk->host].up;
  if (walk->host < 0) return false;
  enter_host(walk);
  return true;
}

/* --- the rest of a rule --- */

static inline bool is_value(const neap_view *wanted, const neap_slice *have) {
  if (wanted->ptr == NULL) return true;
  return (size_t)have->size == wanted->size && memcmp(have->ptr, wanted->ptr, wanted->size) == 0;
}

static bool header_matches(const neap_request_board *request, const neap_route_field *field) {
  for (int32_t i = neap_request_header(request, field->name, 0); i >= 0;
       i = neap_request_header(request, field->name, i + 1))
    if (is_value(&field->value, &request->headers[i].value)) return true;
  return false;
}

static bool query_matches(const neap_request_board *request, const neap_route_field *field) {
  neap_slice value;
  return neap_request_query(request, field->name, &value) && is_value(&field->value, &value);
}

static bool rule_matches(const neap_route_walk *walk, const neap_route_rule *rule) {
  if (rule->methods != 0 && !(rule->methods & walk->method)) return false;
  for (int32_t i = 0; i < rule->header_count; i++)
    if (!header_matches(walk->request, &rule->headers[i])) return false;
  for (int32_t i = 0; i < rule->query_count; i++)
    if (!query_matches(walk->request, &rule->queries[i])) return false;
  return true;
}

static uint64_t find_method(const neap_routes *routes, const neap_slice *method) {
  for (int32_t i = 0; i < routes->method_count; i++)
    if (is_value(&routes->methods[i], method)) return UINT64_C(1) << i;
  return 0;
}

/* --- the walk --- */

void neap_routes_find(const neap_routes *routes, const neap_request_board *request, neap_route_walk *walk) {
  walk->routes = routes;
  walk->request = request;
  walk->path = NEAP_UNLIKELY(request->folded.ptr != NULL) ? &request->folded : &request->path;
  walk->method = find_method(routes, &request->method);
  walk->host = routes->host_count > 0 ? find_host(routes, &request->host) : 0;
  enter_host(walk);
}

int32_t neap_routes_next(neap_route_walk *walk) {
  do {
    while (walk->rule < walk->rule_end) {
      const neap_route_rule *rule = &walk->routes->rules[walk->rule++];
      if (rule_matches(walk, rule)) return rule->index;
    }
  } while (next_list(walk));
  return -1;
}
