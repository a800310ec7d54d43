#include "sim/balance_agenda.h"

#include <stdlib.h>

#include "base/base.h"

static bool before(const neap_happening *a, const neap_happening *b) {
  return a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->order < b->order);
}

void neap_agenda_fini(neap_agenda *agenda) {
  free(agenda->items);
}

void neap_agenda_add(neap_agenda *agenda, double at_ms, uint32_t kind, uint32_t subject, uint32_t detail) {
  if (agenda->count == agenda->capacity) {
    agenda->capacity = NEAP_MAX(256, agenda->capacity * 2);
    agenda->items = realloc(agenda->items, agenda->capacity * sizeof *agenda->items);
    if (agenda->items == NULL) neap_fatal(__FILE__, __LINE__, "out of memory");
  }
  const neap_happening added = {at_ms, agenda->order++, kind, subject, detail};
  uint32_t at = agenda->count++;
  for (; at > 0 && before(&added, &agenda->items[(at - 1) / 2]); at = (at - 1) / 2)
    agenda->items[at] = agenda->items[(at - 1) / 2];
  agenda->items[at] = added;
}

bool neap_agenda_take(neap_agenda *agenda, neap_happening *out) {
  if (agenda->count == 0) return false;
  *out = agenda->items[0];
  const neap_happening last = agenda->items[--agenda->count];
  uint32_t at = 0;
  for (uint32_t child; (child = 2 * at + 1) < agenda->count; at = child) {
    if (child + 1 < agenda->count && before(&agenda->items[child + 1], &agenda->items[child])) child++;
    if (!before(&agenda->items[child], &last)) break;
    agenda->items[at] = agenda->items[child];
  }
  agenda->items[at] = last;
  return true;
}
