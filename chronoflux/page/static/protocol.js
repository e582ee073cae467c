/**
 * Messages of the data channel and of the server's relay, checked as strictly as the Python package checks them.
 *
 * {@link parse} returns a message with only the fields that are known, or throws a {@link Refused}. Events are those
 * of the table that the server hands to the page.
 */

import { isWellFormed } from "./identity.js";

/** @typedef {import("./identity.js").Json} Json */
/** @typedef {(value: any, path: string) => any} Check returns the value, or throws */
/** @typedef {{type: string} & Record<string, any>} Message */
/**
 * @typedef {object} EventKind
 * @property {string} name of the log's record
 * @property {string} wire type of the message
 * @property {string} label of the button
 * @property {string | null} nested the object that the data sits in
 * @property {boolean} standing a lasting state of the room
 * @property {Record<string, FieldSpec>} fields of its data
 */
/**
 * @typedef {object} FieldSpec
 * @property {"number" | "boolean" | "string"} type
 * @property {number} [low] least value @property {number} [above] bound that is not reached
 * @property {number} [high] largest value
 * @property {"x" | "y" | "length"} [px] a position or a length in the world
 * @property {any} [default]
 */

const MAX_HOPS = 256;
const RANGES = 32;
const COUNT = 10 ** 12;
const PASSED_BYTES = 16_384;
const DEPTH = 32;
const PRINTABLE = /^(?:[^\p{C}\p{Z}]| )*$/u;

/** A message was refused: of which type, and why. */
export class Refused extends Error {
  /** @param {string} kind @param {string} reason */
  constructor(kind, reason) {
    super(`${kind}: ${reason}`);
    this.kind = kind;
  }
}

/** Whether a text may be shown: printable, and of at most `most` characters. @param {unknown} text @param {number} [most] */
export function isShort(text, most = 64) {
  return typeof text === "string" && [...text].length <= most && PRINTABLE.test(text);
}

/** @param {number} low @param {number} high @returns {Check} */
const number = (low, high) => (value, path) => {
  if (typeof value !== "number" || !(value >= low && value <= high)) throw new TypeError(`${path} is no number from ${low} to ${high}`);
  return value;
};
/** @param {number} low @param {number} high @returns {Check} */
const whole = (low, high) => (value, path) => {
  if (!Number.isInteger(value) || value < low || value > high) throw new TypeError(`${path} is no whole number from ${low} to ${high}`);
  return value;
};
/** @type {Check} */
const boolean = (value, path) => {
  if (typeof value !== "boolean") throw new TypeError(`${path} is neither true nor false`);
  return value;
};
/** @type {Check} */
const short = (value, path) => {
  if (!isShort(value)) throw new TypeError(`${path} is no printable text of at most 64 characters`);
  return value;
};
/** @type {Check} */
const object = (value, path) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TypeError(`${path} is no object`);
  return value;
};
/** @param {Check} check @param {number} most @param {number} [least] @returns {Check} */
const list = (check, most, least = 0) => (value, path) => {
  if (!Array.isArray(value) || value.length > most || value.length < least) throw new TypeError(`${path} is no list of at most ${most}`);
  return value.map((item, i) => check(item, `${path}[${i}]`));
};
/** Null stands for an absent field. @param {Check} check @returns {Check} */
const optional = (check) => (value, path) => (value === null ? null : check(value, path));
/** @param {Record<string, [Check, any?] | [Check]>} fields a default makes a field optional @returns {Check} */
const struct = (fields) => (value, path) => {
  object(value, path);
  return Object.fromEntries(
    Object.entries(fields).map(([name, [check, ...otherwise]]) => {
      if (Object.hasOwn(value, name)) return [name, check(value[name], path ? `${path}.${name}` : name)];
      if (!otherwise.length) throw new TypeError(`${name} is missing`);
      return [name, otherwise[0]];
    }),
  );
};

const time = number(0, 1e14);
const count = whole(0, COUNT);
const latest = whole(-1, COUNT);
const side = number(1, 1e7);
const world = list(side, 2, 2);
const finite = number(-Number.MAX_VALUE, Number.MAX_VALUE);

const livePulse = struct({
  x: [finite],
  y: [finite],
  E: [finite],
  sigma: [optional(finite), null],
  id: [optional(short), null],
  origin: [optional(short), null],
  at: [optional(time), null],
  n: [optional(count), null],
  stamp: [optional(time), null],
  world: [optional(world), null],
});

/** @type {Record<string, Check>} */
const MESSAGES = {
  hello: struct({
    version: [short],
    nodeId: [short],
    kind: [short],
    features: [list(short, 32), []],
    tick_ms: [number(0, 20), 0],
    n: [optional(latest), null],
    session: [short, ""],
    since: [latest, -1],
    heard: [optional(latest), null],
    also: [list(list(count, 2, 2), RANGES), []],
  }),
  state: struct({
    nodes: [count, 0],
    portal: [boolean, false],
    t: [finite, 0],
    portalAt: [optional(time), null],
    portalOrigin: [optional(short), null],
    intents: [list(livePulse, 256), []],
    world: [optional(world), null],
  }),
  telemetry: struct({
    telemetry: [object],
    at: [optional(time), null],
    seq: [optional(count), null],
    n: [optional(latest), null],
    portal: [boolean, false],
    portalAt: [optional(time), null],
    portalOrigin: [optional(short), null],
  }),
  field: struct({
    at: [time],
    R: [number(0, 1 + 1e-9)],
    psi: [number(-100, 100)],
    omega: [number(-200, 200)],
    n: [whole(1, 10 ** 7)],
  }),
  bye: struct({ reason: [short, ""] }),
  "bye-ack": struct({}),
  refused: struct({ reason: [short, ""] }),
  probe: struct({ t0: [time] }),
  "probe-reply": struct({
    t0: [time],
    t1: [time],
    t2: [time],
    ref: [short, ""],
    stratum: [whole(0, 16), 16],
    joined: [optional(whole(0, 2 ** 53)), null],
  }),
};

