/* Targets of past requests by their hash: what a policy's wish means. Bounded memory, in which what was noted
 * or found longest ago gives way. One thread. Internal to server/. */
#ifndef NEAP_SERVER_TARGETS_H
#define NEAP_SERVER_TARGETS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/keyed_hash.h"
#include "neap/neap.h"

typedef struct neap_targets neap_targets;

typedef struct neap_target {
  uint64_t hash;      /* of host and target; 0: free */
  uint64_t size;      /* bytes that its response was charged; 0: not known */
  uint64_t asked_ms;  /* by a client who missed, last */
  uint64_t barred_ms; /* nothing came of it: not before then */
  uint64_t used;      /* a stamp */
  uint32_t clients;   /* who missed and are not yet served */
  uint32_t pins;      /* it stays while somebody has it under way */
  bool shelved;       /* what lies under its key waits for its first use */
  uint16_t sizes[5];  /* of the texts below */
  char *texts;
} neap_target;

/* `memory`: most bytes, texts and all, at least 64 KiB. `gone` is told of each that gives way, before it
 * does. NEAP_ENOMEM. */
int neap_targets_create(uint64_t memory, const neap_hash_key *key, neap_targets **out);
void neap_targets_destroy(neap_targets **targets);
void neap_targets_on_gone(neap_targets *targets, void (*gone)(void *user, neap_target *target), void *user);
/* Moves all of `from` that there is room for into `to`, made with the same key, and destroys `from`. */
void neap_targets_move(neap_targets *to, neap_targets **from);
uint64_t neap_targets_memory(const neap_targets *targets);
uint64_t neap_targets_limit(const neap_targets *targets);
size_t neap_targets_count(const neap_targets *targets);

/* Of host (without regard to case) and target; never 0. */
uint64_t neap_targets_hash(const neap_targets *targets, neap_view host, neap_view target);
/* Found by hash, or by its upper 53 bits as policies know it; NULL. Borrowed until the next note. */
neap_target *neap_targets_find(neap_targets *targets, uint64_t hash);
neap_target *neap_targets_find_short(neap_targets *targets, double hash);
/* The row of that target, made where there is none; with `encoding`, unless that is empty. NULL: no room. */
neap_target *neap_targets_note(neap_targets *targets, neap_view host, neap_view target, neap_view encoding);
/* What it is looked up under, and what it lies under where that is another. */
void neap_targets_set_keys(neap_targets *targets, neap_target *target, neap_view key, neap_view stored);

neap_view neap_target_host(const neap_target *target);
neap_view neap_target_target(const neap_target *target);
neap_view neap_target_encoding(const neap_target *target);
neap_view neap_target_key(const neap_target *target);
neap_view neap_target_stored(const neap_target *target); /* the key, where there is no other */

/* The last number in a target. False: it has none, or one of more than 15 digits. */
typedef struct neap_target_number {
  size_t at, size;
  double value;
} neap_target_number;
bool neap_target_number_of(neap_view target, neap_target_number *out);
/* Writes the target with another number in its place, as wide where zeros stand in front. Its size,
 * NEAP_EINVAL for what is no such number, NEAP_ESMALL. */
ssize_t neap_target_renumber(neap_view target, double number, char *out, size_t capacity);

#endif
