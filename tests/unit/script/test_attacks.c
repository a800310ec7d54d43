/* Policies that would hurt, through the real guard: the process lives, the call ends, somebody else decides,
 * the fault is counted and logged with file, line and generation, and repeated faults take the policy out. */
#include "unit.h"

#include "../policy/world.h"

enum { ENTRIES = 300 };

static world w;

/* An attack in the middle of a policy that is right until `armed`: the dry run must let it through. It is
 * armed by an engine time that no dry run shows. */
#define POLICY(body)                                                                                         \
  "local policy = require 'neap.policy'\n"                                                                   \
  "local p = policy.evict { name = 'p', slot = { a = 'int32' }, state = { n = 'int32' } }\n"                 \
  "local q, cache, keep = p:list(), p.cache, {}\n"                                                           \
  "local a, state = p.slot.a, p.state\n"                                                                     \
  "function p.insert(s) q:push(s) end\n"                                                                     \
  "function p.remove(s) q:remove(s) end\n"                                                                   \
  "local function attack() " body " end\n"                                                                   \
  "function p.hit(s) if cache:now_ms() > 1e9 then attack(s) end end\n"                                       \
  "function p.step()\n"                                                                                      \
  "  if cache:now_ms() > 1e9 then local s = attack() if s then return s end end\n"                           \
  "  return q:back() or false\nend\nreturn p\n"

typedef struct attack {
  const char *name, *text;
  const char *reason; /* of the fault; "": one or another; NULL: it may end without any */
} attack;

static const attack runaways[] = {
    {"endless loop", POLICY("while true do end"), "fuel"},
    {"loop that the compiler takes", POLICY("local x = 0 for i = 1, 1e15 do x = x + i % 3 end return x"),
     "fuel"},
    {"repeat", POLICY("repeat local x = 1 until false"), "fuel"},
    {"goto", POLICY("::top:: state.n = state.n + 1 goto top"), "fuel"},
    {"loop over columns", POLICY("while true do for i = 16, 300 do a[i] = a[i] + 1 end end"), "fuel"},
    {"tail recursion", POLICY("local function f(n) return f(n + 1) end return f(1)"), "fuel"},
    {"mutual closures",
     POLICY("local t = {} local function g(i) t[i % 100] = i return i + 1 end "
            "local i = 0 while true do i = g(i) end"),
     "fuel"},
    {"metamethods",
     POLICY("local t = setmetatable({}, {}) "
            "getmetatable(t).__index = function(x, k) return x[k + 1] end return t[1]"),
     NULL},
    {"list walk", POLICY("local s = q:back() while true do s = s and q:ahead(s) or q:back() end"), "fuel"},
    {"leaves", POLICY("while true do p:random(7) p:stat('x', cache:used()) end"), "fuel"},
    {"find in long texts",
     POLICY("local s = ('a'):rep(1000) while true do s:find(('a'):rep(500) .. 'b') end"), "fuel"},
    {"case of long texts", POLICY("local s = ('a'):rep(1000000) while true do s:upper() end"), "fuel"},
    {"format", POLICY("local s = ('a'):rep(900000) while true do string.format('%s', s) end"), "fuel"},
    {"concat", POLICY("local t = {} for i = 1, 60000 do t[i] = '' end while true do table.concat(t) end"),
     "fuel"},
    {"insert in front", POLICY("local t = {} while true do table.insert(t, 1, 1) end"), "fuel"},
    {"sort without end",
     POLICY("while true do local t = {} for i = 1, 300 do t[i] = (i * 7919) % 301 end "
            "table.sort(t) end"),
     "fuel"},
    {"sort with a comparison that lies",
     POLICY("while true do local t = {} for i = 1, 300 do t[i] = i end table.sort(t, function() return true "
            "end) end"),
     NULL},
    {"sort of what makes it slow",
     POLICY(
         "local t, k = {}, 30000 for i = 1, k do t[i] = i % 2 == 1 and i or k + i - 1 t[k + i] = 2 * i end "
         "while true do table.sort(t) end"),
     "fuel"},
    {"sort by a built-in function",
     POLICY("local t = {} for i = 1, 65536 do t[i] = i end while true do table.sort(t, rawequal) end"),
     "fuel"},
    {"number of a long text", POLICY("local s = (' '):rep(900000) while true do tonumber(s) end"), "fuel"},
    {"sum of long texts", POLICY("local s = (' '):rep(900000) .. '1' while true do keep[1] = s + 1 end"),
     "fuel"},
    {"order of long texts",
     POLICY("local s = ('x'):rep(900000) local x, y = s .. 1, s .. 2 while true do keep[1] = x < y end"),
     "fuel"},
    {"concat of the same long text",
     POLICY("local s, t = ('x'):rep(90000), { '', '', '', '', '' } while true do table.concat(t, s) end"),
     "fuel"},
    {"unpack",
     POLICY("local t = {} for i = 1, 7000 do t[i] = i end while true do select('#', unpack(t)) end"), "fuel"},
    {"next in a table that was emptied",
     POLICY("local t = {} for i = 1, 20000 do t['x' .. i] = 1 end for k in pairs(t) do t[k] = nil end "
            "while true do next(t) end"),
     "fuel"},
    {"iterator that is a built-in function", POLICY("for x in rawequal, 1, 1 do end"), "fuel"},
    {"text building", POLICY("while true do local s = '' for i = 1, 200 do s = s .. i end end"), "fuel"},
    {"garbage", POLICY("while true do local t = { 1, 2, {} } t[4] = tostring(t) end"), "fuel"},
    {"leaves by fresh closures",
     POLICY("while true do local f = function(i) return p:random(i) end f(7) end"), "fuel"},
    {"text of a metamethod",
     POLICY("while true do tostring(setmetatable({}, { __tostring = function() return 'x' end })) end"),
     "fuel"},
    {"allocation", POLICY("while true do keep = { keep ~= nil, {}, {} } end"), "fuel"},
    {"joined texts", POLICY("local s = ('x'):rep(200000) while true do keep[1] = s .. #keep end"), "fuel"},
};

