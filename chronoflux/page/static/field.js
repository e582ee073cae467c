/**
 * The pressure field: its value and gradient at a point, and its turbulence, as `model.md` defines them.
 */

export const AMBIENT = 0.55;
export const TOP = 1.3;
const ANGLE = 0.35; // rad
const COS = Math.cos(ANGLE);
const SIN = Math.sin(ANGLE);
const STRENGTH = 0.45;
const WAVELENGTH = 140; // px
const WAVENUMBER = (2 * Math.PI) / WAVELENGTH; // rad/px
const FREQUENCY = 1.4 * 2.2; // rad/s
const VARIANCE = (0.33 * WAVELENGTH) ** 2; // px²
/** A pulse is removed once it is this weak. */
const FAINT = 0.02;
/** A Gaussian with a larger exponent is below the rounding of the field, and left out. */
const UNFELT = 45;

/**
 * @typedef {object} Pulse
 * @property {number} x px
 * @property {number} y px
 * @property {number} E strength when it was fired
 * @property {number} sigma width, px
 * @property {number} t simulated time at which it was fired, s
 */

/** @param {number} E @param {number} age s @returns {number} a pulse's strength after `age` */
export function strength(E, age) {
  return E * 0.985 ** (Math.max(age, 0) / 0.016);
}

/** @param {Pulse[]} pulses @param {number} t s @returns {Pulse[]} those that are not faint, `E` as it is at `t` */
export function alive(pulses, t) {
  return pulses
    .map((pulse) => ({ ...pulse, E: strength(pulse.E, t - pulse.t) }))
    .filter((pulse) => pulse.E > FAINT);
}

/** The field at one time. {@link Field#evaluate} leaves pressure and gradient in `p`, `gx`, `gy`. */
export class Field {
  /**
   * @param {[number, number]} world width and height, px
   * @param {boolean} plane distances are plain, not over the seam
   * @param {boolean} portal no jet
   * @param {Pulse[]} pulses with their strength at `t`
   * @param {number} t s
   */
  constructor(world, plane, portal, pulses, t) {
    this.world = world;
    this.plane = plane;
    this.portal = portal;
    this.pulses = pulses;
    this.t = t;
    this.p = AMBIENT;
    this.gx = 0;
    this.gy = 0;
  }

  /** @param {number} x px @param {number} y px */
  evaluate(x, y) {
    const [W, H] = this.world;
    let p = AMBIENT;
    let gx = 0;
    let gy = 0;
    if (!this.portal) {
      const a = x - 0.2 * W;
      const b = y - 0.78 * H;
      const across = b * COS - a * SIN;
      const exponent = (across * across) / (2 * VARIANCE);
      if (exponent < UNFELT) {
        const bell = STRENGTH * Math.exp(-exponent);
        const angle = WAVENUMBER * (a * COS + b * SIN) - FREQUENCY * this.t;
        const sine = Math.sin(angle);
        const along = bell * WAVENUMBER * Math.cos(angle); // the derivative along the jet
        const side = (-bell * sine * across) / VARIANCE; // and across
        p += bell * sine;
        gx += along * COS - side * SIN;
        gy += along * SIN + side * COS;
      }
    }
    for (const pulse of this.pulses) {
      let dx = x - pulse.x;
      let dy = y - pulse.y;
      if (!this.plane) {
        dx -= W * Math.round(dx / W);
        dy -= H * Math.round(dy / H);
      }
      const variance = pulse.sigma * pulse.sigma;
      const exponent = (dx * dx + dy * dy) / (2 * variance);
      if (exponent < UNFELT) {
        const value = pulse.E * Math.exp(-exponent);
        p += value;
        gx -= (value * dx) / variance;
        gy -= (value * dy) / variance;
      }
    }
    if (p < 0 || p > TOP) {
      p = p < 0 ? 0 : TOP;
      gx = gy = 0;
    }
    this.p = p;
    this.gx = gx;
    this.gy = gy;
  }

  /** @param {number} x px @param {number} y px @returns {number} the pressure there */
  at(x, y) {
    this.evaluate(x, y);
    return this.p;
  }

  /** @returns {number} `tau`: the mean over 22 × 22 points of how differently the field slopes across and down */
  turbulence() {
    const [W, H] = this.world;
    let total = 0;
    for (let i = 1; i <= 22; i++) {
      for (let j = 1; j <= 22; j++) {
        const x = (i * W) / 24;
        const y = (j * H) / 24;
        total += Math.abs(this.at(x + 1, y) - this.at(x - 1, y) - (this.at(x, y + 1) - this.at(x, y - 1)));
      }
    }
    return total / (22 * 22);
  }
}
