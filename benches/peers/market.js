// The market both peers publish: every symbol changes in every interval, one message each, with
// the fields of a Tickgate quote entry in JSON, or padded to a given size.
//
// Arguments: SYMBOLS INTERVAL_MS BYTES (0: the natural size).

const [symbols, intervalMs, bytes] = process.argv.slice(2).map(Number);

// SYM0001 and so on: what `tickgate load` makes up where it is told no symbols.
export const names = Array.from({ length: symbols }, (_, n) => `SYM${String(n + 1).padStart(4, "0")}`);

// Longest server header of a frame this small, so that BYTES means header and payload.
const payloadBytes = bytes > 0 ? bytes - (bytes - 2 < 126 ? 2 : 4) : 0;

function message(name, sequence, nowUs) {
  const bid = 10000 + ((sequence * 7919) % 500);
  if (payloadBytes > 0) {
    const text = `{"sent_at_us":${nowUs},"s":"${name}"}`;
    return text.padEnd(payloadBytes).slice(0, Math.max(payloadBytes, 32));
  }
  return (
    `{"sent_at_us":${nowUs},"type":"quote","symbol":"${name}","sequence":${sequence},` +
    `"age_us":1000,"bid_price":${bid / 100},"bid_size":300,"ask_price":${(bid + 1) / 100},` +
    `"ask_size":200,"flags":0}`
  );
}

// Calls publish(name, message) for every symbol, once an interval, all symbols at one moment:
// that is kindest to these servers, which batch what is published together.
export function run(publish) {
  let sequence = 0;
  let due = performance.now();
  const flush = () => {
    sequence += 1;
    const nowUs = Date.now() * 1000;
    for (const name of names) publish(name, message(name, sequence, nowUs));
    // A late flush is followed by the next one on the old schedule, unless a whole one was missed.
    due = Math.max(due + intervalMs, performance.now());
    setTimeout(flush, Math.max(0, due - performance.now()));
  };
  flush();
}
