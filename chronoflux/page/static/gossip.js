/**
 * The room's events: each is applied once, however often and over however many ways it comes.
 *
 * The rules are those of the Python package's `chronoflux.mesh.gossip`. Times are mesh time, ms.
 */

import { Refused } from "./protocol.js";
import { hex, sha256 } from "./sha256.js";

export const FUTURE = 2000;
export const PAST = 90_000;
const RESEND = 60_000;
const REMEMBERED = 95_000;
const SEEN = 2048;
const SWEEP = 10_000;
const OWN = 10_000;
const OLD_REPEAT = 1000;
const LATER = 10_000;
const EARLY = 128;
/** Prefixes of ids that the receiver makes: for events of old clients, and for a peer's state. */
export const OLD = "old:";
export const TOLD = "state:";

/** @typedef {import("./protocol.js").EventKind} EventKind */
/**
 * @typedef {object} RoomEvent
 * @property {EventKind} kind
 * @property {Record<string, any>} data checked, complete, in px of this page's world
 * @property {string} id
 * @property {string} origin
 * @property {number} at mesh time at which it was fired
 * @property {number | null} [n] its number among its origin's events
 * @property {Record<string, any> | null} [content] what its id covers, as its origin sent it
 * @property {number | null} [stamp] the time that its id was made from, if mesh time was moved since
 */

/** The content of an event's message, in px of `world`. @param {EventKind} kind @param {Record<string, any>} data @param {number[] | null} [world] */
export function contentFor(kind, data, world = null) {
  const body = kind.nested ? { [kind.nested]: { ...data } } : { ...data };
  const placed = Object.values(kind.fields).some(({ px }) => px);
  return world && placed ? { ...body, world } : body;
}

/** An event's message after `hops` stations. @param {RoomEvent} event @param {number} hops */
export function messageOf(event, hops) {
  const more = Object.entries({ n: event.n, stamp: event.stamp }).filter(([, value]) => value !== null && value !== undefined);
  const content = event.content ?? contentFor(event.kind, event.data);
  return {
    type: event.kind.wire,
    id: event.id,
    origin: event.origin,
    at: event.at,
    ...Object.fromEntries(more),
    hops,
    ...content,
  };
}

/** An id for an event of an old client. @param {string} peer @param {EventKind} kind @param {Record<string, any>} data */
export function oldId(peer, kind, data) {
  const text = JSON.stringify([kind.name, Object.fromEntries(Object.entries(data).sort())]);
  return `${OLD}${peer.slice(0, 32)}:${hex(sha256(new TextEncoder().encode(text))).slice(0, 16)}`;
}

/** Whether one standing event comes after another; ties by origin. @param {RoomEvent} a @param {RoomEvent} b */
export function outranks(a, b) {
  return a.at > b.at || (a.at === b.at && a.origin > b.origin);
}

export class Gossip {
  constructor() {
    /** How many events were fired here; the number of the next one. */
    this.count = 0;
    /** By origin and way: when the events known by id were fired. @type {Map<string, Map<string, number>>} */
    this._heard = new Map();
    /** @type {Map<string, number>} */
    this._swept = new Map();
    /** @type {RoomEvent[]} */
    this._own = [];
    /** @type {Map<string, RoomEvent>} */
    this._standing = new Map();
  }

  /** Record an event fired here. @param {RoomEvent} event @returns {RoomEvent} with its number */
  own(event) {
    const numbered = { ...event, n: this.count++ };
    this._memory(event.origin, false).set(event.id, event.at);
    this._own.push(numbered);
    if (this._own.length > OWN) this._own.shift();
    this._stand(numbered, event.at);
    return numbered;
  }

  /** Whether an event came before; an old client may mean a new one. @param {string} origin @param {string} id */
  seen(origin, id) {
    return !id.startsWith(OLD) && this._when(origin, id) !== null;
  }

  /**
   * Record a remote event. `told`: out of the state of another node. @returns {boolean} whether to apply it
   *
   * @param {RoomEvent} event @param {number} now @param {{relayed?: boolean, told?: boolean}} [how]
   * @throws {Refused}
   */
  accept(event, now, how = {}) {
    return this.news(event.kind.wire, event.origin, event.id, event.at, now, how) && this._stand(event, now);
  }

  /**
   * Record an event of a kind known or not. @returns {boolean} whether it is new
   *
   * @param {string} kind @param {string} origin @param {string} id @param {number} at @param {number} now
   * @param {{relayed?: boolean, told?: boolean}} [how]
   * @throws {Refused}
   */
  news(kind, origin, id, at, now, { relayed = false, told = false } = {}) {
    const age = now - at;
    if (age < -FUTURE || age > PAST) throw new Refused(kind, `its time is ${(-age / 1000).toFixed(1)} s from now`);
    const before = this._when(origin, id);
    const again = before !== null && id.startsWith(OLD) && at - before > OLD_REPEAT && !told;
    if (before !== null && !again) return false;
    this._sweep(null, now, SWEEP);
    const memory = key(origin, relayed);
    if (before === null && (this._heard.get(memory)?.size ?? 0) >= SEEN) {
      this._sweep(memory, now, OLD_REPEAT);
      if ((this._heard.get(memory)?.size ?? 0) >= SEEN) {
        throw new Refused(kind, `${SEEN} events of its origin are remembered: no room`);
      }
    }
    this._memory(origin, relayed).set(id, at);
    return true;
  }

