/* "Did you mean ...?": the known word nearest to a mistyped one. Cold paths only. */
#ifndef NEAP_BASE_NEAREST_H
#define NEAP_BASE_NEAREST_H

#include <stddef.h>

/* The best candidate so far. `name` is borrowed from who offered it and stays NULL while none is near enough
 * to be worth suggesting: at most one edit in three letters, or one begins with the other. */
typedef struct neap_nearest {
  const char *word;
  const char *name;
  size_t distance; /* of `name` */
} neap_nearest;

void neap_nearest_init(neap_nearest *nearest, const char *word);
void neap_nearest_offer(neap_nearest *nearest, const char *candidate);

/* Edits that turn `a` into `b`: insertion, deletion, change, or swap of neighbours of one letter each,
 * without regard to case. Words are looked at up to their 64th letter. */
size_t neap_word_distance(const char *a, const char *b);

#endif
