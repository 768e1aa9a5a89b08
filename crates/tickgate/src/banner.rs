//! What the program says on stdout: where everything is, and one line that shows live data.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use crate::cli::TAIL_URL;

/// Where the listeners really are, port 0 resolved.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// Says that everything runs. `symbols` are some that the feed has, for the line to paste.
pub(crate) fn started(addresses: &Addresses, feed: &str, symbols: &str) {
    let (public, admin) = (reachable(addresses.public), reachable(addresses.admin));
    let program = std::env::args_os().next().unwrap_or_else(|| "tickgate".into());
    let url = format!("ws://{public}/v1/stream");
    let option = if url == TAIL_URL { String::new() } else { format!(" --url {url}") };
    print(&format!(
        "Tickgate {version}: {feed}\n\
         \x20 stream  {url}\n\
         \x20 page    http://{public}/\n\
         \x20 admin   http://{admin}/metrics\n\
         \x20 try     {program} tail{option} {symbols}\n",
        version = env!("CARGO_PKG_VERSION"),
        program = program.display(),
    ));
}

/// Says that a configuration is valid.
pub(crate) fn checked(file: Option<&Path>) {
    match file {
        Some(file) => print(&format!("{}: valid\n", file.display())),
        None => print("configuration: valid\n"),
    }
}

/// An address one can connect to: "any" becomes loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A closed stdout is no reason to stop a gateway.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_any_interface_is_shown_as_one_to_connect_to() {
        let shown = |text: &str| reachable(text.parse().expect("address")).to_string();
        assert_eq!(shown("0.0.0.0:7400"), "127.0.0.1:7400");
        assert_eq!(shown("[::]:7400"), "[::1]:7400");
        assert_eq!(shown("192.0.2.1:7400"), "192.0.2.1:7400");
    }
}
