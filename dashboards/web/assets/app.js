// The page: a watchlist over one stream. It paints once per animation frame at most, and only the
// rows that changed.

import { Stream } from "/stream.js";

const THROTTLES = [0, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];
const DEFAULT_WATCHLIST = ["AAPL", "MSFT", "NVDA", "AMZN", "GOOGL", "META", "TSLA", "JPM"];
/** Rows shown of a wildcard: more than a screen is no watchlist. */
const ROW_LIMIT = 60;
const CAUSES = [[1, "socket"], [2, "budget"], [4, "credit"], [8, "load"]];
const CROSSED = 1;
const LOCKED = 2;
const SUSPECT = 4;

const $ = (id) => document.getElementById(id);
const painted = new Map();
let feedStatus = "unknown";
let connected = false;
let paintDue = false;

const stream = new Stream(
  `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream`,
  { connection: showConnection, feed: showFeed, notice: showNotice, change: schedulePaint },
);

// ---- what the user does ----

$("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const symbols = $("symbols").value.split(/[\s,;]+/).filter(Boolean).map((name) => name.toUpperCase());
  $("symbols").value = "";
  showNotice("");
  stream.add(symbols);
  remember();
});

$("throttle").addEventListener("input", () => {
  const milliseconds = THROTTLES[Number($("throttle").value)];
  showThrottle(milliseconds);
  // One command for each stop of the slider; a drag passes ten at most, far below the rate limit.
  stream.throttle(milliseconds);
});

$("reconnect").addEventListener("click", () => stream.open());

$("rows").addEventListener("click", (event) => {
  const symbol = event.target.closest("button")?.dataset.symbol;
  if (!symbol) return;
  stream.remove(stream.symbols.has(symbol) ? symbol : "*");
  remember();
});

// ---- connection and feed ----

function showConnection(state, detail) {
  connected = state === "open";
  const chip = $("connection");
  const [look, words] = {
    connecting: ["", "connecting"],
    open: ["good", `connected, session ${detail}`],
    waiting: ["warn", `reconnecting in ${(detail / 1000).toFixed(1)} s`],
    refused: ["bad", `closed by the gateway: ${String(detail).replaceAll("_", " ")}`],
  }[state];
  chip.className = `chip ${look}`;
  chip.textContent = words;
  $("reconnect").hidden = state !== "refused" && state !== "waiting";
  if (!connected) showFeed("unknown");
  else showFeed(feedStatus);
}

function showFeed(status, reason) {
  feedStatus = status;
  const chip = $("feed");
  chip.className = `chip ${{ live: "good", stale: "bad" }[status] ?? ""}`;
  chip.textContent = `feed ${status}${reason ? `: ${reason}` : ""}`;
  for (const row of stream?.rows.values() ?? []) row.dirty = true;
  schedulePaint();
}

function showNotice(text) {
  $("notice").hidden = text === "";
  $("notice").textContent = text && text[0].toUpperCase() + text.slice(1);
}

function showThrottle(milliseconds) {
  $("interval").textContent =
    milliseconds === 0 ? "as it happens" : milliseconds < 1000 ? `${milliseconds} ms` : `${milliseconds / 1000} s`;
}

// ---- painting ----

function schedulePaint() {
  if (paintDue) return;
  paintDue = true;
  requestAnimationFrame(paint);
}

function paint() {
  paintDue = false;
  const shown = [...stream.rows.values()].slice(0, ROW_LIMIT);
  const names = new Set(shown.map((row) => row.name));
  for (const [name, cells] of painted) {
    if (!names.has(name)) {
      cells.row.remove();
      painted.delete(name);
    }
  }
  for (const row of shown) {
    if (!painted.has(row.name)) {
      painted.set(row.name, addRow(row.name));
      stream.describe(row.name);
    }
    if (row.dirty) paintRow(row, painted.get(row.name));
  }
  $("empty").hidden = shown.length > 0 || stream.symbols.size > 0;
  stream.painted();
}

function addRow(name) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  const badge = document.createElement("small");
  badge.hidden = true;
  head.append(name, badge);
  row.append(head);
  const cells = { row, head, badge };
  const columns = [
    ["price", "last"], ["change", ""], ["size", "size"], ["bidSize", "size"], ["bid", ""], ["ask", ""],
    ["askSize", "size"], ["volume", ""], ["age", "quiet"], ["merged", "quiet"],
  ];
  for (const [column, look] of columns) {
    cells[column] = document.createElement("td");
    cells[column].className = look;
    row.append(cells[column]);
  }
  const remove = document.createElement("button");
  remove.type = "button";
  remove.dataset.symbol = name;
  remove.setAttribute("aria-label", `Remove ${name}`);
  remove.textContent = "×";
  const last = document.createElement("td");
  last.append(remove);
  row.append(last);
  $("rows").append(row);
  return cells;
}

