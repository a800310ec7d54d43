/* What earlier generations were made of, for a rollback. */
#include <string.h>

#include "server/gateway.h"

static void drop(neap_history *history, size_t index) {
  neap_config_record_unref(&history->list[index].record);
  history->count--;
  memmove(&history->list[index], &history->list[index + 1], (history->count - index) * sizeof *history->list);
}

static void drop_generation(neap_history *history, uint64_t generation) {
  for (size_t i = 0; i < history->count; i++)
    if (history->list[i].generation == generation) return drop(history, i);
}

static void insert(neap_history *history, const neap_past *past) {
  size_t at = history->count;
  while (at > 0 && history->list[at - 1].generation > past->generation) at--;
  memmove(&history->list[at + 1], &history->list[at], (history->count - at) * sizeof *history->list);
  history->list[at] = *past;
  history->count++;
}

void neap_history_note(neap_history *history, const neap_loaded *old, const neap_loaded *next,
                       uint32_t keep) {
  neap_config_record *was = neap_config_record_of(old->config), *is = neap_config_record_of(next->config);
  drop_generation(history, next->source);
  drop_generation(history, old->source);
  if (keep > 0 && !neap_config_record_same(was, is)) {
    const neap_past past = {.generation = old->source, .since_ms = old->since_ms, .record = was};
    insert(history, &past);
    was = NULL;
  }
  neap_config_record_unref(&was);
  neap_config_record_unref(&is);
  while (history->count > NEAP_MIN(keep, (uint32_t)NEAP_HISTORY_MAX)) drop(history, 0);
}

const neap_past *neap_history_find(const neap_history *history, uint64_t wanted, uint64_t current,
                                   neap_err *err) {
  for (size_t i = history->count; i-- > 0;) {
    const neap_past *past = &history->list[i];
    if (wanted ? past->generation == wanted : past->generation < current) return past;
  }
  if (wanted)
    neap_fail(err, NEAP_ENOTFOUND, "generation %llu is not kept: see neap status",
              (unsigned long long)wanted);
  else
    neap_fail(err, NEAP_ENOTFOUND, "no earlier generation is kept");
  return NULL;
}

void neap_history_fini(neap_history *history) {
  while (history->count) drop(history, history->count - 1);
}
