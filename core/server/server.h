/* The facade of the composition root: the engine, and what the program needs of it beyond the public headers.
 */
#ifndef NEAP_SERVER_SERVER_H
#define NEAP_SERVER_SERVER_H

#include <stdbool.h>

#include "neap/cache.h"
#include "neap/neap.h"
#include "policy/policy.h"

/* The engine's registry of policies, native ones and Lua files; as long as the engine. */
neap_registry *neap_engine_registry(neap_engine *engine);
/* What the host lent, completed; as long as the engine. */
const neap_host *neap_engine_host(const neap_engine *engine);

/* Checks a policy file or a configuration: 0 where it may be used, NEAP_E... where not. Tells every finding
 * as one line: "file:line: error: text", "file:line: warning: text", "file: note: text". Any thread. */
int neap_engine_check(neap_engine *engine, const char *path, void (*tell)(void *user, const char *line),
                      void *user);

/* --- the gateway: workers that serve, one control thread that the caller lends */
typedef struct neap_gateway neap_gateway;

typedef struct neap_gateway_options {
  const char *name; /* of the configuration: its file, which is read again by a reload */
  const char
      *text; /* the configuration itself: nothing is read, a reload loads it again. NULL: from the file */
  uint32_t workers;               /* 0: as configured */
  const char *const *environment; /* "NAME=value", ended by NULL; NULL: none */
  _Atomic int *log_level; /* least neap_log_level that the host's log shows; NULL: not to be changed */
} neap_gateway_options;

/* Loads the configuration, binds its listeners and starts the workers. `options` is borrowed until destroy.
 * `*report` as in neap_config_load. On failure `err` says why in one line, unless the report does. */
int neap_gateway_create(neap_engine *engine, const neap_gateway_options *options, neap_gateway **out,
                        char **report, neap_err *err);
/* Does what create does up to binding and serving, and undoes it. */
int neap_gateway_check(neap_engine *engine, const neap_gateway_options *options, char **report,
                       neap_err *err);
/* Stops at once what is still running. */
void neap_gateway_destroy(neap_gateway **gateway);
/* Serves on the calling thread as control thread until it is told to stop:
 *   SIGHUP  reloads, or says why not    SIGUSR1 opens the logs anew    SIGQUIT finishes what is under way,
 * then ends SIGTERM, SIGINT the same within the configured time; a second one: now */
void neap_gateway_run(neap_gateway *gateway);

uint32_t neap_gateway_worker_count(const neap_gateway *gateway);
size_t neap_gateway_listener_count(const neap_gateway *gateway);
/* What is spoken there: "http", "resp". */
const char *neap_gateway_listener_protocol(const neap_gateway *gateway, size_t index);
/* The address really bound, "127.0.0.1:8080". */
const char *neap_gateway_listener_address(const neap_gateway *gateway, size_t index);

/* --- control: what operators ask of a running gateway
 *
 * At a socket of the file system: one JSON object a line in, {"verb":"drain","args":{"pool":"app"}}; one or
 * more a line out, the last with "ok" and, where that is false, "error". Lines may have "text", the same for
 * people. A connection may ask again after the last line. */
typedef struct neap_control_option {
  const char *name;  /* of an argument, with dashes instead of underscores */
  const char *value; /* what help calls its value; NULL: none, the argument is true */
  const char *text;
} neap_control_option;
typedef struct neap_control_verb {
  const char *name;
  const char
      *operands; /* names of arguments in their order for command lines, optional ones last: "POOL [N]" */
  const char *summary; /* one line */
} neap_control_verb;
/* Its arguments that are no operands, ended by one without a name; NULL: none. Any thread. */
const neap_control_option *neap_control_verb_options(const neap_control_verb *verb);
/* The verbs, sorted by name; NULL after the last. Any thread. */
const neap_control_verb *neap_control_verb_at(size_t index);

enum { NEAP_CONTROL_PLACES = 4 };
/* Where the socket of a gateway of the file `config` may be, where its configuration does not say: by `place`
 * from 0, best first. `environment` as in neap_gateway_options. False: there is no such place. Any thread.
 *   0 $RUNTIME_DIRECTORY/NAME.sock   1 beside the file   2 /run/neap/NAME.sock   3
 * $XDG_RUNTIME_DIR/neap-NAME.sock NAME is the file's without ".lua". */
bool neap_control_place(const char *config, const char *const *environment, size_t place, char *out,
                        size_t size);

#endif
