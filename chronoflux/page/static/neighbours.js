/**
 * The exact k nearest neighbours of every oscillator, ties by index, kept from tick to tick.
 *
 * Each oscillator has a list of candidates, the nearest few more than k at the time of its last search, and the
 * distance beyond which all others lay then. As long as nobody can have come nearer than the k-th candidate, the
 * candidates alone decide (a Verlet list: L. Verlet, Physical Review 159, 98, 1967). Otherwise they are searched
 * anew, on a grid of cells.
 */

/** Candidates kept beyond k. */
const SPARE = 8;
/** Oscillators in a cell of the grid, about. */
const PER_CELL = 3;

export class Neighbours {
  /**
   * @param {number} n oscillators
   * @param {number} k neighbours of each; at most n − 1 are found
   * @param {[number, number]} world px
   * @param {boolean} plane distances are plain, not over the seam
   */
  constructor(n, k, world, plane) {
    this.n = n;
    this.k = Math.min(k, n - 1);
    this.world = world;
    this.plane = plane;
    /** Candidates of each, at most. */
    this.most = Math.min(this.k + SPARE, n - 1);
    /** The neighbours: `k` of each, in no order. */
    this.near = new Int32Array(n * this.k);
    this._candidates = new Int32Array(n * this.most);
    this._squares = new Float64Array(n); // squared distance beyond which all others lay
    this._searched = new Float64Array(n).fill(-Infinity); // way travelled by then
    this._travelled = 0; // the sum over ticks of the longest step of any oscillator
    this._columns = Math.max(1, Math.floor(world[0] / Math.sqrt((world[0] * world[1] * PER_CELL) / n)));
    this._rows = Math.max(1, Math.floor(world[1] / Math.sqrt((world[0] * world[1] * PER_CELL) / n)));
    this._columns = Math.min(this._columns, 2048);
    this._rows = Math.min(this._rows, 2048);
    this._starts = new Int32Array(this._columns * this._rows + 1);
    this._members = new Int32Array(n);
    this._gridded = false;
    this._distances = new Float64Array(this.most + 1);
    this._indices = new Int32Array(this.most + 1);
    /** Sets searched anew so far. */
    this.searches = 0;
  }

  /** Forget all lists: positions are others. */
  invalidate() {
    this._searched.fill(-Infinity);
  }

  /**
   * Bring `near` up to date.
   *
   * @param {Float64Array} x px
   * @param {Float64Array} y px
   * @param {number} step the longest way that any oscillator went since the last call, px
   */
  update(x, y, step) {
    this._travelled += step;
    this._gridded = false;
    for (let i = 0; i < this.n; i++) if (!this._rank(i, x, y)) this._search(i, x, y);
  }

  /** Take the k nearest of the candidates; false when somebody else may be nearer. */
  _rank(/** @type {number} */ i, /** @type {Float64Array} */ x, /** @type {Float64Array} */ y) {
    const way = 2 * (this._travelled - this._searched[i]);
    if (way === Infinity) return false;
    const { k, most } = this;
    let held = 0;
    for (let c = i * most; c < (i + 1) * most; c++) {
      held = this._insert(held, k, this._squared(i, this._candidates[c], x, y), this._candidates[c]);
    }
    // Rounding of a distance is a billion times smaller than this margin.
    const safe = Math.sqrt(this._squares[i]) - way - 1e-9;
    if (most < this.n - 1 && !(safe > 0 && this._distances[k - 1] < safe * safe)) return false;
    for (let r = 0; r < k; r++) this.near[i * k + r] = this._indices[r];
    return true;
  }

  /** Insert into the `limit` nearest, nearer ones first, ties by index; returns how many are held. */
  _insert(
    /** @type {number} */ held,
    /** @type {number} */ limit,
    /** @type {number} */ square,
    /** @type {number} */ index,
  ) {
    const distances = this._distances;
    const indices = this._indices;
    let at = held;
    while (at > 0 && (distances[at - 1] > square || (distances[at - 1] === square && indices[at - 1] > index))) at--;
    if (at >= limit) return held;
    for (let r = Math.min(held, limit - 1); r > at; r--) {
      distances[r] = distances[r - 1];
      indices[r] = indices[r - 1];
    }
    distances[at] = square;
    indices[at] = index;
    return Math.min(held + 1, limit);
  }

  _squared(
    /** @type {number} */ i,
    /** @type {number} */ j,
    /** @type {Float64Array} */ x,
    /** @type {Float64Array} */ y,
  ) {
    let dx = Math.abs(x[i] - x[j]);
    let dy = Math.abs(y[i] - y[j]);
    if (!this.plane) {
      dx = Math.min(dx, this.world[0] - dx);
      dy = Math.min(dy, this.world[1] - dy);
    }
    return dx * dx + dy * dy;
  }

