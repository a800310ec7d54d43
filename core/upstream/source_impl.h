/* What the kinds of sources share. Internal to upstream/.
 *
 *   source.c        life, telling, reading lines
 *   source_dns.c    dns: and srv:
 *   source_file.c   file:
 *   source_etcd.c   etcd: */
#ifndef NEAP_UPSTREAM_SOURCE_IMPL_H
#define NEAP_UPSTREAM_SOURCE_IMPL_H

#include "base/base.h"
#include "upstream/source.h"

typedef struct neap_backend_source_vt {
  const char *name;
  /* Reads what stands behind "name:" and asks for the first time. */
  int (*start)(neap_backend_source *source, const char *rest, neap_err *err);
  void (*stop)(neap_backend_source *source);  /* whatever is under way; frees `state` */
  void (*again)(neap_backend_source *source); /* the timer */
  /* Whether the rest of a spec is well formed. */
  int (*check)(const char *rest, neap_err *err);
} neap_backend_source_vt;

struct neap_backend_source {
  const neap_backend_source_vt *vt;
  neap_backend_source_options options;
  char *folder;
  void *state;
  neap_timer timer;
  bool told;                     /* members have been told once */
  neap_backend_source_list last; /* those */
  char reason[256];              /* why it fails; "": it does not */
  bool *gone;                    /* set by destroy: a callback is on the stack */
};

extern const neap_backend_source_vt neap_backend_source_dns, neap_backend_source_srv,
    neap_backend_source_file, neap_backend_source_etcd;

/* Tells the members unless they are the last ones. `list` is emptied. False: the source is gone. */
bool neap_backend_source_tell(neap_backend_source *source, neap_backend_source_list *list);
/* Tells why it fails, where that is new. False: the source is gone. */
bool neap_backend_source_fail(neap_backend_source *source, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds a member. NEAP_ENOMEM, NEAP_ETOOLARGE. */
int neap_backend_source_add(neap_backend_source_list *list, const char *address, int64_t weight,
                            int64_t priority);
/* Adds what a line says: "host:port [weight=N] [priority=N]"; nothing for an empty one or "# ...".
 * NEAP_EINVAL with a sentence. */
int neap_backend_source_add_line(neap_backend_source_list *list, neap_view line, neap_err *err);
void neap_backend_source_list_fini(neap_backend_source_list *list);

#endif
