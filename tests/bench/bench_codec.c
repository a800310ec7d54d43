/* What a record costs and saves: each directory is a set of bodies, each file a body. For every way of
 * packing: the payload's share of the body (size without envelope), of all that is sent (with it), and CPU
 * time to seal and to open, per record and per byte of body. Rows "dictionary" are trained on every other
 * file; all rows are measured on the others. Usage: bench_codec [--passes N] DIR...     best of N passes (5)
 * of at least 20 ms each, thread CPU time. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/random.h"
#include "loop/loop.h"
#include "store/codec.h"

enum { BODIES_MAX = 4096, DICTIONARY = 16 << 10, PASS_NS = 20 * 1000 * 1000 };

typedef struct bodies {
  neap_view items[BODIES_MAX];
  size_t count, bytes;
} bodies;

typedef struct way {
  const char *name;
  neap_compression compression;
  int level;
  neap_cipher cipher;
  bool dictionary;
} way;

static const way ways[] = {
    {"raw", NEAP_COMPRESSION_NONE, 1, NEAP_CIPHER_NONE, false},
    {"lz4", NEAP_COMPRESSION_LZ4, 1, NEAP_CIPHER_NONE, false},
    {"zstd 1", NEAP_COMPRESSION_ZSTD, 1, NEAP_CIPHER_NONE, false},
    {"zstd 3", NEAP_COMPRESSION_ZSTD, 3, NEAP_CIPHER_NONE, false},
    {"zstd 1, dictionary", NEAP_COMPRESSION_ZSTD, 1, NEAP_CIPHER_NONE, true},
    {"zstd 3, dictionary", NEAP_COMPRESSION_ZSTD, 3, NEAP_CIPHER_NONE, true},
    {"raw, xchacha20", NEAP_COMPRESSION_NONE, 1, NEAP_CIPHER_XCHACHA20_POLY1305, false},
    {"raw, xaes-256", NEAP_COMPRESSION_NONE, 1, NEAP_CIPHER_XAES_256_GCM, false},
    {"zstd 1, xchacha20", NEAP_COMPRESSION_ZSTD, 1, NEAP_CIPHER_XCHACHA20_POLY1305, false},
    {"zstd 1, xaes-256", NEAP_COMPRESSION_ZSTD, 1, NEAP_CIPHER_XAES_256_GCM, false},
};

static const neap_view ns = {"pages", 5}, key = {"/a/page/of/the/usual/length?id=17", 33};

/* --- bodies ----------------------------------------------------------------------------------------------
 */

