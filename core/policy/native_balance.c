#include "policy/native_balance.h"

#include <stdlib.h>

int neap_native_board_create(const char *name, const neap_policy_env *env, const neap_param *params,
                             size_t param_count, void **out, neap_err *err) {
  const neap_native_param none[] = {{.name = NULL}};
  int code = neap_native_params(name, none, params, param_count, err);
  if (code) return code;
  neap_native_board *self = calloc(1, sizeof *self);
  if (self == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  *self = (neap_native_board){.board = env->pick, .random = {env->seed}, .last = -1};
  *out = self;
  return 0;
}

void neap_native_board_destroy(void *self) {
  free(self);
}

int neap_native_board_observe(void *self, const neap_event *events, int n) {
  (void)self, (void)events, (void)n;
  return 0;
}
