/* Opening files that somebody else may have put something else in the place of. */
#ifndef NEAP_BASE_FILE_H
#define NEAP_BASE_FILE_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opens a regular file for reading; never waits, as for the other end of a pipe. NULL with errno, EISDIR or
 * ENOTSUP where it is none. Any thread. */
static inline FILE *neap_file_open(const char *path) {
  struct stat about;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return NULL;
  int error = fstat(fd, &about)        ? errno
              : S_ISDIR(about.st_mode) ? EISDIR
              : S_ISREG(about.st_mode) ? 0
                                       : ENOTSUP;
  FILE *file = error ? NULL : fdopen(fd, "r");
  if (file) return file;
  if (error == 0) error = errno;
  close(fd);
  errno = error;
  return NULL;
}

#endif
