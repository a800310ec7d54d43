/* What may stand in JSON and in metrics as it is. */
#ifndef NEAP_BASE_UTF8_H
#define NEAP_BASE_UTF8_H

#include <stddef.h>

/* Bytes of the well-formed UTF-8 sequence at `bytes`, of which there are `size`, at least 1; 0: there is none
 * (Unicode 15, table 3-7). */
size_t neap_utf8_size(const void *bytes, size_t size);

#endif
