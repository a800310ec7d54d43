/* What every unit test includes: cmocka with the headers it wants first. */
#ifndef NEAP_TESTS_UNIT_H
#define NEAP_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#endif
