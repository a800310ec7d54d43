/* The facade of the Redis protocol, RESP2 and RESP3: bytes in, views of them and bytes out. For both ends: a
 * client scans replies and writes commands, a server reads requests and writes replies. No sockets, no clock.
 *
 * Bytes lie in the caller's buffer, from the beginning of the value on, and more of them at every call; the
 * buffer may move between calls. Nothing is copied, every byte is looked at once. What a length claims is
 * checked against the limits when it is read, and no memory is taken because of it.
 *
 * Everything is for one thread at a time.
 */
#ifndef NEAP_RESP_RESP_H
#define NEAP_RESP_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "neap/neap.h"

enum { NEAP_RESP_DEPTH_MAX = 16 };

/* What is refused. */
typedef struct neap_resp_limits {
  size_t total_bytes;   /* of one value or request, everything in it included */
  size_t bulk_bytes;    /* of one string */
  size_t line_bytes;    /* of one line, such as an error, or of an inline request */
  size_t element_count; /* of one value or request, on all levels; a pair of a map is two */
  unsigned depth;       /* of arrays in arrays, up to NEAP_RESP_DEPTH_MAX */
} neap_resp_limits;

/* Those of Redis: 512 MiB in a string and in all, lines of 64 KiB, a million elements; depth 8. */
extern const neap_resp_limits neap_resp_limits_default;

/* --- replies, as a client reads them */

typedef enum neap_resp_type {
  NEAP_RESP_NULL,    /* of either version: "$-1", "*-1", "_" */
  NEAP_RESP_STRING,  /* simple, bulk or verbatim: `text` */
  NEAP_RESP_ERROR,   /* simple or bulk: `text` such as "ERR unknown command" */
  NEAP_RESP_INTEGER, /* `integer` */
  NEAP_RESP_BOOLEAN, /* `integer` is 0 or 1 */
  NEAP_RESP_DOUBLE,  /* `text`, such as "1.5", "inf", "-inf", "nan" */
  NEAP_RESP_BIG,     /* an integer of any length: `text` */
  NEAP_RESP_ARRAY,   /* `count` elements */
  NEAP_RESP_SET,     /* the same */
  NEAP_RESP_MAP,     /* the same: key, value, key, value; `count` is even */
  NEAP_RESP_PUSH     /* the same; never the answer to a command */
} neap_resp_type;

/* Finds where a value ends. Reset by neap_resp_scan_init for the next value. */
typedef struct neap_resp_scan {
  const neap_resp_limits *limits; /* borrowed */
  const char *fault;              /* why it was refused, in words */
  size_t at;                      /* what lies before is known to be well formed */
  size_t searched;                /* up to here there is no end of the line that begins at `at` */
  size_t bulk_end;                /* where the string under way ends; 0: none */
  size_t elements;                /* that were announced so far */
  unsigned depth;                 /* of what is open */
  struct {
    size_t left; /* elements still to come */
    bool attribute;
  } open[NEAP_RESP_DEPTH_MAX];
} neap_resp_scan;

void neap_resp_scan_init(neap_resp_scan *scan, const neap_resp_limits *limits);
/* Goes on with the value at `bytes`, of which `size` are there now. Its length when it is whole; 0: more
 * bytes are needed; NEAP_ESYNTAX or NEAP_ETOOLARGE with `scan->fault`: nothing behind can be understood,
 * close. Attributes ("|") are part of the value before which they stand. hot: */
ssize_t neap_resp_scan_more(neap_resp_scan *scan, const char *bytes, size_t size);
/* Length that the value will have at least: worth reading at once. */
size_t neap_resp_scan_wanted(const neap_resp_scan *scan);

/* Walks over whole values. */
typedef struct neap_resp_cursor {
  const char *at, *end;
} neap_resp_cursor;

typedef struct neap_resp_value {
  neap_resp_type type;
  neap_view text; /* into the bytes */
  int64_t integer;
  size_t count;
  neap_resp_cursor elements; /* of what has a count */
} neap_resp_value;

/* Reads the value at the cursor, which moves behind it and all that is in it; false at the end. The bytes
 * must be what a scan has found whole. Attributes are left out. hot: */
bool neap_resp_next(neap_resp_cursor *cursor, neap_resp_value *out);
/* The text as a decimal integer without sign "+", blanks or leading zeros; false where it is none. */
bool neap_resp_integer(neap_view text, int64_t *out);
/* Is an error whose first word is `code`. */
bool neap_resp_is_error(const neap_resp_value *value, const char *code);