static const attack bombs[] = {
    {"table bomb", POLICY("local t = {} while true do t[#t + 1] = {} end"),
     ""} /* or fuel: it takes longer than 5 ms */,
    {"text bomb", POLICY("local s = 'x' while true do s = s .. s end"), "memory"},
    {"array bomb", POLICY("local t = {} for i = 1, 1e9 do t[i] = i end"), "memory"},
    {"many texts", POLICY("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end"), NULL},
    {"closure bomb", POLICY("local f for i = 1, 1e9 do local g = f f = function() return g end end keep = f"),
     NULL},
    {"hash bomb", POLICY("local t = {} for i = 1, 1e9 do t['k' .. i] = i end"), NULL},
    {"boxed numbers", POLICY("local t = {} for i = 1, 1e9 do t[i] = 5LL + i end"), NULL},
    {"tables that the compiler would sink",
     POLICY("local t = {} for i = 1, 1e9 do local x = { x = i, y = i } if i % 5 == 0 then t[#t + 1] = x end "
            "end"),
     NULL},
    {"varargs",
     POLICY(
         "local t, k = {}, {} for i = 1, 7000 do t[i] = i end while true do k[#k + 1] = { unpack(t) } end"),
     NULL},
    {"concat bomb",
     POLICY("local t = {} for i = 1, 1e9 do t[i] = 'abcdefgh' "
            "if i % 10000 == 0 then keep[i] = table.concat(t) end end"),
     NULL},
    {"deep recursion", POLICY("local function f(n) return { f(n + 1) } end return f(1)"), NULL},
};

