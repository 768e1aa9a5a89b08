//! Centrifugo's client protocol in JSON, as its documentation describes it
//! (<https://centrifugal.dev/docs/transports/client_protocol>).
//!
//! A message holds one JSON value or several, with a newline between. Commands have ids, replies
//! repeat them; pushes have none. An empty object is the server's ping, and an empty object
//! answers it if the reply to the connect command asked for that.

use std::{ops::Range, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Fault, Heard, Progress, Speaker, stamp};
use crate::{excerpt::excerpt, measure::Tally, outbox::Outbox};

/// Id of the connect command; those of the subscribes follow, then those of what is published.
const CONNECT_ID: u64 = 1;

/// A message of commands ends with the first that makes it longer. Centrifugo takes 64 KiB.
const MESSAGE_BYTES: usize = 16 * 1024;

/// A client of a Centrifugo server: each symbol is a channel, `data` of publications has
/// `sent_at_us`.
///
/// It is ready when every subscribe was answered. Whatever is refused ends the conversation.
#[derive(Debug)]
pub(crate) struct Centrifugo {
    symbols: Arc<[String]>,
    /// Position of the symbol that is published next.
    next: usize,
    stage: Stage,
    /// Id of the next command.
    next_id: u64,
    /// Whether the server wants its pings answered: not before it says so.
    answers_pings: bool,
}

/// How far a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Until the connect command is answered, then the subscribes are sent.
    Connects,
    /// Until so many of them are answered.
    Subscribes { unanswered: usize },
    /// To the end.
    Ready,
}

/// A reply or a push, as far as it matters. What else a server says is ignored.
#[derive(Debug, Deserialize)]
struct Said<'a> {
    #[serde(default)]
    id: u64,
    error: Option<Refusal>,
    connect: Option<Connected>,
    #[serde(borrow)]
    push: Option<Push<'a>>,
}

/// Why a command is refused, or a conversation ended.
#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: u32,
    #[serde(default, alias = "reason")]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Connected {
    #[serde(default)]
    pong: bool,
}

#[derive(Debug, Deserialize)]
struct Push<'a> {
    #[serde(borrow)]
    r#pub: Option<Publication<'a>>,
    unsubscribe: Option<Refusal>,
    disconnect: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Publication<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Centrifugo {
    /// One that will subscribe to these symbols as channels.
    pub(crate) fn new(symbols: impl Into<Arc<[String]>>) -> Self {
        Self {
            symbols: symbols.into(),
            next: 0,
            stage: Stage::Connects,
            next_id: CONNECT_ID,
            answers_pings: false,
        }
    }

    fn act(
        &mut self,
        said: &Said<'_>,
        received_us: i64,
        out: &mut Outbox,
        tally: &mut Tally,
    ) -> Result<Progress, Fault> {
        if let Some(error) = &said.error {
            return Err(error.of(&self.name_of(said.id)));
        }
        if let Some(push) = &said.push {
            self.hear_push(push, received_us, tally)?;
            return Ok(Progress::Going);
        }
        match said.id {
            0 if self.answers_pings => out.text(b"{}"),
            0 => {}
            CONNECT_ID if self.stage == Stage::Connects => {
                self.answers_pings = said.connect.as_ref().is_some_and(|reply| reply.pong);
                return Ok(self.subscribe(out));
            }
            id if self.subscribe_ids().contains(&id) => return self.hear_subscribed(id),
            // Of something published, which needs no more.
            id if id > CONNECT_ID && id < self.next_id => {}
            id => return Err(Fault::Violation(format!("an answer to {id}, which was not sent"))),
        }
        Ok(Progress::Going)
    }

    fn hear_push(&self, push: &Push<'_>, received_us: i64, tally: &mut Tally) -> Result<(), Fault> {
        let ended = push.disconnect.as_ref().map(|refusal| refusal.of("disconnected"));
        let left_out = push.unsubscribe.as_ref().map(|refusal| refusal.of("unsubscribed"));
        if let Some(fault) = ended.or(left_out) {
            return Err(fault);
        }
        if let Some(publication) = &push.r#pub {
            let stamp = publication.data.and_then(|data| stamp::read_json(data.get().as_bytes()));
            stamp::record(stamp, received_us, tally);
        }
        Ok(())
    }

    /// One subscribe is answered; how many are left is kept, not which.
    fn hear_subscribed(&mut self, id: u64) -> Result<Progress, Fault> {
        let Stage::Subscribes { unanswered } = &mut self.stage else {
            return Err(Fault::Violation(format!("a second answer to {id}")));
        };
        *unanswered -= 1;
        if *unanswered > 0 {
            return Ok(Progress::Going);
        }
        self.stage = Stage::Ready;
        Ok(Progress::Ready)
    }

    fn subscribe(&mut self, out: &mut Outbox) -> Progress {
        if self.symbols.is_empty() {
            self.stage = Stage::Ready;
            return Progress::Ready;
        }
        let mut message = String::new();
        for symbol in self.symbols.iter() {
            let id = self.next_id;
            self.next_id += 1;
            let command = serde_json::json!({ "id": id, "subscribe": { "channel": symbol } });
            message += &command.to_string();
            if message.len() >= MESSAGE_BYTES {
                out.text(message.as_bytes());
                message.clear();
            } else {
                message.push('\n');
            }
        }
        if !message.is_empty() {
            out.text(message.trim_end().as_bytes());
        }
        self.stage = Stage::Subscribes { unanswered: self.symbols.len() };
        Progress::Going
    }

    fn subscribe_ids(&self) -> Range<u64> {
        let first = CONNECT_ID + 1;
        first..first + self.symbols.len() as u64
    }

    /// What a command was, in words.
    fn name_of(&self, id: u64) -> String {
        let first = CONNECT_ID + 1;
        let symbol =
            id.checked_sub(first).and_then(|at| self.symbols.get(usize::try_from(at).ok()?));
        match (id, symbol) {
            (CONNECT_ID, _) => "connect".to_owned(),
            (_, Some(_)) => "subscribe".to_owned(),
            _ => "publish".to_owned(),
        }
    }
}

