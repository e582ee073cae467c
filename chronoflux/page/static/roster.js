/**
 * Who is in the room, by the server's word. The rules are those of the Python package's `chronoflux.mesh.roster`.
 */

/** s for which members count that left, or that were known before a restart of the server. */
const REMEMBERED = 60;
/** s for which a member is a newcomer. */
const NEW = 90;
const MOST_ANSWERS = 4096;
/** Kinds that have a clock. */
const WITH_CLOCK = new Set(["notebook", "headless", "page"]);

/** @typedef {{id: string, joined: number, kind: string, lasting: boolean}} Member */
/**
 * @typedef {object} RosterMessage
 * @property {Member[]} members @property {string[]} left @property {boolean} whole
 * @property {boolean} complete @property {number} size @property {number | null} since
 */

export class Roster {
  /** @param {() => number} now a monotonic clock, s */
  constructor(now = () => performance.now() / 1000) {
    this._clock = now;
    /** Whether the server sends rosters. */
    this.told = false;
    /** Whether the roster covers the whole room. */
    this.complete = false;
    this.size = 0;
    /** @type {Map<string, Member>} */
    this._members = new Map();
    /** @type {Map<string, number>} */
    this._left = new Map();
    /** @type {Map<string, {when: number, member: Member | null}>} */
    this._answers = new Map();
    /** @type {Map<string, Member>} */
    this._before = new Map();
    this._beforeUntil = 0;
    /** @type {Map<string, number>} */
    this._met = new Map();
    /** @type {number | null} */
    this._since = null;
    /** @type {number | null} */
    this._lostAt = null;
  }

  /** A whole roster, or a difference. @param {RosterMessage} message */
  take(message) {
    const now = this._clock();
    if (message.whole) this._begin(message, now);
    this._leave(message.left, now);
    for (const member of message.members) {
      this._members.set(member.id, member);
      this._left.delete(member.id);
    }
    this._lostAt = null;
    this._met = new Map([...this.members.keys()].map((id) => [id, this._met.get(id) ?? now]));
    this.told = true;
    this.complete = message.complete;
    this.size = message.size;
  }

  /** The answer to a question. @param {{ids: string[], present: Member[]}} message */
  answer(message) {
    const now = this._clock();
    const present = new Map(message.present.map((member) => [member.id, member]));
    for (const id of message.ids) {
      this._answers.delete(id);
      this._answers.set(id, { when: now, member: present.get(id) ?? null });
    }
    this._forget(now);
    for (const id of this._answers.keys()) {
      if (this._answers.size <= MOST_ANSWERS) break;
      this._answers.delete(id);
    }
  }

  /** The server is away: until it is back, nothing that it said expires. */
  serverLost() {
    this._lostAt ??= this._clock();
  }

  /** @returns {Map<string, Member>} the known members; for a while after a restart also those known before */
  get members() {
    if (this._now() >= this._beforeUntil) return new Map(this._members);
    const now = [...this._members].map(([id, member]) => /** @type {[string, Member]} */ ([id, earlier(member, this._before.get(id))]));
    return new Map([...this._before, ...now]);
  }

  /** @param {string} id @returns {Member | null} */
  member(id) {
    const now = this._now();
    const before = now < this._beforeUntil ? this._before.get(id) : undefined;
    const known = this._members.get(id);
    if (known) return earlier(known, before);
    const answer = this._answers.get(id);
    if (!before && answer && now - answer.when < REMEMBERED) return answer.member;
    return before ?? null;
  }

  /** Whether an id is a member or left lately; null: the server must be asked. @param {string} id @returns {boolean | null} */
  belongs(id) {
    if (this.member(id)) return true;
    const now = this._now();
    if (now - (this._left.get(id) ?? -Infinity) < REMEMBERED) return true;
    const answered = now - (this._answers.get(id)?.when ?? -Infinity) < REMEMBERED;
    return !this.told || (!this.complete && !answered) ? null : false;
  }

  /** @param {string} id */
  newcomer(id) {
    const met = this._met.get(id);
    return met !== undefined && this._now() - met < NEW;
  }

  /** Possible references of the clock, best first. @returns {Member[]} */
  ranked() {
    return [...this.members.values()]
      .filter(({ lasting, kind }) => lasting && WITH_CLOCK.has(kind))
      .sort((a, b) => a.joined - b.joined || (a.id < b.id ? -1 : 1));
  }

  _now() {
    return this._lostAt ?? this._clock();
  }

  _begin(/** @type {RosterMessage} */ message, /** @type {number} */ now) {
    if (this.told && message.since !== this._since) {
      this._before = this.members;
      this._beforeUntil = now + REMEMBERED;
    } else {
      const here = new Set(message.members.map(({ id }) => id));
      this._leave(
        [...this._members.keys()].filter((id) => !here.has(id)),
        now,
      );
    }
    this._members.clear();
    this._answers.clear();
    this._since = message.since;
  }

  _leave(/** @type {Iterable<string>} */ ids, /** @type {number} */ now) {
    for (const id of ids) {
      this._before.delete(id);
      if (this._members.delete(id)) this._left.set(id, now);
    }
    this._forget(now);
  }

  _forget(/** @type {number} */ now) {
    for (const [id, when] of this._left) if (now - when >= REMEMBERED) this._left.delete(id);
    for (const [id, { when }] of this._answers) if (now - when >= REMEMBERED) this._answers.delete(id);
  }
}

/** The member with the earlier of two times of joining. @param {Member} member @param {Member | undefined} before @returns {Member} */
function earlier(member, before) {
  return !before || before.joined >= member.joined ? member : { ...member, joined: before.joined };
}
