/* The verbs that ask a running gateway: one JSON line to its control socket, its lines back. What there is to
 * ask, with operands and help, comes from the server's own table. */
#include "bin/verb_ctl.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "base/base.h"
#include "bin/show.h"
#include "server/server.h"

enum { OPT_CONFIG, OPT_SOCKET, OPT_TIMEOUT, OPT_JSON, OPT_OWN, OPTIONS_MAX = 24, TIMEOUT_MAX = 86400 };

/* From OPT_OWN on those of the verb. */
static const neap_option common_options[OPT_OWN] = {
    [OPT_CONFIG] = {"config", 'c', "FILE", "the configuration that the gateway runs (neap.lua)"},
    [OPT_SOCKET] = {"socket", 's', "PATH", "its control socket (found by the configuration's name)"},
    [OPT_TIMEOUT] = {"timeout", 0, "SECONDS", "give up when nothing is heard for so long (60)"},
    [OPT_JSON] = {"json", 'j', NULL, "print the lines as they come, for programs"},
};

typedef struct ctl_wish {
  const char *config, *socket;
  uint64_t timeout_s;
  bool json;
} ctl_wish;

/* --- the socket */

static int connect_to(const char *path, uint64_t timeout_s) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return errno = ENAMETOOLONG, -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct timeval limit = {.tv_sec = (time_t)timeout_s};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/* Where it was said to be, or the first place where somebody answers. */
int neap_ctl_connect(const neap_verb *verb, const char *config, const char *socket_path, uint64_t timeout_s) {
  const char *named = socket_path ? socket_path : getenv("NEAP_CONTROL_SOCKET");
  char path[512], first[640] = "";
  if (named && named[0]) {
    int fd = connect_to(named, timeout_s);
    if (fd < 0) neap_verb_fail(verb, "cannot reach a gateway at %s: %s", named, strerror(errno));
    return fd;
  }
  for (size_t i = 0; i < NEAP_CONTROL_PLACES; i++) {
    if (!neap_control_place(config, (const char *const *)environ, i, path, sizeof path)) continue;
    int fd = connect_to(path, timeout_s);
    if (fd >= 0) return fd;
    if (first[0] == '\0') snprintf(first, sizeof first, "%s: %s", path, strerror(errno));
  }
  neap_verb_fail(verb, "no gateway runs %s (%s); --socket says where another is", config, first);
  return -1;
}

/* --- the request */

static bool is_named(const char *word, size_t *size) {
  *size = strspn(word, "abcdefghijklmnopqrstuvwxyz_");
  return *size > 0 && word[*size] == '=';
}

/* The next word of "POOL BACKEND [WEIGHT]" in lower case; NULL after the last. */
static const char *next_operand(const char **words, char *out, size_t size, bool *required) {
  const char *at = *words + strspn(*words, " ");
  if (*at == '\0') return NULL;
  *required = *at != '[';
  at += !*required;
  size_t used = 0;
  for (; isalpha((unsigned char)*at) || *at == '_'; at++)
    if (used + 1 < size) out[used++] = (char)tolower((unsigned char)*at);
  out[used] = '\0';
  *words = at + strcspn(at, " ");
  return out;
}

/* The gateway has a working directory of its own: what is a file here is named from the root. A bare name is
 * that of a shipped policy, whatever lies here. */
static json_t *value_of(const char *name, const char *word) {
  size_t size = strlen(word);
  bool is_path = strchr(word, '/') || (size > 4 && strcmp(word + size - 4, ".lua") == 0);
  char *path = is_path && strcmp(name, "file") == 0 ? realpath(word, NULL) : NULL;
  json_t *value = json_string(path ? path : word);
  free(path);
  return value;
}

/* An option of the verb: "--max-errors 1%" is the argument max_errors. */
static bool add_own(const neap_args *args, int option, json_t *out) {
  char name[64];
  snprintf(name, sizeof name, "%s", args->verb->options[option].name);
  for (char *c = name; *c; c++)
    if (*c == '-') *c = '_';
  if (json_object_set_new(out, name, args->value ? json_string(args->value) : json_true()) == 0) return true;
  neap_args_fail(args, "'%s' is not UTF-8", args->value);
  return false;
}

/* Operands in their order, and name=value for any, beside what `out` (taken) has. NULL: has said what is
 * wrong. */
