/**
 * The connection to the signaling server: joins a room, connects again when it breaks, says why it cannot.
 */

import { isShort } from "./protocol.js";

const FIRST_DELAY = 500; // ms
const LAST_DELAY = 30_000;
const QUICK = 2; // failures after which delays grow
const SETTLED = 10_000;
const ANSWER = 10_000;
const PROOF = 5000;
const BACKLOG = 2 * 2 ** 20; // bytes waiting in the socket, above which telemetry is dropped

/** @typedef {"connecting" | "joined" | "waiting" | "refused" | "closed"} State */
/** @typedef {{type: string} & Record<string, any>} ServerMessage */

export class SignalClient {
  /**
   * @param {object} options
   * @param {string} options.url
   * @param {() => Record<string, any>} options.join the `join-room` message
   * @param {(message: ServerMessage) => void} options.onMessage
   * @param {() => void} options.onState
   */
  constructor({ url, join, onMessage, onState }) {
    this.url = url;
    /** @type {State} */
    this.state = "connecting";
    this.reason = "";
    /** How often it joined; the first `room-peers` after each is complete. */
    this.joins = 0;
    /** @type {{limits?: {message?: number}, rosters?: boolean} | null} */
    this.server = null;
    this._join = join;
    this._onMessage = onMessage;
    this._onState = onState;
    /** @type {WebSocket | null} */
    this._socket = null;
    this._failures = 0;
    this._joinedAt = -Infinity;
    this._heardAt = -Infinity;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._proof = undefined;
  }

  start() {
    if (this.state === "closed") return;
    this._set("connecting", `connecting to ${this.url}`);
    this.server = null;
    let socket;
    try {
      socket = this._socket = new WebSocket(this.url);
    } catch (error) {
      this._set("refused", error instanceof Error ? error.message : String(error));
      return;
    }
    let why = "the server does not answer";
    let wait = 0;
    clearTimeout(this._timer);
    this._timer = setTimeout(() => socket.close(), ANSWER);
    socket.onmessage = ({ data }) => {
      this._heardAt = performance.now();
      const message = decode(data);
      if (!message) return;
      if (message.type === "welcome") {
        this.server = message.server ?? null;
        socket.send(JSON.stringify(this._join()));
      } else if (message.type === "error" && (message.fatal || this.state !== "joined")) {
        why = isShort(message.message, 1024) ? message.message : "the server refused this page";
        wait = Number.isFinite(message.retryAfter) ? 1000 * message.retryAfter : 0;
        if (message.fatal) this._set("refused", why);
        socket.close();
      } else {
        if (message.type === "room-peers" && this.state !== "joined") this._enter();
        this._onMessage(message);
      }
    };
    socket.onclose = () => {
      clearTimeout(this._timer);
      clearTimeout(this._proof);
      if (this._socket !== socket || this.state === "refused" || this.state === "closed") return;
      if (this.state === "joined") why = "the connection broke";
      this._failures = performance.now() - this._joinedAt > SETTLED && this.state === "joined" ? 0 : this._failures + 1;
      this._set("waiting", `${why}; trying again`);
      const longest = Math.min(LAST_DELAY, 2 * FIRST_DELAY * 2 ** Math.max(0, this._failures - QUICK));
      const pause = Math.min(wait, LAST_DELAY) + FIRST_DELAY + Math.random() * (longest - FIRST_DELAY);
      this._timer = setTimeout(() => this.start(), pause);
    };
  }

  /** @param {Record<string, any>} message @returns {boolean} whether it was taken */
  send(message) {
    const socket = this._socket;
    if (this.state !== "joined" || !socket || socket.readyState !== WebSocket.OPEN) return false;
    const text = JSON.stringify(message);
    if (text.length > (this.server?.limits?.message ?? 65_536)) return false;
    if (message.type === "telemetry" && socket.bufferedAmount > BACKLOG) return false;
    socket.send(text);
    return true;
  }

  /** The network may have changed: try at once, or see whether the server still speaks. */
  doubt() {
    if (this.state === "waiting") {
      clearTimeout(this._timer);
      this._failures = 0;
      this.start();
    } else if (this.state === "joined" && this._proof === undefined) {
      const asked = performance.now();
      this.send({ type: "who", ids: [] });
      this._proof = setTimeout(() => {
        this._proof = undefined;
        if (this._heardAt < asked) this._socket?.close();
      }, PROOF);
    }
  }

  /** Leave the room. */
  close() {
    this.send({ type: "leave-room" });
    this._set("closed", "left");
    clearTimeout(this._timer);
    clearTimeout(this._proof);
    this._socket?.close();
  }

  _enter() {
    clearTimeout(this._timer);
    this.joins++;
    this._joinedAt = performance.now();
    this._set("joined", "");
  }

  /** @param {State} state @param {string} reason */
  _set(state, reason) {
    if (state === this.state && reason === this.reason) return;
    this.state = state;
    this.reason = reason;
    this._onState();
  }
}

/** @param {unknown} data @returns {ServerMessage | null} */
function decode(data) {
  try {
    const value = JSON.parse(String(data));
    return typeof value === "object" && value !== null && typeof value.type === "string" ? value : null;
  } catch {
    return null;
  }
}
