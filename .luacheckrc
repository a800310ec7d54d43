std = "luajit"
max_line_length = 120
exclude_files = { "build/**" }
-- Every policy and runtime file keeps its names local; busted adds its own in the specs.
files["tests/lua"] = { std = "luajit+busted" }
files["policies/**/*_spec.lua"] = { std = "luajit+busted" }
files["examples/**/neap.lua"] = { std = "luajit" }
