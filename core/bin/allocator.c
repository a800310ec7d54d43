/* How the program allocates: jemalloc, on huge pages. A get waits for two cache lines among hundreds of
 * megabytes, and with small pages for their page tables too. The library has no part in this: its host brings
 * the allocator. See docs/decisions/0030-huge-pages.md. */

/* jemalloc looks for this name, which is why it has no prefix. The environment's MALLOC_CONF goes before it.
 */
extern const char *malloc_conf;
__attribute__((visibility("default"))) const char *malloc_conf = "thp:always";