  /** Sort the oscillators into cells. */
  _fill(/** @type {Float64Array} */ x, /** @type {Float64Array} */ y) {
    const starts = this._starts.fill(0);
    for (let i = 0; i < this.n; i++) starts[this._cell(x[i], y[i]) + 1]++;
    for (let c = 1; c < starts.length; c++) starts[c] += starts[c - 1];
    const places = starts.slice();
    for (let i = 0; i < this.n; i++) this._members[places[this._cell(x[i], y[i])]++] = i;
    this._gridded = true;
  }

  _cell(/** @type {number} */ x, /** @type {number} */ y) {
    const column = Math.min(Math.floor((x / this.world[0]) * this._columns), this._columns - 1);
    const row = Math.min(Math.floor((y / this.world[1]) * this._rows), this._rows - 1);
    return row * this._columns + column;
  }

  /** Search the candidates of one, in squares of cells that grow until nobody outside can be nearer. */
  _search(/** @type {number} */ i, /** @type {Float64Array} */ x, /** @type {Float64Array} */ y) {
    if (!this._gridded) this._fill(x, y);
    const { most, k } = this;
    const columns = this._columns;
    const rows = this._rows;
    const width = this.world[0] / columns;
    const height = this.world[1] / rows;
    const home = this._cell(x[i], y[i]);
    const column = home % columns;
    const row = (home - column) / columns;
    let held = 0;
    const limit = most < this.n - 1 ? most + 1 : most; // one more tells how far away all others are
    for (let ring = 0; ; ring++) {
      const whole = this.plane ? this._covers(column, row, ring) : 2 * ring + 1 >= Math.max(columns, rows);
      held = this._ring(i, x, y, column, row, ring, held, limit);
      // A cell of the next ring begins at least `ring` cells and the way to the edge of the own one away.
      const left = x[i] - column * width;
      const top = y[i] - row * height;
      const reach = Math.min(
        ring * width + Math.min(left, width - left),
        ring * height + Math.min(top, height - top),
      );
      if (whole) break;
      if (held === limit && this._distances[limit - 1] < (reach - 1e-9) ** 2) break;
    }
    for (let r = 0; r < most; r++) this._candidates[i * most + r] = this._indices[r];
    for (let r = 0; r < k; r++) this.near[i * k + r] = this._indices[r];
    this._squares[i] = this._distances[limit - 1];
    this._searched[i] = this._travelled;
    this.searches++;
  }

  /** Whether a square of cells of this reach holds the whole plane. */
  _covers(/** @type {number} */ column, /** @type {number} */ row, /** @type {number} */ ring) {
    return column - ring <= 0 && row - ring <= 0 && column + ring >= this._columns - 1 && row + ring >= this._rows - 1;
  }

  /** Look at the cells at this distance from the own one, each once. */
  _ring(
    /** @type {number} */ i,
    /** @type {Float64Array} */ x,
    /** @type {Float64Array} */ y,
    /** @type {number} */ column,
    /** @type {number} */ row,
    /** @type {number} */ ring,
    /** @type {number} */ held,
    /** @type {number} */ limit,
  ) {
    const across = this.plane ? [ring, ring] : span(ring, this._columns);
    const down = this.plane ? [ring, ring] : span(ring, this._rows);
    for (let dr = -down[0]; dr <= down[1]; dr++) {
      const edge = Math.abs(dr) === ring;
      for (let dc = -across[0]; dc <= across[1]; dc++) {
        if (!edge && Math.abs(dc) !== ring) continue;
        let c = column + dc;
        let r = row + dr;
        if (this.plane) {
          if (c < 0 || c >= this._columns || r < 0 || r >= this._rows) continue;
        } else {
          c = (c + this._columns) % this._columns;
          r = (r + this._rows) % this._rows;
        }
        const cell = r * this._columns + c;
        for (let m = this._starts[cell]; m < this._starts[cell + 1]; m++) {
          const j = this._members[m];
          if (j !== i) held = this._insert(held, limit, this._squared(i, j, x, y), j);
        }
      }
    }
    return held;
  }
}

/** How far a ring goes to both sides of a cell, so that no cell of a circle of `cells` is met twice. */
function span(/** @type {number} */ ring, /** @type {number} */ cells) {
  return [Math.min(ring, Math.floor((cells - 1) / 2)), Math.min(ring, Math.floor(cells / 2))];
}
