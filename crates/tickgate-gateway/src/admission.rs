//! Who may connect: so many connections a second, and so many of one address at a time.
//!
//! | counts | capacity | when full | counter |
//! |---|---|---|---|
//! | new connections | `connections_per_second`, `connection_burst` at once | answered 503, closed | `connections_turned_away_total{reason="rate"}` |
//! | open connections of an address | `address_connection_limit`; one entry per address that has any | answered 429, closed | `connections_turned_away_total{reason="address"}` |

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::StatusCode;

use crate::{config::GatewayConfig, network::Network};

/// Why a connection is not served: one closed list for the answer and the metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TurnedAway {
    /// More new connections than the rate allows.
    #[error("too many new connections: try again later")]
    Rate,
    /// The address has as many as it may.
    #[error("too many connections from your address")]
    Address,
    /// No descriptor is left to serve it with.
    #[error("the gateway is out of descriptors: try again later")]
    Descriptors,
}

impl TurnedAway {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 3] = [Self::Rate, Self::Address, Self::Descriptors];

    /// The metric labels, by position in this enum.
    pub(crate) const LABELS: [&'static str; 3] = ["rate", "address", "descriptors"];

    pub(crate) const fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }

    /// The HTTP status it is answered with.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Rate | Self::Descriptors => StatusCode::SERVICE_UNAVAILABLE,
            Self::Address => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

/// Decides on each new connection.
#[derive(Debug)]
pub(crate) struct Admission {
    rate: Rate,
    addresses: Arc<Addresses>,
    /// 0 is no limit.
    address_limit: usize,
    trusted: Vec<Network>,
}

impl Admission {
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        Self {
            rate: Rate::new(config.connections_per_second, config.connection_burst),
            addresses: Arc::default(),
            address_limit: config.address_connection_limit,
            trusted: config.trusted_networks.clone(),
        }
    }

    /// Lets a connection in, or says why not. Its place among those of its address is its own
    /// until the seat is dropped.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        peer: IpAddr,
    ) -> Result<Option<AddressSeat>, TurnedAway> {
        // The address first: who has too many should not use up the others' rate.
        let limited = self.address_limit > 0 && !self.trusted.iter().any(|n| n.contains(peer));
        let seat = if limited {
            Some(Addresses::take(&self.addresses, key_of(peer), self.address_limit)?)
        } else {
            None
        };
        if self.rate.take(now) { Ok(seat) } else { Err(TurnedAway::Rate) }
    }
}

/// A rate by the generic cell rate algorithm (ITU-T I.371): one number, no refill.
#[derive(Debug)]
struct Rate {
    cost: Duration,
    tolerance: Duration,
    /// When the allowance would be whole again.
    whole_at: Option<Instant>,
}

impl Rate {
    fn new(per_second: u32, burst: u32) -> Self {
        let cost = Duration::from_secs(1) / per_second.max(1);
        Self { cost, tolerance: cost * burst, whole_at: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        let whole_at = self.whole_at.map_or(now, |at| at.max(now)) + self.cost;
        let allowed = whole_at - now <= self.tolerance;
        if allowed {
            self.whole_at = Some(whole_at);
        }
        allowed
    }
}

/// Open connections by address; an address without any has no entry.
#[derive(Debug, Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

impl Addresses {
    fn take(this: &Arc<Self>, key: IpAddr, limit: usize) -> Result<AddressSeat, TurnedAway> {
        let mut open = this.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(key).or_default();
        if *count >= limit {
            return Err(TurnedAway::Address);
        }
        *count += 1;
        Ok(AddressSeat(Arc::clone(this), key))
    }
}

/// A connection's place among those of its address; given back when dropped.
#[derive(Debug)]
pub(crate) struct AddressSeat(Arc<Addresses>, IpAddr);

impl Drop for AddressSeat {
    fn drop(&mut self) {
        let Self(addresses, key) = self;
        let mut open = addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                open.remove(key);
            }
        }
    }
}

