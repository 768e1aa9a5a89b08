//! The bytes of a connection before it is a session: the HTTP server of the gateway, at its
//! limits, over a pipe in memory, with the gateway's own check of an upgrade.
//!
//! Whatever comes, the answer is one of those that are documented, and a key is answered only by
//! 101.

#![no_main]

use std::{convert::Infallible, sync::LazyLock};

use http::StatusCode;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use tickgate_gateway::{GatewayConfig, handshake};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::{Builder, Runtime},
};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime without drivers"));

/// What the pipe holds: more than any answer to an input of libFuzzer's size.
const PIPE_BYTES: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let answer = RUNTIME.block_on(answer(bytes));
    // hyper refuses what is no HTTP by itself, with these; no answer is one, too.
    let mut rest = &answer[..];
    while let Some(status) = status(rest) {
        let known = [101, 400, 403, 405, 408, 414, 426, 431, 503, 505];
        assert!(known.contains(&status), "{status} to {:?}", String::from_utf8_lossy(bytes));
        let accepts = head(rest).contains("sec-websocket-accept:");
        assert_eq!(accepts, status == 101, "{}", head(rest));
        rest = &rest[1..];
        rest = rest.windows(9).position(|w| w == b"HTTP/1.1 ").map_or(&[], |at| &rest[at..]);
    }
});

/// Everything the server says to `bytes`, and then to the end of the stream.
async fn answer(bytes: &[u8]) -> Vec<u8> {
    let config = GatewayConfig::default();
    let (mut client, server) = tokio::io::duplex(PIPE_BYTES);
    let service = service_fn(|request: http::Request<Incoming>| async move {
        let checked = handshake::check(&request, &["https://dashboard.example".to_owned()]);
        let answer = match checked {
            Ok(accepted) => accepted.response(),
            Err(refusal) => {
                let answer = refusal.response(1);
                assert_ne!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
                answer
            }
        };
        Ok::<_, Infallible>(answer)
    });
    let connection = http1::Builder::new()
        .max_header_size(config.request_head_limit_bytes)
        .max_buf_size(config.request_head_limit_bytes.max(8 * 1024))
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(server), service)
        .with_upgrades();
    let talk = async {
        // A server that has closed takes no more; what it said is still read.
        let _ = client.write_all(bytes).await;
        let _ = client.shutdown().await;
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
        answer
    };
    let (_, answer) = tokio::join!(connection, talk);
    answer
}

/// The status of the answer that `bytes` begin with.
fn status(bytes: &[u8]) -> Option<u16> {
    let text = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The head of that answer, in lower case.
fn head(bytes: &[u8]) -> String {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).to_lowercase()
}
