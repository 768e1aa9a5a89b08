//! What can be known before a run: whether the target is there and takes a WebSocket, and whether
//! this machine can have as many clients.
//!
//! A run that cannot be is told so in one line that names what is missing and what mends it.

mod sources;
mod upgrade;

use std::{
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

use http::Uri;

pub use self::sources::Sources;
use self::upgrade::Request;

/// Descriptors that a process needs besides one for each client.
const OTHER_DESCRIPTORS: u64 = 64;

/// Longest time until a connection is there, and again until an upgrade is answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a run cannot be, and what mends it.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The address cannot be read.
    #[error("`{url}` is no WebSocket address: it must be like ws://127.0.0.1:7400/v1/stream")]
    Url {
        /// As it was given.
        url: String,
    },
    /// Nobody knows the name.
    #[error("the name `{name}` cannot be resolved ({source}): check the host of the address")]
    Unresolved {
        /// Host and port.
        name: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Nobody listens there.
    #[error(
        "nothing listens on {address}: start the server there, or check host and port of the address"
    )]
    Refused {
        /// Where.
        address: SocketAddr,
    },
    /// No connection within five seconds.
    #[error(
        "{address} does not answer: check host and port of the address, and firewalls on the way"
    )]
    TimedOut {
        /// Where.
        address: SocketAddr,
    },
    /// No connection for another reason.
    #[error("{address} cannot be reached ({source}): check the address and the way to it")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Fewer descriptors than clients need.
    #[error(
        "{clients} clients need {needed} descriptors and this process may open {limit}: raise the limit (`ulimit -n {needed}` as root, `LimitNOFILE={needed}` of a systemd unit, `--ulimit nofile={needed}` of a container), or run fewer clients"
    )]
    Descriptors {
        /// Clients wanted.
        clients: u32,
        /// Descriptors they need.
        needed: u64,
        /// Descriptors there are.
        limit: u64,
    },
    /// Fewer local ports than clients need.
    #[error(
        "{clients} clients need as many local ports towards {address} and there are {ports}: widen the range (`sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"` has 64512), or run the load on several machines"
    )]
    Ports {
        /// Clients wanted.
        clients: u32,
        /// Where to.
        address: SocketAddr,
        /// Ports of one source address.
        ports: u32,
    },
    /// Connected, then no answer within five seconds.
    #[error(
        "{address} takes connections but does not answer an upgrade: check that it speaks HTTP there, and that it is not stuck"
    )]
    Silent {
        /// Where.
        address: SocketAddr,
    },
    /// Connected, then the connection ended.
    #[error(
        "{address} ended the connection instead of answering an upgrade ({source}): check that it speaks HTTP there, without TLS"
    )]
    Broken {
        /// Where.
        address: SocketAddr,
        /// How.
        source: io::Error,
    },
    /// What answers does not speak HTTP.
    #[error(
        "what answers on {address} is no HTTP server, it says `{said}`: give the address of its WebSocket"
    )]
    NotHttp {
        /// Where.
        address: SocketAddr,
        /// The beginning of the answer.
        said: String,
    },
    /// The upgrade was refused.
    #[error("the upgrade of {url} was refused with `{status}`{said}: {remedy}")]
    UpgradeRefused {
        /// Where to.
        url: String,
        /// Status and reason.
        status: String,
        /// The first line of the body, with a separator; nothing when there is none.
        said: String,
        /// What mends it.
        remedy: &'static str,
    },
    /// Accepted, but not in the language that was asked for.
    #[error(
        "{url} is a WebSocket that does not speak {asked}: check its path, or say what it speaks with --speaks"
    )]
    Subprotocol {
        /// Where to.
        url: String,
        /// The subprotocol that was offered.
        asked: String,
    },
}

/// A target that can be loaded, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where to connect to.
    pub address: SocketAddr,
    /// For the `Host` header.
    pub host: String,
    /// Path and query of the upgrade.
    pub path: String,
    /// Where to connect from.
    pub sources: Sources,
}

/// Finds out whether `clients` clients can connect to `url` (`ws://` only) and be upgraded, with
/// `subprotocol` if there is one.
///
/// Makes one connection and leaves again; waits five seconds at most for each address of the name,
/// and for the answer. Raises this process's soft limit on descriptors to the hard one.
///
/// # Errors
/// [`PreflightError`] names the first obstacle.
pub fn check(url: &str, subprotocol: Option<&str>, clients: u32) -> Result<Target, PreflightError> {
    check_within(url, subprotocol, clients, PATIENCE)
}

