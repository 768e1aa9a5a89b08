//! Every attack there is, in the order a connection meets the gateway's parts.

mod commands;
mod framing;
mod heads;
mod payloads;
mod readers;
mod upgrades;

use crate::attack::Attack;

/// All of them.
#[must_use]
pub fn all() -> Vec<&'static Attack> {
    [
        heads::ATTACKS,
        upgrades::ATTACKS,
        framing::ATTACKS,
        payloads::ATTACKS,
        commands::ATTACKS,
        readers::ATTACKS,
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let attacks = all();
        for (index, attack) in attacks.iter().enumerate() {
            assert!(
                attacks[..index].iter().all(|other| other.name != attack.name),
                "{}",
                attack.name
            );
        }
    }
}
