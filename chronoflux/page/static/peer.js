/**
 * What this page knows of another member of the room.
 */

import { Bucket } from "./bucket.js";
import { isShort } from "./protocol.js";

export const LIVE = 2; // s of silence after which a peer is quiet
export const GONE = 15; // and gone
export const RELAY_AFTER = 1.5; // s without a link after which the relay carries fields and telemetry, too
const HELLO_DEADLINE = 2;
const ANSWER = 15; // s without an answer to an offer, after which an old client is without WebRTC
const BACKOFF = [2, 60];
const FRESH = 2000; // ms for which a mean field counts
const EVENTS = { rate: 20, burst: 2, slot: 10_000, most: 4096 };
const OURS = new Set(["notebook", "headless", "page", "recorder", "probe"]);
const WITHOUT_SWARM = new Set(["probe", "recorder", "bridge"]);
const KINDS = 32;

/** @typedef {import("./link.js").Link} Link */
/** @typedef {import("./gossip.js").RoomEvent} RoomEvent */
/** @typedef {{at: number, R: number, psi: number, omega: number, n: number}} FieldMessage */

export class Peer {
  /** @param {string} id @param {number} now s of the monotonic clock, as all times here */
  constructor(id, now) {
    this.id = id;
    this.name = id.slice(0, 8);
    this.kind = "old";
    /** Whether it announced one of our kinds, or said hello; others are clients of the first ChronoFlux. */
    this.ours = false;
    /** @type {Set<string> | null} */
    this.features = null;
    /** Ids whose events an old client hears itself; null: another node passes events on to it. @type {Set<string> | null} */
    this.hears = new Set();
    /** @type {number | null} */
    this.joined = null;
    this.inRoom = true;
    this.left = false;
    this.leftAt = -Infinity;
    this.reason = "";
    this.doubt = "";
    /** @type {Link | null} */
    this.link = null;
    this.dials = false;
    this.dialled = -Infinity;
    this.answered = false;
    this.unanswered = false;
    this.failures = 0;
    /** @type {number | null} */
    this.redialAt = null;
    /** @type {import("./link.js").Signal[]} */
    this.early = [];
    this.since = now;
    this.opened = -Infinity;
    this.heardDirect = -Infinity;
    this.heardRelay = -Infinity;
    /** @type {number | null} */
    this.greetedRelay = null;
    this.relayedField = -Infinity;
    this.relayedTelemetry = -Infinity;
    /** @type {"connecting" | "live" | "quiet" | "gone"} */
    this.state = "connecting";
    /** @type {FieldMessage | null} */
    this.field = null;
    /** @type {[number, number] | null} */
    this.world = null;
    this.tickMs = 0;
    /** @type {RoomEvent[]} */
    this.backlog = [];
    /** Refused messages by kind. @type {Map<string, number>} */
    this.refused = new Map();
    this.offers = new Bucket(0.5, 16);
    this.greetings = new Bucket(0.2, 10);
    this.gates = new Bucket(1, 5);
    this.answers = new Bucket(4, 8);
    this.passedOn = new Bucket(100, 4);
    /** @type {Map<string, number>} */
    this._fired = new Map();
  }

  get hasSwarm() {
    return !WITHOUT_SWARM.has(this.kind);
  }

  get linked() {
    return this.link?.state === "open";
  }

  /** Take what it announced when it joined. @param {any} metadata @param {boolean | undefined} lasting */
  announced(metadata, lasting) {
    const said = typeof metadata === "object" && metadata !== null ? metadata : {};
    if (isShort(said.nodeId) && said.nodeId) this.name = said.nodeId;
    if (OURS.has(said.kind) && lasting !== false) {
      this.kind = said.kind;
      this.ours = true;
    } else if (!this.features) {
      this.kind = said.headless === true ? "runner" : said.bridge === true || said.p2p === true ? "bridge" : "old";
      this.ours = false;
    }
  }

