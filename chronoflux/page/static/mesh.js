/**
 * The room as this page sees it: the peers, the ways to them, and what is said over these ways.
 *
 * The server says who is there, and the joining side dials. What comes over links, by the server's relay and to the
 * whole room is checked and handed to the page once. The rules are those of the Python package's `chronoflux.mesh`.
 */

import { Bucket } from "./bucket.js";
import { Gossip, messageOf } from "./gossip.js";
import { idOf, mint } from "./identity.js";
import { Inbound } from "./inbound.js";
import { RT_CHANNEL } from "./link.js";
import { Negotiation } from "./negotiation.js";
import { Peer, RELAY_AFTER } from "./peer.js";
import { Probing } from "./probing.js";
import { FIXED, Refused, decode, isShort, parse } from "./protocol.js";
import { Roster } from "./roster.js";
import { SignalClient } from "./signal.js";

const LOOK = 0.25; // s between two updates of the clock
const BYE = 1; // s
const MOST = 4096;
const HELD = 128;
const LATE = 1; // s of delay of the watch, beyond which silence is excused
const RELAY_FIELD = 0.5;
const RELAYED_FIELDS = 20; // fields/s by relay, to all peers together
const RELAYED_TELEMETRIES = 10;
const FEATURES = [RT_CHANNEL, "clock", "event-hash"];

/** @typedef {import("./gossip.js").RoomEvent} RoomEvent */
/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {import("./signal.js").ServerMessage} ServerMessage */
/**
 * @typedef {object} Participant what the page is to its room
 * @property {() => {version: string, nodeId: string, kind: string}} hello
 * @property {() => Record<string, any>} greeting
 * @property {() => [number, number]} world
 * @property {(event: RoomEvent) => void} onEvent
 * @property {(peer: Peer) => void} onField
 * @property {(peer: Peer, change: string, reason: string) => void} onPeer
 * @property {(change: import("./clock.js").Change) => void} onClock
 * @property {() => void} onState the connection to the server changed
 */

export class Mesh {
  /**
   * @param {object} options
   * @param {string} options.url of the signaling server
   * @param {string} options.room
   * @param {string} options.secret 32 hexadecimal digits
   * @param {string} [options.token]
   * @param {Record<string, any>} options.metadata
   * @param {import("./protocol.js").EventKind[]} options.events
   * @param {import("./clock.js").MeshClock} options.clock
   * @param {Participant} options.participant
   */
  constructor({ url, room, secret, token, metadata, events, clock, participant }) {
    this.clock = clock;
    this.events = events;
    /** @type {Map<string, Peer>} */
    this.peers = new Map();
    this.gossip = new Gossip();
    this.roster = new Roster();
    this.id = "";
    this._ownId = idOf(secret);
    this._node = participant;
    this._joined = Infinity;
    this._joins = 0;
    this._recorded = false;
    /** Peers' timed messages that wait until the room's time is known. @type {{peer: Peer, message: Message, came: number}[]} */
    this._held = [];
    /** @type {Set<string>} */
    this._untold = new Set();
    this._roomTelemetry = new Bucket(1, 1);
    const now = () => performance.now() / 1000;
    this._now = now;
    this.client = new SignalClient({
      url,
      join: () => ({ type: "join-room", room, metadata, secret, ...(token ? { token } : {}) }),
      onMessage: (message) => this._onServer(message),
      onState: () => participant.onState(),
    });
    this.inbound = new Inbound({
      events,
      gossip: this.gossip,
      clock,
      roster: this.roster,
      peers: this.peers,
      world: participant.world,
      onEvent: participant.onEvent,
      onField: participant.onField,
      passOn: (message, sender, origin) => {
        const others = this._present().filter((peer) => peer !== sender && peer.id !== origin && peer.wants(origin));
        this._tell(message, others);
      },
      askWho: (ids) => this.client.send({ type: "who", ids }),
      now,
    });
    this._negotiation = new Negotiation({
      sendSignal: (to, signal) => this.client.send({ type: "signal", to, signal }),
      onOpen: (peer) => this._onOpen(peer),
      onMessage: (peer, data) => {
        peer.heardDirect = now();
        this._hear(peer, () => decode(data, events));
      },
      onClosed: (peer, reason) => this._onClosed(peer, reason),
      now,
    });
    this._probing = new Probing({
      clock,
      peers: this.peers,
      send: (peer, message) => this._sendPerishable(peer, message),
      relay: (to, data) => this.client.send({ type: "relay", to, data }),
      now,
    });
    this._looked = -Infinity;
    this._watched = now();
    this._session = secret.slice(0, 8) + Math.floor(Date.now()).toString(16).slice(-8);
  }