impl Refusal {
    fn of(&self, what: &str) -> Fault {
        Fault::Refused(format!("{what}: {} {}", self.code, excerpt(self.message.as_bytes())))
    }
}

impl Speaker for Centrifugo {
    fn open(&mut self, out: &mut Outbox) -> Progress {
        self.stage = Stage::Connects;
        self.next_id = CONNECT_ID + 1;
        self.answers_pings = false;
        out.text(format!(r#"{{"id":{CONNECT_ID},"connect":{{}}}}"#).as_bytes());
        Progress::Going
    }

    fn hear(
        &mut self,
        heard: Heard<'_>,
        out: &mut Outbox,
        tally: &mut Tally,
    ) -> Result<Progress, Fault> {
        let entries_before = tally.counts.entries;
        let mut progress = Progress::Going;
        for said in serde_json::Deserializer::from_slice(heard.payload).into_iter() {
            let said: Said<'_> = said.map_err(|error| {
                Fault::Violation(format!("{error}: {}", excerpt(heard.payload)))
            })?;
            if self.act(&said, heard.received_us, out, tally)? == Progress::Ready {
                progress = Progress::Ready;
            }
        }
        tally.counts.frames += u64::from(tally.counts.entries > entries_before);
        Ok(progress)
    }

    fn publish(&mut self, scheduled_us: i64, out: &mut Outbox) -> bool {
        if self.stage != Stage::Ready || self.symbols.is_empty() {
            return false;
        }
        let symbol = &self.symbols[self.next % self.symbols.len()];
        self.next += 1;
        let id = self.next_id;
        self.next_id += 1;
        let (channel, data) = (serde_json::json!(symbol), stamp::text(scheduled_us));
        let command = format!(r#"{{"id":{id},"publish":{{"channel":{channel},"data":{data}}}}}"#);
        out.text(command.as_bytes());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::Timing,
        speaker::testing::{NOW_US, hear, said},
    };

    const CONNECTED: &str =
        r#"{"id":1,"connect":{"client":"c0ffee","version":"5.4.0","ping":25,"pong":true}}"#;
    const SUBSCRIBED: &str =
        "{\"id\":3,\"subscribe\":{}}\n{\"id\":2,\"subscribe\":{\"epoch\":\"x\"}}\n";

    /// A client, its outbox and its tally.
    struct Scene {
        client: Centrifugo,
        out: Outbox,
        tally: Tally,
    }

    impl Scene {
        fn new() -> Self {
            let client = Centrifugo::new(["AAPL", "BRK.B"].map(str::to_owned));
            let mut out = Outbox::default();
            let mut client = Self { client, out: Outbox::default(), tally: Tally::default() };
            assert_eq!(client.client.open(&mut out), Progress::Going);
            assert_eq!(said(&mut out), [r#"{"id":1,"connect":{}}"#]);
            client
        }

        fn ready() -> Self {
            let mut scene = Self::new();
            assert_eq!(scene.hear(CONNECTED), Ok(Progress::Going));
            assert_eq!(scene.hear(SUBSCRIBED), Ok(Progress::Ready));
            said(&mut scene.out);
            scene
        }

        fn hear(&mut self, text: &str) -> Result<Progress, Fault> {
            hear(&mut self.client, text.as_bytes(), &mut self.out, &mut self.tally)
        }

        fn refusal(&mut self, text: &str) -> String {
            match self.hear(text) {
                Err(Fault::Refused(what)) => what,
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn it_subscribes_once_connected_and_is_ready_when_all_is_answered() {
        let mut scene = Scene::new();
        assert!(!scene.client.publish(NOW_US, &mut scene.out));
        assert_eq!(scene.hear(CONNECTED), Ok(Progress::Going));
        let commands = "{\"id\":2,\"subscribe\":{\"channel\":\"AAPL\"}}\n\
                        {\"id\":3,\"subscribe\":{\"channel\":\"BRK.B\"}}";
        assert_eq!(said(&mut scene.out), [commands]);
        assert_eq!(scene.hear(r#"{"id":2,"subscribe":{}}"#), Ok(Progress::Going));
        assert_eq!(scene.hear(r#"{"id":3,"subscribe":{}}"#), Ok(Progress::Ready));
        assert_eq!(scene.tally.counts.frames, 0, "replies are no data");
    }

    #[test]
    fn several_values_in_a_message_are_several_messages() {
        let mut scene = Scene::new();
        let stamp = NOW_US - 1_500;
        let publication = |data: &str| {
            format!(r#"{{"push":{{"channel":"AAPL","pub":{{"data":{data},"offset":7}}}}}}"#)
        };
        let first = publication(&format!(r#"{{"sent_at_us":{stamp}}}"#));
        let second = publication(&format!(r#"{{"price":1.25,"sent_at_us":{stamp},"a":[{{}}]}}"#));
        let all = format!("{CONNECTED}\n{SUBSCRIBED}{first}\n{{}}\n{second}\n");
        assert_eq!(scene.hear(&all), Ok(Progress::Ready));
        assert_eq!(said(&mut scene.out)[1..], ["{}"], "a ping is answered");
        let counts = &scene.tally.counts;
        assert_eq!((counts.frames, counts.entries, counts.violations), (1, 2, 0));
        let spread = scene.tally.timings.spread(Timing::Latency).expect("recorded");
        assert_eq!((spread.count, spread.max_us / 10), (2, 150));
        scene.hear(&first).expect("sound");
        assert_eq!(scene.tally.counts.frames, 2);
    }

    #[test]
    fn data_without_a_stamp_is_a_violation_and_not_the_end() {
        let mut scene = Scene::ready();
        let all = ["{}", "[1,2]", "\"text\"", "12", "null", r#"{"sent_at_us":"soon"}"#];
        for data in all {
            let push = format!(r#"{{"push":{{"channel":"AAPL","pub":{{"data":{data}}}}}}}"#);
            assert_eq!(scene.hear(&push), Ok(Progress::Going), "{data}");
        }
        assert_eq!(scene.hear(r#"{"push":{"channel":"AAPL","pub":{}}}"#), Ok(Progress::Going));
        assert_eq!(scene.tally.counts.violations, all.len() as u64 + 1);
    }

    #[test]
    fn pings_are_answered_where_the_server_wants_it() {
        let mut scene = Scene::new();
        scene.hear(r#"{"id":1,"connect":{"client":"c0ffee","ping":25}}"#).expect("sound");
        said(&mut scene.out);
        assert_eq!(scene.hear("{}"), Ok(Progress::Going));
        assert_eq!(said(&mut scene.out), [] as [&str; 0]);
        let mut scene = Scene::ready();
        assert_eq!(scene.hear("{}\n"), Ok(Progress::Going));
        assert_eq!(said(&mut scene.out), ["{}"]);
    }

    #[test]
    fn errors_disconnects_and_unsubscribes_are_refusals_in_the_servers_words() {
        let mut scene = Scene::new();
        let what = scene.refusal(r#"{"id":1,"error":{"code":101,"message":"unauthorized"}}"#);
        assert_eq!(what, "connect: 101 unauthorized");
        let what = scene.refusal(r#"{"id":3,"error":{"code":103,"message":"permission denied"}}"#);
        assert_eq!(what, "subscribe: 103 permission denied");
        let mut scene = Scene::ready();
        scene.client.publish(NOW_US, &mut scene.out);
        let what = scene.refusal(r#"{"id":4,"error":{"code":103,"message":"permission denied"}}"#);
        assert_eq!(what, "publish: 103 permission denied");
        let what = scene.refusal(r#"{"push":{"disconnect":{"code":3008,"reason":"slow"}}}"#);
        assert_eq!(what, "disconnected: 3008 slow");
        let what = scene
            .refusal(r#"{"push":{"channel":"AAPL","unsubscribe":{"code":2500,"reason":"x"}}}"#);
        assert_eq!(what, "unsubscribed: 2500 x");
    }

    #[test]
    fn it_publishes_its_symbols_in_turn_with_the_scheduled_time() {
        let mut scene = Scene::ready();
        assert!(scene.client.publish(NOW_US, &mut scene.out));
        assert!(scene.client.publish(NOW_US + 1, &mut scene.out));
        let expected = [("AAPL", 4, NOW_US), ("BRK.B", 5, NOW_US + 1)].map(|(channel, id, us)| {
            format!(
                r#"{{"id":{id},"publish":{{"channel":"{channel}","data":{{"sent_at_us":{us}}}}}}}"#
            )
        });
        assert_eq!(said(&mut scene.out), expected);
        assert_eq!(scene.hear(r#"{"id":4,"publish":{}}"#), Ok(Progress::Going));
    }

    #[test]
    fn answers_to_nothing_and_what_is_no_json_are_violations() {
        for text in [
            r#"{"id":9,"publish":{}}"#,
            r#"{"id":2,"subscribe":{}}"#,
            r#"{"id":1,"connect":{}}"#,
            r#"{"id":-1}"#,
            r#"{"push":[]}"#,
            r#"{"push":{"pub":3}}"#,
            "{",
            "[]",
            "3",
            "null",
            "PING\r\n",
            "\u{0}",
            &"[".repeat(10_000),
        ] {
            let heard = Scene::ready().hear(text);
            assert!(matches!(heard, Err(Fault::Violation(_))), "{text}: {heard:?}");
        }
        let mut scene = Scene::ready();
        let heard = hear(&mut scene.client, b"\xff{}", &mut scene.out, &mut scene.tally);
        assert!(matches!(heard, Err(Fault::Violation(_))), "{heard:?}");
    }

    #[test]
    fn many_subscribes_go_in_several_messages() {
        let symbols: Vec<String> = (0..4_096).map(|n| format!("SYM{n:029}")).collect();
        let mut client = Centrifugo::new(symbols);
        let (mut out, mut tally) = (Outbox::default(), Tally::default());
        client.open(&mut out);
        hear(&mut client, CONNECTED.as_bytes(), &mut out, &mut tally).expect("sound");
        let messages = said(&mut out);
        assert!(messages.iter().all(|message| message.len() < 64 * 1024));
        assert!(messages.iter().all(|message| !message.ends_with('\n')));
        let lines = messages[1..].iter().map(|message| message.lines().count()).sum::<usize>();
        assert_eq!(lines, 4_096);
        let mut nobody = Centrifugo::new([]);
        nobody.open(&mut out);
        let heard = hear(&mut nobody, CONNECTED.as_bytes(), &mut out, &mut tally);
        assert_eq!(heard, Ok(Progress::Ready), "nothing to wait for");
    }

    #[test]
    fn a_new_conversation_begins_anew() {
        let mut scene = Scene::ready();
        assert_eq!(scene.client.open(&mut scene.out), Progress::Going);
        assert_eq!(scene.hear(CONNECTED), Ok(Progress::Going));
        assert_eq!(scene.hear(SUBSCRIBED), Ok(Progress::Ready));
    }

    #[test]
    fn garbage_never_panics() {
        use rand::RngExt;
        use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
        let push = r#"{"push":{"channel":"AAPL","pub":{"data":{"sent_at_us":1790000000000000}}}}"#;
        let whole = format!("{CONNECTED}\n{SUBSCRIBED}{push}\n{{}}\n").into_bytes();
        for seed in 0..2_000 {
            eprintln!("seed {seed}");
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut bytes = whole.clone();
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            let mut scene = Scene::new();
            let _ = hear(&mut scene.client, &bytes, &mut scene.out, &mut scene.tally);
        }
    }
}
