/* Numbers as people write them, the same way wherever the program takes one: "12", "0.5", ".5". Cold paths
 * only. */
#ifndef NEAP_BASE_DECIMAL_H
#define NEAP_BASE_DECIMAL_H

/* Reads the number that `text` begins with and returns what stands behind it; NULL where it begins with none.
 * No sign, exponent, hexadecimal, "nan", "inf" or white space, whatever the locale: what is mistyped is to be
 * refused, not understood in another way. */
const char *neap_decimal_read(const char *text, double *out);

#endif
