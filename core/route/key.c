/* The hash of what a pool balances by. */
#include "route/route.h"

#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "policy/policy.h"

/* The part itself; empty where the request has none. */
static neap_slice find_part(neap_match_key key, const char *key_name, const neap_request_board *request) {
  neap_slice part = {0};
  switch (key) {
  case NEAP_KEY_CLIENT: return request->client;
  case NEAP_KEY_PATH: return request->path;
  case NEAP_KEY_QUERY:
    if (key_name == NULL || key_name[0] == '\0') return request->query;
    neap_request_query(request, neap_view_of(key_name), &part);
    return part;
  case NEAP_KEY_HOST: return request->host;
  case NEAP_KEY_HEADER: {
    int32_t row = neap_request_header(request, neap_view_of(key_name), 0);
    return row >= 0 ? request->headers[row].value : part;
  }
  case NEAP_KEY_COOKIE: neap_request_cookie(request, neap_view_of(key_name), &part); return part;
  }
  return part;
}

double neap_route_key(neap_match_key key, const char *key_name, const neap_request_board *request) {
  neap_slice part = find_part(key, key_name, request);
  return (double)(neap_hash_bytes(part.ptr, (size_t)part.size) >> 11);
}
