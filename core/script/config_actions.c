/* The actions of a route, from JSON as lua/neap/actions.lua writes it. */
#include "script/config_json.h"

#include <string.h>

#include "base/base.h"
#include "base/hash.h"

static neap_part_kind kind_of(const char *name) {
  static const char *const names[] = {
#define PART_NAME(NAME, name) [NEAP_PART_##NAME] = #name,
      NEAP_PARTS(PART_NAME)
#undef PART_NAME
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(names); i++)
    if (strcmp(name, names[i]) == 0) return (neap_part_kind)i;
  return NEAP_PART_TEXT;
}

static bool read_parts(neap_config_box *box, const json_t *list, neap_parts *out) {
  neap_part *parts = array_for(box, list, sizeof *parts, &out->count);
  for (size_t i = 0; parts && i < out->count; i++) {
    const json_t *from = json_array_get(list, i);
    parts[i] = (neap_part){.kind = kind_of(text_at(from, "kind")), .text = text_at(from, "text")};
  }
  out->list = parts;
  return parts != NULL;
}

static bool read_rewrite(neap_config_box *box, const json_t *from, neap_rewrite *out) {
  out->new_query = true_at(from, "new_query");
  return read_parts(box, json_object_get(from, "path"), &out->path) &&
         read_parts(box, json_object_get(from, "query"), &out->query);
}

static int32_t table_at(const json_t *from) {
  const json_t *index = json_object_get(from, "table");
  return index ? (int32_t)json_integer_value(index) : NEAP_NO_TABLE;
}

static bool read_split(neap_config_box *box, const json_t *from, neap_split *out) {
  const json_t *list = json_object_get(from, "shares");
  neap_share *shares = array_for(box, list, sizeof *shares, &out->share_count);
  for (size_t i = 0; shares && i < out->share_count; i++) {
    const json_t *share = json_array_get(list, i);
    shares[i] = (neap_share){.pool = (int32_t)json_integer_value(json_object_get(share, "pool")),
                             .upto = (uint32_t)number_at(share, "upto")};
  }
  out->shares = shares;
  out->table = table_at(from);
  return shares && read_parts(box, json_object_get(from, "by"), &out->by);
}

static bool read_cors(neap_config_box *box, const json_t *from, neap_cors *out) {
  *out = (neap_cors){.set = from != NULL,
                     .any_origin = true_at(from, "any_origin"),
                     .credentials = true_at(from, "credentials"),
                     .methods = text_at(from, "methods"),
                     .headers = text_at(from, "headers"),
                     .expose = text_at(from, "expose"),
                     .max_age = text_at(from, "max_age")};
  out->origins = texts_of(box, json_object_get(from, "origins"), &out->origin_count);
  return out->origins != NULL;
}

static bool read_auth(neap_config_box *box, const json_t *from, neap_auth *out) {
  const char *scheme = text_at(from, "scheme");
  *out = (neap_auth){.scheme = strcmp(scheme, "basic") == 0    ? NEAP_AUTH_BASIC
                               : strcmp(scheme, "bearer") == 0 ? NEAP_AUTH_BEARER
                                                               : NEAP_AUTH_NONE,
                     .table = table_at(from),
                     .realm = text_at(from, "realm"),
                     .user_header = text_at(from, "user_header"),
                     .forward = true_at(from, "forward")};
  out->users = fields_of(box, json_object_get(from, "users"), &out->user_count);
  return out->users != NULL;
}

static bool read_limit(neap_config_box *box, const json_t *from, neap_limit *out) {
  out->set = from != NULL;
  out->name = text_at(from, "name");
  out->rate = json_number_value(json_object_get(from, "rate"));
  out->burst = json_number_value(json_object_get(from, "burst"));
  out->status = (int32_t)number_at(from, "status");
  out->table = table_at(from);
  return read_parts(box, json_object_get(from, "by"), &out->by);
}

static neap_mirror mirror_of(const json_t *from) {
  if (from == NULL) return (neap_mirror){.pool = -1};
  return (neap_mirror){.pool = (int32_t)json_integer_value(json_object_get(from, "pool")),
                       .ppm = (uint32_t)number_at(from, "ppm"),
                       .most = (uint32_t)number_at(from, "most")};
}

static bool read_key(neap_config_box *box, const json_t *from, neap_key_rule *out) {
  const char *query = text_at(from, "query");
  out->query = strcmp(query, "keep") == 0   ? NEAP_QUERY_KEEP
               : strcmp(query, "drop") == 0 ? NEAP_QUERY_DROP
                                            : NEAP_QUERY_ALL;
  out->names = texts_of(box, json_object_get(from, "names"), &out->name_count);
  return out->names && read_parts(box, json_object_get(from, "parts"), &out->parts);
}

bool neap_config_read_tables(neap_config_box *box, const json_t *list) {
  static const char *const kinds[] = {
#define KIND_NAME(NAME, name) [NEAP_TABLE_##NAME] = #name,
      NEAP_TABLE_KINDS(KIND_NAME)
#undef KIND_NAME
  };
  neap_config_table *tables = array_for(box, list, sizeof *tables, &box->config.table_count);
  for (size_t i = 0; tables && i < box->config.table_count; i++) {
    const json_t *from = json_array_get(list, i);
    tables[i] = (neap_config_table){.name = text_at(from, "name"),
                                    .file = text_at(from, "file"),
                                    .rows = text_at(from, "rows"),
                                    .rates = true_at(from, "rates")};
    tables[i].hash = neap_hash_bytes(tables[i].rows, strlen(tables[i].rows));
    for (size_t k = 0; k < NEAP_COUNT_OF(kinds); k++)
      if (strcmp(text_at(from, "kind"), kinds[k]) == 0) tables[i].kind = (neap_table_kind)k;
  }
  box->config.tables = tables;
  return tables != NULL;
}

const neap_actions *neap_config_actions(neap_config_box *box, const json_t *from) {
  size_t count;
  neap_actions *actions = array_for(box, NULL, sizeof *actions, &count);
  if (actions == NULL) return NULL;
  actions->tag = json_string_value(json_object_get(from, "tag"));
  bool read = read_rewrite(box, json_object_get(from, "rewrite"), &actions->rewrite) &&
              read_parts(box, json_object_get(from, "location"), &actions->location) &&
              read_split(box, json_object_get(from, "split"), &actions->split) &&
              read_limit(box, json_object_get(from, "limit"), &actions->limit) &&
              read_cors(box, json_object_get(from, "cors"), &actions->cors) &&
              read_auth(box, json_object_get(from, "auth"), &actions->auth) &&
              read_key(box, json_object_get(from, "key"), &actions->key);
  actions->mirror = mirror_of(json_object_get(from, "mirror"));
  actions->scripted = true_at(from, "scripted");
  actions->scripted_key = true_at(from, "scripted_key");
  actions->strict = true_at(from, "strict");
  actions->refuses = true_at(from, "refuses");
  const char *salt = text_at(from, "salt");
  actions->split.salt = neap_hash_bytes(salt, strlen(salt));
  return read ? actions : NULL;
}
