/**
 * What a tab keeps: the lines of its log and the state of its swarm, in the browser's database.
 *
 * Where the browser withholds the database, the last lines are kept in memory.
 */

import { crc32 } from "./zip.js";

const DATABASE = "chronoflux";
const MOST_IN_MEMORY = 32 * 2 ** 20; // bytes of lines, without a database
const encoder = new TextEncoder();

/** @typedef {{run: string, file: string, n: number, bytes: Uint8Array}} Chunk */
/** @typedef {{size: number, crc: number, chunks: number}} Extent of a file so far */

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export class Store {
  /** @param {string} run what the tab is known by */
  constructor(run) {
    this.run = run;
    /** Why lines are not kept, if they are not. */
    this.problem = "";
    /** Lines that were given up. */
    this.lost = 0;
    /** @type {Map<string, string[]>} lines that are not written yet */
    this._pending = new Map();
    /** @type {Map<string, Extent>} */
    this._extents = new Map();
    /** @type {Chunk[]} */
    this._memory = [];
    this._inMemory = 0;
    /** @type {IDBDatabase | null} */
    this._database = null;
    /** @type {Promise<void>} writes happen one after the other */
    this._writing = this._open();
  }

  async _open() {
    try {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("chunks", { keyPath: ["run", "file", "n"] });
        request.result.createObjectStore("states", { keyPath: "run" });
      };
      this._database = await done(request);
      this._database.onversionchange = () => this._database?.close();
    } catch (error) {
      this.problem = `this browser keeps nothing for this page (${error}): a reload begins anew`;
    }
  }

  /** @returns {Promise<any>} what {@link Store#save} kept last, or undefined */
  async load() {
    await this._writing;
    if (!this._database) return undefined;
    const kept = await done(this._database.transaction("states").objectStore("states").get(this.run)).catch(() => undefined);
    if (kept) this._extents = new Map(Object.entries(kept.extents));
    return kept?.state;
  }

  /** Add a line to a file; it is written with the next {@link Store#save}. @param {string} file @param {string} line */
  append(file, line) {
    const lines = this._pending.get(file);
    if (lines) lines.push(line);
    else this._pending.set(file, [line]);
  }

  /** Write the lines so far, and the state, together. @param {any} state @returns {Promise<void>} */
  save(state) {
    this._writing = this._writing.then(() => this._save(state));
    return this._writing;
  }

  async _save(/** @type {any} */ state) {
    const pending = this._pending;
    this._pending = new Map();
    /** @type {Chunk[]} */
    const chunks = [];
    for (const [file, lines] of pending) {
      const bytes = encoder.encode(`${lines.join("\n")}\n`);
      const extent = this._extents.get(file) ?? { size: 0, crc: 0, chunks: 0 };
      chunks.push({ run: this.run, file, n: extent.chunks, bytes });
      this._extents.set(file, {
        size: extent.size + bytes.length,
        crc: crc32(bytes, extent.crc),
        chunks: extent.chunks + 1,
      });
    }
    if (this._database) {
      try {
        const transaction = this._database.transaction(["chunks", "states"], "readwrite");
        for (const chunk of chunks) transaction.objectStore("chunks").put(chunk);
        transaction.objectStore("states").put({ run: this.run, extents: Object.fromEntries(this._extents), state });
        await new Promise((resolve, reject) => {
          transaction.oncomplete = resolve;
          transaction.onerror = transaction.onabort = () => reject(transaction.error);
        });
        return;
      } catch (error) {
        this.problem = `the log is not kept any more: ${error}`;
        for (const [file, lines] of pending) {
          this.lost += lines.length;
          this._forget(file, chunks);
        }
        return;
      }
    }
    for (const chunk of chunks) this._remember(chunk);
  }

  /** A chunk was not written: the file is as long as before. */
  _forget(/** @type {string} */ file, /** @type {Chunk[]} */ chunks) {
    const chunk = chunks.find((one) => one.file === file);
    const extent = this._extents.get(file);
    if (!chunk || !extent) return;
    this._extents.set(file, { size: extent.size - chunk.bytes.length, crc: NaN, chunks: extent.chunks - 1 });
  }

  _remember(/** @type {Chunk} */ chunk) {
    if (this._inMemory + chunk.bytes.length > MOST_IN_MEMORY) {
      this.lost++;
      return;
    }
    this._inMemory += chunk.bytes.length;
    this._memory.push(chunk);
  }

  /** The chunks of a file, in order. @param {string} file @returns {AsyncGenerator<Uint8Array>} */
  async *read(file) {
    await this._writing;
    if (!this._database) {
      for (const chunk of this._memory) if (chunk.file === file) yield chunk.bytes;
      return;
    }
    const chunks = this._extents.get(file)?.chunks ?? 0;
    for (let n = 0; n < chunks; n++) {
      const store = this._database.transaction("chunks").objectStore("chunks");
      const chunk = await done(store.get([this.run, file, n]));
      if (chunk) yield chunk.bytes;
    }
  }

  /** Forget this run. */
  async clear() {
    await this._writing;
    this._extents.clear();
    this._memory = [];
    this._inMemory = 0;
    if (!this._database) return;
    const transaction = this._database.transaction(["chunks", "states"], "readwrite");
    transaction.objectStore("chunks").delete(IDBKeyRange.bound([this.run], [this.run, []]));
    transaction.objectStore("states").delete(this.run);
  }
}
