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


def trade(symbol, number, price, size):
    return (
        f'{{"stream":"{symbol.lower()}@trade","data":{{"e":"trade","E":2,"s":"{symbol}",'
        f'"t":{number},"p":"{price}","q":"{size}","T":1,"m":true,"M":true}}}}'
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
        first, second, malformed = lines[3:]
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
