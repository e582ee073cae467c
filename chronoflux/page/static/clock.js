/**
 * Mesh time: ms since the Unix epoch on the room's common clock.
 *
 * The reference is the member that joined first by the server's word, or its successor. The rules are those of the
 * Python package's `chronoflux.mesh.clock` and `succession`; the page's own server always says who is in the room.
 */

import { FAR_WINDOW, PeerClock, ROUNDING, SLEW, UNSYNCED, WINDOW } from "./offset_filter.js";

/** Clocks further apart than this are on different times. */
export const STEP = 128;
const SHARP = 2;
export const BURST = 8;
const BURST_MS = 1000;
const PATIENCE = 10_000;
const LATEST = 10_000;
const STALL = 5000;
const TOLERANCE = 50;
const CARRIED = 5;
const CARRIERS = [1, 2];
const MOST_ASKED = 64;
const AT_ONCE = 2;
const SAME_TIME = 0.75;

/** @typedef {{offset: number, uncertainty: number, roundTrip: number}} Offset a peer's clock minus ours */
/** @typedef {{id: string, joined: number}} Ranked */
/** @typedef {{t0: number, t1: number, t2: number, ref: string, stratum: number}} Reply */
/** @typedef {{reference: string, stratum: number, joined: number, step: number | null, slew: number | null}} Course */
/**
 * @typedef {{kind: "followed", reference: string, stratum: number, step: number | null}
 *   | {kind: "judged", peer: string, trusted: boolean, reason: string}} Change
 */

/** Whether a clock is on the same time as one with this offset. @param {Offset} known @param {number} [offset] */
function near(known, offset = 0) {
  return Math.abs(known.offset - offset) <= STEP + known.uncertainty;
}

/** Whether one member ranks before another. @param {Ranked} a @param {Ranked} b */
function before(a, b) {
  return a.joined < b.joined || (a.joined === b.joined && a.id < b.id);
}

/**
 * The interval that most of the intervals contain, and how many do (K. Marzullo, Stanford thesis, 1984).
 *
 * @param {[number, number][]} intervals @returns {[number, number, number]}
 */
export function intersection(intervals) {
  const edges = intervals.flatMap(([low, high]) => [
    [low, 0],
    [high, 1],
  ]);
  edges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let best = 0;
  let count = 0;
  /** @type {[number, number]} */
  let found = [0, 0];
  edges.forEach(([at, ends], number) => {
    count += ends ? -1 : 1;
    if (count > best) {
      best = count;
      found = [at, edges[number + 1][0]];
    }
  });
  return [...found, best];
}

export class MeshClock {
  /**
   * @param {() => number} mono a monotonic clock, ms
   * @param {() => number} utc ms since the Unix epoch
   * @param {number} tick the resolution of both, ms
   */
  constructor(mono = () => performance.now(), utc = () => Date.now(), tick = 0) {
    this.mono = mono;
    this.utc = utc;
    this.tick = tick;
    /** How often mesh time was moved by a step. */
    this.steps = 0;
    /** Members whose time must be measured, best first. @type {string[]} */
    this.asked = [];
    /** @type {{since: number, time: number, slew: number} | null} */
    this._line = null;
    this._gap = 0;
    this._own = { id: "", joined: Infinity };
    /** @type {Course} */
    this._course = { reference: "", stratum: UNSYNCED, joined: Infinity, step: null, slew: null };
    /** @type {Ranked[]} */
    this._ranked = [];
    /** @type {Ranked} the best member whose time this page has been on */
    this._authority = { id: "", joined: Infinity };
    /** @type {Set<string>} */
    this._neighbours = new Set();
    /** @type {Map<string, number>} */
    this._met = new Map();
    /** @type {Map<string, PeerClock>} */
    this._peers = new Map();
    /** @type {Map<string, number>} */
    this._ticks = new Map();
    this._looked = Infinity;
  }

  // -- reading ------------------------------------------------------------------------------------------

  /** Mesh time, ms with fractions. */
  now() {
    if (!this._line) return this.utc();
    const passed = this.mono() - this._line.since;
    const slewed = Math.min(Math.abs(this._line.slew), SLEW * passed) * Math.sign(this._line.slew);
    return this._line.time + passed + slewed;
  }

  get reference() {
    return this._course.reference;
  }

  get stratum() {
    return this._course.stratum;
  }

  /** Whether mesh time is fixed; not while a newcomer waits for its first fix. */
  get settled() {
    if (this._line) return true;
    const now = this.mono();
    return !this._ahead().some(({ id }) => now - (this._met.get(id) ?? -Infinity) < PATIENCE);
  }

  /** What replies to probes say of this page's time. */
  standing() {
    const { reference, stratum, joined } = this._course;
    const known = stratum < UNSYNCED && Number.isFinite(joined);
    return { ref: reference, stratum, ...(known ? { joined: Math.trunc(joined) } : {}) };
  }