/* --- requests, as a server reads them */

enum { NEAP_RESP_ARGS_INLINE = 16 };

typedef struct neap_resp_span {
  size_t from, size;
} neap_resp_span;

/* One request under way: an array of bulk strings, or a line of words as people type them. */
typedef struct neap_resp_request {
  const neap_resp_limits *limits; /* borrowed; may be exchanged between requests */
  const char *fault;              /* why it was refused, as Redis says it: for "-ERR <fault>" */
  size_t at, searched;
  size_t claimed; /* arguments that the head announced */
  size_t count;   /* arguments that are there */
  size_t bulk_size;
  bool in_array, in_bulk;
  size_t room;
  neap_resp_span *args; /* points to `few` or to the heap */
  neap_resp_span few[NEAP_RESP_ARGS_INLINE];
  char fault_text[40]; /* of a fault that names a byte */
} neap_resp_request;

void neap_resp_request_init(neap_resp_request *request, const neap_resp_limits *limits);
/* For the next request; keeps the memory. hot: */
void neap_resp_request_reset(neap_resp_request *request);
void neap_resp_request_fini(neap_resp_request *request);
/* Goes on with the request at `bytes`. Its length when it is whole, with `count` arguments: none for an empty
 * line or array, to be ignored as Redis does. 0: more bytes are needed; NEAP_ESYNTAX, NEAP_ETOOLARGE,
 * NEAP_ENOMEM: answer `fault`, if any, and close. Quoted words of a line are unquoted where they lie: that is
 * why the bytes are not const. hot: */
ssize_t neap_resp_request_more(neap_resp_request *request, char *bytes, size_t size);
/* The i-th argument of a whole request, in the same bytes. hot: */
static inline neap_view neap_resp_request_arg(const neap_resp_request *request, const char *bytes, size_t i) {
  return (neap_view){bytes + request->args[i].from, request->args[i].size};
}

/* --- writing */

enum { NEAP_RESP_HEAD_MAX = 24 }; /* "$18446744073709551615\r\n" */
/* Writes `mark` ("$*:%..."), a number and the end of the line: the head of a string whose bytes the caller
 * sends from elsewhere, with "\r\n" after. Returns its length. hot: */
size_t neap_resp_head(char out[NEAP_RESP_HEAD_MAX], char mark, uint64_t number);

/* Length of a bulk string, and the string itself; its bytes may be {NULL, 0}. hot: */
size_t neap_resp_bulk_size(size_t size);
size_t neap_resp_bulk_write(char *out, neap_view bytes);
/* Length of a command, and the command itself: what a client sends. hot: */
size_t neap_resp_command_size(const neap_view *args, size_t count);
size_t neap_resp_command_write(char *out, const neap_view *args, size_t count);

/* A growing buffer of replies, in the version of protocol that the client has asked for. */
typedef struct neap_resp_out {
  char *bytes; /* `size` of them are written; the caller may take them and set `size` to 0 */
  size_t size, room;
  size_t max;    /* never grows beyond */
  bool failed;   /* something did not fit, or there was no memory: nothing more is written; close */
  bool version3; /* RESP3 */
} neap_resp_out;

void neap_resp_out_init(neap_resp_out *out, size_t max);
void neap_resp_out_fini(neap_resp_out *out);
/* Bytes as they are: of a reply that the caller writes. hot: */
void neap_resp_put_bytes(neap_resp_out *out, const char *bytes, size_t size);
void neap_resp_put_string(neap_resp_out *out, const char *text); /* simple: "OK" */
/* An error, code first. Whatever would end the line becomes a blank. */
void neap_resp_put_error(neap_resp_out *out, neap_view text);
void neap_resp_put_integer(neap_resp_out *out, int64_t number);
void neap_resp_put_bulk(neap_resp_out *out, neap_view bytes);
void neap_resp_put_null(neap_resp_out *out);
void neap_resp_put_boolean(neap_resp_out *out, bool value); /* RESP2: 0 or 1 */
void neap_resp_put_array(neap_resp_out *out, size_t count);
void neap_resp_put_map(neap_resp_out *out, size_t pairs); /* RESP2: an array of twice as many */
void neap_resp_put_set(neap_resp_out *out, size_t count); /* RESP2: an array */
/* A message that answers no command. RESP2 has none but for subscribers: an array. */
void neap_resp_put_push(neap_resp_out *out, size_t count);

#endif
