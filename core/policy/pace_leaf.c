/* How slow backends are, for policies in Lua: the same learning that the native policies go by. */
#include <stdlib.h>

#include "policy/pace.h"
#include "policy/policy.h"

int neap_pace_create(neap_pace **out) {
  neap_pace *pace = malloc(sizeof *pace);
  if (pace == NULL) return NEAP_ENOMEM;
  neap_pace_init(pace);
  *out = pace;
  return 0;
}

void neap_pace_destroy(neap_pace **pace) {
  if (*pace == NULL) return;
  neap_pace_fini(*pace);
  free(*pace);
  *pace = NULL;
}

int neap_pace_observe(neap_pace *pace, const neap_pick_board *board, const neap_event *events, int n) {
  if (neap_pace_fit(pace, board->count)) return NEAP_ENOMEM;
  for (int i = 0; i < n; i++) {
    const neap_event *event = &events[i];
    int32_t place = event->what & NEAP_SLOT_MASK;
    if (place >= pace->count) continue;
    switch (event->what >> NEAP_EVENT_SHIFT) {
    case NEAP_EVENT_SENT: neap_pace_sent(pace, place, event->size); break;
    case NEAP_EVENT_DONE: neap_pace_done(pace, place, event->size, 0, 0, event->hash, board->now_ms); break;
    case NEAP_EVENT_FAILED: neap_pace_failed(pace, place, event->size); break;
    case NEAP_EVENT_JOINED: neap_pace_forget(pace, place); break;
    default: break;
    }
  }
  return 0;
}

double neap_pace_of(const neap_pace *pace, int32_t place, double now_ms) {
  return place >= 0 && place < pace->count ? neap_pace_slowness(pace, place, now_ms) : 1;
}
