/**
 * The page's node: a swarm that keeps step with mesh time, and its part in the room.
 */

import { MeshClock } from "./clock.js";
import { contentFor } from "./gossip.js";
import { RunLog, single } from "./log.js";
import { Mesh } from "./mesh.js";
import { RESETS, Simulation } from "./model.js";

const STALL = 5000; // ms late after which the lost time is given up
const AHEAD = 250; // ms ahead of mesh time after which the anchor is moved
const BUDGET = 12; // ms of computing before the page may draw again
const HIDDEN_BUDGET = 200;
const FIELD_PERIOD = 0.1; // s
const RECORD_PERIOD = 1;
const PULSE_LIFE = 5000; // ms
const LIVE_PULSES = 256;
const FIELD_LIMIT = 200; // rad/s

/** @typedef {import("./gossip.js").RoomEvent} RoomEvent */
/** @typedef {import("./model.js").Params} Params */

/** The resolution of the page's clock, ms: browsers round it. */
export function clockTick() {
  let least = 20;
  for (let i = 0; i < 20; i++) {
    const begin = performance.now();
    let now = begin;
    for (let tries = 0; now === begin && tries < 1e5; tries++) now = performance.now();
    least = Math.min(least, now - begin || 20);
  }
  return Math.round(least * 1000) / 1000;
}

export class PageNode {
  /**
   * @param {object} options
   * @param {any} options.tables what the server says of events and parameters
   * @param {string} options.url of the signaling server
   * @param {string} options.room @param {string} options.nodeId @param {string} options.secret
   * @param {string} [options.token] @param {Params} options.params @param {bigint} options.seed
   * @param {import("./store.js").Store} options.store where log and state are kept
   * @param {any} [options.kept] what {@link PageNode#keep} kept of this tab's run, to go on with
   * @param {(text: string) => void} [options.onNews] a sentence for people about peers
   * @param {() => void} [options.onChange] connection, peers or parameters changed
   */
  constructor({ tables, url, room, nodeId, secret, token, params, seed, store, kept, onNews = () => {}, onChange = () => {} }) {
    this.room = room;
    this.nodeId = nodeId;
    this.version = tables.version;
    this.events = tables.events;
    this.swarm = kept ? Simulation.restore(kept.swarm) : new Simulation(params, seed);
    this.log = new RunLog({ store, room, node: nodeId, version: this.version, params, seed });
    if (kept) this.log.restore(kept.log);
    this.clock = new MeshClock(() => performance.now(), () => performance.timeOrigin + performance.now(), clockTick());
    this.paused = false;
    /** The latest metrics. @type {Record<string, number>} */
    this.metrics = { ...this.swarm.metrics(), H_mesh: NaN, peers: 0 };
    this.onNews = onNews;
    this.onChange = onChange;
    /** The metrics of the last minute, one a second. @type {Record<string, number>[]} */
    this.history = [];
    /** @type {((metrics: Record<string, number>) => void)[]} */
    this.listeners = [];
    /** @type {RoomEvent[]} */
    this._pulses = [];
    this._sequence = 0;
    this._fieldAt = -Infinity;
    this._recordAt = -Infinity;
    this._tickedAt = -Infinity;
    this._steps = 0;
    this.mesh = new Mesh({
      url,
      room,
      secret,
      token,
      metadata: { nodeId, kind: "page", nodeCount: params.oscillators, version: this.version },
      events: this.events,
      clock: this.clock,
      participant: {
        hello: () => ({ version: this.version, nodeId, kind: "page" }),
        greeting: () => this._greeting(),
        world: () => this.swarm.params.world,
        onEvent: (event) => this._apply(event, false),
        onField: (peer) => {
          if (!peer.field || !peer.hasSwarm) return;
          const [R, shortR] = single(peer.field.R);
          const [psi, shortPsi] = single(peer.field.psi);
          const [omega, shortOmega] = single(peer.field.omega);
          const at = Number(peer.field.at.toFixed(3));
          this.swarm.hear(peer.id, { at, R, psi, omega });
          this.log.input(this.swarm.tick, peer.id, { at, R: shortR, psi: shortPsi, omega: shortOmega });
        },
        onPeer: (peer, change, reason) => {
          if (change === "gone") this._forget(peer.id);
          this._write("peer", { data: { id: peer.id, name: peer.name, change, reason } });
          this.onNews(`${peer.name} ${WORDS[change] ?? change}${reason ? `: ${reason}` : ""}`);
          this.onChange();
        },
        onClock: (change) => this._onClock(change),
        onState: () => this.onChange(),
      },
    });
    /** What is remembered of events, in mesh time: taken up when that is known. @type {any} */
    this._remembered = kept?.gossip;
    this._anchor(kept ? "resume" : "start");
  }

