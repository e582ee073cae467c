/**
 * NumPy's default generator, bit for bit: PCG64 seeded by SeedSequence, and the draws that a swarm needs.
 *
 * PCG64 is PCG XSL RR 128/64 of M. E. O'Neill (Harvey Mudd College, HMC-CS-2014-0905); normal numbers come from
 * the ziggurat of G. Marsaglia and W. W. Tsang (Journal of Statistical Software 5(8), 2000), with NumPy's tables.
 * The state is kept in 16-bit words, whose products and sums are exact in a double.
 */

import { ZIGGURAT } from "./ziggurat.js";

const WORDS = 8;
const MULTIPLIER = toWords(0x2360ed051fc65da44385df649fccf645n);

/** @param {bigint} value 128 bits @returns {number[]} 16-bit words, the least significant first */
function toWords(value) {
  return Array.from({ length: WORDS }, (_, i) => Number((value >> BigInt(16 * i)) & 0xffffn));
}

/** @param {ArrayLike<number>} words @returns {bigint} */
function fromWords(words) {
  let value = 0n;
  for (let i = WORDS - 1; i >= 0; i--) value = (value << 16n) | BigInt(words[i]);
  return value;
}

/**
 * The words that NumPy's SeedSequence makes of a seed.
 *
 * @param {bigint} seed not negative
 * @param {number} count
 * @returns {number[]} `count` unsigned 32-bit numbers
 */
export function seedSequence(seed, count) {
  const POOL = 4;
  const entropy = [];
  for (let rest = seed; rest > 0n || entropy.length === 0; rest >>= 32n) entropy.push(Number(rest & 0xffffffffn));
  let constant = 0x43b0d7e5;
  const hash = (/** @type {number} */ value) => {
    value ^= constant;
    constant = Math.imul(constant, 0x931e8875);
    value = Math.imul(value, constant);
    return (value ^ (value >>> 16)) >>> 0;
  };
  const mix = (/** @type {number} */ x, /** @type {number} */ y) => {
    const value = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) | 0;
    return (value ^ (value >>> 16)) >>> 0;
  };
  const pool = [];
  for (let i = 0; i < POOL; i++) pool.push(hash(entropy[i] ?? 0));
  for (let from = 0; from < POOL; from++) {
    for (let to = 0; to < POOL; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
  }
  for (let i = POOL; i < entropy.length; i++) {
    for (let to = 0; to < POOL; to++) pool[to] = mix(pool[to], hash(entropy[i]));
  }
  let state = 0x8b51f9dd;
  return Array.from({ length: count }, (_, i) => {
    let value = pool[i % POOL] ^ state;
    state = Math.imul(state, 0x58f38ded);
    value = Math.imul(value, state);
    return (value ^ (value >>> 16)) >>> 0;
  });
}

/** A generator of random numbers like `numpy.random.Generator(numpy.random.PCG64(seed))`. */
export class Generator {
  /** @param {bigint | number} seed not negative */
  constructor(seed) {
    const s = seedSequence(BigInt(seed), 8).map(BigInt);
    const pair = (/** @type {number} */ i) => s[i] | (s[i + 1] << 32n);
    const initial = (pair(0) << 64n) | pair(2);
    const stream = (pair(4) << 64n) | pair(6);
    this._increment = toWords(((stream << 1n) | 1n) & ((1n << 128n) - 1n));
    this._state = new Float64Array(WORDS);
    this._next = new Float64Array(WORDS);
    this._step();
    this._state.set(toWords((fromWords(this._state) + initial) & ((1n << 128n) - 1n)));
    this._step();
    /** The last 64 bits drawn: high and low half. */
    this.high = 0;
    this.low = 0;
  }

  /** What {@link Generator.restore} takes: state and increment as decimal strings, as NumPy's `state` has them. */
  save() {
    return { state: String(fromWords(this._state)), inc: String(fromWords(this._increment)) };
  }

  /** @param {{state: string, inc: string}} saved @returns {Generator} */
  static restore(saved) {
    const generator = new Generator(0);
    generator._state.set(toWords(BigInt(saved.state)));
    generator._increment = toWords(BigInt(saved.inc));
    return generator;
  }

  _step() {
    const state = this._state;
    const next = this._next;
    const increment = this._increment;
    let carry = 0;
    for (let k = 0; k < WORDS; k++) {
      let sum = carry + increment[k];
      for (let i = 0; i <= k; i++) sum += state[i] * MULTIPLIER[k - i];
      carry = Math.floor(sum / 65536);
      next[k] = sum - carry * 65536;
    }
    this._state = next;
    this._next = state;
  }

  /** Draws 64 bits, into `high` and `low`. */
  draw() {
    this._step();
    const w = this._state;
    const low = ((w[1] << 16) | w[0]) ^ ((w[5] << 16) | w[4]);
    const high = ((w[3] << 16) | w[2]) ^ ((w[7] << 16) | w[6]);
    const turn = w[7] >>> 10; // the upper six bits of the state
    const [a, b] = turn & 32 ? [low, high] : [high, low]; // a rotation by 32 exchanges the halves
    const n = turn & 31;
    this.high = (n ? (a >>> n) | (b << (32 - n)) : a) >>> 0;
    this.low = (n ? (b >>> n) | (a << (32 - n)) : b) >>> 0;
  }

  /** @returns {number} uniform in [0, 1), like `random()` */
  random() {
    this.draw();
    return (this.high * 2097152 + (this.low >>> 11)) / 9007199254740992;
  }

  /** @returns {number} standard normal, like `standard_normal()` */
  normal() {
    for (;;) {
      this.draw();
      const layer = this.low & 0xff;
      const negative = (this.low >>> 8) & 1;
      const part = ((this.high >>> 9) & 0xfffff) * 4294967296 + (((this.high << 23) | (this.low >>> 9)) >>> 0);
      let x = part * ZIGGURAT.width[layer];
      if (negative) x = -x;
      if (part < ZIGGURAT.inner[layer]) return x;
      if (layer === 0) {
        for (;;) {
          const across = -ZIGGURAT.inverse * Math.log1p(-this.random());
          const down = -Math.log1p(-this.random());
          if (down + down > across * across) {
            return Math.floor(part / 256) % 2 ? -(ZIGGURAT.edge + across) : ZIGGURAT.edge + across;
          }
        }
      }
      const height = ZIGGURAT.height;
      if ((height[layer - 1] - height[layer]) * this.random() + height[layer] < Math.exp(-0.5 * x * x)) return x;
    }
  }

  /** @returns {number} standard Cauchy, like `standard_cauchy()` */
  cauchy() {
    const above = this.normal();
    return above / this.normal();
  }
}
