/* neap proxy: a gateway without a file. The command line is written down as the configuration it stands for,
 * which then goes the way of any other. */
#include <stdlib.h>
#include <string.h>

#include "bin/serve.h"
#include "bin/verbs.h"

enum {
  OPT_LISTEN,
  OPT_TO,
  OPT_CACHE,
  OPT_EVICT,
  OPT_BALANCE,
  OPT_WORKERS,
  WORKERS_MAX = 256,
  BACKENDS_MAX = 256
};

static const neap_option options[] = {
    [OPT_LISTEN] = {"listen", 'l', "HOST:PORT", "where to listen (127.0.0.1:8080)"},
    [OPT_TO] = {"to", 0, "HOST:PORT",
                "a backend, with \" weight=N\" behind it where it is to get more;\n"
                "may be given many times"},
    [OPT_CACHE] = {"cache", 0, "SIZE", "keep responses that may be kept, in so many bytes (KB, MB, GB)"},
    [OPT_EVICT] = {"evict", 0, "POLICY", "what to drop when the cache is full (sieve)"},
    [OPT_BALANCE] = {"balance", 'b', "POLICY", "how to pick a backend (adaptive)"},
    [OPT_WORKERS] = {"workers", 'w', "N", "threads that serve (one per core)"},
    {0},
};

typedef struct proxy_wish {
  const char *listen, *cache, *evict, *balance;
  const char *to[BACKENDS_MAX];
  size_t to_count;
  uint64_t workers;
} proxy_wish;

/* A Lua string of any text. */
static void put_string(FILE *out, const char *text) {
  fputc('"', out);
  for (; *text; text++) {
    unsigned char byte = (unsigned char)*text;
    if (byte == '"' || byte == '\\')
      fprintf(out, "\\%c", byte);
    else if (byte < 0x20 || byte == 0x7f)
      fprintf(out, "\\%03u", byte);
    else
      fputc(byte, out);
  }
  fputc('"', out);
}

static void put_member(FILE *out, const char *name, const char *value) {
  if (value == NULL) return;
  fprintf(out, " %s = ", name);
  put_string(out, value);
  fputc(',', out);
}

static char *write_config(const proxy_wish *wish) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  if (out == NULL) return NULL;
  fputs("local neap = require \"neap\"\nneap.listen {", out);
  put_member(out, "http", wish->listen);
  fputs(" }\n", out);
  if (wish->cache) {
    fputs("neap.cache {", out);
    put_member(out, "max_memory", wish->cache);
    put_member(out, "evict", wish->evict);
    fputs(" }\n", out);
  }
  fputs("neap.pool { name = \"to\",", out);
  put_member(out, "balance", wish->balance);
  fputs(" backends = {", out);
  for (size_t i = 0; i < wish->to_count; i++) {
    fputc(' ', out);
    put_string(out, wish->to[i]);
    fputc(',', out);
  }
  fprintf(out, " } }\nneap.route { path = \"/\", pool = \"to\", cache = %s }\n",
          wish->cache ? "true" : "false");
  fclose(out);
  return text;
}

/* False: has said what is wrong, status in *status. */
static bool read_options(neap_args *args, proxy_wish *wish, int *status) {
  *status = NEAP_EXIT_USAGE;
  for (int option; (option = neap_args_next(args)) != NEAP_ARGS_END;) switch (option) {
    case OPT_LISTEN: wish->listen = args->value; break;
    case OPT_TO:
      if (wish->to_count == BACKENDS_MAX) return neap_args_fail(args, "too many backends"), false;
      wish->to[wish->to_count++] = args->value;
      break;
    case OPT_CACHE: wish->cache = args->value; break;
    case OPT_EVICT: wish->evict = args->value; break;
    case OPT_BALANCE: wish->balance = args->value; break;
    case OPT_WORKERS:
      if (!neap_args_number(args, option, 1, WORKERS_MAX, &wish->workers)) return false;
      break;
    case NEAP_ARGS_STOP: *status = args->status; return false;
    }
  if (args->operand_count > 0) return neap_args_fail(args, "unexpected '%s'", args->operands[0]), false;
  if (wish->to_count == 0) return neap_args_fail(args, "--to is missing: where to?"), false;
  if (wish->evict && !wish->cache) return neap_args_fail(args, "--evict needs --cache SIZE"), false;
  return true;
}

static int run(neap_args *args) {
  proxy_wish wish = {.listen = "127.0.0.1:8080"};
  int status;
  if (!read_options(args, &wish, &status)) return status;
  char *text = write_config(&wish);
  if (text == NULL) return neap_verb_fail(args->verb, "out of memory");
  neap_gateway_options gateway = {.name = "command line", .text = text, .workers = (uint32_t)wish.workers};
  status = neap_serve(args->verb, &gateway, false);
  free(text);
  return status;
}

const neap_verb neap_verb_proxy = {
    .name = "proxy",
    .summary = "Serves from backends, with or without a cache, no file needed.",
    .operands = "",
    .details = "neap proxy --listen :8080 --to 127.0.0.1:9001 --to \"127.0.0.1:9002 weight=2\" --cache 64MB",
    .options = options,
    .run = run,
};
