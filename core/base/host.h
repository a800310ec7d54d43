/* Names of hosts in the one spelling in which they are compared: lower case, without port and final dot. The
 * parser cuts port and dot off, the request's board has it in lower case; whatever is made of the host is
 * made of that. */
#ifndef NEAP_BASE_HOST_H
#define NEAP_BASE_HOST_H

#include <stdbool.h>
#include <stddef.h>

enum { NEAP_HOST_MAX = 255 }; /* bytes of a name or of an address in brackets; longer ones are refused */

/* The bytes of "host", "host:port" or "[address]:port" that are the name, without final dot. */
size_t neap_host_name_size(const char *host, size_t size);
/* Is there no capital letter in it? hot: */
bool neap_host_is_lower(const char *host, size_t size);
/* Writes `size` bytes to `out`. */
void neap_host_lower(const char *host, size_t size, char *out);

#endif
