/* Listening sockets in the file system. */
#include "loop/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base.h"

/* Whether somebody answers there. A socket whose process has ended refuses. */
static bool is_alive(const struct sockaddr_un *address) {
  int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return true; /* not known: leave it alone */
  bool refused = connect(probe, (const struct sockaddr *)address, sizeof *address) && errno == ECONNREFUSED;
  close(probe);
  return !refused;
}

/* Makes way for a new socket: true where nothing is left at the path. */
static bool clear_stale(const struct sockaddr_un *address) {
  struct stat about;
  if (lstat(address->sun_path, &about)) return errno == ENOENT;
  return S_ISSOCK(about.st_mode) && !is_alive(address) && unlink(address->sun_path) == 0;
}

static int bind_there(int fd, const struct sockaddr_un *address) {
  return bind(fd, (const struct sockaddr *)address, sizeof *address) ? errno : 0;
}

int neap_local_listen(const char *path, uint32_t mode, neap_local *out, neap_err *err) {
  enum { BACKLOG = 64 };
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct stat about;
  if (strlen(path) >= sizeof address.sun_path)
    return neap_fail(err, NEAP_EINVAL, "cannot listen on %s: longer than %zu bytes", path,
                     sizeof address.sun_path - 1);
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return neap_fail(err, NEAP_EIO, "cannot listen on %s: %s", path, strerror(errno));
  fchmod(fd, 0600); /* what bind makes has no more, not even for a moment */
  int error = bind_there(fd, &address);
  if (error == EADDRINUSE && clear_stale(&address)) error = bind_there(fd, &address);
  if (error) {
    close(fd);
    return neap_fail(err, error == EADDRINUSE ? NEAP_EEXIST : NEAP_EIO, "cannot listen on %s: %s", path,
                     error == EADDRINUSE ? "somebody else does, or it is no socket" : strerror(error));
  }
  if (chmod(path, mode) || lstat(path, &about) || listen(fd, BACKLOG)) {
    neap_fail(err, NEAP_EIO, "cannot listen on %s: %s", path, strerror(errno));
    unlink(path);
    close(fd);
    return NEAP_EIO;
  }
  *out = (neap_local){.socket = fd, .device = about.st_dev, .inode = about.st_ino};
  strcpy(out->path, path);
  return 0;
}

void neap_local_remove(const neap_local *local) {
  struct stat about;
  if (lstat(local->path, &about) == 0 && about.st_dev == local->device && about.st_ino == local->inode)
    unlink(local->path);
}