  /** Take its hello. @param {{nodeId: string, kind: string, features: string[], tick_ms: number}} hello */
  greeted(hello) {
    this.name = hello.nodeId || this.name;
    this.kind = hello.kind || this.kind;
    this.ours = true;
    this.features = new Set(hello.features);
    this.tickMs = hello.tick_ms;
  }

  /** Whether events of `origin` are passed on to it. @param {string} origin */
  wants(origin) {
    return this.ours || (this.hears !== null && !this.hears.has(origin));
  }

  /** Whether the link works. @param {number} now */
  direct(now) {
    return this.linked && (!this.ours || now - Math.max(this.heardDirect, this.opened) < LIVE);
  }

  get serverOnly() {
    return !this.ours && !this.linked && (this.unanswered || this.kind === "runner" || this.kind === "bridge");
  }

  /** By which way it is reached. @param {number} now */
  via(now) {
    if (this.direct(now)) return "direct";
    if (this.serverOnly) return this.inRoom ? "server" : "";
    return now - this.heardRelay < LIVE ? (this.ours ? "relay" : "server") : "";
  }

  /** Why not directly, or what else is odd. @param {number} now */
  why(now) {
    if (this.linked && this.ours && !this.direct(now)) return "nothing received over the link";
    if (this.serverOnly) return "a client of the first ChronoFlux: it is heard through the server";
    if (this.link && !this.linked) return this.reason ? `connecting again, after: ${this.reason}` : "connecting";
    if (this.linked && !this.ours && now - this.opened > HELLO_DEADLINE) return "a client of the first ChronoFlux";
    return this.reason || this.doubt || (this.linked ? "" : "no link yet");
  }

  /** Whether an old client left an offer unanswered. @param {number} now */
  givesNoAnswer(now) {
    return !this.ours && !this.answered && (this.kind !== "old" || now - this.dialled > ANSWER);
  }

  /** Its state now. @param {number} now */
  judge(now) {
    const silence = now - Math.max(this.heardDirect, this.heardRelay);
    if (!this.ours) {
      if (this.linked || (this.inRoom && (this.serverOnly || silence < GONE))) return "live";
      return this.inRoom ? "connecting" : "gone";
    }
    if (silence < LIVE) return "live";
    if (silence < GONE) return "quiet";
    return this.state === "connecting" && now - this.since < GONE ? "connecting" : "gone";
  }

  /** Its order parameter at mesh time `at`: `R` and angle; null when nothing fresh is known. @param {number} at */
  order(at) {
    const field = this.field;
    if (!field || Math.abs(at - field.at) > FRESH) return null;
    return { R: Math.min(field.R, 1), psi: field.psi + (field.omega * (at - field.at)) / 1000, n: field.n };
  }

  /** Whether one more event of `origin`, fired at mesh time `at`, is within the rate. @param {string} origin @param {number} at */
  allowsEvent(origin, at) {
    const key = `${Math.floor(at / EVENTS.slot)} ${origin}`;
    if (!this._fired.has(key) && this._fired.size >= EVENTS.most) {
      for (const old of this._fired.keys()) {
        if (this._fired.size < EVENTS.most / 2) break;
        this._fired.delete(old);
      }
    }
    const count = this._fired.get(key) ?? 0;
    if (count >= EVENTS.rate * (EVENTS.burst + EVENTS.slot / 1000)) return false;
    this._fired.set(key, count + 1);
    return true;
  }

  /** Count a refused message. @param {string} kind */
  refuse(kind) {
    const name = this.refused.has(kind) || this.refused.size < KINDS ? kind.slice(0, 32) : "other";
    this.refused.set(name, (this.refused.get(name) ?? 0) + 1);
  }

  /** Plan another attempt, later with each failure. @param {number} now */
  planRedial(now) {
    const wait = Math.min(BACKOFF[1], BACKOFF[0] * 2 ** Math.min(this.failures, 8));
    this.failures++;
    this.redialAt = now + wait * (0.75 + Math.random() / 2);
  }
}
