//! The gateway over real sockets: each refusal in raw HTTP, a session from upgrade to drain, the
//! limits of the listener, the admin pages.

mod common;

use std::time::Duration;

use common::{Client, Gateway, UPGRADE, ask, frame};
use tickgate_gateway::GatewayConfig;
use tickgate_protocol::{
    close::CloseReason,
    dialect::Dialect,
    reply::Reply,
    tick::{Reason, Status},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn each_refusal_says_which_rule_was_broken() {
    let config = GatewayConfig {
        allowed_origins: vec!["https://desk.example".to_owned()],
        ..GatewayConfig::default()
    };
    let gateway = Gateway::start(config, 1).await;
    let without = |line: &str| UPGRADE.replace(&format!("{line}\r\n"), "");
    for (request, status, words) in [
        (UPGRADE.replace("GET", "POST"), "405 ", "a GET, not a POST"),
        (UPGRADE.replace("HTTP/1.1", "HTTP/1.0"), "505 ", "needs HTTP/1.1"),
        (without("Upgrade: websocket"), "426 ", "`Upgrade: websocket`"),
        (without("Connection: Upgrade"), "426 ", "`Connection: Upgrade`"),
        (without("Sec-WebSocket-Version: 13"), "426 ", "`Sec-WebSocket-Version` must be 13"),
        (UPGRADE.replace("NhbXBs", ""), "400 ", "16 bytes in base64"),
        (format!("{UPGRADE}Sec-WebSocket-Protocol: soap\r\n"), "400 ", "tickgate.v1.json"),
        (format!("{UPGRADE}Origin: https://evil.example\r\n"), "403 ", "https://evil.example"),
        ("GET /nowhere HTTP/1.1\r\nHost: test\r\nConnection: close\r\n".into(), "404 ", "/nowhere"),
        ("POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n".into(), "405 ", "POST"),
    ] {
        let answer = gateway.ask(&format!("{request}\r\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let found = head.split_once(' ').expect("a status line").1;
        assert!(found.starts_with(status), "{request}{answer}");
        assert!(body.contains(words), "{request}{answer}");
    }
    let metrics = ask(&gateway.admin, "GET /metrics HTTP/1.0\r\n\r\n").await;
    for (reason, count) in [("no_upgrade", 2), ("method", 1), ("origin", 1), ("key", 1)] {
        let line = format!("tickgate_handshakes_refused_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn an_upgrade_becomes_a_session_and_what_was_read_ahead_is_not_lost() {
    let gateway = Gateway::start(GatewayConfig::default(), 2).await;
    for dialect in Dialect::ALL {
        let mut command = Vec::new();
        let ping = tickgate_protocol::command::Op::Ping;
        let ping = tickgate_protocol::command::Command { id: Some(5), op: ping };
        dialect.write_command(&mut command, &ping);
        // The first command leaves with the handshake, before any answer.
        let mut early =
            format!("{UPGRADE}Sec-WebSocket-Protocol: {}\r\n\r\n", dialect.subprotocol())
                .into_bytes();
        early.extend(frame(if dialect.is_text() { 1 } else { 2 }, &command));
        let mut stream = TcpStream::connect(&gateway.public).await.expect("connects");
        stream.write_all(&early).await.expect("sent");
        let mut client = Client { stream, read: Vec::new() };

        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert!(head.contains(dialect.subprotocol()), "{head}");
        assert!(matches!(client.reply(dialect).await, Reply::Welcome(_)));
        assert!(matches!(client.reply(dialect).await, Reply::Pong { id: Some(5), .. }));
    }
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn a_full_gateway_says_so_and_a_place_that_is_left_can_be_had() {
    let config = GatewayConfig { session_limit: 2, ..GatewayConfig::default() };
    let gateway = Gateway::start(config, 2).await;
    let first = gateway.upgrade().await;
    let _second = gateway.upgrade().await;
    let (_, head) = gateway.try_upgrade("").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("\r\nretry-after: "), "{head}");
    drop(first);
    // The worker learns of it in its own time; each attempt is answered either way.
    loop {
        let (_client, head) = gateway.try_upgrade("").await;
        if head.starts_with("HTTP/1.1 101 ") {
            break;
        }
    }
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn a_stop_tells_every_session_and_then_takes_nobody() {
    let config =
        GatewayConfig { drain_within: Duration::from_millis(50), ..GatewayConfig::default() };
    let gateway = Gateway::start(config, 2).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = gateway.upgrade().await;
        assert!(matches!(client.reply(Dialect::MessagePack).await, Reply::Welcome(_)));
        clients.push(client);
    }
    let address = gateway.public.clone();
    let told = tokio::spawn(async move {
        let mut codes = Vec::new();
        for client in &mut clients {
            codes.push(client.close_code().await);
        }
        codes
    });
    gateway.stop().await.expect("stops");
    assert_eq!(told.await.expect("no panic"), [Some(CloseReason::Draining.code()); 5]);
    assert!(TcpStream::connect(&address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn a_request_head_that_is_too_long_or_too_slow_is_cut_off() {
    let config =
        GatewayConfig { request_head_age: Duration::from_millis(50), ..GatewayConfig::default() };
    let gateway = Gateway::start(config, 1).await;
    let long = format!("{UPGRADE}X: {}\r\n\r\n", "x".repeat(9_000));
    let answer = gateway.ask(&long).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");

    // Never finished: the answer is the end of the stream, not a wait for ever.
    let mut slow = TcpStream::connect(&gateway.public).await.expect("connects");
    slow.write_all(b"GET / HT").await.expect("sent");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), slow.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "still open");
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn readiness_is_a_live_feed() {
    let gateway = Gateway::start(GatewayConfig::default(), 2).await;
    let get = async |path: &str| ask(&gateway.admin, &format!("GET {path} HTTP/1.0\r\n\r\n")).await;
    assert!(get("/healthz").await.starts_with("HTTP/1.0 200 "));
    let waiting = get("/readyz").await;
    assert!(waiting.starts_with("HTTP/1.0 503 ") && waiting.contains("feed is stale"), "{waiting}");
    gateway.hub.publisher().set_feed_status(Status::Live, Reason::None, 0);
    let ready = get("/readyz").await;
    assert!(ready.starts_with("HTTP/1.0 200 "), "{ready}");
    let metrics = get("/metrics").await;
    assert!(metrics.contains("\ntickgate_workers_up 2\n"), "{metrics}");
    assert!(metrics.contains("\ntickgate_feed_live 1\n"), "{metrics}");
    gateway.stop().await.expect("stops");
}
