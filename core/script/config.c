/* neap.lua to struct neap_config: runs the file in a scratch VM and reads what it declared. */
#include "script/config.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define CONFIG_MAGIC 0x4e636667u /* "Ncfg" */

neap_config_box *neap_config_box_of(const neap_config *config) {
  neap_config_box *box = NEAP_CONTAINER_OF(config, neap_config_box, config);
  neap_check_magic(box, CONFIG_MAGIC);
  return box;
}

/* --- records --- */

static char **copy_environment(const char *const *from) {
  size_t count = 0;
  while (from && from[count]) count++;
  char **copy = calloc(count + 1, sizeof *copy);
  for (size_t i = 0; copy && i < count; i++) copy[i] = strdup(from[i]);
  return copy;
}

static void free_instead(const neap_config_instead *one) {
  free((char *)(uintptr_t)one->pool);
  free((char *)(uintptr_t)one->policy);
}

static bool add_instead(neap_config_record *record, const neap_config_instead *from) {
  neap_config_instead *list = realloc(record->instead, (record->instead_count + 1) * sizeof *list);
  if (list == NULL) return false;
  record->instead = list;
  neap_config_instead *added = &list[record->instead_count++];
  *added = (neap_config_instead){.pool = strdup(from->pool), .policy = strdup(from->policy)};
  return added->pool && added->policy;
}

void neap_config_record_unref(neap_config_record **record_ptr) {
  neap_config_record *record = *record_ptr;
  *record_ptr = NULL;
  if (record == NULL || atomic_fetch_sub(&record->holders, 1) > 1) return;
  for (char **variable = record->environment; variable && *variable; variable++) free(*variable);
  for (size_t i = 0; i < record->instead_count; i++) free_instead(&record->instead[i]);
  free(record->instead);
  neap_config_files_fini(&record->files);
  free(record->environment);
  free(record->name);
  free(record->folder);
  free(record->text);
  free(record);
}

static neap_config_record *make_record(const neap_config_source *source) {
  neap_config_record *record = calloc(1, sizeof *record);
  if (record == NULL) return NULL;
  record->holders = 1;
  record->name = strdup(source->name);
  record->folder = source->folder ? strdup(source->folder) : NULL;
  record->text = malloc(source->size + 1);
  record->size = source->size;
  record->environment = copy_environment(source->environment);
  if (record->text) memcpy(record->text, source->text, source->size);
  bool whole =
      record->name && record->text && record->environment && (record->folder || source->folder == NULL);
  for (size_t i = 0; i < source->instead_count && whole; i++)
    whole = add_instead(record, &source->instead[i]);
  if (!whole) neap_config_record_unref(&record);
  return record;
}

neap_config_record *neap_config_record_ref(neap_config_record *record) {
  atomic_fetch_add(&record->holders, 1);
  return record;
}

neap_config_record *neap_config_record_of(const neap_config *config) {
  return neap_config_record_ref(neap_config_box_of(config)->record);
}

neap_config_record *neap_config_record_with(const neap_config_record *record,
                                            const neap_config_instead *instead) {
  neap_config_source source = neap_config_source_of(record);
  source.instead = NULL;
  source.instead_count = 0;
  neap_config_record *made = make_record(&source);
  bool whole = made && neap_config_files_copy(&made->files, &record->files) == 0;
  for (size_t i = 0; i < record->instead_count && whole; i++)
    if (strcmp(record->instead[i].pool, instead->pool) != 0) whole = add_instead(made, &record->instead[i]);
  if (whole) neap_config_files_forget(&made->files, instead->policy);
  whole = whole && add_instead(made, instead);
  if (!whole) neap_config_record_unref(&made);
  return made;
}

const neap_config_instead *neap_config_record_instead(const neap_config_record *record, size_t *count) {
  *count = record->instead_count;
  return record->instead;
}

const char *neap_config_record_name(const neap_config_record *record) {
  return record->name;
}

void neap_config_seal(neap_config *config) {
  neap_config_box_of(config)->record->files.sealed = true;
}

static bool has_file(const neap_config_files *files, const neap_config_file *wanted) {
  for (size_t i = 0; i < files->count; i++)
    if (strcmp(files->list[i].path, wanted->path) == 0) return strcmp(files->list[i].text, wanted->text) == 0;
  return false;
}

static bool same_instead(const neap_config_record *a, const neap_config_record *b) {
  bool same = a->instead_count == b->instead_count;
  for (size_t i = 0; i < a->instead_count && same; i++)
    same = strcmp(a->instead[i].pool, b->instead[i].pool) == 0 &&
           strcmp(a->instead[i].policy, b->instead[i].policy) == 0;
  return same;
}

