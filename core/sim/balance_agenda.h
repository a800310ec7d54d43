/* What will happen, soonest first; what was put in earlier goes first among equals. Internal to sim/. */
#ifndef NEAP_SIM_BALANCE_AGENDA_H
#define NEAP_SIM_BALANCE_AGENDA_H

#include <stdbool.h>
#include <stdint.h>

typedef struct neap_happening {
  double at_ms;
  uint64_t order;
  uint32_t kind, subject, detail;
} neap_happening;

typedef struct neap_agenda {
  neap_happening *items;
  uint32_t count, capacity;
  uint64_t order;
} neap_agenda;

void neap_agenda_fini(neap_agenda *agenda);
void neap_agenda_add(neap_agenda *agenda, double at_ms, uint32_t kind, uint32_t subject, uint32_t detail);
/* Takes the first; false where nothing will happen any more. */
bool neap_agenda_take(neap_agenda *agenda, neap_happening *out);

#endif
