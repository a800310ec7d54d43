/* neap.lua to struct neap_config: runs the file in a scratch VM and reads what it declared. */
#include "script/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define CONFIG_MAGIC 0x4e636667u /* "Ncfg" */

neap_config_box *neap_config_box_of(const neap_config *config) {
  neap_config_box *box = NEAP_CONTAINER_OF(config, neap_config_box, config);
  neap_check_magic(box, CONFIG_MAGIC);
  return box;
}

/* --- a copy of the source --- */

static char **copy_environment(const char *const *from) {
  size_t count = 0;
  while (from && from[count]) count++;
  char **copy = calloc(count + 1, sizeof *copy);
  for (size_t i = 0; copy && i < count; i++) copy[i] = strdup(from[i]);
  return copy;
}

static bool copy_source(neap_config_box *box, const neap_config_source *source) {
  box->name = strdup(source->name);
  box->folder = source->folder ? strdup(source->folder) : NULL;
  box->text = malloc(source->size + 1);
  box->size = source->size;
  box->environment = copy_environment(source->environment);
  if (box->text) memcpy(box->text, source->text, source->size);
  return box->name && box->text && box->environment && (box->folder || source->folder == NULL);
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

static int execute(const neap_host *host, const neap_config_source *source, uint64_t generation,
                   neap_config_run *run, neap_err *err) {
  const neap_vm_options options = {
      .host = host, .name = source->name, .folder = source->folder, .generation = generation};
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
  box->files.closed = true;
  return neap_config_read(box, err);
}

int neap_config_load(const neap_host *host, const neap_config_source *source, uint64_t generation,
                     neap_config **out, char **report) {
  *report = NULL;
  neap_err err = {0};
  neap_config_box *box = calloc(1, sizeof *box);
  if (box == NULL) return NEAP_ENOMEM;
  box->magic = CONFIG_MAGIC;
  box->config.generation = generation;
  neap_config *config = &box->config;
  neap_config_run run = {.source = source, .files = &box->files};
  int status = copy_source(box, source) ? execute(host, source, generation, &run, &err) : NEAP_ENOMEM;
  if (status == 0 && run.report[0]) add_report(report, run.report);
  if (status == 0) status = run.fatal ? NEAP_EINVAL : take_run(box, &run, &err);
  if (err.text[0]) report_failure(report, source->name, &err);
  free(run.json);
  free(run.report);
  if (status)
    neap_config_destroy(&config);
  else
    *out = config;
  return status;
}

void neap_config_destroy(neap_config **config) {
  if (*config == NULL) return;
  neap_config_box *box = neap_config_box_of(*config);
  for (size_t i = 0; i < box->block_count; i++) free(box->blocks[i]);
  for (char **variable = box->environment; variable && *variable; variable++) free(*variable);
  json_decref(box->tree);
  neap_config_files_fini(&box->files);
  free(box->blocks);
  free(box->environment);
  free(box->json);
  free(box->name);
  free(box->folder);
  free(box->text);
  box->magic = 0;
  free(box);
  *config = NULL;
}

const char *neap_config_json(const neap_config *config) {
  return neap_config_box_of(config)->json;
}
