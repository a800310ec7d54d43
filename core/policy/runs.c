/* Runs of numbers: a few dozen, looked through one by one, which costs less than what a miss does anyway. */
#include <math.h>
#include <stdlib.h>

#include "base/base.h"
#include "policy/policy.h"

enum {
  RUNS_MOST = 1024,
  SKIP_MOST = 8, /* steps left out: what was in the cache is not told */
  SETTLED = 3    /* steps from which on a run does not change its distance */
};

typedef struct run {
  double space, last, stride, ahead;
  int32_t length;
  uint64_t used; /* 0: free */
} run;

struct neap_runs {
  double reach;
  uint64_t clock;
  int32_t count;
  run runs[];
};

int neap_runs_create(int32_t count, double reach, neap_runs **out) {
  if (count < 1 || count > RUNS_MOST || !(reach >= 1)) return NEAP_EINVAL;
  neap_runs *runs = calloc(1, sizeof *runs + (size_t)count * sizeof(run));
  if (runs == NULL) return NEAP_ENOMEM;
  runs->count = count;
  runs->reach = reach;
  *out = runs;
  return 0;
}

void neap_runs_destroy(neap_runs **runs) {
  free(*runs);
  *runs = NULL;
}

/* Whether `number` is where the run goes, perhaps with steps left out. */
static bool continues(const run *r, double number) {
  if (r->stride == 0) return false;
  double steps = (number - r->last) / r->stride;
  return steps >= 1 && steps <= SKIP_MOST && steps == floor(steps);
}

static int32_t extend(neap_runs *runs, int32_t at, double number) {
  run *r = &runs->runs[at];
  r->last = number;
  r->length += r->length < INT32_MAX;
  r->used = runs->clock;
  return at;
}

int32_t neap_runs_observe(neap_runs *runs, double space, double number) {
  if (!(number > -0x1p53 && number < 0x1p53)) return -1;
  int32_t near = -1, oldest = 0;
  runs->clock++;
  for (int32_t i = 0; i < runs->count; i++) {
    run *r = &runs->runs[i];
    if (r->used < runs->runs[oldest].used) oldest = i;
    if (r->used == 0 || r->space != space) continue;
    if (r->last == number) return -1;
    if (continues(r, number)) return extend(runs, i, number);
    double distance = fabs(number - r->last);
    if (r->length >= SETTLED || distance > runs->reach) continue;
    if (near < 0 || distance < fabs(number - runs->runs[near].last)) near = i;
  }
  run *r = &runs->runs[near >= 0 ? near : oldest];
  double stride = near >= 0 ? number - r->last : 0;
  *r = (run){.space = space,
             .last = number,
             .stride = stride,
             .ahead = number,
             .length = near >= 0,
             .used = runs->clock};
  return near;
}

static const run *run_at(const neap_runs *runs, int32_t at) {
  return at >= 0 && at < runs->count && runs->runs[at].used != 0 ? &runs->runs[at] : NULL;
}

int32_t neap_runs_length(const neap_runs *runs, int32_t at) {
  const run *r = run_at(runs, at);
  return r != NULL ? r->length : 0;
}

double neap_runs_stride(const neap_runs *runs, int32_t at) {
  const run *r = run_at(runs, at);
  return r != NULL ? r->stride : 0;
}

double neap_runs_ahead(const neap_runs *runs, int32_t at) {
  const run *r = run_at(runs, at);
  if (r == NULL) return 0;
  bool behind = r->stride > 0 ? r->ahead < r->last : r->ahead > r->last;
  return behind ? r->last : r->ahead;
}

void neap_runs_set_ahead(neap_runs *runs, int32_t at, double number) {
  if (run_at(runs, at) != NULL && number > -0x1p53 && number < 0x1p53) runs->runs[at].ahead = number;
}

void neap_runs_swap(neap_runs *a, neap_runs *b) {
  if (a->count != b->count) return;
  size_t size = sizeof *a + (size_t)a->count * sizeof(run);
  char *x = (char *)a, *y = (char *)b;
  for (size_t i = 0; i < size; i++) {
    char other = x[i];
    x[i] = y[i], y[i] = other;
  }
}

size_t neap_runs_memory(const neap_runs *runs) {
  return sizeof *runs + (size_t)runs->count * sizeof(run);
}
