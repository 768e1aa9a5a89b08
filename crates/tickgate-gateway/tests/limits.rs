//! The limits of the listener over real sockets, each at it and beyond: connections in HTTP, of
//! one address, a second; request heads; what an upgrade may carry.

mod common;

use std::time::Duration;

use common::{Client, Gateway, UPGRADE, frame, metric};
use tickgate_gateway::GatewayConfig;
use tickgate_protocol::{
    close::CloseReason,
    command::{Command, Op},
    dialect::Dialect::{self, MessagePack},
    reply::Reply,
};
use tickgate_session::EngineConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How long anything here may take before the test says that it hangs; less than a connection may
/// stay in HTTP.
const PATIENCE: Duration = Duration::from_secs(30);

const PAGE: &str = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(&gateway.public).await.expect("connects")
}

/// Everything up to where the gateway closes.
async fn rest_of(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A reset after the answer is as good as an end.
    let _ = read.expect("the gateway closes");
    String::from_utf8(answer).expect("text")
}

fn retry_after_s(answer: &str) -> u64 {
    let (_, rest) = answer.split_once("retry-after: ").expect("a Retry-After");
    rest.split("\r\n").next().and_then(|text| text.parse().ok()).expect("whole seconds")
}

#[tokio::test]
async fn past_the_limit_of_those_in_http_connections_wait_and_are_served() {
    let config = GatewayConfig { http_connection_limit: 2, ..GatewayConfig::default() };
    let gateway = Gateway::start(config, 1).await;
    let mut holders = Vec::new();
    for _ in 0..2 {
        let mut holder = connect(&gateway).await;
        holder.write_all(b"GET / HTTP/1.1\r\n").await.expect("sent");
        holders.push(holder);
    }
    let mut third = connect(&gateway).await;
    third.write_all(PAGE.as_bytes()).await.expect("sent");
    while metric(&gateway, "tickgate_accepts_held_total").await == 0.0 {}
    let mut nothing = [0; 1];
    let error = third.try_read(&mut nothing).expect_err("it is not even accepted");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    holders[0].write_all(b"Host: test\r\nConnection: close\r\n\r\n").await.expect("sent");
    assert!(rest_of(&mut holders[0]).await.starts_with("HTTP/1.1 200 "));
    assert!(rest_of(&mut third).await.starts_with("HTTP/1.1 200 "), "there was room for it");
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn an_address_that_has_its_connections_gets_429_and_its_place_back() {
    let config = GatewayConfig {
        address_connection_limit: 2,
        trusted_networks: Vec::new(),
        ..GatewayConfig::default()
    };
    let gateway = Gateway::start(config, 1).await;
    let first = gateway.upgrade().await;
    let _second = gateway.upgrade().await;
    let answer = gateway.ask(PAGE).await;
    assert!(answer.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{answer}");
    assert!(answer.contains("too many connections from your address"), "{answer}");
    assert!((1..=10).contains(&retry_after_s(&answer)), "{answer}");
    let turned = "tickgate_connections_turned_away_total{reason=\"address\"}";
    assert_eq!(metric(&gateway, turned).await, 1.0);
    drop(first);
    // The worker learns of it in its own time; each attempt is answered either way.
    while !gateway.ask(PAGE).await.starts_with("HTTP/1.1 200 ") {}
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn connections_past_the_rate_get_503_and_are_spread() {
    // So slow that the burst is all there is.
    let config = GatewayConfig {
        connections_per_second: 1,
        connection_burst: 3,
        ..GatewayConfig::default()
    };
    let gateway = Gateway::start(config, 1).await;
    let mut served = 0;
    let mut waits = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let answer = gateway.ask(PAGE).await;
        if answer.starts_with("HTTP/1.1 200 ") {
            served += 1;
        } else {
            assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\ntoo many new connections: try again later\n"));
            waits.insert(retry_after_s(&answer));
        }
    }
    assert!(served >= 3, "the burst is {served}");
    assert!(waits.len() > 3, "everybody is told the same: {waits:?}");
    let turned = metric(&gateway, "tickgate_connections_turned_away_total{reason=\"rate\"}").await;
    assert_eq!(turned as usize + served, 60);
    // Who is in already notices nothing: the admin listener is another.
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn a_request_head_at_its_limit_is_read_and_one_byte_more_is_not() {
    let config = GatewayConfig::default();
    let limit = config.request_head_limit_bytes;
    let gateway = Gateway::start(config, 1).await;
    let head_of = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
    };
    for (length, status) in [(limit - 1, "200"), (limit, "200"), (limit + 1, "431")] {
        let head = head_of(length);
        assert_eq!(head.len(), length);
        let answer = gateway.ask(&head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{length}: {answer}");
    }
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_or_not_at_all_is_cut_off_at_its_deadline() {
    let age = Duration::from_millis(300);
    let config = GatewayConfig { request_head_age: age, ..GatewayConfig::default() };
    let gateway = Gateway::start(config, 1).await;
    let mut silent = connect(&gateway).await;
    assert_eq!(rest_of(&mut silent).await, "", "a connection that says nothing is closed");

    let mut slow = connect(&gateway).await;
    // A byte each time the reader finds nothing: the deadline is that of the whole head.
    let (mut read, mut write) = slow.split();
    let trickle = async {
        for byte in UPGRADE.bytes().cycle() {
            if write.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(age / 20).await;
        }
    };
    let end = async {
        let mut rest = Vec::new();
        let _ = read.read_to_end(&mut rest).await;
    };
    let ended = tokio::time::timeout(PATIENCE, async {
        tokio::select! { () = trickle => {}, () = end => {} }
    });
    ended.await.expect("it is closed though it never stops");
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn an_upgrade_carries_no_body_and_what_is_pipelined_behind_it_is_no_request() {
    let gateway = Gateway::start(GatewayConfig::default(), 1).await;
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let answer = gateway.ask(&format!("{UPGRADE}{body}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("has no body"), "{answer}");
    }
    let mut stream = connect(&gateway).await;
    stream.write_all(format!("{UPGRADE}\r\n{PAGE}").as_bytes()).await.expect("sent");
    let mut client = Client { stream, read: Vec::new() };
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    assert!(matches!(client.reply(Dialect::MessagePack).await, Reply::Welcome(_)));
    assert_eq!(client.close_code().await, Some(CloseReason::BadProtocol.code()));
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn a_message_far_past_its_limit_sees_its_close_frame_and_no_reset() {
    let gateway = Gateway::start(GatewayConfig::default(), 1).await;
    let mut client = gateway.upgrade().await;
    assert!(matches!(client.reply(Dialect::MessagePack).await, Reply::Welcome(_)));
    // 60 KB to a limit of 16: all of it is sent, though its header was enough to refuse it.
    let mut message = vec![0x82, 0xff];
    message.extend(60_000_u64.to_be_bytes());
    message.resize(message.len() + 4 + 60_000, 0);
    client.stream.write_all(&message).await.expect("sent to the last byte");
    assert_eq!(client.close_code().await, Some(CloseReason::MessageTooBig.code()));
    client.stream.write_all(&frame(8, &[])).await.expect("the socket still takes the answer");
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn a_flood_of_pings_ends_with_a_reason() {
    let gateway = Gateway::start(GatewayConfig::default(), 1).await;
    let mut client = gateway.upgrade().await;
    assert!(matches!(client.reply(Dialect::MessagePack).await, Reply::Welcome(_)));
    let pings: Vec<u8> = std::iter::repeat_with(|| frame(9, b"x")).take(2_000).flatten().collect();
    let (mut read, mut write) = client.stream.split();
    // The gateway need not take them all.
    let flood = async {
        let _ = write.write_all(&pings).await;
    };
    let mut heard = Vec::new();
    let ended = async {
        let _ = read.read_to_end(&mut heard).await;
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(flood, ended) }).await.expect("it ends");
    client.read.extend(heard);
    let mut pongs = 0;
    let code = loop {
        match client.message().await.expect("a close frame comes first") {
            (8, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
            (10, _) => pongs += 1,
            _ => {}
        }
    };
    assert_eq!(code, CloseReason::CommandFlood.code());
    assert!((200..2_000).contains(&pongs), "{pongs} pings of 2,000 were answered");
    assert!(metric(&gateway, "tickgate_controls_refused_total").await >= 200.0);
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn who_sends_more_than_a_worker_reads_waits_and_loses_nothing() {
    let engine = EngineConfig {
        commands_per_second: 1_000_000,
        command_burst: 1 << 20,
        command_bytes_per_second: 1 << 16,
        ..EngineConfig::default()
    };
    let gateway = Gateway::start_with(GatewayConfig::default(), 1, engine).await;
    let mut ping = Vec::new();
    MessagePack.write_command(&mut ping, &Command { id: Some(1), op: Op::Ping });
    let ping = frame(2, &ping);
    let (mut loud, mut quiet) = (gateway.upgrade().await, gateway.upgrade().await);
    for client in [&mut loud, &mut quiet] {
        assert!(matches!(client.reply(MessagePack).await, Reply::Welcome(_)));
    }
    // More than a window takes and less than five seconds' worth.
    let count = 40_000 / ping.len();
    loud.stream.write_all(&ping.repeat(count)).await.expect("sent");
    while metric(&gateway, "tickgate_reads_held_total").await == 0.0 {}
    quiet.stream.write_all(&ping).await.expect("sent");
    assert!(matches!(pong(&mut quiet).await, Reply::Pong { .. }));
    for _ in 0..count {
        assert!(matches!(pong(&mut loud).await, Reply::Pong { .. }));
    }
    gateway.stop().await.expect("stops");
}

/// The next reply, past heartbeats and other data frames.
async fn pong(client: &mut Client) -> Reply {
    loop {
        let next = tokio::time::timeout(PATIENCE, client.message()).await;
        let (_, payload) = next.expect("an answer in time").expect("a message");
        // Data frames are arrays, replies are maps.
        if !matches!(payload[0], 0x90..=0x9f | 0xdc | 0xdd) {
            return MessagePack.parse_reply(&payload).expect("a reply");
        }
    }
}
