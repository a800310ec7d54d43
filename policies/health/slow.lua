--- slow: a backend that answers late is unwell, before it stops answering at all.
-- Idea: what is about to fail is slow first; a health document that takes long shows it without a request lost.
-- Options: limit_ms (250): longest time for an answer; header, optional: one that must not say "degraded".
-- Cost: once per probe, on the control thread.
--
--     health = { check = neap.probe "slow" { limit_ms = 100 } }

---@param options { limit_ms?: number, header?: string }
---@return fun(reply: neap.Reply): boolean
return function(options)
  local limit_ms, header = options.limit_ms or 250, options.header
  if type(limit_ms) ~= "number" or limit_ms <= 0 then error("slow: limit_ms must be a number above 0", 2) end
  if header ~= nil and type(header) ~= "string" then error("slow: header must be a name", 2) end
  return function(reply)
    if reply.status < 200 or reply.status > 299 or reply.took_ms > limit_ms then return false end
    local said = header and reply:header(header)
    return not (said and said:eq "degraded")
  end
end
