/**
 * Draws a swarm: the pressure field, and an oscillator as a dot coloured by its phase.
 */

import { TOP } from "./field.js";
import { TAU } from "./model.js";
import { PALETTES } from "./palettes.js";

const GRAIN = 4; // px of the world for a pixel of the field
const LEVELS = 256;
const HUES = 128;
/** Oscillators above which dots are single pixels, written directly. */
const CROWDED = 3000;

/** @typedef {import("./model.js").Simulation} Simulation */
/** @typedef {{label: string, phases: Uint8Array, field: Uint8Array, portal: Uint8Array}} Palette */

export class View {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this._context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    this._fieldCanvas = document.createElement("canvas");
    this._fieldContext = /** @type {CanvasRenderingContext2D} */ (this._fieldCanvas.getContext("2d", { alpha: false }));
    /** @type {ImageData | null} */
    this._image = null;
    /** @type {Map<string, HTMLCanvasElement[]>} */
    this._dots = new Map();
    this.palette = "vivid";
    this.frames = 0;
  }

  /** Fit the canvas to its place on the page, in device pixels. @param {number} [most] px of its longer side */
  fit(most = 2400) {
    const { clientWidth, clientHeight } = this.canvas;
    const scale = Math.min(window.devicePixelRatio || 1, most / Math.max(clientWidth, clientHeight, 1));
    const [width, height] = [Math.max(1, Math.round(clientWidth * scale)), Math.max(1, Math.round(clientHeight * scale))];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this._dots.clear();
    }
  }

  /** Px of the canvas for a px of the world, and where the world begins. @param {[number, number]} world */
  frame(world) {
    const { width, height } = this.canvas;
    const scale = Math.min(width / world[0], height / world[1]);
    return { scale, left: (width - scale * world[0]) / 2, top: (height - scale * world[1]) / 2 };
  }

  /** The place in the world of a point on the page, or null beside it. @param {number} clientX @param {number} clientY @param {[number, number]} world */
  place(clientX, clientY, world) {
    const box = this.canvas.getBoundingClientRect();
    const { scale, left, top } = this.frame(world);
    const ratio = this.canvas.width / box.width;
    const x = ((clientX - box.left) * ratio - left) / scale;
    const y = ((clientY - box.top) * ratio - top) / scale;
    return x >= 0 && y >= 0 && x <= world[0] && y <= world[1] ? { x, y } : null;
  }

  /** @param {Simulation} swarm */
  draw(swarm) {
    this.fit();
    const { world } = swarm.params;
    const palette = PALETTES[this.palette];
    const { scale, left, top } = this.frame(world);
    const context = this._context;
    const colours = swarm.portal ? palette.portal : palette.field;
    const rest = Math.round((0.55 / TOP) * (LEVELS - 1));
    context.fillStyle = rgb(colours, rest);
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    const crowded = swarm.n > CROWDED;
    this._drawField(swarm, colours, crowded ? palette.phases : null);
    context.imageSmoothingEnabled = true;
    context.drawImage(this._fieldCanvas, left, top, scale * world[0], scale * world[1]);
    if (!crowded) this._drawDots(swarm, palette, scale, left, top);
    this.frames++;
  }

  /** The field, a pixel for some px of the world; of a crowded swarm the oscillators, too. */
  _drawField(/** @type {Simulation} */ swarm, /** @type {Uint8Array} */ colours, /** @type {Uint8Array | null} */ phases) {
    const [W, H] = swarm.params.world;
    const grain = phases ? Math.max(1, W / 800) : Math.max(W / 200, H / 200, GRAIN);
    const columns = Math.max(1, Math.round(W / grain));
    const rows = Math.max(1, Math.round(H / grain));
    if (this._image?.width !== columns || this._image.height !== rows) {
      this._fieldCanvas.width = columns;
      this._fieldCanvas.height = rows;
      this._image = this._fieldContext.createImageData(columns, rows);
    }
    const pixels = new Uint32Array(this._image.data.buffer);
    const table = this._table(colours);
    const field = swarm.field();
    const step = phases ? GRAIN : 1; // the field itself is smooth
    for (let r = 0; r < rows; r += step) {
      const y = ((r + step / 2) * H) / rows;
      for (let c = 0; c < columns; c += step) {
        const p = field.at(((c + step / 2) * W) / columns, y);
        const colour = table[(p * ((LEVELS - 1) / TOP) + 0.5) | 0];
        if (step === 1) pixels[r * columns + c] = colour;
        else {
          for (let dr = 0; dr < step && r + dr < rows; dr++) {
            pixels.fill(colour, (r + dr) * columns + c, (r + dr) * columns + Math.min(c + step, columns));
          }
        }
      }
    }
    if (phases) {
      const hues = this._table(phases);
      const { x, y, phi, n } = swarm;
      for (let i = 0; i < n; i++) {
        const at = (((y[i] / H) * rows) | 0) * columns + (((x[i] / W) * columns) | 0);
        pixels[at] = hues[((phi[i] / TAU) * LEVELS) & 255];
      }
    }
    this._fieldContext.putImageData(this._image, 0, 0);
  }

  _drawDots(
    /** @type {Simulation} */ swarm,
    /** @type {Palette} */ palette,
    /** @type {number} */ scale,
    /** @type {number} */ left,
    /** @type {number} */ top,
  ) {
    const radius = Math.max(1.5, scale * Math.min(5, 60 / Math.sqrt(swarm.n)));
    const dots = this._dotsOf(palette, radius);
    const half = dots[0].width / 2;
    const { x, y, phi, n } = swarm;
    const context = this._context;
    for (let i = 0; i < n; i++) {
      const dot = dots[((phi[i] / TAU) * HUES) % HUES | 0];
      context.drawImage(dot, left + x[i] * scale - half, top + y[i] * scale - half);
    }
  }

  /** A dot for each hue, drawn once. @returns {HTMLCanvasElement[]} */
  _dotsOf(/** @type {Palette} */ palette, /** @type {number} */ radius) {
    const key = `${palette.label} ${radius.toFixed(2)}`;
    let dots = this._dots.get(key);
    if (!dots) {
      const size = Math.ceil(2 * radius) + 2;
      dots = Array.from({ length: HUES }, (_, hue) => {
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = size;
        const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
        context.fillStyle = rgb(palette.phases, Math.floor((hue * LEVELS) / HUES));
        context.beginPath();
        context.arc(size / 2, size / 2, radius, 0, TAU);
        context.fill();
        return canvas;
      });
      this._dots.clear();
      this._dots.set(key, dots);
    }
    return dots;
  }

  /** A colour map as pixels. @returns {Uint32Array} */
  _table(/** @type {Uint8Array} */ colours) {
    let table = tables.get(colours);
    if (!table) {
      table = new Uint32Array(LEVELS);
      const bytes = new Uint8Array(table.buffer);
      for (let i = 0; i < LEVELS; i++) bytes.set([colours[3 * i], colours[3 * i + 1], colours[3 * i + 2], 255], 4 * i);
      tables.set(colours, table);
    }
    return table;
  }
}

/** @type {WeakMap<Uint8Array, Uint32Array>} */
const tables = new WeakMap();

/** @param {Uint8Array} colours @param {number} level */
function rgb(colours, level) {
  return `rgb(${colours[3 * level]} ${colours[3 * level + 1]} ${colours[3 * level + 2]})`;
}
