/* The ground of Lua's request views. Internal to script/. */
#ifndef NEAP_SCRIPT_VIEWS_H
#define NEAP_SCRIPT_VIEWS_H

#include "policy/abi.h"

/* Empty, with its leaves. */
void neap_views_init(neap_view_board *board);
/* Puts a request under the views, before a call. hot. */
void neap_views_open(neap_view_board *board, const neap_request_board *request);
/* Takes it away again, after the call. hot. */
void neap_views_close(neap_view_board *board);

#endif
