/* The tokens of LuaJIT are read by its own rules (lj_lex.c is the reference), since a token that is seen
 * differently here and there could hide a loop: line ends are \n and \r, names may hold bytes above 127,
 * numbers swallow letters and, after an exponent, a sign. */
#include "script/fuel.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

typedef enum token { TOKEN_NAME, TOKEN_LABEL, TOKEN_CLOSE, TOKEN_SEMICOLON, TOKEN_OTHER } token;

typedef struct rewriter {
  const char *name;
  const char *at, *end; /* of the text */
  unsigned line, file;
  char *out;
  size_t used, capacity;
  bool failed;            /* out of memory */
  int depth;              /* of blocks */
  bool parameters, label; /* a check is due: after the next ")", before the next statement */
} rewriter;

static int syntax(const rewriter *r, neap_err *err, const char *text) {
  return neap_fail(err, NEAP_ESYNTAX, "%s:%u: %s", r->name, r->line, text);
}

static void emit(rewriter *r, const char *text, size_t size) {
  if (r->used + size > r->capacity) {
    size_t capacity = 2 * (r->used + size) + 256;
    char *larger = realloc(r->out, capacity);
    if (larger == NULL) {
      r->failed = true;
      return;
    }
    r->out = larger;
    r->capacity = capacity;
  }
  memcpy(r->out + r->used, text, size);
  r->used += size;
}

static void emit_check(rewriter *r) {
  char check[96];
  unsigned line = NEAP_MIN(r->line, (1u << NEAP_FUEL_LINE_BITS) - 1);
  int size = snprintf(check, sizeof check, " __F.n=__F.n-1 __F.at=%u if __F.n<0 then __X() end ",
                      r->file << NEAP_FUEL_LINE_BITS | line);
  emit(r, check, (size_t)size);
}

