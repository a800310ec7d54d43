/* Data tables: rows that change more often than code. Maps, sets, longest prefixes of texts and of networks,
 * weights.
 *
 * Rows are immutable: they are built whole (off the workers) and published by one pointer. Who reads
 * announces it in a place of its own, so that a publisher knows when nobody can hold the old rows any more: a
 * read costs one ordered store and no lock, and a swap stops nobody. */
#ifndef NEAP_ROUTE_TABLE_H
#define NEAP_ROUTE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/actions.h"
#include "neap/neap.h"
#include "policy/abi.h"

enum { NEAP_TABLE_KEY_MAX = 1024, NEAP_TABLE_VALUE_MAX = 4096, NEAP_TABLE_ROWS_MAX = 16 << 20 };

/* --- rows */
typedef struct neap_rows neap_rows;

/* Builds rows of the lines in `text` (taken: rows point into it; freed with them or on failure, with free()).
 * A line is "key", or "key,value" where the kind has values; fields may stand in double quotes; "#" begins a
 * comment, empty lines mean nothing. NEAP_EINVAL with "name:line: what is wrong", NEAP_ENOMEM. Any thread. */
int neap_rows_parse(neap_table_kind kind, const char *name, char *text, size_t size, neap_rows **out,
                    neap_err *err);
void neap_rows_destroy(neap_rows **rows);

/* Is each value a rate (neap_limit_rate)? For a map. NEAP_EINVAL with "name:line: what is wrong". Any thread.
 */
int neap_rows_check_rates(const neap_rows *rows, const char *name, neap_err *err);

/* The value of `key`, or of its longest prefix; the empty text in a set. false: there is none. hot. */
bool neap_rows_get(const neap_rows *rows, neap_slice key, neap_slice *value);
/* WEIGHTS: the name that a number in 0..1 draws; false: no weight is above 0. hot. */
bool neap_rows_draw(const neap_rows *rows, double number, neap_slice *name);
size_t neap_rows_count(const neap_rows *rows);
size_t neap_rows_bytes(const neap_rows *rows);

/* --- publishing */
enum { NEAP_TABLE_READERS = 257 }; /* workers, and the control thread */

/* Who reads: a place each, written by its reader alone. */
typedef struct neap_table_readers {
  _Atomic uint64_t epoch; /* begins at 1 */
  struct {
    _Alignas(64) _Atomic uint64_t since; /* 0: does not read */
  } of[NEAP_TABLE_READERS];
} neap_table_readers;

typedef struct neap_table {
  neap_table_kind kind;
  _Atomic(neap_rows *) rows;
} neap_table;

/* Between enter and leave, rows that were got stay. Not nested; as short as a step. hot. */
static inline void neap_table_enter(neap_table_readers *readers, uint32_t place) {
  atomic_store(&readers->of[place].since, atomic_load(&readers->epoch));
}
static inline void neap_table_leave(neap_table_readers *readers, uint32_t place) {
  atomic_store_explicit(&readers->of[place].since, 0, memory_order_release);
}
/* The rows now; within enter and leave. */
static inline const neap_rows *neap_table_rows(const neap_table *table) {
  return atomic_load(&table->rows);
}
/* Publishes `rows` (taken) and frees those before, once nobody reads them. Waits for readers: not on a
 * worker. */
void neap_table_swap(neap_table *table, neap_table_readers *readers, neap_rows *rows);

#endif
