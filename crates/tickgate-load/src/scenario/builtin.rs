//! The scenarios that come with the program.

/// Their names.
pub const BUILT_IN: &[&str] = &[
    "steady",
    "realtime",
    "ramp",
    "stalled",
    "slow",
    "credit",
    "churn",
    "storm",
    "burst",
    "isolation",
    "mixture",
];

/// The TOML of a built-in scenario.
#[must_use]
pub fn built_in(name: &str) -> Option<&'static str> {
    Some(match name {
        "steady" => include_str!("../../scenarios/steady.toml"),
        "realtime" => include_str!("../../scenarios/realtime.toml"),
        "ramp" => include_str!("../../scenarios/ramp.toml"),
        "stalled" => include_str!("../../scenarios/stalled.toml"),
        "slow" => include_str!("../../scenarios/slow.toml"),
        "credit" => include_str!("../../scenarios/credit.toml"),
        "churn" => include_str!("../../scenarios/churn.toml"),
        "storm" => include_str!("../../scenarios/storm.toml"),
        "burst" => include_str!("../../scenarios/burst.toml"),
        "isolation" => include_str!("../../scenarios/isolation.toml"),
        "mixture" => include_str!("../../scenarios/mixture.toml"),
        _ => return None,
    })
}
