/** A token bucket: bounds a rate, with a burst. */
export class Bucket {
  /** @param {number} rate tokens per second @param {number} burst s of tokens that are kept @param {() => number} [now] s */
  constructor(rate, burst, now = () => performance.now() / 1000) {
    this._rate = rate;
    this._most = rate * burst;
    this._now = now;
    this._tokens = this._most;
    this._since = now();
  }

  /** @param {number} tokens @returns {boolean} whether they were there */
  take(tokens) {
    const now = this._now();
    this._tokens = Math.min(this._most, this._tokens + this._rate * (now - this._since));
    this._since = now;
    if (this._tokens < tokens) return false;
    this._tokens -= tokens;
    return true;
  }
}
