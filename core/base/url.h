/* URLs as they may be shown: without the credentials that stand in them. */
#ifndef NEAP_BASE_URL_H
#define NEAP_BASE_URL_H

#include <stddef.h>

/* Copies `text` to `out`, of `capacity` bytes (at least 1), cut where it does not fit, with three asterisks
 * in the place of what stands between "://" and "@", wherever in the text a URL stands and however many do.
 * What is cut never shows a part of credentials. Any thread. Returns `out`. */
char *neap_url_mask(const char *text, char *out, size_t capacity);

#endif