  start() {
    this.mesh.start();
  }

  /** Compute what is due and say what is to be said; called some fifty times a second. @param {boolean} [hidden] */
  tick(hidden = false) {
    const now = performance.now() / 1000;
    if (this.clock.steps !== this._steps) this._tie();
    if (!this.paused) this._advance(hidden ? HIDDEN_BUDGET : BUDGET);
    if (now - this._tickedAt >= 0.06) {
      this._tickedAt = now;
      this.mesh.tick();
    }
    if (now - this._fieldAt >= FIELD_PERIOD) {
      this._fieldAt = now;
      this._sendField();
    }
    if (now - this._recordAt >= RECORD_PERIOD) {
      this._recordAt = now;
      this._record();
    }
  }

  /** Fire an event here and in the room. @param {string} name @param {Record<string, any>} [data] */
  fire(name, data = {}) {
    const kind = this.events.find((/** @type {{name: string}} */ one) => one.name === name);
    const [W, H] = this.swarm.params.world;
    /** @type {Record<string, any>} */
    const whole = {};
    for (const [field, spec] of Object.entries(kind.fields)) {
      const drawn = spec.px === "x" ? Math.random() * W : spec.px === "y" ? Math.random() * H : spec.default;
      whole[field] = data[field] ?? drawn;
    }
    this._apply(this.mesh.fire(name, whole, contentFor(kind, whole, [W, H])), true);
  }

  /** @param {boolean} paused */
  pause(paused) {
    if (paused === this.paused) return;
    this.paused = paused;
    this._write(paused ? "pause" : "play");
    if (!paused) this._anchor("play");
    this.onChange();
  }

  /** @param {Partial<Params>} changes */
  change(changes) {
    const before = /** @type {Record<string, any>} */ (this.swarm.params);
    const changed = Object.fromEntries(Object.entries(changes).filter(([name, value]) => String(before[name]) !== String(value)));
    if (!Object.keys(changed).length) return;
    this.swarm.change(changed);
    this._write(RESETS.some((name) => name in changed) ? "reset" : "params", { data: changed });
    this.onChange();
  }

  /** Begin again with other places and phases. */
  reset() {
    this.swarm.reset();
    this._write("reset", { data: { seed: null } });
  }

  /** A remark of the user's, on record. @param {string} text */
  note(text) {
    this._write("note", { data: { text } });
  }

  /** Keep the log and the swarm's state, so that a reload goes on. @returns {Promise<void>} */
  keep() {
    const { room, nodeId } = this;
    const gossip = this.mesh.gossip.save();
    return this.log.store.save({ room, nodeId, swarm: this.swarm.save(), log: this.log.save(), gossip });
  }

  leave() {
    this.mesh.leave();
  }

  _write(/** @type {string} */ type, /** @type {Record<string, any>} */ more = {}) {
    const { tick, t } = this.swarm;
    this.log.write(type, { tick, t, at: this.swarm.meshTime() }, more);
  }

  /** Tie the swarm to mesh time, on record. */
  _anchor(/** @type {string} */ why) {
    this.swarm.anchor(this.clock.now());
    const { reference, stratum } = this.clock;
    this._write("clock", { data: { why, speed: 1, reference, stratum } });
  }

