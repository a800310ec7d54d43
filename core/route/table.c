/* Rows of a data table: a text, an array of rows that points into it, and a hash table of row numbers. A
 * million rows are built in well under a second and take 40 bytes each beside their text. */
#include "route/table.h"

#include <arpa/inet.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "base/plain.h"
#include "route/limit.h"

#define ROWS_MAGIC 0x4e726f77u /* "Nrow" */

enum { LENGTHS = NEAP_TABLE_KEY_MAX + 1, NETWORK_SIZE = 18, NUMBER_SIZE = 32 };

typedef struct row {
  uint64_t hash;
  const char *key, *value; /* in the text; NETWORK: `key` in `networks` */
  uint32_t key_size, value_size;
} row;

struct neap_rows {
  uint32_t magic;
  neap_table_kind kind;
  char *text;
  row *rows;
  size_t count, room;
  uint32_t *places; /* row number + 1 by hash; 0: empty */
  size_t mask;
  char *networks; /* NETWORK_SIZE each: family, bits, masked address */
  double *upto;   /* WEIGHTS: sums of weights */
  uint64_t
      lengths[LENGTHS / 64 + 1]; /* PREFIX: sizes of keys; NETWORK: bits, of IPv6 from 64 on: see length_of */
};

/* --- reading lines ------------------------------------------------------------------------------------- */

typedef struct reader {
  char *at, *end;
  const char *name;
  size_t line;
  neap_err *err;
} reader;

static int refuse(reader *in, const char *what) {
  return neap_fail(in->err, NEAP_EINVAL, "%s:%zu: %s", in->name, in->line, what);
}

static char *skip_blanks(char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\t')) at++;
  return at;
}

/* One field of the line [*at, end), which goes on after its comma; quotes are taken off where it lies. */
static int read_field(reader *in, char **at, char *end, neap_slice *out) {
  char *begin = skip_blanks(*at, end), *to = begin, *from = begin;
  if (begin < end && *begin == '"') {
    bool closed = false;
    for (from++; from < end && !closed; from++) {
      bool quote = *from == '"', twice = quote && from + 1 < end && from[1] == '"';
      closed = quote && !twice;
      from += twice;
      if (!closed) *to++ = *from;
    }
    from = skip_blanks(from, end);
    if (!closed || (from < end && *from != ',')) return refuse(in, "a quote does not pair up");
  } else {
    while (from < end && *from != ',') from++;
    to = from;
    while (to > begin && (to[-1] == ' ' || to[-1] == '\t')) to--;
  }
  *out = (neap_slice){.ptr = begin, .size = (int32_t)(to - begin)};
  *at = from < end ? from + 1 : NULL;
  return 0;
}

static int check_row(reader *in, neap_table_kind kind, neap_slice key, neap_slice value, bool has_value) {
  if (key.size == 0 && kind != NEAP_TABLE_PREFIX) return refuse(in, "the key is empty");
  if (key.size > NEAP_TABLE_KEY_MAX || value.size > NEAP_TABLE_VALUE_MAX) return refuse(in, "it is too long");
  if (!neap_plain_text(key.ptr, key.size) || !neap_plain_text(value.ptr, value.size))
    return refuse(in, "a control byte");
  if (kind == NEAP_TABLE_SET && has_value) return refuse(in, "a row of a set is a key alone");
  if (!has_value && (kind == NEAP_TABLE_MAP || kind == NEAP_TABLE_WEIGHTS))
    return refuse(in, "a row is a key, a comma and a value");
  return 0;
}

/* --- rows ---------------------------------------------------------------------------------------------- */

static int add_row(reader *in, neap_rows *rows, neap_slice key, neap_slice value) {
  if (rows->count == NEAP_TABLE_ROWS_MAX) return refuse(in, "there are too many rows");
  if (rows->count == rows->room) {
    size_t room = rows->room ? 2 * rows->room : 64;
    row *grown = realloc(rows->rows, room * sizeof *grown);
    if (grown == NULL) return neap_fail(in->err, NEAP_ENOMEM, "%s: out of memory", in->name);
    rows->rows = grown;
    rows->room = room;
  }
  rows->rows[rows->count++] = (row){
      .key = key.ptr, .value = value.ptr, .key_size = (uint32_t)key.size, .value_size = (uint32_t)value.size};
  return 0;
}

