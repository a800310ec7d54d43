/* Commands about the connection: who the client is, what it speaks. */
#include <stdio.h>
#include <stdlib.h>

#include "front/resp_handlers.h"

enum { LIST_LINE = 512, NAME_MAX_BYTES = 256 };
#define WRONG_PASSWORD "WRONGPASS invalid username-password pair or user is disabled."

/* --- AUTH and HELLO */

/* Takes the same time however much of it is right. */
static bool same_secret(const char *secret, neap_view said) {
  size_t size = strlen(secret);
  unsigned char differs = size != said.size;
  for (size_t i = 0; i < said.size; i++)
    differs |= (unsigned char)(said.ptr[i] ^ secret[size ? i % size : 0]);
  return differs == 0;
}

/* There is one user. Without a password it is let in with any. */
static bool authenticate(neap_port_call *call, neap_view user, neap_view password) {
  const char *secret = call->front->options.password;
  bool right = neap_view_is(user, "default") && (secret[0] == '\0' || same_secret(secret, password));
  if (right) neap_port_client_know(call->client);
  return right;
}

void neap_port_auth(neap_port_call *call) {
  if (call->count > 3) {
    neap_port_put_syntax_error(call);
    return;
  }
  if (call->count == 2 && call->front->options.password[0] == '\0') {
    neap_port_put_error(call,
                        "ERR AUTH <password> called without any password configured for the default user. "
                        "Are you sure your configuration is correct?");
    return;
  }
  neap_view user = call->count == 3 ? neap_port_arg(call, 1) : NEAP_BYTES("default");
  if (authenticate(call, user, neap_port_arg(call, call->count - 1)))
    neap_port_put_ok(call);
  else
    neap_port_put_error(call, WRONG_PASSWORD);
}

static bool name_fits(neap_port_call *call, neap_view name) {
  for (size_t i = 0; i < name.size; i++)
    if (name.ptr[i] < '!' || name.ptr[i] > '~') {
      neap_port_put_error(call, "ERR Client names cannot contain spaces, newlines or special characters.");
      return false;
    }
  if (name.size <= NAME_MAX_BYTES) return true;
  neap_port_put_error(call, "ERR Client names are at most 256 bytes long here.");
  return false;
}

static void set_name(neap_port_client *client, neap_view name) {
  free(client->name);
  client->name = name.size > 0 ? strndup(name.ptr, name.size) : NULL;
}

typedef struct greeting {
  int64_t version; /* 0: as before */
  bool names;
  neap_view name;
} greeting;

static bool read_greeting(neap_port_call *call, greeting *out) {
  *out = (greeting){0};
  if (call->count == 1) return true;
  if (!neap_resp_integer(neap_port_arg(call, 1), &out->version)) {
    neap_port_put_error(call, "ERR Protocol version is not an integer or out of range");
    return false;
  }
  if (out->version < 2 || out->version > 3) {
    neap_port_put_error(call, "NOPROTO unsupported protocol version");
    return false;
  }
  for (size_t i = 2; i < call->count; i++) {
    size_t more = call->count - 1 - i;
    if (neap_port_arg_is(call, i, "auth") && more >= 2) {
      if (!authenticate(call, neap_port_arg(call, i + 1), neap_port_arg(call, i + 2))) {
        neap_port_put_error(call, WRONG_PASSWORD);
        return false;
      }
      i += 2;
    } else if (neap_port_arg_is(call, i, "setname") && more >= 1) {
      out->name = neap_port_arg(call, ++i);
      out->names = true;
      if (!name_fits(call, out->name)) return false;
    } else {
      neap_view word = neap_port_word(neap_port_arg(call, i));
      neap_port_put_errorf(call, "ERR Syntax error in HELLO option '%.*s'", (int)word.size, word.ptr);
      return false;
    }
  }
  return true;
}

