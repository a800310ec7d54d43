/* neap check, the part that needs a gateway: what the functions of a configuration, or of a file of rules
 * alone, do with sample requests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "script/script.h"
#include "server/server.h"

enum { PATH_ROOM = 1024 };

typedef struct rehearsal {
  void (*tell)(void *user, const char *line);
  void *user;
  const char *rules;   /* path of a file of rules; NULL: a configuration is checked */
  char own[PATH_ROOM]; /* as errors call that file */
  bool failed;
} rehearsal;

static void tell_error(rehearsal *run, const char *line) {
  run->failed = true;
  run->tell(run->user, line);
}

/* A problem of the file of rules is called by its path. Others are those of the configuration around it:
 * there it would be given what it wants, so they are no errors. */
static void tell_of_rules(rehearsal *run, const char *line) {
  char text[3 * PATH_ROOM];
  const char *at = strstr(line, run->own);
  if (at == NULL) {
    const char *problem = strstr(line, " error: ");
    snprintf(text, sizeof text, "%s: note: not asked, for it was given no options: %s", run->rules,
             problem ? problem + strlen(" error: ") : line);
    run->tell(run->user, text);
    return;
  }
  const char *place = at + strlen(run->own);
  int size = (int)strspn(place, ":0123456789");
  const char *problem = place + size;
  if (strncmp(problem, " error:", 7) == 0) problem += 7;
  snprintf(text, sizeof text, "%s%.*s error:%s", run->rules, size, place, problem);
  tell_error(run, text);
}

static void hear_of_rules(void *user, const char *line) {
  rehearsal *run = user;
  if (strstr(line, run->own) && strstr(line, " error: ")) tell_of_rules(run, line);
}

/* "file:line: text", as of a data table, or plain text, which is the configuration's. */
static void tell_failure(rehearsal *run, const char *configuration, const char *text) {
  char line[2 * PATH_ROOM];
  const char *end = strstr(text, ": "), *digits = end;
  while (digits > text && digits[-1] >= '0' && digits[-1] <= '9') digits--;
  if (end && digits < end && digits > text && digits[-1] == ':')
    snprintf(line, sizeof line, "%.*s: error: %s", (int)(end - text), text, end + 2);
  else
    snprintf(line, sizeof line, "%s:1: error: %s", configuration, text);
  tell_error(run, line);
}

/* As for `neap run --check`. Warnings were told when the file was read. A refusal that comes after that, as
 * of a data table, is in `err` and no line of the report. */
static int rehearse(neap_engine *engine, const neap_gateway_options *options, rehearsal *run) {
  char *report;
  neap_err err = {0};
  int code = neap_gateway_check(engine, options, &report, &err);
  char *rest = report;
  bool told = false;
  for (char *line; code && (line = strsep(&rest, "\n")) != NULL;) {
    if (strstr(line, ": error: ") == NULL) continue;
    told = true;
    run->rules ? tell_of_rules(run, line) : tell_error(run, line);
  }
  if (code && !told) tell_failure(run, options->name, err.text);
  free(report);
  return run->failed ? NEAP_EINVAL : 0;
}

static int write_around(const char *path, neap_file_kind kind, const char *module, int size) {
  static const char rules[] = "neap.pool { name = \"app\", backends = { \"127.0.0.1:1\" } }\n"
                              "neap.route { path = \"/\", pool = \"app\", action = require \"%.*s\" {} }\n";
  static const char probes[] = "neap.pool { name = \"app\", backends = { \"127.0.0.1:1\" },\n"
                               "            health = { check = require \"%.*s\" {} } }\n"
                               "neap.route { path = \"/\", pool = \"app\" }\n";
  FILE *out = fopen(path, "w");
  if (out == NULL) return NEAP_EIO;
  fputs("local neap = require \"neap\"\nneap.listen { http = \"127.0.0.1:0\" }\n", out);
  fprintf(out, kind == NEAP_FILE_PROBES ? probes : rules, size, module);
  return fclose(out) == 0 ? 0 : NEAP_EIO;
}

/* Puts a file that returns rules into a small configuration in a folder of its own, where `require` finds it.
 */
static int rehearse_rules(neap_engine *engine, neap_file_kind kind, rehearsal *run) {
  const char *slash = strrchr(run->rules, '/'), *base = slash ? slash + 1 : run->rules;
  size_t size = strlen(base), stem = size > 4 && strcmp(base + size - 4, ".lua") == 0 ? size - 4 : size;
  char folder[] = "/tmp/neap-check-XXXXXX", around[PATH_ROOM];
  char *target = realpath(run->rules, NULL);
  if (target == NULL || strcspn(base, "\"\\.") < stem || stem == size || mkdtemp(folder) == NULL) {
    free(target);
    tell_error(run,
               "neap check: a file of rules has a name without dots that ends in .lua, and /tmp is needed");
    return NEAP_EIO;
  }
  snprintf(run->own, sizeof run->own, "%s/%s", folder, base);
  snprintf(around, sizeof around, "%s/neap.lua", folder);
  int code = symlink(target, run->own) == 0 ? write_around(around, kind, base, (int)stem) : NEAP_EIO;
  if (code == 0) neap_script_check(neap_engine_host(engine), around, hear_of_rules, run);
  if (code == 0 && !run->failed)
    code = rehearse(engine, &(neap_gateway_options){.name = around, .workers = 1}, run);
  unlink(around);
  unlink(run->own);
  rmdir(folder);
  free(target);
  return run->failed ? NEAP_EINVAL : code;
}

int neap_engine_check(neap_engine *engine, const char *path, void (*tell)(void *user, const char *line),
                      void *user) {
  extern char **environ;
  neap_file_kind kind;
  neap_err err;
  rehearsal run = {.tell = tell, .user = user};
  int code = neap_script_check(neap_engine_host(engine), path, tell, user);
  if (code || neap_script_kind(path, &kind, &err)) return code;
  if (kind == NEAP_FILE_RULES || kind == NEAP_FILE_PROBES) {
    run.rules = path;
    return rehearse_rules(engine, kind, &run);
  }
  if (kind != NEAP_FILE_CONFIGURATION) return 0;
  const neap_gateway_options options = {
      .name = path, .workers = 1, .environment = (const char *const *)environ};
  return rehearse(engine, &options, &run);
}
