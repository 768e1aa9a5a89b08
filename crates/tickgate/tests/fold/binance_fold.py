"""An independent fold of a raw Binance recording: what a correct client must end up with.

usage: binance_fold.py FILE...

A recording is gzip, one message a line: the local receive time in nanoseconds, a blank, the raw
JSON of a combined stream. `@bookTicker` and `@trade` messages are folded; anything else in it
(depth updates, depth snapshots) is passed over. A line that is not of that form is counted.

Writes JSON lines, in the order of the files: for each trade

    {"symbol": S, "trade_id": 1, "price": "61837.63", "size": "0.02"}

and at the end, for each symbol,

    {"symbol": S, "bid_price": …, "bid_size": …, "ask_price": …, "ask_size": …,
     "last_price": …, "last_size": …, "volume": …, "trade_count": …, "high": …, "low": …,
     "open": …, "quote_count": …}

and for each bar of a second, a minute and a day in which it traded, by the time of the trades

    {"symbol": S, "interval_s": 60, "start_s": …, "open": …, "high": …, "low": …, "close": …,
     "volume": …, "vwap": …, "trade_count": …}

where of two trades at the same time the one on the earlier line is the earlier, and the average has
two decimals more than the finest price of the symbol, half to even; and one line {"malformed": n}. Numbers are decimal strings without trailing zeros, or null; no
float is involved anywhere. A size of zero means that side of the book is empty: price and size
are null. Only the standard library is needed.
"""

import decimal
import gzip
import json
import sys
from fractions import Fraction

# Wide enough that no sum is ever rounded: a price has 8 decimals, and nobody trades 10^40 of one.
decimal.getcontext().prec = 60
decimal.getcontext().traps[decimal.Inexact] = True


def plain(number):
    """`Decimal("61837.63000000")` as `61837.63`; None stays None."""
    if number is None:
        return None
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


class Symbol:
    """What is known of one symbol after the messages so far."""

    def __init__(self):
        self.bid = self.ask = (None, None)
        self.trades = []
        self.times = []
        self.quote_count = 0
        # Decimals of the finest price so far.
        self.decimals = 0

    def quote(self, data):
        self.quote_count += 1
        self.bid = side(data["b"], data["B"])
        self.ask = side(data["a"], data["A"])
        for price, _ in (self.bid, self.ask):
            self.see(price)

    def trade(self, data):
        trade = (data["t"], decimal.Decimal(data["p"]), decimal.Decimal(data["q"]))
        time = int(data["T"])
        self.trades.append(trade)
        self.times.append(time)
        self.see(trade[1])
        return trade

    def see(self, price):
        if price is not None:
            self.decimals = max(self.decimals, len(plain(price).partition(".")[2]))

    def bars(self, interval_s):
        bars = {}
        # The sort is stable, so trades of the same time stay in the order of their lines.
        in_order = sorted(zip(self.times, self.trades), key=lambda each: each[0])
        for time, (_, price, size) in in_order:
            start_s = time // (1000 * interval_s) * interval_s
            bars.setdefault(start_s, []).append((price, size))
        for start_s, trades in sorted(bars.items()):
            prices = [price for price, _ in trades]
            volume = sum((size for _, size in trades), decimal.Decimal(0))
            yield {
                "interval_s": interval_s,
                "start_s": start_s,
                "open": plain(prices[0]),
                "high": plain(max(prices)),
                "low": plain(min(prices)),
                "close": plain(prices[-1]),
                "volume": plain(volume),
                "vwap": average(trades, volume, self.decimals + 2),
                "trade_count": len(trades),
            }

    def figures(self):
        prices = [price for _, price, _ in self.trades]
        last = self.trades[-1] if self.trades else (None, None, None)
        return {
            "bid_price": plain(self.bid[0]),
            "bid_size": plain(self.bid[1]),
            "ask_price": plain(self.ask[0]),
            "ask_size": plain(self.ask[1]),
            "last_price": plain(last[1]),
            "last_size": plain(last[2]),
            "volume": plain(sum((size for _, _, size in self.trades), decimal.Decimal(0))),
            "trade_count": len(self.trades),
            "high": plain(max(prices, default=None)),
            "low": plain(min(prices, default=None)),
            "open": plain(prices[0]) if prices else None,
            "quote_count": self.quote_count,
        }


def average(trades, volume, decimals):
    """The volume-weighted average price; None without volume."""
    if not volume:
        return None
    notional = sum(Fraction(price) * Fraction(size) for price, size in trades)
    # Python rounds fractions half to even.
    scaled = round(notional / Fraction(volume) * 10**decimals)
    return plain(decimal.Decimal(scaled).scaleb(-decimals))


def side(price, size):
    size = decimal.Decimal(size)
    return (decimal.Decimal(price), size) if size else (None, None)


def message(line):
    """The message of a line as (kind, data), (None, None) when it is of no interest here."""
    time, _, text = line.partition(" ")
    int(time)
    envelope = json.loads(text)
    if "stream" not in envelope:
        return None, None
    kind = envelope["stream"].partition("@")[2]
    return kind, envelope["data"]


def fold(files):
    """Yields every trade, then figures and bars of every symbol, then the count of bad lines."""
    symbols = {}
    malformed = 0
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    kind, data = message(line)
                    if kind not in ("bookTicker", "trade"):
                        continue
                    name = data["s"]
                    symbol = symbols.setdefault(name, Symbol())
                    if kind == "bookTicker":
                        symbol.quote(data)
                        continue
                    trade_id, price, size = symbol.trade(data)
                except (ValueError, KeyError, TypeError, AttributeError, decimal.InvalidOperation):
                    malformed += 1
                    continue
                yield {
                    "symbol": name,
                    "trade_id": trade_id,
                    "price": plain(price),
                    "size": plain(size),
                }
    for name, symbol in symbols.items():
        yield {"symbol": name, **symbol.figures()}
        for interval_s in (1, 60, 86400):
            for bar in symbol.bars(interval_s):
                yield {"symbol": name, **bar}
    yield {"malformed": malformed}


def main():
    files = sys.argv[1:]
    if not files:
        sys.exit(__doc__)
    for line in fold(files):
        print(json.dumps(line))


if __name__ == "__main__":
    main()
