/* What every verb of the program has in common: its table of options, help made of that table, parsing.
 *
 *   enum { OPT_LISTEN, OPT_QUIET };
 *   static const neap_option options[] = {
 *       [OPT_LISTEN] = {"listen", 'l', "HOST:PORT", "where to listen"},
 *       [OPT_QUIET] = {"quiet", 'q', NULL, "say nothing"},
 *       {0},
 *   };
 *   static int run(neap_args *args) {
 *     for (int option; (option = neap_args_next(args)) != NEAP_ARGS_END;) switch (option) {
 *       case OPT_LISTEN: listen = args->value; break;
 *       case NEAP_ARGS_STOP: return args->status;
 *       }
 *     ... args->operands[0 .. args->operand_count - 1] ...
 *   }
 *   const neap_verb neap_verb_run = {.name = "run", .run = run, .options = options, ...};
 *
 * Options may stand anywhere; "--" ends them; values follow "=" or stand alone. `--help` works for every
 * verb. Exit status of the program: 0, NEAP_EXIT_FAILED, NEAP_EXIT_USAGE. Errors are one line on stderr with
 * a hint.
 */
#ifndef NEAP_BIN_ARGS_H
#define NEAP_BIN_ARGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { NEAP_EXIT_FAILED = 1, NEAP_EXIT_USAGE = 2 };
enum { NEAP_ARGS_END = -1, NEAP_ARGS_STOP = -2 };

typedef struct neap_option {
  const char *name;  /* without dashes */
  char letter;       /* of the short form; 0: none */
  const char *value; /* what help calls its value; NULL: takes none */
  const char *text;  /* for help; lines are broken where it says \n */
} neap_option;

typedef struct neap_args neap_args;

typedef struct neap_verb {
  const char *name;
  const char *summary;         /* one line, for `neap help` */
  const char *operands;        /* for the usage line: "TRACE...", or "" */
  const char *details;         /* paragraphs below the options; may be NULL */
  const neap_option *options;  /* ended by one without a name */
  int (*run)(neap_args *args); /* the exit status */
} neap_verb;

struct neap_args {
  const neap_verb *verb;
  const char **argv; /* what follows the verb; operands are moved to its front */
  int argc, at;
  bool options_ended;
  const char *value; /* of the option just returned */
  int status;        /* with NEAP_ARGS_STOP */
  const char **operands;
  int operand_count;
};

void neap_args_init(neap_args *args, const neap_verb *verb, int argc, const char **argv);

/* The next option's index in the verb's table, NEAP_ARGS_END, or NEAP_ARGS_STOP when help or an error has
 * been printed: then return args->status. */
int neap_args_next(neap_args *args);

/* Says what is wrong with the command line, in one line, and returns NEAP_EXIT_USAGE. */
int neap_args_fail(const neap_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says what went wrong and returns NEAP_EXIT_FAILED. */
int neap_verb_fail(const neap_verb *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The option's value as an integer in min..max. False: has said what is wrong. */
bool neap_args_number(const neap_args *args, int option, uint64_t min, uint64_t max, uint64_t *out);

/* Reads "64", "64KB", "1.5GB" (powers of 2). False where it is not one. */
bool neap_parse_bytes(const char *text, uint64_t *out);

void neap_verb_help(const neap_verb *verb, FILE *out);

#endif
