/* Optimal string alignment distance, three rows at a time. */
#include "base/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/base.h"

enum { WORD_MAX = 64 };

static bool same(char a, char b) {
  return tolower((unsigned char)a) == tolower((unsigned char)b);
}

size_t neap_word_distance(const char *a, const char *b) {
  size_t a_size = strnlen(a, WORD_MAX), b_size = strnlen(b, WORD_MAX);
  size_t rows[3][WORD_MAX + 1];
  for (size_t j = 0; j <= b_size; j++) rows[0][j] = j;
  for (size_t i = 1; i <= a_size; i++) {
    size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= b_size; j++) {
      size_t change = above[j - 1] + !same(a[i - 1], b[j - 1]);
      row[j] = NEAP_MIN(change, NEAP_MIN(above[j], row[j - 1]) + 1);
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
        row[j] = NEAP_MIN(row[j], two_above[j - 2] + 1);
    }
  }
  return rows[a_size % 3][b_size];
}

void neap_nearest_init(neap_nearest *nearest, const char *word) {
  *nearest = (neap_nearest){.word = word};
}

/* Words of which one begins with the other, such as "s3" and "s3fifo", are near whatever their lengths. */
static bool begins(const char *a, const char *b) {
  size_t size = NEAP_MIN(strlen(a), strlen(b));
  return size >= 2 && strncasecmp(a, b, size) == 0;
}

void neap_nearest_offer(neap_nearest *nearest, const char *candidate) {
  size_t distance = neap_word_distance(nearest->word, candidate);
  size_t letters = NEAP_MAX(strnlen(nearest->word, WORD_MAX), strnlen(candidate, WORD_MAX));
  if (distance > (letters + 2) / 3 && !begins(nearest->word, candidate)) return;
  if (nearest->name != NULL && distance >= nearest->distance) return;
  nearest->name = candidate;
  nearest->distance = distance;
}
