//! One upgrade, to see what a target says to it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::PreflightError;
use crate::{excerpt::excerpt, wire};

/// Most bytes of an answer that are read.
const ANSWER_BYTES: usize = 16 * 1024;

/// Longest time that the body of a refusal is waited for.
const BODY_PATIENCE: Duration = Duration::from_millis(500);

/// What is asked of whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) url: &'a str,
    pub(super) address: SocketAddr,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) subprotocol: Option<&'a str>,
}

/// Upgrades once and leaves.
pub(super) fn attempt(
    mut stream: TcpStream,
    request: Request<'_>,
    patience: Duration,
) -> Result<(), PreflightError> {
    let Request { url, address, host, path, subprotocol } = request;
    let until = Instant::now() + patience;
    // A target that turns connections away may answer before it was asked, and close: what it said
    // is worth more than how the writing failed.
    let written = stream
        .set_write_timeout(Some(patience))
        .and_then(|()| stream.write_all(&wire::handshake_request(host, path, subprotocol)));
    let mut answer = Vec::new();
    let whole = |bytes: &[u8]| wire::http_head_bytes(bytes).is_some();
    let read = read_until(&mut stream, &mut answer, until, whole);
    let not_http = || PreflightError::NotHttp { address, said: excerpt(&answer) };
    if !answer.is_empty() && !b"HTTP/1.".starts_with(&answer[..answer.len().min(7)]) {
        return Err(not_http());
    }
    if let Err(source) = read.and(written)
        && !whole(&answer)
    {
        return Err(match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                PreflightError::Silent { address }
            }
            _ => PreflightError::Broken { address, source },
        });
    }
    let Some(head_bytes) = wire::http_head_bytes(&answer) else { return Err(not_http()) };
    let head = String::from_utf8_lossy(&answer[..head_bytes]).into_owned();
    let status = head.lines().next().and_then(|line| line.split_once(' ')).map(|(_, rest)| rest);
    let status = status.ok_or_else(not_http)?;
    let code = status.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(0_u16);
    if code != 101 {
        let said = first_line_of_body(&mut stream, answer, head_bytes, &head);
        let status = excerpt(status.as_bytes());
        return Err(PreflightError::UpgradeRefused {
            url: url.to_owned(),
            status,
            said,
            remedy: remedy(code),
        });
    }
    if let Some(asked) = subprotocol {
        let chosen = wire::http_header(&head, "sec-websocket-protocol");
        if chosen != Some(asked) {
            let asked = asked.to_owned();
            return Err(PreflightError::Subprotocol { url: url.to_owned(), asked });
        }
    }
    // Leaving is all that is left to do, and the target's counts should say that it went well.
    let mut close = Vec::new();
    wire::write_client_frame(&mut close, wire::CLOSE, &1000_u16.to_be_bytes());
    let _ = stream.write_all(&close);
    Ok(())
}

/// What mends a refusal.
const fn remedy(code: u16) -> &'static str {
    match code {
        300..=399 => "give the address that it redirects to",
        200..=299 | 400 | 426 => {
            "there is no WebSocket at this path; check the path of the address"
        }
        401 => "it asks for credentials, which the load does not have; allow it without",
        403 => {
            "it does not allow this client; let clients without an Origin pass, or put this address on its allow list"
        }
        404 => {
            "there is nothing at this path; check the path of the address (a Tickgate has /v1/stream)"
        }
        429 => {
            "it limits the connections of an address; on a Tickgate add this one to gateway.trusted_networks or raise gateway.address_connection_limit"
        }
        503 => {
            "it is full, draining, or takes connections more slowly; wait, raise its limits (on a Tickgate gateway.session_limit and gateway.connections_per_second), or connect more slowly"
        }
        _ => "check what serves this address",
    }
}