  /** Adopt a standing event out of a peer's state. @param {RoomEvent} event @param {number} now @returns {boolean} */
  takesOver(event, now) {
    if (event.at > now + EARLY) {
      throw new Refused(event.kind.wire, `its time is ${((event.at - now) / 1000).toFixed(1)} s from now`);
    }
    return this._stand(event, now);
  }

  /** Plain values for {@link Gossip#restore}: what is remembered of others. */
  save() {
    return { heard: [...this._heard].map(([memory, heard]) => [memory, [...heard]]), standing: [...this._standing] };
  }

  /** Go on with what another instance remembered, before a reload. @param {any} saved */
  restore(saved) {
    this._heard = new Map(saved.heard.map((/** @type {any} */ [memory, heard]) => [memory, new Map(heard)]));
    this._standing = new Map(saved.standing);
  }

  /** Own events of the last minute, for a new path. @param {number} now @returns {RoomEvent[]} */
  recent(now) {
    while (this._own.length && now - this._own[0].at > RESEND) this._own.shift();
    return [...this._own];
  }

  /** The standing event in force. @param {string} name @param {number} now @returns {RoomEvent | null} */
  standing(name, now) {
    const held = this._standing.get(name);
    return !held || held.at > now + FUTURE ? null : held;
  }

  /** Mesh time was moved by a step. @param {number} by */
  shift(by) {
    for (const heard of this._heard.values()) for (const [id, at] of heard) heard.set(id, at + by);
    this._swept.clear();
    const moved = (/** @type {RoomEvent} */ event) => ({ ...event, at: event.at + by, stamp: event.stamp ?? event.at });
    this._own = this._own.map(moved);
    for (const [name, held] of this._standing) this._standing.set(name, moved(held));
  }

  /** @param {RoomEvent} event @param {number} now @returns {boolean} whether it changes anything */
  _stand(event, now) {
    const name = event.kind.name;
    if (!event.kind.standing) return true;
    const held = this.standing(name, now);
    if (held && same(held, event)) {
      const id = event.id.startsWith(OLD) ? event.id : held.id;
      this._standing.set(name, { ...held, id, at: Math.max(held.at, event.at) });
      return false;
    }
    if (held && !outranks(event, held)) return false;
    this._standing.set(name, event);
    return !held || held.at !== event.at || JSON.stringify(held.data) !== JSON.stringify(event.data);
  }

  /** @param {string} origin @param {string} id @returns {number | null} */
  _when(origin, id) {
    const times = [false, true].map((relayed) => this._heard.get(key(origin, relayed))?.get(id));
    const known = times.filter((when) => when !== undefined);
    return known.length ? Math.max(...known) : null;
  }

  /** @param {string} origin @param {boolean} relayed @returns {Map<string, number>} */
  _memory(origin, relayed) {
    const memory = key(origin, relayed);
    let heard = this._heard.get(memory);
    if (!heard) this._heard.set(memory, (heard = new Map()));
    return heard;
  }

  /** Drop what has expired of one memory, or of all; at most once a period. */
  _sweep(/** @type {string | null} */ which, /** @type {number} */ now, /** @type {number} */ period) {
    if (Math.abs(now - (this._swept.get(which ?? "") ?? -Infinity)) < period) return;
    for (const memory of which === null ? [...this._heard.keys()] : [which]) {
      const heard = this._heard.get(memory);
      for (const [id, when] of heard ?? []) if (now - when > REMEMBERED) heard?.delete(id);
      if (!heard?.size) {
        this._heard.delete(memory);
        this._swept.delete(memory);
      }
    }
    this._swept.set(which ?? "", now);
  }
}

/** @param {string} origin @param {boolean} relayed */
function key(origin, relayed) {
  return `${relayed ? "relayed" : "direct"} ${origin}`;
}

/** Whether two standing events without an id of their own are one. @param {RoomEvent} a @param {RoomEvent} b */
function same(a, b) {
  const made = (/** @type {string} */ id) => id.startsWith(OLD) || id.startsWith(TOLD);
  if (!made(a.id) || !made(b.id) || !(a.id.startsWith(TOLD) || b.id.startsWith(TOLD))) return false;
  const close = Math.abs(a.at - b.at) <= LATER || a.at === 0 || b.at === 0;
  return close && a.origin === b.origin && JSON.stringify(a.data) === JSON.stringify(b.data);
}
