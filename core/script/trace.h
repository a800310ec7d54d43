/* Is compiled code running? Internal to script/. */
#ifndef NEAP_SCRIPT_TRACE_H
#define NEAP_SCRIPT_TRACE_H

#include <stdbool.h>

/* True where a function of LuaJIT that machine code made by it has called is on the way to the caller. Walks
 * the stack: for the end of a VM, not for its life. */
bool neap_trace_running(void);

#endif
