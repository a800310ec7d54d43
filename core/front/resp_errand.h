/* What a command over tiers waits for. See resp_tiers.c. Internal to front/. */
#ifndef NEAP_FRONT_RESP_ERRAND_H
#define NEAP_FRONT_RESP_ERRAND_H

#include "front/resp_handlers.h"

enum { NEAP_PORT_WINDOW = 64 }; /* questions of one client at once */

typedef enum neap_port_stage { NEAP_PORT_FINDING, NEAP_PORT_WRITING } neap_port_stage;

/* One question. */
typedef struct neap_port_step {
  neap_port_errand *errand;
  neap_tier_op *op; /* NULL: not under way */
  neap_tier_reply reply;
} neap_port_step;

struct neap_port_errand {
  neap_port_client *client;
  const char *bytes; /* of the request */
  neap_timer again;
  uint64_t deadline_ms;
  size_t used, held_bytes;
  neap_port_stage stage;
  bool peeked;                  /* memory has been asked, and has counted that */
  bool strong, looks;           /* looks: its finds are wanted */
  bool wrote, compares;         /* has begun to write, where nobody else has */
  bool deletes;                 /* all its keys: those that can be none are gone */
  int fault;                    /* of what it wrote */
  size_t key_count, next, left; /* left: under way */
  neap_port_step write;
  neap_port_step *writes; /* NEAP_PORT_WINDOW of them, of a command that writes all its keys; else NULL */
  neap_port_step finds[];
};

static inline uint64_t neap_port_errand_now(const neap_port_errand *errand) {
  return neap_loop_now_ms(errand->client->front->loop);
}

/* Has the client wait. `looks`: for its keys. NULL: out of memory. */
neap_port_errand *neap_port_errand_begin(neap_port_call *call, bool looks);
/* Asks for its keys. */
void neap_port_errand_find(neap_port_errand *errand);
/* Gives back what has been found. */
void neap_port_errand_forget(neap_port_errand *errand);

#endif