bool neap_config_record_same(const neap_config_record *a, const neap_config_record *b) {
  bool same = a->size == b->size && memcmp(a->text, b->text, a->size) == 0 &&
              a->files.count == b->files.count && same_instead(a, b);
  for (size_t i = 0; i < a->files.count && same; i++) same = has_file(&b->files, &a->files.list[i]);
  return same;
}

void neap_config_record_each(const neap_config_record *record,
                             void (*tell)(void *user, const char *path, neap_view text), void *user) {
  if (record->folder) tell(user, record->name, (neap_view){record->text, record->size});
  for (size_t i = 0; i < record->files.count; i++)
    tell(user, record->files.list[i].path, neap_view_of(record->files.list[i].text));
}

neap_config_source neap_config_source_of(const neap_config_record *record) {
  return (neap_config_source){.name = record->name,
                              .folder = record->folder,
                              .text = record->text,
                              .size = record->size,
                              .environment = (const char *const *)record->environment,
                              .instead = record->instead,
                              .instead_count = record->instead_count};
}

/* --- loading --- */

static void add_report(char **report, const char *text) {
  size_t old = *report ? strlen(*report) : 0, more = strlen(text);
  char *grown = realloc(*report, old + more + 2);
  if (grown == NULL) return;
  memcpy(grown + old, text, more + 1);
  if (more > 0 && text[more - 1] != '\n') memcpy(grown + old + more, "\n", 2);
  *report = grown;
}

/* What the VM says of code that did not run, as a line of the report: "file:line: text" gets its severity. */
static void report_failure(char **report, const char *name, const neap_err *err) {
  char line[1200];
  const char *text = err->text;
  size_t prefix = strlen(name);
  if (strncmp(text, name, prefix) == 0 && text[prefix] == ':') {
    size_t digits = strspn(text + prefix + 1, "0123456789");
    size_t where = prefix + 1 + digits;
    if (digits > 0 && text[where] == ':') {
      snprintf(line, sizeof line, "%.*s: error:%s", (int)where, text, text + where + 1);
      add_report(report, line);
      return;
    }
  }
  snprintf(line, sizeof line, "%s: error: %s", name, text);
  add_report(report, line);
}

static int execute(const neap_host *host, uint64_t generation, neap_config_run *run, neap_err *err) {
  const neap_vm_options options = {.host = host,
                                   .name = run->source->name,
                                   .folder = run->source->folder,
                                   .files = run->files,
                                   .generation = generation};
  neap_vm *vm;
  int status = neap_vm_create(&options, &vm, err);
  if (status) return status;
  status = neap_config_execute(vm, run, err);
  neap_vm_destroy(&vm);
  return status;
}

/* Takes what the run yielded into the box. */
static int take_run(neap_config_box *box, neap_config_run *run, neap_err *err) {
  box->json = run->json;
  run->json = NULL;
  box->record->files.closed = true;
  return neap_config_read(box, err);
}

/* Takes the record. */
static int load(const neap_host *host, neap_config_record *record, uint64_t generation, neap_config **out,
                char **report) {
  *report = NULL;
  neap_err err = {0};
  neap_config_box *box = record ? calloc(1, sizeof *box) : NULL;
  if (box == NULL) {
    neap_config_record_unref(&record);
    return NEAP_ENOMEM;
  }
  box->magic = CONFIG_MAGIC;
  box->config.generation = generation;
  box->record = record;
  neap_config *config = &box->config;
  const neap_config_source source = neap_config_source_of(record);
  neap_config_run run = {.source = &source, .files = &record->files};
  int status = execute(host, generation, &run, &err);
  if (status == 0 && run.report[0]) add_report(report, run.report);
  if (status == 0) status = run.fatal ? NEAP_EINVAL : take_run(box, &run, &err);
  if (err.text[0]) report_failure(report, source.name, &err);
  free(run.json);
  free(run.report);
  if (status)
    neap_config_destroy(&config);
  else
    *out = config;
  return status;
}

int neap_config_load(const neap_host *host, const neap_config_source *source, uint64_t generation,
                     neap_config **out, char **report) {
  return load(host, make_record(source), generation, out, report);
}

int neap_config_load_record(const neap_host *host, neap_config_record *record, uint64_t generation,
                            neap_config **out, char **report) {
  return load(host, neap_config_record_ref(record), generation, out, report);
}

void neap_config_destroy(neap_config **config) {
  if (*config == NULL) return;
  neap_config_box *box = neap_config_box_of(*config);
  for (size_t i = 0; i < box->block_count; i++) free(box->blocks[i]);
  json_decref(box->tree);
  neap_config_record_unref(&box->record);
  free(box->blocks);
  free(box->json);
  box->magic = 0;
  free(box);
  *config = NULL;
}

const char *neap_config_json(const neap_config *config) {
  return neap_config_box_of(config)->json;
}
