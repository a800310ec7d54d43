/* Names that mean something: fields, reasons, lookups, statuses. One table each, from the X-macros. */
#include "http/caching.h"
#include "http/text.h"

/* --- fields ------------------------------------------------------------------------------------------ */

enum { NAME_MAX_SIZE = 26, NAMES_OF_ONE_SIZE = 5 };

static const struct {
  const char *text;
  uint8_t size;
} names[] = {{"", 0},
             {"", 0},
#define NAME(NAME, text) {text, sizeof(text) - 1},
             NEAP_HTTP_IDS(NAME)
#undef NAME
};

#define ID(NAME) NEAP_HTTP_ID_##NAME
/* Every name by its size; a test looks all of them up. */
static const uint8_t names_by_size[NAME_MAX_SIZE + 1][NAMES_OF_ONE_SIZE] = {
    [2] = {ID(TE)},
    [3] = {ID(AGE), ID(VIA)},
    [4] = {ID(HOST), ID(DATE), ID(ETAG), ID(VARY)},
    [5] = {ID(RANGE)},
    [6] = {ID(COOKIE), ID(EXPECT)},
    [7] = {ID(REFERER), ID(EXPIRES), ID(UPGRADE), ID(TRAILER)},
    [8] = {ID(IF_MATCH), ID(IF_RANGE)},
    [9] = {ID(FORWARDED)},
    [10] = {ID(CONNECTION), ID(USER_AGENT), ID(SET_COOKIE), ID(KEEP_ALIVE)},
    [12] = {ID(CACHE_STATUS), ID(MAX_FORWARDS), ID(X_REQUEST_ID)},
    [13] = {ID(AUTHORIZATION), ID(CACHE_CONTROL), ID(LAST_MODIFIED), ID(IF_NONE_MATCH), ID(CONTENT_RANGE)},
    [14] = {ID(CONTENT_LENGTH), ID(HTTP2_SETTINGS)},
    [15] = {ID(X_FORWARDED_FOR)},
    [16] = {ID(CONTENT_LOCATION), ID(PROXY_CONNECTION), ID(X_FORWARDED_HOST), ID(X_FORWARDED_PORT)},
    [17] = {ID(IF_MODIFIED_SINCE), ID(TRANSFER_ENCODING), ID(X_FORWARDED_PROTO)},
    [18] = {ID(PROXY_AUTHENTICATE)},
    [19] = {ID(IF_UNMODIFIED_SINCE), ID(PROXY_AUTHORIZATION)},
    [21] = {ID(ENDPOINT_LOAD_METRICS)},
    [25] = {ID(PROXY_AUTHENTICATION_INFO), ID(ENDPOINT_LOAD_METRICS_BIN)},
    [26] = {ID(ENDPOINT_LOAD_METRICS_JSON)},
};

static neap_http_id known_id(const char *name, size_t size) {
  if (size > NAME_MAX_SIZE) return NEAP_HTTP_ID_NONE;
  const uint8_t *candidates = names_by_size[size];
  for (int i = 0; i < NAMES_OF_ONE_SIZE && candidates[i] != NEAP_HTTP_ID_NONE; i++) {
    const char *text = names[candidates[i]].text;
    if (neap_http_lower(name[0]) == text[0] && neap_http_same(name, size, text, size))
      return (neap_http_id)candidates[i];
  }
  return NEAP_HTTP_ID_NONE;
}

static bool is_lookalike(const char *name, size_t size) {
  char dashed[NAME_MAX_SIZE];
  if (size > NAME_MAX_SIZE || !memchr(name, '_', size)) return false;
  for (size_t i = 0; i < size; i++) dashed[i] = name[i];
  for (size_t i = 0; i < size; i++)
    if (dashed[i] == '_') dashed[i] = '-';
  return known_id(dashed, size) != NEAP_HTTP_ID_NONE;
}

neap_http_id neap_http_id_of(const char *name, size_t size) {
  neap_http_id id = known_id(name, size);
  if (id == NEAP_HTTP_ID_NONE && is_lookalike(name, size)) return NEAP_HTTP_ID_LOOKALIKE;
  return id;
}