static const attack errors[] = {
    {"insert nowhere", POLICY("table.insert({}, 0 / 0, 1)"), "error"},
    {"insert far behind", POLICY("table.insert({}, 4e9, 1)"), "error"},
    {"insert far in front", POLICY("table.insert({}, -1e9, 1)"), "error"},
    {"remove far in front", POLICY("table.remove({ 1 }, -1e9)"), "error"},
    {"error", POLICY("error('boo')"), "error"},
    {"error that is a table", POLICY("error({ 1, 2 })"), "error"},
    {"error that is nil", POLICY("error()"), "error"},
    {"nil index", POLICY("local t = nil return t.x"), "error"},
    {"recursion", POLICY("local function f(n) return 1 + f(n + 1) end return f(1)"), "error"},
    {"long recursion of metamethods",
     POLICY("local t = setmetatable({}, { __add = function(x, y) return (x + y) + 1 end }) return t + t"),
     "error"},
    {"sort that is wrong", POLICY("table.sort({ 1, {}, 'x' })"), "error"},
    {"sort that is long", POLICY("local t = {} for i = 1, 70000 do t[i] = i end table.sort(t)"), NULL},
    {"rep that is long", POLICY("('x'):rep(1e9)"), "error"},
    {"rep of nothing, often", POLICY("(''):rep(1e15)"), NULL},
    {"slot below", POLICY("a[-1] = 1"), "error"},
    {"slot above", POLICY("a[1e9] = 1"), "error"},
    {"slot at the end", POLICY("a[316] = 1"), "error"},
    {"slot that is not a number", POLICY("a[0 / 0] = 1"), "error"},
    {"slot that is a name", POLICY("return a.base"), "error"},
    {"slot that is an int64", POLICY("a[5LL] = 1"), "error"},
    {"list head", POLICY("q:push(1)"), "error"},
    {"list beyond", POLICY("q:push(99999)"), "error"},
    {"list out of a function", POLICY("q.push(q, 'x')"), "error"},
    {"foreign self", POLICY("q.push({}, 1e300)"), "error"},
    {"state field", POLICY("state.nothing = 1"), "error"},
    {"state pointer", POLICY("return state + 1"), "error"},
    {"state index", POLICY("return state[100]"), "error"},
    {"state to a column", POLICY("state.n = a"), "error"},
    {"cache field", POLICY("cache.limit = nil"), "error"},
    {"cache size of a text", POLICY("return cache:size('x')"), "error"},
    {"global", POLICY("x = 1"), "error"},
    {"load", POLICY("load('x = 1')()"), "error"},
    {"ffi", POLICY("require('ffi').cast('char *', 1)[0] = 1"), "error"},
    {"runtime", POLICY("require('neap.evict').attach()"), "error"},
    {"pcall", POLICY("while true do pcall(error) end"), "error"},
    {"coroutine", POLICY("coroutine.wrap(function() while true do end end)()"), "error"},
    {"patterns", POLICY("(('a'):rep(30000)):match('.-.-.-.-b')"), "error"},
    {"pattern in a loop", POLICY("while true do ('aaa'):gmatch('.-') end"), "error"},
    {"gsub", POLICY("('abc'):rep(100):gsub('.', function(c) return c .. c end)"), "error"},
    {"xpcall", POLICY("while true do xpcall(error, error) end"), "error"},
    {"coroutines", POLICY("while true do coroutine.wrap(function() coroutine.yield() end)() end"), "error"},
    {"compile storm", POLICY("while true do loadstring('return 1')() end"), "error"},
    {"collector", POLICY("while true do collectgarbage() end"), "error"},
    {"bytecode", POLICY("load('\\27LJ')"), "error"},
    {"dump", POLICY("string.dump(function() end)"), "error"},
    {"dump by a text", POLICY("(''):dump()"), "error"},
    {"package", POLICY("return package.loaded.ffi"), "error"},
    {"getfenv", POLICY("return getfenv(2)"), "error"},
    {"getfenv in a comparison", POLICY("table.sort({ 3, 2, 1 }, function() return getfenv end)"), "error"},
    {"setfenv", POLICY("setfenv(1, {})"), "error"},
    {"newproxy", POLICY("newproxy(true)"), "error"},
    {"debug", POLICY("return debug.getupvalue(p.step, 1)"), "error"},
    {"jit", POLICY("jit.off()"), "error"},
    {"io", POLICY("io.open('/etc/passwd')"), "error"},
    {"os", POLICY("os.execute('true')"), "error"},
    {"core", POLICY("require('neap.core')"), "error"},
    {"sandbox", POLICY("require('neap.sandbox')"), "error"},
    {"file above", POLICY("require('../p')"), "error"},
    {"view through setmetatable", POLICY("setmetatable(a, {})"), "error"},
    {"view through rawset", POLICY("rawset(a, 20, {})"), "error"},
    {"view through rawget", POLICY("rawget(a, 20)"), "error"},
    {"view through next", POLICY("next(a)"), "error"},
    {"view through pairs", POLICY("for k in pairs(a) do return k end"), "error"},
    {"view plus a number", POLICY("return a + 1"), "error"},
    {"view plus an address", POLICY("return a + 0x1000ULL"), "error"},
    {"view minus a view", POLICY("return a - a"), "error"},
    {"view as a function", POLICY("a(1)"), "error"},
    {"view's length", POLICY("a.len = 1000000"), "error"},
    {"view's length read", POLICY("return #a"), "error"},
    {"slot that is a text of a number", POLICY("return a['20']"), "error"},
    {"slot beyond what a double counts", POLICY("return a[2^53]"), "error"},
    {"slot that is infinite", POLICY("return a[1 / 0]"), "error"},
    {"value that is a view", POLICY("a[20] = a"), "error"},
    {"value that is a text", POLICY("a[20] = 'x'"), "error"},
    {"state plus a number", POLICY("return (state + 1000000).n"), "error"},
    {"state minus state", POLICY("return state - state"), "error"},
    {"state as a function", POLICY("state(1)"), "error"},
    {"state's length", POLICY("return #state"), "error"},
    {"state through pairs", POLICY("for k in pairs(state) do return k end"), "error"},
    {"state's metatable", POLICY("getmetatable(state).__index = nil"), "error"},
    {"state in an error", POLICY("error(state)"), "error"},
    {"order of states", POLICY("return state < state and 1"), "error"},
    {"list's metatable", POLICY("getmetatable(q).__index = nil"), "error"},
    {"policy's metatable", POLICY("setmetatable(p, {})"), "error"},
    {"text metatable", POLICY("getmetatable('').__index = nil"), "error"},
    {"view metatable", POLICY("getmetatable(a).__index = nil"), "error"},
};

