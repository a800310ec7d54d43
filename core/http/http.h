/* The facade of pure HTTP/1: bytes in, decisions and bytes out. No sockets, no clock, no allocation.
 *
 *   message.h   heads of requests and responses, parsed in place; what is refused, and why
 *   body.h      where a body ends: Content-Length, chunked, until close
 *   write.h     heads for the origin and for the client, rebuilt from parsed fields
 *   caching.h   may it be stored, for how long, under which key; dates
 *   link.h      what a response says that will be wanted
 *   stored.h    a head as it lies in the cache, and the few bytes that make a hit of it
 *   record.h    the same on its way to other nodes
 *
 * One meaning per message: what is forwarded is written anew from parsed fields, never copied as a section.
 * Whatever touches framing is refused rather than repaired, and after a refusal the connection is closed.
 */
#ifndef NEAP_HTTP_HTTP_H
#define NEAP_HTTP_HTTP_H

#include "http/body.h"
#include "http/caching.h"
#include "http/link.h"
#include "http/message.h"
#include "http/record.h"
#include "http/stored.h"
#include "http/write.h"

#endif