/* --- reasons ----------------------------------------------------------------------------------------- */

static neap_reason reason_of(neap_http_reason reason) {
  return (neap_reason)(NEAP_REASON_REFUSED_NONE + (int)reason);
}

int neap_http_reason_status(neap_http_reason reason) {
  return neap_reason_status(reason_of(reason));
}

const char *neap_http_reason_name(neap_http_reason reason) {
  return neap_reason_code(reason_of(reason));
}

const char *neap_http_reason_text(neap_http_reason reason) {
  return neap_reason_text(reason_of(reason));
}

/* --- decisions of the cache -------------------------------------------------------------------------- */

const char *neap_http_lookup_name(neap_http_lookup lookup) {
  return neap_reason_code((neap_reason)(NEAP_REASON_LOOKUP_USABLE + (int)lookup));
}

const char *neap_http_lookup_text(neap_http_lookup lookup) {
  return neap_reason_text((neap_reason)(NEAP_REASON_LOOKUP_USABLE + (int)lookup));
}

neap_http_fwd neap_http_lookup_fwd(neap_http_lookup lookup) {
  switch (lookup) {
  case NEAP_HTTP_LOOKUP_USABLE: return NEAP_HTTP_FWD_URI_MISS;
  case NEAP_HTTP_LOOKUP_METHOD: return NEAP_HTTP_FWD_METHOD;
  default: return NEAP_HTTP_FWD_REQUEST;
  }
}

const char *neap_http_store_name(neap_http_store store) {
  return neap_reason_code((neap_reason)(NEAP_REASON_STORE_YES + (int)store));
}

const char *neap_http_store_text(neap_http_store store) {
  return neap_reason_text((neap_reason)(NEAP_REASON_STORE_YES + (int)store));
}

const char *neap_http_fwd_text(neap_http_fwd fwd) {
  return neap_reason_code((neap_reason)(NEAP_REASON_FWD_NONE + (int)fwd));
}

/* --- statuses ---------------------------------------------------------------------------------------- */

const char *neap_http_status_text(int status) {
  switch (status) {
  case 100: return "Continue";
  case 200: return "OK";
  case 201: return "Created";
  case 202: return "Accepted";
  case 203: return "Non-Authoritative Information";
  case 204: return "No Content";
  case 205: return "Reset Content";
  case 206: return "Partial Content";
  case 300: return "Multiple Choices";
  case 301: return "Moved Permanently";
  case 302: return "Found";
  case 303: return "See Other";
  case 304: return "Not Modified";
  case 307: return "Temporary Redirect";
  case 308: return "Permanent Redirect";
  case 400: return "Bad Request";
  case 401: return "Unauthorized";
  case 402: return "Payment Required";
  case 403: return "Forbidden";
  case 404: return "Not Found";
  case 405: return "Method Not Allowed";
  case 406: return "Not Acceptable";
  case 407: return "Proxy Authentication Required";
  case 408: return "Request Timeout";
  case 409: return "Conflict";
  case 410: return "Gone";
  case 411: return "Length Required";
  case 412: return "Precondition Failed";
  case 413: return "Content Too Large";
  case 414: return "URI Too Long";
  case 415: return "Unsupported Media Type";
  case 416: return "Range Not Satisfiable";
  case 417: return "Expectation Failed";
  case 421: return "Misdirected Request";
  case 422: return "Unprocessable Content";
  case 425: return "Too Early";
  case 426: return "Upgrade Required";
  case 428: return "Precondition Required";
  case 429: return "Too Many Requests";
  case 431: return "Request Header Fields Too Large";
  case 451: return "Unavailable For Legal Reasons";
  case 500: return "Internal Server Error";
  case 501: return "Not Implemented";
  case 502: return "Bad Gateway";
  case 503: return "Service Unavailable";
  case 504: return "Gateway Timeout";
  case 505: return "HTTP Version Not Supported";
  case 511: return "Network Authentication Required";
  default: return "";
  }
}
