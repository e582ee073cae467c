/**
 * Checks what peers say, and hands on each event and field once.
 *
 * The rules are those of the Python package's `chronoflux.mesh.inbound` and `origins`.
 */

import { FUTURE, OLD, TOLD, contentFor, messageOf, oldId, outranks } from "./gossip.js";
import { contentOf, eventId, mustMatch } from "./identity.js";
import { Refused, checkEvent, checkPassable, scaleEvent } from "./protocol.js";

const HELD = 1024; // events that wait for the server's word on their origin, of all links
const HELD_EACH = 128; // and of one
const PATIENCE = 1; // s that one waits
const MOST_ASKED = 64;

/** @typedef {import("./peer.js").Peer} Peer */
/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {import("./gossip.js").RoomEvent} RoomEvent */
/** @typedef {{origin: string, id: string, at: number, relayed: boolean, provable: boolean}} Way */

export class Inbound {
  /**
   * @param {object} options
   * @param {import("./protocol.js").EventKind[]} options.events
   * @param {import("./gossip.js").Gossip} options.gossip
   * @param {import("./clock.js").MeshClock} options.clock
   * @param {import("./roster.js").Roster} options.roster
   * @param {Map<string, Peer>} options.peers
   * @param {() => [number, number]} options.world
   * @param {(event: RoomEvent) => void} options.onEvent
   * @param {(peer: Peer) => void} options.onField
   * @param {(message: Record<string, any>, sender: Peer, origin: string) => void} options.passOn
   * @param {(ids: string[]) => void} options.askWho
   * @param {() => number} options.now s
   */
  constructor(options) {
    this.events = options.events;
    this._gossip = options.gossip;
    this._clock = options.clock;
    this._roster = options.roster;
    this._peers = options.peers;
    this._world = options.world;
    this._onEvent = options.onEvent;
    this._onField = options.onField;
    this._passOn = options.passOn;
    this._askWho = options.askWho;
    this._now = options.now;
    /** This page's id. */
    this.id = "";
    /** The server's hop limit; 0 in a full mesh. */
    this.hops = 0;
    /** @type {{since: number, origin: string, peer: Peer, message: Message}[]} */
    this._held = [];
    /** @type {Set<string>} */
    this._asked = new Set();
  }

  /** @param {Peer} peer @param {Message} message @throws {Refused} */
  take(peer, message) {
    if (message.type === "event") this._event(peer, message, false);
    else if (message.type === "unknown event") this._unknownEvent(peer, message);
    else if (message.type === "field") this._field(peer, message);
    else if (message.type === "telemetry") this._gate(peer, message.portal, message.portalAt, message.portalOrigin);
    else if (message.type === "state") this._state(peer, message);
  }

  /** Ask the server for origins, and take events whose origin is known by now. */
  look() {
    const now = this._now();
    const held = this._held;
    this._held = [];
    for (const one of held) {
      if (this._roster.belongs(one.origin) !== null) this._again(one.peer, one.message);
      else if (now - one.since > PATIENCE) one.peer.refuse(one.message.type);
      else this._held.push(one);
    }
    const waiting = new Set(this._held.map(({ origin }) => origin));
    for (const id of this._asked) if (!waiting.has(id)) this._asked.delete(id);
    const fresh = [...waiting].filter((id) => !this._asked.has(id)).slice(0, MOST_ASKED);
    if (fresh.length) this._askWho(fresh);
    for (const id of fresh) this._asked.add(id);
  }

  _again(/** @type {Peer} */ peer, /** @type {Message} */ message) {
    try {
      this.take(peer, message);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      peer.refuse(error.kind);
    }
  }

  _field(/** @type {Peer} */ peer, /** @type {Message} */ message) {
    const objection = this._clock.objection(peer.id);
    const late = this._clock.now() - message.at;
    peer.doubt = objection || (Math.abs(late) > FUTURE ? `its clock and ours are ${Math.abs(late / 1000).toFixed(0)} s apart` : "");
    if (peer.doubt) throw new Refused("field", peer.doubt);
    if (peer.field && message.at <= peer.field.at) return;
    const { at, R, psi, omega, n } = message;
    peer.field = { at, R, psi, omega, n };
    this._onField(peer);
  }

  /** `told`: part of a greeting, perhaps an event of another node. */
  _event(/** @type {Peer} */ peer, /** @type {Message} */ message, /** @type {boolean} */ told) {
    const way = this._way(peer, message, told);
    if (!way) return;
    const { kind, envelope } = message;
    const source = way.id.startsWith(OLD) ? null : (envelope.world ?? peer.world);
    const data = scaleEvent(kind, checkEvent(kind, message.data, source), source ?? this._world(), this._world());
    const content = this._content(peer, message, way);
    const event = { kind, data, id: way.id, origin: way.origin, at: way.at, n: envelope.n, content, stamp: envelope.stamp };
    if (!this._gossip.accept(event, this._clock.now(), { relayed: way.relayed, told })) return;
    this._onEvent(event);
    if (!told) this._spread(peer, messageOf(event, envelope.hops + 1), way);
  }

  _unknownEvent(/** @type {Peer} */ peer, /** @type {Message} */ message) {
    const way = this.hops ? this._way(peer, message, false) : null;
    if (!way) return;
    const { name, envelope } = message;
    if (!this._gossip.news(name, way.origin, way.id, way.at, this._clock.now(), { relayed: way.relayed })) return;
    this._spread(peer, { ...message.message, origin: way.origin, at: way.at, hops: envelope.hops + 1 }, way);
  }