  start() {
    this.client.start();
  }

  /** Say goodbye and leave. @param {string} [reason] */
  leave(reason = "left") {
    const bye = { type: "bye", reason };
    for (const peer of this.peers.values()) if (peer.ours) this._send(peer, bye);
    this.client.close();
    setTimeout(() => this._negotiation.close(reason), 1000 * BYE);
  }

  /** To be called about ten times a second, and after a sleep. */
  tick() {
    const now = this._now();
    const late = now - this._watched - 0.1;
    this._watched = now;
    if (late > LATE) {
      this.client.doubt();
      for (const peer of this.peers.values()) if (peer.linked) peer.opened = now;
    }
    if (this.client.state !== "joined") this.roster.serverLost();
    for (const peer of [...this.peers.values()]) this._watch(peer, now);
    this.inbound.look();
    if (now - this._looked >= LOOK) this._lookAtClock(now);
    this._probing.tick();
  }

  // -- what the page says -------------------------------------------------------------------------------

  /** Fire an event in the room. @param {string} name @param {Record<string, any>} data @param {Record<string, any>} content @returns {RoomEvent} */
  fire(name, data, content) {
    const kind = this.events.find((one) => one.name === name);
    if (!kind) throw new RangeError(`there is no event ${name}`);
    const now = this.clock.now();
    const held = this.gossip.standing(name, now);
    const when = held ? Math.max(now, held.at + 0.001) : now;
    const origin = this.id || this._ownId;
    const [id, at] = mint(origin, kind.wire, when, content, (one) => this.gossip.seen(origin, one));
    const event = this.gossip.own({ kind, data, id, origin, at, content });
    if (this.clock.settled) this._tell(messageOf(event, 0), this._present());
    else this._untold.add(event.id);
    return event;
  }

  /** Send the mean field. @param {{at: number, R: number, psi: number, omega: number, n: number}} field */
  sendField(field) {
    if (!this.clock.settled) return;
    const now = this._now();
    const message = { type: "field", ...field };
    const text = JSON.stringify(message);
    const period = Math.max(RELAY_FIELD, this._relayedPeers(now) / RELAYED_FIELDS);
    for (const peer of this._present()) {
      if (!peer.ours) continue;
      if (peer.direct(now)) peer.link?.send(text, { perishable: true });
      else if (now - peer.relayedField >= period && this._relaying(peer, now)) {
        peer.relayedField = now;
        this._sendRelay(peer, message);
      }
    }
  }

  /** Send the telemetry of the last second. @param {Record<string, any>} telemetry @param {Record<string, any>} more */
  sendTelemetry(telemetry, more) {
    const now = this._now();
    const gate = this.clock.settled ? this.gossip.standing("lion_gate", this.clock.now()) : null;
    const message = {
      type: "telemetry",
      telemetry,
      n: this.gossip.count - 1,
      ...more,
      ...(gate ? { portal: gate.data.on, portalAt: gate.at, portalOrigin: gate.origin } : {}),
    };
    const text = JSON.stringify(message);
    const period = this._relayedPeers(now) / RELAYED_TELEMETRIES;
    for (const peer of this._present()) {
      if (peer.linked) peer.link?.send(text, { droppable: true });
      if (peer.ours && !peer.direct(now) && now - peer.relayedTelemetry >= period && this._relaying(peer, now)) {
        peer.relayedTelemetry = now;
        this._sendRelay(peer, message);
      }
    }
    const oldEars = this._present().some((peer) => !peer.ours) || [...this.roster.members.values()].some((m) => !m.lasting);
    const share = Math.max(1, Math.max(this.roster.size, this.peers.size + 1) / 16);
    if ((this._recorded || oldEars) && this._roomTelemetry.take(share)) {
      this.client.send({ type: "telemetry", telemetry: { ...telemetry, ...more, n: message.n } });
    }
  }

  // -- the server ---------------------------------------------------------------------------------------

