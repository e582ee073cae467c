/**
 * Ids: a node's is the hash of its secret, an event's the hash of what it says.
 *
 * The rules are those of the Python package's `chronoflux.mesh.event_id`, which has their reasons.
 */

import { hex, sha256 } from "./sha256.js";

/** Fields of an event's message that are not part of its content. */
export const ENVELOPE = new Set(["type", "id", "origin", "at", "hops", "n", "stamp"]);
const DEPTH = 32;
const TICK = 0.001; // ms
const HASH = /^[0-9a-f]{32}$/;
const RANDOM = /^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$/;
const encoder = new TextEncoder();

/** @typedef {null | boolean | number | string | Json[] | {[key: string]: Json}} Json */

/** A fresh secret, 128 random bits as 32 hexadecimal digits. */
export function newSecret() {
  return hex(crypto.getRandomValues(new Uint8Array(16)));
}

/** The id of the node that has a secret. @param {string} secret 32 hexadecimal digits */
export function idOf(secret) {
  const bytes = Uint8Array.from(secret.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  return hex(sha256(bytes)).slice(0, 32);
}

/**
 * The id of an event of this wire type that `origin` fired at mesh time `at` (ms).
 *
 * @param {string} origin @param {string} wire @param {number} at @param {{[key: string]: Json}} content
 * @throws {RangeError} when a value cannot be encoded
 */
export function eventId(origin, wire, at, content) {
  /** @type {number[]} */
  const bytes = [];
  for (const value of [origin, wire, at, content]) write(value, bytes, DEPTH);
  return hex(sha256(Uint8Array.from(bytes))).slice(0, 32);
}

/**
 * An id that is not `taken` for an event at `at`, and its time, which may be some µs later.
 *
 * @param {string} origin @param {string} wire @param {number} at @param {{[key: string]: Json}} content
 * @param {(id: string) => boolean} taken
 * @returns {[string, number]}
 */
export function mint(origin, wire, at, content, taken) {
  for (;;) {
    const found = eventId(origin, wire, at, content);
    if (!RANDOM.test(found) && !taken(found)) return [found, at];
    at += TICK;
  }
}

/** Whether an id has the form of a hash and not of a random UUID, so that it must be the hash. @param {string} id */
export function mustMatch(id) {
  return HASH.test(id) && !RANDOM.test(id);
}

/** The content of an event's message. @param {{[key: string]: Json}} message */
export function contentOf(message) {
  return Object.fromEntries(Object.entries(message).filter(([name]) => !ENVELOPE.has(name)));
}

/** @param {Json} value @param {number[]} bytes @param {number} depth */
function write(value, bytes, depth) {
  const length = (/** @type {number} */ n) => bytes.push((n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255);
  const tag = (/** @type {string} */ letter) => bytes.push(letter.charCodeAt(0));
  if (value === null) tag("z");
  else if (value === true || value === false) tag(value ? "t" : "f");
  else if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new RangeError(`${value} in an event's content`);
    tag("n");
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value + 0); // −0 becomes 0
    for (let i = 0; i < 8; i++) bytes.push(view.getUint8(i));
  } else if (typeof value === "string") {
    if (!isWellFormed(value)) throw new RangeError("half a surrogate pair in an event's content");
    const text = encoder.encode(value);
    tag("s");
    length(text.length);
    for (const byte of text) bytes.push(byte);
  } else if (depth > 0 && Array.isArray(value)) {
    tag("l");
    length(value.length);
    for (const item of value) write(item, bytes, depth - 1);
  } else if (depth > 0 && typeof value === "object") {
    const keys = Object.keys(value).sort(byCodePoint);
    tag("o");
    length(keys.length);
    for (const key of keys) {
      write(key, bytes, depth);
      write(value[key], bytes, depth - 1);
    }
  } else throw new RangeError(`${typeof value} in an event's content, or too deep in it`);
}

/** JavaScript sorts by UTF-16 units, which puts some characters in another order. */
function byCodePoint(/** @type {string} */ a, /** @type {string} */ b) {
  const [x, y] = [Array.from(a), Array.from(b)];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const difference = /** @type {number} */ (x[i].codePointAt(0)) - /** @type {number} */ (y[i].codePointAt(0));
    if (difference) return difference;
  }
  return x.length - y.length;
}

/** Whether a text has no half of a surrogate pair. @param {string} text */
export function isWellFormed(text) {
  return !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
}
