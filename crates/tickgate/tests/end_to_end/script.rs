//! A server that says what it is told to, right or wrong: what a client makes of a gateway that
//! breaks its promises cannot be seen with one that keeps them.

use std::{
    net::{SocketAddr, TcpListener},
    thread::{self, JoinHandle},
};

use tungstenite::{
    Message,
    handshake::server::{Request, Response},
};

/// A server for one connection, in JSON.
pub(crate) struct Script {
    address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Script {
    /// Waits for one client, and after its first command sends `messages`; then reads until the
    /// client leaves.
    pub(crate) fn serve(messages: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client connects");
            let mut socket = tungstenite::accept_hdr(stream, choose).expect("a handshake");
            socket.read().expect("a command");
            for message in messages {
                // A client that has seen enough may be gone by now.
                if socket.send(Message::text(message)).is_err() {
                    return;
                }
            }
            while socket.read().is_ok() {}
        });
        Self { address, thread }
    }

    /// Where the client is to connect.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/v1/stream", self.address)
    }

    /// Waits until the client has left.
    pub(crate) fn finish(self) {
        self.thread.join().expect("the script ran to its end");
    }
}

#[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
fn choose(
    _: &Request,
    mut response: Response,
) -> Result<Response, tungstenite::handshake::server::ErrorResponse> {
    let chosen = tungstenite::http::HeaderValue::from_static("tickgate.v1.json");
    response.headers_mut().insert("Sec-WebSocket-Protocol", chosen);
    Ok(response)
}