static const attack answers[] = {
    {"slot below the first by a fraction", POLICY("return 15.9999999999"), "answer"},
    {"endless", POLICY("return 1 / 0"), "answer"},
    {"forged slot", POLICY("return 1e6"), "answer"},
    {"list head as victim", POLICY("return 1"), "answer"},
    {"negative victim", POLICY("return -5"), "answer"},
    {"no number", POLICY("return 0 / 0"), "answer"},
    {"huge", POLICY("return 2^60"), "answer"},
    {"the same again and again", POLICY("state.n = 20 return 20"), "answer"},
    {"nothing", POLICY("for s = 16, 315 do q:remove(s) end"), "answer"},
};

static const attack not_slots[] = {
    {"table", POLICY("return {}"), "error"},
    {"text", POLICY("return 'x'"), "error"},
    {"view", POLICY("return a"), "error"},
};

static void fill(void) {
  for (int32_t slot = NEAP_SLOT_FIRST; slot < w.slot_end; slot++)
    if (!w.entries[slot].live) world_insert(&w, slot, 1, slot * 7.0);
}

static uint64_t faults_of(const neap_policy_counters *c) {
  return c->faults_error + c->faults_fuel + c->faults_memory + c->faults_answer;
}

/* A clock for those that shall run into the limit of memory, however slow the machine is on the way there. */
static uint64_t slow_cpu_ns(void *user) {
  return neap_clock_thread_cpu_ns(user) / 16;
}

