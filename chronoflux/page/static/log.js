/**
 * The log of the page's run, in the format of the package's run folders, and its export as a ZIP archive.
 */

import { hex, sha256 } from "./sha256.js";
import { zipped } from "./zip.js";

const DECIMALS = 6;
const SCHEMA = 1;

/** The float32 nearest to a number, and its shortest decimal. @param {number} value @returns {[number, number]} */
export function single(value) {
  const rounded = Math.fround(value);
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(rounded.toPrecision(digits));
    if (Math.fround(short) === rounded) return [rounded, short];
  }
  return [rounded, Number(rounded.toPrecision(9))];
}

/** @typedef {import("./store.js").Store} Store */

/** A name as part of a folder's name. @param {string} name */
export function slug(name) {
  const plain = name.replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "");
  if (plain === name && plain.length > 0 && plain.length <= 40) return plain;
  const digest = hex(sha256(new TextEncoder().encode(name))).slice(0, 6);
  return plain ? `${plain.slice(0, 33)}-${digest}` : digest;
}

/** Values as the log has them: floats rounded, null for what is no number. @param {Record<string, any>} values */
function rounded(values) {
  const round = (/** @type {any} */ value) =>
    typeof value !== "number" ? value : Number.isFinite(value) ? Number(value.toFixed(DECIMALS)) : null;
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, round(value)]));
}

export class RunLog {
  /**
   * @param {object} run
   * @param {Store} run.store where it is kept @param {string} run.room @param {string} run.node
   * @param {string} run.version @param {Record<string, any>} run.params @param {bigint} run.seed
   */
  constructor({ store, room, node, version, params, seed }) {
    this.store = store;
    const start = new Date();
    const stamp = start.toISOString().replace(/[-:]/g, "").replace(/\.\d+/, "");
    /** @type {Record<string, any>} */
    this.facts = {
      schema: SCHEMA,
      run: `${slug(room)}-${slug(node)}-${stamp}`,
      room,
      node,
      kind: "page",
      params,
      engine: "page",
      seed: String(seed),
      schedule: "none",
      versions: { chronoflux: version },
      start: start.toISOString().replace("Z", "+00:00"),
      status: "running",
      last_tick: null,
    };
    this._sequence = 0;
    this._inputs = 0;
  }

  /** What {@link RunLog.restore} takes. */
  save() {
    return { facts: this.facts, sequence: this._sequence, inputs: this._inputs };
  }

  /** Go on with a run that was kept. @param {ReturnType<RunLog["save"]>} kept */
  restore({ facts, sequence, inputs }) {
    this.facts = facts;
    this._sequence = sequence;
    this._inputs = inputs;
  }

  /**
   * Write a record. @param {string} type @param {{tick: number, t: number, at: number}} when
   * @param {{metrics?: Record<string, any>} & Record<string, any>} [more]
   */
  write(type, { tick, t, at }, { metrics = {}, ...more } = {}) {
    const record = {
      timestamp: Date.now(),
      t: Number(t.toFixed(DECIMALS)),
      type,
      metrics: rounded(metrics),
      tick,
      at,
      ...more,
      seq: this._sequence++,
      mono: Math.round(performance.now() * 1e6),
    };
    this.facts.last_tick = tick;
    this.store.append("telemetry.jsonl", JSON.stringify(record));
  }

  /** Write what is heard of a peer; without a field the peer is gone. @param {number} tick @param {string} peer @param {Record<string, number>} [field] */
  input(tick, peer, field = {}) {
    this.store.append("inputs.jsonl", JSON.stringify({ seq: this._inputs++, tick, peer, ...field }));
  }

  /** The run folder as an archive. @returns {Promise<Blob>} */
  async archive() {
    const { run } = this.facts;
    const manifest = new TextEncoder().encode(JSON.stringify({ ...this.facts, records: this._sequence, dropped: this.store.lost }));
    const files = [
      { name: `${run}/run.json`, parts: [numbered(manifest, this.facts.seed)] },
      { name: `${run}/telemetry.jsonl`, parts: this.store.read("telemetry.jsonl") },
      { name: `${run}/inputs.jsonl`, parts: this.store.read("inputs.jsonl") },
    ];
    /** @type {Blob[]} parts as blobs, which the browser may put on disk */
    const parts = [];
    for await (const part of zipped(files)) parts.push(new Blob([/** @type {BlobPart} */ (part)]));
    return new Blob(parts, { type: "application/zip" });
  }
}

/** The manifest with its seed as a number, which JavaScript cannot write when it is large. @param {Uint8Array} bytes @param {string} seed */
function numbered(bytes, seed) {
  const text = new TextDecoder().decode(bytes).replace(`"seed":"${seed}"`, `"seed":${seed}`);
  return new TextEncoder().encode(text);
}