  _forget(/** @type {string} */ peer) {
    if (!this.swarm.fields.has(peer)) return;
    this.swarm.forget(peer);
    this.log.input(this.swarm.tick, peer);
  }

  /** The members that are here, for people. */
  get peers() {
    const now = performance.now() / 1000;
    const own = this._ownOrder();
    return [...this.mesh.peers.values()]
      .filter((peer) => peer.kind !== "probe")
      .map((peer) => {
        const theirs = peer.order(this.clock.now());
        const offset = this.clock.offset(peer.id);
        return {
          id: peer.id,
          name: peer.name,
          kind: peer.kind,
          state: peer.state,
          via: peer.via(now),
          H: theirs?.R ?? NaN,
          dpsi: theirs ? angle(theirs.psi - own.psi) : NaN,
          roundTrip: offset?.roundTrip ?? NaN,
          reason: peer.why(now),
        };
      });
  }

  // -- in step with mesh time ---------------------------------------------------------------------------

  _advance(/** @type {number} */ budget) {
    const swarm = this.swarm;
    const length = 1000 * swarm.params.dt;
    const late = this.clock.now() - swarm.meshTime();
    if (late > STALL || late < -AHEAD) {
      this._anchor(late > 0 ? "stall" : "clock set back");
      if (late > 0) this._write("stall", { data: { ms: Math.round(late) } });
      return;
    }
    const end = performance.now() + budget;
    for (let due = Math.floor(late / length); due > 0 && performance.now() < end; due--) swarm.advance();
  }

  _tie() {
    this._steps = this.clock.steps;
    this._anchor("reference");
  }

  _onClock(/** @type {import("./clock.js").Change} */ change) {
    if (change.kind === "judged") {
      const name = this.mesh.peers.get(change.peer)?.name ?? change.peer.slice(0, 8);
      if (!change.trusted) this.onNews(`${name} is not coupled to: ${change.reason}`);
      return;
    }
    if (this._remembered) this.mesh.gossip.restore(this._remembered);
    this._remembered = undefined;
    if (change.step !== null) {
      const step = change.step;
      this._pulses = this._pulses.map((pulse) => ({ ...pulse, at: pulse.at + step }));
      for (const peer of this.mesh.peers.keys()) this._forget(peer);
      this._tie();
    }
  }

  // -- events -------------------------------------------------------------------------------------------

  _apply(/** @type {RoomEvent} */ event, /** @type {boolean} */ own) {
    const isIntent = event.kind.name === "intent";
    if (isIntent && !own && this._alive().length >= LIVE_PULSES) return;
    const data = { ...event.data };
    if (!own && this.swarm.params.boundary === "torus") {
      this.swarm.params.world.forEach((side, i) => {
        const name = "xy"[i];
        if (isIntent && (data[name] < 0 || data[name] > side)) data[name] = ((data[name] % side) + side) % side;
      });
    }
    const late = own ? 0 : Math.max(0, this.swarm.meshTime() - event.at) / 1000;
    try {
      this.swarm.fire(event.kind.name, data, late);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.onNews(`an event ${event.kind.label} was not applied: this page does not know its effect`);
      return;
    }
    const { id, origin, at } = event;
    this.log.write(own ? event.kind.name : `remote_${event.kind.name}`, { tick: this.swarm.tick, t: this.swarm.t, at }, { data, id, origin });
    if (isIntent) this._pulses = [...this._alive(), { ...event, data }];
    this.onChange();
  }

  _alive() {
    const now = this.clock.now();
    return this._pulses.filter((pulse) => now - pulse.at < PULSE_LIFE);
  }

