// A client of tickgate.v1: connects, reconnects, and keeps the current state of what it asked for.
//
// Entries are applied in order, as the protocol demands; whoever paints looks at `rows` when it has
// time, and then calls `painted`. Until it does, credit holds the gateway back: a page that cannot
// paint, or a hidden tab, is sent nothing stale, and gets the newest values when it is back.

import { decode, encode } from "/msgpack.js";

const KIND = {
  definition: 1, epoch: 2, ready: 3, status: 4,
  quote: 10, quoteDelta: 11, last: 12, lastDelta: 13,
};
const QUOTE = ["bid_price", "bid_size", "ask_price", "ask_size", "flags"];
const LAST = ["price", "size", "volume", "trade_count", "high", "low", "open", "flags"];
const STATUS = { 1: "trading", 2: "halted", 3: "closed", 4: "delisted", 10: "live", 11: "stale" };
const REASON = {
  1: "regulatory", 2: "volatility", 3: "news", 4: "technical",
  10: "gap", 11: "silent", 12: "disconnected", 13: "ended",
};

/** Data frames that may be on their way unpainted. */
const CREDIT = 6;
/** Bounds of the pause before a new attempt, milliseconds; it doubles in between. */
const PAUSE = { first: 500, longest: 15_000 };
/** Silence after which a connection is dead before `welcome` has said otherwise, milliseconds. */
const SILENCE = 10_000;
/** Close codes from here on say: do not come back by yourself. */
const FINAL_CODES = 4500;

/** Calls `on.connection(state, detail)`, `on.feed(status, reason)`, `on.notice(text)` and
 *  `on.change()` as things happen. */
export class Stream {
  constructor(url, on) {
    this.url = url;
    this.on = on;
    this.symbols = new Set();
    this.throttleMs = 100;
    this.totals = { frames: 0, entries: 0, bytes: 0, merged: 0, cause: 0 };
    this.attempts = 0;
    /** What symbols stand for, by name, once they were asked for: null until the answer. */
    this.instruments = new Map();
    this.forget();
  }

  // ---- what the page asks ----

  open() {
    clearTimeout(this.retry);
    this.on.connection("connecting");
    this.socket = new WebSocket(this.url, ["tickgate.v1.msgpack"]);
    this.socket.binaryType = "arraybuffer";
    this.silenceLimitMs = SILENCE;
    this.heardAt = performance.now();
    const socket = this.socket;
    socket.onmessage = (event) => { if (socket === this.socket) this.receive(event.data); };
    socket.onclose = (event) => { if (socket === this.socket) this.closed(event); };
    clearInterval(this.watch);
    this.watch = setInterval(() => this.listen(), 500);
  }

  add(symbols) {
    const fresh = symbols.filter((symbol) => !this.symbols.has(symbol));
    fresh.forEach((symbol) => this.symbols.add(symbol));
    if (fresh.length > 0) this.send({ op: "subscribe", symbols: fresh });
  }

  remove(symbol) {
    if (!this.symbols.delete(symbol)) return;
    this.send({ op: "unsubscribe", symbols: [symbol] });
    if (symbol === "*") {
      for (const name of [...this.rows.keys()]) if (!this.symbols.has(name)) this.rows.delete(name);
    } else if (!this.symbols.has("*")) {
      this.rows.delete(symbol);
    }
    this.on.change();
  }

  /** Asks what a symbol stands for, once. Of all names that begin so, its own comes first. */
  describe(symbol) {
    if (this.instruments.has(symbol)) return;
    this.instruments.set(symbol, null);
    this.send({ op: "symbols", prefix: symbol, limit: 1 });
  }

  throttle(milliseconds) {
    this.throttleMs = milliseconds;
    this.send({ op: "throttle", throttle_ms: milliseconds });
  }

  /** Everything up to now is on the screen: the gateway may send more. */
  painted() {
    if (this.acknowledged === this.frame) return;
    this.acknowledged = this.frame;
    this.send({ op: "ack", frame: this.frame });
  }

  // ---- the connection ----

  send(command) {
    if (this.welcomed && this.socket.readyState === WebSocket.OPEN) this.socket.send(encode(command));
  }

  /** A dead connection need not look closed: silence tells. */
  listen() {
    if (performance.now() - this.heardAt <= this.silenceLimitMs) return;
    const socket = this.socket;
    this.socket = null;
    socket.close();
    this.closed({ code: 1006, reason: "silence" });
  }

  closed({ code, reason }) {
    clearInterval(this.watch);
    this.welcomed = false;
    if (code >= FINAL_CODES && code < 5000) {
      this.on.connection("refused", reason || String(code));
      return;
    }
    // Full jitter: after an outage, clients come back spread out and not all at once.
    const ceiling = Math.min(PAUSE.longest, PAUSE.first * 2 ** this.attempts);
    const wait = this.reconnectAfterMs ?? Math.random() * ceiling;
    this.reconnectAfterMs = undefined;
    this.attempts += 1;
    this.on.connection("waiting", Math.round(wait));
    this.retry = setTimeout(() => this.open(), wait);
  }