static int read_line(reader *in, neap_rows *rows, char *begin, char *end) {
  if (end > begin && end[-1] == '\r') end--;
  char *at = skip_blanks(begin, end);
  if (at == end || *at == '#') return 0;
  neap_slice key, value = {.ptr = ""};
  int code = read_field(in, &at, end, &key);
  bool has_value = code == 0 && at != NULL;
  if (has_value) code = read_field(in, &at, end, &value);
  if (code) return code;
  if (at != NULL) return refuse(in, "there is a second comma: put the value in quotes");
  code = check_row(in, rows->kind, key, value, has_value);
  return code ? code : add_row(in, rows, key, value);
}

/* --- finding ------------------------------------------------------------------------------------------- */

static inline const row *find(const neap_rows *rows, uint64_t hash, const char *key, size_t size) {
  for (size_t i = (size_t)hash & rows->mask;; i = (i + 1) & rows->mask) {
    uint32_t place = rows->places[i];
    if (place == 0) return NULL;
    const row *r = &rows->rows[place - 1];
    if (r->hash == hash && r->key_size == size && memcmp(r->key, key, size) == 0) return r;
  }
}

/* An address as a network of all its bits: family, bits, bytes. */
static bool read_address(const char *text, size_t size, char out[NETWORK_SIZE]) {
  char copy[INET6_ADDRSTRLEN];
  if (size == 0 || size >= sizeof copy || memchr(text, 0, size)) return false;
  memcpy(copy, text, size);
  copy[size] = '\0';
  memset(out, 0, NETWORK_SIZE);
  bool six = memchr(copy, ':', size) != NULL;
  out[0] = six ? 6 : 4;
  out[1] = (char)(six ? 128 : 32);
  return inet_pton(six ? AF_INET6 : AF_INET, copy, out + 2) == 1;
}

static void mask_network(char network[NETWORK_SIZE], int bits) {
  network[1] = (char)bits;
  for (int i = 0; i < 16; i++) {
    int kept = bits - 8 * i;
    unsigned mask = kept >= 8 ? 0xffu : kept <= 0 ? 0u : 0xffu << (8 - kept);
    network[2 + i] = (char)((unsigned char)network[2 + i] & (mask & 0xffu));
  }
}

/* "10.0.0.0/8", or an address. */
static bool read_network(const char *text, size_t size, char out[NETWORK_SIZE]) {
  const char *slash = memchr(text, '/', size);
  if (!read_address(text, slash ? (size_t)(slash - text) : size, out)) return false;
  int most = (unsigned char)out[1], bits = most;
  if (slash) {
    bits = 0;
    size_t digits = size - (size_t)(slash + 1 - text);
    if (digits == 0 || digits > 3) return false;
    for (size_t i = 1; i <= digits; i++) {
      if (slash[i] < '0' || slash[i] > '9') return false;
      bits = 10 * bits + (slash[i] - '0');
    }
  }
  if (bits > most) return false;
  mask_network(out, bits);
  return true;
}

/* Where the sizes of prefixes are noted: those of IPv4 and IPv6 apart. */
static size_t length_of(const char network[NETWORK_SIZE]) {
  return (size_t)(unsigned char)network[1] + (network[0] == 6 ? 64 : 0);
}

static bool has_length(const neap_rows *rows, size_t length) {
  return rows->lengths[length / 64] >> length % 64 & 1;
}

static const row *find_prefix(const neap_rows *rows, neap_slice key) {
  for (size_t size = NEAP_MIN((size_t)key.size, (size_t)NEAP_TABLE_KEY_MAX) + 1; size-- > 0;) {
    if (!has_length(rows, size)) continue;
    const row *found = find(rows, neap_hash_bytes(key.ptr, size), key.ptr, size);
    if (found) return found;
  }
  return NULL;
}

