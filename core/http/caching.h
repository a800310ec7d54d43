/* The rules of a shared cache (RFC 9111 sections 2-4, 5.2): may it be looked up, stored, for how long, under
 * which key. What cannot be reused correctly is not stored: no-cache, private, 206, Vary: *. Nothing is ever
 * served stale; request directives are advisory and ignored.
 *
 * Vary. A response with Vary lies under a *variant key*; under the primary key lies a *marker* that names the
 * selecting fields and carries a nonce. A lookup that finds a marker makes the variant key from it and looks
 * again. A variant key contains nonce, names and values, so that a variant is found only by requests whose
 * selecting fields all match, and is lost with its marker: removing the primary key invalidates all variants.
 *
 *   lookup: key = neap_http_key; entry = get(key)
 *           if (neap_http_stored_open(meta, &stored) says marker)
 *             vkey = neap_http_variant_key(key, &stored, request); entry = get(vkey)     none: fwd=vary-miss
 *   store:  decision = neap_http_store_decide(...)
 *           if (decision.vary) { marker = neap_http_marker_write(nonce of the marker that lies there if
 *             neap_http_marker_matches, else a fresh one); put(key, "", meta = marker, ttl); put under vkey }
 */
#ifndef NEAP_HTTP_CACHING_H
#define NEAP_HTTP_CACHING_H

#include "http/message.h"
#include "http/write.h"

/* --- dates ------------------------------------------------------------------------------------------- */

#define NEAP_HTTP_DATE_SIZE 29
/* Writes "Sun, 06 Nov 1994 08:49:37 GMT" (29 bytes, no NUL). 0 <= unix_s < year 10000. */
void neap_http_date_write(char out[NEAP_HTTP_DATE_SIZE], int64_t unix_s);
/* Reads IMF-fixdate, RFC 850 and asctime dates; a two-digit year is within 50 years ahead of `now_s`, else
 * past. 0 or NEAP_ESYNTAX. */
int neap_http_date_read(const char *text, size_t size, int64_t now_s, int64_t *unix_s);

/* --- Cache-Control ----------------------------------------------------------------------------------- */

#define NEAP_HTTP_DELTA_MAX 2147483648u /* delta-seconds clamp here */

/* The response directives. Ages are -1 where absent or unusable; an unusable one sets bad_age (stale). */
typedef struct neap_http_control {
  bool no_store, no_cache, is_private, is_public, must_revalidate, proxy_revalidate, must_understand,
      immutable, no_transform, bad_age;
  int64_t max_age, s_maxage;
} neap_http_control;
void neap_http_control_read(const neap_http_head *head, neap_http_control *out);

/* --- lookup ------------------------------------------------------------------------------------------ */

/* Whether a request may be answered from the cache. USABLE first. */
#define NEAP_HTTP_LOOKUP_ENUM(GROUP, NAME, name, status, text) NEAP_HTTP_LOOKUP_##NAME,
typedef enum neap_http_lookup {
  NEAP_REASONS_LOOKUP(NEAP_HTTP_LOOKUP_ENUM) NEAP_HTTP_LOOKUP_COUNT
} neap_http_lookup;
#undef NEAP_HTTP_LOOKUP_ENUM

neap_http_lookup neap_http_lookup_decide(const neap_http_request *request);
const char *neap_http_lookup_name(neap_http_lookup lookup); /* "usable" */
const char *neap_http_lookup_text(neap_http_lookup lookup);
neap_http_fwd neap_http_lookup_fwd(neap_http_lookup lookup);

/* hot: The primary key: scheme, host in lower case, port unless it is the scheme's, target with query.
 * Returns its size, or NEAP_ESMALL, NEAP_EINVAL without host. */
ssize_t neap_http_key(char *out, size_t capacity, const neap_http_request *request, neap_view scheme);

/* A reply to `method` with `status` makes what is stored under the target's primary key invalid. */
bool neap_http_invalidates(neap_http_method method, int status);

/* --- storing ----------------------------------------------------------------------------------------- */

/* Whether a response may be stored. YES first. */
#define NEAP_HTTP_STORE_ENUM(GROUP, NAME, name, status, text) NEAP_HTTP_STORE_##NAME,
typedef enum neap_http_store {
  NEAP_REASONS_STORE(NEAP_HTTP_STORE_ENUM) NEAP_HTTP_STORE_COUNT
} neap_http_store;
#undef NEAP_HTTP_STORE_ENUM
const char *neap_http_store_name(neap_http_store store); /* "no_store" */
const char *neap_http_store_text(neap_http_store store);

/* The last three are for responses that state no lifetime: without one, they are kept only if their status
 * allows it (RFC 9110, 15.1) or they are public. */
typedef struct neap_http_rules {
  bool store_set_cookie;      /* default false: a cookie stored is a cookie replayed to everyone */
  uint64_t default_ms;        /* the operator's lifetime for them; 0: none */
  uint32_t heuristic_percent; /* else of the age since Last-Modified; 10. 0: no heuristics */
  uint32_t heuristic_max_s;   /* 3600 */
} neap_http_rules;
extern const neap_http_rules neap_http_rules_default;

/* When it happened. Engine time (monotonic milliseconds) but for wall_s. */
typedef struct neap_http_times {
  uint64_t request_ms;  /* the request was sent to the origin */
  uint64_t response_ms; /* its response head had arrived */
  int64_t wall_s;       /* seconds since 1970 at response_ms */
} neap_http_times;

typedef struct neap_http_decision {
  neap_http_store store; /* YES, or why not; all that follows is set with YES only */
  bool vary;             /* to be stored under a variant key */
  bool shareable;        /* also for requests with Authorization */
  uint64_t lifetime_ms;  /* fresh while the current age is below */
  uint64_t age_ms;       /* initial age, at response_ms */
  uint64_t ttl_ms;       /* lifetime - age, > 0: for the store */
} neap_http_decision;

void neap_http_store_decide(neap_http_decision *out, const neap_http_request *request,
                            const neap_http_response *response, const neap_http_rules *rules,
                            const neap_http_times *times);

#endif
