/* Machine code of traces is the only code of a process that belongs to no loaded file. */
#include "script/trace.h"

#include <dlfcn.h>
#include <stdint.h>
#include <unwind.h>

enum { FRAMES_MAX = 24 }; /* between the allocator and the code that allocates */

typedef struct walk {
  int frames;
  bool found;
} walk;

static _Unwind_Reason_Code see_frame(struct _Unwind_Context *frame, void *user) {
  walk *w = user;
  Dl_info info;
  uintptr_t ip = (uintptr_t)_Unwind_GetIP(frame);
  w->found = ip != 0 && dladdr((void *)(ip - 1), &info) == 0;
  return w->found || ++w->frames == FRAMES_MAX ? _URC_END_OF_STACK : _URC_NO_REASON;
}

bool neap_trace_running(void) {
  walk w = {0};
  _Unwind_Backtrace(see_frame, &w);
  return w.found;
}