const envelope = struct({
  id: [optional(short), null],
  origin: [optional(short), null],
  at: [optional(time), null],
  hops: [whole(0, MAX_HOPS), 0],
  n: [optional(count), null],
  stamp: [optional(time), null],
  world: [optional(world), null],
});

/** Types of messages that are no events. */
export const FIXED = new Set(Object.keys(MESSAGES));

/**
 * Decode a text of a channel. @param {string | ArrayBuffer} raw @param {EventKind[]} events @returns {Message}
 * @throws {Refused}
 */
export function decode(raw, events) {
  let value;
  try {
    const text = typeof raw === "string" ? raw : new TextDecoder("utf-8", { fatal: true }).decode(raw);
    value = JSON.parse(text, (_, item) => {
      if (item === Infinity || item === -Infinity) throw new RangeError("a number is too large");
      if (typeof item === "string" && !isWellFormed(item)) throw new RangeError("half a surrogate pair");
      return item;
    });
  } catch {
    throw new Refused("message", "not JSON");
  }
  return parse(value, events);
}

/**
 * Check a message that is already an object. Of an event the `envelope`, its `data` and the whole `message` are
 * returned; of an unknown type the `type`, and the `envelope` if it is an event to pass on.
 *
 * @param {any} value @param {EventKind[]} events @returns {Message}
 * @throws {Refused}
 */
export function parse(value, events) {
  if (typeof value !== "object" || value === null || typeof value.type !== "string") {
    throw new Refused("message", "not an object with a type");
  }
  const type = value.type;
  const name = type.slice(0, 64);
  try {
    if (Object.hasOwn(MESSAGES, type)) return { type, ...MESSAGES[type](value, "") };
    const kind = events.find((one) => one.wire === type);
    if (kind) {
      const data = kind.nested ? object(value[kind.nested], kind.nested) : value;
      const own = Object.keys(kind.fields).filter((field) => Object.hasOwn(data, field));
      return {
        type: "event",
        kind,
        envelope: envelope(value, ""),
        data: Object.fromEntries(own.map((field) => [field, data[field]])),
        message: value,
      };
    }
    if (!["id", "origin", "hops"].every((field) => Object.hasOwn(value, field))) return { type: "unknown", name };
    const found = envelope(value, "");
    if (!found.id || !found.origin) return { type: "unknown", name };
    checkPassable(value);
    return { type: "unknown event", name: type, envelope: found, message: value };
  } catch (error) {
    if (error instanceof TypeError) throw new Refused(name, error.message);
    throw error;
  }
}

/** @param {Json} value @throws {TypeError} for a message that is too long or too deep to be passed on */
export function checkPassable(value) {
  const deep = (/** @type {Json} */ item, /** @type {number} */ left) => {
    if (typeof item !== "object" || item === null) return false;
    return left === 0 || Object.values(item).some((inner) => deep(inner, left - 1));
  };
  if (deep(value, DEPTH) || new TextEncoder().encode(JSON.stringify(value)).length > PASSED_BYTES) {
    throw new TypeError("too long or too deep to be passed on");
  }
}

/**
 * Check an event's data and fill in defaults; positions may lie beyond the world.
 *
 * @param {EventKind} kind @param {Record<string, any>} data @param {[number, number] | null} sides of the origin's world
 * @returns {Record<string, any>}
 * @throws {Refused}
 */
export function checkEvent(kind, data, sides) {
  const FARTHEST = 1e6;
  /** @type {Record<string, any>} */
  const whole = {};
  for (const [name, spec] of Object.entries(kind.fields)) {
    const value = Object.hasOwn(data, name) ? data[name] : spec.default;
    const refuse = (/** @type {string} */ reason) => {
      throw new Refused(kind.wire, `${name} ${reason}`);
    };
    if (value === undefined) refuse("is missing");
    if (typeof value !== spec.type) refuse(`is no ${spec.type}`);
    if (spec.type === "number") {
      if (!Number.isFinite(value)) refuse("is not finite");
      if (value < (spec.low ?? -Infinity) || value > (spec.high ?? Infinity)) refuse("is out of range");
      if (spec.above !== undefined && value <= spec.above) refuse("is out of range");
      const longest = sides ? Math.max(...sides) : FARTHEST;
      if (spec.px === "length" && value > longest) refuse(`is longer than ${longest} px`);
      if (spec.px && spec.px !== "length") {
        const limit = Math.max(FARTHEST, sides ? sides[spec.px === "x" ? 0 : 1] : FARTHEST);
        if (Math.abs(value) > limit) refuse(`is more than ${limit} px away`);
      }
    }
    whole[name] = value;
  }
  return whole;
}

/**
 * An event's data from a world of another size, in px of this one; lengths by the mean of both ratios.
 *
 * @param {EventKind} kind @param {Record<string, any>} data @param {[number, number]} from @param {[number, number]} to
 */
export function scaleEvent(kind, data, from, to) {
  const ratio = { x: to[0] / from[0], y: to[1] / from[1], length: 0 };
  ratio.length = Math.sqrt(ratio.x * ratio.y);
  return Object.fromEntries(
    Object.entries(data).map(([name, value]) => {
      const place = kind.fields[name]?.px;
      if (!place) return [name, value];
      const found = value * ratio[place];
      if (place === "length") return [name, Math.min(Math.max(found, 1), Math.max(...to))];
      const axis = place === "x" ? 0 : 1;
      return [name, value >= 0 && value <= from[axis] ? Math.min(found, to[axis]) : found];
    }),
  );
}
