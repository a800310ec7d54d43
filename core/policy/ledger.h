/* A ledger: items in the order they were noted, found by hash. Bounded. Private to policy/. */
#ifndef NEAP_POLICY_LEDGER_H
#define NEAP_POLICY_LEDGER_H

#include "policy/policy.h"

enum { NEAP_LEDGER_MAX = 1 << 14 };

typedef struct neap_ledger_note {
  neap_prefetch_item item;
  uint64_t at; /* request at which it was noted */
  int32_t issuer;
  uint32_t trial; /* of the issuer */
  bool live, landed;
  uint32_t chain; /* next of its bucket, plus 1; 0 ends it */
} neap_ledger_note;

typedef struct neap_ledger {
  neap_ledger_note *notes; /* a ring */
  uint32_t *buckets;       /* note, plus 1; 0: none */
  uint64_t first, end;     /* of the ring: notes first..end-1, of which some are over */
} neap_ledger;

int neap_ledger_init(neap_ledger *ledger); /* 0 or NEAP_ENOMEM */
void neap_ledger_fini(neap_ledger *ledger);
neap_ledger_note *neap_ledger_find(const neap_ledger *ledger, uint64_t hash);
/* NULL: full. `hash` is not in it. */
neap_ledger_note *neap_ledger_add(neap_ledger *ledger, const neap_prefetch_item *item);
void neap_ledger_end(neap_ledger *ledger, neap_ledger_note *note); /* it is over */
/* The oldest, or the oldest that has landed; NULL: none. */
neap_ledger_note *neap_ledger_oldest(neap_ledger *ledger, bool landed);

#endif