  receive(data) {
    this.heardAt = performance.now();
    this.totals.bytes += data.byteLength;
    let message;
    try {
      message = decode(new Uint8Array(data));
    } catch (error) {
      this.on.notice(`unreadable message: ${error.message}`);
      return;
    }
    if (Array.isArray(message)) this.applyFrame(message);
    else this.answer(message);
  }

  answer(reply) {
    switch (reply.type) {
      case "welcome":
        this.forget();
        this.welcomed = true;
        this.attempts = 0;
        this.silenceLimitMs = reply.silence_limit_ms;
        this.on.connection("open", reply.session);
        this.send({ op: "credit", frames: CREDIT });
        this.send({ op: "throttle", throttle_ms: this.throttleMs });
        if (this.symbols.size > 0) this.send({ op: "subscribe", symbols: [...this.symbols] });
        break;
      case "subscribed":
        this.rejected(reply.rejected ?? []);
        break;
      case "symbols":
        for (const symbol of reply.symbols) this.described(symbol);
        break;
      case "draining":
        this.reconnectAfterMs = reply.reconnect_after_ms;
        break;
      case "error":
        this.on.notice(reply.message);
        break;
    }
  }

  described(symbol) {
    this.instruments.set(symbol.name, symbol);
    const row = this.rows.get(symbol.name);
    if (row) row.dirty = true;
    this.on.change();
  }

  rejected(rejections) {
    if (rejections.length === 0) return;
    const codes = new Set(rejections.map(({ code }) => code.replaceAll("_", " ")));
    const names = rejections.map(({ symbol }) => symbol);
    names.forEach((symbol) => this.symbols.delete(symbol));
    this.on.notice(`${[...codes].join(", ")}: ${names.join(", ")}`);
    // A watchlist made for another feed: show what this one has.
    if (this.symbols.size === 0) this.add(["*"]);
    this.on.change();
  }

  // ---- the state ----

  forget() {
    /** By name, in the order in which they came. */
    this.rows = new Map();
    this.byId = new Map();
    // A question that the last connection left without an answer is asked again.
    for (const [name, known] of this.instruments) if (known === null) this.instruments.delete(name);
    this.frame = 0;
    this.acknowledged = 0;
    this.on.change();
  }

  applyFrame([, sequence, , cause, entries]) {
    this.frame = sequence;
    this.totals.frames += 1;
    this.totals.cause |= cause;
    this.totals.entries += entries.length;
    for (const entry of entries) this.applyEntry(entry);
    this.on.change();
  }

  applyEntry(entry) {
    const [kind, id] = entry;
    switch (kind) {
      case KIND.definition: return this.define(entry);
      case KIND.epoch:
        this.rows.clear();
        this.byId.clear();
        return undefined;
      case KIND.status: return this.status(entry);
      case KIND.quote: return this.full(id, "quote", QUOTE, entry);
      case KIND.last: return this.full(id, "last", LAST, entry);
      case KIND.quoteDelta: return this.delta(id, "quote", QUOTE, entry);
      case KIND.lastDelta: return this.delta(id, "last", LAST, entry);
      // Kinds this page does not know are for others.
      default: return undefined;
    }
  }

  define([, id, name, priceExponent, sizeExponent, , previousClose, status]) {
    // A finer scale retires the old id; full states follow under the new one.
    const row = {
      name, priceExponent, sizeExponent, previousClose,
      status: STATUS[status], reason: undefined, quote: undefined, last: undefined, merged: 0, dirty: true,
    };
    row.merged = this.rows.get(name)?.merged ?? 0;
    this.byId.set(id, row);
    this.rows.set(name, row);
  }

  status([, id, , status, reason]) {
    if (id === null) {
      this.on.feed(STATUS[status] ?? "unknown", REASON[reason]);
      for (const row of this.rows.values()) row.dirty = true;
      return;
    }
    const row = this.byId.get(id);
    if (!row) return;
    row.status = STATUS[status];
    row.reason = REASON[reason];
    row.dirty = true;
  }

  full(id, channel, names, [, , sequence, age, ...fields]) {
    const row = this.byId.get(id);
    if (!row) return;
    const before = row[channel];
    if (before?.sequence > 0) this.merge(row, sequence - before.sequence - 1);
    const state = { sequence };
    names.forEach((name, position) => { state[name] = fields[position] ?? null; });
    this.store(row, channel, state, before, age);
  }

  delta(id, channel, names, [, , advance, age, mask, ...fields]) {
    const row = this.byId.get(id);
    const before = row?.[channel];
    if (!before) return;
    this.merge(row, advance - 1);
    const state = { ...before, sequence: before.sequence + advance };
    let next = 0;
    names.forEach((name, bit) => { if (mask & (1 << bit)) state[name] = fields[next++] ?? null; });
    this.store(row, channel, state, before, age);
  }

  merge(row, count) {
    if (count <= 0) return;
    row.merged += count;
    this.totals.merged += count;
  }

  store(row, channel, state, before, ageUs) {
    state.ageMs = ageUs === null ? null : ageUs / 1000;
    state.heardAt = this.heardAt;
    row[channel] = state;
    row.dirty = true;
    if (channel === "last" && before && state.price !== null && before.price !== null) {
      row.move = Math.sign(state.price - before.price) || row.move;
    }
  }
}