static const row *find_network(const neap_rows *rows, neap_slice key) {
  char network[NETWORK_SIZE];
  if (!read_address(key.ptr, (size_t)key.size, network)) return NULL;
  for (int bits = (unsigned char)network[1]; bits >= 0; bits--) {
    mask_network(network, bits);
    if (!has_length(rows, length_of(network))) continue;
    const row *found = find(rows, neap_hash_bytes(network, NETWORK_SIZE), network, NETWORK_SIZE);
    if (found) return found;
  }
  return NULL;
}

bool neap_rows_get(const neap_rows *rows, neap_slice key, neap_slice *value) {
  const row *found;
  if (key.ptr == NULL) return false;
  if (rows->kind == NEAP_TABLE_PREFIX)
    found = find_prefix(rows, key);
  else if (rows->kind == NEAP_TABLE_NETWORK)
    found = find_network(rows, key);
  else
    found = find(rows, neap_hash_bytes(key.ptr, (size_t)key.size), key.ptr, (size_t)key.size);
  if (found == NULL) return false;
  *value = (neap_slice){.ptr = found->value, .size = (int32_t)found->value_size};
  return true;
}

bool neap_rows_draw(const neap_rows *rows, double number, neap_slice *name) {
  if (rows->upto == NULL || rows->count == 0 || rows->upto[rows->count - 1] <= 0) return false;
  double drawn = number * rows->upto[rows->count - 1];
  size_t low = 0, high = rows->count - 1;
  while (low < high) { /* the first whose sum is above */
    size_t middle = (low + high) / 2;
    if (rows->upto[middle] > drawn)
      high = middle;
    else
      low = middle + 1;
  }
  *name = (neap_slice){.ptr = rows->rows[low].key, .size = (int32_t)rows->rows[low].key_size};
  return true;
}

size_t neap_rows_count(const neap_rows *rows) {
  return rows->count;
}

size_t neap_rows_bytes(const neap_rows *rows) {
  return sizeof *rows + rows->room * sizeof *rows->rows + (rows->mask + 1) * sizeof *rows->places +
         (rows->networks ? rows->count * NETWORK_SIZE : 0) +
         (rows->upto ? rows->count * sizeof *rows->upto : 0);
}

/* --- building ------------------------------------------------------------------------------------------ */

/* What the rows of some kinds are beside texts. `line` is that of the row. */
static int prepare_row(reader *in, neap_rows *rows, size_t index) {
  row *r = &rows->rows[index];
  if (rows->kind == NEAP_TABLE_NETWORK) {
    char *network = rows->networks + index * NETWORK_SIZE;
    if (!read_network(r->key, r->key_size, network))
      return refuse(in, "write a network: 10.0.0.0/8, 2001:db8::/32");
    r->key = network;
    r->key_size = NETWORK_SIZE;
    rows->lengths[length_of(network) / 64] |= UINT64_C(1) << length_of(network) % 64;
  } else if (rows->kind == NEAP_TABLE_PREFIX) {
    rows->lengths[r->key_size / 64] |= UINT64_C(1) << r->key_size % 64;
  } else if (rows->kind == NEAP_TABLE_WEIGHTS) {
    char number[NUMBER_SIZE], *stop;
    if (r->value_size == 0 || r->value_size >= sizeof number)
      return refuse(in, "write a weight: a number from 0");
    memcpy(number, r->value, r->value_size);
    number[r->value_size] = '\0';
    double weight = strtod(number, &stop);
    if (*stop != '\0' || !(weight >= 0 && weight <= 1e9))
      return refuse(in, "write a weight: a number from 0");
    rows->upto[index] = (index > 0 ? rows->upto[index - 1] : 0) + weight;
  }
  r->hash = neap_hash_bytes(r->key, r->key_size);
  return 0;
}

/* The line on which `at` stands: only for what is told. */
static size_t line_of(const neap_rows *rows, const char *at) {
  size_t line = 1;
  for (const char *c = rows->text; c < at; c++) line += *c == '\n';
  return line;
}

