/* Timers: one wheel per loop, one libuv timer set to its next slot in use. */
#include "loop/inside.h"

#include "base/base.h"

static neap_timer *slot_of(loop_wheel *wheel, uint64_t tick) {
  return &wheel->slots[tick % NEAP_WHEEL_SLOTS];
}

static bool is_empty(const neap_timer *head) {
  return head->next == head;
}

static void link_before(neap_timer *head, neap_timer *timer) {
  timer->prev = head->prev;
  timer->next = head;
  head->prev->next = timer;
  head->prev = timer;
}

/* The next tick after done_tick whose slot is in use; UINT64_MAX where none is. */
static uint64_t next_tick(loop_wheel *wheel) {
  for (uint64_t tick = wheel->done_tick + 1; tick <= wheel->done_tick + NEAP_WHEEL_SLOTS; tick++) {
    uint64_t slot = tick % NEAP_WHEEL_SLOTS;
    uint64_t word = wheel->used[slot / 64] >> (slot % 64);
    if (word == 0) {
      tick += 63 - slot % 64; /* nothing in the rest of this word */
      continue;
    }
    tick += (uint64_t)__builtin_ctzll(word);
    if (tick > wheel->done_tick + NEAP_WHEEL_SLOTS) break;
    if (!is_empty(slot_of(wheel, tick))) return tick;
    wheel->used[tick % NEAP_WHEEL_SLOTS / 64] &= ~(1ull << (tick % 64)); /* its timers were cleared */
  }
  return UINT64_MAX;
}

static void on_alarm(uv_timer_t *alarm);

static void wake_at(neap_loop *loop, uint64_t tick) {
  loop_wheel *wheel = &loop->wheel;
  wheel->wake_tick = tick;
  if (tick == UINT64_MAX) return;
  uint64_t due_ms = tick * NEAP_TICK_MS, now_ms = uv_now(loop->uv);
  uv_timer_start(&wheel->alarm, on_alarm, due_ms > now_ms ? due_ms - now_ms : 0, 0);
  uv_unref((uv_handle_t *)&wheel->alarm);
}

/* Puts a timer into the slot of its time, or the farthest there is. */
static void put(neap_loop *loop, neap_timer *timer) {
  loop_wheel *wheel = &loop->wheel;
  uint64_t tick = (timer->due_ms + NEAP_TICK_MS - 1) / NEAP_TICK_MS;
  tick = NEAP_MAX(tick, wheel->done_tick + 1);
  tick = NEAP_MIN(tick, wheel->done_tick + NEAP_WHEEL_SLOTS - 1);
  timer->tick = tick;
  link_before(slot_of(wheel, tick), timer);
  uint64_t slot = tick % NEAP_WHEEL_SLOTS;
  wheel->used[slot / 64] |= 1ull << (slot % 64);
  if (tick < wheel->wake_tick) wake_at(loop, tick);
}

static void fire_slot(neap_loop *loop, neap_timer *head, uint64_t now_ms) {
  neap_timer due = {.prev = &due, .next = &due}; /* so that timers set meanwhile are not visited */
  while (!is_empty(head)) {
    neap_timer *timer = head->next;
    neap_timer_clear(timer);
    link_before(&due, timer);
  }
  while (!is_empty(&due)) {
    neap_timer *timer = due.next;
    neap_timer_clear(timer);
    if (timer->due_ms > now_ms)
      put(loop, timer);
    else
      timer->fire(timer);
  }
}

static void on_alarm(uv_timer_t *alarm) {
  neap_loop *loop = NEAP_CONTAINER_OF(alarm, neap_loop, wheel.alarm);
  loop_wheel *wheel = &loop->wheel;
  uint64_t now_ms = uv_now(loop->uv), now_tick = now_ms / NEAP_TICK_MS;
  wheel->wake_tick = 0; /* the alarm is set once, below */
  /* After a long sleep every slot has come: walking the wheel around once visits them all. */
  if (now_tick > wheel->done_tick + NEAP_WHEEL_SLOTS) wheel->done_tick = now_tick - NEAP_WHEEL_SLOTS;
  while (wheel->done_tick < now_tick) fire_slot(loop, slot_of(wheel, ++wheel->done_tick), now_ms);
  wake_at(loop, next_tick(wheel));
}

void neap_loop_timers_init(neap_loop *loop) {
  loop_wheel *wheel = &loop->wheel;
  for (size_t i = 0; i < NEAP_WHEEL_SLOTS; i++)
    wheel->slots[i].prev = wheel->slots[i].next = &wheel->slots[i];
  wheel->done_tick = uv_now(loop->uv) / NEAP_TICK_MS;
  wheel->wake_tick = UINT64_MAX;
  uv_timer_init(loop->uv, &wheel->alarm);
}

void neap_timer_init(neap_timer *timer, void (*fire)(neap_timer *timer)) {
  *timer = (neap_timer){.fire = fire};
}

void neap_timer_set(neap_loop *loop, neap_timer *timer, uint64_t delay_ms) {
  timer->due_ms = uv_now(loop->uv) + delay_ms;
  if (timer->next != NULL) {
    if (timer->tick * NEAP_TICK_MS <= timer->due_ms) return; /* its slot comes first, and puts it in again */
    neap_timer_clear(timer);
  }
  if (loop->wheel.wake_tick == UINT64_MAX) loop->wheel.done_tick = uv_now(loop->uv) / NEAP_TICK_MS;
  put(loop, timer);
}

void neap_timer_clear(neap_timer *timer) {
  if (timer->next == NULL) return;
  timer->prev->next = timer->next;
  timer->next->prev = timer->prev;
  timer->prev = timer->next = NULL;
}
