#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *neap_version(void) {
  return NEAP_VERSION_STRING;
}

const char *neap_strerror(int code) {
  switch (code) {
  case NEAP_OK: return "success";
#define NEAP_CASE(name, number, text)                                                                        \
  case number: return text;
    NEAP_ERRORS(NEAP_CASE)
#undef NEAP_CASE
  default: return "unknown error";
  }
}

const char *neap_errname(int code) {
  switch (code) {
  case NEAP_OK: return "NEAP_OK";
#define NEAP_CASE(name, number, text)                                                                        \
  case number: return #name;
    NEAP_ERRORS(NEAP_CASE)
#undef NEAP_CASE
  default: return "NEAP_E?";
  }
}

int neap_fail(neap_err *err, int code, const char *format, ...) {
  if (err == NULL) return code;
  err->code = code;
  va_list args;
  va_start(args, format);
  vsnprintf(err->text, sizeof err->text, format, args);
  va_end(args);
  return code;
}

_Noreturn void neap_fatal(const char *file, int line, const char *text) {
  fprintf(stderr, "neap: %s:%d: %s\n", file, line, text);
  abort();
}
