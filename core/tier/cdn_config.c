#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/plain.h"
#include "base/url.h"
#include "tier/cdn.h"

/* --- keys */

static bool is_safe(neap_view key) {
  if (key.size == 0 || key.size >= NEAP_CDN_KEY) return false;
  for (size_t i = 0; i < key.size; i++) {
    unsigned char c = (unsigned char)key.ptr[i];
    bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '-') return false;
  }
  return true;
}

void neap_cdn_key(neap_view key, char out[NEAP_CDN_KEY]) {
  if (is_safe(key)) {
    memcpy(out, key.ptr, key.size);
    out[key.size] = '\0';
    return;
  }
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256((const unsigned char *)key.ptr, key.size, digest);
  *out++ = '~';
  for (size_t i = 0; i < sizeof digest; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* --- settings */

static bool is_plain(const char *text) {
  return text == NULL || neap_plain_text(text, (int32_t)strlen(text));
}

static bool is_url(const char *url) {
  if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) return false;
  const char *host = strstr(url, "://") + 3;
  return *host != '\0' && *host != '/' && is_plain(url) && strpbrk(url, " ?#\\") == NULL &&
         strlen(url) < 2000;
}

static bool is_token(const char *text) {
  if (text == NULL) return true;
  for (const char *at = text; *at; at++)
    if (strchr(" \t:,;\"/\\@<>()[]{}=?", *at) || *at <= 0x20 || *at == 0x7f) return false;
  return *text != '\0' && strlen(text) < 64;
}

static int check(const neap_tier_cdn_options *options, neap_err *err) {
  char shown[160];
  if (options->url == NULL || !is_url(options->url))
    return neap_fail(err, NEAP_EINVAL,
                     "url of a cdn tier: http:// or https://, a host and maybe a path, not \"%s\"",
                     neap_url_mask(options->url ? options->url : "", shown, sizeof shown));
  if (!is_plain(options->bearer) || !is_plain(options->header))
    return neap_fail(err, NEAP_EINVAL, "bearer and header of a cdn tier are lines of text");
  if (options->header && strchr(options->header, ':') == NULL)
    return neap_fail(err, NEAP_EINVAL, "header of a cdn tier is \"Name: value\", not \"%s\"",
                     options->header);
  if (!is_token(options->purge_method) || !is_token(options->surrogate))
    return neap_fail(err, NEAP_EINVAL, "purge_method and surrogate of a cdn tier are single words");
  if (options->max_object > NEAP_CODEC_OBJECT_MAX)
    return neap_fail(err, NEAP_EINVAL, "max_object of a cdn tier is more than 1 GiB");
  return 0;
}

/* Both texts, one after the other; NULL where the second is missing. */
static char *joined(const char *first, const char *second, bool *failed) {
  if (second == NULL) return NULL;
  size_t size = strlen(first) + strlen(second) + 1;
  char *text = malloc(size);
  if (text)
    snprintf(text, size, "%s%s", first, second);
  else
    *failed = true;
  return text;
}

int neap_cdn_config_create(const neap_tier_cdn_options *options, const neap_tier_codec *codec,
                           neap_cdn_config **out, neap_err *err) {
  int code = check(options, err);
  if (code) return code;
  neap_cdn_config *config = calloc(1, sizeof *config);
  if (config == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  bool failed = false;
  config->base = joined("", options->url, &failed);
  for (size_t size = failed ? 0 : strlen(config->base); size > 0 && config->base[size - 1] == '/';)
    config->base[--size] = '\0';
  config->clear = failed ? NULL : joined(config->base, options->clear_slash ? "/cache/" : "/cache", &failed);
  config->authorization = joined("Authorization: Bearer ", options->bearer, &failed);
  config->header = joined("", options->header, &failed);
  config->surrogate = joined("", options->surrogate, &failed);
  config->purge = joined("", options->purge_method ? options->purge_method : "DELETE", &failed);
  config->ns = joined("", options->ns ? options->ns : "", &failed);
  config->max_object = options->max_object ? options->max_object : 64u << 20;
  config->codec = codec && codec->options ? *codec->options : neap_codec_options_default;
  config->codec.max_object = (uint32_t)config->max_object;
  if (codec && codec->keyring) config->keyring = neap_keyring_ref(codec->keyring);
  if (codec && codec->dictionaries) config->dictionaries = neap_dictionaries_ref(codec->dictionaries);
  if (failed) {
    neap_cdn_config_destroy(config);
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  }
  *out = config;
  return 0;
}

void neap_cdn_config_destroy(neap_cdn_config *config) {
  free(config->base);
  free(config->authorization);
  free(config->header);
  free(config->surrogate);
  free(config->purge);
  free(config->clear);
  free(config->ns);
  neap_keyring_unref(&config->keyring);
  neap_dictionaries_unref(&config->dictionaries);
  free(config);
}