/// What counts as one address: of IPv6 the first 64 bits, since whoever has one address there has
/// all 2^64 below them.
fn key_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(per_second: u32, burst: u32, address_limit: usize) -> Admission {
        Admission::new(&GatewayConfig {
            connections_per_second: per_second,
            connection_burst: burst,
            address_connection_limit: address_limit,
            ..GatewayConfig::default()
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut admission = admission(100, 5, 0);
        let start = Instant::now();
        let peer = address("192.0.2.1");
        let mut allowed =
            |after_ms| admission.admit(start + Duration::from_millis(after_ms), peer).map(drop);
        for _ in 0..5 {
            assert_eq!(allowed(0), Ok(()));
        }
        assert_eq!(allowed(0), Err(TurnedAway::Rate));
        assert_eq!(allowed(9), Err(TurnedAway::Rate), "one below");
        assert_eq!(allowed(10), Ok(()), "one hundredth of a second later");
        assert_eq!(allowed(10), Err(TurnedAway::Rate), "one above");
        for _ in 0..5 {
            assert_eq!(allowed(5_000), Ok(()), "the burst is whole again, and no larger");
        }
        assert_eq!(allowed(5_000), Err(TurnedAway::Rate));
    }

    #[test]
    fn the_defaults_let_ten_thousand_come_back_within_five_seconds() {
        let mut admission = Admission::new(&GatewayConfig::default());
        let start = Instant::now();
        // Evenly, and then as many again at once.
        for n in 0..15_000_u64 {
            let now = start + Duration::from_micros(n.min(10_000) * 500);
            let peer = IpAddr::from([10, 0, (n / 1_000) as u8, 1]);
            assert!(admission.admit(now, peer).is_ok(), "{n}");
        }
    }

    #[test]
    fn an_address_has_its_limit_and_gets_a_place_back() {
        let mut admission = admission(1_000, 1_000, 2);
        let now = Instant::now();
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let first = admission.admit(now, one).expect("one below");
        let _second = admission.admit(now, one).expect("at the limit");
        assert_eq!(admission.admit(now, one).err(), Some(TurnedAway::Address), "one above");
        assert!(admission.admit(now, other).is_ok(), "another address has its own");
        drop(first);
        assert!(admission.admit(now, one).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one_and_mapped_ones_as_ipv4() {
        let mut admission = admission(1_000, 1_000, 1);
        let now = Instant::now();
        let _seat = admission.admit(now, address("2001:db8:0:1::1")).expect("the first");
        let again = admission.admit(now, address("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_eq!(again.err(), Some(TurnedAway::Address));
        assert!(admission.admit(now, address("2001:db8:0:2::1")).is_ok(), "the next /64");
        let _seat = admission.admit(now, address("192.0.2.9")).expect("the first");
        let mapped = admission.admit(now, address("::ffff:192.0.2.9"));
        assert_eq!(mapped.err(), Some(TurnedAway::Address));
    }

    #[test]
    fn trusted_networks_and_no_limit_take_everybody_and_nothing_is_kept() {
        let now = Instant::now();
        for (limit, peer) in [(1, "127.0.0.1"), (1, "::1"), (0, "192.0.2.1")] {
            let mut admission = admission(1_000, 1_000, limit);
            let seats: Vec<_> = (0..10).map(|_| admission.admit(now, address(peer))).collect();
            assert!(seats.iter().all(Result::is_ok), "{peer}");
        }
        let mut admission = admission(1_000, 1_000, 5);
        let seats: Vec<_> = (0..5).map(|_| admission.admit(now, address("192.0.2.1"))).collect();
        assert_eq!(admission.addresses.0.lock().expect("no panic").len(), 1);
        drop(seats);
        assert_eq!(admission.addresses.0.lock().expect("no panic").len(), 0);
    }

    #[test]
    fn who_is_turned_away_for_the_rate_holds_no_place() {
        let mut admission = admission(1, 1, 5);
        let now = Instant::now();
        let peer = address("192.0.2.1");
        drop(admission.admit(now, peer).expect("the burst"));
        assert_eq!(admission.admit(now, peer).err(), Some(TurnedAway::Rate));
        assert!(admission.addresses.0.lock().expect("no panic").is_empty());
    }

    #[test]
    fn labels_are_in_position() {
        assert_eq!(TurnedAway::ALL.map(TurnedAway::label), ["rate", "address", "descriptors"]);
    }
}
