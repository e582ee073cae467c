// The page's mesh time, in simulated rooms: clocks that drift, delays that vary, members that lie or leave.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BURST, MeshClock, intersection } from "../../chronoflux/page/static/clock.js";
import { UNSYNCED } from "../../chronoflux/page/static/offset_filter.js";

/** Numbers in [0, 1) that are the same in every run. */
function draws(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A room in virtual time: every member probes every other in bursts, 64 ms apart, every 10 s. */
class Room {
  constructor(seed, delay = 2) {
    this.random = draws(seed);
    this.delay = delay; // ms, most, one way
    this.time = 0; // true ms
    this.members = new Map();
    this.lies = new Map();
  }

  add(id, { ppm = 0, utc = 0 } = {}) {
    const start = 1e6 * this.random();
    const born = this.time;
    const mono = () => start + (this.time - born) * (1 + ppm / 1e6);
    const clock = new MeshClock(mono, () => 1.7e12 + this.time * (1 + ppm / 1e6) + utc);
    this.members.set(id, { clock, joined: 1000 + this.members.size, probe: this.time + 5000 * this.random() });
    return clock;
  }

  async run(ms, each = () => {}) {
    const end = this.time + ms;
    while (this.time < end) {
      this.time += 64;
      const ranked = [...this.members].map(([id, { joined }]) => ({ id, joined }));
      for (const [id, member] of this.members) {
        const others = [...this.members.keys()].filter((other) => other !== id);
        member.clock.roster({ id, joined: member.joined }, others, ranked);
        const phase = (this.time - member.probe) % 10_000;
        if (phase >= 0 && phase < 64 * BURST) for (const other of others) this.probe(id, other);
        member.clock.look();
      }
      each();
    }
  }

  probe(from, to) {
    const asker = this.members.get(from).clock;
    const answerer = this.members.get(to).clock;
    const there = this.delay * this.random();
    const back = this.delay * this.random();
    const start = this.time;
    const sent = asker.mono();
    const t0 = asker.now();
    asker.ask(to);
    this.time = start + there;
    const t1 = answerer.now();
    const reply = { t0, t1, t2: t1, ref: "", ...answerer.standing(), ...this.lies.get(to)?.(t1) };
    this.time = start + there + back;
    const received = asker.mono();
    try {
      asker.take(from === to ? "" : to, sent, reply, received);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
    this.time = start;
  }

  error(id, reference) {
    return Math.abs(this.members.get(id).clock.now() - this.members.get(reference).clock.now());
  }
}

test("members follow the first, and stay within their uncertainty for an hour", async () => {
  const room = new Room(1);
  room.add("first", { ppm: 30 });
  await room.run(5000);
  room.add("second", { ppm: -40, utc: 7_200_000 });
  room.add("third", { ppm: 50, utc: -3000 });
  await room.run(30_000);
  let worst = 0;
  await room.run(3_600_000, () => {
    for (const id of ["second", "third"]) {
      const known = room.members.get(id).clock.offset("first");
      const error = room.error(id, "first");
      assert.ok(error <= Math.abs(known.offset) + known.uncertainty + 1e-3);
      worst = Math.max(worst, error);
    }
  });
  assert.ok(worst < 2.5, `${worst} ms`);
  assert.equal(room.members.get("second").clock.stratum, 1);
  assert.equal(room.members.get("second").clock.steps, 1);
});

test("the successor of the reference goes on with the time there was", async () => {
  const room = new Room(2);
  room.add("a");
  await room.run(2000);
  room.add("b", { utc: 5_000_000 });
  room.add("c", { utc: -60_000 });
  await room.run(30_000);
  const before = room.members.get("a").clock.now() - room.time;
  room.members.delete("a");
  await room.run(60_000);
  assert.equal(room.members.get("c").clock.reference, "b");
  assert.ok(Math.abs(room.members.get("b").clock.now() - room.time - before) < 5);
  assert.ok(room.error("c", "b") < 5);
});

test("a member that lies about itself and others is not followed", async () => {
  for (const by of [1e9, 1700, 100]) {
    const room = new Room(3);
    room.add("honest");
    await room.run(2000);
    for (const id of ["me", "other", "liar"]) room.add(id);
    room.lies.set("liar", (t) => ({ t1: t + by, t2: t + by, ref: "ghost", stratum: 1 }));
    await room.run(600_000);
    assert.ok(room.error("me", "honest") < 5);
    assert.equal(room.members.get("me").clock.reference, "honest");
    if (by > 1000) assert.notEqual(room.members.get("me").clock.objection("liar"), "");
  }
});

test("mesh time never runs backwards, and is slewed by 500 ppm at most", async () => {
  const room = new Room(4, 20);
  room.add("a", { ppm: 50 });
  await room.run(2000);
  const clock = room.add("b", { ppm: -50 });
  await room.run(20_000);
  let [mono, mesh] = [clock.mono(), clock.now()];
  await room.run(300_000, () => {
    const [m, t] = [clock.mono(), clock.now()];
    assert.ok(Math.abs(t - mesh - (m - mono)) <= 500e-6 * (m - mono) + 1e-3);
    [mono, mesh] = [m, t];
  });
});

test("replies that cannot be true are refused", () => {
  const clock = new MeshClock(() => 100, () => 1.7e12);
  clock.roster({ id: "me", joined: 2 }, ["p"], [{ id: "p", joined: 1 }]);
  const reply = { t0: 0, t1: 1.7e12, t2: 1.7e12, ref: "p", stratum: 0 };
  assert.throws(() => clock.take("p", 0, { ...reply, t2: 1.7e12 - 1 }, 100), RangeError);
  assert.throws(() => clock.take("p", 0, { ...reply, t2: 1.7e12 + 500 }, 100), RangeError);
  assert.throws(() => clock.take("p", 0, { ...reply, ref: "x" }, 100), RangeError);
  clock.take("stranger", 0, reply, 100);
  assert.equal(clock.offset("stranger"), null);
});

test("a newcomer waits for the room's time, and does without it after a while", () => {
  let time = 0;
  const clock = new MeshClock(() => time, () => 1.7e12 + time);
  clock.roster({ id: "me", joined: 2 }, ["p"], [{ id: "p", joined: 1 }, { id: "me", joined: 2 }]);
  clock.ask("p");
  assert.deepEqual([clock.settled, clock.stratum], [false, UNSYNCED]);
  clock.look();
  assert.equal(clock.settled, false);
  for (time = 1000; time <= 12_000; time += 1000) clock.look();
  assert.deepEqual([clock.settled, clock.reference], [true, "me"]);
});

test("the intersection of intervals is Marzullo's", () => {
  assert.deepEqual(intersection([[8, 12], [11, 13], [10, 12], [50, 60]]), [11, 12, 3]);
  assert.deepEqual(intersection([]), [0, 0, 0]);
});
