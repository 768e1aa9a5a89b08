//! Which address a client connects from.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
};

use super::PreflightError;

/// Where clients connect from.
///
/// One source address has as many connections to one target as there are local ports. A target on
/// an IPv4 loopback address may be reached from all of 127.0.0.0/8, so its clients are spread over
/// several addresses of it when there are many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources {
    /// Addresses from 127.0.0.1 on that clients take in turn; 1: the kernel chooses.
    count: u32,
}

impl Sources {
    /// For `clients` clients of one process that are connected at a time. `ports` is the kernel's
    /// range of local ports; `None` where it does not say.
    ///
    /// # Errors
    /// [`PreflightError::Ports`] when a target that is not on an IPv4 loopback address would need
    /// more than one source address.
    pub fn plan(
        target: SocketAddr,
        clients: u32,
        ports: Option<RangeInclusive<u16>>,
    ) -> Result<Self, PreflightError> {
        let Some(ports) = ports else { return Ok(Self { count: 1 }) };
        let ports = u32::try_from(ports.count()).unwrap_or(0);
        match target.ip() {
            // A quarter of the ports stays free: one that this side closed is taken for a minute,
            // and other programs have some.
            IpAddr::V4(address) if address.is_loopback() => {
                let usable = (ports - ports / 4).max(1);
                Ok(Self { count: clients.div_ceil(usable).max(1) })
            }
            _ if clients > ports => Err(PreflightError::Ports { clients, address: target, ports }),
            _ => Ok(Self { count: 1 }),
        }
    }

    /// The address that client number `client` binds before it connects; `None`: the kernel
    /// chooses.
    #[must_use]
    pub fn of(&self, client: u32) -> Option<IpAddr> {
        if self.count == 1 {
            return None;
        }
        let first = Ipv4Addr::LOCALHOST.to_bits();
        Some(Ipv4Addr::from_bits(first + client % self.count).into())
    }

    /// How many addresses there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }
}

/// The kernel's range of local ports, where it says.
pub(super) fn local_ports() -> Option<RangeInclusive<u16>> {
    parse(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

fn parse(range: &str) -> Option<RangeInclusive<u16>> {
    let mut bounds = range.split_whitespace().map(str::parse);
    Some(bounds.next()?.ok()?..=bounds.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const PORTS: Option<RangeInclusive<u16>> = Some(32_768..=60_999);

    fn plan(target: &str, clients: u32) -> Result<Sources, PreflightError> {
        Sources::plan(target.parse().expect("an address"), clients, PORTS)
    }

    #[test]
    fn few_clients_leave_the_choice_to_the_kernel() {
        for target in ["127.0.0.1:80", "192.0.2.1:80", "[::1]:80"] {
            let sources = plan(target, 21_174).expect("enough ports");
            assert_eq!((sources.count(), sources.of(0), sources.of(21_173)), (1, None, None));
        }
        let sources = Sources::plan("192.0.2.1:80".parse().expect("an address"), u32::MAX, None);
        assert_eq!(sources.expect("nothing is known").count(), 1);
    }

    #[test]
    fn many_clients_of_a_loopback_target_come_from_several_addresses_evenly() {
        let sources = plan("127.0.0.9:80", 100_000).expect("there are enough addresses");
        let mut clients = HashMap::<IpAddr, u32>::new();
        for client in 0..100_000 {
            *clients.entry(sources.of(client).expect("one is named")).or_default() += 1;
        }
        assert_eq!(clients.len(), 5);
        assert!(clients.contains_key(&IpAddr::from([127, 0, 0, 1])));
        assert!(clients.contains_key(&IpAddr::from([127, 0, 0, 5])));
        assert!(clients.values().all(|count| *count == 20_000), "{clients:?}");
        let most = plan("127.0.0.1:80", u32::MAX).expect("a million addresses would do");
        assert!(
            (0..most.count()).step_by(999).all(|n| most.of(n).is_some_and(|a| a.is_loopback()))
        );
    }

    #[test]
    fn a_target_elsewhere_has_one_source_addresss_ports_and_no_more() {
        for target in ["192.0.2.1:80", "[::1]:80"] {
            assert_eq!(plan(target, 28_232).expect("just enough").count(), 1);
            let error = plan(target, 28_233).expect_err("one too many").to_string();
            for part in ["28233 clients", target, "28232", "ip_local_port_range"] {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }

    #[test]
    fn addresses_of_a_plan_can_be_bound_and_reach_the_target() {
        use socket2::{Domain, Socket, Type};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let target = listener.local_addr().expect("bound");
        let sources = plan(&target.to_string(), 60_000).expect("three addresses");
        for client in 0..sources.count() {
            let source = sources.of(client).expect("one is named");
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.bind(&SocketAddr::from((source, 0)).into()).expect("it can be bound");
            socket.connect(&target.into()).expect("the target is there");
            assert_eq!(listener.accept().expect("a connection").1.ip(), source);
        }
    }

    #[test]
    fn the_range_is_read_as_the_kernel_writes_it() {
        assert_eq!(parse("32768\t60999\n"), PORTS);
        for text in ["", "1", "a b", "-1 5", "1 70000"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
