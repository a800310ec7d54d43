/* What a route matches: a plain description, filled by script/ from the configuration and compiled by route/.
 * The texts are borrowed from whoever filled it. */
#ifndef NEAP_BASE_MATCH_H
#define NEAP_BASE_MATCH_H

#include <stdbool.h>
#include <stddef.h>

typedef enum neap_match_path {
  NEAP_PATH_ANY,    /* every path; `path` is NULL */
  NEAP_PATH_EXACT,  /* `path` and nothing else */
  NEAP_PATH_PREFIX, /* every path that starts with the bytes of `path` */
  NEAP_PATH_BELOW   /* `path` itself and what lies below it: "/a" and "/a/b", not "/ab". No "/" at its end */
} neap_match_path;

/* A header or a parameter of the query that must be there. */
typedef struct neap_match_field {
  const char *name;  /* headers: compared without regard to case */
  const char *value; /* exact; NULL: any value will do */
} neap_match_field;

typedef struct neap_match {
  const char *host; /* lower case, no port: "example.com", or "*.example.com" for all below it; NULL: any */
  const char *path; /* begins with "/" */
  neap_match_path path_how;
  const char *const *methods; /* any of them; none: any method */
  size_t method_count;
  const neap_match_field *headers; /* all of them */
  size_t header_count;
  const neap_match_field *queries; /* all of them */
  size_t query_count;
  bool conditional; /* a predicate decides too: more specific than the same match without one */
} neap_match;

/* What a pool balances by: the part of a request whose hash is the `key` of a pick board. */
typedef enum neap_match_key {
  NEAP_KEY_CLIENT, /* the client's address */
  NEAP_KEY_PATH,
  NEAP_KEY_QUERY, /* all of it, or the value of its parameter `key_name` */
  NEAP_KEY_HOST,
  NEAP_KEY_HEADER, /* the value of the header `key_name` */
  NEAP_KEY_COOKIE  /* the value of the cookie `key_name` */
} neap_match_key;

#endif
