--- The module that neap.lua requires: what to listen on, what to cache, where to send what.
--
--     local neap = require "neap"
--     neap.listen { http = "127.0.0.1:8080" }
--     neap.cache  { max_memory = "256MB", evict = "sieve" }
--     neap.pool   { name = "app", balance = "p2c", backends = { "127.0.0.1:9001", "127.0.0.1:9002 weight=2" } }
--     neap.route  { path = "/", pool = "app", cache = true }
--
-- Each function records its table and where it was called; neap.config checks them all once the file has run.
local config = require "neap.config"
local sandbox = require "neap.sandbox"
local tables = require "neap.table"

local getinfo = debug.getinfo
local sub, format = string.sub, string.format

local M = { version = require "neap.version" }

-- The file and line that called a function of this module. A tail call has no line of its own: its caller's.
local function caller()
  for level = 4, 9 do
    local info = getinfo(level, "Sl")
    if not info then break end
    if info.currentline > 0 and info.what ~= "C" then
      return (string.gsub(info.source, "^[@=]", "")), info.currentline
    end
  end
  return "neap.lua", 1
end

local function declare(name, value)
  config.declare(name, value, caller())
end

---@class neap.Listen
---@field http? string|string[] "127.0.0.1:8080", ":8080", "[::1]:8080"; port 0 takes any free one
---@field header_timeout? string|number for a whole request head to arrive (10s)
---@field idle_timeout? string|number between two requests of a connection (60s)
---@field max_header_size? string|integer request line and headers together (32KB)
---@field resp? string|string[] addresses for clients of Redis
---@field password? string of the RESP port, for AUTH (none)
---@field max_clients? integer of all RESP ports (10000)
---@field client_timeout? string|number for RESP clients that ask nothing; 0: they may stay (0)
---@field stall_timeout? string|number for RESP clients that take nothing of what waits for them (60s)
---@field client_memory? string|integer for requests half arrived and replies not taken, on each worker (64MB)

--- Listens for clients. May be called several times.
---@param options neap.Listen
function M.listen(options) declare("listen", options) end

---@class neap.PrefetchBudget
---@field in_flight? integer prefetches at once (16)
---@field per_second? number prefetches a second (50)
---@field share? number prefetches per request; 64 may be saved up (1)
---@field shelf? number of the cache, for what is under way or waits for its first use (0.05)

---@class neap.Prefetch
---@field policy? false|string|table "default", a policy, or a list of names and { policy, params } ("default")
---@field params? table<string, number|string|boolean> parameters of that policy, where there is one
---@field links? boolean fetch what stored responses name as preload, prefetch or next in Link (true)
---@field refresh? string|number fetch anew what is asked for in the last part of its lifetime, such as 0.1 (0: do not)
---@field precision? string|number who has less of his prefetches used is not believed for a while ("40%")
---@field budget? neap.PrefetchBudget
---@field memory? string|integer for targets of past requests (4MB)

---@class neap.Cache
---@field max_memory? string|integer most memory, everything included (64MB)
---@field max_entries? integer most entries (bounded by memory alone)
---@field max_object_size? string|integer largest key and value together (max_memory / 20)
---@field default_ttl? string|number of what is put without a time to live (none)
---@field evict? string policy that evicts: "sieve", "LRU", neap.custom("file"), "file.lua", "native:lru"
---@field params? table<string, number|string|boolean> its parameters
---@field prefetch? boolean|string|neap.Prefetch what is fetched before it is asked for (nothing)

--- The cache.
---@param options neap.Cache
function M.cache(options) declare("cache", options) end

---@class neap.TierBreaker
---@field min_requests? integer calls in a window before its rate counts (20)
---@field rate? string|number failures in a window that open it ("50%")
---@field window? string|number over which the rate is taken (10s)
---@field open? string|number how long nothing is asked; doubled each time (2s)
---@field max_open? string|number how long at most (30s)

