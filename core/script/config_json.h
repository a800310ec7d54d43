/* Reads values of canonical JSON: for the files that fill a neap_config from it. What is missing reads as
 * empty. Internal to script/. */
#ifndef NEAP_SCRIPT_CONFIG_JSON_H
#define NEAP_SCRIPT_CONFIG_JSON_H

#include <stdlib.h>

#include "script/config.h"

static inline const char *text_at(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

static inline uint64_t number_at(const json_t *object, const char *key) {
  double number = json_number_value(json_object_get(object, key));
  return number > 0 && number <= 0x1p53 ? (uint64_t)number : 0;
}

static inline bool true_at(const json_t *object, const char *key) {
  return json_is_true(json_object_get(object, key));
}

/* An array of the box, of as many elements as the JSON list has, which goes to *count. */
static inline void *array_for(neap_config_box *box, const json_t *list, size_t width, size_t *count) {
  *count = json_array_size(list);
  void **blocks = realloc(box->blocks, (box->block_count + 1) * sizeof *blocks);
  if (blocks == NULL) return NULL;
  box->blocks = blocks;
  void *block = calloc(*count + 1, width);
  if (block) blocks[box->block_count++] = block;
  return block;
}

static inline const char *const *texts_of(neap_config_box *box, const json_t *list, size_t *count) {
  const char **texts = array_for(box, list, sizeof *texts, count);
  for (size_t i = 0; texts && i < *count; i++) {
    const char *text = json_string_value(json_array_get(list, i));
    texts[i] = text ? text : "";
  }
  return texts;
}

/* A list of { name, value }, where the value `true` stands for any. */
static inline const neap_match_field *fields_of(neap_config_box *box, const json_t *list, size_t *count) {
  neap_match_field *fields = array_for(box, list, sizeof *fields, count);
  for (size_t i = 0; fields && i < *count; i++) {
    const json_t *from = json_array_get(list, i);
    fields[i] = (neap_match_field){.name = text_at(from, "name"),
                                   .value = json_string_value(json_object_get(from, "value"))};
  }
  return fields;
}

/* config_read.c: the parameters of a policy, in the box (NULL: out of memory); the text of its file (NULL: it
 * is none). */
const neap_param *neap_config_params_of(neap_config_box *box, const json_t *list, size_t *count);
const char *neap_config_policy_text(const neap_config_box *box, const char *spec);
/* config_prefetch.c: False when out of memory. */
bool neap_config_read_prefetch(neap_config_box *box, const json_t *from);
/* config_tiers.c: the tiers of the cache. False when out of memory. */
bool neap_config_read_tiers(neap_config_box *box, const json_t *from);
void neap_config_read_keys(neap_config_box *box, const json_t *from);
/* config_actions.c: data tables, and the actions of a route, in the box. False and NULL when out of memory.
 */
bool neap_config_read_tables(neap_config_box *box, const json_t *list);
const neap_actions *neap_config_actions(neap_config_box *box, const json_t *from);

#endif
