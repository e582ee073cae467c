/**
 * The swarm: the model of `model.md`, tick by tick. It knows no page, clock or network.
 *
 * Names, units and the order of a step are those of the Python package's `Simulation`; both agree to rounding.
 */

import { Field, alive } from "./field.js";
import { Neighbours } from "./neighbours.js";
import { Generator } from "./random.js";

export const TAU = 2 * Math.PI;
/** Simulated seconds over which the mean field's frequency is taken. */
const OMEGA_WINDOW = 0.5;
/** ms for which a peer's mean field counts. */
const FRESH = 2000;
const FASTEST = 1e9;
const SLOWEST = 1e-150;

/** @typedef {import("./field.js").Pulse} Pulse */
/**
 * @typedef {object} Params as the server's table of parameters has them
 * @property {number} oscillators
 * @property {number} neighbours
 * @property {number} kappa rad/s
 * @property {number} eta 1/s
 * @property {number} gamma px² per frame and s
 * @property {number} frequency Hz
 * @property {number} portal_frequency Hz
 * @property {number} frequency_spread Hz
 * @property {"normal" | "lorentz" | "uniform"} frequency_distribution
 * @property {number} phase_lag rad
 * @property {number} noise rad²/s
 * @property {"knn" | "global"} coupling
 * @property {number} mesh_coupling rad/s
 * @property {"torus" | "plane"} boundary
 * @property {[number, number]} world px
 * @property {number} dt s
 * @property {"euler" | "rk4"} integrator
 */
/**
 * @typedef {object} PeerField
 * @property {number} at mesh time, ms
 * @property {number} R order, 0 to 1
 * @property {number} psi rad
 * @property {number} omega rad per second of mesh time
 */
/** @typedef {(swarm: Simulation, age: number, data: Record<string, any>) => void} Effect */

/** What events do, by name; the swarm's `t` is that of the tick that begins. @type {Record<string, Effect>} */
export const EVENTS = {
  intent: (swarm, age, { x, y, E = 0.35, sigma = 80 }) => {
    swarm.pulses.push({ x, y, E, sigma, t: swarm.t - age });
  },
  lion_gate: (swarm, age, { on = true }) => {
    swarm.portal = on;
  },
  pacemaker_flip: (swarm) => {
    for (let i = 0; i < swarm.n; i++) {
      swarm.vx[i] *= -0.6;
      swarm.vy[i] *= -0.6;
      swarm.phi[i] = wrap(swarm.phi[i] + Math.PI / 2, TAU);
    }
  },
};

/** Parameters whose change draws a new state. */
export const RESETS = ["oscillators", "frequency_spread", "frequency_distribution", "boundary", "world", "dt", "integrator"];

/** `value` in [0, period), also where rounding would give the period. @param {number} value @param {number} period */
export function wrap(value, period) {
  if (value >= 0 && value < period) return value;
  let rest = value % period;
  if (rest < 0) rest += period;
  return rest < period ? rest : 0;
}

/** Order and angle of the mean of unit vectors at the phases. @param {Float64Array} phi @returns {[number, number]} */
export function order(phi) {
  let s = 0;
  let c = 0;
  for (let i = 0; i < phi.length; i++) {
    s += Math.sin(phi[i]);
    c += Math.cos(phi[i]);
  }
  return [Math.min(Math.hypot(s, c) / phi.length, 1), Math.atan2(s, c)];
}

export class Simulation {
  /**
   * @param {Params} params
   * @param {bigint | number} seed
   * @param {Partial<Record<"x" | "y" | "vx" | "vy" | "phi", ArrayLike<number>>>} [state] what it leaves out is drawn
   */
  constructor(params, seed, state = {}) {
    this.params = params;
    this.seed = BigInt(seed);
    this.random = new Generator(this.seed);
    this.tick = 0;
    this.portal = false;
    /** @type {Map<string, PeerField>} */
    this.fields = new Map();
    /** Mesh time (ms) of a tick, and simulated seconds a second from there. */
    this.clock = { at: NaN, tick: 0, speed: 1 };
    /** Peers whose fields were used in the last tick. */
    this.used = 0;
    /** @type {{name: string, age: number, data: Record<string, any>}[]} */
    this._queue = [];
    this._begin(state);
  }

  get n() {
    return this.params.oscillators;
  }