  /** @param {string} peer @returns {Offset | null} */
  offset(peer) {
    const clock = this._peers.get(peer);
    const now = this.mono();
    const best = clock?.best(now);
    if (!clock || !best) return null;
    return {
      offset: best.shift + now - this.now(),
      uncertainty: clock.uncertainty(best, now),
      roundTrip: best.roundTrip,
    };
  }

  /** Whether a peer is on its own machine's time. @param {string} peer */
  unsynced(peer) {
    const clock = this._peers.get(peer);
    return clock !== undefined && clock.answered && clock.stratum === UNSYNCED;
  }

  /** Why a peer's times must not be used; empty if they may. @param {string} peer */
  objection(peer) {
    const clock = this._peers.get(peer);
    if (!clock || !this._line) return "";
    if (!clock.trusted(this.mono())) return clock.reason;
    const known = clock.stratum < UNSYNCED ? this.offset(peer) : null;
    if (known && !near(known)) return `its clock and ours are ${Math.abs(known.offset / 1000).toFixed(1)} s apart`;
    return "";
  }

  // -- input --------------------------------------------------------------------------------------------

  /**
   * Who is in the room.
   *
   * @param {Ranked} own this page, and when it joined
   * @param {Iterable<string>} neighbours members with a link and a clock
   * @param {Ranked[]} ranked possible references by the server, best first
   * @param {Map<string, number>} [ticks] resolutions of the neighbours' clocks
   */
  roster(own, neighbours, ranked, ticks = new Map()) {
    this._own = own;
    this._ranked = ranked;
    this._neighbours = new Set(neighbours);
    if (!this.asked.length) this.asked = this._ahead().slice(0, 1).map(({ id }) => id);
    const now = this.mono();
    const known = [...this._neighbours, ...ranked.map(({ id }) => id)];
    this._met = new Map(known.map((id) => [id, this._met.get(id) ?? now]));
    for (const id of this._peers.keys()) if (!this._relevant(id)) this._peers.delete(id);
    this._ticks = ticks;
    for (const id of this._peers.keys()) this._known(id);
  }

  /** A probe was sent to a member. @param {string} peer */
  ask(peer) {
    if (this._relevant(peer)) this._known(peer).ask(this.mono());
  }

  /**
   * A reply to a probe, `sent` and `received` on this page's monotonic clock.
   *
   * @param {string} peer @param {number} sent @param {Reply} reply @param {number} received
   * @throws {RangeError} when the reply cannot be true
   */
  take(peer, sent, reply, received) {
    if (!this._relevant(peer)) return;
    const clock = this._known(peer);
    const roundTrip = received - sent - (reply.t2 - reply.t1);
    if (reply.t2 < reply.t1 || roundTrip < -ROUNDING - clock.tick) {
      throw new RangeError("probe-reply: it was held for longer than it took to come");
    }
    if (reply.stratum < UNSYNCED && (reply.stratum === 0) !== (reply.ref === peer)) {
      throw new RangeError("probe-reply: its stratum and its reference do not fit");
    }
    if (roundTrip > LATEST) return;
    const shift = (reply.t1 - sent + (reply.t2 - received)) / 2;
    const sample = { at: (sent + received) / 2, shift, roundTrip: Math.max(0, roundTrip) };
    const jump = clock.jump(sample);
    const isUnsynced = reply.stratum === UNSYNCED;
    if (jump !== null || (clock.stratum === UNSYNCED) !== isUnsynced) {
      const home = Math.abs(shift + received - this.now()) <= STEP + sample.roundTrip / 2;
      const known = this.offset(peer);
      const away = known !== null && !near(known);
      clock.forget();
      if (away && home) clock.trust(received);
      else if (jump !== null && clock.stratum !== UNSYNCED && !isUnsynced) clock.leap(jump, received);
    }
    clock.stratum = reply.stratum;
    clock.reference = reply.ref;
    clock.add(sample);
  }

  // -- discipline ---------------------------------------------------------------------------------------

  /** Choose the reference and steer towards it. @returns {Change[]} */
  look() {
    const now = this.mono();
    if (now - this._looked > STALL) for (const clock of this._peers.values()) clock.excuse(now);
    this._looked = now;
    /** @type {Change[]} */
    const changes = [];
    const past = this._course;
    const course = this._plan(now);
    if (course) {
      this._set(course);
      this._course = { ...course, step: null, slew: null };
      if (course.reference !== past.reference || course.step !== null) {
        changes.push({ kind: "followed", reference: course.reference, stratum: course.stratum, step: course.step });
      }
    }
    return [...this._judged(now), ...changes];
  }

