/**
 * Sends and answers probes of the clock: to linked peers in bursts, to other members through the server.
 */

import { BURST } from "./clock.js";
import { Bucket } from "./bucket.js";
import { Refused } from "./protocol.js";

const PACE = 0.064; // s between the probes of a burst
const PERIOD = 10; // s between bursts
const ASIDE = 1; // s between probes of a peer that is not on the room's time yet
const JITTER = 0.5;
const WAITING = 16;
const FAR_BURST = 4;
const FAR_PERIOD = 60;
const FAR_AGAIN = 4;
const FAR_SPREAD = 40;

/** @typedef {import("./peer.js").Peer} Peer */
/** @typedef {{due: number, left: number, aside: boolean, heard: boolean, asked: Map<number, number>}} Round */

export class Probing {
  /**
   * @param {object} options
   * @param {import("./clock.js").MeshClock} options.clock
   * @param {Map<string, Peer>} options.peers
   * @param {(peer: Peer, message: Record<string, any>) => boolean} options.send perishable, to a peer
   * @param {(to: string, message: Record<string, any>) => boolean} options.relay through the server, to any member
   * @param {() => number} options.now s
   */
  constructor({ clock, peers, send, relay, now }) {
    this._clock = clock;
    this._peers = peers;
    this._send = send;
    this._relay = relay;
    this._now = now;
    /** @type {Map<string, Round>} */
    this._rounds = new Map();
    /** @type {Map<string, Round>} */
    this._far = new Map();
    this._relayedProbes = new Bucket(6, 2);
    this._relayedAnswers = new Bucket(6, 2);
    this._strangers = new Bucket(20, 2);
  }

  /** Begin a burst at once. @param {Peer} peer */
  begin(peer) {
    const round = this._round(this._rounds, peer.id, this._now());
    if (round.left === BURST) round.due = this._now();
  }

  /** Send the probes that are due. */
  tick() {
    const now = this._now();
    for (const id of this._rounds.keys()) if (!this._peers.has(id)) this._rounds.delete(id);
    for (const peer of this._peers.values()) if (peer.features?.has("clock") && !peer.left) this._probe(peer, now);
    const far = this._clock.asked.filter((id) => !this._peers.get(id)?.features?.has("clock"));
    for (const id of this._far.keys()) if (!far.includes(id)) this._far.delete(id);
    for (const id of far) this._probeFar(id, now);
  }

  /** Answer a linked or relayed peer. @param {Peer} peer @param {{t0: number}} probe @throws {Refused} */
  answer(peer, probe) {
    const t1 = this._clock.now();
    if (!peer.answers.take(1)) throw new Refused("probe", "more than 4 a second");
    if (!peer.direct(this._now()) && !this._relayedAnswers.take(1)) return;
    this._send(peer, this._reply(probe, t1));
  }

  /** Answer a member that is no neighbour. @param {string} from @param {{t0: number}} probe */
  answerFar(from, probe) {
    const t1 = this._clock.now();
    if (this._strangers.take(1)) this._relay(from, this._reply(probe, t1));
  }

  /** @param {string} from @param {import("./clock.js").Reply} reply @throws {Refused} */
  hear(from, reply) {
    const received = this._clock.mono();
    const near = this._rounds.get(from);
    const far = this._far.get(from);
    const round = near?.asked.has(reply.t0) ? near : far;
    const sent = round?.asked.get(reply.t0);
    if (!round || sent === undefined) throw new Refused("probe-reply", "nobody asked");
    round.asked.delete(reply.t0);
    try {
      this._clock.take(from, sent, reply, received);
    } catch (error) {
      throw new Refused("probe-reply", error instanceof Error ? error.message : "");
    }
    round.heard = !this._clock.unsynced(from);
  }

  _reply(/** @type {{t0: number}} */ probe, /** @type {number} */ t1) {
    return { type: "probe-reply", t0: probe.t0, t1, t2: this._clock.now(), ...this._clock.standing() };
  }

  _probe(/** @type {Peer} */ peer, /** @type {number} */ now) {
    const round = this._round(this._rounds, peer.id, now);
    if (now < round.due) return;
    if (peer.direct(now) || this._relayedProbes.take(1)) this._ask(round, peer.id, (probe) => this._send(peer, probe));
    round.left--;
    if (round.left > 0) round.due = now + PACE;
    else if (this._clock.unsynced(peer.id)) Object.assign(round, { left: 1, due: now + ASIDE, aside: true });
    else if (round.aside) Object.assign(round, { left: BURST, due: now + PACE, aside: false });
    else Object.assign(round, { left: BURST, due: now + PERIOD + JITTER * (2 * Math.random() - 1) });
  }

  _probeFar(/** @type {string} */ id, /** @type {number} */ now) {
    const wait = this._clock.reference && !this._far.has(id) ? FAR_SPREAD * Math.random() : 0;
    const round = this._round(this._far, id, now + wait, FAR_BURST);
    if (now < round.due) return;
    this._ask(round, id, (probe) => this._relay(id, probe));
    round.left--;
    if (round.left > 0) round.due = now + PACE;
    else Object.assign(round, { left: FAR_BURST, due: now + (round.heard ? FAR_PERIOD : FAR_AGAIN), heard: false });
  }

  _ask(/** @type {Round} */ round, /** @type {string} */ id, /** @type {(probe: Record<string, any>) => boolean} */ send) {
    const t0 = this._clock.now();
    const sent = this._clock.mono();
    if (!send({ type: "probe", t0 })) return;
    this._clock.ask(id);
    round.asked.set(t0, sent);
    for (const old of round.asked.keys()) {
      if (round.asked.size <= WAITING) break;
      round.asked.delete(old);
    }
  }

  /** @returns {Round} */
  _round(/** @type {Map<string, Round>} */ rounds, /** @type {string} */ id, /** @type {number} */ due, left = BURST) {
    let round = rounds.get(id);
    if (!round) rounds.set(id, (round = { due, left, aside: false, heard: false, asked: new Map() }));
    return round;
  }
}
