#include "bin/args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base.h"
#include "base/decimal.h"
#include "base/nearest.h"

/* --- saying --- */

static void say(const neap_verb *verb, const char *format, va_list list) {
  fprintf(stderr, "neap %s: ", verb->name);
  vfprintf(stderr, format, list);
}

int neap_args_fail(const neap_args *args, const char *format, ...) {
  va_list list;
  va_start(list, format);
  say(args->verb, format, list);
  va_end(list);
  fprintf(stderr, " (see: neap help %s)\n", args->verb->name);
  return NEAP_EXIT_USAGE;
}

int neap_verb_fail(const neap_verb *verb, const char *format, ...) {
  va_list list;
  va_start(list, format);
  say(verb, format, list);
  va_end(list);
  fputc('\n', stderr);
  return NEAP_EXIT_FAILED;
}

static void help_option(const neap_option *option, FILE *out) {
  char left[64];
  int used = option->letter ? snprintf(left, sizeof left, "  -%c, --%s", option->letter, option->name)
                            : snprintf(left, sizeof left, "      --%s", option->name);
  if (option->value) snprintf(left + used, sizeof left - (size_t)used, " %s", option->value);
  fprintf(out, "%-26s ", left);
  for (const char *c = option->text; *c; c++) {
    fputc(*c, out);
    if (*c == '\n') fprintf(out, "%27s", "");
  }
  fputc('\n', out);
}

void neap_verb_help(const neap_verb *verb, FILE *out) {
  bool has_options = verb->options != NULL && verb->options->name != NULL;
  fprintf(out, "usage: neap %s%s%s%s\n\n%s\n", verb->name, has_options ? " [OPTION...]" : "",
          *verb->operands ? " " : "", verb->operands, verb->summary);
  if (has_options) fputc('\n', out);
  for (const neap_option *option = verb->options; option && option->name; option++) help_option(option, out);
  if (verb->details) fprintf(out, "\n%s\n", verb->details);
}

/* --- parsing --- */

void neap_args_init(neap_args *args, const neap_verb *verb, int argc, const char **argv) {
  *args = (neap_args){.verb = verb, .argc = argc, .argv = argv, .operands = argv};
}

static int stop(neap_args *args, int status) {
  args->status = status;
  return NEAP_ARGS_STOP;
}

static int stop_with_help(neap_args *args) {
  neap_verb_help(args->verb, stdout);
  return stop(args, 0);
}

static int unknown(neap_args *args, const char *word, const char *name) {
  neap_nearest nearest;
  neap_nearest_init(&nearest, name);
  for (const neap_option *option = args->verb->options; option && option->name; option++)
    neap_nearest_offer(&nearest, option->name);
  if (nearest.name)
    return stop(args, neap_args_fail(args, "unknown option %s, did you mean --%s?", word, nearest.name));
  return stop(args, neap_args_fail(args, "unknown option %s", word));
}

/* `inlined`: the value given with the option itself, or NULL. */
static int found(neap_args *args, int index, const char *word, const char *inlined) {
  const neap_option *option = &args->verb->options[index];
  args->value = inlined;
  if (option->value == NULL)
    return inlined ? stop(args, neap_args_fail(args, "--%s takes no value", option->name)) : index;
  if (inlined == NULL && args->at < args->argc) args->value = args->argv[args->at++];
  if (args->value == NULL)
    return stop(args, neap_args_fail(args, "%s needs a value: %s", word, option->value));
  return index;
}

static int parse_long(neap_args *args, const char *word) {
  char name[64];
  const char *equals = strchr(word, '=');
  size_t size = equals ? (size_t)(equals - word - 2) : strlen(word + 2);
  snprintf(name, sizeof name, "%.*s", (int)NEAP_MIN(size, sizeof name - 1), word + 2);
  const neap_option *options = args->verb->options;
  for (int i = 0; options && options[i].name; i++)
    if (strcmp(options[i].name, name) == 0) return found(args, i, word, equals ? equals + 1 : NULL);
  if (strcmp(name, "help") == 0) return stop_with_help(args);
  return unknown(args, word, name);
}

static int parse_short(neap_args *args, const char *word) {
  const neap_option *options = args->verb->options;
  for (int i = 0; options && options[i].name; i++)
    if (options[i].letter == word[1]) return found(args, i, word, word[2] ? word + 2 : NULL);
  if (strcmp(word, "-h") == 0) return stop_with_help(args);
  return unknown(args, word, word + 1);
}

int neap_args_next(neap_args *args) {
  while (args->at < args->argc) {
    const char *word = args->argv[args->at++];
    if (args->options_ended || word[0] != '-' || word[1] == '\0')
      args->operands[args->operand_count++] = word;
    else if (strcmp(word, "--") == 0)
      args->options_ended = true;
    else
      return word[1] == '-' ? parse_long(args, word) : parse_short(args, word);
  }
  return NEAP_ARGS_END;
}

/* --- values --- */

bool neap_args_number(const neap_args *args, int option, uint64_t min, uint64_t max, uint64_t *out) {
  const char *text = args->value;
  char *end;
  errno = 0;
  uint64_t value = strtoull(text, &end, 10);
  if (strchr("0123456789", text[0]) && text[0] && !*end && !errno && value >= min && value <= max) {
    *out = value;
    return true;
  }
  neap_args_fail(args, "--%s must be an integer from %llu to %llu, not '%s'",
                 args->verb->options[option].name, (unsigned long long)min, (unsigned long long)max, text);
  return false;
}

static const struct {
  const char *suffix;
  double factor;
} units[] = {{"", 1},        {"B", 1},      {"K", 0x1p10},  {"KB", 0x1p10}, {"M", 0x1p20},
             {"MB", 0x1p20}, {"G", 0x1p30}, {"GB", 0x1p30}, {"T", 0x1p40},  {"TB", 0x1p40}};

bool neap_parse_bytes(const char *text, uint64_t *out) {
  double value;
  const char *end = neap_decimal_read(text, &value);
  for (size_t i = 0; end && i < NEAP_COUNT_OF(units); i++) {
    if (strcasecmp(end, units[i].suffix) != 0) continue;
    if (value * units[i].factor >= 0x1p63) return false;
    *out = (uint64_t)(value * units[i].factor);
    return true;
  }
  return false;
}
