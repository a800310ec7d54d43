/* file: one backend a line. Looked at every so often and read when it is another one or has changed; a file
 * with a line that means nothing is not used at all. */
#include "upstream/source_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"

enum { FILE_MAX = 1 << 20 };

typedef struct file_state {
  char *path;
  bool seen;
  struct stat last; /* of what was read */
} file_state;

static bool is_same_file(const struct stat *a, const struct stat *b) {
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
         a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* All of it, NUL behind it; NULL with errno. */
static char *read_all(const char *path, struct stat *what, size_t *size) {
  FILE *file = neap_file_open(path);
  if (file == NULL) return NULL;
  char *text = fstat(fileno(file), what) == 0 ? malloc(FILE_MAX + 1) : NULL;
  if (text) {
    *size = fread(text, 1, FILE_MAX + 1, file);
    if (*size > FILE_MAX || ferror(file)) {
      if (!ferror(file)) errno = EFBIG;
      free(text);
      text = NULL;
    }
  }
  int error = errno;
  fclose(file);
  errno = error;
  return text;
}

static int read_lines(neap_backend_source_list *list, const char *text, size_t size, int *line,
                      neap_err *err) {
  int code = 0;
  for (*line = 1; size > 0 && code == 0; ++*line) {
    const char *stop = memchr(text, '\n', size);
    size_t length = stop ? (size_t)(stop - text) : size;
    code = neap_backend_source_add_line(list, (neap_view){text, length}, err);
    if (code) return code;
    size -= length + (stop != NULL);
    text += length + (stop != NULL);
  }
  return code;
}

static void look(neap_backend_source *source) {
  file_state *state = source->state;
  struct stat now;
  neap_timer_set(source->options.loop, &source->timer, source->options.refresh_ms);
  if (stat(state->path, &now) == 0 && state->seen && is_same_file(&now, &state->last)) return;
  size_t size;
  char *text = read_all(state->path, &now, &size);
  if (text == NULL) {
    state->seen = false;
    neap_backend_source_fail(source, "%s: %s", state->path, strerror(errno));
    return;
  }
  neap_backend_source_list list = {0};
  neap_err err;
  int line;
  int code = read_lines(&list, text, size, &line, &err);
  free(text);
  state->last = now;
  state->seen = true;
  if (code) {
    neap_backend_source_list_fini(&list);
    neap_backend_source_fail(source, "%s:%d: %s", state->path, line, err.text);
  } else {
    neap_backend_source_tell(source, &list);
  }
}

static int start(neap_backend_source *source, const char *rest, neap_err *err) {
  file_state *state = source->state = calloc(1, sizeof *state);
  if (state == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  bool relative = rest[0] != '/' && source->folder;
  if (asprintf(&state->path, "%s%s%s", relative ? source->folder : "", relative ? "/" : "", rest) < 0) {
    state->path = NULL;
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  }
  neap_timer_set(source->options.loop, &source->timer, 0);
  return 0;
}

static void stop(neap_backend_source *source) {
  file_state *state = source->state;
  if (state) free(state->path);
  free(state);
}

static int check(const char *rest, neap_err *err) {
  return rest[0] ? 0 : neap_fail(err, NEAP_EINVAL, "write file:path");
}

const neap_backend_source_vt neap_backend_source_file = {
    .name = "file", .start = start, .stop = stop, .again = look, .check = check};
