"""The two formats of `tickgate.v1`: both decode to dictionaries of the shape the JSON format has."""

import json
from decimal import Decimal

import msgpack

# Entries by kind: their name and their fields after `id`, in wire order.
QUOTE = ["bid_price", "bid_size", "ask_price", "ask_size", "flags"]
LAST = ["price", "size", "volume", "trade_count", "high", "low", "open", "flags"]
KINDS = {
    4: ("status", ["status_sequence", "status", "reason", "age_us"]),
    10: ("quote", ["sequence", "age_us", *QUOTE]),
    11: ("quote_delta", QUOTE),
    12: ("last", ["sequence", "age_us", *LAST]),
    13: ("last_delta", LAST),
    20: ("trade", ["sequence", "age_us", "price", "size", "flags", "trade_id"]),
    21: ("trade_correction", ["sequence", "age_us", "corrects", "what", "price", "size"]),
    22: ("trades_joined", ["sequence", "volume"]),
    23: ("trades_lost", ["from", "to", "size", "origin"]),
    30: ("bar", ["sequence", "interval_s", "start_s", "open", "high", "low", "close", "volume",
                 "vwap", "trade_count", "flags"]),
}
DEFINITION = ["symbol", "price_exponent", "size_exponent", "session_date", "previous_close",
              "status", "status_sequence", "tick_size"]
# Which exponent of the symbol's definition scales a field; other fields are plain integers.
SCALES = {field: "price_exponent" for field in ("bid_price", "ask_price", "price", "high", "low",
                                                "open", "close", "previous_close", "tick_size",
                                                "vwap")}
SCALES |= {field: "size_exponent" for field in ("bid_size", "ask_size", "size", "volume")}


class Json:
    """Text messages, one object each. Prices and sizes are read as exact decimals."""

    subprotocol = "tickgate.v1.json"
    encode = staticmethod(json.dumps)

    @staticmethod
    def decode(message):
        return json.loads(message, parse_float=Decimal)


class MessagePack:
    """Binary messages: replies are maps, data frames are arrays of positional entries."""

    subprotocol = "tickgate.v1.msgpack"
    encode = staticmethod(msgpack.packb)

    def __init__(self):
        self.definitions = {}  # by id, which only the MessagePack format has

    def decode(self, message):
        value = msgpack.unpackb(message)
        if isinstance(value, dict):
            return value
        _, sequence, sent_at_us, cause, entries = value[:5]
        # Entries of a kind that is not known here belong to a later version, and are passed over.
        named = [entry for entry in map(self.named, entries) if entry]
        return {"type": "frame", "sequence": sequence, "sent_at_us": sent_at_us, "cause": cause,
                "entries": named}

    def named(self, entry):
        kind, first, *rest = entry
        if kind == 1:
            fields = self.definitions[first] = dict(zip(DEFINITION, rest))
            return {"type": "definition", **self.scaled(fields, fields)}
        if kind == 2:
            self.definitions.clear()
            return {"type": "epoch", "epoch": first}
        if kind == 3:
            return {"type": "ready", "command_id": first}
        if kind not in KINDS:
            return None
        # A status without an id is the feed's; every other id was defined before its first use.
        definition = {"symbol": None} if first is None else self.definitions[first]
        name, names = KINDS[kind]
        if kind in (11, 13):
            advance, age_us, mask, *values = rest
            fields = {"advance": advance, "age_us": age_us}
            fields |= zip((name for bit, name in enumerate(names) if mask >> bit & 1), values)
        else:
            fields = dict(zip(names, rest))
        return {"type": name, "symbol": definition["symbol"], **self.scaled(fields, definition)}

    @staticmethod
    def scaled(fields, definition):
        """`fields` with prices and sizes as the decimals they stand for; never through floats."""
        def exponent(name):
            # An average has two decimals more than prices.
            return definition[SCALES[name]] - (2 if name == "vwap" else 0)

        return {
            name: Decimal(value).scaleb(exponent(name))
            if name in SCALES and value is not None else value
            for name, value in fields.items()
        }