static void add(bodies *set, const char *path) {
  FILE *file = fopen(path, "rb");
  neap_assert(file != NULL && set->count < BODIES_MAX);
  fseek(file, 0, SEEK_END);
  size_t size = (size_t)ftell(file);
  rewind(file);
  char *bytes = malloc(size + 1);
  neap_assert(bytes != NULL && fread(bytes, 1, size, file) == size);
  fclose(file);
  set->items[set->count++] = (neap_view){bytes, size};
  set->bytes += size;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_folder(bodies *set, const char *folder) {
  struct dirent **names;
  int count = scandir(folder, &names, NULL, by_name);
  if (count < 0) perror(folder), exit(1);
  for (int i = 0; i < count; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
    if (names[i]->d_name[0] != '.') add(set, path);
    free(names[i]);
  }
  free(names);
}

/* Parts the bodies by chance, always the same way: of one half a dictionary is made, the other is measured.
 */
static void part(const bodies *all, bodies *samples, bodies *measured) {
  neap_random random = {1};
  *samples = *measured = (bodies){.count = 0};
  for (size_t i = 0; i < all->count; i++) {
    bodies *half = neap_random_below(&random, 2) ? samples : measured;
    half->items[half->count++] = all->items[i];
    half->bytes += all->items[i].size;
  }
}

static neap_dictionaries *train(const bodies *set, int level) {
  static char out[DICTIONARY];
  static size_t sizes[BODIES_MAX];
  char *samples = malloc(set->bytes + 1), *at = samples;
  neap_assert(samples != NULL);
  for (size_t i = 0; i < set->count; i++) {
    memcpy(at, set->items[i].ptr, set->items[i].size);
    at += sizes[i] = set->items[i].size;
  }
  ptrdiff_t size = neap_dictionary_train(samples, sizes, set->count, out, sizeof out);
  free(samples);
  neap_dictionaries *dictionaries = NULL;
  neap_view trained = {out, (size_t)size};
  if (size > 0) neap_assert(neap_dictionaries_create(&trained, 1, level, &dictionaries, NULL) == 0);
  return dictionaries;
}

/* --- measuring -------------------------------------------------------------------------------------------
 */

static neap_record record_of(neap_view body) {
  return (neap_record){.ns = ns, .key = key, .version = 1, .created_ms = 1, .expires_ms = 2, .body = body};
}

static void seal_all(neap_codec *codec, const bodies *set) {
  for (size_t i = 0; i < set->count; i++) {
    neap_record record = record_of(set->items[i]);
    neap_view bytes;
    neap_assert(neap_codec_seal(codec, &record, &bytes) == 0);
  }
}

static void open_all(neap_codec *codec, const bodies *set) {
  for (size_t i = 0; i < set->count; i++) {
    neap_record record;
    neap_assert(neap_codec_open(codec, ns, key, set->items[i], &record) == NEAP_OPENED);
  }
}

static bodies sealed(neap_codec *codec, const bodies *set) {
  bodies out = {.count = set->count};
  for (size_t i = 0; i < set->count; i++) {
    neap_record record = record_of(set->items[i]);
    neap_view bytes;
    neap_assert(neap_codec_seal(codec, &record, &bytes) == 0);
    char *copy = malloc(bytes.size);
    neap_assert(copy != NULL);
    memcpy(copy, bytes.ptr, bytes.size);
    out.items[i] = (neap_view){copy, bytes.size};
    out.bytes += bytes.size;
  }
  return out;
}

/* CPU nanoseconds of one round over the set, best of `passes`. */
static double best_ns(void (*round)(neap_codec *, const bodies *), neap_codec *codec, const bodies *set,
                      int passes) {
  double best = 1e18;
  for (int pass = 0; pass < passes; pass++) {
    uint64_t start = neap_clock_thread_cpu_ns(NULL), taken;
    int rounds = 0;
    do {
      round(codec, set);
      rounds++;
      taken = neap_clock_thread_cpu_ns(NULL) - start;
    } while (taken < PASS_NS);
    best = NEAP_MIN(best, (double)taken / rounds);
  }
  return best;
}

static void measure(const way *w, const bodies *set, const bodies *samples, neap_keyring *keyring,
                    int passes) {
  static bodies envelopes;
  neap_codec_options options = neap_codec_options_default;
  options.compression = w->compression;
  options.level = w->level;
  options.cipher = w->cipher;
  neap_dictionaries *dictionaries = w->dictionary ? train(samples, w->level) : NULL;
  if (w->dictionary && dictionaries == NULL) return;
  neap_codec *codec;
  neap_assert(neap_codec_create(&options, keyring, dictionaries, &codec, NULL) == 0);
  envelopes = sealed(codec, set);
  neap_codec_stats stats;
  neap_codec_stats_get(codec, &stats);
  size_t around = 48 + (w->cipher ? 28 + 16 : 8); /* docs/envelope.md; fields count as payload here */
  double seal = best_ns(seal_all, codec, set, passes), open = best_ns(open_all, codec, &envelopes, passes);
  double count = (double)set->count, bytes = (double)set->bytes;
  printf("| %s | %.0f %% | %.3f | %.3f | %.2f us | %.2f us | %.2f | %.2f |\n", w->name,
         100 * (double)stats.compressed / count, ((double)envelopes.bytes - (double)around * count) / bytes,
         (double)envelopes.bytes / bytes, seal / count / 1e3, open / count / 1e3, seal / bytes, open / bytes);
  for (size_t i = 0; i < envelopes.count; i++) free((void *)(uintptr_t)envelopes.items[i].ptr);
  neap_codec_destroy(&codec);
  neap_dictionaries_unref(&dictionaries);
}

static void run(const char *folder, neap_keyring *keyring, int passes) {
  static bodies all, measured, samples;
  all = (bodies){.count = 0};
  read_folder(&all, folder);
  part(&all, &samples, &measured);
  if (measured.bytes == 0) return;
  const char *name = strrchr(folder, '/');
  printf("\n%s: %zu bodies, %.0f bytes on average\n\n", name && name[1] ? name + 1 : folder, measured.count,
         (double)measured.bytes / (double)measured.count);
  puts("| | compressed | payload / body | envelope / body | seal | open | seal ns/B | open ns/B |");
  puts("|---|---|---|---|---|---|---|---|");
  for (size_t i = 0; i < NEAP_COUNT_OF(ways); i++) measure(&ways[i], &measured, &samples, keyring, passes);
  for (size_t i = 0; i < all.count; i++) free((void *)(uintptr_t)all.items[i].ptr);
}

int main(int argc, char **argv) {
  int passes = 5, first = 1;
  if (argc > 2 && strcmp(argv[1], "--passes") == 0) passes = NEAP_MAX(atoi(argv[2]), 1), first = 3;
  if (first >= argc) return fputs("usage: bench_codec [--passes N] DIR...\n", stderr), 2;
  neap_keyring *keyring;
  neap_assert(neap_keyring_parse(neap_view_of("1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), "keys",
                                 &keyring, NULL) == 0);
  for (int i = first; i < argc; i++) run(argv[i], keyring, passes);
  neap_keyring_unref(&keyring);
  return 0;
}