/// Reads until `is_enough`, an end, an error, the time, or [`ANSWER_BYTES`].
fn read_until(
    stream: &mut TcpStream,
    answer: &mut Vec<u8>,
    until: Instant,
    is_enough: impl Fn(&[u8]) -> bool,
) -> io::Result<()> {
    let mut piece = [0; 2048];
    while !is_enough(answer) && answer.len() < ANSWER_BYTES {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => answer.extend_from_slice(&piece[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The first line of a refusal's body after ` and `; nothing when there is none.
fn first_line_of_body(
    stream: &mut TcpStream,
    mut answer: Vec<u8>,
    head_bytes: usize,
    head: &str,
) -> String {
    let length = wire::http_header(head, "content-length").and_then(|text| text.parse().ok());
    let end = head_bytes.saturating_add(length.unwrap_or(ANSWER_BYTES));
    let until = Instant::now() + BODY_PATIENCE;
    // What has come by then is what it said.
    let _ = read_until(stream, &mut answer, until, |answer| {
        answer.len() >= end || answer[head_bytes..].contains(&b'\n')
    });
    let mut lines = answer[head_bytes..].split(|byte| *byte == b'\n');
    match lines.next().map(excerpt) {
        Some(line) if !line.is_empty() => format!(" and `{line}`"),
        _ => String::new(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{net::TcpListener, thread};

    use super::*;
    use crate::preflight::check_within;

    /// A server that answers the first request with `answer` and closes.
    pub(in crate::preflight) fn answering(answer: &'static str) -> SocketAddr {
        serving(move |mut stream| {
            let mut request = Vec::new();
            let until = Instant::now() + Duration::from_secs(60);
            let whole = |bytes: &[u8]| wire::http_head_bytes(bytes).is_some();
            read_until(&mut stream, &mut request, until, whole).expect("a request");
            stream.write_all(answer.as_bytes()).expect("somebody reads");
        })
    }

    fn serving(serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || serve(listener.accept().expect("a connection").0));
        address
    }

    fn refused(address: SocketAddr, patience: Duration) -> PreflightError {
        let url = format!("ws://{address}/v1/stream");
        check_within(&url, Some("tickgate.v1.json"), 1, patience).expect_err("refused")
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_request_names_path_host_and_subprotocol() {
        let (said, heard) = std::sync::mpsc::channel();
        let address = serving(move |mut stream| {
            let mut request = Vec::new();
            let whole = |bytes: &[u8]| wire::http_head_bytes(bytes).is_some();
            read_until(&mut stream, &mut request, Instant::now() + LONG, whole).expect("one");
            let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                          sec-websocket-protocol: tickgate.v1.json\r\n\r\n";
            stream.write_all(answer.as_bytes()).expect("somebody reads");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).expect("an end");
            said.send((request, rest)).expect("somebody waits");
        });
        let url = format!("ws://{address}/v1/stream?a=b");
        check_within(&url, Some("tickgate.v1.json"), 1, LONG).expect("accepted");
        let (request, rest) = heard.recv().expect("the server's thread says");
        let request = String::from_utf8(request).expect("text");
        assert!(request.starts_with("GET /v1/stream?a=b HTTP/1.1\r\n"), "{request}");
        assert_eq!(wire::http_header(&request, "host"), Some(&*address.to_string()));
        let protocol = wire::http_header(&request, "sec-websocket-protocol");
        assert_eq!(protocol, Some("tickgate.v1.json"));
        assert_eq!(rest[0], 0x80 | wire::CLOSE, "it says good-bye");
    }

    #[test]
    fn refusals_are_told_with_their_words_and_what_mends_them() {
        for (answer, parts) in [
            (
                "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found",
                ["`404 Not Found`", "`not found`", "/v1/stream"],
            ),
            (
                "HTTP/1.1 403 Forbidden\r\n\r\norigin `x` is not allowed here\nmore",
                ["`403 Forbidden`", "not allowed here`", "Origin"],
            ),
            (
                "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
                ["`429 Too", "gateway.trusted_networks", "gateway.address_connection_limit"],
            ),
            (
                "HTTP/1.0 503 Service Unavailable\r\n\r\nthe gateway is full: try again later\n",
                ["`503 Service Unavailable`", "is full", "gateway.session_limit"],
            ),
            ("HTTP/1.1 426 Upgrade Required\r\n\r\n", ["`426 ", "no WebSocket", "path"]),
            ("HTTP/1.1 400 Bad Request\r\n\r\n", ["`400 ", "no WebSocket", "path"]),
            ("HTTP/1.1 200 OK\r\n\r\n<html>\r\n", ["`200 OK`", "`<html>`", "no WebSocket"]),
            ("HTTP/1.1 301 Moved\r\n\r\n", ["`301 Moved`", "redirects", "address"]),
            ("HTTP/1.1 nonsense\r\n\r\n", ["`nonsense`", "check", "serves"]),
        ] {
            let error = refused(answering(answer), LONG);
            assert!(matches!(error, PreflightError::UpgradeRefused { .. }), "{error:?}");
            let error = error.to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn an_acceptance_without_the_subprotocol_is_another_servers() {
        for answer in [
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
        ] {
            let error = refused(answering(answer), LONG);
            assert!(matches!(error, PreflightError::Subprotocol { .. }), "{error:?}");
            assert!(error.to_string().contains("tickgate.v1.json"), "{error}");
        }
    }

    #[test]
    fn what_speaks_no_http_is_quoted() {
        let error = refused(answering("INFO {\"server_id\":\"N\"}\r\n"), LONG);
        assert!(matches!(error, PreflightError::NotHttp { .. }), "{error:?}");
        assert!(error.to_string().contains("INFO {"), "{error}");
        let endless = serving(|mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {});
        assert!(matches!(refused(endless, LONG), PreflightError::NotHttp { .. }));
        let endless = serving(|mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 ");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        });
        assert!(matches!(refused(endless, LONG), PreflightError::NotHttp { .. }));
    }

    #[test]
    fn who_closes_or_says_nothing_is_told_apart() {
        let error = refused(answering(""), LONG);
        assert!(matches!(error, PreflightError::Broken { .. }), "{error:?}");
        let error = refused(answering("HTTP/1.1 101 Swi"), LONG);
        assert!(matches!(error, PreflightError::Broken { .. }), "{error:?}");
        let (_held, holds) = std::sync::mpsc::channel::<()>();
        let silent = serving(move |_stream| {
            let _ = holds.recv();
        });
        let error = refused(silent, Duration::from_millis(50));
        assert!(matches!(error, PreflightError::Silent { .. }), "{error:?}");
    }
}
