/* The table of commands: what is run, what COMMAND says, what is checked before. */
#include <ctype.h>
#include <stdio.h>

#include "front/resp_handlers.h"

#define W  NEAP_PORT_WRITE
#define R  NEAP_PORT_READ
#define F  NEAP_PORT_FAST
#define NA NEAP_PORT_NO_AUTH

/* In the order of the alphabet. */
const neap_port_command neap_port_commands[] = {
    {"append", 3, W | F, 1, 1, 1, "string", "Adds bytes to the end of a value.", neap_port_append},
    {"auth", -2, F | NA, 0, 0, 0, "connection", "Says who the client is.", neap_port_auth},
    {"client", -2, 0, 0, 0, 0, "connection", "About this connection and others.", neap_port_client_command},
    {"command", -1, 0, 0, 0, 0, "server", "About commands.", neap_port_command_command},
    {"config", -2, NEAP_PORT_ADMIN, 0, 0, 0, "server", "About settings.", neap_port_config},
    {"dbsize", 1, R | F, 0, 0, 0, "server", "How many keys memory holds.", neap_port_dbsize},
    {"decr", 2, W | F, 1, 1, 1, "string", "Takes 1 from a number.", neap_port_decr},
    {"decrby", 3, W | F, 1, 1, 1, "string", "Takes from a number.", neap_port_decrby},
    {"del", -2, W, 1, -1, 1, "generic", "Deletes keys.", neap_port_del},
    {"echo", 2, F, 0, 0, 0, "connection", "Says it again.", neap_port_echo},
    {"exists", -2, R | F, 1, -1, 1, "generic", "How many of the keys are there.", neap_port_exists},
    {"expire", -3, W | F, 1, 1, 1, "generic", "Lets a key go after seconds.", neap_port_expire},
    {"expireat", -3, W | F, 1, 1, 1, "generic", "Lets a key go at a time, in seconds.", neap_port_expireat},
    {"expiretime", 2, R | F, 1, 1, 1, "generic", "When a key goes, in seconds.", neap_port_expiretime},
    {"flushall", -1, W, 0, 0, 0, "server", "Deletes all keys.", neap_port_flush},
    {"flushdb", -1, W, 0, 0, 0, "server", "Deletes all keys.", neap_port_flush},
    {"get", 2, R | F, 1, 1, 1, "string", "The value of a key.", neap_port_get},
    {"getdel", 2, W | F, 1, 1, 1, "string", "The value of a key, which is deleted.", neap_port_getdel},
    {"getex", -2, W | F, 1, 1, 1, "string", "The value of a key, and when it is to go.", neap_port_getex},
    {"getset", 3, W | F, 1, 1, 1, "string", "The value of a key, which gets a new one.", neap_port_getset},
    {"hello", -1, F | NA, 0, 0, 0, "connection", "Chooses the version of the protocol.", neap_port_hello},
    {"incr", 2, W | F, 1, 1, 1, "string", "Adds 1 to a number.", neap_port_incr},
    {"incrby", 3, W | F, 1, 1, 1, "string", "Adds to a number.", neap_port_incrby},
    {"incrbyfloat", 3, W | F, 1, 1, 1, "string", "Adds to a number with a fraction.", neap_port_incrbyfloat},
    {"info", -1, 0, 0, 0, 0, "server", "Figures.", neap_port_info},
    {"mget", -2, R | F, 1, -1, 1, "string", "The values of keys.", neap_port_mget},
    {"mset", -3, W, 1, -1, 2, "string", "Sets keys.", neap_port_mset},
    {"neap.consistency", -1, F, 0, 0, 0, "neap", "What a reader is promised about writes elsewhere.",
     neap_port_neap_consistency},
    {"neap.policy", 1, F, 0, 0, 0, "neap", "The policy that evicts, and how it does.", neap_port_neap_policy},
    {"neap.version", 2, R | F, 1, 1, 1, "neap",
     "The version of the value of a key, which grows with every write.", neap_port_neap_version},
    {"persist", 2, W | F, 1, 1, 1, "generic", "Lets a key stay.", neap_port_persist},
    {"pexpire", -3, W | F, 1, 1, 1, "generic", "Lets a key go after milliseconds.", neap_port_pexpire},
    {"pexpireat", -3, W | F, 1, 1, 1, "generic", "Lets a key go at a time, in milliseconds.",
     neap_port_pexpireat},
    {"pexpiretime", 2, R | F, 1, 1, 1, "generic", "When a key goes, in milliseconds.", neap_port_pexpiretime},
    {"ping", -1, F, 0, 0, 0, "connection", "Whether anybody is there.", neap_port_ping},
    {"psetex", 4, W, 1, 1, 1, "string", "Sets a key for milliseconds.", neap_port_psetex},
    {"pttl", 2, R | F, 1, 1, 1, "generic", "How long a key stays, in milliseconds.", neap_port_pttl},
    {"quit", -1, F | NA, 0, 0, 0, "connection", "Ends the connection.", neap_port_quit},
    {"reset", 1, F | NA, 0, 0, 0, "connection", "Begins anew.", neap_port_reset},
    {"scan", -2, R, 0, 0, 0, "generic", "Goes through the keys of memory.", neap_port_scan},
    {"select", 2, F, 0, 0, 0, "connection", "Chooses a database: there is 0.", neap_port_select},
    {"set", -3, W, 1, 1, 1, "string", "Sets a key.", neap_port_set},
    {"setex", 4, W, 1, 1, 1, "string", "Sets a key for seconds.", neap_port_setex},
    {"setnx", 3, W | F, 1, 1, 1, "string", "Sets a key that is not there.", neap_port_setnx},
    {"strlen", 2, R | F, 1, 1, 1, "string", "How long a value is.", neap_port_strlen},
    {"touch", -2, R | F, 1, -1, 1, "generic", "Looks at keys, as if they were read.", neap_port_touch},
    {"ttl", 2, R | F, 1, 1, 1, "generic", "How long a key stays, in seconds.", neap_port_ttl_command},
    {"type", 2, R | F, 1, 1, 1, "generic", "What a key holds.", neap_port_type},
    {"unlink", -2, W | F, 1, -1, 1, "generic", "Deletes keys.", neap_port_del},
};

