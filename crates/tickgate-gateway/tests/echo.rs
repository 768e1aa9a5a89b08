//! The echo route against a client library and against raw frames: the rules of RFC 6455 that
//! conformance suites ask about.

mod common;

use std::time::Duration;

use common::{Client, Gateway, UPGRADE};
use futures_util::{SinkExt, StreamExt};
use tickgate_gateway::GatewayConfig;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tungstenite::{
    Bytes, Message, Utf8Bytes,
    protocol::{
        CloseFrame, WebSocketConfig,
        frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

/// How long anything here may take before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

async fn gateway() -> Gateway {
    Gateway::start(GatewayConfig { echo_route: true, ..GatewayConfig::default() }, 1).await
}

async fn library(gateway: &Gateway) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(&gateway.public).await.expect("connects");
    let url = format!("ws://{}/echo", gateway.public);
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    client_async_with_config(url, stream, Some(config)).await.expect("a handshake").0
}

async fn echoed(socket: &mut WebSocketStream<TcpStream>) -> Message {
    let next = tokio::time::timeout(PATIENCE, socket.next()).await.expect("an answer in time");
    next.expect("a message").expect("no error")
}

/// A connection for raw frames.
async fn raw(gateway: &Gateway) -> Client {
    let mut stream = TcpStream::connect(&gateway.public).await.expect("connects");
    let request = UPGRADE.replace("/v1/stream", "/echo");
    stream.write_all(format!("{request}\r\n").as_bytes()).await.expect("sent");
    let mut client = Client { stream, read: Vec::new() };
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

/// A frame with these first two bytes and a mask that changes every byte.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[tokio::test]
async fn there_is_no_echo_unless_it_is_asked_for() {
    let gateway = Gateway::start(GatewayConfig::default(), 1).await;
    let answer = gateway.ask(&format!("{}\r\n", UPGRADE.replace("/v1/stream", "/echo"))).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn messages_of_every_size_come_back_as_they_are() {
    let gateway = gateway().await;
    let mut socket = library(&gateway).await;
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 16 << 20] {
        let binary: Bytes = (0..length).map(|at| at as u8).collect::<Vec<_>>().into();
        let text: Utf8Bytes = "\u{fe}".chars().cycle().take(length / 2).collect::<String>().into();
        for message in [Message::Binary(binary), Message::Text(text)] {
            socket.send(message.clone()).await.expect("sent");
            assert!(echoed(&mut socket).await == message, "{length} bytes");
        }
    }
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn one_byte_more_than_16_mib_closes_with_1009() {
    let gateway = gateway().await;
    let mut socket = library(&gateway).await;
    let (mut write, mut read) = (&mut socket).split();
    let long = Message::binary(vec![0; (16 << 20) + 1]);
    // It need not take all of it.
    let send = async {
        let _ = write.send(long).await;
    };
    let (_, answer) = tokio::join!(send, read.next());
    match answer.expect("a close frame").expect("no reset before it") {
        Message::Close(Some(frame)) => assert_eq!(frame.code, CloseCode::Size),
        other => panic!("{} bytes", other.len()),
    }
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn pieces_are_put_together_and_pings_between_them_answered_at_once() {
    let gateway = gateway().await;
    let mut socket = library(&gateway).await;
    let piece = |opcode, last, payload: &[u8]| {
        Message::Frame(Frame::message(payload.to_vec(), OpCode::Data(opcode), last))
    };
    socket.send(piece(Data::Text, false, b"one ")).await.expect("sent");
    socket.send(Message::Ping("between".into())).await.expect("sent");
    assert_eq!(echoed(&mut socket).await, Message::Pong("between".into()));
    socket.send(piece(Data::Continue, false, b"")).await.expect("sent");
    // A character over two pieces.
    socket.send(piece(Data::Continue, false, b"\xc3")).await.expect("sent");
    socket.send(piece(Data::Continue, true, b"\xa9")).await.expect("sent");
    assert_eq!(echoed(&mut socket).await, Message::text("one \u{e9}"));

    // There is no limit to their number.
    socket.feed(piece(Data::Binary, false, b"")).await.expect("sent");
    for _ in 0..10_000 {
        socket.feed(piece(Data::Continue, false, b"x")).await.expect("sent");
    }
    socket.send(piece(Data::Continue, true, b"")).await.expect("sent");
    assert_eq!(echoed(&mut socket).await, Message::binary(vec![b'x'; 10_000]));
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    let gateway = gateway().await;
    for code in [1000, 1001, 1011, 3000, 4999] {
        let mut socket = library(&gateway).await;
        let close = CloseFrame { code: CloseCode::from(code), reason: "bye".into() };
        socket.close(Some(close)).await.expect("sent");
        match echoed(&mut socket).await {
            Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), code),
            other => panic!("{code}: {other:?}"),
        }
    }
    let mut client = raw(&gateway).await;
    client.stream.write_all(&masked(0x88, &[])).await.expect("sent");
    let (opcode, payload) = client.message().await.expect("an answer");
    assert_eq!((opcode, payload.len()), (8, 0), "a close without a code");
    assert_eq!(client.message().await, None, "the gateway closes");
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn what_breaks_the_protocol_closes_with_the_code_of_the_rule() {
    let gateway = gateway().await;
    let (protocol, invalid) = (1002, 1007);
    let pieces = |frames: &[(u8, &[u8])]| {
        frames.iter().flat_map(|(first, payload)| masked(*first, payload)).collect::<Vec<u8>>()
    };
    let unmasked = vec![0x81, 0x01, b'x'];
    let announced = [&[0x82, 0xff][..], &(1_u64 << 63).to_be_bytes(), &[0; 4]].concat();
    for (what, bytes, code) in [
        ("first reserved bit", masked(0xc1, b"x"), protocol),
        ("second reserved bit", masked(0xa1, b"x"), protocol),
        ("third reserved bit", masked(0x91, b"x"), protocol),
        ("reserved data opcode", masked(0x83, b"x"), protocol),
        ("reserved control opcode", masked(0x8b, b"x"), protocol),
        ("continuation of nothing", masked(0x80, b"x"), protocol),
        ("a new message in the middle of one", pieces(&[(0x01, b"a"), (0x81, b"b")]), protocol),
        ("a ping in pieces", masked(0x09, b"x"), protocol),
        ("a ping of 126 bytes", masked(0x89, &[0; 126]), protocol),
        ("no mask", unmasked, protocol),
        ("a close of one byte", masked(0x88, &[3]), protocol),
        ("a close with a reserved code", masked(0x88, &1005_u16.to_be_bytes()), protocol),
        ("a close with a code of nobody", masked(0x88, &999_u16.to_be_bytes()), protocol),
        ("a close with bad text", masked(0x88, b"\x03\xe8\xff"), invalid),
        ("bad text", masked(0x81, b"\xff"), invalid),
        ("a surrogate", masked(0x81, b"\xed\xa0\x80"), invalid),
        ("overlong", masked(0x81, b"\xc0\xaf"), invalid),
        ("text cut in a character", masked(0x81, b"caf\xc3"), invalid),
        ("bad over two pieces", pieces(&[(0x01, b"\xc3"), (0x80, b"x")]), invalid),
        ("a length of 2^63", announced, 1009),
    ] {
        let mut client = raw(&gateway).await;
        client.stream.write_all(&bytes).await.expect("sent");
        let closed = tokio::time::timeout(PATIENCE, client.close_code()).await;
        assert_eq!(closed.expect("an answer in time"), Some(code), "{what}");
    }
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn the_64th_connection_is_served_and_the_65th_refused() {
    let gateway = gateway().await;
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(raw(&gateway).await);
    }
    let request = format!("{}\r\n", UPGRADE.replace("/v1/stream", "/echo"));
    let answer = gateway.ask(&request).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    clients.pop();
    // The gateway learns of it in its own time; each attempt is answered either way.
    loop {
        let mut stream = TcpStream::connect(&gateway.public).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut client = Client { stream, read: Vec::new() };
        if client.head().await.starts_with("HTTP/1.1 101 ") {
            break;
        }
    }
    gateway.stop().await.expect("stops");
}