  _onServer(/** @type {ServerMessage} */ message) {
    const sender = typeof message.from === "string" ? message.from : "";
    switch (message.type) {
      case "room-peers":
        return this._onRoom(message);
      case "peer-joined-room":
        this._announce({ ...message, id: message.peerId });
        return undefined;
      case "peer-left":
        return this._onLeft(message.peerId);
      case "roster":
        return this._onRoster(message);
      case "who":
        this.roster.answer({ ids: message.ids ?? [], present: (message.present ?? []).map(member) });
        return this.inbound.look();
      case "signal":
        return this._onSignal(sender, message.signal);
      case "relay":
        return this._onPassed(sender, message.data);
      case "broadcast":
        return this._onToldAll(sender, message.data);
      case "telemetry":
        return this._onToldAll(sender, { type: "telemetry", telemetry: message.telemetry });
      case "ice-servers":
        this._negotiation.iceServers = message.iceServers ?? [];
        return undefined;
      case "unlink": {
        const peer = this.peers.get(message.peerId);
        if (peer) this._drop(peer, "no neighbour any more");
        return undefined;
      }
      default:
        return undefined;
    }
  }

  _onRoom(/** @type {ServerMessage} */ message) {
    const anew = this.client.joins !== this._joins;
    this._joins = this.client.joins;
    this.id = this.inbound.id = message.peerId ?? this._ownId;
    this.inbound.hops = message.hops ?? 0;
    this._recorded = message.recorded === true;
    if (Number.isFinite(message.joined)) this._joined = message.joined;
    if (message.iceServers?.length) this._negotiation.iceServers = message.iceServers;
    const here = new Set(message.peers.map((/** @type {{id: string}} */ { id }) => id));
    for (const peer of [...this.peers.values()]) if (anew && !here.has(peer.id)) this._onLeft(peer.id);
    for (const entry of message.peers) {
      if (entry.id === this.id) continue;
      const peer = this._announce(entry);
      if (!peer || peer.unanswered) continue;
      peer.dials ||= !peer.link;
      if (!peer.direct(this._now())) this._negotiation.dial(peer);
    }
  }

  /** @returns {Peer | null} */
  _announce(/** @type {Record<string, any>} */ said) {
    if (!isShort(said.id) || !said.id) return null;
    let peer = this.peers.get(said.id);
    if (!peer && this.peers.size >= MOST) return null;
    if (peer?.left) this._negotiation.retire(peer, "came back");
    if (!peer || peer.left) this.peers.set(said.id, (peer = new Peer(said.id, this._now())));
    peer.inRoom = true;
    peer.joined = said.joined ?? null;
    peer.announced(said.metadata, said.lasting);
    if (said.hears !== undefined) peer.hears = Array.isArray(said.hears) ? new Set(said.hears) : null;
    return peer;
  }

  _onRoster(/** @type {ServerMessage} */ message) {
    this.roster.take({
      members: (message.members ?? []).map(member),
      left: message.left ?? [],
      whole: message.whole === true,
      complete: message.complete !== false,
      size: message.size ?? 0,
      since: message.since ?? 0,
    });
    const own = this.roster.member(this.id);
    if (own) this._joined = own.joined;
    this._lookAtClock(this._now());
  }

  _onLeft(/** @type {string} */ id) {
    const peer = this.peers.get(id);
    if (!peer) return;
    peer.inRoom = false;
    if (!peer.direct(this._now()) || !peer.ours) this._drop(peer, peer.reason || "left the room");
  }

  _onSignal(/** @type {string} */ sender, /** @type {any} */ signal) {
    const peer = this.peers.get(sender);
    if (!peer || typeof signal !== "object" || signal === null) return;
    try {
      this._negotiation.onSignal(peer, signal, this.id);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      peer.refuse(error.kind);
    }
  }

  _onPassed(/** @type {string} */ sender, /** @type {any} */ data) {
    const peer = this.peers.get(sender);
    if (peer && !peer.left) {
      peer.heardRelay = this._now();
      this._hear(peer, () => parse(data, this.events));
    } else if (!peer && (data?.type === "probe" || data?.type === "probe-reply")) {
      try {
        const message = parse(data, this.events);
        if (message.type === "probe") this._probing.answerFar(sender, /** @type {any} */ (message));
        else this._probing.hear(sender, /** @type {any} */ (message));
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
      }
    }
  }

  /** An event or telemetry to the whole room. */
  _onToldAll(/** @type {string} */ sender, /** @type {any} */ data) {
    const peer = this.peers.get(sender);
    if (!peer) return;
    if (FIXED.has(data?.type) && data.type !== "telemetry") peer.refuse("broadcast");
    else this._onPassed(sender, data);
  }

