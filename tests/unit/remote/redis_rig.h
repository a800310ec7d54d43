/* Real redis-servers, a client of theirs on the loop of the test, and commands as lines of text. */
#ifndef NEAP_TESTS_REDIS_RIG_H
#define NEAP_TESTS_REDIS_RIG_H

#include "loopback.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "remote/remote.h"

enum { RIG_WORDS = 24, RIG_LIMIT_MS = 15000 };

/* --- processes */

typedef struct process {
  pid_t pid;
  uint16_t port;
  int log; /* what it prints */
} process;

static char rig_folder[] = "/tmp/neap-redis-XXXXXX"; /* where they lie */

static inline uint16_t free_port(void) {
  uint16_t port;
  int fd = talk_listen(&port);
  close(fd);
  return port;
}

/* Splits at blanks, in place. */
static inline size_t split_words(char *line, char **words, size_t max) {
  size_t count = 0;
  for (char *rest = line, *word; (word = strtok_r(rest, " ", &rest)) != NULL && count < max;)
    words[count++] = word;
  return count;
}

static inline pid_t spawn(const char *line, int out) {
  char text[2048], *words[64];
  snprintf(text, sizeof text, "%s", line);
  size_t count = split_words(text, words, NEAP_COUNT_OF(words) - 1);
  words[count] = NULL;
  for (size_t i = 0; i < count; i++)
    if (strcmp(words[i], "''") == 0) words[i][0] = '\0';
  pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(out, 1);
  dup2(out, 2);
  if (chdir(rig_folder)) _exit(126);
  execvp(words[0], words);
  _exit(127);
}

/* Reads what it prints until `text` is in a line; false where it ends first. */
static inline bool wait_for_line(process *p, const char *text) {
  char line[512];
  for (size_t used = 0;;) {
    if (read(p->log, line + used, 1) != 1) return false;
    if (line[used] != '\n' && used + 1 < sizeof line) {
      used++;
      continue;
    }
    line[used] = '\0';
    if (strstr(line, text)) return true;
    used = 0;
  }
}

static inline void process_end(process *p) {
  if (p->pid <= 0) return;
  kill(p->pid, SIGKILL);
  waitpid(p->pid, NULL, 0);
  close(p->log);
  p->pid = 0;
}

/* Starts on `p->port`, or where that is 0 on a free one. `more`: further settings, as in its configuration
 * file's command line. */
static inline void server_start(process *p, const char *more) {
  for (int tries = 0; tries < 5; tries++) {
    char line[1024];
    int pipes[2];
    uint16_t port = p->port ? p->port : free_port();
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    snprintf(line, sizeof line,
             "redis-server --port %u --bind 127.0.0.1 --save '' --appendonly no --daemonize no --dbfilename "
             "%u.rdb "
             "--logfile '' --enable-debug-command yes %s",
             port, port, more);
    p->log = pipes[0];
    p->pid = spawn(line, pipes[1]);
    close(pipes[1]);
    if (wait_for_line(p, "eady to accept connections")) {
      p->port = port;
      return;
    }
    process_end(p);
  }
  fail_msg("redis-server does not start");
}

/* Says a line to a server and returns what comes, up to `size`; the first line where it is one. */
static inline char *tell(const process *p, const char *line, char *out, size_t size) {
  size_t used = 0;
  int fd = talk_connect(p->port);
  talk_send(fd, line);
  talk_send(fd, "\r\n");
  shutdown(fd, SHUT_WR); /* it answers, then it sees the end; Sentinels know no QUIT */
  for (ssize_t got; used + 1 < size && (got = recv(fd, out + used, size - 1 - used, 0)) > 0;)
    used += (size_t)got;
  out[used] = '\0';
  close(fd);
  return out;
}

static inline void tell_ok(const process *p, const char *line) {
  char said[512];
  if (strncmp(tell(p, line, said, sizeof said), "+OK", 3) != 0) fail_msg("%s: %s", line, said);
}

/* Asks until the answer has `text`: nobody tells. */
static inline void tell_until(const process *p, const char *line, const char *text) {
  char said[8192];
  for (int tries = 0; strstr(tell(p, line, said, sizeof said), text) == NULL; tries++) {
    if (tries > 1000) fail_msg("%s: no \"%s\" in %s", line, text, said);
    usleep(20000);
  }
}

/* --- the client */

static struct {
  neap_loop *loop;
  neap_redis *redis;
  neap_redis_options options;
  char address[64];
  const char *addresses[NEAP_REDIS_ADDRESSES_MAX + 1];
  neap_host host;
  neap_timer limit;
  unsigned waited_for;
  uint64_t ask_ms; /* of each command; 0: as the options say */
  char log[8192];
} rig;

static inline void rig_log(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level;
  size_t used = strlen(rig.log);
  snprintf(rig.log + used, sizeof rig.log - used, "%s\n", line);
}