static json_t *read_operands(const neap_args *args, const char *words, json_t *out) {
  char name[64];
  bool required = false;
  size_t size;
  for (int i = 0; i < args->operand_count; i++) {
    const char *word = args->operands[i];
    if (is_named(word, &size)) {
      snprintf(name, sizeof name, "%.*s", (int)size, word);
      word += size + 1;
    } else if (next_operand(&words, name, sizeof name, &required) == NULL) {
      neap_args_fail(args, "unexpected '%s'", word);
      json_decref(out);
      return NULL;
    }
    bool twice = json_object_get(out, name) != NULL;
    if (twice || json_object_set_new(out, name, value_of(name, word))) {
      neap_args_fail(args, twice ? "%s is given twice" : "'%s' is not UTF-8", twice ? name : word);
      json_decref(out);
      return NULL;
    }
  }
  while (next_operand(&words, name, sizeof name, &required))
    if (required && json_object_get(out, name) == NULL) {
      neap_args_fail(args, "%s is missing", name);
      json_decref(out);
      return NULL;
    }
  return out;
}

static bool send_request(int fd, const char *verb, json_t *args) {
  json_t *request = json_pack("{s:s, s:o}", "verb", verb, "args", args);
  char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
  json_decref(request);
  FILE *out = line ? fdopen(dup(fd), "w") : NULL;
  bool sent = out && fprintf(out, "%s\n", line) > 0;
  if (out) sent = fclose(out) == 0 && sent;
  free(line);
  return sent;
}

/* --- the answer */

/* The status where this was the last line, -1 where it was not. */
static int take_line(const neap_verb *verb, const ctl_wish *wish, const char *text) {
  json_t *line = json_loads(text, 0, NULL);
  const json_t *ok = json_object_get(line, "ok");
  int status = !json_is_object(line) || json_is_false(ok) ? NEAP_EXIT_FAILED : ok ? 0 : -1;
  if (wish->json)
    fputs(text, stdout);
  else if (status == NEAP_EXIT_FAILED)
    neap_show_failure(verb, line);
  else
    neap_show_line(line, stdout);
  fflush(stdout);
  json_decref(line);
  return status;
}

static int read_answer(const neap_verb *verb, const ctl_wish *wish, int fd) {
  FILE *in = fdopen(fd, "r");
  if (in == NULL) return close(fd), neap_verb_fail(verb, "%s", strerror(errno));
  char *line = NULL;
  size_t room = 0;
  int status = -1;
  errno = 0;
  while (status < 0 && getline(&line, &room, in) > 0) status = take_line(verb, wish, line);
  if (status < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    status = neap_verb_fail(verb, "nothing heard for %llu s", (unsigned long long)wish->timeout_s);
  else if (status < 0)
    status = neap_verb_fail(verb, "the gateway closed the connection before it answered");
  free(line);
  fclose(in);
  return status;
}

/* --- the verbs */

static int run(neap_args *args) {
  ctl_wish wish = {.config = "neap.lua", .timeout_s = 60};
  json_t *own = json_object();
  for (int option; (option = neap_args_next(args)) != NEAP_ARGS_END;) switch (option) {
    case OPT_CONFIG: wish.config = args->value; break;
    case OPT_SOCKET: wish.socket = args->value; break;
    case OPT_TIMEOUT:
      if (neap_args_number(args, option, 1, TIMEOUT_MAX, &wish.timeout_s)) break;
      json_decref(own);
      return NEAP_EXIT_USAGE;
    case OPT_JSON: wish.json = true; break;
    case NEAP_ARGS_STOP: json_decref(own); return args->status;
    default:
      if (add_own(args, option, own)) break;
      json_decref(own);
      return NEAP_EXIT_USAGE;
    }
  const neap_verb *verb = args->verb;
  json_t *operands = read_operands(args, verb->operands, own);
  if (operands == NULL) return NEAP_EXIT_USAGE;
  int fd = neap_ctl_connect(verb, wish.config, wish.socket, wish.timeout_s);
  if (fd < 0) {
    json_decref(operands);
    return NEAP_EXIT_FAILED;
  }
  if (send_request(fd, verb->name, operands)) return read_answer(verb, &wish, fd);
  close(fd);
  return neap_verb_fail(verb, "cannot send: %s", strerror(errno));
}

/* The options of all these verbs with its own behind them. Kept until the next call: one verb runs. */
static const neap_option *options_of(const neap_control_verb *verb) {
  static neap_option all[OPTIONS_MAX];
  size_t count = OPT_OWN;
  memcpy(all, common_options, sizeof common_options);
  for (const neap_control_option *one = neap_control_verb_options(verb);
       one && one->name && count + 1 < OPTIONS_MAX; one++)
    all[count++] = (neap_option){.name = one->name, .value = one->value, .text = one->text};
  all[count] = (neap_option){0};
  return all;
}

bool neap_verb_ctl_at(size_t index, neap_verb *out) {
  const neap_control_verb *verb = neap_control_verb_at(index);
  if (verb == NULL) return false;
  *out = (neap_verb){.name = verb->name,
                     .summary = verb->summary,
                     .operands = verb->operands,
                     .options = options_of(verb),
                     .run = run};
  return true;
}
