/* The ground of what actions of routes decide. Internal to script/. */
#ifndef NEAP_SCRIPT_ACT_H
#define NEAP_SCRIPT_ACT_H

#include "policy/abi.h"

/* Empty, with its leaves. */
void neap_act_init(neap_act_board *board);
/* Empty again, before a call. hot. */
void neap_act_clear(neap_act_board *board);

#endif
