/**
 * One WebRTC connection to one peer: used once, and replaced when it breaks.
 *
 * Its signals are simple-peer's. The dialler offers; both sides send candidates as they find them.
 */

import { Bucket } from "./bucket.js";

const CONNECT_DEADLINE = 20_000; // ms
const HIGH_WATER = 4096; // bytes that wait, above which what may be dropped is dropped
const PERISHABLE_HIGH_WATER = 512;
const MAX_BUFFERED = 4 * 2 ** 20;
const MAX_MESSAGE = 256 * 1024;
const MOST_CANDIDATES = 16;
const SENT_CANDIDATES = 32;
const CHANNEL = "chronoflux";
/** Label of the channel without retransmission, and the feature's name. */
export const RT_CHANNEL = "chronoflux-rt";
const RT_PACE = [100, 0.5]; // messages/s, and burst in s
const FLOOD = [1000, 5];

/** @typedef {{type: string} & Record<string, any>} Signal */

export class Link {
  /**
   * @param {object} options
   * @param {boolean} options.dials
   * @param {RTCIceServer[]} options.iceServers
   * @param {(signal: Signal) => void} options.sendSignal
   * @param {(link: Link) => void} options.onOpen
   * @param {(link: Link, data: string | ArrayBuffer) => void} options.onMessage
   * @param {(link: Link) => void} options.onClosed called once
   */
  constructor({ dials, iceServers, sendSignal, onOpen, onMessage, onClosed }) {
    this.dials = dials;
    /** @type {"connecting" | "open" | "closed"} */
    this.state = "connecting";
    this.reason = "";
    /** Messages that were not sent because they would have come late. */
    this.dropped = 0;
    this._sendSignal = sendSignal;
    this._onOpen = onOpen;
    this._onMessage = onMessage;
    this._onClosed = onClosed;
    /** @type {RTCDataChannel | null} */
    this._channel = null;
    /** @type {RTCDataChannel | null} */
    this._rt = null;
    this._pace = new Bucket(RT_PACE[0], RT_PACE[1]);
    this._flood = new Bucket(FLOOD[0], FLOOD[1]);
    this._tried = 0;
    this._told = 0;
    /** @type {Signal[]} candidates that came before the description */
    this._early = [];
    this._connection = new RTCPeerConnection({ iceServers });
    this._connection.onicecandidate = ({ candidate }) => {
      if (!candidate || !candidate.candidate || this._told++ >= SENT_CANDIDATES) return;
      const { candidate: text, sdpMid, sdpMLineIndex } = candidate;
      this._sendSignal({ type: "candidate", candidate: { candidate: text, sdpMid, sdpMLineIndex } });
    };
    this._connection.onconnectionstatechange = () => {
      if (["failed", "closed"].includes(this._connection.connectionState)) this.close("the connection failed");
    };
    this._connection.ondatachannel = ({ channel }) => this._adopt(channel);
    this._deadline = setTimeout(() => this.close("timed out"), CONNECT_DEADLINE);
    if (dials) {
      this._adopt(this._connection.createDataChannel(CHANNEL));
      this._describe().catch((error) => this.close(String(error)));
    }
  }

  /** A signal of the peer. @param {Signal} signal */
  feed(signal) {
    this._feed(signal).catch((error) => this.close(`its signal cannot be used: ${error.message}`));
  }

  async _feed(/** @type {Signal} */ signal) {
    const connection = this._connection;
    if (this.state === "closed") return;
    if ((signal.type === "offer" && !this.dials) || (signal.type === "answer" && this.dials)) {
      await connection.setRemoteDescription({ type: signal.type, sdp: String(signal.sdp) });
      if (signal.type === "offer") await this._describe();
      for (const early of this._early.splice(0)) await this._feed(early);
    } else if (signal.type === "candidate") {
      if (!connection.remoteDescription) this._early.push(...(this._early.length < MOST_CANDIDATES ? [signal] : []));
      else if (this._tried++ < MOST_CANDIDATES) await connection.addIceCandidate(signal.candidate).catch(() => undefined);
    }
  }

  async _describe() {
    const connection = this._connection;
    await connection.setLocalDescription();
    const description = connection.localDescription;
    if (description && this.state !== "closed") this._sendSignal({ type: description.type, sdp: description.sdp });
  }

  /** As the dialler, open the channel without retransmission; only to a peer that knows it. */
  openRt() {
    if (!this.dials || this._rt || this.state !== "open") return;
    this._adopt(this._connection.createDataChannel(RT_CHANNEL, { ordered: false, maxRetransmits: 0 }));
  }

  _adopt(/** @type {RTCDataChannel} */ channel) {
    const isRt = channel.label === RT_CHANNEL;
    if (isRt ? this._rt : this._channel) return channel.close();
    channel.binaryType = "arraybuffer";
    channel.onmessage = ({ data }) => {
      const length = typeof data === "string" ? data.length : data.byteLength;
      if (length > MAX_MESSAGE) this.close("it sent a message that is too long");
      else if (!this._flood.take(1)) this.close("it floods this page with messages");
      else if (this.state === "open") this._onMessage(this, data);
    };
    if (isRt) {
      this._rt = channel;
      return;
    }
    this._channel = channel;
    channel.onclose = () => this.close("the channel closed");
    const opened = () => {
      if (this.state !== "connecting") return;
      clearTimeout(this._deadline);
      this.state = "open";
      this._onOpen(this);
    };
    if (channel.readyState === "open") opened();
    else channel.onopen = opened;
  }

  /**
   * Send a text; what is perishable or droppable is dropped when too much waits.
   *
   * @param {string} text @param {{perishable?: boolean, droppable?: boolean}} [how] @returns {boolean}
   */
  send(text, { perishable = false, droppable = false } = {}) {
    const fast = perishable && this._rt?.readyState === "open" ? this._rt : null;
    const channel = fast ?? this._channel;
    if (this.state !== "open" || channel?.readyState !== "open") return false;
    const late = channel.bufferedAmount > (perishable ? PERISHABLE_HIGH_WATER : HIGH_WATER);
    if (((perishable || droppable) && late) || (fast && !this._pace.take(1))) {
      this.dropped++;
      return false;
    }
    if (channel.bufferedAmount > MAX_BUFFERED) {
      this.close("the peer takes nothing any more");
      return false;
    }
    try {
      channel.send(text);
    } catch (error) {
      this.close(`sending failed: ${error}`);
      return false;
    }
    return true;
  }

  /** @param {string} [reason] */
  close(reason = "closed here") {
    if (this.state === "closed") return;
    this.state = "closed";
    this.reason = reason;
    clearTimeout(this._deadline);
    this._connection.close();
    this._onClosed(this);
  }
}