void neap_port_hello(neap_port_call *call) {
  greeting said;
  neap_port_client *client = call->client;
  if (!read_greeting(call, &said)) return;
  if (!client->known) {
    neap_port_put_error(call,
                        "NOAUTH HELLO must be called with the client already authenticated, otherwise the "
                        "HELLO AUTH <user> <pass> option can be used to authenticate the client and "
                        "select the RESP protocol version at the same time");
    return;
  }
  if (said.names) set_name(client, said.name);
  if (said.version) client->version3 = call->out->version3 = said.version == 3;
  neap_resp_put_map(call->out, 7);
  neap_port_put_text(call, "server");
  neap_port_put_text(call, "neap");
  neap_port_put_text(call, "version");
  neap_port_put_text(call, neap_version());
  neap_port_put_text(call, "proto");
  neap_resp_put_integer(call->out, client->version3 ? 3 : 2);
  neap_port_put_text(call, "id");
  neap_resp_put_integer(call->out, (int64_t)client->id);
  neap_port_put_text(call, "mode");
  neap_port_put_text(call, "standalone");
  neap_port_put_text(call, "role");
  neap_port_put_text(call, "master");
  neap_port_put_text(call, "modules");
  neap_resp_put_array(call->out, 0);
}

void neap_port_quit(neap_port_call *call) {
  call->client->ending = true;
  neap_port_put_ok(call);
}

void neap_port_reset(neap_port_call *call) {
  neap_port_client *client = call->client;
  set_name(client, (neap_view){NULL, 0});
  client->version3 = call->out->version3 = false;
  neap_port_client_forget_who(client);
  neap_port_untrack(client);
  client->consistency = call->keys->tiers.consistency;
  neap_resp_put_string(call->out, "RESET");
}

/* --- CLIENT */

static void client_id(neap_port_call *call) {
  neap_resp_put_integer(call->out, (int64_t)call->client->id);
}

static void client_getname(neap_port_call *call) {
  if (call->client->name)
    neap_port_put_text(call, call->client->name);
  else
    neap_resp_put_null(call->out);
}

static void client_setname(neap_port_call *call) {
  neap_view name = neap_port_arg(call, 2);
  if (!name_fits(call, name)) return;
  set_name(call->client, name);
  neap_port_put_ok(call);
}

static size_t describe(const neap_port_client *client, char out[LIST_LINE]) {
  char peer[NEAP_ADDRESS_TEXT];
  neap_address address;
  uint64_t now = neap_loop_now_ms(client->front->loop);
  neap_stream_peer(client->stream, &address);
  peer[neap_address_format(&address, peer)] = '\0';
  int size =
      snprintf(out, LIST_LINE,
               "id=%llu addr=%s name=%s age=%llu idle=%llu flags=N db=0 sub=0 psub=0 multi=-1 qbuf=%zu "
               "omem=%zu cmd=%s user=default resp=%d\n",
               (unsigned long long)client->id, peer, client->name ? client->name : "",
               (unsigned long long)(now - client->since_ms) / 1000,
               (unsigned long long)(now - client->active_ms) / 1000, client->in_size, client->unsent.out.size,
               client->last ? client->last->name : "NULL", client->version3 ? 3 : 2);
  return (size_t)NEAP_MIN(size, LIST_LINE - 1);
}

static void client_info(neap_port_call *call) {
  char line[LIST_LINE];
  neap_port_put_verbatim(call, (neap_view){line, describe(call->client, line)});
}

/* Those of the same worker and port. */
static void client_list(neap_port_call *call) {
  char line[LIST_LINE];
  neap_resp_out list;
  neap_resp_out_init(&list, call->out->max);
  for (const neap_port_client *client = call->front->clients; client; client = client->next)
    neap_resp_put_bytes(&list, line, describe(client, line));
  call->out->failed |= list.failed;
  neap_port_put_verbatim(call, (neap_view){list.bytes, list.size});
  neap_resp_out_fini(&list);
}

/* What there is nothing to do for: no client is ever closed to make room for keys. */
static void client_no_evict(neap_port_call *call) {
  if (neap_port_arg_is(call, 2, "on") || neap_port_arg_is(call, 2, "off"))
    neap_port_put_ok(call);
  else
    neap_port_put_syntax_error(call);
}

void neap_port_client_command(neap_port_call *call) {
  static const neap_port_subcommand subcommands[] = {{"getname", 2, client_getname},
                                                     {"id", 2, client_id},
                                                     {"info", 2, client_info},
                                                     {"list", 2, client_list},
                                                     {"caching", 3, neap_port_client_caching},
                                                     {"getredir", 2, neap_port_client_getredir},
                                                     {"tracking", -3, neap_port_client_tracking},
                                                     {"no-evict", 3, client_no_evict},
                                                     {"setname", 3, client_setname}};
  neap_port_run_subcommand(call, subcommands, NEAP_COUNT_OF(subcommands));
}