static void start(const attack *at) {
  world_init(&w, ENTRIES);
  if (at->reason != NULL && strcmp(at->reason, "memory") == 0) w.host.thread_cpu_ns = slow_cpu_ns;
  neap_err err = {0};
  if (world_open_with(&w, "p.lua", at->text, NULL, 0, &err)) fail_msg("%s: %s", at->name, err.text);
  fill();
  assert_int_equal(world_ask(&w, 4, 1), 4);
  assert_int_equal(w.samples, 0);
  fill();
  w.board.now_ms = 2e9;
}

/* The reason, a place in the file, and the generation in the log. */
static void check_told(const attack *at) {
  neap_policy_counters c;
  neap_policy_counters_get(w.policy, &c);
  const char *fault = neap_policy_fault(w.policy);
  char wanted[64];
  if (faults_of(&c) == 0) fail_msg("%s: no fault counted", at->name);
  snprintf(wanted, sizeof wanted, "reason=%s", at->reason != NULL ? at->reason : "");
  if (strstr(w.log, wanted) == NULL) fail_msg("%s: not %s: %s", at->name, wanted, w.log);
  if (strstr(w.log, "policy fault name=p generation=3 ") == NULL) fail_msg("%s: log: %s", at->name, w.log);
  if (strstr(w.log, "reason=answer ") == NULL &&
      (strncmp(fault, "p.lua:", 6) != 0 || fault[6] < '1' || fault[6] > '9'))
    fail_msg("%s: no place: %s", at->name, fault);
}

/* Asks until the guard takes the policy out; every ask is answered with victims meanwhile. */
static void until_tripped(const attack *at) {
  neap_policy_counters c = {0};
  for (int asks = 0; c.trips == 0; asks++) {
    if (asks == 200) fail_msg("%s: never taken out: %s", at->name, w.log);
    if (world_ask(&w, 4, 1) == 0) fail_msg("%s: no victim", at->name);
    fill();
    neap_policy_counters_get(w.policy, &c);
  }
  check_told(at);
  assert_string_equal(neap_policy_name(w.policy), "fallback");
  assert_non_null(strstr(w.log, "policy tripped name=p generation=3 "));
}

static void fallback_works(void) {
  int samples = w.samples;
  while (w.live > 0) assert_true(world_ask(&w, 16, 0) > 0);
  fill();
  assert_int_equal(world_ask(&w, 16, 0), 16);
  assert_int_equal(w.samples, samples);
  neap_policy_counters c;
  neap_policy_counters_get(w.policy, &c);
  assert_true(c.fallbacks > 0);
}

static void in_step(const attack *list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    start(&list[i]);
    until_tripped(&list[i]);
    fallback_works();
    world_fini(&w);
  }
}

static void in_hit(const attack *list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    start(&list[i]);
    neap_policy_counters c = {0};
    for (int hits = 0; c.trips == 0; hits++) {
      if (hits == 100) fail_msg("%s: never taken out: %s", list[i].name, w.log);
      world_tell(&w, NEAP_EVENT_HIT, NEAP_SLOT_FIRST + hits, 0, 0);
      neap_policy_counters_get(w.policy, &c);
    }
    check_told(&list[i]);
    fallback_works();
    world_fini(&w);
  }
}

/* Some attacks are harmless by nature: whatever they do, victims come and nobody dies. */
static void survive(const attack *list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (list[i].reason != NULL) continue;
    start(&list[i]);
    for (int asks = 0; asks < 10; asks++) {
      assert_true(world_ask(&w, 4, 1) > 0);
      fill();
    }
    world_fini(&w);
  }
}

/* Those of `list` that must end with a fault. */
static size_t certain(const attack *list, size_t count, attack *out) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++)
    if (list[i].reason != NULL) out[kept++] = list[i];
  return kept;
}

