/* Fuel: policy code is rewritten at load time so that every loop, function and label first counts down.
 *
 *   for i = 1, 9 do f(i) end
 *   for i = 1, 9 do __F.n=__F.n-1 __F.at=1048577 if __F.n<0 then __X() end f(i) end
 *
 * It works in the interpreter and in compiled code alike, where debug hooks never fire. `__F` is a neap_fuel,
 * `__X` reads the clock and fills up or throws (lua/neap/sandbox.lua). `at` says where the policy was last,
 * which is all that is known of a policy that ran out of memory. Lines keep their numbers.
 */
#ifndef NEAP_SCRIPT_FUEL_H
#define NEAP_SCRIPT_FUEL_H

#include "neap/neap.h"

enum { NEAP_FUEL_LINE_BITS = 20 }; /* at = file << 20 | line */

/* Makes of `text` a chunk that takes (__F, __X) and returns the function of the file. `*out` is to be given
 * to free(). NEAP_ESYNTAX ("name:line: text": bytecode, reserved names, unbalanced blocks, unfinished
 * strings) or NEAP_ENOMEM. */
int neap_fuel_insert(const char *name, const char *text, size_t size, unsigned file, char **out,
                     size_t *out_size, neap_err *err);

#endif
