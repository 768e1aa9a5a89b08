// A small Tickgate client: subscribes, keeps the current state of each symbol, prints every change.
//
//     npm install
//     node watch.mjs ws://127.0.0.1:7400/v1/stream AAPL MSFT
//     node watch.mjs ws://127.0.0.1:7400/v1/stream '*' --format json --entries 1000
//
// It checks what the protocol promises: frames are numbered without a hole, a delta has a full
// state to stand on, sequences never go back, and the tape of trades has no hole that was not
// declared. A broken promise, or any other close than a normal one, ends it with exit code 1.

import { parseArgs } from "node:util";
import WebSocket from "ws";
import { Json, MessagePack } from "./wire.mjs";

const { values: options, positionals: [url, ...symbols] } = parseArgs({
  allowPositionals: true,
  options: {
    format: { type: "string", default: "msgpack" },
    channels: { type: "string", default: "quote,last,trade" },
    "throttle-ms": { type: "string" }, // default: the gateway's
    entries: { type: "string" }, // end after so many; default: go on
  },
});
if (symbols.length === 0 || !["msgpack", "json"].includes(options.format)) {
  console.error("usage: node watch.mjs URL SYMBOL... [--format msgpack|json] [--channels a,b]"
    + " [--throttle-ms N] [--entries N]");
  process.exit(2);
}

/** The current state of every subscribed symbol, from the frames so far. */
class Market {
  frames = 0;
  entries = 0;
  states = new Map(); // "AAPL quote" or "AAPL last" -> its fields and sequence
  tapes = new Map(); // symbol -> sequence of its last trade

  apply(frame) {
    this.frames += 1;
    require(frame.sequence === this.frames, "a frame is missing", frame);
    for (const entry of frame.entries) {
      this.entries += 1;
      this.#apply(entry);
    }
  }

  #apply(entry) {
    const { type, symbol } = entry;
    const key = stateKey(entry);
    const state = this.states.get(key);
    const tape = this.tapes.get(symbol);
    switch (type) {
      case "epoch": // everything before it is void
        this.states.clear();
        this.tapes.clear();
        break;
      case "quote":
      case "last":
        require(entry.sequence >= (state?.sequence ?? 0), "the sequence goes back", entry);
        this.states.set(key, { ...entry });
        break;
      case "quote_delta":
      case "last_delta": {
        require(state !== undefined, "a delta before the full state", entry);
        require(entry.advance >= 1, "a delta that does not advance", entry);
        const { type: _, advance, ...changed } = entry;
        Object.assign(state, changed, { sequence: state.sequence + advance });
        break;
      }
      case "trades_joined":
        this.tapes.set(symbol, entry.sequence);
        break;
      case "trade":
      case "trade_correction":
        require(entry.sequence === tape + 1, `a hole in the tape after ${tape}`, entry);
        this.tapes.set(symbol, entry.sequence);
        break;
      case "trades_lost":
        if (entry.origin !== 0) break; // a hole in the feed's own data
        require(entry.from === tape + 1, `a hole in the tape after ${tape}`, entry);
        this.tapes.set(symbol, entry.to);
        break;
    }
  }

  /** One line about an entry that was applied: the state it led to, or the entry itself. */
  describe(entry) {
    const { type, symbol, ...shown } = this.states.get(stateKey(entry)) ?? entry;
    const values = Object.entries(shown).map(([name, value]) => `${name} ${value}`).join("  ");
    return `${(symbol ?? "-").padEnd(8)} ${type.padEnd(13)} ${values}`;
  }
}

function stateKey({ type, symbol }) {
  return `${symbol} ${type.replace("_delta", "")}`;
}

function require(holds, rule, entry) {
  if (!holds) throw new Error(`${rule}: ${JSON.stringify(entry)}`);
}

const dialect = options.format === "json" ? new Json() : new MessagePack();
const market = new Market();
const limit = options.entries === undefined ? Infinity : Number(options.entries);
const socket = new WebSocket(url, [dialect.subprotocol]);

// An empty frame comes when there is nothing to say: silence is a dead connection.
let silenceLimitMs = 10_000;
let silence;
const heard = () => {
  clearTimeout(silence);
  silence = setTimeout(() => fail(new Error("the gateway is silent")), silenceLimitMs);
};

socket.on("open", () => {
  const subscribe = { op: "subscribe", id: 1, symbols, channels: options.channels.split(",") };
  if (options["throttle-ms"] !== undefined) subscribe.throttle_ms = Number(options["throttle-ms"]);
  socket.send(dialect.encode(subscribe));
  heard();
});
socket.on("message", (data) => {
  if (socket.readyState !== WebSocket.OPEN) return; // we said that we leave
  try {
    take(dialect.decode(data));
  } catch (error) {
    fail(error);
  }
});
socket.on("error", fail);
socket.on("close", (code) => {
  clearTimeout(silence);
  console.log(`closed ${code}: ${market.frames} frames, ${market.entries} entries`);
  process.exitCode ||= code === 1000 ? 0 : 1;
});

function take(message) {
  if (message.type === "frame") {
    market.apply(message);
    for (const entry of message.entries) console.log(market.describe(entry));
    if (market.entries >= limit) socket.close(1000);
  } else {
    console.log(message);
    require(message.type !== "error", "the subscription was refused", message);
    if (message.type === "welcome") silenceLimitMs = message.silence_limit_ms;
  }
  heard();
}

function fail(error) {
  console.error(String(error));
  process.exitCode = 1;
  socket.terminate();
}
