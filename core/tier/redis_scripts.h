/* What runs in Redis. One key per script, so that they work in a Cluster.
 *
 * A record is [16 digits version][type][rest]: V a value, rest is its envelope; L a lease, rest is the token
 * of 16 characters of who fills it and the floor of 16 digits; T a tombstone. Versions are the server's clock
 * in microseconds, or one more than the last of the key. What is older than the epoch, the time of the last
 * clear, is void. Anything else under a key is nothing. */
#ifndef NEAP_TIER_REDIS_SCRIPTS_H
#define NEAP_TIER_REDIS_SCRIPTS_H

#define NEAP_REDIS_READ                                                                                      \
  "local r=redis.call('GET',KEYS[1]) local v,t local epoch=tonumber(ARGV[1])\n"                              \
  "if r then v,t=string.match(string.sub(r,1,17),'^(%d+)([VLT])$') if not v or #v~=16 then v=nil end end\n"  \
  "local old=v and tonumber(v) or 0\n"                                                                       \
  "if old<epoch then v=nil t=nil if epoch>old then old=epoch end end\n"

#define NEAP_REDIS_NEXT                                                                                      \
  "local tm=redis.call('TIME') local now=tm[1]*1000000+tm[2]\n"                                              \
  "local nv=string.format('%016.0f',math.max(now,old+1))\n"

/* ARGV: epoch, known version or '', milliseconds of a lease or 0, token of 16 characters.
 * {'N',version,pttl} what is known is right; {'V',version,pttl,envelope}; {'G',floor,version} the lease is
 * yours;
 * {'W',floor} another fills it; {'M',floor} nothing there. */
static const char neap_redis_get[] =
    NEAP_REDIS_READ "if t=='V' then local left=redis.call('PTTL',KEYS[1])\n"
                    " if v==ARGV[2] then return {'N',v,left} end return {'V',v,left,string.sub(r,18)} end\n"
                    "if t=='L' then return {'W',string.sub(r,34,49)} end\n"
                    "local floor=string.format('%016.0f',old)\n"
                    "if ARGV[3]=='0' then return {'M',floor} end\n" NEAP_REDIS_NEXT
                    "redis.call('SET',KEYS[1],nv..'L'..ARGV[4]..floor,'PX',ARGV[3])\n"
                    "return {'G',floor,nv}";

/* ARGV: epoch, version and token of the lease, envelope, milliseconds or 0. {1,version}, or {0,version} of
 * what is newer. Announced to nobody: a fill is no news. */
static const char neap_redis_fill[] =
    NEAP_REDIS_READ "if t~='L' or string.sub(r,1,33)~=ARGV[2]..'L'..ARGV[3] then return "
                    "{0,string.format('%016.0f',old)} end\n"
                    "if ARGV[5]=='0' then redis.call('SET',KEYS[1],v..'V'..ARGV[4])\n"
                    "else redis.call('SET',KEYS[1],v..'V'..ARGV[4],'PX',ARGV[5]) end\n"
                    "return {1,v}";

/* ARGV: epoch, envelope, milliseconds or 0, channel, when it was made or 0. {1,version}, or {0,version} where
 * it was made before what is there. */
static const char neap_redis_set[] = NEAP_REDIS_READ
    "if ARGV[5]~='0' and (t=='V' or t=='T') and old>tonumber(ARGV[5]) then return {0,v} end\n"
    "if ARGV[5]~='0' and epoch>tonumber(ARGV[5]) then return {0,string.format('%016.0f',old)} "
    "end\n" NEAP_REDIS_NEXT "if ARGV[3]=='0' then redis.call('SET',KEYS[1],nv..'V'..ARGV[2])\n"
    "else redis.call('SET',KEYS[1],nv..'V'..ARGV[2],'PX',ARGV[3]) end\n"
    "redis.call('PUBLISH',ARGV[4],'K '..nv..' '..KEYS[1])\n"
    "return {1,nv}";

/* Whether what is there is not of the version that the caller expects, '' for nothing. */
#define NEAP_REDIS_DIFFERS(expected) "(t=='V' and v or '')~=" expected

/* ARGV: epoch, envelope, milliseconds or 0, channel, version or ''. {1,version}; {0,version} where what is
 * there is of another version. */
static const char neap_redis_exchange[] = NEAP_REDIS_READ
    "if " NEAP_REDIS_DIFFERS("ARGV[5]") " then return {0,string.format('%016.0f',old)} end\n" NEAP_REDIS_NEXT
                                        "if ARGV[3]=='0' then redis.call('SET',KEYS[1],nv..'V'..ARGV[2])\n"
                                        "else redis.call('SET',KEYS[1],nv..'V'..ARGV[2],'PX',ARGV[3]) end\n"
                                        "redis.call('PUBLISH',ARGV[4],'K '..nv..' '..KEYS[1])\n"
                                        "return {1,nv}";

/* ARGV: epoch, milliseconds of the tombstone, channel, version or ''. As neap_redis_exchange. */
static const char neap_redis_take[] = NEAP_REDIS_READ
    "if " NEAP_REDIS_DIFFERS("ARGV[4]") " then return {0,string.format('%016.0f',old)} end\n" NEAP_REDIS_NEXT
                                        "redis.call('SET',KEYS[1],nv..'T','PX',ARGV[2])\n"
                                        "redis.call('PUBLISH',ARGV[3],'D '..nv..' '..KEYS[1])\n"
                                        "return {1,nv}";

/* ARGV: epoch, milliseconds of the tombstone, channel, when it was made or 0. As neap_redis_set. */
static const char neap_redis_delete[] = NEAP_REDIS_READ
    "if ARGV[4]~='0' and (t=='V' or t=='T') and old>tonumber(ARGV[4]) then return {0,v} end\n" NEAP_REDIS_NEXT
    "redis.call('SET',KEYS[1],nv..'T','PX',ARGV[2])\n"
    "redis.call('PUBLISH',ARGV[3],'D '..nv..' '..KEYS[1])\n"
    "return {1,nv}";

/* The key is that of the epoch. ARGV: channel. {1,epoch}. */
static const char neap_redis_clear[] =
    "local old=tonumber(redis.call('GET',KEYS[1]) or '0') or 0\n" NEAP_REDIS_NEXT
    "redis.call('SET',KEYS[1],nv) redis.call('PUBLISH',ARGV[1],'E '..nv)\n"
    "return {1,nv}";

#endif
