/* The table of verbs, and what they read their arguments and write their answers with. */
#include "server/control.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/decimal.h"
#include "base/nearest.h"

typedef struct control_row {
  neap_control_verb verb;
  void (*run)(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply);
} control_row;

static const neap_control_option shadow_options[] = {
    {"pool", "NAME", "whose balance policy FILE is to be, where there are several"},
    {"stop", NULL, "end it"},
    {0},
};

static const neap_control_option canary_options[] = {
    {"pool", "NAME", "whose balance policy FILE is to be, where there are several"},
    {"share", "SHARE", "of the requests that it serves (5%), at most half"},
    {"by", "KEY", "what is kept together: client, \"header NAME\", \"cookie NAME\" (client)"},
    {"max-errors", "SHARE", "its share of errors may be greater by so much (+1%)"},
    {"max-p99", "SHARE", "its 99th percentile may be greater by so much (+20%)"},
    {"for", "TIME", "so long until it counts as healthy (60s)"},
    {"min-requests", "N", "on each side, before anything is said of it (200)"},
    {"promote", NULL, "make it the one in force when it is healthy"},
    {0},
};

/* Sorted by name. */
static const control_row verbs[] = {
    {{"add", "POOL BACKEND [WEIGHT]", "Adds a backend to a pool, over reloads too."}, neap_control_add},
    {{"backends", "[POOL]", "Shows the backends of pools: state, load, response times."},
     neap_control_backends},
    {{"canary", "[FILE]", "Tries a configuration or a policy on a share of the requests."},
     neap_control_canary},
    {{"config", "", "Prints the configuration in force, secrets masked."}, neap_control_config},
    {{"drain", "POOL BACKEND [STATE]", "Sends a backend no new requests; off: again."}, neap_control_drain},
    {{"explain", "[PATH] [HOST] [METHOD]",
      "Tells what would be done with a request, or with id=ID what was done with one."},
     neap_control_explain},
    {{"log", "[LEVEL]", "Shows or sets the log level: debug, info, warn or error."}, neap_control_log},
    {{"metrics", "", "Prints all figures, as Prometheus reads them."}, neap_control_metrics},
    {{"policies", "", "Shows the policies in force with their calls and faults."}, neap_control_policies},
    {{"prefetch", "URL [HOST]", "Fetches what is going to be asked for into the cache."},
     neap_control_prefetch},
    {{"promote", "", "Makes the candidate of a shadow or a canary the one in force."}, neap_control_promote},
    {{"reload", "", "Loads the configuration anew, or refuses it whole."}, neap_control_reload},
    {{"remove", "POOL BACKEND", "Takes a backend out of a pool, over reloads too."}, neap_control_remove},
    {{"rollback", "[GENERATION]", "Ends a canary, or goes back to an earlier generation."},
     neap_control_rollback},
    {{"shadow", "[FILE]", "Asks a configuration or a policy beside the one in force."}, neap_control_shadow},
    {{"snapshot", "", "Tells all figures at once, as `neap top` reads them."}, neap_control_snapshot},
    {{"status", "", "Shows generations, workers, listeners and the last reload."}, neap_control_status},
    {{"verbs", "", "Lists what this gateway can be asked."}, neap_control_verbs},
    {{"weight", "POOL BACKEND WEIGHT", "Sets the weight of a backend; 0: as configured."},
     neap_control_weight},
};

const neap_control_option *neap_control_verb_options(const neap_control_verb *verb) {
  if (strcmp(verb->name, "shadow") == 0) return shadow_options;
  return strcmp(verb->name, "canary") == 0 ? canary_options : NULL;
}

const neap_control_verb *neap_control_verb_at(size_t index) {
  return index < NEAP_COUNT_OF(verbs) ? &verbs[index].verb : NULL;
}

void neap_control_verbs(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  (void)gateway;
  if (!neap_control_args_end(args)) return;
  json_t *list = json_array();
  for (size_t i = 0; i < NEAP_COUNT_OF(verbs); i++)
    json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "verb", verbs[i].verb.name, "operands",
                                          verbs[i].verb.operands, "summary", verbs[i].verb.summary));
  neap_control_done(reply, json_pack("{s:o}", "verbs", list));
}

static void refuse_unknown(const char *name, neap_control_reply *reply) {
  neap_nearest nearest;
  neap_nearest_init(&nearest, name);
  for (size_t i = 0; i < NEAP_COUNT_OF(verbs); i++) neap_nearest_offer(&nearest, verbs[i].verb.name);
  if (nearest.name)
    neap_control_fail(reply, "unknown verb '%.60s', did you mean '%s'?", name, nearest.name);
  else
    neap_control_fail(reply, "unknown verb '%.60s'; 'verbs' lists them", name);
}

void neap_control_ask(neap_gateway *gateway, const char *verb, const json_t *object,
                      neap_control_reply *reply) {
  neap_control_args args = {.object = object, .reply = reply};
  for (size_t i = 0; i < NEAP_COUNT_OF(verbs); i++) {
    if (strcmp(verbs[i].verb.name, verb) != 0) continue;
    verbs[i].run(gateway, &args, reply);
    return;
  }
  refuse_unknown(verb, reply);
}

/* --- arguments */

