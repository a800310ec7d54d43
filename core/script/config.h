/* What the files of the configuration share. Internal to script/. */
#ifndef NEAP_SCRIPT_CONFIG_H
#define NEAP_SCRIPT_CONFIG_H

#include <jansson.h>

#include "script/script.h"
#include "script/vm.h"

/* A file beside the configuration, read once for all workers: a policy that it names, or what that or the
 * configuration itself requires. */
typedef struct neap_config_file {
  char *path, *text;
  bool required;
} neap_config_file;

typedef struct neap_config_files {
  neap_config_file *list;
  size_t count;
  bool closed; /* policies that are not in it are not there: the configuration has been checked */
  bool sealed; /* nor is anything else */
} neap_config_files;

/* Finds the file of a custom policy below `folder`: "name.lua" or "policies/<domain>/name.lua". It is read
 * unless it was already. NULL with a hint in `err`. */
const neap_config_file *neap_config_find_file(neap_config_files *files, const char *folder,
                                              const char *domain, const char *name, neap_err *err);
/* Reads the file at `path`. NULL with the reason in `err`. */
const neap_config_file *neap_config_read_file(neap_config_files *files, const char *path, neap_err *err);
/* The text of the file at `path`, which somebody requires; NULL where there is none. */
const char *neap_config_require(neap_config_files *files, const char *path);
/* The loader of Lua policies over a configuration's files, which are borrowed. */
void neap_script_register_record(neap_registry *registry, neap_config_files *files);
/* Adds copies of all that `from` has. NEAP_ENOMEM. */
int neap_config_files_copy(neap_config_files *to, const neap_config_files *from);
/* The file at `path` is to be read again when it is asked for. */
void neap_config_files_forget(neap_config_files *files, const char *path);
void neap_config_files_fini(neap_config_files *files);

/* All that a generation is made of, so that it can be made again when the files are gone. */
struct neap_config_record {
  _Atomic uint32_t holders;
  char *name, *folder, *text; /* as in neap_config_source */
  size_t size;
  char **environment;
  neap_config_instead *instead;
  size_t instead_count;
  neap_config_files files;
};

/* A neap_config with what it points into. */
typedef struct neap_config_box {
  uint32_t magic;
  neap_config config;
  json_t *tree;  /* the texts of `config` */
  void **blocks; /* the arrays of `config` */
  size_t block_count;
  char *json;
  neap_config_record *record;
} neap_config_box;

neap_config_box *neap_config_box_of(const neap_config *config);
neap_config_source neap_config_source_of(const neap_config_record *record);

/* Fills box->config from box->json. NEAP_ENOMEM, or NEAP_EINVAL for what lua/neap/config.lua does not write.
 */
int neap_config_read(neap_config_box *box, neap_err *err);
/* Reads what a pool says of its backends' health. Texts stay in the JSON tree. */
void neap_config_read_care(const json_t *pool, neap_care *care);

/* One run of a configuration in a VM. */
typedef struct neap_config_run {
  const neap_config_source *source;
  neap_config_files *files;
  char *json;   /* malloc'd; "" where the report has errors */
  char *report; /* malloc'd; "" where there is nothing to tell */
  bool fatal;
  int when, pick; /* registry references: tables of functions by route and by pool, from 1 */
  int checks;     /* the same, of functions that judge probes, by pool */
  int act;        /* the same, of tables of functions that act, by route */
} neap_config_run;

/* Runs the file of a configuration that was checked once more, in `vm`: run->when and the other references
 * are its functions there. NEAP_ESTATE when it yields another table than the first time. */
int neap_config_run_again(const neap_config *config, neap_vm *vm, neap_config_run *run, neap_err *err);

/* Runs the file and checks what it declared. Errors as neap_config_load, with their text in `err`; whether
 * the check found errors is in run->fatal. */
int neap_config_execute(neap_vm *vm, neap_config_run *run, neap_err *err);

#endif