static attack chosen[128];
#define IN_STEP(list) in_step(chosen, certain(list, NEAP_COUNT_OF(list), chosen))
#define IN_HIT(list)  in_hit(chosen, certain(list, NEAP_COUNT_OF(list), chosen))

static void test_runaways_end_by_fuel_and_are_taken_out(void **state) {
  (void)state;
  IN_STEP(runaways);
}
static void test_runaways_among_hits_end_too(void **state) {
  (void)state;
  IN_HIT(runaways);
}
static void test_bombs_end_by_memory_and_the_first_takes_the_policy_out(void **state) {
  (void)state;
  IN_STEP(bombs);
  IN_HIT(bombs);
}
/* Debian's LuaJIT crashed on the second out-of-memory in compiled code: there must be no second. Each of
 * these is hot long before it wants too much. */
static const attack compiled_bombs[] = {
    {"array in a function called again and again",
     POLICY("local function f() local t = {} for i = 1, 1e7 do t[i] = i end end for i = 1, 200 do f() end"),
     "memory"},
    {"text in a function called again and again",
     POLICY("local function f() local s = 'x' for i = 1, 60 do s = s .. s end end for i = 1, 200 do f() end"),
     "memory"},
};

/* Generations one after another, as an operator who tries again would load them, in one process. */
static void test_a_vm_is_never_asked_again_after_it_wanted_too_much_memory(void **state) {
  (void)state;
  enum { GENERATIONS = 60 };
  for (int i = 0; i < GENERATIONS; i++) {
    const attack *at = &compiled_bombs[(size_t)i % NEAP_COUNT_OF(compiled_bombs)];
    start(at);
    until_tripped(at);
    fallback_works();
    neap_policy_counters c;
    neap_policy_counters_get(w.policy, &c);
    if (c.faults_memory != 1 || c.trips != 1)
      fail_msg("%s: %d faults of memory, %d trips", at->name, (int)c.faults_memory, (int)c.trips);
    world_fini(&w);
  }
}

static void test_error_storms_are_counted_and_taken_out(void **state) {
  (void)state;
  IN_STEP(errors);
  IN_HIT(errors);
  IN_STEP(not_slots);
}
static void test_forged_victims_are_never_evicted(void **state) {
  (void)state;
  IN_STEP(answers);
}
static void test_what_may_end_either_way_hurts_nobody(void **state) {
  (void)state;
  survive(runaways, NEAP_COUNT_OF(runaways));
  survive(bombs, NEAP_COUNT_OF(bombs));
  survive(errors, NEAP_COUNT_OF(errors));
}

/* --- before a policy is given out --- */
static void test_files_that_run_away_are_refused(void **state) {
  (void)state;
  static const char *const texts[] = {
      "while true do end",
      "local t = {} while true do t[#t + 1] = {} end",
      "local function f() return f() end f()",
      "error({})",
      "\033LJ\2\n",
      "local policy = require 'neap.policy' return policy.evict { name = 'p' }",
      "return",
      "",
      "return require 'neap.policy'.evict { name = 'p', slot = { a = 'int32[4]' } }",
      "return require 'neap.policy'.evict { name = 'p', slot = { a = 'int32 *' } }",
      "return require 'neap.policy'.evict { name = 'p', slot = { a = 'int32_t a; } ; struct q { char*p' } }",
      "return require 'neap.policy'.evict { name = 'p', state = { ['a; char *b'] = 'int32' } }",
      "return require 'neap.policy'.evict { name = 'p', state = { a = 'int32[4]' } }",
      POLICY("") "x",
      "local policy = require 'neap.policy' local p = policy.evict { name = 'p' } "
      "function p.insert() while true do end end function p.step() return false end return p",
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(texts); i++) {
    world_init(&w, ENTRIES);
    neap_err err = {0};
    int code = world_open_with(&w, "p.lua", texts[i], NULL, 0, &err);
    assert_true(code == NEAP_EPOLICY || code == NEAP_ESYNTAX);
    if (strncmp(err.text, "p.lua:", 6) != 0) fail_msg("%s\n%s", texts[i], err.text);
    assert_null(w.policy);
    world_fini(&w);
  }
}

