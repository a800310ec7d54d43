/* What a route does with a request beside sending it to its pool: a plain description, filled by script/ from
 * the configuration and carried out by flow/. Texts and lists are borrowed from whoever filled it. */
#ifndef NEAP_BASE_ACTIONS_H
#define NEAP_BASE_ACTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/match.h"

/* --- parts of a request: what templates, keys and shares are made of */

/* Name in the configuration. TEXT stands for itself; REST is what follows `text` in the path; BELOW too, but
 * only where `text` ends with a segment (else it is the whole path); PARAMETER, HEADER and COOKIE have a
 * name. */
#define NEAP_PARTS(X)                                                                                        \
  X(TEXT, text)                                                                                              \
  X(METHOD, method)                                                                                          \
  X(TARGET, target)                                                                                          \
  X(PATH, path)                                                                                              \
  X(REST, rest)                                                                                              \
  X(BELOW, below)                                                                                            \
  X(QUERY, query)                                                                                            \
  X(HOST, host)                                                                                              \
  X(CLIENT, client)                                                                                          \
  X(PARAMETER, parameter)                                                                                    \
  X(HEADER, header)                                                                                          \
  X(COOKIE, cookie)
#define NEAP_PART_ENUM(NAME, name) NEAP_PART_##NAME,
typedef enum neap_part_kind { NEAP_PARTS(NEAP_PART_ENUM) NEAP_PART_COUNT } neap_part_kind;
#undef NEAP_PART_ENUM

typedef struct neap_part {
  neap_part_kind kind;
  const char *text;
} neap_part;

typedef struct neap_parts {
  const neap_part *list;
  size_t count; /* 0: nothing */
} neap_parts;

/* --- data tables */

#define NEAP_TABLE_KINDS(X)                                                                                  \
  X(MAP, map)         /* key to value */                                                                     \
  X(SET, set)         /* keys */                                                                             \
  X(PREFIX, prefix)   /* the longest key that begins a text, to its value */                                 \
  X(NETWORK, network) /* the longest network that holds an address, to its value */                          \
  X(WEIGHTS, weights) /* name to weight */
#define NEAP_TABLE_ENUM(NAME, name) NEAP_TABLE_##NAME,
typedef enum neap_table_kind { NEAP_TABLE_KINDS(NEAP_TABLE_ENUM) NEAP_TABLE_KIND_COUNT } neap_table_kind;
#undef NEAP_TABLE_ENUM

/* --- actions */

enum { NEAP_NO_TABLE = -1 }; /* else the index of a data table of the configuration */

typedef struct neap_rewrite {
  neap_parts path; /* none: it stays */
  neap_parts query;
  bool new_query; /* `query` replaces it, also where it is nothing */
} neap_rewrite;

typedef struct neap_share {
  int32_t pool;
  uint32_t upto; /* this share is drawn by numbers below it that no earlier share has */
} neap_share;

/* Which pool: by weight, always the same one for the same `by`. */
typedef struct neap_split {
  const neap_share *shares; /* none: there is no split, or its weights are in the table */
  size_t share_count;
  int32_t table; /* of weights, by names of pools */
  neap_parts by; /* none: at random */
  uint64_t salt; /* so that two splits by the same thing are drawn independently */
} neap_split;

/* A token bucket for each `by`. */
typedef struct neap_limit {
  bool set;
  const char *name; /* limits of one name share their buckets, and keep them over reloads */
  neap_parts by;    /* none: one for all */
  double rate;      /* requests a second */
  double burst;     /* requests at once, at least 1 */
  int32_t table;    /* of rates, by `by`: 0 refuses, a missing row means `rate` */
  int32_t status;   /* 429 */
} neap_limit;

/* Whose pages may use it. */
typedef struct neap_cors {
  bool set, any_origin, credentials;
  const char *const *origins; /* "https://a.example", or with a "*" in place of what is below a host */
  size_t origin_count;
  const char *methods, *headers, *expose, *max_age; /* values of headers; "": none */
} neap_cors;

/* Who may use it. */
typedef struct neap_auth {
  enum { NEAP_AUTH_NONE, NEAP_AUTH_BASIC, NEAP_AUTH_BEARER } scheme;
  const neap_match_field *users; /* BEARER: tokens. Name, and "sha256:SALT:HEX" */
  size_t user_count;
  int32_t table; /* instead: of those; BEARER: of plain digests in hex, to names */
  const char *realm;
  const char *user_header; /* "": none */
  bool forward;            /* the backend gets the credentials too */
} neap_auth;

/* What a response is stored under. */
typedef struct neap_key_rule {
  neap_parts parts;         /* none: host, path and query, as HTTP says */
  const char *const *names; /* parameters of the query; a "*" at the end stands for any rest */
  size_t name_count;
  enum { NEAP_QUERY_ALL, NEAP_QUERY_KEEP, NEAP_QUERY_DROP } query; /* what the names mean */
} neap_key_rule;

/* A copy of requests for another pool; its responses are thrown away. */
typedef struct neap_mirror {
  int32_t pool;  /* -1: there is none */
  uint32_t ppm;  /* of requests */
  uint32_t most; /* copies in flight, by worker: above, none is made */
} neap_mirror;

typedef struct neap_actions {
  const char *tag; /* for the log; NULL: none */
  neap_rewrite rewrite;
  neap_parts location; /* of a redirect that is made of the request */
  neap_split split;
  neap_limit limit;
  neap_cors cors;
  neap_auth auth;
  neap_key_rule key;
  neap_mirror mirror;
  bool scripted;     /* ask neap_worker_act */
  bool scripted_key; /* it makes the cache key: where it fails, the cache is not asked */
  bool strict;       /* where it fails, the request is refused */
  bool refuses;      /* likewise where a value of it may not stand where it was put */
} neap_actions;

#endif