const size_t neap_port_command_count = NEAP_COUNT_OF(neap_port_commands);

/* --- by name */

/* Enough to tell the names there are apart; the rest is compared. */
static inline uint32_t seat_of(const char *name, size_t size) {
  uint32_t first = (unsigned char)name[0] | 0x20, last = (unsigned char)name[size - 1] | 0x20;
  uint32_t middle = (unsigned char)name[size / 2] | 0x20;
  return (first * 31 + last * 7 + middle * 131 + (uint32_t)size * 17) % NEAP_PORT_COMMAND_SEATS;
}

void neap_port_command_index_init(neap_port_command_index *index) {
  _Static_assert(NEAP_COUNT_OF(neap_port_commands) < NEAP_PORT_COMMAND_SEATS / 2, "there are free seats");
  memset(index, 0, sizeof *index);
  for (size_t i = 0; i < neap_port_command_count; i++) {
    const char *name = neap_port_commands[i].name;
    uint32_t seat = seat_of(name, strlen(name));
    while (index->seats[seat]) seat = (seat + 1) % NEAP_PORT_COMMAND_SEATS;
    index->seats[seat] = (uint8_t)(i + 1);
  }
}

static inline bool same_word(const char *word, neap_view text) {
  for (size_t i = 0; i < text.size; i++)
    if (word[i] == '\0' || tolower((unsigned char)text.ptr[i]) != word[i]) return false;
  return word[text.size] == '\0';
}

/* hot: */
const neap_port_command *neap_port_command_find(const neap_port_command_index *index, neap_view name) {
  if (name.size == 0) return NULL;
  for (uint32_t seat = seat_of(name.ptr, name.size); index->seats[seat];
       seat = (seat + 1) % NEAP_PORT_COMMAND_SEATS) {
    const neap_port_command *command = &neap_port_commands[index->seats[seat] - 1];
    if (same_word(command->name, name)) return command;
  }
  return NULL;
}

bool neap_port_arg_is(const neap_port_call *call, size_t i, const char *word) {
  return same_word(word, neap_port_arg(call, i));
}

bool neap_port_arg_integer(neap_port_call *call, size_t i, int64_t *out) {
  if (neap_resp_integer(neap_port_arg(call, i), out)) return true;
  neap_port_put_error(call, "ERR value is not an integer or out of range");
  return false;
}

/* --- COMMAND */

static void put_flag(neap_resp_out *out, const char *text, bool wanted) {
  if (wanted) neap_resp_put_string(out, text);
}

static void put_flags(neap_resp_out *out, const neap_port_command *command) {
  unsigned flags = command->flags;
  size_t count = (size_t)__builtin_popcount(flags);
  neap_resp_put_set(out, count);
  put_flag(out, "write", flags & NEAP_PORT_WRITE);
  put_flag(out, "readonly", flags & NEAP_PORT_READ);
  put_flag(out, "admin", flags & NEAP_PORT_ADMIN);
  put_flag(out, "no_auth", flags & NEAP_PORT_NO_AUTH);
  put_flag(out, "fast", flags & NEAP_PORT_FAST);
}

