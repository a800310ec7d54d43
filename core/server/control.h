/* What operators ask of a running gateway: verbs, by the control socket (control_socket.c) and whatever else
 * carries requests and answers. On the control thread alone, where nothing slow shares a loop with requests.
 *
 * A request names a verb and has arguments, a JSON object. It is answered with any number of progress lines
 * and a last one, all of them JSON objects:
 *
 *   {"verb":"reload"}                                {"step":"compile","took_ms":3.1}
 *                                                    {"ok":true,"generation":7}
 *   {"verb":"wieght","args":{"pool":"app"}}          {"ok":false,"error":"unknown verb 'wieght', did you mean
 * 'weight'?"}
 *
 * To add a verb: a row in control.c's table and the function it names, in a file of its own. The client side
 * is the same table (bin/verb_ctl.c): usage, help and the names of operands come from it. Internal to
 * server/.
 */
#ifndef NEAP_SERVER_CONTROL_H
#define NEAP_SERVER_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "loop/loop.h"
#include "server/server.h"

/* Where an answer goes. Whoever carries the request embeds it and keeps it until the last line: a verb that
 * takes long answers later, from the control thread. */
typedef struct neap_control_reply neap_control_reply;
struct neap_control_reply {
  /* Takes one line (a reference of it). `last`: the reply is not used after this. Does not call back. */
  void (*line)(neap_control_reply *reply, json_t *line, bool last);
};

/* The arguments of a request. A verb takes what it understands and then asks neap_control_args_end, which
 * finds what it does not. The first problem is answered (once) and the others are quiet: so a verb reads
 *
 *   const char *pool = neap_control_text(&args, "pool");
 *   int64_t weight = neap_control_count(&args, "weight", 0, 1000);
 *   if (!neap_control_args_end(&args)) return;
 */
typedef struct neap_control_args {
  const json_t *object;
  neap_control_reply *reply;
  const char *taken[16];
  size_t taken_count;
  bool failed;
} neap_control_args;

/* A text; NULL after a problem. It is borrowed until the verb returns. */
const char *neap_control_text(neap_control_args *args, const char *name);
/* The same, NULL without a problem where it is not given. */
const char *neap_control_text_or_none(neap_control_args *args, const char *name);
/* A whole number, which may be given as a text, in least..most (0 or more). */
int64_t neap_control_count(neap_control_args *args, const char *name, int64_t least, int64_t most);
int64_t neap_control_count_or(neap_control_args *args, const char *name, int64_t least, int64_t most,
                              int64_t otherwise);
/* A number that may be given as a text with a unit behind it: "5%", "60s". `*unit`: what follows the number,
 * borrowed like a text. False where it is not given or, after a problem, is not such a thing. */
bool neap_control_amount(neap_control_args *args, const char *name, double *out, const char **unit);
/* Any value, or NULL. */
const json_t *neap_control_any(neap_control_args *args, const char *name);
/* True, or "true" as a text; false where it is not given. */
bool neap_control_flag(neap_control_args *args, const char *name);
/* Answers a problem with an argument that was taken, unless there was one before. */
void neap_control_args_fail(neap_control_args *args, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Nothing is left that nobody took, and no problem was answered. */
bool neap_control_args_end(neap_control_args *args);

/* A JSON text of any bytes: such as are no UTF-8 become "?". NULL when out of memory. */
json_t *neap_control_string(const char *text);
/* The lines of `text`, which may be NULL, as a list of such. */
json_t *neap_control_lines(const char *text);
/* A progress line; `line` is taken. NULL (out of memory) is left out. */
void neap_control_tell(neap_control_reply *reply, json_t *line);
/* The last line: `body` (taken; NULL for nothing to say) with "ok":true added. */
void neap_control_done(neap_control_reply *reply, json_t *body);
/* The last line: "ok":false and "error". */
void neap_control_fail(neap_control_reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same with `body` (taken), which says more. */
void neap_control_fail_with(neap_control_reply *reply, json_t *body, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Answers one request, now or later. `object` may be NULL. */
void neap_control_ask(neap_gateway *gateway, const char *verb, const json_t *object,
                      neap_control_reply *reply);

/* --- verbs, each in the file that its subject is in */
void neap_control_backends(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_config(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_explain(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_log(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_policies(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_add(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_drain(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_canary(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_prefetch(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_promote(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_shadow(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_remove(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_weight(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_metrics(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_verbs(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_reload(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_rollback(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_snapshot(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
void neap_control_status(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);

/* --- the socket */
typedef struct neap_control neap_control;

/* Starts to answer at a socket that neap_local_listen has made; taken. */
int neap_control_open(neap_gateway *gateway, const neap_local *local, neap_control **out, neap_err *err);
/* Removes the path and closes its connections: when what is under way is answered, or `now`. */
void neap_control_close(neap_control **control, bool now);
const char *neap_control_path(const neap_control *control);
/* Gives the path other permissions. */
int neap_control_set_mode(neap_control *control, uint32_t mode);

#endif