/* --- characters --- */
static int peek(const rewriter *r, size_t ahead) {
  return (size_t)(r->end - r->at) > ahead ? (unsigned char)r->at[ahead] : -1;
}
static bool is_digit(int c) {
  return c >= '0' && c <= '9';
}
static bool is_name(int c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 128;
}
static bool is_line_end(int c) {
  return c == '\n' || c == '\r';
}
static bool is_space(int c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* One character on; a line end of two characters is passed as one. */
static void pass(rewriter *r) {
  int c = peek(r, 0), next = peek(r, 1);
  r->at++;
  if (!is_line_end(c)) return;
  if (is_line_end(next) && next != c) r->at++;
  r->line++;
}

/* Level of the long bracket that opens here ("[[": 0, "[==[": 2), or -1. */
static int long_bracket(const rewriter *r, size_t ahead) {
  if (peek(r, ahead) != '[') return -1;
  size_t level = 0;
  while (peek(r, ahead + 1 + level) == '=') level++;
  return peek(r, ahead + 1 + level) == '[' ? (int)level : -1;
}

static bool pass_long_bracket(rewriter *r, int level) {
  r->at += level + 2;
  while (r->at < r->end) {
    if (peek(r, 0) == ']') {
      int same = 0;
      while (peek(r, 1 + (size_t)same) == '=') same++;
      if (same == level && peek(r, 1 + (size_t)same) == ']') {
        r->at += level + 2;
        return true;
      }
    }
    pass(r);
  }
  return false;
}

static bool pass_quoted(rewriter *r) {
  int quote = peek(r, 0);
  r->at++;
  while (r->at < r->end && peek(r, 0) != quote) {
    if (peek(r, 0) == '\\' && r->at + 1 < r->end) r->at++;
    pass(r);
  }
  if (r->at == r->end) return false;
  r->at++;
  return true;
}

static void pass_number(rewriter *r) {
  int exponent = 'e', last = peek(r, 0);
  if (last == '0' && (peek(r, 1) | 0x20) == 'x') exponent = 'p';
  for (int c = last; is_name(c) || c == '.' || ((c == '-' || c == '+') && (last | 0x20) == exponent);
       c = peek(r, 0)) {
    last = c;
    r->at++;
  }
}

/* False: a comment without an end. */
static bool pass_blanks(rewriter *r) {
  for (;;) {
    while (is_space(peek(r, 0))) pass(r);
    if (peek(r, 0) != '-' || peek(r, 1) != '-') return true;
    int level = long_bracket(r, 2);
    if (level >= 0) {
      r->at += 2;
      if (!pass_long_bracket(r, level)) return false;
    } else {
      while (r->at < r->end && !is_line_end(peek(r, 0))) r->at++;
    }
  }
}

/* "::name::", with blanks wherever they may be. */
static bool pass_label(rewriter *r) {
  r->at += 2;
  if (!pass_blanks(r)) return false;
  while (is_name(peek(r, 0))) r->at++;
  if (!pass_blanks(r)) return false;
  if (peek(r, 0) != ':' || peek(r, 1) != ':') return false;
  r->at += 2;
  return true;
}

/* --- tokens --- */

/* Passes one token, which is not blank. NULL, or what is wrong. */
static const char *pass_token(rewriter *r, token *kind) {
  int c = peek(r, 0), level;
  *kind = TOKEN_OTHER;
  if (is_digit(c) || (c == '.' && is_digit(peek(r, 1)))) {
    pass_number(r);
  } else if (is_name(c)) {
    *kind = TOKEN_NAME;
    while (is_name(peek(r, 0))) r->at++;
  } else if (c == '"' || c == '\'') {
    if (!pass_quoted(r)) return "unfinished string";
  } else if ((level = long_bracket(r, 0)) >= 0) {
    if (!pass_long_bracket(r, level)) return "unfinished long string";
  } else if (c == ':' && peek(r, 1) == ':') {
    *kind = TOKEN_LABEL;
    if (!pass_label(r)) return "a label is ::name::";
  } else if (c == '.') {
    while (peek(r, 0) == '.') r->at++; /* ".", ".." or "..."; more of them are wrong anyway */
  } else {
    if (c == ')') *kind = TOKEN_CLOSE;
    if (c == ';') *kind = TOKEN_SEMICOLON;
    r->at++;
  }
  return NULL;
}

static bool is_word(const char *at, size_t size, const char *words) {
  for (size_t length; *words != 0; words += length + (words[length] == ' ')) {
    length = strcspn(words, " ");
    if (length == size && memcmp(words, at, size) == 0) return true;
  }
  return false;
}

/* What a name does to the blocks, and which checks are due after it. */
static const char *see_name(rewriter *r, const char *at, size_t size, bool *check) {
  if (is_word(at, size, "__F __X")) return "the names __F and __X are reserved";
  if (is_word(at, size, "do function if repeat")) r->depth++;
  if (is_word(at, size, "end until") && --r->depth < 0) return "'end' or 'until' without a block";
  if (is_word(at, size, "function")) r->parameters = true;
  *check = is_word(at, size, "do repeat");
  return NULL;
}

/* A label's check stands before the next statement; at the end of a block there is none, and a label there
 * can only be jumped to forwards. */
static void settle_label(rewriter *r, token kind, const char *at, size_t size) {
  if (!r->label || kind == TOKEN_LABEL || kind == TOKEN_SEMICOLON) return;
  r->label = false;
  if (kind == TOKEN_NAME && is_word(at, size, "end else elseif until")) return;
  emit_check(r);
}

static const char *rewrite(rewriter *r) {
  for (;;) {
    const char *blank = r->at;
    if (!pass_blanks(r)) return "unfinished long comment";
    emit(r, blank, (size_t)(r->at - blank));
    if (r->at == r->end) return NULL;
    const char *begin = r->at;
    unsigned line = r->line;
    token kind;
    const char *wrong = pass_token(r, &kind);
    if (wrong != NULL) return wrong;
    size_t size = (size_t)(r->at - begin);
    bool check = false;
    settle_label(r, kind, begin, size);
    if (kind == TOKEN_NAME) wrong = see_name(r, begin, size, &check);
    if (wrong != NULL) {
      r->line = line;
      return wrong;
    }
    emit(r, begin, size);
    if (kind == TOKEN_LABEL) r->label = true;
    if (kind == TOKEN_CLOSE && r->parameters) {
      r->parameters = false;
      check = true;
    }
    if (check) emit_check(r);
  }
}

/* A byte order mark and a "#!" line are passed over, as LuaJIT does for files. */
static void pass_header(rewriter *r) {
  if (peek(r, 0) == 0xef && peek(r, 1) == 0xbb && peek(r, 2) == 0xbf) r->at += 3;
  if (peek(r, 0) == '#')
    while (r->at < r->end && !is_line_end(peek(r, 0))) r->at++;
}

int neap_fuel_insert(const char *name, const char *text, size_t size, unsigned file, char **out,
                     size_t *out_size, neap_err *err) {
  static const char head[] = "local __F,__X=... return function(...) ", tail[] = "\nend";
  rewriter r = {.name = name, .at = text, .end = text + size, .line = 1, .file = file};
  if (size > 0 && text[0] == '\033') return syntax(&r, err, "bytecode is not accepted");
  if (memchr(text, 0, size) != NULL) return syntax(&r, err, "a NUL byte is not accepted");
  pass_header(&r);
  emit(&r, head, sizeof head - 1);
  const char *wrong = rewrite(&r);
  emit(&r, tail, sizeof tail - 1);
  if (wrong == NULL && !r.failed) {
    *out = r.out;
    *out_size = r.used;
    return 0;
  }
  free(r.out);
  if (wrong != NULL) return syntax(&r, err, wrong);
  return neap_fail(err, NEAP_ENOMEM, "%s: %s", name, neap_strerror(NEAP_ENOMEM));
}
