/* What the actions of a route made of one exchange: in its arena, made in `route`, read by the steps after
 * it. Exchanges of routes without actions have none, and pay for one comparison. Internal to flow/. */
#ifndef NEAP_FLOW_ACTS_H
#define NEAP_FLOW_ACTS_H

#include "flow/steps.h"

enum { NEAP_ACTS_FIELDS_MAX = 32 };

/* Changes to a head that are made while the exchange runs. */
typedef struct neap_acts_edits {
  neap_flow_edits edits; /* points to what follows */
  const char *remove[NEAP_ACTS_FIELDS_MAX];
  neap_match_field set[NEAP_ACTS_FIELDS_MAX], add[NEAP_ACTS_FIELDS_MAX];
} neap_acts_edits;

typedef struct neap_acts {
  neap_acts_edits *request, *response; /* beside the route's own; NULL: none */
  const char *tag;                     /* for the log; NULL: none */
  bool bypass;                         /* the cache has no part in this */
  neap_view key;                       /* of the cache, instead of host, path and query; size 0: those */
  uint64_t ttl_ms;                     /* instead of the route's, where has_ttl */
  bool has_ttl;
  bool pooled, rewritten; /* the action chose the pool; the target */
} neap_acts;

/* route_act.c: carries out the actions of the exchange's route. STEP_ROUTE: go on as the route says; else the
 * next step. */
neap_step neap_acts_run(neap_exchange *exchange);

/* route_access.c: CORS; credentials. As neap_acts_run. */
neap_step neap_acts_cors(neap_exchange *exchange);
neap_step neap_acts_auth(neap_exchange *exchange);

/* route_mirror.c: sends a copy to another pool, where the rule says so and there is room. */
void neap_acts_mirror(neap_exchange *exchange, const neap_mirror *mirror);

/* route_script.c: asks the route's action in Lua. As neap_acts_run. */
neap_step neap_acts_script(neap_exchange *exchange);

/* route_edit.c: changes to this exchange's heads. The texts live as long as the exchange. NEAP_ENOMEM,
 * NEAP_ETOOLARGE. */
typedef enum neap_acts_change { NEAP_ACTS_SET, NEAP_ACTS_ADD, NEAP_ACTS_REMOVE } neap_acts_change;
int neap_acts_edit(neap_exchange *exchange, neap_acts_edits **edits, neap_acts_change change,
                   const char *name, const char *value);
/* A copy of `text` in the exchange's arena, ended by NUL; NULL when out of memory. */
char *neap_acts_copy(neap_exchange *exchange, neap_view text);
/* The lines of a stored head that the edits of the route and of this exchange leave, and those that they add.
 * NEAP_ENOMEM. */
int neap_acts_lines(neap_exchange *exchange, neap_view *head, neap_view *added);

/* route_key.c: the cache key by a route's rule, without its space. In the arena. NEAP_ENOMEM, NEAP_EINVAL
 * without host where the key holds it. */
int neap_acts_key(neap_exchange *exchange, const neap_key_rule *rule, neap_view *out);

/* The rows of a data table now, within the step; NULL for none. */
static inline const neap_rows *neap_acts_rows(const neap_exchange *exchange, int32_t table) {
  return table == NEAP_NO_TABLE ? NULL : neap_table_rows(exchange->generation->tables[table]);
}

/* The edits of one direction, or NULL. */
static inline const neap_flow_edits *neap_acts_request(const neap_exchange *exchange) {
  return exchange->acts && exchange->acts->request ? &exchange->acts->request->edits : NULL;
}
static inline const neap_flow_edits *neap_acts_response(const neap_exchange *exchange) {
  return exchange->acts && exchange->acts->response ? &exchange->acts->response->edits : NULL;
}

#endif