static inline void rig_too_long(neap_timer *timer) {
  (void)timer;
  fprintf(stderr, "nothing came for %d ms; log:\n%s", RIG_LIMIT_MS, rig.log);
  abort();
}

static inline int rig_set_up(void **state) {
  (void)state;
  memset(&rig, 0, sizeof rig);
  neap_redis_options_init(&rig.options);
  rig.options.timeout_ms = rig.options.connect_timeout_ms = 8000; /* the machine may be busy */
  rig.options.stall_ms = 10000;
  rig.host.log = rig_log;
  rig.options.host = &rig.host;
  rig.options.addresses = rig.addresses;
  rig.addresses[0] = rig.address;
  neap_timer_init(&rig.limit, rig_too_long);
  return neap_loop_create(&rig.loop);
}

static inline int rig_tear_down(void **state) {
  (void)state;
  neap_redis_destroy(&rig.redis);
  neap_timer_clear(&rig.limit);
  neap_loop_destroy(&rig.loop);
  return 0;
}

static inline void rig_open(void) {
  neap_err err = {0};
  if (neap_redis_create(rig.loop, &rig.options, &rig.redis, &err)) fail_msg("%s", err.text);
}

static inline void rig_connect(uint16_t port) {
  snprintf(rig.address, sizeof rig.address, "127.0.0.1:%u", port);
  rig_open();
}

static inline neap_redis_info rig_info(void) {
  neap_redis_info info;
  neap_redis_info_get(rig.redis, &info);
  return info;
}

static inline void rig_run(void) {
  neap_timer_set(rig.loop, &rig.limit, RIG_LIMIT_MS);
  neap_loop_run(rig.loop);
  neap_timer_clear(&rig.limit);
}

/* Serves for so long: for what tells nobody. */
static inline void rig_stop_now(neap_timer *timer) {
  (void)timer;
  neap_loop_stop(rig.loop);
}
static inline void rig_run_for(uint64_t ms) {
  neap_timer timer;
  neap_timer_init(&timer, rig_stop_now);
  neap_timer_set(rig.loop, &timer, ms);
  neap_loop_run(rig.loop);
  neap_timer_clear(&timer);
}

/* Serves until `done` says so, asked every few milliseconds. */
static inline void rig_run_until(bool (*done)(void)) {
  for (uint64_t end_ms = neap_clock_now_ms(NULL) + RIG_LIMIT_MS; !done(); rig_run_for(5))
    if (neap_clock_now_ms(NULL) > end_ms) fail_msg("it never came; log:\n%s", rig.log);
}

typedef struct answer {
  neap_redis_end end;
  bool told, sent;
  neap_resp_type type;
  int64_t integer;
  size_t count;
  char text[512];
} answer;

static inline void rig_note(answer *to, const neap_redis_reply *reply) {
  neap_view text = reply->end == NEAP_REDIS_DONE || reply->end == NEAP_REDIS_ERROR
                       ? reply->value.text
                       : neap_view_of(reply->text);
  assert_false(to->told);
  to->told = true;
  to->end = reply->end;
  to->sent = reply->sent;
  to->type = reply->value.type;
  to->integer = reply->value.integer;
  to->count = reply->value.count;
  snprintf(to->text, sizeof to->text, "%.*s", (int)text.size, text.ptr);
}

static inline void rig_on_done(void *user, const neap_redis_reply *reply) {
  rig_note(user, reply);
  if (--rig.waited_for == 0) neap_loop_stop(rig.loop);
}

/* Starts a command written as a line of words; the second is the key. */
static inline int rig_start(answer *to, const char *line, neap_redis_request **out) {
  char text[1024], *words[RIG_WORDS];
  neap_view args[RIG_WORDS];
  snprintf(text, sizeof text, "%s", line);
  size_t count = split_words(text, words, RIG_WORDS);
  for (size_t i = 0; i < count; i++) args[i] = neap_view_of(words[i]);
  const neap_redis_command command = {.args = args,
                                      .count = count,
                                      .key = count > 1 ? args[1] : (neap_view){NULL, 0},
                                      .timeout_ms = rig.ask_ms,
                                      .done = rig_on_done,
                                      .user = to};
  *to = (answer){0};
  int code = neap_redis_start(rig.redis, &command, out);
  if (code == 0) rig.waited_for++;
  return code;
}

static inline answer rig_ask(const char *line) {
  answer got;
  assert_int_equal(rig_start(&got, line, NULL), 0);
  assert_false(got.told); /* never from within the call */
  rig_run();
  assert_true(got.told);
  return got;
}

static inline void rig_expect(const char *line, const char *text) {
  answer got = rig_ask(line);
  if (got.end != NEAP_REDIS_DONE || strcmp(got.text, text) != 0)
    fail_msg("%s: end %d, \"%s\", not \"%s\"; log:\n%s", line, got.end, got.text, text, rig.log);
}

static inline bool rig_is_ready(void) {
  neap_redis_info info = rig_info();
  return info.ready == info.wanted && info.wanted > 0;
}

#endif