function paintRow(row, cells) {
  row.dirty = false;
  const { quote, last } = row;
  const price = (value) => decimal(value ?? null, row.priceExponent);
  const size = (value) => decimal(value ?? null, row.sizeExponent);

  const title = describe(stream.instruments.get(row.name));
  if (cells.head.title !== title) cells.head.title = title;

  flash(cells.price, price(last?.price), row.move);
  write(cells.size, size(last?.size));
  write(cells.volume, size(last?.volume));
  write(cells.bid, price(quote?.bid_price));
  write(cells.ask, price(quote?.ask_price));
  write(cells.bidSize, size(quote?.bid_size));
  write(cells.askSize, size(quote?.ask_size));
  write(cells.merged, row.merged.toLocaleString("en-US"));

  const known = last?.price != null && row.previousClose > 0;
  const change = known ? (last.price / row.previousClose - 1) * 100 : null;
  const shown = change === null ? "–" : `${change > 0 ? "+" : ""}${change.toFixed(2)} %`;
  write(cells.change, shown.replace("-", "−"));
  cells.change.className = change === null ? "" : change > 0 ? "rise" : change < 0 ? "fall" : "";

  const flags = quote?.flags ?? 0;
  const odd = flags & CROSSED ? "crossed" : flags & LOCKED ? "locked" : "";
  cells.bid.className = cells.ask.className = odd && "odd";
  cells.bid.title = cells.ask.title = odd;

  const halted = row.status !== "trading";
  const badge = halted ? row.status + (row.reason ? `: ${row.reason}` : "") : flags & SUSPECT ? "suspect" : "";
  write(cells.badge, badge);
  cells.badge.hidden = badge === "";
  cells.row.classList.toggle("grey", halted || !connected || feedStatus === "stale" || Boolean(flags & SUSPECT));
}

/** What a symbol stands for, as far as the feed knows. */
function describe(instrument) {
  if (!instrument) return "";
  const { description, venue, currency, tick_size, price_exponent } = instrument;
  const steps = tick_size == null ? null : `in steps of ${decimal(tick_size, price_exponent)}`;
  return [description, venue, currency, steps].filter(Boolean).join(", ");
}

/** Touches the document only for what differs. */
function write(cell, text) {
  if (cell.textContent === text) return false;
  cell.textContent = text;
  return true;
}

function flash(cell, text, move) {
  if (!write(cell, text) || !move) return;
  cell.classList.remove("up", "down");
  // Reading a layout property restarts the animation.
  void cell.offsetWidth;
  cell.classList.add(move > 0 ? "up" : "down");
}

/** `value × 10^exponent`, every digit, never through a fraction of binary. */
function decimal(value, exponent) {
  if (value === null) return "–";
  const sign = value < 0 ? "−" : "";
  const digits = String(Math.abs(value));
  if (exponent >= 0) return sign + group(value === 0 ? "0" : digits + "0".repeat(exponent));
  const padded = digits.padStart(1 - exponent, "0");
  return `${sign}${group(padded.slice(0, exponent))}.${padded.slice(exponent)}`;
}

const group = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");

// ---- what passes with time ----

function age(row) {
  const newest = [row.quote, row.last].filter(Boolean).sort((a, b) => b.heardAt - a.heardAt)[0];
  if (!newest) return "–";
  // Where the venue gives no time, the age is at least the time since it came.
  const since = performance.now() - newest.heardAt;
  const milliseconds = (newest.ageMs ?? 0) + since;
  const text = Math.abs(milliseconds) < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
  return newest.ageMs === null ? `≥ ${text}` : text.replace("-", "−");
}

setInterval(() => {
  for (const [name, cells] of painted) {
    const row = stream.rows.get(name);
    if (row) write(cells.age, age(row));
  }
}, 250);

let before = { ...stream.totals };
let sampledAt = performance.now();
setInterval(() => {
  const seconds = (performance.now() - sampledAt) / 1000;
  sampledAt = performance.now();
  const rate = (key) => (stream.totals[key] - before[key]) / seconds;
  const whole = (number) => Math.round(number).toLocaleString("en-US");
  write($("frames"), `${whole(rate("frames"))} /s`);
  write($("entries"), `${whole(rate("entries"))} /s`);
  write($("bytes"), `${(rate("bytes") / 1000).toFixed(1)} kB/s`);
  write($("merged"), `${whole(rate("merged"))} /s`);
  const causes = CAUSES.filter(([bit]) => stream.totals.cause & bit).map(([, name]) => name);
  write($("cause"), causes.length > 0 ? causes.join(", ") : "nothing");
  stream.totals.cause = 0;
  before = { ...stream.totals };
}, 1000);

// ---- begin ----

const MEMORY = "tickgate.watchlist";

function remember() {
  try {
    localStorage.setItem(MEMORY, JSON.stringify([...stream.symbols]));
  } catch {
    // Storage may be switched off; then the list lives as long as the page.
  }
}

function remembered() {
  try {
    const list = JSON.parse(localStorage.getItem(MEMORY) ?? "null");
    if (Array.isArray(list) && list.every((name) => typeof name === "string")) return list;
  } catch {
    // As above.
  }
  return DEFAULT_WATCHLIST;
}

$("throttle").value = String(THROTTLES.indexOf(stream.throttleMs));
showThrottle(stream.throttleMs);
stream.add(remembered());
stream.open();