fn check_within(
    url: &str,
    subprotocol: Option<&str>,
    clients: u32,
    patience: Duration,
) -> Result<Target, PreflightError> {
    let (host, port, path) =
        parse(url).ok_or_else(|| PreflightError::Url { url: url.to_owned() })?;
    check_descriptors(clients, raise_descriptors())?;
    let stream = connect(host.trim_matches(['[', ']']), port.unwrap_or(80), patience)?;
    let address = stream
        .peer_addr()
        .map_err(|source| PreflightError::Unresolved { name: host.clone(), source })?;
    let sources = Sources::plan(address, clients, sources::local_ports())?;
    let host = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
    let request = Request { url, address, host: &host, path: &path, subprotocol };
    upgrade::attempt(stream, request, patience)?;
    Ok(Target { address, host, path, sources })
}

/// Host (of IPv6 in brackets), port and path of an address.
fn parse(url: &str) -> Option<(String, Option<u16>, String)> {
    let uri: Uri = url.parse().ok()?;
    if uri.scheme_str() != Some("ws") {
        return None;
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.host().filter(|host| !host.is_empty())?;
    Some((host.to_owned(), uri.port_u16(), path.to_owned()))
}

/// The first connection that any address of the host gives; otherwise why the last gives none.
fn connect(host: &str, port: u16, patience: Duration) -> Result<TcpStream, PreflightError> {
    let unresolved = |source| PreflightError::Unresolved { name: format!("{host}:{port}"), source };
    let addresses = (host, port).to_socket_addrs().map_err(unresolved)?;
    let mut failure = unresolved(io::ErrorKind::NotFound.into());
    for address in addresses {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(source) => {
                failure = match source.kind() {
                    io::ErrorKind::ConnectionRefused => PreflightError::Refused { address },
                    io::ErrorKind::TimedOut => PreflightError::TimedOut { address },
                    _ => PreflightError::Unreachable { address, source },
                }
            }
        }
    }
    Err(failure)
}

/// Descriptors this process may open, once the soft limit is where the hard one is.
fn raise_descriptors() -> u64 {
    // Where it cannot be raised, what there is has to do.
    rlimit::increase_nofile_limit(u64::MAX)
        .or_else(|_| rlimit::Resource::NOFILE.get_soft())
        .unwrap_or(u64::MAX)
}

fn check_descriptors(clients: u32, limit: u64) -> Result<(), PreflightError> {
    let needed = u64::from(clients) + OTHER_DESCRIPTORS;
    if limit < needed {
        return Err(PreflightError::Descriptors { clients, needed, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::upgrade::tests::answering;

    #[test]
    fn a_target_that_takes_upgrades_is_told_with_all_that_connecting_needs() {
        let address = answering("HTTP/1.1 101 Switching Protocols\r\n\r\n");
        let url = format!("ws://{address}/v1/stream?x=1");
        let target = check(&url, None, 10).expect("it takes upgrades");
        assert_eq!((target.address, &*target.path), (address, "/v1/stream?x=1"));
        assert_eq!(target.host, address.to_string());
        assert_eq!(target.sources.of(9), None);
    }

    #[test]
    fn addresses_are_read_as_browsers_read_them() {
        let parsed = |host: &str, port, path: &str| Some((host.to_owned(), port, path.to_owned()));
        assert_eq!(parse("ws://a.example"), parsed("a.example", None, "/"));
        assert_eq!(parse("ws://a.example:81/x?y=z"), parsed("a.example", Some(81), "/x?y=z"));
        assert_eq!(parse("ws://[::1]:81/x"), parsed("[::1]", Some(81), "/x"));
        for url in [
            "",
            "ws://",
            "ws:///x",
            "/x",
            "a.example",
            "wss://a.example",
            "http://a/x",
            "ws://a b/",
        ] {
            assert_eq!(parse(url), None, "{url}");
            let error = check(url, None, 1).expect_err("no address").to_string();
            assert!(error.starts_with(&format!("`{url}` is no WebSocket address")), "{error}");
        }
    }

    #[test]
    fn names_that_nobody_knows_and_ports_without_a_listener_are_named() {
        // A label of more than 63 bytes is refused without asking anybody.
        let name = format!("{}.invalid", "x".repeat(70));
        let error = check(&format!("ws://{name}:81/"), None, 1).expect_err("no such name");
        assert!(matches!(error, PreflightError::Unresolved { .. }), "{error}");
        assert!(error.to_string().contains(&name), "{error}");

        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let error = check(&format!("ws://{address}/"), None, 1).expect_err("nothing listens");
        assert!(matches!(error, PreflightError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{address}: start the server")), "{error}");
    }

    #[test]
    fn descriptors_are_counted_with_those_that_are_no_clients() {
        assert!(check_descriptors(1_000, 1_064).is_ok());
        let error = check_descriptors(1_000, 1_063).expect_err("one too few").to_string();
        for part in ["1000 clients", "1064 descriptors", "1063", "ulimit -n 1064", "LimitNOFILE"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(raise_descriptors() > 0);
        let (soft, hard) = rlimit::Resource::NOFILE.get().expect("there is such a limit");
        assert_eq!(soft, hard, "the soft limit was raised to the hard one");
    }
}
