#include "policy/tournament.h"

#include <math.h>
#include <stdlib.h>

#include "base/base.h"

void neap_tournament_fini(neap_tournament *tournament) {
  free(tournament->nodes);
  *tournament = (neap_tournament){0};
}

int neap_tournament_fit(neap_tournament *tournament, int32_t count) {
  if (count <= tournament->leaves) return 0;
  int32_t leaves = NEAP_MAX(tournament->leaves, 16), had = tournament->leaves;
  while (leaves < count) leaves *= 2;
  double *nodes = malloc(2 * (size_t)leaves * sizeof *nodes);
  if (nodes == NULL) return NEAP_ENOMEM;
  for (int32_t i = 0; i < leaves; i++) nodes[leaves + i] = i < had ? tournament->nodes[had + i] : INFINITY;
  for (int32_t i = leaves - 1; i > 0; i--) nodes[i] = NEAP_MIN(nodes[2 * i], nodes[2 * i + 1]);
  free(tournament->nodes);
  *tournament = (neap_tournament){.nodes = nodes, .leaves = leaves};
  return 0;
}

void neap_tournament_set(neap_tournament *tournament, int32_t place, double key) {
  double *nodes = tournament->nodes;
  int32_t at = tournament->leaves + place;
  if (!(key < INFINITY)) key = INFINITY;
  if (nodes[at] == key) return;
  nodes[at] = key;
  for (at /= 2; at > 0; at /= 2) {
    double least = NEAP_MIN(nodes[2 * at], nodes[2 * at + 1]);
    if (nodes[at] == least) return;
    nodes[at] = least;
  }
}

/* The first leaf below a node that has its key. */
static int32_t descend(const neap_tournament *tournament, int32_t at) {
  const double *nodes = tournament->nodes;
  while (at < tournament->leaves) at = 2 * at + (nodes[2 * at] != nodes[at]);
  return at - tournament->leaves;
}

int32_t neap_tournament_first(const neap_tournament *tournament, int32_t from) {
  const double *nodes = tournament->nodes;
  if (tournament->leaves == 0 || nodes[1] == INFINITY) return -1;
  int32_t at = tournament->leaves + from;
  if (nodes[at] == nodes[1]) return from;
  for (; at > 1; at /= 2) /* what is right of it, the nearest first */
    if (!(at & 1) && nodes[at + 1] == nodes[1]) return descend(tournament, at + 1);
  return descend(tournament, 1);
}
