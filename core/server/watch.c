/* The file watch: a reload when a file that the generation in force is made of changes.
 *
 * Folders are watched, not files: editors and configuration managers put a new file in the place of the old
 * one. When nothing has happened for QUIET_MS, the files are compared with what the last attempt has read; so
 * a touch without a change, a log in the same folder or a refused edit that stays do nothing. */
#include "server/gateway.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/hash.h"

enum { FOLDERS_MAX = 64, QUIET_MS = 100, CHUNK = 65536 };

struct neap_file_watch {
  neap_gateway *gateway;
  neap_timer quiet;
  neap_folder *folders[FOLDERS_MAX];
  char *paths[FOLDERS_MAX];
  size_t count;
  uint64_t seen; /* of all files, as they were at the last attempt */
};

/* --- what the files are now */

static uint64_t hash_file(const char *path) {
  FILE *file = neap_file_open(path);
  char *bytes = file ? malloc(CHUNK) : NULL;
  uint64_t hash = file ? 1 : 0;
  size_t got;
  while (bytes && (got = fread(bytes, 1, CHUNK, file)) > 0) hash = hash * 31 + neap_hash_bytes(bytes, got);
  free(bytes);
  if (file) fclose(file);
  return hash;
}

/* The same of a text that was read. */
static uint64_t hash_text(neap_view text) {
  uint64_t hash = 1;
  for (size_t at = 0; at < text.size; at += CHUNK)
    hash = hash * 31 + neap_hash_bytes(text.ptr + at, NEAP_MIN(text.size - at, (size_t)CHUNK));
  return hash;
}

static void add_text(void *user, const char *path, neap_view text) {
  uint64_t *sum = user;
  (void)path;
  *sum = *sum * 31 + hash_text(text);
}

static void add_file(void *user, const char *path, neap_view text) {
  uint64_t *sum = user;
  (void)text;
  *sum = *sum * 31 + hash_file(path);
}

/* What was rolled back or promoted may be made of other files: a change of the gateway's own counts all the
 * same. */
static bool has_own_file_too(const neap_gateway *gateway) {
  return !gateway->loaded->of_file && gateway->options->text == NULL;
}

static uint64_t sum_up(const neap_gateway *gateway,
                       void (*add)(void *user, const char *path, neap_view text)) {
  neap_config_record *record = neap_config_record_of(gateway->loaded->config);
  uint64_t sum = has_own_file_too(gateway) ? hash_file(gateway->options->name) : 0;
  neap_config_record_each(record, add, &sum);
  neap_config_record_unref(&record);
  return sum;
}

static void on_quiet(neap_timer *timer) {
  neap_file_watch *watch = NEAP_CONTAINER_OF(timer, neap_file_watch, quiet);
  uint64_t now = sum_up(watch->gateway, add_file);
  if (now == watch->seen || watch->gateway->stopping) return;
  watch->seen = now;
  neap_gateway_reload(watch->gateway, "watch", NULL);
}

static void on_change(void *user) {
  neap_file_watch *watch = user;
  neap_timer_set(watch->gateway->loop, &watch->quiet, QUIET_MS);
}

/* --- which folders */

static bool has(const neap_file_watch *watch, const char *path) {
  for (size_t i = 0; i < watch->count; i++)
    if (strcmp(watch->paths[i], path) == 0) return true;
  return false;
}

static void add_folder(void *user, const char *path, neap_view text) {
  neap_file_watch *watch = user;
  const char *slash = strrchr(path, '/');
  char folder[1024] = ".";
  (void)text;
  if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + (slash == path), path);
  if (watch->count == FOLDERS_MAX || has(watch, folder)) return;
  char *copy = strdup(folder);
  if (copy &&
      neap_folder_watch(watch->gateway->loop, folder, on_change, watch, &watch->folders[watch->count]) == 0) {
    watch->paths[watch->count++] = copy;
    return;
  }
  neap_gateway_log(watch->gateway, NEAP_LOG_WARN, "server cannot_watch folder=\"%s\"", folder);
  free(copy);
}

static void close_folders(neap_file_watch *watch) {
  for (; watch->count; watch->count--) {
    neap_folder_forget(&watch->folders[watch->count - 1]);
    free(watch->paths[watch->count - 1]);
  }
}

void neap_file_watch_set(neap_gateway *gateway) {
  const neap_config *config = gateway->loaded->config;
  if (!config->reload_watch) {
    neap_file_watch_stop(gateway);
    return;
  }
  neap_file_watch *watch = gateway->watch;
  if (watch == NULL) {
    gateway->watch = watch = calloc(1, sizeof *watch);
    if (watch == NULL) return;
    watch->gateway = gateway;
    neap_timer_init(&watch->quiet, on_quiet);
  }
  close_folders(watch);
  neap_config_record *record = neap_config_record_of(config);
  neap_config_record_each(record, add_folder, watch);
  if (has_own_file_too(gateway)) add_folder(watch, gateway->options->name, (neap_view){0});
  neap_config_record_unref(&record);
  /* Of what was rolled back or promoted the files are as they may: until one changes. */
  watch->seen = sum_up(gateway, gateway->loaded->of_file ? add_text : add_file);
  on_change(watch); /* what was written while it was read */
}

void neap_file_watch_stop(neap_gateway *gateway) {
  neap_file_watch *watch = gateway->watch;
  if (watch == NULL) return;
  close_folders(watch);
  neap_timer_clear(&watch->quiet);
  free(watch);
  gateway->watch = NULL;
}
