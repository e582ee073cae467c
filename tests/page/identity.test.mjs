// Ids and hashes, against the vectors that all languages share.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { contentOf, eventId, idOf, mint, mustMatch, newSecret } from "../../chronoflux/page/static/identity.js";
import { hex, sha256 } from "../../chronoflux/page/static/sha256.js";

test("SHA-256 agrees with OpenSSL for every length around the block's", () => {
  for (let length = 0; length < 200; length++) {
    const bytes = randomBytes(length);
    assert.equal(hex(sha256(bytes)), createHash("sha256").update(bytes).digest("hex"));
  }
});

test("events have the ids of the vectors", () => {
  const vectors = JSON.parse(readFileSync(new URL("../event_ids.json", import.meta.url), "utf8"));
  for (const { what, origin, type, at, content, id } of vectors) {
    assert.equal(eventId(origin, type, at, content), id, what);
  }
});

test("a node's id is the hash of its secret's bytes", () => {
  const secret = newSecret();
  assert.match(secret, /^[0-9a-f]{32}$/);
  assert.equal(idOf(secret), createHash("sha256").update(Buffer.from(secret, "hex")).digest("hex").slice(0, 32));
});

test("what cannot be encoded is refused", () => {
  for (const value of [NaN, Infinity, "\ud800", undefined, () => 0]) {
    assert.throws(() => eventId("o", "x", 1, { value }), RangeError);
  }
  let deep = {};
  for (let i = 0; i < 40; i++) deep = { deep };
  assert.throws(() => eventId("o", "x", 1, deep), RangeError);
});

test("an id that is taken is made anew, a microsecond later", () => {
  const [first, at] = mint("o", "flip", 1.7e12, {}, () => false);
  const [second, later] = mint("o", "flip", 1.7e12, {}, (id) => id === first);
  assert.equal(at, 1.7e12);
  assert.ok(later > at && second !== first && mustMatch(second));
});

test("the envelope is no content", () => {
  assert.deepEqual(contentOf({ type: "portal", id: "i", at: 1, hops: 2, on: true, world: [1, 2] }), {
    on: true,
    world: [1, 2],
  });
});
