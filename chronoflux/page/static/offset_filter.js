/**
 * A peer's clock, estimated from its replies to probes. All times are ms; nothing here reads a clock.
 *
 * A clock is known by its `shift`: its mesh time minus this page's monotonic clock. See the Python package's
 * `chronoflux.mesh.offset_filter`, whose rules these are.
 */

export const WINDOW = 60_000;
export const FAR_WINDOW = 150_000;
export const SLEW = 500e-6;
export const DRIFT = 100e-6;
export const ROUNDING = 0.01;
const KEPT = 64;
const DISTRUST = 60_000;
/** Stratum of a clock on its own machine's time. */
export const UNSYNCED = 16;

/** @typedef {{at: number, shift: number, roundTrip: number}} Sample one probe: its shift at monotonic time `at` */

/** @param {Sample} sample */
function score(sample) {
  return sample.roundTrip / 2 - DRIFT * sample.at;
}

export class PeerClock {
  constructor() {
    this.stratum = UNSYNCED;
    this.reference = "";
    this.reason = "";
    /** Whether `reason` was reported. */
    this.told = false;
    /** How long a sample counts; the resolutions of both clocks, added. */
    this.window = WINDOW;
    this.tick = 0;
    this.answered = false;
    /** Whether it was on our time since the last step of it. */
    this.wasNear = false;
    /** @type {number | null} */
    this.first = null;
    this.count = 0;
    this._distrustedUntil = -Infinity;
    this._jumpedAt = -Infinity;
    /** @type {number | null} */
    this._awaited = null;
    /** @type {Sample[]} from oldest to newest, from best to worst */
    this._samples = [];
  }

  /** The sample of least uncertainty at `now`. @param {number} now @returns {Sample | null} */
  best(now) {
    while (this._samples.length && now - this._samples[0].at > this.window) this._samples.shift();
    if (!this._samples.length) {
      this.first = null;
      this.count = 0;
      return null;
    }
    return this._samples[0];
  }

  /** The largest error of a sample's shift at `now`. @param {Sample} sample @param {number} now */
  uncertainty(sample, now) {
    return sample.roundTrip / 2 + this.tick + DRIFT * (now - sample.at);
  }

  /** By how much the clock jumped, if the sample contradicts the best one. @param {Sample} sample */
  jump(sample) {
    const known = this.best(sample.at);
    if (!known) return null;
    const moved = sample.shift - known.shift;
    const certain = known.roundTrip / 2 + sample.roundTrip / 2 + 2 * this.tick + ROUNDING;
    const allowed = certain + (SLEW + DRIFT) * Math.abs(sample.at - known.at);
    return Math.abs(moved) > allowed ? moved : null;
  }

  /** A probe was sent. @param {number} now */
  ask(now) {
    this._awaited ??= now;
  }

  /** This page was suspended and missed replies. @param {number} now */
  excuse(now) {
    if (this._awaited !== null) this._awaited = now;
  }

  /** Whether probes are unanswered for longer. @param {number} now @param {number} patience */
  silent(now, patience) {
    return this._awaited !== null && now - this._awaited > patience;
  }

  /** @param {Sample} sample newer than all others */
  add(sample) {
    this.answered = true;
    this._awaited = null;
    this.first ??= sample.at;
    this.count = Math.min(this.count + 1, KEPT);
    while (this._samples.length && score(this._samples[this._samples.length - 1]) >= score(sample)) this._samples.pop();
    this._samples.push(sample);
    if (this._samples.length > KEPT) this._samples.shift();
  }

  /** Discard all samples. */
  forget() {
    this._samples = [];
    this.first = null;
    this.count = 0;
  }

  /** @param {string} reason @param {number} now */
  distrust(reason, now) {
    if (this.trusted(now)) this.reason = reason;
    this._distrustedUntil = now + DISTRUST;
  }

  /** Trust it again. @param {number} now */
  trust(now) {
    this._distrustedUntil = now;
  }

  /** It jumped. @param {number} by @param {number} now */
  leap(by, now) {
    this._jumpedAt = now;
    this.distrust(`its clock jumped by ${by >= 0 ? "+" : ""}${(by / 1000).toFixed(3)} s`, now);
  }

  /** Whether it jumped in the last minute and is still distrusted. @param {number} now */
  jumped(now) {
    return now < this._jumpedAt + DISTRUST && !this.trusted(now);
  }

  /** @param {number} now */
  trusted(now) {
    return now >= this._distrustedUntil;
  }

  /** Whether it is on a room's time and may be followed. */
  get synced() {
    return this.stratum < UNSYNCED - 1;
  }
}