static void put_categories(neap_resp_out *out, const neap_port_command *command) {
  char category[32];
  snprintf(category, sizeof category, "@%s", command->group);
  neap_resp_put_set(out, 1);
  neap_resp_put_string(out, category);
}

/* The ten parts of Redis 7; of the last four, which clients of clusters and modules ask for, there is nothing
 * to say. */
static void put_command(neap_resp_out *out, const neap_port_command *command) {
  neap_resp_put_array(out, 10);
  neap_resp_put_bulk(out, neap_view_of(command->name));
  neap_resp_put_integer(out, command->arity);
  put_flags(out, command);
  neap_resp_put_integer(out, command->first);
  neap_resp_put_integer(out, command->last);
  neap_resp_put_integer(out, command->step);
  put_categories(out, command);
  neap_resp_put_array(out, 0);
  neap_resp_put_array(out, 0);
  neap_resp_put_array(out, 0);
}

static void put_docs(neap_resp_out *out, const neap_port_command *command) {
  neap_resp_put_bulk(out, neap_view_of(command->name));
  neap_resp_put_map(out, 2);
  neap_resp_put_bulk(out, NEAP_BYTES("summary"));
  neap_resp_put_bulk(out, neap_view_of(command->text));
  neap_resp_put_bulk(out, NEAP_BYTES("group"));
  neap_resp_put_bulk(out, neap_view_of(command->group));
}

static void command_info(neap_port_call *call) {
  bool all = call->count == 2;
  neap_resp_put_array(call->out, all ? neap_port_command_count : call->count - 2);
  for (size_t i = 0; all && i < neap_port_command_count; i++) put_command(call->out, &neap_port_commands[i]);
  for (size_t i = 2; i < call->count; i++) {
    const neap_port_command *command = neap_port_command_find(&call->keys->commands, neap_port_arg(call, i));
    if (command)
      put_command(call->out, command);
    else
      neap_resp_put_null(call->out);
  }
}

static void command_docs(neap_port_call *call) {
  size_t known = 0;
  bool all = call->count == 2;
  for (size_t i = 2; i < call->count; i++)
    known += neap_port_command_find(&call->keys->commands, neap_port_arg(call, i)) != NULL;
  neap_resp_put_map(call->out, all ? neap_port_command_count : known);
  for (size_t i = 0; all && i < neap_port_command_count; i++) put_docs(call->out, &neap_port_commands[i]);
  for (size_t i = 2; i < call->count; i++) {
    const neap_port_command *command = neap_port_command_find(&call->keys->commands, neap_port_arg(call, i));
    if (command) put_docs(call->out, command);
  }
}

static void command_list(neap_port_call *call) {
  neap_resp_put_array(call->out, neap_port_command_count);
  for (size_t i = 0; i < neap_port_command_count; i++)
    neap_resp_put_bulk(call->out, neap_view_of(neap_port_commands[i].name));
}

static void command_count(neap_port_call *call) {
  neap_resp_put_integer(call->out, (int64_t)neap_port_command_count);
}

void neap_port_command_command(neap_port_call *call) {
  static const neap_port_subcommand subcommands[] = {{"count", 2, command_count},
                                                     {"docs", -2, command_docs},
                                                     {"info", -2, command_info},
                                                     {"list", 2, command_list}};
  if (call->count > 1) {
    neap_port_run_subcommand(call, subcommands, NEAP_COUNT_OF(subcommands));
    return;
  }
  neap_resp_put_array(call->out, neap_port_command_count);
  for (size_t i = 0; i < neap_port_command_count; i++) put_command(call->out, &neap_port_commands[i]);
}

void neap_port_run_subcommand(neap_port_call *call, const neap_port_subcommand *list, size_t count) {
  neap_view name = neap_port_word(neap_port_arg(call, 1));
  for (size_t i = 0; i < count; i++) {
    if (!neap_port_arg_is(call, 1, list[i].name)) continue;
    if (list[i].arity >= 0 ? call->count == (size_t)list[i].arity : call->count >= (size_t)-list[i].arity)
      list[i].run(call);
    else
      neap_port_put_errorf(call, "ERR wrong number of arguments for '%s|%s' command", call->command->name,
                           list[i].name);
    return;
  }
  char upper[32];
  size_t size = 0;
  for (const char *from = call->command->name; *from && size + 1 < sizeof upper; from++)
    upper[size++] = (char)toupper((unsigned char)*from);
  upper[size] = '\0';
  neap_port_put_errorf(call, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                       (int)NEAP_MIN(name.size, (size_t)128), name.ptr, upper);
}