static int index_rows(reader *in, neap_rows *rows) {
  size_t places = 16;
  while (places < 2 * rows->count) places *= 2;
  rows->mask = places - 1;
  rows->places = calloc(places, sizeof *rows->places);
  if (rows->kind == NEAP_TABLE_NETWORK) rows->networks = malloc((rows->count + 1) * NETWORK_SIZE);
  if (rows->kind == NEAP_TABLE_WEIGHTS) rows->upto = malloc((rows->count + 1) * sizeof *rows->upto);
  if (rows->places == NULL || (rows->kind == NEAP_TABLE_NETWORK && rows->networks == NULL) ||
      (rows->kind == NEAP_TABLE_WEIGHTS && rows->upto == NULL))
    return neap_fail(in->err, NEAP_ENOMEM, "%s: out of memory", in->name);
  for (size_t index = 0; index < rows->count; index++) {
    row *r = &rows->rows[index];
    const char *told = r->key;
    int code = prepare_row(in, rows, index);
    bool twice = code == 0 && find(rows, r->hash, r->key, r->key_size) != NULL;
    if (code || twice) in->line = line_of(rows, told);
    if (code) return prepare_row(in, rows, index); /* told again, with its line */
    if (twice) return refuse(in, "the key is there twice");
    size_t i = (size_t)r->hash & rows->mask;
    while (rows->places[i] != 0) i = (i + 1) & rows->mask;
    rows->places[i] = (uint32_t)index + 1;
  }
  return 0;
}

static int read_lines(reader *in, neap_rows *rows) {
  if (in->end - in->at >= 3 && memcmp(in->at, "\xef\xbb\xbf", 3) == 0) in->at += 3;
  while (in->at < in->end) {
    char *stop = memchr(in->at, '\n', (size_t)(in->end - in->at));
    in->line++;
    int code = read_line(in, rows, in->at, stop ? stop : in->end);
    if (code) return code;
    in->at = stop ? stop + 1 : in->end;
  }
  return 0;
}

int neap_rows_parse(neap_table_kind kind, const char *name, char *text, size_t size, neap_rows **out,
                    neap_err *err) {
  reader in = {.at = text, .end = text + size, .name = name, .err = err};
  neap_rows *rows = calloc(1, sizeof *rows);
  if (rows == NULL) {
    free(text);
    return neap_fail(err, NEAP_ENOMEM, "%s: out of memory", name);
  }
  *rows = (neap_rows){.magic = ROWS_MAGIC, .kind = kind, .text = text};
  int code = read_lines(&in, rows);
  if (code == 0) code = index_rows(&in, rows);
  if (code)
    neap_rows_destroy(&rows);
  else
    *out = rows;
  return code;
}

int neap_rows_check_rates(const neap_rows *rows, const char *name, neap_err *err) {
  double rate;
  for (size_t i = 0; i < rows->count; i++) {
    const row *r = &rows->rows[i];
    if (neap_limit_rate((neap_slice){.ptr = r->value, .size = (int32_t)r->value_size}, &rate)) continue;
    return neap_fail(err, NEAP_EINVAL,
                     "%s:%zu: write a rate: \"10/s\", \"600/m\", \"1000/h\", \"1000/d\", or 0", name,
                     line_of(rows, r->key));
  }
  return 0;
}

void neap_rows_destroy(neap_rows **rows_ptr) {
  neap_rows *rows = *rows_ptr;
  if (rows == NULL) return;
  neap_check_magic(rows, ROWS_MAGIC);
  rows->magic = 0;
  free(rows->text);
  free(rows->rows);
  free(rows->places);
  free(rows->networks);
  free(rows->upto);
  free(rows);
  *rows_ptr = NULL;
}

/* --- publishing ---------------------------------------------------------------------------------------- */

/* Whoever announced itself before the epoch moved may hold the old rows; whoever does later cannot: it loads
 * the pointer after its announcement, which is after the exchange. */
void neap_table_swap(neap_table *table, neap_table_readers *readers, neap_rows *rows) {
  neap_rows *old = atomic_exchange(&table->rows, rows);
  uint64_t epoch = atomic_fetch_add(&readers->epoch, 1) + 1;
  for (uint32_t i = 0; i < NEAP_TABLE_READERS; i++)
    for (;;) {
      uint64_t since = atomic_load(&readers->of[i].since);
      if (since == 0 || since >= epoch) break;
      sched_yield();
    }
  neap_rows_destroy(&old);
}
