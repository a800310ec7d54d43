/* A short text that one thread writes now and then and others look at: neither waits for the other. */
#ifndef NEAP_BASE_NOTE_H
#define NEAP_BASE_NOTE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { NEAP_NOTE_TEXT = 512 }; /* bytes, NUL included; a multiple of 8 */

/* All zero: nothing is written. `turn` is odd while it is being written. */
typedef struct neap_note {
  _Atomic uint32_t turn;
  _Atomic uint64_t at_ms;
  _Atomic uint64_t words[NEAP_NOTE_TEXT / 8];
} neap_note;

/* Puts the beginning of `text` in the place of what was there. One thread. */
void neap_note_write(neap_note *note, uint64_t at_ms, const char *text);
/* False where nothing was written, or it is rewritten all the time. Any thread. */
bool neap_note_read(const neap_note *note, uint64_t *at_ms, char out[NEAP_NOTE_TEXT]);

#endif
