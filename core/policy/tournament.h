/* Which place of a pool has the least key, when few keys change at a time: a tree of which each node knows
 * the least below it. Private to policy/.
 *
 * A key is any number; infinity takes a place out. Changing one and asking for the least look at as many
 * nodes as the tree has levels, at most: 10 in a pool of 1000. */
#ifndef NEAP_POLICY_TOURNAMENT_H
#define NEAP_POLICY_TOURNAMENT_H

#include <stdint.h>

typedef struct neap_tournament {
  double *nodes;  /* [1] the least of all, [n] that of [2 n] and [2 n + 1]; the places from [leaves] on */
  int32_t leaves; /* a power of two; 0: none yet */
} neap_tournament;

void neap_tournament_fini(neap_tournament *tournament);
/* Makes room for `count` places, those that are new with an infinite key. NEAP_ENOMEM: nothing has changed.
 * Allocates only where the number has doubled. */
int neap_tournament_fit(neap_tournament *tournament, int32_t count);
/* A key that is not a number counts as infinity. hot: */
void neap_tournament_set(neap_tournament *tournament, int32_t place, double key);
/* The first place from `from` on, going round, among those with the least key; -1: all are infinite. hot: */
int32_t neap_tournament_first(const neap_tournament *tournament, int32_t from);

#endif
