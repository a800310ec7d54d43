/* Discovery: the sources that pools name, followed over reloads. Internal to server/; control thread.
 *
 * What a source finds joins its pool as if it had been added by hand, and leaves it when no source of the
 * pool finds it any more; backends that the file names itself stay whatever a source says. A source that is
 * in the next generation too goes on as it was: nothing is asked anew, nobody leaves. One that is found by a
 * name joins once that has been looked up, which is tried until it is found no more. */
#ifndef NEAP_SERVER_DISCOVER_H
#define NEAP_SERVER_DISCOVER_H

#include "server/server.h"

typedef struct neap_discovery neap_discovery;

int neap_discovery_create(neap_gateway *gateway, neap_discovery **out);
void neap_discovery_destroy(neap_discovery **discovery);
/* After a commit: starts what the generation in force names and is not yet there, ends what it does not name.
 */
void neap_discovery_follow(neap_discovery *discovery);

/* One source, as status shows it. Texts are borrowed until `tell` returns. */
typedef struct neap_discovery_info {
  const char *pool, *spec; /* the spec may be shown: credentials in URLs are masked */
  size_t backends;         /* that it found last */
  uint64_t changed_ms;     /* wall clock, when that last changed; 0: it has found nothing yet */
  const char *reason;      /* why it fails; "": it does not */
} neap_discovery_info;
void neap_discovery_each(const neap_discovery *discovery,
                         void (*tell)(void *user, const neap_discovery_info *info), void *user);

#endif
