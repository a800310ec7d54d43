--- Who may use a route, and from which pages: the kinds of `auth` and `cors`.
local check = require "neap.check"

local M = {}

local match, lower, concat, format = string.match, string.lower, table.concat, string.format
local record, list, text, map = check.record, check.list, check.text, check.map

-- --- tables in routes ---

--- A data table: its handle, or its name.
function M.table(value)
  local index = type(value) == "cdata" and require "neap.table".index(value) -- late: it wants an engine
  if index then return { index = index } end
  if type(value) == "string" and value ~= "" then return { name = value } end
  return nil, "write what neap.table gave, or its name"
end

-- --- CORS ---

local function origin(value)
  if value == "*" then return value end
  if type(value) == "string" and #value <= 256 and match(value, "^%l[%l%d+.-]*://%*?[%w.-]+:?%d*$")
    and (not match(value, "%*") or match(value, "://%*%.[^*]+$")) then return lower(value) end
  return nil, 'write an origin: "https://a.example", "https://*.example.com", or "*" for any'
end

function M.method(value)
  if type(value) == "string" and #value <= 32 and match(value, "^[%u-]+$") then return value end
  return nil, "write a method in capital letters"
end

local CORS = record {
  { name = "origins", kind = list(origin, 1), default = { "*" }, text = "whose pages may: origins, or *" },
  { name = "methods", kind = list(M.method, 1), default = { "GET", "HEAD", "POST" }, text = "what they may ask with" },
  { name = "headers", kind = list(check.token), default = {}, text = "that they may send; default: what is asked for" },
  { name = "expose", kind = list(check.token), default = {}, text = "headers of responses that they may read" },
  { name = "credentials", kind = check.boolean, default = false, text = "cookies and credentials are sent along" },
  { name = "max_age", kind = check.duration(0, 86400000), default = 600000, text = "a preflight is good for so long" },
}

--- true, or a table.
function M.cors(value, scope)
  local cors, hint = CORS(value == true and {} or value, scope)
  if not cors then return nil, hint and "write true or a table" end
  local any, origins = false, {}
  for _, one in ipairs(cors.origins or {}) do
    if one == "*" then any = true else origins[#origins + 1] = one end
  end
  if any and cors.credentials then return nil, "with credentials, origins have to be named" end
  return { any_origin = any, origins = origins, credentials = cors.credentials or false,
           methods = concat(cors.methods or {}, ", "), headers = concat(cors.headers or {}, ", "),
           expose = concat(cors.expose or {}, ", "), max_age = format("%d", (cors.max_age or 0) / 1000) }
end

-- --- credentials ---

local HASH_HINT = 'write "sha256:SALT:HEX", as printf %s "$SALT$SECRET" | sha256sum makes it; no secret itself'

-- A wrong one is not shown: it may be the secret itself.
local function hash(value, scope)
  if type(value) == "string" and #value <= 256 and match(value, "^sha256:[^:%c]*:%x+$")
    and #match(value, "%x+$") == 64 then return value end
  check.problem(scope, HASH_HINT)
  return nil
end

local USER = text { most = 127, pattern = "^[^%c:]+$", hint = "write a name without colon" }
local USERS = map(USER, hash)

-- Inline, or a data table.
local function holders(value, scope)
  local handle = type(value) ~= "table" and M.table(value)
  if handle then return { table = handle, users = {} } end
  local users, hint = USERS(value, scope)
  return users and { users = users }, hint
end

local AUTH = record {
  { name = "basic", kind = holders, text = "users: { name = \"sha256:SALT:HEX\" }, or a map" },
  { name = "bearer", kind = holders,
    text = "tokens: { name = \"sha256:SALT:HEX\" }, or a map or set of SHA-256 digests" },
  { name = "realm", kind = text { most = 100, pattern = '^[^%c"\\]*$', hint = "write a text without quotes" },
    default = "neap", text = "what is asked for credentials" },
  { name = "user_header", kind = check.token, default = "", text = "header that tells the backend who it is" },
  { name = "forward", kind = check.boolean, default = true, text = "the backend gets the credentials too" },
}

function M.auth(value, scope)
  local auth, hint = AUTH(value, scope)
  if not auth then return nil, hint end
  if (value.basic ~= nil) == (value.bearer ~= nil) then return nil, "takes one of basic and bearer" end
  local from = auth.basic or auth.bearer
  if not from then return nil end
  return { scheme = auth.basic and "basic" or "bearer", users = from.users, table = from.table, realm = auth.realm,
           user_header = auth.user_header, forward = auth.forward }
end

return M