---@class neap.Redis
---@field url string|string[] "redis://[user:password@]host[:port][/database]", "rediss://...", "unix:/path"
---@field layout? string "single", "sentinel" or "cluster" ("single")
---@field group? string the name that Sentinels know the primary by
---@field sentinel_user? string of the Sentinels
---@field sentinel_password? string of the Sentinels
---@field connections? integer of each worker to each server (2)
---@field connect_timeout? string|number for a connection, TLS and AUTH (1s)
---@field ca_file? string authorities that TLS believes (the system's)
---@field server_name? string that the certificate must hold (the host)
---@field certificate_file? string of this client
---@field key_file? string of this client
---@field prefix? string of keys and of the channel ("neap:http:")
---@field timeout? string|number a call that takes longer has failed (100ms)
---@field ttl? string|number what lies here at most (as long as it is fresh)
---@field max_object? string|integer largest response that goes there (1MB)
---@field breaker? neap.TierBreaker when it is left alone

---@class neap.Cdn
---@field url string keys lie below url/cache/
---@field bearer? string a token, sent with every request
---@field header? string one more field, "Name: value"
---@field purge_method? string how a key is deleted ("DELETE")
---@field surrogate? string field that carries the encoded key
---@field timeout? string|number a call that takes longer has failed (500ms)
---@field ttl? string|number what lies here at most (as long as it is fresh)
---@field max_object? string|integer largest response that goes there (16MB)
---@field breaker? neap.TierBreaker when it is left alone

---@class neap.Tiers
---@field redis? string|neap.Redis a Redis or Valkey
---@field cdn? string|neap.Cdn a server with GET, PUT and DELETE
---@field mode? string "behind" or "through" ("behind")
---@field consistency? string "eventual" or "local" ("eventual")
---@field soft_timeout? string|number a request waits so long for all of them, then its backend is asked (250ms)
---@field negative_ttl? string|number what no tier has is not asked for again for so long (1s)

--- Where responses lie beside memory.
---@param options neap.Tiers
function M.tiers(options) declare("tiers", options) end

---@class neap.Keys: neap.Cache
---@field tiers? boolean|string|string[] whether they lie in the tiers of neap.tiers, too (true where it has redis)
---@field mode? string "through", "behind" or "around" ("through")
---@field consistency? string "local", "eventual" or "strong" ("eventual")
---@field prefix? string of keys and of the channel in Redis ("neap:keys:")
---@field tier_timeout? string|number a command waits so long for all tiers together (2s)
---@field on_failure? string a read that no tier answers is a "miss" or an "error" ("miss")

--- What the RESP ports serve.
---@param options neap.Keys
function M.keys(options) declare("keys", options) end

---@class neap.Session
---@field type? string "cookie" or "table"
---@field cookie? string the cookie's name ("neap_" and the pool's name)
---@field secret? string|string[] at least 16 bytes; the first signs, all are believed (random)
---@field secure? boolean the cookie is for TLS alone (false)
---@field by? string what the table tells clients apart by, as a pool's key ("client")

