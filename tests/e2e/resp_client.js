// Uses the RESP port as an application does, through node-redis, unmodified. Usage: node resp_client.js PORT
// Prints "ok" at the end; whatever goes wrong is an error.
"use strict";
const assert = require("assert");
const { createClient } = require("redis");

async function main() {
  const client = createClient({ url: "redis://127.0.0.1:" + process.argv[2] });
  const failures = [];
  client.on("error", (error) => failures.push(error));
  await client.connect();
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.set("greeting", "hello"), "OK");
  assert.equal(await client.get("greeting"), "hello");
  assert.equal(await client.get("nothing"), null);
  assert.equal(await client.set("greeting", "x", { NX: true }), null);
  assert.equal(await client.set("greeting", "bye", { EX: 100, XX: true, GET: true }), "hello");
  const ttl = await client.ttl("greeting");
  assert.ok(ttl > 90 && ttl <= 100, "ttl " + ttl);
  assert.equal(await client.incrBy("count", 41), 41);
  assert.equal(await client.incr("count"), 42);
  assert.equal(await client.append("greeting", "!"), 4);
  await client.mSet({ a: "1", b: "2" });
  assert.deepEqual(await client.mGet(["a", "none", "b"]), ["1", null, "2"]);
  const large = "x".repeat(300000);
  await client.set("large", large);
  assert.equal(await client.get("large"), large);
  const many = await Promise.all(Array.from({ length: 1000 }, (_, i) => client.set("key:" + i, "" + i)));
  assert.equal(many.filter((reply) => reply === "OK").length, 1000);
  const keys = new Set();
  for await (const found of client.scanIterator({ MATCH: "key:*", COUNT: 100 })) {
    for (const key of [].concat(found)) keys.add(key);
  }
  assert.equal(keys.size, 1000);
  assert.ok((await client.info()).includes("keyspace_hits:"));
  assert.equal(await client.del(["a", "b", "none"]), 2);
  await assert.rejects(client.sendCommand(["HSET", "h", "f", "v"]), /unknown command 'HSET'/);
  await assert.rejects(client.incr("greeting"), /not an integer/);
  await client.quit();
  assert.deepEqual(failures, []);
  console.log("ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
