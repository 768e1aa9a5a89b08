"""A small Tickgate client: subscribes, keeps the current state of each symbol, prints every change.

    pip install -r requirements.txt
    python watch.py ws://127.0.0.1:7400/v1/stream AAPL MSFT
    python watch.py ws://127.0.0.1:7400/v1/stream '*' --format json --throttle-ms 500 --entries 1000

It checks what the protocol promises: frames are numbered without a hole, a delta has a full state
to stand on, sequences never go back, and the tape of trades has no hole that was not declared. A
broken promise, or any other close than a normal one, ends it with exit code 1.
"""

import argparse
import sys

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from wire import Json, MessagePack


class Violation(Exception):
    """The gateway broke a promise of the protocol."""


def require(holds, rule, entry):
    if not holds:
        raise Violation(f"{rule}: {entry}")


class Market:
    """The current state of every subscribed symbol, from the frames so far."""

    def __init__(self):
        self.frames = self.entries = 0
        self.states = {}  # (symbol, "quote" or "last") -> its fields and sequence
        self.tapes = {}  # symbol -> sequence of its last trade

    def apply(self, frame):
        self.frames += 1
        require(frame["sequence"] == self.frames, "a frame is missing", frame)
        for entry in frame["entries"]:
            self.entries += 1
            self.apply_entry(entry)

    def apply_entry(self, entry):
        kind, symbol = entry["type"], entry.get("symbol")
        tape = self.tapes.get(symbol)
        if kind == "epoch":  # everything before it is void
            self.states.clear()
            self.tapes.clear()
        elif kind in ("quote", "last"):
            before = self.states.get((symbol, kind), {"sequence": 0})
            require(entry["sequence"] >= before["sequence"], "the sequence goes back", entry)
            self.states[symbol, kind] = dict(entry)
        elif kind in ("quote_delta", "last_delta"):
            state = self.states.get((symbol, kind.removesuffix("_delta")))
            require(state is not None, "a delta before the full state", entry)
            require(entry["advance"] >= 1, "a delta that does not advance", entry)
            state["sequence"] += entry["advance"]
            state.update((k, v) for k, v in entry.items() if k not in ("type", "advance"))
        elif kind == "trades_joined":
            self.tapes[symbol] = entry["sequence"]
        elif kind in ("trade", "trade_correction"):
            require(tape is not None, "the tape was not joined", entry)
            require(entry["sequence"] == tape + 1, f"a hole in the tape after {tape}", entry)
            self.tapes[symbol] = entry["sequence"]
        elif kind == "trades_lost" and entry["origin"] == 0:  # 1 is a hole in the feed's own data
            require(tape is not None, "the tape was not joined", entry)
            require(entry["from"] == tape + 1, f"a hole in the tape after {tape}", entry)
            self.tapes[symbol] = entry["to"]

    def describe(self, entry):
        """One line about an entry that was applied: the state it led to, or the entry itself."""
        kind, symbol = entry["type"].removesuffix("_delta"), entry.get("symbol") or "-"
        shown = self.states.get((symbol, kind), entry)
        values = (f"{k} {v}" for k, v in shown.items() if k not in ("type", "symbol"))
        return f"{symbol:<8} {kind:<13} {'  '.join(values)}"


def watch(options):
    dialect = Json() if options.format == "json" else MessagePack()
    market = Market()
    subscribe = {"op": "subscribe", "id": 1, "symbols": options.symbols,
                 "channels": options.channels.split(",")}
    if options.throttle_ms is not None:
        subscribe["throttle_ms"] = options.throttle_ms
    with connect(options.url, subprotocols=[dialect.subprotocol]) as socket:
        socket.send(dialect.encode(subscribe))
        silence_limit_s = 10
        while options.entries is None or market.entries < options.entries:
            # An empty frame comes when there is nothing to say: silence is a dead connection.
            message = dialect.decode(socket.recv(timeout=silence_limit_s))
            if message["type"] == "frame":
                market.apply(message)
                for entry in message["entries"]:
                    print(market.describe(entry))
                continue
            print(message)
            require(message["type"] != "error", "the subscription was refused", message)
            if message["type"] == "welcome":
                silence_limit_s = message["silence_limit_ms"] / 1000
        socket.close(1000)
        print(f"closed {socket.close_code}: {market.frames} frames, {market.entries} entries")
        return 0 if socket.close_code == 1000 else 1


def main():
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("url")
    options.add_argument("symbols", nargs="+", help="names, or '*' for all")
    options.add_argument("--format", choices=["msgpack", "json"], default="msgpack")
    options.add_argument("--channels", default="quote,last,trade")
    options.add_argument("--throttle-ms", type=int, help="default: the gateway's")
    options.add_argument("--entries", type=int, help="end after so many; default: go on")
    try:
        sys.exit(watch(options.parse_args()))
    except (Violation, WebSocketException, OSError) as error:  # a timeout is an OSError
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
