//! Commands of many names: what they cost, and that they do what as many commands do.

use std::{cell::RefCell, io, rc::Rc, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use tickgate_hub::{Hub, HubConfig};
use tickgate_protocol::{
    channel::{Channel, Channels},
    command::{Resume, Subscribe},
    dialect::Dialect,
    reply::{Reply, Resumed},
    symbol::WILDCARD,
    tick::{Batch, Listing},
};

use crate::{
    config::EngineConfig,
    engine::{Engine, Shared},
    session::Owed,
    transport::{Now, Transport},
    work::{take, take_names},
};

/// Takes what fits, and keeps it.
#[derive(Debug, Clone, Default)]
struct Sink(Rc<RefCell<(Vec<u8>, usize)>>);

impl Sink {
    fn make_room(&self, bytes: usize) {
        self.0.borrow_mut().1 = bytes;
    }

    fn written(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().0)
    }
}

impl Transport for Sink {
    fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (written, room) = &mut *self.0.borrow_mut();
        let length = bytes.len().min(*room);
        if length == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        written.extend_from_slice(&bytes[..length]);
        *room -= length;
        Ok(length)
    }

    fn shutdown(&mut self) {}
}

/// An engine with one session, and so many symbols listed.
struct Desk {
    engine: Engine<Sink>,
    sink: Sink,
    now: Now,
}

impl Desk {
    fn new(hub: &Arc<Hub>, config: &EngineConfig) -> Self {
        let now = Now { monotonic_us: 1_000_000, unix_us: 1_700_000_000_000_000 };
        let shared = Shared::new(Arc::clone(hub), config.clone()).expect("the rules are kept");
        let mut engine = Engine::new(shared, 0, 1, now);
        let sink = Sink::default();
        engine.open(now, sink.clone(), Dialect::MessagePack, 1, Vec::new());
        let mut desk = Self { engine, sink, now };
        desk.engine.sessions[0].has_commanded = true;
        desk.pass_ms(1, usize::MAX);
        desk.sink.written();
        desk
    }

    fn pass_ms(&mut self, ms: u64, room: usize) {
        self.sink.make_room(room);
        self.now.monotonic_us += ms * 1_000;
        self.engine.make_ready(0, false);
        while self.engine.poll(self.now).more {}
    }

    /// What the reply says of its names: taken, rejected or still covered, held; and resumed.
    fn subscribe(&mut self, wanted: &Subscribe) -> (u64, usize, u64, Resumed) {
        match self.engine.subscribe(0, None, wanted).expect("not refused") {
            Reply::Subscribed(answer) => (
                answer.count,
                answer.rejected.len(),
                answer.subscriptions,
                answer.resumed.unwrap_or(Resumed { count: 0, fresh: 0 }),
            ),
            other => panic!("{other:?}"),
        }
    }