---@class neap.Health
---@field tcp? boolean only connects
---@field path? string what to GET ("/health")
---@field host? string Host field (the backend's address)
---@field status? integer|string|(integer|string)[] expected: 200, "2xx", "200-299" ("2xx")
---@field contains? string the first 16 KB of the body must contain it
---@field check? fun(reply: neap.Reply): boolean? says whether it is well
---@field interval? string|number between probes, give or take a fifth (5s)
---@field fast_interval? string|number while its state seems to change and while it is down (interval / 5)
---@field timeout? string|number for the whole answer (2s)
---@field rise? integer good probes in a row that bring it back (2)
---@field fall? integer bad probes in a row that take it out (3)

---@class neap.Eject
---@field errors? integer errors in a row; 0: not by this (5)
---@field rate? string|number error rate above that of the rest of the pool; 0: not by this ("20%")
---@field min_requests? integer recent ones, before a rate counts (50)
---@field time? string|number how long, the first time; then twice as long (30s)
---@field max_time? string|number how long at most (10m)
---@field max_share? string|number of the pool, most at once; one stays in any case ("50%")

---@class neap.Breaker
---@field errors? integer errors in a row; 0: not by this (5)
---@field rate? string|number error rate in a window; 0: not by this ("50%")
---@field min_requests? integer of a window, before its rate counts (20)
---@field window? string|number over which the rate is taken (10s)
---@field open? string|number how long it lets nothing through (5s)
---@field trials? integer requests it tries then; a bad one opens it again (3)

---@class neap.Pool
---@field name string what routes call it
---@field backends? (string|table)[] "host:port", "host:port weight=2 max_connections=100", "host:port backup"
---@field discover? string|string[] more: "dns:name:port", "srv:name", "file:path", "etcd:http://host:2379/prefix"
---@field discover_refresh? string|number between two questions where no time to live is said (30s)
---@field balance? string|fun(req: neap.Request, pool: neap.PoolView): integer? picks ("weighted_round_robin")
---@field params? table<string, number|string|boolean> its parameters
---@field key? string what hashing goes by: client, path, host, query, "query NAME", "header NAME", "cookie NAME"
---@field connect_timeout? string|number to reach a backend (2s)
---@field response_timeout? string|number for the head of a response, and between parts of a body (60s)
---@field idle_timeout? string|number of a connection kept to a backend (60s)
---@field max_idle? integer connections kept per backend and worker (64)
---@field max_queue? integer requests that wait for a backend, on each worker (1024)
---@field queue_timeout? number|string they wait for so long ("5s")
---@field max_retries? integer other backends tried for a request that is safe to repeat (2)
---@field down_time? string|number a backend that could not be reached is left alone for so long (5s)
---@field retry_delay? string|number before another backend is tried; doubles with each try (0)
---@field retry_budget? number retries, as a share of the requests (0.2)
---@field hedge? string|number|{ delay?: string|number, budget?: number } a second copy of slow requests: "p95", 0.05
---@field session? string|neap.Session keep clients with their backend: "cookie", "table"
---@field enable_sticky_sessions? boolean the same as session = "cookie"
---@field session_timeout? string|number of a session without requests (1h)
---@field health? boolean|string|neap.Health probes: true, a path, "tcp", or a table (none)
---@field health_check_interval? string|number the guide's name of health.interval; alone it turns probes on
---@field health_check_timeout? string|number the guide's name of health.timeout, likewise
---@field eject? boolean|neap.Eject leave alone for a while what gives errors (true)
---@field breaker? boolean|neap.Breaker a circuit breaker for each backend (false)
---@field slow_start? string|number the share of a backend that has come (back) grows for so long (0)
---@field panic? string|number with less of the pool than this well, health is ignored ("50%")
---@field dynamic_weight? boolean shares follow reported utilisation (false)
---@field load_probes? boolean ask backends for the load that the policy wants to know (false)

--- A pool of backends.
---@param options neap.Pool
function M.pool(options) declare("pool", options) end

---@class neap.Edits
---@field set? table<string, string> headers to set, replacing any
---@field remove? string|string[] headers to take out, before any are set

---@alias neap.Part string "client", "host", "path", "query", "method", "target", "header NAME", "cookie NAME", ...

---@class neap.Limit
---@field rate string|number "10/s", "600/m", "1000/h", or a number a second
---@field burst? integer requests at once (those of a second)
---@field by? neap.Part|neap.Part[] what has a bucket of its own ("client")
---@field rates? neap.Table|string map of rates by the first part of `by`
---@field name? string limits of one name share their buckets (the route's name)
---@field status? integer what is answered (429)

---@class neap.Cors
---@field origins? string|string[] "https://a.example", "https://*.example.com", "*" ("*")
---@field methods? string|string[] what they may ask with (GET, HEAD, POST)
---@field headers? string|string[] that they may send (what is asked for)
---@field expose? string|string[] headers of responses that they may read
---@field credentials? boolean cookies and credentials are sent along
---@field max_age? string|number a preflight is good for so long (10m)

---@class neap.Auth
---@field basic? table<string, string>|neap.Table|string users: { name = "sha256:SALT:HEX" }, or a map
---@field bearer? table<string, string>|neap.Table|string tokens, the same; in a map or set: SHA-256 digests
---@field realm? string what is asked for credentials ("neap")
---@field user_header? string header that tells the backend who it is
---@field forward? boolean the backend gets the credentials too (true)

---@class neap.CacheRule
---@field ttl? string|number freshness of responses that do not state theirs
---@field space? string responses are shared between routes of one space (the pool's name)
---@field key? neap.Part[]|fun(req: neap.Request): string? what they are stored under ({ "host", "path", "query" })
---@field keep_query? string[] the only parameters of the query that count
---@field drop_query? string[] parameters of the query that do not count
---@field prefetch? boolean whether neap.cache { prefetch } has a part in its responses (true)
---@field tiers? boolean|string|string[] whether they lie in the tiers of neap.tiers, too, or which ones (true)

---@class neap.Route
---@field name? string for logs
---@field path? string "/a": this path; "/a*": all that begin so; "/": every path
---@field prefix? string "/a": this path and all below it
---@field exact? string this path, "/" too
---@field host? string "example.com", or "*.example.com" for all below it
---@field method? string|string[]
---@field header? table<string, string|true> headers that must be there
---@field query? table<string, string|true> parameters of the query that must be there
---@field when? fun(req: neap.Request): boolean? asked when all else matches
---@field pool? string|fun(req: neap.Request): (string|neap.Value)? send it there, or what names the pool
---@field fallback? string the pool where that function names none, or fails
---@field split? table<string, integer|neap.Part> pools by weight: { app = 95, beta = 5, by = "cookie id" }
---@field respond? integer|{ status?: integer, body?: string, content_type?: string } answer it
---@field redirect? string|{ to: string, status?: integer } redirect it
---@field cache? boolean|neap.CacheRule
---@field rewrite? string|{ to?: string, strip?: string, prefix?: string } what the backend is asked for
---@field limit? string|neap.Limit
---@field cors? boolean|neap.Cors whose pages may
---@field auth? neap.Auth who may
---@field action? fun(req: neap.Request, res: neap.Response) decides about each request
---@field on_fault? "pass"|"refuse" where a function fails ("pass")
---@field mirror? string|{ pool: string, share?: number, most?: integer } a copy to another pool
---@field tag? string a word for the access log
---@field request_headers? neap.Edits changes to what the backend gets
---@field response_headers? neap.Edits changes to what the client gets

--- A route: what it matches, and what is done then. The most specific one is taken, whatever the order.
---@param options neap.Route
function M.route(options) declare("route", options) end

---@class neap.TableOptions
---@field name string
---@field kind? "map"|"set"|"prefix"|"network"|"weights" what its rows are (map)
---@field file? string its rows, a line each: "key,value"; read again when it changes
---@field rows? table its rows, here: { key = value } or { "key" }

--- A data table: rows that change without the configuration. Its handle answers in functions, and stands in routes.
---@param options neap.TableOptions
---@return neap.Table
function M.table(options)
  declare("table", options)
  return tables.handle(config.count "table" - 1)
end

---@class neap.Log
---@field access? string the access log: a file, "stdout" or "off" (stdout)
---@field format? "json"|"combined" of its lines ("json")

--- Logs.
---@param options neap.Log
function M.log(options) declare("log", options) end

---@class neap.Engine
---@field workers? integer threads that serve (one per core)
---@field name_servers? string|string[] for what pools discover (the system's)
---@field grace? string|number for requests in flight when it stops (30s)

--- The engine itself.
---@param options neap.Engine
function M.engine(options) declare("engine", options) end

---@class neap.Control
---@field socket? string where operators reach it: a path, "auto" or "off" ("auto")
---@field mode? string permissions of that path, in octal ("600")

--- The admin interface over HTTP: metrics, status and the verbs of the control socket.
---@class neap.AdminOptions
---@field listen string its address
---@field token? string at least 16 letters: what clients must send as a bearer token
---@param options neap.AdminOptions
function M.admin(options) declare("admin", options) end

--- The control socket, for `neap status`, `neap reload` and the like.
---@param options neap.Control
function M.control(options) declare("control", options) end

---@class neap.Reload
---@field watch? boolean reload when a file that the configuration is made of changes (false)
---@field dry_run? boolean try functions on sample requests first, and refuse what fails (true)
---@field keep? integer old generations that `neap rollback` can bring back (5)

--- How the configuration is replaced.
---@param options neap.Reload
function M.reload(options) declare("reload", options) end

--- Threads that serve; the same as neap.engine { workers = count }.
---@param count integer
function M.workers(count) declare("engine", { workers = count }) end

--- A policy in a file beside the configuration: "mine" is mine.lua, or policies/<evict or balance>/mine.lua.
---@param name string
---@return string
function M.custom(name)
  if type(name) ~= "string" then error("neap.custom wants the name of a file", 2) end
  return format("Custom(%s)", sub(name, 1, 240))
end

local loaded = {} -- by path

-- What is shipped in policies/<folder>/, by name; `what` it is called, `names` those there are.
local function shipped(folder, name, what, names)
  if type(name) ~= "string" then error(format("this wants the name of a %s", what), 3) end
  local text, path = config.rule_text(folder, name)
  if not text then
    local near = config.nearest(name, names)
    error(format("there is no %s %q%s", what, name, near and format("; did you mean %q?", near) or ""), 3)
  end
  loaded[path] = loaded[path] or sandbox.load(path, text)
  return loaded[path]
end

--- A rule that comes with the engine, by name: called with its options it gives a function for `when`, `action` or
-- `pool` of a route (policies/route says which).
--
--     neap.route { path = "/", pool = "beta", when = neap.rule "canary" { header = "x-version", value = "beta" } }
---@param name string
---@return fun(options: table): fun(req: neap.Request, res: neap.Response): boolean|string|neap.Value?
function M.rule(name)
  local rule = shipped("route", name, "rule", config.rules) -- no tail call: errors name the caller's line
  return rule
end

--- A check of probes that comes with the engine, by name; called with its options it gives a function for
--- `health.check`.
--
--     neap.pool { name = "app", backends = ..., health = { check = neap.probe "slow" { limit_ms = 100 } } }
---@param name string
---@return fun(options: table): fun(reply: neap.Reply): boolean?
function M.probe(name)
  local check = shipped("health", name, "check", config.checks)
  return check
end

local words = {}
for name in pairs(M) do words[#words + 1] = name end

-- A mistyped function ends the file: nothing after it could be trusted.
return setmetatable(M, {
  __index = function(_, name)
    local near = config.nearest and type(name) == "string" and config.nearest(name, words)
    error(format("neap has no %s%s", tostring(name), near and "; did you mean neap." .. near .. "?" or ""), 2)
  end,
})
