//! The operators' document names every key, and every limit with its default and what to do.

use toml::Value;

use super::layers::Layers;

const DOCUMENT: &str = include_str!("../../../../docs/OPERATIONS.md");

/// What a market that never was is made of, and what is played: the commented file alone says it.
const ELSEWHERE: [&str; 2] = ["feed.simulated.", "feed.replay."];

/// The part of the document below this heading.
fn section(heading: &str) -> &'static str {
    let (_, below) = DOCUMENT.split_once(heading).expect("the heading is there");
    below.split("\n## ").next().expect("something is below it")
}

/// Keys of a limit's row, and its other cells.
fn rows() -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    let table = section("\n## Limits\n");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        (cells[0].split('`').skip(1).step_by(2).collect(), cells[1..].to_vec())
    })
    .collect()
}

#[test]
fn every_key_is_named_in_the_section_of_limits_and_no_other_is() {
    let known = Layers::new();
    let section = section("\n## Limits\n");
    for (key, _) in known.known() {
        let elsewhere = ELSEWHERE.iter().any(|prefix| key.starts_with(prefix));
        assert!(elsewhere || section.contains(&format!("`{key}`")), "{key} is not named");
    }
    for key in rows().iter().flat_map(|(keys, _)| keys) {
        assert!(known.known().any(|(name, _)| name == *key), "there is no key {key}");
    }
}

#[test]
fn what_ends_in_limit_has_a_row_and_each_row_its_default_and_all_it_should_say() {
    let known = Layers::new();
    let rows = rows();
    for (key, _) in known.known().filter(|(key, _)| key.contains("_limit")) {
        assert!(rows.iter().any(|(keys, _)| keys.contains(&key)), "{key} has no row");
    }
    for (keys, cells) in &rows {
        assert_eq!(cells.len(), 5, "{keys:?}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{keys:?}");
        for key in keys {
            let default = known.known().find(|(name, _)| name == key).map(|(_, value)| value);
            let Some(Value::Integer(default)) = default else { panic!("{key} is no number") };
            assert_eq!(cells[0].split(' ').next(), Some(&*default.to_string()), "{key}");
        }
    }
}
