#include "bin/show.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/utf8.h"

enum { CELL_MAX = 1200, COLUMNS_MAX = 32 };

static void show_object(const json_t *object, int indent, FILE *out);

/* A scalar, or a list of them in one line. Texts may come from anywhere: none steers the terminal. */
static const char *cell(const json_t *value, char *out, size_t size) {
  const char *text = json_string_value(value);
  if (text) {
    int whole = snprintf(out, size, "%s", text);
    if (whole >= (int)size) memcpy(out + size - 4, "...", 4);
    neap_text_tame(out, 0);
    return out;
  }
  out[0] = '\0';
  if (json_is_array(value)) {
    size_t used = 0;
    for (size_t i = 0; i < json_array_size(value) && used < size; i++) {
      char part[CELL_MAX];
      used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "",
                               cell(json_array_get(value, i), part, sizeof part));
    }
  } else if (json_is_integer(value)) {
    snprintf(out, size, "%lld", (long long)json_integer_value(value));
  } else if (json_is_real(value)) {
    snprintf(out, size, "%.6g", json_real_value(value));
  } else if (json_is_boolean(value)) {
    return json_is_true(value) ? "yes" : "no";
  } else if (json_is_object(value)) {
    return "{...}";
  }
  return out[0] ? out : "-";
}

/* --- tables */

typedef struct table {
  const char *names[COLUMNS_MAX];
  size_t widths[COLUMNS_MAX];
  bool numeric[COLUMNS_MAX];
  size_t count;
} table;

static size_t column_of(table *t, const char *name) {
  size_t i = 0;
  while (i < t->count && strcmp(t->names[i], name) != 0) i++;
  if (i == t->count && i < COLUMNS_MAX) {
    t->names[i] = name;
    t->widths[i] = strlen(name);
    t->numeric[i] = true;
    t->count++;
  }
  return i;
}

static void measure(table *t, const json_t *rows) {
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const char *name;
    json_t *value;
    json_object_foreach(json_array_get(rows, i), name, value) {
      char text[CELL_MAX];
      size_t column = column_of(t, name);
      if (column == COLUMNS_MAX) continue;
      t->widths[column] = NEAP_MAX(t->widths[column], strlen(cell(value, text, sizeof text)));
      t->numeric[column] = t->numeric[column] && (json_is_number(value) || json_is_null(value));
    }
  }
}

static void show_cell(const table *t, size_t column, const char *text, FILE *out) {
  bool last = column + 1 == t->count;
  int width = (int)t->widths[column];
  fprintf(out, "%s%*s%s", column ? "  " : "",
          t->numeric[column] ? width
          : last             ? 0
                             : -width,
          text, last ? "\n" : "");
}

static void show_table(const json_t *rows, int indent, FILE *out) {
  table t = {.count = 0};
  measure(&t, rows);
  fprintf(out, "%*s", indent, "");
  for (size_t j = 0; j < t.count; j++) show_cell(&t, j, t.names[j], out);
  for (size_t i = 0; i < json_array_size(rows); i++) {
    fprintf(out, "%*s", indent, "");
    for (size_t j = 0; j < t.count; j++) {
      char text[CELL_MAX];
      const json_t *value = json_object_get(json_array_get(rows, i), t.names[j]);
      show_cell(&t, j, value ? cell(value, text, sizeof text) : "", out);
    }
  }
}

/* --- members */

static bool is_scalar(const json_t *value) {
  return !json_is_object(value) && !(json_is_array(value) && json_is_object(json_array_get(value, 0)));
}

static void show_member(const char *name, const json_t *value, int indent, FILE *out) {
  char text[CELL_MAX];
  if (is_scalar(value)) {
    fprintf(out, "%*s%s: %s\n", indent, "", name, cell(value, text, sizeof text));
    return;
  }
  fprintf(out, "%*s%s:\n", indent, "", name);
  if (json_is_array(value))
    show_table(value, indent + 2, out);
  else
    show_object(value, indent + 2, out);
}

static void show_object(const json_t *object, int indent, FILE *out) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)object, name, value) {
    if (indent == 0 && strcmp(name, "ok") == 0) continue;
    show_member(name, value, indent, out);
  }
}

void neap_show_line(const json_t *line, FILE *out) {
  const char *text = json_string_value(json_object_get(line, "text"));
  char *page = text ? strdup(text) : NULL;
  if (page) neap_text_tame(page, '\n');
  if (text == NULL)
    show_object(line, 0, out);
  else if (page && page[0])
    fprintf(out, "%s\n", page);
  free(page);
}

void neap_show_failure(const neap_verb *verb, const json_t *line) {
  const json_t *problems = json_object_get(line, "problems");
  const json_t *error = json_object_get(line, "error");
  char text[CELL_MAX];
  fflush(stdout);
  for (size_t i = 0; i < json_array_size(problems); i++)
    fprintf(stderr, "%s\n", cell(json_array_get(problems, i), text, sizeof text));
  neap_verb_fail(verb, "%s",
                 json_is_string(error) ? cell(error, text, sizeof text) : "the answer is not understood");
}
