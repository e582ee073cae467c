/**
 * The page's node: a swarm that keeps step with mesh time, and its part in the room.
 */

import { MeshClock } from "./clock.js";
import { contentFor } from "./gossip.js";
import { Mesh } from "./mesh.js";
import { Simulation } from "./model.js";

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
   * @param {(text: string) => void} [options.onNews] a sentence for people about peers
   * @param {() => void} [options.onChange] connection, peers or parameters changed
   */
  constructor({ tables, url, room, nodeId, secret, token, params, seed, onNews = () => {}, onChange = () => {} }) {
    this.room = room;
    this.nodeId = nodeId;
    this.version = tables.version;
    this.events = tables.events;
    this.swarm = new Simulation(params, seed);
    this.clock = new MeshClock(() => performance.now(), () => performance.timeOrigin + performance.now(), clockTick());
    this.paused = false;
    this.stalls = 0;
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
          if (peer.field && peer.hasSwarm) this.swarm.hear(peer.id, peer.field);
        },
        onPeer: (peer, change, reason) => {
          if (change === "gone") this.swarm.forget(peer.id);
          this.onNews(`${peer.name} ${WORDS[change] ?? change}${reason ? `: ${reason}` : ""}`);
          this.onChange();
        },
        onClock: (change) => this._onClock(change),
        onState: () => this.onChange(),
      },
    });
    this.swarm.anchor(this.clock.now());
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
    this.paused = paused;
    if (!paused) this.swarm.anchor(this.clock.now());
    this.onChange();
  }

  /** @param {Partial<Params>} changes */
  change(changes) {
    this.swarm.change(changes);
    this.onChange();
  }

  /** Begin again with other places and phases. */
  reset() {
    this.swarm.reset();
  }

  leave() {
    this.mesh.leave();
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
      this.stalls++;
      swarm.anchor(this.clock.now());
      return;
    }
    const end = performance.now() + budget;
    for (let due = Math.floor(late / length); due > 0 && performance.now() < end; due--) swarm.advance();
  }

  _tie() {
    this._steps = this.clock.steps;
    this.swarm.anchor(this.clock.now());
  }

  _onClock(/** @type {import("./clock.js").Change} */ change) {
    if (change.kind === "judged") {
      const name = this.mesh.peers.get(change.peer)?.name ?? change.peer.slice(0, 8);
      if (!change.trusted) this.onNews(`${name} is not coupled to: ${change.reason}`);
    } else if (change.step !== null) {
      const step = change.step;
      this._pulses = this._pulses.map((pulse) => ({ ...pulse, at: pulse.at + step }));
      for (const peer of this.mesh.peers.keys()) this.swarm.forget(peer);
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
