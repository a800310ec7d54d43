/* The Lua files that are compiled into the library, as core/script/embed.cmake writes them. */
#ifndef NEAP_SCRIPT_EMBED_H
#define NEAP_SCRIPT_EMBED_H

#include <stddef.h>

typedef struct neap_embedded_file {
  const char *path; /* as in the repository: "lua/neap/policy.lua", "policies/evict/lru.lua",
                       "core/policy/abi.h" */
  const char *text; /* ends with a NUL that `size` does not count */
  size_t size;
} neap_embedded_file;

/* Ends with an element whose path is NULL. */
extern const neap_embedded_file neap_embedded_files[];

/* The file of that path, or NULL. */
const neap_embedded_file *neap_embedded_find(const char *path);

#endif
