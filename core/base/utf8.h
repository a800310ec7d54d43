/* What may stand in JSON, in metrics, in logs and on terminals as it is. */
#ifndef NEAP_BASE_UTF8_H
#define NEAP_BASE_UTF8_H

#include <stddef.h>

/* Bytes of the well-formed UTF-8 sequence at `bytes`, of which there are `size`, at least 1; 0: there is none
 * (Unicode 15, table 3-7). */
size_t neap_utf8_size(const void *bytes, size_t size);

/* Makes `text` one that a terminal, or a reader of lines, takes for nothing else, in place and of the same
 * size: control characters of ASCII and Unicode, line ends, what reverses the direction of text, and bytes
 * that are no UTF-8 become "?". `kept`: a control character that may stay, such as '\n'; or 0. */
void neap_text_tame(char *text, char kept);

#endif
