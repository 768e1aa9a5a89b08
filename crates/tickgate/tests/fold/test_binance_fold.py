"""The fold itself, on recordings small enough to work out by hand."""

import gzip
import pathlib
import tempfile
import unittest

import binance_fold


def quote(symbol, bid, bid_size, ask, ask_size):
    return (
        f'{{"stream":"{symbol.lower()}@bookTicker","data":{{"u":1,"s":"{symbol}",'
        f'"b":"{bid}","B":"{bid_size}","a":"{ask}","A":"{ask_size}"}}}}'
    )


def trade(symbol, number, price, size, time=1):
    return (
        f'{{"stream":"{symbol.lower()}@trade","data":{{"e":"trade","E":2,"s":"{symbol}",'
        f'"t":{number},"p":"{price}","q":"{size}","T":{time},"m":true,"M":true}}}}'
    )


def folded(*messages):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "recording.gz"
        text = "".join(f"{1723161254087896568 + n} {m}\n" for n, m in enumerate(messages))
        file.write_bytes(gzip.compress(text.encode()))
        return list(binance_fold.fold([file]))


class Fold(unittest.TestCase):
    def test_figures_and_trades(self):
        lines = folded(
            quote("AAA", "10.50000000", "3.00000000", "10.60000000", "4.50000000"),
            trade("AAA", 7, "10.60000000", "0.10000000"),
            quote("BBB", "1.00000000", "2.00000000", "1.10000000", "0.00000000"),
            trade("AAA", 8, "10.70000000", "0.20000000"),
            trade("AAA", 9, "10.40000000", "100.00000001"),
            quote("AAA", "10.30000000", "1.00000000", "10.40000000", "2.00000000"),
        )
        self.assertEqual(
            lines[:3],
            [
                {"symbol": "AAA", "trade_id": 7, "price": "10.6", "size": "0.1"},
                {"symbol": "AAA", "trade_id": 8, "price": "10.7", "size": "0.2"},
                {"symbol": "AAA", "trade_id": 9, "price": "10.4", "size": "100.00000001"},
            ],
        )
        bars = [line for line in lines if "interval_s" in line]
        self.assertEqual([bar["interval_s"] for bar in bars], [1, 60, 86400])
        first, second, malformed = [line for line in lines[3:] if line not in bars]
        self.assertEqual(
            first,
            {
                "symbol": "AAA",
                "bid_price": "10.3",
                "bid_size": "1",
                "ask_price": "10.4",
                "ask_size": "2",
                "last_price": "10.4",
                "last_size": "100.00000001",
                # In floats this would be 100.30000001000001.
                "volume": "100.30000001",
                "trade_count": 3,
                "high": "10.7",
                "low": "10.4",
                "open": "10.6",
                "quote_count": 2,
            },
        )
        self.assertEqual((second["bid_price"], second["ask_price"]), ("1", None))
        self.assertEqual((second["ask_size"], second["volume"]), (None, "0"))
        self.assertEqual((second["last_price"], second["trade_count"]), (None, 0))
        self.assertEqual(malformed, {"malformed": 0})

    def test_bars_go_by_the_time_of_the_trades(self):
        lines = folded(
            quote("AAA", "10.125", "1", "10.5", "1"),
            trade("AAA", 1, "10.2", "2", 59_999),
            trade("AAA", 2, "10.4", "1", 60_500),
            trade("AAA", 3, "10.1", "1", 60_999),
            # Late: it is the first of its second, and neither the last of it.
            trade("AAA", 4, "10.9", "5", 60_000),
            # The same time: it comes behind the second.
            trade("AAA", 5, "10.3", "0", 60_999),
        )
        bars = [line for line in lines if "interval_s" in line]
        starts = [(bar["interval_s"], bar["start_s"]) for bar in bars]
        self.assertEqual(starts, [(1, 59), (1, 60), (60, 0), (60, 60), (86400, 0)])
        self.assertEqual(
            bars[1],
            {
                "symbol": "AAA",
                "interval_s": 1,
                "start_s": 60,
                "open": "10.9",
                "high": "10.9",
                "low": "10.1",
                "close": "10.3",
                "volume": "7",
                # 75 / 7 is 10.714285…; the finest price has three decimals.
                "vwap": "10.71429",
                "trade_count": 4,
            },
        )
        self.assertEqual((bars[4]["open"], bars[4]["close"]), ("10.2", "10.3"))

    def test_averages_are_rounded_half_to_even(self):
        for price, others, expected in [("1", "7", "0.12"), ("3", "7", "0.38"), ("-1", "7", "-0.12")]:
            lines = folded(trade("AAA", 1, price, "1"), trade("AAA", 2, "0", others))
            self.assertEqual([line["vwap"] for line in lines if "vwap" in line], [expected] * 3)
        lines = folded(trade("AAA", 1, "5", "0"))
        self.assertEqual([line["vwap"] for line in lines if "vwap" in line], [None] * 3)

    def test_other_streams_are_passed_over_and_bad_lines_counted(self):
        lines = folded(
            '{"stream":"aaa@depth@100ms","data":{"e":"depthUpdate","s":"AAA","b":[],"a":[]}}',
            '{"lastUpdateId":1,"bids":[],"asks":[]}',
            "not json",
            trade("AAA", 1, "ten", "1"),
            '{"stream":"aaa@trade","data":{"s":"AAA"}}',
        )
        self.assertEqual(lines[-1], {"malformed": 3})
        self.assertEqual(lines[0]["trade_count"], 0)

    def test_large_and_small_numbers_keep_every_digit(self):
        lines = folded(
            trade("AAA", 1, "0.00000001", "90000000000.00000001"),
            trade("AAA", 2, "1200.00000000", "0.00000002"),
        )
        self.assertEqual(lines[0]["price"], "0.00000001")
        self.assertEqual(lines[1]["price"], "1200")
        self.assertEqual(lines[2]["volume"], "90000000000.00000003")


if __name__ == "__main__":
    unittest.main()
