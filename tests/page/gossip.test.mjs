// Events between nodes: each once, none forgotten early, standing ones by rank; and who is in the room.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Gossip, OLD, TOLD, contentFor, messageOf, oldId } from "../../chronoflux/page/static/gossip.js";
import { Refused } from "../../chronoflux/page/static/protocol.js";
import { Roster } from "../../chronoflux/page/static/roster.js";

const number = { type: "number" };
const INTENT = { name: "intent", wire: "intent", label: "", nested: "intent", standing: false, fields: { x: { ...number, px: "x" } } };
const GATE = { name: "lion_gate", wire: "portal", label: "", nested: null, standing: true, fields: { on: { type: "boolean" } } };
const event = (id, at, more = {}) => ({ kind: INTENT, data: { x: 1 }, id, origin: "o", at, ...more });
const gate = (on, at, more = {}) => ({ kind: GATE, data: { on }, id: `g${at}`, origin: "o", at, ...more });

test("an event counts once, however it comes", () => {
  const gossip = new Gossip();
  assert.ok(gossip.accept(event("a", 1000), 1000));
  assert.ok(!gossip.accept(event("a", 1000), 1010, { relayed: true }));
  assert.ok(gossip.seen("o", "a") && !gossip.seen("other", "a"));
  assert.ok(gossip.accept(event("a", 1000, { origin: "other" }), 1010), "ids of two origins are two events");
});

test("events out of time are refused", () => {
  const gossip = new Gossip();
  assert.throws(() => gossip.accept(event("a", 3000), 999), Refused);
  assert.throws(() => gossip.accept(event("a", 0), 90_001), Refused);
});

test("a full memory refuses, and forgets nothing before its time; the direct way stays open", () => {
  const gossip = new Gossip();
  for (let i = 0; i < 2048; i++) assert.ok(gossip.accept(event(`e${i}`, 0), 0, { relayed: true }));
  assert.throws(() => gossip.accept(event("one more", 0), 0, { relayed: true }), Refused);
  assert.ok(gossip.seen("o", "e0"));
  assert.ok(gossip.accept(event("direct", 0), 0));
  assert.ok(gossip.accept(event("later", 95_001), 95_001, { relayed: true }), "there is room again");
  assert.ok(!gossip.seen("o", "e0"));
});

test("the latest standing event holds, ties by origin", () => {
  const gossip = new Gossip();
  assert.ok(gossip.accept(gate(true, 1000), 1000));
  assert.ok(!gossip.accept(gate(false, 900, { id: "late" }), 1000));
  assert.ok(gossip.accept(gate(false, 1000, { id: "tie", origin: "p" }), 1000));
  assert.equal(gossip.standing("lion_gate", 1000).data.on, false);
  assert.equal(gossip.standing("lion_gate", -5000), null, "one from the future is not in force");
});

test("an old client's gate that a state repeats is one event", () => {
  const gossip = new Gossip();
  assert.ok(gossip.accept(gate(true, 1000, { id: `${OLD}p:1`, origin: "p" }), 1000));
  assert.ok(!gossip.takesOver(gate(true, 4000, { id: `${TOLD}p:4`, origin: "p" }), 4000));
});

test("an old client may repeat an event, after a second", () => {
  const gossip = new Gossip();
  const id = oldId("p", INTENT, { x: 1 });
  assert.ok(gossip.accept(event(id, 0), 0));
  assert.ok(!gossip.accept(event(id, 900), 900));
  assert.ok(gossip.accept(event(id, 1100), 1100));
});

test("own events are numbered, told again for a minute, and moved with mesh time", () => {
  const gossip = new Gossip();
  assert.deepEqual([gossip.own(event("a", 1000)).n, gossip.own(event("b", 2000)).n], [0, 1]);
  gossip.shift(500);
  assert.deepEqual(gossip.recent(61_400).map(({ id, at, stamp }) => [id, at, stamp]), [["a", 1500, 1000], ["b", 2500, 2000]]);
  assert.deepEqual(gossip.recent(61_600).map(({ id }) => id), ["b"]);
});

test("a message has what its id covers, as it came", () => {
  const content = { intent: { x: 1, y: 2 }, world: [800, 600] };
  assert.deepEqual(messageOf(event("a", 5, { n: 3, content }), 2), {
    type: "intent", id: "a", origin: "o", at: 5, n: 3, hops: 2, ...content,
  });
  assert.deepEqual(contentFor(INTENT, { x: 1 }, [800, 600]), { intent: { x: 1 }, world: [800, 600] });
  assert.deepEqual(contentFor(GATE, { on: true }, [800, 600]), { on: true });
});

test("members are those of the roster, and those that left lately", () => {
  let now = 0;
  const roster = new Roster(() => now);
  const member = (id, joined, more = {}) => ({ id, joined, kind: "page", lasting: true, ...more });
  const message = { members: [], left: [], whole: false, complete: true, size: 2, since: 7 };
  assert.equal(roster.belongs("a"), null, "nothing is known");
  roster.take({ ...message, members: [member("b", 2), member("a", 1), member("old", 0, { lasting: false })], whole: true });
  assert.deepEqual(roster.ranked().map(({ id }) => id), ["a", "b"]);
  roster.take({ ...message, left: ["a"] });
  now = 59;
  assert.deepEqual([roster.belongs("a"), roster.belongs("ghost")], [true, false]);
  now = 61;
  assert.equal(roster.belongs("a"), false);
});

test("a restarted server's roster is completed by what was known", () => {
  let now = 0;
  const roster = new Roster(() => now);
  const member = (id, joined) => ({ id, joined, kind: "headless", lasting: true });
  const message = { members: [member("a", 1), member("b", 2)], left: [], whole: true, complete: true, size: 2, since: 7 };
  roster.take(message);
  roster.take({ ...message, members: [member("b", 900)], since: 8 });
  assert.deepEqual(roster.ranked().map(({ id, joined }) => [id, joined]), [["a", 1], ["b", 2]]);
  now = 61;
  assert.deepEqual(roster.ranked().map(({ id, joined }) => [id, joined]), [["b", 900]]);
});

test("in a large room the server is asked", () => {
  let now = 0;
  const roster = new Roster(() => now);
  roster.take({ members: [], left: [], whole: true, complete: false, size: 999, since: 1 });
  assert.equal(roster.belongs("x"), null);
  roster.answer({ ids: ["x", "y"], present: [{ id: "x", joined: 4, kind: "page", lasting: true }] });
  assert.deepEqual([roster.belongs("x"), roster.belongs("y")], [true, false]);
  now = 61;
  assert.equal(roster.belongs("y"), null);
});
