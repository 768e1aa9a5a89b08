// The two formats of `tickgate.v1`: both decode to objects of the shape the JSON format has.

import { decode, encode } from "@msgpack/msgpack";

// Entries by kind: their name and their fields after `id`, in wire order.
const QUOTE = ["bid_price", "bid_size", "ask_price", "ask_size", "flags"];
const LAST = ["price", "size", "volume", "trade_count", "high", "low", "open", "flags"];
const KINDS = new Map([
  [4, ["status", ["status_sequence", "status", "reason", "age_us"]]],
  [10, ["quote", ["sequence", "age_us", ...QUOTE]]],
  [11, ["quote_delta", QUOTE]],
  [12, ["last", ["sequence", "age_us", ...LAST]]],
  [13, ["last_delta", LAST]],
  [20, ["trade", ["sequence", "age_us", "price", "size", "flags", "trade_id"]]],
  [21, ["trade_correction", ["sequence", "age_us", "corrects", "what", "price", "size"]]],
  [22, ["trades_joined", ["sequence", "volume"]]],
  [23, ["trades_lost", ["from", "to", "size", "origin"]]],
  [30, ["bar", ["sequence", "interval_s", "start_s", "open", "high", "low", "close", "volume",
    "vwap", "trade_count", "flags"]]],
]);
const DEFINITION = ["symbol", "price_exponent", "size_exponent", "session_date", "previous_close",
  "status", "status_sequence", "tick_size"];
// Which exponent of the symbol's definition scales a field; other fields are plain integers.
const PRICES = ["bid_price", "ask_price", "price", "high", "low", "open", "close", "previous_close",
  "tick_size"];
const SIZES = ["bid_size", "ask_size", "size", "volume"];

/** Text messages, one object each. */
export class Json {
  subprotocol = "tickgate.v1.json";
  encode = JSON.stringify;
  decode(data) {
    return JSON.parse(data.toString());
  }
}

/** Binary messages: replies are maps, data frames are arrays of positional entries. */
export class MessagePack {
  subprotocol = "tickgate.v1.msgpack";
  encode = encode;
  definitions = new Map(); // by id, which only this format has

  decode(data) {
    const value = decode(data);
    if (!Array.isArray(value)) return value;
    const [, sequence, sent_at_us, cause, entries] = value;
    // Entries of a kind that is not known here belong to a later version, and are passed over.
    const named = entries.map((entry) => this.#named(entry)).filter((entry) => entry !== null);
    return { type: "frame", sequence, sent_at_us, cause, entries: named };
  }

  #named([kind, first, ...rest]) {
    if (kind === 1) {
      const fields = zip(DEFINITION, rest);
      this.definitions.set(first, fields);
      return { type: "definition", ...scaled(fields, fields) };
    }
    if (kind === 2) {
      this.definitions.clear();
      return { type: "epoch", epoch: first };
    }
    if (kind === 3) return { type: "ready", command_id: first };
    if (!KINDS.has(kind)) return null;
    // A status without an id is the feed's; every other id was defined before its first use.
    const definition = first === null ? { symbol: null } : this.definitions.get(first);
    const [type, names] = KINDS.get(kind);
    let fields;
    if (kind === 11 || kind === 13) {
      const [advance, age_us, mask, ...values] = rest;
      fields = { advance, age_us, ...zip(names.filter((_, bit) => mask & (1 << bit)), values) };
    } else {
      fields = zip(names, rest);
    }
    return { type, symbol: definition.symbol, ...scaled(fields, definition) };
  }
}

/** Prices and sizes as the exact decimals they stand for, in text: a double could not hold all. */
function scaled(fields, definition) {
  const result = { ...fields };
  for (const [name, value] of Object.entries(fields)) {
    if (value === null) continue;
    if (PRICES.includes(name)) result[name] = decimal(value, definition.price_exponent);
    // An average has two decimals more than prices.
    if (name === "vwap") result[name] = decimal(value, definition.price_exponent - 2);
    if (SIZES.includes(name)) result[name] = decimal(value, definition.size_exponent);
  }
  return result;
}

function decimal(integer, exponent) {
  if (exponent >= 0) return String(BigInt(integer) * 10n ** BigInt(exponent));
  const digits = String(Math.abs(integer)).padStart(1 - exponent, "0");
  return `${integer < 0 ? "-" : ""}${digits.slice(0, exponent)}.${digits.slice(exponent)}`;
}

function zip(names, values) {
  return Object.fromEntries(
    names.slice(0, values.length).map((name, index) => [name, values[index]]),
  );
}
