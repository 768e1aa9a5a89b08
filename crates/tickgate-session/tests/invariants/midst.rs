//! What a publisher writes in the middle of a slice: real-time sessions are sent what is newest when
//! their turn comes, throttled ones what their pass has read, so that they keep sharing it.

use std::{cell::RefCell, io, rc::Rc, sync::Arc};

use tickgate_checker::{Channel, Command, Dialect, Subscribe, websocket::Splitter};
use tickgate_hub::{Hub, HubConfig, Publisher};
use tickgate_protocol::{
    decode::{Decoder, Message},
    dialect::Dialect::MessagePack,
    entry::{Entry, Step},
    number::ABSENT,
    tick::{Batch, Listing, Quote, Tick, TickBody},
};
use tickgate_session::{Engine, EngineConfig, Now, SessionKey, Shared, Transport};

const TICK_US: u64 = 5_000;

/// A publisher of one symbol, and what it is to publish when the next frame is written.
struct Feed {
    publisher: Publisher,
    at_next_write: Option<i64>,
}

impl Feed {
    fn publish(&mut self, price: i64) {
        let quote = Quote {
            bid_price: price,
            bid_size: 1,
            ask_price: price + 1,
            ask_size: 1,
            suspect: false,
        };
        let body = TickBody::Quote(quote);
        let ticks = vec![Tick { symbol: 0, event_time_ns: ABSENT, body }];
        self.publisher.publish(&Batch { ticks, ..Batch::default() });
    }
}

/// A socket that takes everything.
#[derive(Clone)]
struct Socket {
    feed: Rc<RefCell<Feed>>,
    written: Rc<RefCell<Vec<u8>>>,
}

impl Transport for Socket {
    fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.borrow_mut().extend_from_slice(bytes);
        let mut feed = self.feed.borrow_mut();
        if let Some(price) = feed.at_next_write.take() {
            feed.publish(price);
        }
        Ok(bytes.len())
    }

    fn shutdown(&mut self) {}
}

/// An engine with three clients of one symbol: two want the whole quote, one a field of it.
struct Desk {
    engine: Engine<Socket>,
    now: Now,
    feed: Rc<RefCell<Feed>>,
    sockets: Vec<Socket>,
}

impl Desk {
    fn new(throttle_ms: u64) -> Self {
        let hub = Hub::new(HubConfig { workers: 1, ..HubConfig::default() }, 1).unwrap();
        let listing = Listing { session_date: 20_240_808, ..Listing::new("S0", 0, 0) };
        let mut publisher = hub.publisher();
        publisher.publish(&Batch { listings: vec![listing], ..Batch::default() });
        let feed = Rc::new(RefCell::new(Feed { publisher, at_next_write: None }));
        let shared = Shared::new(Arc::clone(&hub), EngineConfig::default()).unwrap();
        let now = Now { monotonic_us: 1_000_000, unix_us: 1_700_000_000_000_000 };
        let engine = Engine::new(shared, 0, 1, now);
        let mut desk = Self { engine, now, feed, sockets: Vec::new() };
        for fields in [None, None, Some(vec!["bid_price".to_owned()])] {
            desk.open(throttle_ms, fields);
        }
        desk
    }

    fn open(&mut self, throttle_ms: u64, quote_fields: Option<Vec<String>>) -> SessionKey {
        let subscribe = Command::Subscribe(Subscribe {
            symbols: vec!["S0".into()],
            channels: Some(vec![Channel::Quote]),
            throttle_ms: Some(Some(throttle_ms)),
            quote_fields,
            ..Subscribe::default()
        });
        let socket = Socket { feed: Rc::clone(&self.feed), written: Rc::default() };
        self.sockets.push(socket.clone());
        let said = subscribe.bytes(Dialect::MessagePack, [1, 2, 3, 4]);
        let key = self.engine.open(self.now, socket, MessagePack, 1, said);
        self.engine.on_readable(self.now, key);
        key
    }

    fn tick(&mut self) {
        self.now.monotonic_us += TICK_US;
        self.now.unix_us += TICK_US as i64;
        while self.engine.poll(self.now).more {}
    }

    /// The sequences of the quotes that a client was told, each with the frames before it.
    fn told(&self, client: usize) -> Vec<u64> {
        let mut splitter = Splitter::default();
        splitter.push(0, &self.sockets[client].written.borrow());
        let mut decoder = Decoder::new(MessagePack);
        let (mut head, mut told) = (0, Vec::new());
        while let Ok(Some(message)) = splitter.next(0) {
            let Ok(Message::Frame(frame)) = decoder.decode(&message.payload) else { continue };
            for entry in frame.entries {
                let Entry::Quote(quote) = entry else { continue };
                match quote.step {
                    Step::Full { sequence } => head = sequence,
                    Step::Delta { advance } => head += advance,
                }
                told.push(head);
            }
        }
        told
    }
}

#[test]
fn real_time_sessions_get_what_came_during_the_slice_and_throttled_ones_what_the_pass_read() {
    for (throttle_ms, others) in [(0, vec![1, 3]), (5, vec![1, 2, 3])] {
        let mut desk = Desk::new(throttle_ms);
        desk.feed.borrow_mut().publish(10);
        for _ in 0..4 {
            desk.tick();
        }
        desk.feed.borrow_mut().publish(20);
        desk.feed.borrow_mut().at_next_write = Some(30);
        for _ in 0..4 {
            desk.tick();
        }
        // The first one's frame was under way when the third quote came.
        assert_eq!(desk.told(0), [1, 2, 3], "{throttle_ms} ms");
        assert_eq!(desk.told(1), others, "{throttle_ms} ms");
        assert_eq!(desk.told(2), others, "{throttle_ms} ms");
    }
}
