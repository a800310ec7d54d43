#include "upstream/source_impl.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const neap_backend_source_vt *const kinds[] = {&neap_backend_source_dns, &neap_backend_source_srv,
                                                      &neap_backend_source_file, &neap_backend_source_etcd};

/* --- lists */

static int clamp(int64_t value, int64_t least, int64_t most) {
  return (int)NEAP_MIN(NEAP_MAX(value, least), most);
}

int neap_backend_source_add(neap_backend_source_list *list, const char *address, int64_t weight,
                            int64_t priority) {
  size_t size = strlen(address);
  if (list->count == NEAP_BACKEND_SOURCE_MEMBERS_MAX || size >= NEAP_BACKEND_SOURCE_ADDRESS)
    return NEAP_ETOOLARGE;
  if (list->count == list->room) {
    size_t room = list->room ? 2 * list->room : 16;
    neap_backend_source_member *grown = realloc(list->members, room * sizeof *grown);
    if (grown == NULL) return NEAP_ENOMEM;
    list->members = grown;
    list->room = room;
  }
  neap_backend_source_member *member = &list->members[list->count++];
  memset(member, 0, sizeof *member);
  for (size_t i = 0; i < size; i++) member->address[i] = (char)tolower((unsigned char)address[i]);
  member->weight = clamp(weight, 1, 1000);
  member->priority = clamp(priority, 0, NEAP_BACKEND_SOURCE_BACKUP);
  return 0;
}

void neap_backend_source_list_fini(neap_backend_source_list *list) {
  free(list->members);
  *list = (neap_backend_source_list){0};
}

static int by_address(const void *a, const void *b) {
  return strcmp(((const neap_backend_source_member *)a)->address,
                ((const neap_backend_source_member *)b)->address);
}

/* Sorted; of members with one address the first stays. */
static void tidy(neap_backend_source_list *list) {
  if (list->count == 0) return;
  qsort(list->members, list->count, sizeof *list->members, by_address);
  size_t kept = 1;
  for (size_t i = 1; i < list->count; i++)
    if (by_address(&list->members[kept - 1], &list->members[i]) != 0)
      list->members[kept++] = list->members[i];
  list->count = kept;
}

/* --- lines */

static neap_view next_word(neap_view *rest) {
  while (rest->size > 0 && isspace((unsigned char)*rest->ptr)) rest->ptr++, rest->size--;
  neap_view word = {rest->ptr, 0};
  while (rest->size > 0 && !isspace((unsigned char)*rest->ptr)) rest->ptr++, rest->size--, word.size++;
  return word;
}

/* A name, an IPv4 address, or an IPv6 address in brackets; one that only looks like an address is none. */
static bool is_host(const char *text, size_t size) {
  char host[NEAP_BACKEND_SOURCE_ADDRESS];
  struct in6_addr parsed;
  if (size == 0 || size >= sizeof host) return false;
  memcpy(host, text, size);
  host[size] = '\0';
  if (memchr(host, '\0', size)) return false;
  if (host[0] == '[') {
    if (host[size - 1] != ']') return false;
    host[size - 1] = '\0';
    return inet_pton(AF_INET6, host + 1, &parsed) == 1;
  }
  if (strspn(host, "0123456789.") == size) return inet_pton(AF_INET, host, &parsed) == 1;
  for (size_t i = 0; i < size; i++)
    if (!isalnum((unsigned char)host[i]) && strchr("._-", host[i]) == NULL) return false;
  return true;
}

/* Whether it looks like "host:port". */
static bool is_address(neap_view word) {
  const char *colon = memrchr(word.ptr, ':', word.size);
  if (colon == NULL || word.size >= NEAP_BACKEND_SOURCE_ADDRESS) return false;
  long port = 0;
  for (const char *at = colon + 1; at < word.ptr + word.size; at++) {
    if (*at < '0' || *at > '9' || port > 65535) return false;
    port = port * 10 + (*at - '0');
  }
  return port >= 1 && port <= 65535 && is_host(word.ptr, (size_t)(colon - word.ptr));
}

static bool read_number(neap_view word, const char *name, int64_t least, int64_t most, int64_t *out) {
  size_t size = strlen(name);
  if (word.size <= size || word.size > size + 5 || memcmp(word.ptr, name, size) != 0) return false;
  int64_t number = 0;
  for (size_t i = size; i < word.size; i++) {
    if (word.ptr[i] < '0' || word.ptr[i] > '9') return false;
    number = number * 10 + (word.ptr[i] - '0');
  }
  *out = number;
  return number >= least && number <= most;
}