/* Indexes between two slots are the slot below, and no text tells an address of the engine's. */
static void test_what_is_harmless_is_no_fault(void **state) {
  (void)state;
  static const attack list[] = {
      {"fraction", POLICY("a[20] = 7 if a[20.9] == 7 and a[315.9] then return 20 end error('not so')"), ""},
      {"texts of views",
       POLICY("if (tostring(a) .. tostring(state) .. tostring(q) .. tostring(cache)):find('0x') "
              "then error('address') end return 20"),
       ""},
      {"state is itself", POLICY("if state == state then return 20 end error('not so')"), ""},
      {"patterns are texts",
       POLICY("if not ('a.c'):find('.c') or ('abc'):find('.') then error('not so') end"), ""},
      {"insert, remove, sort, concat",
       POLICY(
           "local t = { 3, 1 } table.insert(t, 2) table.insert(t, 1, 9) table.insert(t, 5, 7) table.sort(t) "
           "if table.concat(t, ',') ~= '1,2,3,7,9' or table.remove(t, 1) ~= 1 or table.remove(t) ~= 9 or "
           "table.remove(t, 4) or tonumber('ff', 16) ~= 255 or tonumber('x') then error('not so') end "
           "table.sort(t, function(x, y) return x > y end) if t[1] ~= 7 then error('not so') end"),
       ""},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(list); i++) {
    start(&list[i]);
    assert_true(world_ask(&w, 1, 1) > 0);
    neap_policy_counters c;
    neap_policy_counters_get(w.policy, &c);
    if (c.faults_error != 0) fail_msg("%s: %s", list[i].name, neap_policy_fault(w.policy));
    world_fini(&w);
  }
}

static void test_one_fault_does_not_lose_the_other_events_of_its_batch(void **state) {
  (void)state;
  const attack at = {"once", POLICY("if state.n == 0 then state.n = 1 error('once') end"), "error"};
  start(&at);
  neap_event batch[3] = {world_event(NEAP_EVENT_HIT, 20, 0, 0), world_event(NEAP_EVENT_REMOVE, 21, 0, 0),
                         world_event(NEAP_EVENT_REMOVE, 22, 0, 0)};
  neap_policy_observe(w.policy, batch, 3);
  world_gone(&w, 21);
  world_gone(&w, 22);
  neap_policy_counters c;
  neap_policy_counters_get(w.policy, &c);
  assert_int_equal(c.faults_error, 1);
  w.board.now_ms = 0;
  while (w.live > 0) assert_true(world_ask(&w, 16, 0) > 0);
  neap_policy_counters_get(w.policy, &c);
  assert_int_equal(faults_of(&c), 1);
  assert_int_equal(w.samples, 0);
  assert_string_equal(neap_policy_name(w.policy), "p");
  world_fini(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_runaways_end_by_fuel_and_are_taken_out),
      cmocka_unit_test(test_runaways_among_hits_end_too),
      cmocka_unit_test(test_bombs_end_by_memory_and_the_first_takes_the_policy_out),
      cmocka_unit_test(test_a_vm_is_never_asked_again_after_it_wanted_too_much_memory),
      cmocka_unit_test(test_error_storms_are_counted_and_taken_out),
      cmocka_unit_test(test_forged_victims_are_never_evicted),
      cmocka_unit_test(test_what_may_end_either_way_hurts_nobody),
      cmocka_unit_test(test_files_that_run_away_are_refused),
      cmocka_unit_test(test_what_is_harmless_is_no_fault),
      cmocka_unit_test(test_one_fault_does_not_lose_the_other_events_of_its_batch),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
