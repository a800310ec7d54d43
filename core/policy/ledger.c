#include "policy/ledger.h"

#include <stdlib.h>

#include "base/base.h"

enum { BUCKETS = NEAP_LEDGER_MAX };

int neap_ledger_init(neap_ledger *ledger) {
  *ledger = (neap_ledger){.notes = calloc(NEAP_LEDGER_MAX, sizeof *ledger->notes),
                          .buckets = calloc(BUCKETS, sizeof *ledger->buckets)};
  if (ledger->notes != NULL && ledger->buckets != NULL) return 0;
  neap_ledger_fini(ledger);
  return NEAP_ENOMEM;
}

void neap_ledger_fini(neap_ledger *ledger) {
  free(ledger->notes);
  free(ledger->buckets);
  *ledger = (neap_ledger){0};
}

static uint32_t *bucket_of(const neap_ledger *ledger, uint64_t hash) {
  return &ledger->buckets[(hash ^ hash >> 32) % BUCKETS];
}

neap_ledger_note *neap_ledger_find(const neap_ledger *ledger, uint64_t hash) {
  for (uint32_t at = *bucket_of(ledger, hash); at != 0; at = ledger->notes[at - 1].chain)
    if (ledger->notes[at - 1].item.hash == hash) return &ledger->notes[at - 1];
  return NULL;
}

neap_ledger_note *neap_ledger_add(neap_ledger *ledger, const neap_prefetch_item *item) {
  neap_ledger_oldest(ledger, false); /* passes over those that have ended */
  if (ledger->end - ledger->first == NEAP_LEDGER_MAX) return NULL;
  uint32_t at = (uint32_t)(ledger->end++ % NEAP_LEDGER_MAX), *bucket = bucket_of(ledger, item->hash);
  ledger->notes[at] = (neap_ledger_note){.item = *item, .live = true, .chain = *bucket};
  *bucket = at + 1;
  return &ledger->notes[at];
}

void neap_ledger_end(neap_ledger *ledger, neap_ledger_note *note) {
  uint32_t *link = bucket_of(ledger, note->item.hash);
  while (&ledger->notes[*link - 1] != note) link = &ledger->notes[*link - 1].chain;
  *link = note->chain;
  note->live = false;
}

neap_ledger_note *neap_ledger_oldest(neap_ledger *ledger, bool landed) {
  while (ledger->first < ledger->end && !ledger->notes[ledger->first % NEAP_LEDGER_MAX].live) ledger->first++;
  for (uint64_t at = ledger->first; at < ledger->end; at++) {
    neap_ledger_note *note = &ledger->notes[at % NEAP_LEDGER_MAX];
    if (note->live && (note->landed || !landed)) return note;
  }
  return NULL;
}
