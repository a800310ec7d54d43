/* What earlier generations were made of, for a rollback. */
#include <string.h>

#include "server/gateway.h"

static void drop(neap_history *history, size_t index) {
  neap_config_record_unref(&history->list[index].record);
  history->count--;
  memmove(&history->list[index], &history->list[index + 1], (history->count - index) * sizeof *history->list);
}

static const neap_past *find(const neap_history *history, uint64_t source) {
  for (size_t i = 0; i < history->count; i++)
    if (history->list[i].source == source) return &history->list[i];
  return NULL;
}

static void drop_source(neap_history *history, uint64_t source) {
  const neap_past *past = find(history, source);
  if (past) drop(history, (size_t)(past - history->list));
}

/* 0: too long ago, or there was none of that number. The number of a source is found however long ago that
 * was: it is the one that `neap status` shows. */
static uint64_t source_of(const neap_history *history, uint64_t generation, const neap_loaded *current) {
  size_t at = generation % NEAP_HISTORY_NUMBERS;
  if (history->numbers[at].generation == generation) return history->numbers[at].source;
  return current->source == generation || find(history, generation) ? generation : 0;
}

void neap_history_begin(neap_history *history, const neap_loaded *first) {
  size_t at = first->set->number % NEAP_HISTORY_NUMBERS;
  history->numbers[at].generation = first->set->number;
  history->numbers[at].source = first->source;
}

void neap_history_note(neap_history *history, const neap_loaded *old, neap_loaded *next, uint32_t keep) {
  neap_config_record *was = neap_config_record_of(old->config), *is = neap_config_record_of(next->config);
  bool same = neap_config_record_same(was, is);
  if (!next->back) next->before = same ? old->before : old->source;
  if (!next->back && same) next->source = old->source;
  drop_source(history, old->source);
  if (old->source != next->source && keep > 0) {
    history->list[history->count++] =
        (neap_past){.source = old->source, .before = old->before, .since_ms = old->since_ms, .record = was};
    was = NULL;
  }
  drop_source(history, next->source);
  neap_config_record_unref(&was);
  neap_config_record_unref(&is);
  while (history->count > NEAP_MIN(keep, (uint32_t)NEAP_HISTORY_MAX)) drop(history, 0);
  neap_history_begin(history, next);
}

const neap_past *neap_history_find(const neap_history *history, uint64_t wanted, const neap_loaded *current,
                                   neap_err *err) {
  uint64_t source = wanted ? source_of(history, wanted, current) : current->before;
  const neap_past *past = source ? find(history, source) : NULL;
  if (past) return past;
  if (wanted && source == current->source)
    neap_fail(err, NEAP_EEXIST, "generation %llu serves, or one made of the same",
              (unsigned long long)wanted);
  else if (wanted)
    neap_fail(err, NEAP_ENOTFOUND, "generation %llu is not kept: see neap status",
              (unsigned long long)wanted);
  else
    neap_fail(err, NEAP_ENOTFOUND, "no earlier generation is kept");
  return NULL;
}

void neap_history_fini(neap_history *history) {
  while (history->count) drop(history, history->count - 1);
}