  // -- peers --------------------------------------------------------------------------------------------

  _hear(/** @type {Peer} */ peer, /** @type {() => Message} */ read) {
    try {
      this._take(peer, read());
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      peer.refuse(error.kind);
    }
  }

  _take(/** @type {Peer} */ peer, /** @type {Message} */ message) {
    if (peer.left) return;
    const timed = ["event", "state", "field", "telemetry"].includes(message.type);
    if (timed && !this.clock.settled) {
      if (message.type === "event" || message.type === "state") {
        this._held.push({ peer, message, came: this.clock.mono() });
        if (this._held.length > HELD) this._held.shift();
      }
      return;
    }
    switch (message.type) {
      case "hello":
        peer.greeted(/** @type {any} */ (message));
        peer.backlog = this.gossip.recent(this.clock.now());
        if (message.heard !== null) peer.backlog = peer.backlog.filter((event) => !arrived(event.n ?? -1, message));
        this._probing.begin(peer);
        if (message.features.includes(RT_CHANNEL)) peer.link?.openRt();
        break;
      case "bye":
        this._send(peer, { type: "bye-ack" });
        peer.left = true;
        peer.inRoom = false;
        peer.leftAt = this._now();
        peer.reason = message.reason ? `left: ${message.reason}` : "left";
        break;
      case "refused":
        this._negotiation.onRefused(peer, message.reason);
        break;
      case "probe":
        this._probing.answer(peer, /** @type {any} */ (message));
        break;
      case "probe-reply":
        this._probing.hear(peer.id, /** @type {any} */ (message));
        if (!this.clock.settled) this._lookAtClock(this._now());
        break;
      default:
        this.inbound.take(peer, message);
    }
  }

  _onOpen(/** @type {Peer} */ peer) {
    peer.opened = this._now();
    peer.reason = "";
    peer.link?.send(JSON.stringify(this._hello()));
    peer.link?.send(JSON.stringify({ type: "state", ...this._node.greeting() }));
    peer.backlog = peer.ours ? this.gossip.recent(this.clock.now()) : [];
    this._node.onPeer(peer, "linked", "");
  }

  _onClosed(/** @type {Peer} */ peer, /** @type {string} */ reason) {
    const now = this._now();
    if (peer.inRoom && !peer.left && peer.givesNoAnswer(now)) {
      peer.unanswered = true;
      peer.reason = "";
      this._node.onPeer(peer, "server", peer.why(now));
      return;
    }
    if (!peer.left) {
      peer.reason = reason;
      this._node.onPeer(peer, "unlinked", reason);
    }
    if (peer.left || !peer.inRoom) this._drop(peer, peer.reason);
    else if (peer.dials || !peer.ours) peer.planRedial(now);
  }

  _watch(/** @type {Peer} */ peer, /** @type {number} */ now) {
    if (peer.left) {
      if (now - peer.leftAt > BYE) this._drop(peer, peer.reason);
      return;
    }
    this._negotiation.look(peer, now, this.id, this.client.state === "joined");
    const relaying = !peer.direct(now) && this._relaying(peer, now);
    if (relaying && peer.greetedRelay === null) {
      peer.greetedRelay = now;
      this._sendRelay(peer, this._hello());
      this._sendRelay(peer, { type: "state", ...this._node.greeting() });
      peer.backlog = this.gossip.recent(this.clock.now());
      this._node.onPeer(peer, "relayed", peer.reason || "no link yet");
    } else if (!relaying) peer.greetedRelay = null;
    if (peer.backlog.length && this.clock.settled) {
      const event = peer.backlog[0];
      if (this._send(peer, messageOf(event, 0))) peer.backlog.shift();
    }
    const before = peer.state;
    peer.state = peer.judge(now);
    if (peer.state === before) return;
    if (peer.state === "gone") {
      this._node.onPeer(peer, "gone", peer.reason || "silent");
      if (!peer.inRoom) this._drop(peer, peer.reason);
    } else if (before !== "connecting" || peer.state !== "live") {
      if (peer.state === "quiet") this.client.doubt();
      this._node.onPeer(peer, peer.state, peer.reason);
    }
  }