int neap_backend_source_add_line(neap_backend_source_list *list, neap_view line, neap_err *err) {
  neap_view word = next_word(&line);
  if (word.size == 0 || *word.ptr == '#') return 0;
  char address[NEAP_BACKEND_SOURCE_ADDRESS];
  int64_t weight = 1, priority = 0;
  if (!is_address(word))
    return neap_fail(err, NEAP_EINVAL, "'%.*s' is not host:port", (int)NEAP_MIN(word.size, (size_t)80),
                     word.ptr);
  memcpy(address, word.ptr, word.size);
  address[word.size] = '\0';
  while ((word = next_word(&line)).size > 0 && *word.ptr != '#')
    if (neap_view_is(word, "backup"))
      priority = NEAP_BACKEND_SOURCE_BACKUP;
    else if (!read_number(word, "weight=", 1, 1000, &weight) &&
             !read_number(word, "priority=", 0, NEAP_BACKEND_SOURCE_BACKUP - 1, &priority))
      return neap_fail(err, NEAP_EINVAL, "'%.*s' is none of weight=1..1000, priority=0..14 and backup",
                       (int)NEAP_MIN(word.size, (size_t)80), word.ptr);
  int code = neap_backend_source_add(list, address, weight, priority);
  return code ? neap_fail(err, code, "more than %d backends", NEAP_BACKEND_SOURCE_MEMBERS_MAX) : 0;
}

/* --- telling */

static bool is_same(const neap_backend_source_list *a, const neap_backend_source_list *b) {
  return a->count == b->count &&
         (a->count == 0 || memcmp(a->members, b->members, a->count * sizeof *a->members) == 0);
}

bool neap_backend_source_tell(neap_backend_source *source, neap_backend_source_list *list) {
  bool gone = false;
  source->gone = &gone;
  if (source->reason[0]) {
    source->reason[0] = '\0';
    source->options.failed(source->options.user, NULL);
    if (gone) {
      neap_backend_source_list_fini(list);
      return false;
    }
  }
  tidy(list);
  if (source->told && is_same(&source->last, list)) {
    neap_backend_source_list_fini(list);
    source->gone = NULL;
    return true;
  }
  neap_backend_source_list_fini(&source->last);
  source->last = *list;
  *list = (neap_backend_source_list){0};
  source->told = true;
  source->options.changed(source->options.user, source->last.members, source->last.count);
  if (!gone) source->gone = NULL;
  return !gone;
}

bool neap_backend_source_fail(neap_backend_source *source, const char *format, ...) {
  char reason[sizeof source->reason];
  va_list list;
  va_start(list, format);
  vsnprintf(reason, sizeof reason, format, list);
  va_end(list);
  for (char *at = reason; *at; at++) /* what others wrote must not make lines of our log */
    if ((unsigned char)*at < 0x20 || *at == 0x7f) *at = '?';
  if (strcmp(reason, source->reason) == 0) return true;
  bool gone = false;
  source->gone = &gone;
  memcpy(source->reason, reason, sizeof reason);
  source->options.failed(source->options.user, source->reason);
  if (!gone) source->gone = NULL;
  return !gone;
}

/* --- life */

static const neap_backend_source_vt *kind_of(const char *spec, const char **rest) {
  for (size_t i = 0; i < NEAP_COUNT_OF(kinds); i++) {
    size_t size = strlen(kinds[i]->name);
    if (strncmp(spec, kinds[i]->name, size) != 0 || spec[size] != ':') continue;
    *rest = spec + size + 1;
    return kinds[i];
  }
  return NULL;
}

int neap_backend_source_check(const char *spec, neap_err *err) {
  const char *rest;
  const neap_backend_source_vt *kind = kind_of(spec, &rest);
  if (kind == NULL)
    return neap_fail(err, NEAP_EINVAL, "write dns:name:port, srv:name, file:path or etcd:url/prefix");
  return kind->check(rest, err);
}

static void on_timer(neap_timer *timer) {
  neap_backend_source *source = NEAP_CONTAINER_OF(timer, neap_backend_source, timer);
  source->vt->again(source);
}

int neap_backend_source_create(const neap_backend_source_options *options, neap_backend_source **out,
                               neap_err *err) {
  const char *rest;
  int code = neap_backend_source_check(options->spec, err);
  if (code) return code;
  neap_backend_source *source = calloc(1, sizeof *source);
  if (source == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  source->vt = kind_of(options->spec, &rest);
  source->options = *options;
  source->options.spec = source->options.folder = NULL; /* not ours to keep */
  neap_timer_init(&source->timer, on_timer);
  if (options->folder && (source->folder = strdup(options->folder)) == NULL)
    code = neap_fail(err, NEAP_ENOMEM, "out of memory");
  if (code == 0) code = source->vt->start(source, rest, err);
  if (code)
    neap_backend_source_destroy(&source);
  else
    *out = source;
  return code;
}

void neap_backend_source_destroy(neap_backend_source **source_ptr) {
  neap_backend_source *source = *source_ptr;
  if (source == NULL) return;
  *source_ptr = NULL;
  if (source->gone) *source->gone = true;
  neap_timer_clear(&source->timer);
  source->vt->stop(source);
  neap_backend_source_list_fini(&source->last);
  free(source->folder);
  free(source);
}
