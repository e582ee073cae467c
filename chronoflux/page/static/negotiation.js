/**
 * Opens, replaces and closes the links of all peers: offers, answers and candidates.
 *
 * The rules are those of the Python package's `chronoflux.mesh.negotiation`.
 */

import { Link } from "./link.js";
import { Refused } from "./protocol.js";

const MAX_LINKS = 32;
const CROSSING = 3; // s after our offer within which an offer of the peer crosses it
const SILENT_LINK = 10;
const STEADY = 10;
const FORGOTTEN = 15;
const EARLY = 32;

/** @typedef {import("./peer.js").Peer} Peer */
/** @typedef {import("./link.js").Signal} Signal */

export class Negotiation {
  /**
   * @param {object} options
   * @param {(to: string, signal: Signal) => void} options.sendSignal
   * @param {(peer: Peer) => void} options.onOpen
   * @param {(peer: Peer, data: string | ArrayBuffer) => void} options.onMessage
   * @param {(peer: Peer, reason: string) => void} options.onClosed
   * @param {() => number} options.now s
   */
  constructor({ sendSignal, onOpen, onMessage, onClosed, now }) {
    /** @type {RTCIceServer[]} */
    this.iceServers = [];
    this._sendSignal = sendSignal;
    this._onOpen = onOpen;
    this._onMessage = onMessage;
    this._onClosed = onClosed;
    this._now = now;
    /** @type {Set<Peer>} */
    this._linked = new Set();
  }

  /** Whether this browser has WebRTC. */
  get possible() {
    return typeof RTCPeerConnection === "function";
  }

  /** Offer a new link, which replaces the one there is. @param {Peer} peer */
  dial(peer) {
    peer.dials = true;
    peer.dialled = this._now();
    if (!this.possible) {
      peer.reason = "this browser has no WebRTC";
      return;
    }
    if (this._full(peer)) return peer.planRedial(peer.dialled);
    this.retire(peer, "dialled anew");
    peer.early = [];
    this._connect(peer);
  }

  /** Redial broken, silent and missing links. @param {Peer} peer @param {number} now @param {string} ownId @param {boolean} joined */
  look(peer, now, ownId, joined) {
    if (peer.linked && now - peer.opened > STEADY) peer.failures = 0;
    const idle = !peer.link && peer.redialAt === null && peer.inRoom;
    const patience = ownId < peer.id ? FORGOTTEN : 2 * FORGOTTEN;
    if (idle && now - Math.max(peer.since, peer.dialled, peer.opened) > patience) {
      if (peer.ours) peer.planRedial(now);
      else peer.unanswered = true;
    }
    const silence = now - Math.max(peer.heardDirect, peer.opened);
    const silent = peer.linked && peer.ours && peer.dials && silence > SILENT_LINK;
    const due = peer.redialAt !== null && now >= peer.redialAt;
    if (joined && (silent || due)) {
      if (peer.linked) peer.reason = `nothing received over the link for ${silence.toFixed(0)} s`;
      this.dial(peer);
    }
  }

  /** @param {Peer} peer @param {Signal} signal @param {string} ownId @throws {Refused} */
  onSignal(peer, signal, ownId) {
    peer.answered = true;
    peer.unanswered = false;
    if (signal.type === "offer") this._onOffer(peer, signal, ownId);
    else if (peer.link?.state === "connecting") peer.link.feed(signal);
    else if (signal.type === "candidate" && peer.early.length < EARLY) peer.early.push(signal);
  }

  /** The peer refused our offer. @param {Peer} peer @param {string} reason */
  onRefused(peer, reason) {
    if (!peer.dials || peer.link?.state !== "connecting") return;
    peer.reason = `refused by the peer: ${reason}`;
    this.retire(peer, peer.reason);
    peer.planRedial(this._now());
  }

  /** Take a peer's link away from it and close it. @param {Peer} peer @param {string} reason */
  retire(peer, reason) {
    const link = peer.link;
    peer.link = null;
    this._linked.delete(peer);
    link?.close(reason);
  }

  /** @param {string} reason */
  close(reason) {
    for (const peer of [...this._linked]) this.retire(peer, reason);
  }

  _onOffer(/** @type {Peer} */ peer, /** @type {Signal} */ offer, /** @type {string} */ ownId) {
    if (!peer.offers.take(1)) throw new Refused("offer", "more than one every 2 s");
    if (!this.possible || this._full(peer)) return;
    const pending = peer.link?.dials && peer.link.state === "connecting";
    if (pending && ownId < peer.id && this._now() - peer.dialled < CROSSING) return;
    this.retire(peer, "replaced by a new offer");
    peer.dials = false;
    const link = this._connect(peer);
    link.feed(offer);
    for (const candidate of peer.early.splice(0)) link.feed(candidate);
  }

  _full(/** @type {Peer} */ peer) {
    const full = this._linked.size - (this._linked.has(peer) ? 1 : 0) >= MAX_LINKS;
    if (full) peer.reason = `this page has ${MAX_LINKS} links already`;
    return full;
  }

  /** @returns {Link} */
  _connect(/** @type {Peer} */ peer) {
    peer.redialAt = null;
    const link = new Link({
      dials: peer.dials,
      iceServers: this.iceServers,
      sendSignal: (signal) => {
        if (peer.link === link || !peer.link) this._sendSignal(peer.id, signal);
      },
      onOpen: (open) => {
        if (peer.link === open) this._onOpen(peer);
      },
      onMessage: (from, data) => {
        if (peer.link === from) this._onMessage(peer, data);
      },
      onClosed: (closed) => {
        if (peer.link !== closed) return;
        peer.link = null;
        this._linked.delete(peer);
        this._onClosed(peer, closed.reason);
      },
    });
    peer.link = link;
    this._linked.add(peer);
    return link;
  }
}
