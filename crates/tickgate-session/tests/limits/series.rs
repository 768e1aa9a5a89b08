//! Who subscribes to bars and asks for their history, in either order, holds one series without hole
//! or duplicate, by the rules of `docs/PROTOCOL.md`.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tickgate_hub::HubConfig;
use tickgate_protocol::{
    bar::BarInterval,
    book::{Book, Violation},
    decode::{Decoder, Message},
    dialect::Dialect,
    entry::{BarEntry, Entry, bar_flag},
    number::ABSENT,
    reply::Reply,
    symbol::SymbolIndex,
    tick::{Batch, Correction, CorrectionKind, Tick, TickBody, Trade},
};
use tickgate_session::EngineConfig;

use crate::desk::{Client, Desk, list, text};

const SECOND_NS: i64 = 1_000_000_000;

/// A market of one symbol, and one client of it.
struct Scene {
    desk: Desk,
    client: Client,
    decoder: Decoder,
    rng: StdRng,
    interval: BarInterval,
    trades: i64,
    /// By beginning, the state with the greatest sequence of what the client was told.
    series: BTreeMap<i64, BarEntry>,
    book: Book,
    /// Bars in the stream, since it was emptied last.
    streamed: Vec<BarEntry>,
    readies: usize,
    /// Told that bars were lost.
    lost: usize,
}

impl Scene {
    fn new(seed: u64, interval: BarInterval, capacity: usize) -> Self {
        let sizes = HubConfig {
            bar_1s_capacity: capacity,
            bar_1m_capacity: capacity,
            bar_1d_capacity: capacity,
            ..HubConfig::default()
        };
        let mut desk = Desk::with(sizes, EngineConfig::default());
        list(&mut desk, 1);
        let client = desk.connect();
        let mut scene = Self {
            desk,
            client,
            decoder: Decoder::new(Dialect::Json),
            rng: StdRng::seed_from_u64(seed),
            interval,
            trades: 0,
            series: BTreeMap::new(),
            book: Book::new(),
            streamed: Vec::new(),
            readies: 0,
            lost: 0,
        };
        let steps = scene.rng.random_range(0..40);
        (0..steps).for_each(|_| scene.step());
        scene
    }

    /// Something happens in the market; now and then the client is served after it.
    fn step(&mut self) {
        let length_ns = i64::from(self.interval.seconds()) * SECOND_NS;
        self.desk.now.unix_us += self.rng.random_range(0..length_ns / 1_000);
        self.desk.now.monotonic_us += self.rng.random_range(0..20_000);
        let now_ns = self.desk.now.unix_us * 1_000;
        let price = self.rng.random_range(100..200);
        let (event_time_ns, body) = match self.rng.random_range(0..10) {
            0 => {
                let trade_id = self.rng.random_range(0..=self.trades);
                let what = CorrectionKind::Correct;
                (now_ns, TickBody::Correction(Correction { trade_id, what, price, size: 1 }))
            }
            // A late one.
            1 => (now_ns - self.rng.random_range(0..4 * length_ns), self.trade(price)),
            _ => (now_ns, self.trade(price)),
        };
        let mut ticks = vec![Tick { symbol: 0, event_time_ns, body }];
        if self.rng.random_bool(0.2) {
            // Only time passes.
            ticks.clear();
        }
        self.desk.publisher.publish(&Batch { ticks, clock_ns: now_ns, ..Batch::default() });
        if self.rng.random_bool(0.5) {
            self.desk.poll();
            self.read();
        }
    }

    fn trade(&mut self, price: i64) -> TickBody {
        self.trades += 1;
        TickBody::Trade(Trade { price, size: 2, flags: 0, trade_id: self.trades })
    }

    fn say(&mut self, command: &str) -> Vec<Reply> {
        self.client.pipe.send(&text(command));
        self.desk.serve(&self.client);
        self.read()
    }

