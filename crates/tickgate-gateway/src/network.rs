//! A range of addresses, as operators write it: `10.0.0.0/8`, `2001:db8::/32`, `127.0.0.1`.

use std::{fmt, net::IpAddr, str::FromStr};

/// Addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// What is no [`Network`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address or network: write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32")]
pub struct NetworkError(String);

impl Network {
    /// The loopback networks of both families.
    pub const LOOPBACK: [Self; 2] = [
        Self { address: IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
        Self { address: IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), prefix: 128 },
    ];

    /// True when `address` lies in it. An IPv4 address that came over an IPv6 socket counts as
    /// IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let apart = u32::from(own) ^ u32::from(other);
                apart.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let apart = u128::from(own) ^ u128::from(other);
                apart.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| error())?,
            None => bits,
        };
        if prefix > bits { Err(error()) } else { Ok(Self { address, prefix }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_ends_at_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.4/30", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "::1"),
        ] {
            let parsed: Network = network.parse().expect(network);
            let contains = |address: &str| parsed.contains(address.parse().expect(address));
            assert!(contains(inside), "{inside} in {network}");
            assert!(!contains(outside), "{outside} in {network}");
        }
        let all: Network = "0.0.0.0/0".parse().expect("valid");
        assert!(all.contains(IpAddr::from([255, 0, 0, 1])));
        assert!(Network::LOOPBACK[0].contains(IpAddr::from([127, 3, 2, 1])));
    }

    #[test]
    fn what_is_no_network_says_how_one_is_written() {
        for text in ["", "localhost", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            let error = text.parse::<Network>().expect_err(text);
            assert!(error.to_string().starts_with(&format!("`{text}` is no")), "{error}");
        }
    }
}