  /** Simulated time, s. */
  get t() {
    return this.tick * this.params.dt;
  }

  _begin(/** @type {Partial<Record<string, ArrayLike<number>>>} */ state) {
    const { params, n, random } = this;
    const draw = (/** @type {string} */ name, /** @type {number} */ side) => {
      const given = state[name];
      if (given) return Float64Array.from(given, (value) => wrap(value, side));
      return Float64Array.from({ length: n }, () => random.random() * side);
    };
    this.x = draw("x", params.world[0]);
    this.y = draw("y", params.world[1]);
    this.phi = draw("phi", TAU);
    this.vx = Float64Array.from(state.vx ?? new Float64Array(n));
    this.vy = Float64Array.from(state.vy ?? new Float64Array(n));
    /** @type {Pulse[]} */
    this.pulses = [];
    this._offsets = this._drawFrequencies(); // Hz beyond the common frequency
    this._turns = new Float64Array(Math.max(1, Math.round(OMEGA_WINDOW / params.dt)));
    this._turned = 0;
    this._allocate();
    /** The mean field's phase at the tick that begins, rad. */
    this._psi = order(this.phi)[1];
  }

  _allocate() {
    const { n, params } = this;
    this._neighbours = new Neighbours(n, params.neighbours, params.world, params.boundary === "plane");
    this._ranked = false; // whether the neighbours are those of the positions of now
    this._sines = new Float64Array(n);
    this._cosines = new Float64Array(n);
    this._slopes = [0, 1, 2, 3].map(() => new Float64Array(n));
    this._stage = new Float64Array(n);
  }

  _drawFrequencies() {
    const { frequency_spread: spread, frequency_distribution: distribution } = this.params;
    const draw = {
      normal: () => this.random.normal(),
      lorentz: () => this.random.cauchy(),
      uniform: () => -1 + 2 * this.random.random(),
    }[distribution];
    return Float64Array.from({ length: this.n }, () => (spread === 0 ? 0 : spread * draw()));
  }

  /**
   * Start again with a new state, of another seed or of the generator as it stands. Portal mode, queued events,
   * mesh time and the peers' fields stay.
   *
   * @param {bigint | number} [seed]
   */
  reset(seed) {
    if (seed !== undefined) {
      this.seed = BigInt(seed);
      this.random = new Generator(this.seed);
    }
    this._begin({});
  }

  /** Change parameters between two ticks; some draw a new state. @param {Partial<Params>} changes */
  change(changes) {
    const before = this.params;
    this.params = { ...before, ...changes };
    if (RESETS.some((name) => String(this.params[name]) !== String(before[name]))) this.reset();
    else if (this.params.neighbours !== before.neighbours) this._allocate();
  }

  /**
   * Queue an event for the start of the next tick.
   *
   * @param {string} name
   * @param {Record<string, any>} [data]
   * @param {number} [age] simulated seconds since it was fired
   */
  fire(name, data = {}, age = 0) {
    if (!(name in EVENTS)) throw new RangeError(`event ${name}: there are ${Object.keys(EVENTS).join(", ")}`);
    this._queue.push({ name, age, data });
  }

  /** Mesh time `at` (ms) belongs to the current tick. @param {number} at @param {number} [speed] */
  anchor(at, speed = 1) {
    this.clock = { at, tick: this.tick, speed };
  }

  /** @param {number} [tick] @returns {number} mesh time, ms; NaN without an anchor */
  meshTime(tick = this.tick) {
    return this.clock.at + (1000 * this.params.dt * (tick - this.clock.tick)) / this.clock.speed;
  }

  /** Keep a peer's mean field unless a newer one is held. @param {string} peer @param {PeerField} field */
  hear(peer, field) {
    const held = this.fields.get(peer);
    if (!held || field.at >= held.at) this.fields.set(peer, { ...field, R: Math.min(field.R, 1) });
  }

  /** @param {string} peer */
  forget(peer) {
    this.fields.delete(peer);
  }

  /** Plain values for {@link Simulation.restore}; arrays are copies. */
  save() {
    const { params, tick, portal, x, y, vx, vy, phi } = this;
    return {
      params,
      seed: String(this.seed),
      random: this.random.save(),
      tick,
      portal,
      pulses: this.pulses.map((pulse) => ({ ...pulse })),
      queue: this._queue.map((event) => ({ ...event })),
      arrays: { x: x.slice(), y: y.slice(), vx: vx.slice(), vy: vy.slice(), phi: phi.slice() },
      offsets: this._offsets.slice(),
      turns: this._turns.slice(),
      turned: this._turned,
    };
  }

