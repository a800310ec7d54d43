/* The policy files that a configuration names: found beside it, read once, shared by all workers' VMs, so
 * that no worker sees another text than the one that was checked. */
#include "script/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

enum { PATH_SIZE = 1024, FILE_MAX = 1 << 20 };

static const neap_config_file *find_read(const neap_config_files *files, const char *path) {
  for (size_t i = 0; i < files->count; i++)
    if (strcmp(files->list[i].path, path) == 0) return &files->list[i];
  return NULL;
}

/* The whole text of an open file, ended by NUL; NULL with errno. */
static char *read_text(FILE *file) {
  char *text = malloc(FILE_MAX + 1);
  if (text == NULL) return NULL;
  size_t size = fread(text, 1, FILE_MAX + 1, file);
  if (ferror(file) || size > FILE_MAX) {
    if (size > FILE_MAX) errno = EFBIG;
    free(text);
    return NULL;
  }
  text[size] = 0;
  if (strlen(text) < size) { /* what stands behind a NUL would be read by nobody */
    errno = EILSEQ;
    free(text);
    return NULL;
  }
  char *fitting = realloc(text, size + 1);
  return fitting ? fitting : text;
}

static const neap_config_file *add(neap_config_files *files, const char *path, char *text) {
  neap_config_file *list = realloc(files->list, (files->count + 1) * sizeof *list);
  char *copy = strdup(path);
  if (list) files->list = list;
  if (list == NULL || copy == NULL) {
    free(copy);
    free(text);
    return NULL;
  }
  list[files->count] = (neap_config_file){.path = copy, .text = text};
  return &list[files->count++];
}

static const char *why(int error) {
  return error == EILSEQ ? "a NUL byte is not accepted" : strerror(error);
}

/* Reads `path` where it is a file; *errno_out is ENOENT where it is none. */
static const neap_config_file *try_read(neap_config_files *files, const char *path, int *errno_out) {
  struct stat about;
  *errno_out = ENOENT;
  if (stat(path, &about) != 0 || !S_ISREG(about.st_mode)) return NULL;
  FILE *file = fopen(path, "re");
  char *text = file ? read_text(file) : NULL;
  *errno_out = errno;
  if (file) fclose(file);
  return text ? add(files, path, text) : NULL;
}

static bool ends_with_lua(const char *name) {
  size_t size = strlen(name);
  return size > 4 && strcmp(name + size - 4, ".lua") == 0;
}

/* The places where a custom policy may be, in order; false after the last. */
static bool place(int number, const char *folder, const char *domain, const char *name, char *out) {
  const char *below = name[0] == '/' || strcmp(folder, ".") == 0 ? "" : folder;
  const char *slash = below[0] ? "/" : "", *ending = ends_with_lua(name) ? "" : ".lua";
  int size = number == 0
                 ? snprintf(out, PATH_SIZE, "%s%s%s%s", below, slash, name, ending)
                 : snprintf(out, PATH_SIZE, "%s%spolicies/%s/%s%s", below, slash, domain, name, ending);
  return number < (name[0] == '/' ? 1 : 2) && size < PATH_SIZE;
}

const neap_config_file *neap_config_find_file(neap_config_files *files, const char *folder,
                                              const char *domain, const char *name, neap_err *err) {
  char path[PATH_SIZE];
  if (folder == NULL)
    return neap_fail(err, NEAP_ENOTFOUND, "custom policies need a configuration file"), NULL;
  for (int i = 0; name[0] && place(i, folder, domain, name, path); i++) {
    const neap_config_file *found = find_read(files, path);
    int error = ENOENT;
    if (found == NULL && !files->closed) found = try_read(files, path, &error);
    if (found) return found;
    if (error != ENOENT) return neap_fail(err, NEAP_EIO, "cannot read %s: %s", path, why(error)), NULL;
  }
  place(0, folder, domain, name, path);
  return neap_fail(err, NEAP_ENOTFOUND, "there is no file %s", path), NULL;
}

const neap_config_file *neap_config_read_file(neap_config_files *files, const char *path, neap_err *err) {
  int error = 0;
  const neap_config_file *file = try_read(files, path, &error);
  if (file == NULL && error == ENOENT && access(path, F_OK) == 0)
    neap_fail(err, NEAP_EIO, "it is not a regular file");
  else if (file == NULL)
    neap_fail(err, NEAP_EIO, "%s", why(error));
  return file;
}

const char *neap_config_require(neap_config_files *files, const char *path) {
  int error = 0;
  const neap_config_file *known = find_read(files, path);
  if (known) return known->text;
  if (files->sealed || try_read(files, path, &error) == NULL) return NULL;
  files->list[files->count - 1].required = true;
  return files->list[files->count - 1].text;
}

int neap_config_files_copy(neap_config_files *to, const neap_config_files *from) {
  for (size_t i = 0; i < from->count; i++) {
    char *text = strdup(from->list[i].text);
    if (text == NULL || add(to, from->list[i].path, text) == NULL) return NEAP_ENOMEM;
    to->list[to->count - 1].required = from->list[i].required;
  }
  return 0;
}

void neap_config_files_forget(neap_config_files *files, const char *path) {
  for (size_t i = 0; i < files->count; i++) {
    if (strcmp(files->list[i].path, path) != 0) continue;
    free(files->list[i].path);
    free(files->list[i].text);
    files->list[i] = files->list[--files->count];
    return;
  }
}

void neap_config_files_fini(neap_config_files *files) {
  for (size_t i = 0; i < files->count; i++) {
    free(files->list[i].path);
    free(files->list[i].text);
  }
  free(files->list);
  *files = (neap_config_files){0};
}