  /** @param {number} now @returns {Change[]} */
  _judged(now) {
    /** @type {Change[]} */
    const changes = [];
    for (const [peer, clock] of this._peers) {
      if (clock.reason && clock.trusted(now)) {
        clock.reason = "";
        changes.push({ kind: "judged", peer, trusted: true, reason: "" });
      } else if (clock.reason && !clock.told) {
        changes.push({ kind: "judged", peer, trusted: false, reason: clock.reason });
      }
      clock.told = clock.reason !== "";
    }
    return changes;
  }

  /** @param {number} now @returns {Course | null} */
  _plan(now) {
    const view = this._view(now);
    this.asked = [];
    const ahead = this._ahead().slice(0, MOST_ASKED);
    for (const [place, member] of ahead.entries()) {
      this.asked.push(member.id);
      if (this._passedOver(member.id, now)) continue;
      const known = view.measured.get(member.id);
      if (!known) {
        if (!this._line) this.asked.push(...ahead.slice(place + 1, place + 1 + AT_ONCE).map(({ id }) => id));
        return this._meanwhile(view);
      }
      if (this._line && near(known)) return this._follow(view, member, null);
      if (this._yields(view, member, known)) {
        return this._ripe(member.id, known, now) ? this._follow(view, member, known.offset) : null;
      }
    }
    return this._lead(view);
  }

  /** @param {number} now */
  _view(now) {
    /** @type {Map<string, Offset>} */
    const measured = new Map();
    /** @type {Map<string, Offset>} */
    const offsets = new Map();
    for (const [peer, clock] of this._peers) {
      const known = clock.synced ? this.offset(peer) : null;
      if (!known) continue;
      measured.set(peer, known);
      if (!clock.trusted(now)) continue;
      offsets.set(peer, known);
      if (this._line && near(known)) clock.wasNear = true;
    }
    return { now, measured, offsets };
  }

  /** @param {string} id @param {Offset} known @param {number} now */
  _ripe(id, known, now) {
    const clock = /** @type {PeerClock} */ (this._peers.get(id));
    const over = clock.count >= BURST || (clock.first !== null && now - clock.first >= BURST_MS);
    return over || known.uncertainty <= SHARP;
  }

  /** @param {string} id @param {number} now */
  _passedOver(id, now) {
    const clock = this._peers.get(id);
    if (!clock) return false;
    if (clock.silent(now, PATIENCE) || clock.jumped(now)) return true;
    if (!clock.answered) return false;
    if (clock.stratum >= UNSYNCED - 1) {
      return this._line !== null || now - (this._met.get(id) ?? now) > 2 * PATIENCE;
    }
    return clock.reference === this._own.id;
  }

  /** @param {ReturnType<MeshClock["_view"]>} view @param {Ranked} member @param {Offset} known */
  _yields(view, member, known) {
    const others = [...view.offsets].filter(([id]) => id !== member.id);
    return (
      !this._line ||
      before(member, this._authority) ||
      !others.some(([, other]) => near(other)) ||
      (Math.abs(this._leapt()) > STEP && near(known, this._leapt()))
    );
  }

  /** By how much UTC moved against the monotonic clock since mesh time was fixed. */
  _leapt() {
    return this._line ? this.utc() - this.mono() - this._gap : 0;
  }

  /** @param {ReturnType<MeshClock["_view"]>} view @param {Ranked} leader @param {number | null} step @returns {Course} */
  _follow(view, leader, step) {
    if (step !== null || before(leader, this._authority)) this._authority = leader;
    const offsets = new Map(
      [...view.measured].map(([id, known]) => [id, { ...known, offset: known.offset - (step ?? 0) }]),
    );
    const known = /** @type {Offset} */ (offsets.get(leader.id));
    const outside = this._judge(view, leader, offsets, known.offset, known.uncertainty);
    const course = { reference: leader.id, joined: leader.joined, step };
    if (this._neighbours.has(leader.id)) return { ...course, stratum: 1, slew: known.offset };
    const carriers = [...this._neighbours]
      .filter((id) => view.offsets.has(id) && !outside.has(id))
      .map((id) => ({ clock: this._peers.get(id), known: offsets.get(id) }))
      .filter(({ clock }) => clock && clock.reference === leader.id && CARRIERS.includes(clock.stratum));
    if (!carriers.length) return { ...course, stratum: CARRIERS[CARRIERS.length - 1] + 1, slew: known.offset };
    carriers.sort(
      (a, b) => a.clock.stratum - b.clock.stratum || a.known.uncertainty - b.known.uncertainty,
    );
    const margin = Math.min(CARRIED, known.uncertainty);
    const carried = Math.min(known.offset + margin, Math.max(known.offset - margin, carriers[0].known.offset));
    return { ...course, stratum: carriers[0].clock.stratum + 1, slew: carried };
  }