    fn unsubscribe(&mut self, names: &[String], channels: Channels) -> (u64, usize, u64) {
        match self.engine.unsubscribe(0, None, names, channels).expect("not refused") {
            Reply::Unsubscribed { count, still_covered, subscriptions, .. } => {
                (count, still_covered.len(), subscriptions)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Ends the line of those that wait for a `ready`: there are more of them where names come
    /// one by one.
    fn forget_readies(&mut self) {
        self.engine.sessions[0].owed.retain(|owed| !matches!(owed, Owed::Ready(_)));
    }

    /// All that a session knows of its subscriptions.
    fn state(&mut self) -> String {
        let session = &mut self.engine.sessions[0];
        let mut state = Vec::new();
        let wildcard = session.portfolio.wildcard.iter_mut().map(|each| &mut each.group);
        for group in session.portfolio.groups.iter_mut().chain(wildcard) {
            state.push(format!("{} {:?}", group.interval_ms, group.members));
        }
        state.sort_unstable();
        state.push(format!("{:?}", session.owed));
        state.join("\n")
    }

    fn subscriptions(&self) -> u64 {
        self.engine.stats().subscriptions
    }
}

fn hub(symbols: usize) -> (Arc<Hub>, Vec<String>) {
    let sizes = HubConfig { workers: 1, symbol_limit: 16_384, ..HubConfig::default() };
    let hub = Hub::new(sizes, 1).expect("the sizes keep the rules");
    let names: Vec<String> = (0..symbols).map(|n| format!("S{n}")).collect();
    let listing =
        |name: &String| Listing { session_date: 20_240_808, ..Listing::new(name.clone(), -2, 0) };
    let listings = names.iter().map(listing).collect();
    hub.publisher().publish(&Batch { listings, ..Batch::default() });
    (hub, names)
}

/// What one command of so many names may cost in a session that holds `held`: the names are
/// sorted, and there are a few looks at each of them and at each that is held.
fn bound(names: usize, held: usize) -> usize {
    names * (names.ilog2() as usize + 10) + 6 * held
}

#[test]
fn a_command_of_many_names_looks_at_each_a_few_times() {
    const NAMES: usize = 2_000;
    let config = EngineConfig { subscription_limit: 16_384, ..EngineConfig::default() };
    let (hub, names) = hub(5 * NAMES);
    for (throttle_ms, covered) in
        [(None, false), (Some(Some(0)), false), (None, true), (Some(Some(500)), true)]
    {
        let case = format!("throttle_ms {throttle_ms:?}, covered: {covered}");
        let mut desk = Desk::new(&hub, &config);
        let mut rng = StdRng::seed_from_u64(7);
        // What the wildcard covers is held as well.
        let mut held = 0;
        if covered {
            let symbols = vec![WILDCARD.to_owned()];
            desk.subscribe(&Subscribe { symbols, ..Subscribe::default() });
            held = names.len();
        }
        let mut order = names.clone();
        order.shuffle(&mut rng);
        for symbols in order.chunks(NAMES) {
            held += NAMES;
            let symbols = symbols.to_vec();
            take();
            desk.subscribe(&Subscribe { symbols, throttle_ms, ..Subscribe::default() });
            let cost = take();
            assert!(cost <= bound(NAMES, held), "{case}: {cost} to hold {held}");
            assert!(cost >= NAMES, "{case}: it counts");
        }
        order.shuffle(&mut rng);
        for symbols in order.chunks(NAMES) {
            take();
            desk.unsubscribe(symbols, Channels::ALL);
            let cost = take();
            assert!(cost <= bound(NAMES, held), "{case}: {cost} to end some of {held}");
            held -= NAMES;
        }
        assert_eq!(desk.subscriptions(), u64::from(covered));
    }
}

#[test]
fn a_wildcard_that_comes_again_in_a_command_costs_nothing() {
    let (hub, names) = hub(1_000);
    let mut desk = Desk::new(&hub, &EngineConfig::default());
    let mut symbols: Vec<String> =
        names.iter().flat_map(|name| [name.clone(), WILDCARD.to_owned()]).collect();
    take();
    let wanted = Subscribe { symbols: symbols.clone(), ..Subscribe::default() };
    assert_eq!(desk.subscribe(&wanted).0, 2_000, "each is counted");
    let cost = take();
    assert!(cost <= bound(2_000, 2_000), "{cost} to subscribe");
    let trades = Channels::only(Channel::Trade);
    for (channels, held) in [(trades, 1_001), (Channels::ALL, 0)] {
        desk.unsubscribe(&symbols, channels);
        let cost = take();
        assert!(cost <= bound(2_000, 2_000), "{cost} to end {channels:?}");
        assert_eq!(desk.subscriptions(), held);
        symbols.reverse();
    }
}

#[test]
fn a_command_of_many_names_does_what_as_many_commands_do() {
    let config = EngineConfig {
        subscription_limit: 40,
        frame_limit_bytes: 4_096,
        drain_age: Duration::from_secs(60),
        ..EngineConfig::default()
    };
    let (hub, names) = hub(48);
    for seed in 0..100 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut together, mut apart) = (Desk::new(&hub, &config), Desk::new(&hub, &config));
        for round in 0..20 {
            let count = rng.random_range(1..60);
            let symbols: Vec<String> = (0..count)
                .map(|_| match rng.random_range(0..100) {
                    0 => WILDCARD.to_owned(),
                    1 => "unknown".to_owned(),
                    _ => names[rng.random_range(0..names.len())].clone(),
                })
                .collect();
            let channels = match rng.random_range(0..3) {
                0 => Channels::ALL,
                1 => Channels::only(Channel::Trade),
                _ => Channels::DEFAULT,
            };
            let case = format!("seed {seed}, round {round}");
            if rng.random_bool(0.4) {
                let told = together.unsubscribe(&symbols, channels);
                let mut sum = (0, 0, 0);
                for name in &symbols {
                    let each = apart.unsubscribe(std::slice::from_ref(name), channels);
                    sum = (sum.0 + each.0, sum.1 + each.1, each.2);
                }
                assert_eq!(told, sum, "{case}");
            } else {
                let throttles = [None, None, Some(None), Some(Some(0)), Some(Some(40))];
                let resume = rng.random_bool(0.2).then(|| Resume {
                    epoch: hub.epoch(),
                    trades: names.iter().take(24).map(|each| (each.clone(), 0)).collect(),
                });
                let wanted = Subscribe {
                    symbols,
                    channels: rng.random_bool(0.7).then_some(channels),
                    throttle_ms: throttles[rng.random_range(0..throttles.len())],
                    snapshot: rng.random_bool(0.1),
                    resume,
                    ..Subscribe::default()
                };
                let told = together.subscribe(&wanted);
                let mut sum = (0, 0, 0, Resumed { count: 0, fresh: 0 });
                let mut refused_wildcards = 0;
                for name in &wanted.symbols {
                    let wanted = Subscribe { symbols: vec![name.clone()], ..wanted.clone() };
                    let each = apart.subscribe(&wanted);
                    apart.forget_readies();
                    sum.0 += each.0;
                    sum.1 += each.1;
                    sum.2 = each.2;
                    refused_wildcards += if name == WILDCARD { each.1 } else { 0 };
                    sum.3.count += each.3.count;
                    sum.3.fresh += each.3.fresh;
                }
                together.forget_readies();
                // In one answer it is listed once.
                sum.1 -= refused_wildcards.saturating_sub(1);
                assert_eq!((told.0, told.1, told.2), (sum.0, sum.1, sum.2), "{case}");
                if !wanted.symbols.iter().any(|name| name == WILDCARD) {
                    assert_eq!(told.3, sum.3, "{case}");
                }
            }
            assert_eq!(together.state(), apart.state(), "{case}");
            assert_eq!(together.subscriptions(), apart.subscriptions(), "{case}");
            // Nothing, a part of what is owed, or all of it leaves.
            let (ms, room) =
                [(0, 0), (1, 3_000), (30, 2_000), (300, usize::MAX)][rng.random_range(0..4)];
            together.pass_ms(ms, room);
            apart.pass_ms(ms, room);
            assert!(together.sink.written() == apart.sink.written(), "{case}: other bytes");
        }
    }
}

#[test]
fn what_the_wildcard_has_yet_to_send_stays_in_its_line() {
    let (hub, names) = hub(20);
    let mut desk = Desk::new(&hub, &EngineConfig::default());
    let symbols = vec![WILDCARD.to_owned()];
    desk.subscribe(&Subscribe { symbols, ..Subscribe::default() });
    let waiting = Owed::Covered { next: 10, end: 20 };
    desk.engine.sessions[0].owed[0] = waiting;
    let symbols = [11, 3, 10].map(|at: usize| names[at].clone()).to_vec();
    desk.subscribe(&Subscribe { symbols, ..Subscribe::default() });
    let (ready, owed) = (Owed::Ready(None), Owed::Symbol);
    let expected = [owed(11), owed(10), waiting, ready, owed(3), ready];
    assert_eq!(desk.engine.sessions[0].owed, expected);
}

#[test]
fn each_name_of_a_command_is_looked_up_once_whatever_becomes_of_it() {
    let (hub, names) = hub(100);
    let mut desk = Desk::new(&hub, &EngineConfig::default());
    let unknown: Vec<String> = (0..250).map(|number| format!("NO{number}")).collect();
    let both: Vec<String> = names.iter().chain(&unknown).cloned().collect();
    take_names();
    let wanted = Subscribe { symbols: both.clone(), ..Subscribe::default() };
    let (count, rejected, ..) = desk.subscribe(&wanted);
    assert_eq!((count, rejected), (100, 250));
    assert_eq!(take_names(), both.len());
    desk.engine.throttle(0, None, Some(&both), Some(Some(5))).expect("not refused");
    assert_eq!(take_names(), both.len());
    desk.engine.unsubscribe(0, None, &both, Channels::ALL).expect("not refused");
    assert_eq!(take_names(), both.len());
    // Refused whole, for what it would have rejected.
    let wanted = Subscribe { symbols: [unknown.clone(), unknown].concat(), ..Subscribe::default() };
    assert!(desk.engine.subscribe(0, None, &wanted).is_err());
    assert_eq!(take_names(), wanted.symbols.len());
}