  _greeting() {
    const settled = this.clock.settled;
    const gate = settled ? this.mesh.gossip.standing("lion_gate", this.clock.now()) : null;
    const intents = (settled ? this._alive() : []).map(({ data, content, id, origin, at, n, stamp }) => ({
      ...(content?.intent ?? data),
      ...(content?.world ? { world: content.world } : {}),
      ...{ id, origin, at },
      ...(n === null || n === undefined ? {} : { n }),
      ...(stamp === null || stamp === undefined ? {} : { stamp }),
    }));
    return {
      nodes: this.swarm.n,
      portal: gate ? gate.data.on : settled && this.swarm.portal,
      t: this.swarm.t,
      ...(gate ? { portalAt: gate.at, portalOrigin: gate.origin } : {}),
      intents,
      world: this.swarm.params.world,
    };
  }

  // -- what is said -------------------------------------------------------------------------------------

  /** The mean field now. */
  _ownField() {
    const { R, psi, omega } = this.swarm.meanField();
    const turning = this.paused || Number.isNaN(omega) ? 0 : omega;
    const at = this.paused ? this.clock.now() : this.swarm.meshTime();
    return { at, R: Math.min(R, 1), psi, omega: turning, n: this.swarm.n };
  }

  /** How each pair with a live peer stands, for the record. */
  _peerings(/** @type {import("./peer.js").Peer[]} */ live, /** @type {number} */ at) {
    const own = this._ownOrder();
    const now = performance.now() / 1000;
    const peerings = live.flatMap((peer) => {
      const theirs = peer.order(at);
      const known = this.clock.offset(peer.id);
      if (!theirs) return [];
      const round = (/** @type {number | undefined} */ value) => (value === undefined ? null : Number(value.toFixed(6)));
      return [
        {
          id: peer.id,
          R: round(theirs.R),
          dpsi: round(angle(theirs.psi - own.psi)),
          rtt_ms: round(known?.roundTrip),
          offset_ms: round(known?.offset),
          uncertainty_ms: round(known?.uncertainty),
          via: peer.via(now),
        },
      ];
    });
    return peerings.length ? { peerings } : {};
  }

  _ownOrder() {
    const field = this._ownField();
    return { R: field.R, psi: field.psi + (field.omega * (this.clock.now() - field.at)) / 1000, n: field.n };
  }

  _sendField() {
    if (this.swarm.tick === 0) return;
    const field = this._ownField();
    if (Math.abs(field.omega) <= FIELD_LIMIT) this.mesh.sendField(field);
  }

  _record() {
    const at = this.clock.now();
    const live = [...this.mesh.peers.values()].filter((peer) => peer.state === "live" && peer.hasSwarm);
    const members = [this._ownOrder(), ...live.map((peer) => peer.order(at)).filter((one) => one !== null)];
    const weight = members.reduce((sum, { n }) => sum + n, 0);
    const mean = (/** @type {(angle: number) => number} */ part) =>
      members.reduce((sum, { R, psi, n }) => sum + n * R * part(psi), 0) / weight;
    this.metrics = { ...this.swarm.metrics(), peers: live.length, H_mesh: Math.hypot(mean(Math.cos), mean(Math.sin)) };
    this.history = [...this.history, this.metrics].slice(-60);
    for (const listen of this.listeners) listen(this.metrics);
    const { peers, H_mesh, ...own } = this.metrics;
    const counts = { nodes: this.swarm.n, intents: this._alive().length, portal: this.swarm.portal, peers, H_mesh };
    this._write("telemetry", { metrics: { ...own, ...counts }, ...this._peerings(live, at) });
    if (this._sequence % 2 === 0) this.keep();
    const shown = Object.entries(this.metrics).filter(([, value]) => Number.isFinite(value));
    const intents = this._alive().slice(-3);
    const telemetry = {
      ...Object.fromEntries(shown),
      nodes: this.swarm.n,
      t: this.swarm.t,
      intents: intents.map(({ data: { x, y, E } }) => ({ x, y, E })),
    };
    this.mesh.sendTelemetry(telemetry, { at, seq: this._sequence++ });
  }
}

/** @type {Record<string, string>} */
const WORDS = { linked: "is linked", unlinked: "is not linked any more", relayed: "is reached through the server" };

/** An angle from −π to π. @param {number} value */
function angle(value) {
  return Math.atan2(Math.sin(value), Math.cos(value));
}