    /// Takes in what came.
    fn read(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        for payload in self.client.texts() {
            match self.decoder.decode(&payload).expect("it is of the wire") {
                Message::Reply(reply) => replies.push(reply),
                Message::Frame(frame) => {
                    let violations = self.book.apply(&frame);
                    let of_frames = |violation: &Violation| {
                        matches!(violation, Violation::FrameSequence { .. })
                    };
                    assert!(violations.iter().all(of_frames), "{violations:?}");
                    for entry in frame.entries {
                        self.take(entry);
                    }
                }
                Message::Unknown => panic!("a message of an unknown kind"),
            }
        }
        replies
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Bar(bar) => {
                self.lost += usize::from(bar.flags & bar_flag::LOST != 0);
                let bar = BarEntry { flags: bar.flags & !bar_flag::LOST, ..bar };
                self.streamed.push(bar);
                self.keep(bar);
            }
            Entry::Ready { .. } => self.readies += 1,
            _ => {}
        }
    }

    /// The one rule: of the same beginning the greatest sequence holds.
    fn keep(&mut self, bar: BarEntry) {
        // A history has no ids.
        let bar = BarEntry { id: 0, ..bar };
        let known = self.series.entry(bar.start_s).or_insert(bar);
        if known.sequence < bar.sequence {
            *known = bar;
        }
    }

    /// Subscribes and waits for the `ready`; the bars of the snapshot.
    fn subscribe(&mut self) -> Vec<BarEntry> {
        let channel = self.interval.channel();
        self.streamed.clear();
        self.say(&format!(r#"{{"op":"subscribe","symbols":["S0"],"channels":["{channel}"]}}"#));
        while self.readies == 0 {
            self.desk.pass_ms(5);
            self.read();
        }
        std::mem::take(&mut self.streamed)
    }

    /// The whole history, page by page, while the market goes on; the greatest sequence on the first
    /// page.
    fn history(&mut self) -> u64 {
        let mut newest = None;
        let mut before = String::new();
        loop {
            let channel = self.interval.channel();
            let limit = self.rng.random_range(1..8);
            let replies = self.say(&format!(
                r#"{{"op":"history","symbol":"S0","channel":"{channel}","limit":{limit}{before}}}"#
            ));
            let [Reply::History { bars, more, .. }] = &replies[..] else { panic!("{replies:?}") };
            bars.iter().for_each(|bar| self.keep(*bar));
            let on_page = bars.iter().map(|bar| bar.sequence).max();
            let newest = *newest.get_or_insert(on_page.unwrap_or(0));
            let Some(oldest) = bars.first().filter(|_| *more) else { return newest };
            before = format!(r#","before_s":{}"#, oldest.start_s);
            for _ in 0..self.rng.random_range(0..3) {
                self.step();
            }
        }
    }

    /// All that is due has been sent; the series is what the hub has.
    fn check(&mut self, context: &str) {
        self.desk.pass_ms(300);
        self.read();
        let hub = &self.desk.hub;
        let symbol = hub.symbol(SymbolIndex(0)).expect("it is listed");
        let (truly, _) = symbol.bars_before(self.interval, i64::MAX, usize::MAX).expect("idle");
        for bar in &truly {
            let held = self.series.get(&bar.start_s);
            let held = held.map(|held| (held.sequence, held.close, held.volume, held.flags));
            let truly = (bar.sequence, bar.close, bar.volume, bar.flags);
            assert_eq!(held, Some(truly), "{context}: the bar of {}", bar.start_s);
        }
        let oldest_s = truly.iter().map(|bar| bar.start_s).min().unwrap_or(ABSENT);
        let held = self.series.range(oldest_s..).count();
        assert_eq!(held, truly.len(), "{context}: bars that are none");
    }
}

fn steps(scene: &mut Scene, most: usize) {
    let steps = scene.rng.random_range(0..=most);
    (0..steps).for_each(|_| scene.step());
}

#[test]
fn a_subscription_and_then_the_history_make_one_series() {
    for seed in 0..150 {
        for interval in BarInterval::ALL {
            let mut scene = Scene::new(seed, interval, 128);
            scene.subscribe();
            steps(&mut scene, 10);
            scene.history();
            steps(&mut scene, 20);
            scene.check(&format!("seed {seed}, {interval:?}"));
            assert_eq!(scene.lost, 0, "seed {seed}, {interval:?}");
        }
    }
}

#[test]
fn the_history_and_then_a_subscription_make_one_series_or_show_that_they_do_not() {
    let mut asked = [0, 0];
    for seed in 0..150 {
        for interval in BarInterval::ALL {
            let mut scene = Scene::new(seed, interval, 128);
            let newest = scene.history();
            let most = [0, 3, 10][seed as usize % 3];
            steps(&mut scene, most);
            let snapshot = scene.subscribe();
            let mut closed = snapshot.iter().filter(|bar| bar.flags & bar_flag::CLOSED != 0);
            let is_whole = closed.all(|bar| bar.sequence <= newest);
            asked[usize::from(is_whole)] += 1;
            steps(&mut scene, 10);
            if !is_whole {
                scene.history();
            }
            steps(&mut scene, 10);
            scene.check(&format!("seed {seed}, {interval:?}"));
        }
    }
    assert!(asked.iter().all(|count| *count > 50), "{asked:?} asked once more, and did not");
}

/// A ring of four bars, and a client that is served seldom.
#[test]
fn who_was_told_of_a_hole_and_asks_again_has_one_series() {
    let mut holes = 0;
    for seed in 0..150 {
        let mut scene = Scene::new(seed, BarInterval::Second, 4);
        scene.subscribe();
        scene.history();
        for _ in 0..6 {
            // Ten seconds in which it hears nothing.
            let lost = scene.lost;
            for _ in 0..scene.rng.random_range(0..20) {
                let length_us = scene.rng.random_range(0..1_000_000);
                scene.desk.now.unix_us += length_us;
                let (price, clock_ns) = (100 + length_us % 50, scene.desk.now.unix_us * 1_000);
                let body = scene.trade(price);
                let ticks = vec![Tick { symbol: 0, event_time_ns: clock_ns, body }];
                scene.desk.publisher.publish(&Batch { ticks, clock_ns, ..Batch::default() });
            }
            scene.desk.pass_ms(200);
            scene.read();
            if scene.lost > lost {
                scene.history();
            }
        }
        holes += scene.lost;
        scene.check(&format!("seed {seed}"));
    }
    assert!(holes > 50, "{holes} holes");
}
