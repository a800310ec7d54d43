#include "base/note.h"

#include <stdio.h>
#include <string.h>

enum { TRIES = 100 };

void neap_note_write(neap_note *note, uint64_t at_ms, const char *text) {
  uint64_t words[NEAP_NOTE_TEXT / 8] = {0};
  snprintf((char *)words, sizeof words, "%s", text);
  uint32_t turn = atomic_load_explicit(&note->turn, memory_order_relaxed);
  atomic_store_explicit(&note->turn, turn + 1, memory_order_relaxed);
  /* Each word is released: who has seen one of them sees the odd turn, too. */
  atomic_store_explicit(&note->at_ms, at_ms, memory_order_release);
  for (unsigned i = 0; i < NEAP_NOTE_TEXT / 8; i++)
    atomic_store_explicit(&note->words[i], words[i], memory_order_release);
  atomic_store_explicit(&note->turn, turn + 2, memory_order_release);
}

bool neap_note_read(const neap_note *note, uint64_t *at_ms, char out[NEAP_NOTE_TEXT]) {
  uint64_t words[NEAP_NOTE_TEXT / 8];
  for (int i = 0; i < TRIES; i++) {
    uint32_t turn = atomic_load_explicit(&note->turn, memory_order_acquire);
    if (turn == 0) return false;
    uint64_t at = atomic_load_explicit(&note->at_ms, memory_order_acquire);
    for (unsigned j = 0; j < NEAP_NOTE_TEXT / 8; j++)
      words[j] = atomic_load_explicit(&note->words[j], memory_order_acquire);
    if (turn % 2 || atomic_load_explicit(&note->turn, memory_order_relaxed) != turn) continue;
    *at_ms = at;
    memcpy(out, words, sizeof words);
    return true;
  }
  return false;
}
