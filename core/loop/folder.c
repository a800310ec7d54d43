/* Folders: told when something in them changes, through libuv's inotify. */
#include "loop/inside.h"

#include <stdlib.h>

struct neap_folder {
  uv_fs_event_t uv;
  void (*changed)(void *user);
  void *user;
};

static void on_event(uv_fs_event_t *uv, const char *name, int events, int status) {
  neap_folder *folder = uv->data;
  (void)name, (void)events, (void)status; /* whoever is told looks for himself */
  folder->changed(folder->user);
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

int neap_folder_watch(neap_loop *loop, const char *path, void (*changed)(void *user), void *user,
                      neap_folder **out) {
  neap_folder *folder = calloc(1, sizeof *folder);
  if (folder == NULL) return NEAP_ENOMEM;
  *folder = (neap_folder){.changed = changed, .user = user};
  uv_fs_event_init(loop->uv, &folder->uv);
  folder->uv.data = folder;
  if (uv_fs_event_start(&folder->uv, on_event, path, 0)) {
    uv_close((uv_handle_t *)&folder->uv, on_closed);
    return NEAP_EIO;
  }
  *out = folder;
  return 0;
}

void neap_folder_forget(neap_folder **folder) {
  if (*folder == NULL) return;
  uv_close((uv_handle_t *)&(*folder)->uv, on_closed);
  *folder = NULL;
}