  /** A swarm that goes on as the saved one would. @param {ReturnType<Simulation["save"]>} saved @returns {Simulation} */
  static restore(saved) {
    const swarm = new Simulation({ ...saved.params, frequency_spread: 0 }, BigInt(saved.seed), saved.arrays);
    swarm.params = saved.params;
    swarm.random = Generator.restore(saved.random);
    swarm.tick = saved.tick;
    swarm.portal = saved.portal;
    swarm.pulses = saved.pulses;
    swarm._queue = saved.queue;
    swarm._offsets = saved.offsets;
    swarm._turns = saved.turns;
    swarm._turned = saved.turned;
    return swarm;
  }

  /** Compute ticks. @param {number} [ticks] */
  advance(ticks = 1) {
    for (let i = 0; i < ticks; i++) this._step();
  }

  _step() {
    const { params } = this;
    if (this._queue.length) {
      for (const { name, age, data } of this._queue.splice(0)) EVENTS[name](this, age, data);
      this._psi = order(this.phi)[1];
    }
    this._move();
    if (params.integrator === "rk4") this._rungeKutta();
    else this._euler();
    const psi = order(this.phi)[1];
    let turn = (psi - this._psi + Math.PI) % TAU;
    if (turn < 0) turn += TAU;
    this._turns[this._turned % this._turns.length] = turn - Math.PI;
    this._psi = psi;
    this._turned++;
    this.tick++;
    this.pulses = this.pulses.filter((pulse) => alive([pulse], this.t).length > 0);
  }

  _move() {
    const { params, n, x, y, vx, vy } = this;
    const { dt, eta, gamma } = params;
    const [W, H] = params.world;
    const field = this.field();
    let longest = 0;
    let crossed = false;
    for (let i = 0; i < n; i++) {
      field.evaluate(x[i], y[i]);
      vx[i] = bounded(vx[i] + (-gamma * field.gx - eta * vx[i]) * dt);
      vy[i] = bounded(vy[i] + (-gamma * field.gy - eta * vy[i]) * dt);
      const dx = 60 * vx[i] * dt;
      const dy = 60 * vy[i] * dt;
      const right = wrap(x[i] + dx, W);
      const down = wrap(y[i] + dy, H);
      crossed ||= right !== x[i] + dx || down !== y[i] + dy;
      x[i] = right;
      y[i] = down;
      longest = Math.max(longest, dx * dx + dy * dy);
    }
    if (crossed && params.boundary === "plane") this._neighbours.invalidate(); // a jump, in plain distances
    this._rank(Math.sqrt(longest));
  }

  /** Bring the neighbours up to date after a move of at most `step` px. */
  _rank(/** @type {number} */ step) {
    if (this.params.coupling === "knn" && this.n > 1) this._neighbours.update(this.x, this.y, step);
    else this._neighbours.invalidate();
    this._ranked = true;
  }

  _euler() {
    const { phi, n, params } = this;
    const slope = this._slope(phi, 0, this._slopes[0]);
    for (let i = 0; i < n; i++) phi[i] = wrap(phi[i] + params.dt * slope[i], TAU);
    if (params.noise > 0) {
      const scale = Math.sqrt(2 * params.noise * params.dt);
      for (let i = 0; i < n; i++) phi[i] = wrap(phi[i] + scale * this.random.normal(), TAU);
    }
  }

