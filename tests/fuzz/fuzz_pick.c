/* Answers of balance policies: whatever a policy in Lua says, the guard answers with a backend that may be
 * picked, or with none where there is none. The input makes the pool and chooses what the policy says. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "loop/loop.h"
#include "script/script.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { BACKENDS_MAX = 16, ASKS_MAX = 64 };

static const char policy_text[] =
    "local kept\n"
    "local answers = {\n"
    "  function() return nil end, function() return 0 end, function() return -1 end,\n"
    "  function() return 1.5 end, function() return 1e300 end, function() return 0 / 0 end,\n"
    "  function() return 2 ^ 31 end, function() return -2 ^ 31 end, function() return 'x' end,\n"
    "  function() return {} end, function() return true end, function() error 'no' end,\n"
    "  function(_, pool) return pool end, function(_, pool) return pool[pool.random1] end,\n"
    "  function(_, pool) return pool[pool.count + 1].index end, function(req) return req end,\n"
    "  function(_, pool) kept = kept or pool[pool.count] return kept.weight end,\n"
    "  function(_, pool) return pool.random2 end, function(_, pool) return pool.count end,\n"
    "  function(_, pool) return pool.wait end,\n"
    "}\n"
    "local seen = 0\n"
    "return {\n"
    "  pick = function(req, pool) return answers[pool.key + 1](req, pool) end,\n"
    "  done = function(backend, outcome)\n"
    "    seen = seen + backend.share + outcome.status + (outcome.ok and 1 or outcome.took_us)\n"
    "  end,\n"
    "  joined = function(backend, pool) seen = pool[backend.index].share end,\n"
    "  left = function(backend) if seen > 1000 then error(tostring(backend)) end end,\n"
    "}\n";
enum { ANSWERS = 20 };

static neap_host host;
static neap_registry *registry;

static void drop_line(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level, (void)line;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  const neap_host wanted = {.log = drop_line,
                            .now_ms = neap_clock_now_ms,
                            .now_ns = neap_clock_now_ns,
                            .thread_cpu_ns = neap_clock_thread_cpu_ns,
                            .seed = 1};
  neap_host_complete(&wanted, &host);
  neap_assert(neap_registry_create(&host, &registry) == 0);
  neap_script_register(registry, &host);
  return 0;
}

static bool usable(const neap_backend_row *row) {
  return row->barred == 0;
}

static void check_answer(const neap_pick_board *board) {
  bool any = false;
  for (int32_t i = 0; i < board->count; i++) any = any || usable(&board->rows[i]);
  if (board->answer == NEAP_PICK_WAIT) {
    neap_assert(board->may_wait);
    return;
  }
  neap_assert(board->answer >= NEAP_PICK_NONE && board->answer < board->count);
  neap_assert(board->answer >= 0 ? usable(&board->rows[board->answer]) : !any);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  neap_backend_row rows[BACKENDS_MAX] = {0};
  neap_pick_board board = {.rows = rows};
  const neap_request_board request = {.method = {.ptr = "GET", .size = 3}};
  const neap_policy_env env = {.host = &host, .generation = 1, .pick = &board};
  neap_policy *policy;
  neap_err err;
  neap_assert(
      neap_policy_open(registry, NEAP_BALANCE, "fuzz.lua", policy_text, &env, NULL, 0, &policy, &err) == 0);
  for (size_t i = 0; i + 3 < size && i < 4 * ASKS_MAX; i += 4) {
    board.count = bytes[i] % (BACKENDS_MAX + 1);
    board.key = bytes[i + 1] % ANSWERS;
    for (int32_t b = 0; b < board.count; b++)
      rows[b] = (neap_backend_row){.barred = (bytes[i + 2] >> b % 8 & 1) * (b % 4) << 1 |
                                             (bytes[i + 3] >> b % 8 & 1),
                                   .weight = 1 + b,
                                   .share = 1 + b};
    board.random1 = board.count ? bytes[i + 1] % board.count : 0;
    board.random2 = board.count ? bytes[i + 2] % board.count : 0;
    board.request = i % 8 ? &request : NULL;
    board.may_wait = bytes[i + 3] & 1;
    for (int32_t b = 0; b < board.count; b++)
      neap_policy_tell(policy, bytes[i + 2] % (NEAP_EVENT_WEIGHT + 2), b, bytes[i + 3], bytes[i + 1] * 1e5,
                       bytes[i] * 4);
    neap_policy_decide(policy, NEAP_ASK_PICK);
    check_answer(&board);
  }
  neap_policy_close(&policy);
  return 0;
}
