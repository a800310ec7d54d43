/* neap top: a running gateway, once a second, in the terminal. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/base.h"
#include "bin/top.h"
#include "bin/verb_ctl.h"
#include "bin/verbs.h"

enum { OPT_CONFIG, OPT_SOCKET, OPT_ONCE, OPT_JSON, TIMEOUT_S = 10, EVERY_MS = 1000 };

static const neap_option options[] = {
    [OPT_CONFIG] = {"config", 'c', "FILE", "the configuration that the gateway runs (neap.lua)"},
    [OPT_SOCKET] = {"socket", 's', "PATH", "its control socket (found by the configuration's name)"},
    [OPT_ONCE] = {"once", '1', NULL, "one frame, of one second"},
    [OPT_JSON] = {"json", 'j', NULL, "the figures as a line of JSON instead of a frame"},
    {0},
};

typedef struct connection {
  FILE *in;
  int fd;
} connection;

/* --- snapshots */

/* NULL: the gateway is gone. */
static json_t *ask(connection *gateway) {
  static const char request[] = "{\"verb\":\"snapshot\"}\n";
  char *text = NULL;
  size_t room = 0;
  json_t *answer = NULL;
  if (write(gateway->fd, request, sizeof request - 1) == (ssize_t)sizeof request - 1 &&
      getline(&text, &room, gateway->in) > 0)
    answer = json_loads(text, 0, NULL);
  free(text);
  return answer;
}

/* --- the terminal */

static struct termios cooked; /* as the process got it */

static void show_screen(bool on) {
  if (on) {
    struct termios raw = cooked;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs("\033[?1049h\033[?25l", stdout);
  } else {
    fputs("\033[?25h\033[?1049l", stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
  }
  fflush(stdout);
}

static void read_size(neap_top_view *view) {
  struct winsize size;
  *view = (neap_top_view){.rows = 24, .columns = 80, .sort = view->sort, .colour = view->colour};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
    view->rows = size.ws_row;
    view->columns = size.ws_col;
  }
}

/* Waits for the next second, or a key. False: quit. */
static bool wait_for_key(neap_top_view *view, bool *pressed) {
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  char key;
  *pressed = poll(&input, 1, EVERY_MS) > 0;
  if (!*pressed) return true;
  if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 3) return false;
  if (key == 's') view->sort = (view->sort + 1) % NEAP_TOP_SORT_COUNT;
  return true;
}

static void draw(const json_t *before, const json_t *now, neap_top_view *view) {
  json_t *figures = neap_top_figures(before, now);
  read_size(view);
  fputs("\033[H\033[2J", stdout);
  if (figures) neap_top_frame(figures, view, stdout);
  fflush(stdout);
  json_decref(figures);
}

static int watch(const neap_verb *verb, connection *gateway) {
  neap_top_view view = {.colour = true};
  json_t *before = NULL, *now = ask(gateway);
  bool pressed = false;
  show_screen(true);
  if (now) draw(before, now, &view);
  while (now && wait_for_key(&view, &pressed)) {
    if (!pressed) { /* a key only sorts what is there */
      json_decref(before);
      before = now;
      now = ask(gateway);
    }
    if (now) draw(before, now, &view);
  }
  show_screen(false);
  bool gone = now == NULL;
  json_decref(before);
  json_decref(now);
  return gone ? neap_verb_fail(verb, "the gateway is gone") : 0;
}

/* --- once */

static int once(const neap_verb *verb, connection *gateway, bool json) {
  json_t *before = ask(gateway);
  poll(NULL, 0, EVERY_MS);
  json_t *now = before ? ask(gateway) : NULL, *figures = now ? neap_top_figures(before, now) : NULL;
  json_decref(before);
  json_decref(now);
  if (figures == NULL) return neap_verb_fail(verb, "the gateway is gone");
  neap_top_view view = {.sort = NEAP_TOP_SORT_RPS};
  read_size(&view);
  if (json)
    json_dumpf(figures, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
  else
    neap_top_frame(figures, &view, stdout);
  fputc('\n', stdout);
  json_decref(figures);
  return 0;
}

static int run(neap_args *args) {
  const char *config = "neap.lua", *socket = NULL;
  bool one = false, json = false;
  for (int option; (option = neap_args_next(args)) != NEAP_ARGS_END;) switch (option) {
    case OPT_CONFIG: config = args->value; break;
    case OPT_SOCKET: socket = args->value; break;
    case OPT_ONCE: one = true; break;
    case OPT_JSON: json = true; break;
    case NEAP_ARGS_STOP: return args->status;
    }
  if (args->operand_count > 0) return neap_args_fail(args, "unexpected '%s'", args->operands[0]);
  bool terminal = isatty(STDOUT_FILENO) && tcgetattr(STDIN_FILENO, &cooked) == 0;
  if (!one && (json || !terminal))
    return neap_args_fail(args, "without a terminal: --once, with or without --json");
  connection gateway = {.fd = neap_ctl_connect(args->verb, config, socket, TIMEOUT_S)};
  if (gateway.fd < 0) return NEAP_EXIT_FAILED;
  signal(SIGPIPE, SIG_IGN);
  gateway.in = fdopen(gateway.fd, "r");
  int status = gateway.in == NULL ? neap_verb_fail(args->verb, "%s", strerror(errno))
               : one              ? once(args->verb, &gateway, json)
                                  : watch(args->verb, &gateway);
  if (gateway.in)
    fclose(gateway.in);
  else
    close(gateway.fd);
  return status;
}

const neap_verb neap_verb_top = {
    .name = "top",
    .summary = "Watches a running gateway in the terminal.",
    .operands = "",
    .details = "Keys: q quits, s sorts backends by another column.",
    .options = options,
    .run = run,
};
