local fake = dofile "tests/lua/request.lua"
local tenant_sharding = dofile "policies/route/tenant_sharding.lua"

local function of(rule, tenant)
  local pool = rule(fake.request { headers = { ["x-tenant"] = tenant } })
  return pool and tostring(pool)
end

describe("tenant sharding", function()
  local options = { by = "header x-tenant", shards = { "s1", "s2", "s3", "s4" } }

  it("spreads tenants evenly, each always to the same shard", function()
    local rule, counts = tenant_sharding(options), { s1 = 0, s2 = 0, s3 = 0, s4 = 0 }
    for i = 1, 4000 do
      local shard = of(rule, "tenant-" .. i)
      assert.equal(shard, of(rule, "tenant-" .. i))
      counts[shard] = counts[shard] + 1
    end
    for _, count in pairs(counts) do assert.is_near(1000, count, 200) end
  end)

  it("moves only what a new shard takes", function()
    local before, after = tenant_sharding(options), tenant_sharding { by = "header x-tenant",
                                                                      shards = { "s1", "s2", "s3", "s4", "s5" } }
    local moved = 0
    for i = 1, 4000 do
      local was, is = of(before, "tenant-" .. i), of(after, "tenant-" .. i)
      assert(was == is or is == "s5")
      moved = moved + (was == is and 0 or 1)
    end
    assert.is_near(800, moved, 200)
  end)

  it("asks the table first, and leaves who is nobody to the fallback", function()
    local rule = tenant_sharding { by = "header x-tenant", shards = { "s1" }, moved = fake.table { big = "own" } }
    assert.equal("own", of(rule, "big"))
    assert.equal("s1", of(rule, "small"))
    assert.is_nil(of(rule, nil))
    assert.is_nil(of(rule, ""))
    assert.equal("s1", tenant_sharding { shards = { "s1" } } (fake.request()))
    assert.equal("s1", tenant_sharding { shards = { "s1" }, by = "cookie t" } (fake.request { cookies = { t = "x" } }))
  end)

  it("refuses options that mean nothing", function()
    assert.has_error(function() tenant_sharding {} end)
    assert.has_error(function() tenant_sharding { shards = { "a" }, by = "path" } end)
    assert.has_error(function() tenant_sharding { shards = { "a" }, shard = 1 } end)
  end)
end)
