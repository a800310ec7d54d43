/* Where a key lies in a CDN, and what the settings are made of. */
#ifndef NEAP_TIER_CDN_H
#define NEAP_TIER_CDN_H

#include "tier/tier.h"

enum { NEAP_CDN_KEY = 201 }; /* a key in a URL, NUL included */

/* The key where it is 1 to 200 of [A-Za-z0-9_-], else "~" and its SHA-256 in hex: a percent-encoded ".."
 * leaves the folder on real servers, and long ones are refused. Any thread. */
void neap_cdn_key(neap_view key, char out[NEAP_CDN_KEY]);

/* Settings, checked, in texts that requests are made of. Shared by all ports; immutable. */
typedef struct neap_cdn_config {
  char *base;                      /* without a slash at its end */
  char *authorization, *header;    /* whole lines; NULL: none */
  char *surrogate, *purge, *clear; /* name of a field or NULL; method; URL */
  char *ns;
  size_t max_object;
  neap_codec_options codec;
  neap_keyring *keyring;
  neap_dictionaries *dictionaries;
} neap_cdn_config;

int neap_cdn_config_create(const neap_tier_cdn_options *options, const neap_tier_codec *codec,
                           neap_cdn_config **out, neap_err *err);
void neap_cdn_config_destroy(neap_cdn_config *config);

#endif
