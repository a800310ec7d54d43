#include "unit.h"

#include <unistd.h>

#include "bin/args.h"

enum { OPT_SIZE, OPT_EXACT };
static const neap_option options[] = {
    [OPT_SIZE] = {"size", 's', "S", "how large"},
    [OPT_EXACT] = {"exact", 0, NULL, "exactly"},
    {0},
};
static const neap_verb verb = {
    .name = "try", .summary = "Tries.", .operands = "[FILE...]", .options = options};

/* What one command line comes to. */
typedef struct outcome {
  char seen[256];  /* options as "index=value;", in order */
  char wrong[512]; /* what went to stderr */
  neap_args args;
} outcome;

static void catch_stderr(FILE *into, void (*act)(void *), void *user) {
  fflush(stderr);
  int kept = dup(STDERR_FILENO);
  dup2(fileno(into), STDERR_FILENO);
  act(user);
  fflush(stderr);
  dup2(kept, STDERR_FILENO);
  close(kept);
}

static void parse_all(void *user) {
  outcome *o = user;
  for (int option; (option = neap_args_next(&o->args)) >= 0;) {
    size_t used = strlen(o->seen);
    snprintf(o->seen + used, sizeof o->seen - used, "%d=%s;", option, o->args.value ? o->args.value : "");
  }
}

/* Parses `words`, ended by NULL. */
static void parse(outcome *o, const char **words) {
  int count = 0;
  while (words[count]) count++;
  *o = (outcome){0};
  neap_args_init(&o->args, &verb, count, words);
  FILE *file = tmpfile();
  assert_non_null(file);
  catch_stderr(file, parse_all, o);
  rewind(file);
  o->wrong[fread(o->wrong, 1, sizeof o->wrong - 1, file)] = '\0';
  fclose(file);
}
#define PARSE(o, ...) parse(o, (const char *[]){__VA_ARGS__, NULL})

static void test_options_and_operands_mix(void **state) {
  (void)state;
  outcome o;
  PARSE(&o, "a", "--size", "1%", "b", "--size=2", "-s3", "-s", "4", "--exact", "-", "--", "--size");
  assert_string_equal(o.seen, "0=1%;0=2;0=3;0=4;1=;");
  assert_int_equal(o.args.operand_count, 4);
  assert_string_equal(o.args.operands[0], "a");
  assert_string_equal(o.args.operands[2], "-");
  assert_string_equal(o.args.operands[3], "--size");
  assert_string_equal(o.wrong, "");
}

static void assert_refused(const outcome *o, const char *text) {
  assert_int_equal(o->args.status, NEAP_EXIT_USAGE);
  assert_string_equal(o->wrong, text);
}

static void test_wrong_options_are_refused_in_one_line_with_a_hint(void **state) {
  (void)state;
  outcome o;
  PARSE(&o, "--sizes", "3");
  assert_refused(&o, "neap try: unknown option --sizes, did you mean --size? (see: neap help try)\n");
  PARSE(&o, "-x");
  assert_refused(&o, "neap try: unknown option -x (see: neap help try)\n");
  PARSE(&o, "--size");
  assert_refused(&o, "neap try: --size needs a value: S (see: neap help try)\n");
  PARSE(&o, "--exact=yes");
  assert_refused(&o, "neap try: --exact takes no value (see: neap help try)\n");
}

static void test_an_endless_option_name_is_only_unknown(void **state) {
  (void)state;
  static char word[100000];
  memset(word, '-', sizeof word - 1);
  outcome o;
  PARSE(&o, word);
  assert_int_equal(o.args.status, NEAP_EXIT_USAGE);
  assert_memory_equal(o.wrong, "neap try: unknown option ---", 28);
}

static void test_bytes_are_read_with_their_units(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint64_t bytes;
  } good[] = {{"0", 0},        {"64", 64},      {"64B", 64},        {"64KB", 65536},
              {"64kb", 65536}, {"1M", 1 << 20}, {"1.5MB", 3 << 19}, {"2GB", 2ull << 30}};
  static const char *const bad[] = {"",    "x",   "KB",   "-1",   "0x10", "12XB", "1 KB",
                                    "nan", "inf", "9e99", "1K B", "1e3",  "+1"};
  uint64_t bytes;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    assert_true(neap_parse_bytes(good[i].text, &bytes));
    assert_int_equal(bytes, good[i].bytes);
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(neap_parse_bytes(bad[i], &bytes));
}

typedef struct number_try {
  neap_args args;
  uint64_t value;
  bool taken;
} number_try;

static void take_number(void *user) {
  number_try *n = user;
  n->taken = neap_args_number(&n->args, OPT_SIZE, 1, 64, &n->value);
}

static bool number_taken(const char *text, uint64_t *value) {
  number_try n = {.args = {.verb = &verb, .value = text}};
  FILE *file = tmpfile();
  catch_stderr(file, take_number, &n);
  fclose(file);
  *value = n.value;
  return n.taken;
}

static void test_numbers_are_taken_in_their_range_only(void **state) {
  (void)state;
  uint64_t value;
  assert_true(number_taken("1", &value));
  assert_true(number_taken("64", &value));
  assert_int_equal(value, 64);
  static const char *const bad[] = {"", "0", "65", "-1", "+1", "1x", " 1", "99999999999999999999"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(number_taken(bad[i], &value));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_options_and_operands_mix),
      cmocka_unit_test(test_wrong_options_are_refused_in_one_line_with_a_hint),
      cmocka_unit_test(test_an_endless_option_name_is_only_unknown),
      cmocka_unit_test(test_bytes_are_read_with_their_units),
      cmocka_unit_test(test_numbers_are_taken_in_their_range_only),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