  /** Whose event it is and how it came; null when it was there before, is our own, or waits. @returns {Way | null} */
  _way(/** @type {Peer} */ peer, /** @type {Message} */ message, /** @type {boolean} */ told) {
    const { envelope } = message;
    const type = message.kind?.wire ?? message.name;
    const now = this._clock.now();
    const claimed = envelope.origin ?? peer.id;
    const origin = told || (envelope.hops > 0 && this.hops > 0) ? claimed : peer.id;
    if (origin === this.id) return null;
    const relayed = origin !== peer.id;
    if (relayed) {
      const known = this._peers.get(origin)?.inRoom ? true : this._roster.belongs(origin);
      if (known === null && !told) {
        this._hold(peer, origin, message);
        return null;
      }
      if (!known) throw new Refused(type, "its origin is not in the room");
    }
    const id = envelope.id ?? (message.kind ? oldId(peer.id, message.kind, message.data) : "");
    const at = envelope.at ?? now;
    this._checkId(claimed, origin, id, at, message, relayed);
    if (this._gossip.seen(origin, id) || this._gossip.seen(claimed, id)) return null;
    if (!told) {
      if (!peer.allowsEvent(origin, at)) throw new Refused(type, "more than 20 events/s");
      if (relayed && !peer.passedOn.take(1)) throw new Refused(type, "too many events of others");
    }
    return { origin, id, at, relayed, provable: claimed === origin };
  }

  _hold(/** @type {Peer} */ peer, /** @type {string} */ origin, /** @type {Message} */ message) {
    const ofPeer = this._held.filter((one) => one.peer === peer).length;
    if (this._held.length >= HELD || ofPeer >= HELD_EACH) throw new Refused(message.type, "too many events wait");
    this._held.push({ since: this._now(), origin, peer, message });
    this.look();
  }

  /** @throws {Refused} unless the id is the one that its origin makes */
  _checkId(
    /** @type {string} */ claimed,
    /** @type {string} */ origin,
    /** @type {string} */ id,
    /** @type {number} */ at,
    /** @type {Message} */ message,
    /** @type {boolean} */ relayed,
  ) {
    const type = message.kind?.wire ?? message.name;
    const { stamp } = message.envelope;
    if (message.envelope.id === null) return;
    if (stamp !== null && stamp !== at && relayed && !this._roster.newcomer(origin)) {
      throw new Refused(type, "its time was changed on its way");
    }
    if (id.startsWith(OLD)) {
      const member = this._roster.member(origin);
      const right = message.kind ? oldId(origin, message.kind, message.data) : id;
      if (member?.lasting || id !== right) throw new Refused(type, "its id is not that of an old client's event");
      return;
    }
    if (!mustMatch(id) && !this._peers.get(origin)?.features?.has("event-hash")) return;
    let right = "";
    try {
      right = eventId(claimed, type, stamp ?? at, contentOf(message.message));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
    if (id !== right) throw new Refused(type, "its id is not the hash of its content");
  }

  /** What is passed on: what the id covers, as it came. */
  _content(/** @type {Peer} */ peer, /** @type {Message} */ message, /** @type {Way} */ way) {
    if (way.id.startsWith(OLD)) return contentFor(message.kind, message.data);
    try {
      checkPassable(message.message);
    } catch (error) {
      throw new Refused(message.kind.wire, error instanceof Error ? error.message : "");
    }
    return contentOf(message.message);
  }

  _spread(/** @type {Peer} */ peer, /** @type {Record<string, any>} */ message, /** @type {Way} */ way) {
    if (message.hops <= this.hops && (peer.inRoom || peer.linked) && way.provable) this._passOn(message, peer, way.origin);
  }

  /** Take over the room's gate out of a peer's state or telemetry. */
  _gate(/** @type {Peer} */ peer, /** @type {boolean} */ on, /** @type {number | null} */ at, /** @type {string | null} */ said) {
    const kind = this.events.find(({ name }) => name === "lion_gate");
    if (!kind || (!on && at === null) || said === this.id) return;
    const known = said && (said === peer.id || this._peers.get(said)?.inRoom || this._roster.belongs(said));
    const origin = known ? said : peer.id;
    const when = at ?? 0;
    const event = { kind, data: { on }, id: `${TOLD}${origin.slice(0, 32)}:${when.toFixed(3)}`, origin, at: when };
    const now = this._clock.now();
    const held = this._gossip.standing("lion_gate", now);
    if (held && !outranks(event, held)) return;
    if (!peer.gates.take(1)) throw new Refused("portal", "changed more than once a second");
    if (this._gossip.takesOver(event, now)) this._onEvent(event);
  }

  _state(/** @type {Peer} */ peer, /** @type {Message} */ state) {
    if (!peer.greetings.take(1)) throw new Refused("state", "more than one every 2 s");
    peer.world = state.world;
    this._gate(peer, state.portal, state.portalAt, state.portalOrigin);
    const kind = this.events.find(({ name }) => name === "intent");
    for (const pulse of kind ? state.intents : []) {
      const { x, y, E, sigma, world, id, origin, at, n, stamp } = pulse;
      const data = { x, y, E, ...(sigma === null ? {} : { sigma }) };
      const envelope = { id, origin, at, hops: 0, n, stamp, world };
      const message = { type: "intent", intent: data, ...(world ? { world } : {}) };
      try {
        this._event(peer, { type: "event", kind, envelope, data, message }, true);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        peer.refuse(error.kind);
      }
    }
  }
}
