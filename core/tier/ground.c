/* A port on a loop. The ground outlives its port where a poke is still on its way. */
#include <stdlib.h>

#include "tier/impl.h"

typedef struct loop_ground {
  neap_loop *loop;
  bool adopted;          /* of the host, and ends with the port */
  neap_tiers_port *port; /* NULL: detached */
  neap_timer timer;
  neap_task task;
  _Atomic bool poked;
} loop_ground;

static uint64_t now_ms(void *user) {
  return neap_loop_now_ms(((loop_ground *)user)->loop);
}

static uint64_t wall_ms(void *user) {
  return neap_loop_wall_ms(((loop_ground *)user)->loop);
}

static void wake_in(void *user, uint64_t delay_ms) {
  loop_ground *ground = user;
  if (delay_ms == UINT64_MAX)
    neap_timer_clear(&ground->timer);
  else
    neap_timer_set(ground->loop, &ground->timer, delay_ms);
}

static void poke(void *user) {
  loop_ground *ground = user;
  if (!atomic_exchange(&ground->poked, true)) neap_loop_post(ground->loop, &ground->task);
}

static void on_timer(neap_timer *timer) {
  neap_tiers_port_run(NEAP_CONTAINER_OF(timer, loop_ground, timer)->port);
}

static void free_ground(loop_ground *ground) {
  if (ground->adopted) neap_loop_destroy(&ground->loop);
  free(ground);
}

static void on_poke(neap_task *task) {
  loop_ground *ground = NEAP_CONTAINER_OF(task, loop_ground, task);
  atomic_store(&ground->poked, false);
  if (ground->port)
    neap_tiers_port_run(ground->port);
  else
    free_ground(ground);
}

static int attach(neap_tiers *tiers, neap_loop *loop, bool adopted, neap_tiers_port **out, neap_err *err) {
  loop_ground *ground = calloc(1, sizeof *ground);
  if (ground == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  *ground = (loop_ground){.loop = loop, .adopted = adopted, .task.run = on_poke};
  neap_timer_init(&ground->timer, on_timer);
  const neap_tier_ground on_loop = {
      .user = ground, .loop = loop, .now_ms = now_ms, .wall_ms = wall_ms, .wake_in = wake_in, .poke = poke};
  int code = neap_tiers_attach_to(tiers, &on_loop, &ground->port, err);
  if (code) {
    free(ground);
    return code;
  }
  *out = ground->port;
  return 0;
}

int neap_tiers_attach_loop(neap_tiers *tiers, neap_loop *loop, neap_tiers_port **out, neap_err *err) {
  return attach(tiers, loop, false, out, err);
}

int neap_tiers_attach(neap_tiers *tiers, struct uv_loop_s *uv, neap_tiers_port **out, neap_err *err) {
  neap_loop *loop;
  int code = neap_loop_adopt(uv, &loop);
  if (code) return neap_fail(err, code, "%s", neap_strerror(code));
  code = attach(tiers, loop, true, out, err);
  if (code) neap_loop_destroy(&loop);
  return code;
}

void neap_tiers_detach(neap_tiers_port **port) {
  if (*port == NULL) return;
  neap_tier_ground ground = *neap_tiers_port_ground(*port);
  neap_tiers_port_end(*port);
  *port = NULL;
  if (ground.wake_in != wake_in) return; /* not ours */
  loop_ground *own = ground.user;
  neap_timer_clear(&own->timer);
  own->port = NULL;
  if (!atomic_load(&own->poked) || neap_loop_take_back(own->loop, &own->task)) free_ground(own);
}