static void wrong(neap_control_args *args, const char *format, const char *name) {
  if (args->failed) return;
  args->failed = true;
  char text[200];
  snprintf(text, sizeof text, format, name);
  neap_control_fail(args->reply, "%s", text);
}

static const json_t *take(neap_control_args *args, const char *name) {
  neap_assert(args->taken_count < NEAP_COUNT_OF(args->taken));
  args->taken[args->taken_count++] = name;
  return json_object_get(args->object, name);
}

const json_t *neap_control_any(neap_control_args *args, const char *name) {
  return take(args, name);
}

const char *neap_control_text_or_none(neap_control_args *args, const char *name) {
  const json_t *value = take(args, name);
  if (value && !json_is_string(value)) wrong(args, "%s must be a text", name);
  return json_string_value(value);
}

const char *neap_control_text(neap_control_args *args, const char *name) {
  const char *text = neap_control_text_or_none(args, name);
  if (text == NULL) wrong(args, "%s is missing", name);
  return text;
}

/* `*unit`: what follows the number in a text, which may begin with "+", as help does. */
static bool number_of(const json_t *value, double *out, const char **unit) {
  const char *text = json_string_value(value);
  *unit = text ? neap_decimal_read(text + (text[0] == '+'), out) : "";
  if (json_is_number(value)) *out = json_number_value(value);
  return *unit != NULL && (text || json_is_number(value));
}

int64_t neap_control_count_or(neap_control_args *args, const char *name, int64_t least, int64_t most,
                              int64_t otherwise) {
  const json_t *value = take(args, name);
  const char *unit;
  double number;
  if (value == NULL) return otherwise;
  if (number_of(value, &number, &unit) && *unit == '\0' && number >= (double)least &&
      number <= (double)most && number == (double)(int64_t)number)
    return (int64_t)number;
  char format[100];
  snprintf(format, sizeof format, "%%s must be a whole number from %lld to %lld", (long long)least,
           (long long)most);
  wrong(args, format, name);
  return otherwise;
}

int64_t neap_control_count(neap_control_args *args, const char *name, int64_t least, int64_t most) {
  if (json_object_get(args->object, name) == NULL) wrong(args, "%s is missing", name);
  return neap_control_count_or(args, name, least, most, least);
}

bool neap_control_amount(neap_control_args *args, const char *name, double *out, const char **unit) {
  const json_t *value = take(args, name);
  if (value == NULL) return false;
  if (number_of(value, out, unit)) return true;
  wrong(args, "%s must be a number, or a text such as \"5%%\" or \"60s\"", name);
  return false;
}

static bool is_taken(const neap_control_args *args, const char *name) {
  for (size_t i = 0; i < args->taken_count; i++)
    if (strcmp(args->taken[i], name) == 0) return true;
  return false;
}

bool neap_control_flag(neap_control_args *args, const char *name) {
  const json_t *value = take(args, name);
  const char *text = json_string_value(value);
  if (value == NULL || json_is_boolean(value)) return json_is_true(value);
  if (text && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) return text[0] == 't';
  wrong(args, "%s is true or false", name);
  return false;
}

void neap_control_args_fail(neap_control_args *args, const char *format, ...) {
  char text[200];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  wrong(args, "%s", text);
}

bool neap_control_args_end(neap_control_args *args) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)args->object, name, value) {
    if (!is_taken(args, name)) wrong(args, "unknown argument '%.60s'", name);
  }
  return !args->failed;
}

/* --- answers */

void neap_control_tell(neap_control_reply *reply, json_t *line) {
  if (line) reply->line(reply, line, false);
}

static void end(neap_control_reply *reply, json_t *body, bool ok) {
  json_t *line = json_pack("{s:b}", "ok", ok); /* first, for people */
  if (body) json_object_update(line, body);
  json_decref(body);
  reply->line(reply, line, true);
}

void neap_control_done(neap_control_reply *reply, json_t *body) {
  end(reply, body, true);
}

/* JSON of any bytes: what is no UTF-8 shows as "?". */
json_t *neap_control_string(const char *text) {
  json_t *string = json_string(text);
  if (string) return string;
  char *copy = strdup(text);
  for (char *c = copy; c && *c; c++)
    if ((unsigned char)*c >= 0x80) *c = '?';
  string = copy ? json_string(copy) : NULL;
  free(copy);
  return string;
}

json_t *neap_control_lines(const char *report) {
  json_t *list = json_array();
  for (const char *line = report; line && *line;) {
    size_t size = strcspn(line, "\n");
    char *copy = strndup(line, size);
    if (copy) json_array_append_new(list, neap_control_string(copy));
    free(copy);
    line += size + (line[size] == '\n');
  }
  return list;
}

static void fail(neap_control_reply *reply, json_t *body, const char *format, va_list list) {
  char text[1200];
  vsnprintf(text, sizeof text, format, list);
  json_t *line = json_object();
  json_object_set_new(line, "error", neap_control_string(text));
  if (body) json_object_update(line, body);
  json_decref(body);
  end(reply, line, false);
}

void neap_control_fail(neap_control_reply *reply, const char *format, ...) {
  va_list list;
  va_start(list, format);
  fail(reply, NULL, format, list);
  va_end(list);
}

void neap_control_fail_with(neap_control_reply *reply, json_t *body, const char *format, ...) {
  va_list list;
  va_start(list, format);
  fail(reply, body, format, list);
  va_end(list);
}