  _rungeKutta() {
    const { phi, n, _stage: stage } = this;
    const { dt } = this.params;
    const [k1, k2, k3, k4] = this._slopes;
    const at = (/** @type {Float64Array} */ slope, /** @type {number} */ part) => {
      for (let i = 0; i < n; i++) stage[i] = phi[i] + part * dt * slope[i];
      return stage;
    };
    this._slope(phi, 0, k1);
    this._slope(at(k1, 0.5), 0.5, k2);
    this._slope(at(k2, 0.5), 0.5, k3);
    this._slope(at(k3, 1), 1, k4);
    for (let i = 0; i < n; i++) {
      phi[i] = wrap(phi[i] + (dt / 6) * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]), TAU);
    }
  }

  /** dφ/dt in rad/s at these phases, with the peers' fields at this part of the tick; into `out`. */
  _slope(/** @type {Float64Array} */ phi, /** @type {number} */ part, /** @type {Float64Array} */ out) {
    const { n, params, _sines: s, _cosines: c } = this;
    const common = this.portal ? params.portal_frequency : params.frequency;
    let S = 0;
    let C = 0;
    for (let i = 0; i < n; i++) {
      s[i] = Math.sin(phi[i]);
      c[i] = Math.cos(phi[i]);
      S += s[i];
      C += c[i];
    }
    // sin(φj − φi − α) summed over j is S cos(φi + α) − C sin(φi + α)
    const lagSine = Math.sin(params.phase_lag);
    const lagCosine = Math.cos(params.phase_lag);
    const local = params.coupling === "knn";
    const { near, k } = this._neighbours;
    const coupling = n > 1 ? params.kappa / (local ? k : n) : 0;
    const [pullSine, pullCosine] = this._pullOfPeers(part);
    for (let i = 0; i < n; i++) {
      if (local) {
        S = C = 0;
        for (let e = i * k; e < (i + 1) * k; e++) {
          S += s[near[e]];
          C += c[near[e]];
        }
      }
      const ahead = s[i] * lagCosine + c[i] * lagSine;
      const beside = c[i] * lagCosine - s[i] * lagSine;
      out[i] =
        TAU * (common + this._offsets[i]) +
        coupling * (S * beside - C * ahead) +
        (pullSine * c[i] - pullCosine * s[i]);
    }
    return out;
  }

  /** κ_mesh times the mean of the fresh fields, as sine and cosine. @returns {[number, number]} */
  _pullOfPeers(/** @type {number} */ part) {
    const T = this.meshTime();
    const ahead = (part * 1000 * this.params.dt) / this.clock.speed;
    let sine = 0;
    let cosine = 0;
    let used = 0;
    for (const peer of [...this.fields.keys()].sort()) {
      const { at, R, psi, omega } = /** @type {PeerField} */ (this.fields.get(peer));
      if (!(Math.abs(T - at) <= FRESH)) continue;
      const angle = psi + (omega * (T + ahead - at)) / 1000;
      sine += R * Math.sin(angle);
      cosine += R * Math.cos(angle);
      used++;
    }
    this.used = used;
    const strength = used ? this.params.mesh_coupling / used : 0;
    return [strength * sine, strength * cosine];
  }

  /** The pressure field now. */
  field() {
    const { world, boundary } = this.params;
    return new Field(world, boundary === "plane", this.portal, alive(this.pulses, this.t), this.t);
  }

  /** Order, angle (rad) and frequency (rad/s; NaN before the first tick) of the mean field. */
  meanField() {
    const [R, psi] = order(this.phi);
    const kept = Math.min(this._turned, this._turns.length);
    let sum = 0;
    for (let i = 0; i < kept; i++) sum += this._turns[i];
    return { R, psi, omega: kept ? sum / (kept * this.params.dt) : NaN };
  }

  /** `H, psi, omega, tau, H_local`, as the log has them. */
  metrics() {
    const { R, psi, omega } = this.meanField();
    const local = this.params.coupling === "global" ? R : this._localOrder();
    return { H: R, psi, omega, tau: this.field().turbulence(), H_local: local };
  }

  /** The mean over oscillators of the order of each and its neighbours. */
  _localOrder() {
    const { n, phi } = this;
    if (!this._ranked) this._rank(Infinity);
    const { near, k } = this._neighbours;
    let total = 0;
    for (let i = 0; i < n; i++) {
      let s = Math.sin(phi[i]);
      let c = Math.cos(phi[i]);
      for (let e = i * k; e < (i + 1) * k; e++) {
        s += Math.sin(phi[near[e]]);
        c += Math.cos(phi[near[e]]);
      }
      total += Math.min(Math.sqrt(s * s + c * c) / (k + 1), 1);
    }
    return total / n;
  }
}

function bounded(/** @type {number} */ v) {
  const u = Math.min(Math.max(v, -FASTEST), FASTEST);
  return Math.abs(u) > SLOWEST ? u : 0;
}