  /** A course towards most neighbours, until the reference is measured. @returns {Course | null} */
  _meanwhile(/** @type {ReturnType<MeshClock["_view"]>} */ view) {
    if (!this._line) return null;
    /** @type {[number, number][]} */
    const spans = [...this._neighbours]
      .map((id) => view.offsets.get(id))
      .filter((known) => known !== undefined && near(known))
      .map((known) => [known.offset - known.uncertainty, known.offset + known.uncertainty]);
    const [low, high, count] = intersection([[0, 0], ...spans]);
    if (2 * count <= spans.length + 1) return null;
    const anybody = { id: "", joined: -Infinity };
    this._judge(view, anybody, view.measured, (low + high) / 2, (high - low) / 2);
    return { ...this._course, slew: Math.min(high, Math.max(low, 0)) };
  }

  /**
   * Distrust neighbours that contradict the room's time, except those that rank before the member it is from.
   *
   * @param {ReturnType<MeshClock["_view"]>} view @param {Ranked} leader @param {Map<string, Offset>} offsets
   * @param {number} offset @param {number} uncertainty
   */
  _judge(view, leader, offsets, offset, uncertainty) {
    const exempt = new Set(this._ranked.filter((member) => !before(leader, member)).map(({ id }) => id));
    const outside = new Set();
    for (const id of this._neighbours) {
      const known = offsets.get(id);
      if (!known || exempt.has(id)) continue;
      const apart = known.offset - offset;
      if (Math.abs(apart) > known.uncertainty + uncertainty + TOLERANCE) {
        const seconds = `${apart >= 0 ? "+" : ""}${(apart / 1000).toFixed(3)}`;
        this._peers.get(id)?.distrust(`its clock and the room's are ${seconds} s apart`, view.now);
        outside.add(id);
      }
    }
    return outside;
  }

  /** The course of the reference itself. @returns {Course} */
  _lead(/** @type {ReturnType<MeshClock["_view"]>} */ view) {
    const step = this._line ? this._home(view) : null;
    if (!this._line || before(this._own, this._authority)) this._authority = this._own;
    return { reference: this._own.id, stratum: 0, joined: this._own.joined, step, slew: null };
  }

  /** The step back to the room's time, if this page's own clock must have jumped. @returns {number | null} */
  _home(/** @type {ReturnType<MeshClock["_view"]>} */ view) {
    if ([...view.offsets.values()].some((known) => near(known))) return null;
    const together = this._ranked
      .map(({ id }) => ({ id, known: view.offsets.get(id), clock: this._peers.get(id) }))
      .filter(({ id, known, clock }) => known && clock?.wasNear && this._ripe(id, known, view.now))
      .map(({ known }) => ({ known, crowd: this._crowd(view, known.offset) }));
    if (!together.length) return null;
    const { known, crowd } = together.reduce((best, one) => (one.crowd > best.crowd ? one : best));
    if (crowd < 2) return null;
    const leapt = this._leapt();
    const most = 2 * crowd > view.offsets.size && Math.abs(leapt) > STEP && near(known, leapt);
    return most || crowd >= SAME_TIME * (this._ranked.length - 1) ? known.offset : null;
  }

  /** How many clocks that were on our time have this offset. @returns {number} */
  _crowd(/** @type {ReturnType<MeshClock["_view"]>} */ view, /** @type {number} */ offset) {
    return [...view.offsets].filter(([id, known]) => near(known, offset) && this._peers.get(id)?.wasNear).length;
  }

  /** Members that precede this page as reference. @returns {Ranked[]} */
  _ahead() {
    const place = this._ranked.findIndex(({ id }) => id === this._own.id);
    return place < 0 ? this._ranked : this._ranked.slice(0, place);
  }

  /** @param {string} id */
  _relevant(id) {
    return this._neighbours.has(id) || this.asked.includes(id);
  }

  /** @param {string} id @returns {PeerClock} */
  _known(id) {
    let clock = this._peers.get(id);
    if (!clock) this._peers.set(id, (clock = new PeerClock()));
    clock.window = this._neighbours.has(id) ? WINDOW : FAR_WINDOW;
    clock.tick = this.tick + (this._ticks.get(id) ?? 0);
    return clock;
  }

  /** @param {Course} course */
  _set(course) {
    if (course.step !== null) {
      this._move(course.step);
      for (const clock of this._peers.values()) clock.wasNear = false;
    } else if (!this._line) {
      const mono = this.mono();
      const utc = this.utc();
      this._line = { since: mono, time: utc, slew: 0 };
      this._gap = utc - mono;
    }
    if (course.slew !== null && this._line) {
      const mono = this.mono();
      this._line = { since: mono, time: this.now(), slew: course.slew };
    }
  }

  /** Move mesh time in one step. @param {number} by ms */
  _move(by) {
    const mono = this.mono();
    const utc = this.utc();
    this._line = { since: mono, time: this.now() + by, slew: 0 };
    this._gap = utc - mono;
    this.steps++;
  }
}
