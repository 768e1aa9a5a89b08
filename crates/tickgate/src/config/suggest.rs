//! The nearest name to a mistyped one.

/// The candidate that takes the fewest edits to reach, when that is few for a name of its length.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let (edits, best) = candidates.map(|candidate| (distance(name, candidate), candidate)).min()?;
    // A third of the name wrong is still a slip; more is another name.
    (edits * 3 <= name.chars().count().max(3)).then(|| best.to_owned())
}

/// Levenshtein's distance: insertions, deletions and substitutions that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, edits) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0)] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn slips_are_mended_and_strangers_are_not() {
        let known = ["gateway.listen", "session.throttle_interval_ms", "hub.shards"];
        let near = |name| nearest(name, known.into_iter());
        assert_eq!(near("gateway.listn").as_deref(), Some("gateway.listen"));
        assert_eq!(
            near("session.throttle_interval_s").as_deref(),
            Some("session.throttle_interval_ms")
        );
        assert_eq!(near("database.url"), None);
    }
}