  _drop(/** @type {Peer} */ peer, /** @type {string} */ reason) {
    this._negotiation.retire(peer, reason);
    if (this.peers.get(peer.id) !== peer) return;
    this.peers.delete(peer.id);
    if (peer.state !== "gone") {
      peer.state = "gone";
      this._node.onPeer(peer, "gone", reason);
    }
  }

  // -- ways ---------------------------------------------------------------------------------------------

  _present() {
    return [...this.peers.values()].filter((peer) => (peer.inRoom || peer.linked) && !peer.left);
  }

  _hello() {
    return {
      type: "hello",
      ...this._node.hello(),
      features: FEATURES,
      tick_ms: this.clock.tick,
      n: this.gossip.count - 1,
      session: this._session,
    };
  }

  /** Send over each way that may work. @returns {boolean} whether one took it */
  _send(/** @type {Peer} */ peer, /** @type {Record<string, any>} */ message) {
    let taken = peer.linked && (peer.link?.send(JSON.stringify(message)) ?? false);
    if (!peer.direct(this._now()) && this._canRelay(peer)) taken = this._sendRelay(peer, message) || taken;
    return taken;
  }

  _sendPerishable(/** @type {Peer} */ peer, /** @type {Record<string, any>} */ message) {
    const now = this._now();
    if (peer.direct(now)) return peer.link?.send(JSON.stringify(message), { perishable: true }) ?? false;
    return this._relaying(peer, now) && this._sendRelay(peer, message);
  }

  _sendRelay(/** @type {Peer} */ peer, /** @type {Record<string, any>} */ data) {
    return this.client.send({ type: "relay", to: peer.id, data });
  }

  _canRelay(/** @type {Peer} */ peer) {
    return this.client.state === "joined" && peer.ours && peer.inRoom;
  }

  _relaying(/** @type {Peer} */ peer, /** @type {number} */ now) {
    return this._canRelay(peer) && now - Math.max(peer.since, peer.heardDirect) > RELAY_AFTER;
  }

  _relayedPeers(/** @type {number} */ now) {
    return this._present().filter((peer) => peer.ours && !peer.direct(now)).length;
  }

  /** Send an event; to the whole room when somebody is reached in no other way. */
  _tell(/** @type {Record<string, any>} */ message, /** @type {Peer[]} */ peers) {
    const unreached = peers.filter((peer) => !this._send(peer, message));
    if (unreached.length) this.client.send({ type: "broadcast", data: message });
  }

  // -- mesh time ----------------------------------------------------------------------------------------

  _lookAtClock(/** @type {number} */ now) {
    this._looked = now;
    if (!this.roster.told) return;
    const here = [...this.peers.values()].filter((peer) => peer.ours && !peer.left && peer.state !== "gone");
    const withClock = here.filter((peer) => !peer.features || peer.features.has("clock"));
    const present = new Set(here.map(({ id }) => id));
    const ranked = this.roster.ranked().filter(({ id }) => present.has(id) || !this.peers.has(id));
    const ticks = new Map(here.map((peer) => [peer.id, peer.tickMs]));
    this.clock.roster({ id: this.id, joined: this._joined }, withClock.map(({ id }) => id), ranked, ticks);
    for (const change of this.clock.look()) {
      if (change.kind === "followed" && change.step !== null) {
        this.gossip.shift(change.step);
        for (const peer of this.peers.values()) peer.field = null;
      }
      this._node.onClock(change);
    }
    if (this.clock.settled) this._makeUp();
  }

  /** Say and take what waited for the room's time. */
  _makeUp() {
    for (const event of this._untold.size ? this.gossip.recent(this.clock.now()) : []) {
      if (this._untold.delete(event.id)) this._tell(messageOf(event, 0), this._present());
    }
    for (const { peer, message, came } of this._held.splice(0)) {
      if (message.type === "event" && message.envelope.at === null) {
        message.envelope.at = this.clock.now() - (this.clock.mono() - came);
      }
      this._hear(peer, () => message);
    }
  }
}

/** @param {any} said @returns {import("./roster.js").Member} */
function member(said) {
  return { id: String(said.id), joined: Number(said.joined), kind: String(said.kind ?? ""), lasting: said.lasting === true };
}

/** Whether an event's number is among those that a hello says have arrived. */
function arrived(/** @type {number} */ n, /** @type {Message} */ hello) {
  return [[hello.since + 1, hello.heard], ...hello.also].some(([low, high]) => n >= low && n <= high);
}
