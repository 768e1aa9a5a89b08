//! Objectives: what a run must keep to, such as `p99<5ms,lost=0,violations=0`.
//!
//! An objective is a figure, a relation and a bound. Figures of times are `p50`, `p90`, `p99`,
//! `p99.9`, `p99.99`, `mean` and `max`, of the latency unless another time is named before a point:
//! `late.p99`, `transit.max`, `staleness.p99.9`, `ready.max`. Their bounds have a unit: `us`, `ms`
//! or `s`. The others are sums: `lost`, `violations`, `refused`, `closed`, `silent`, `merged`.
//! Relations are `<`, `<=` and `=`. Only healthy clients are judged; sums of what must never happen
//! (violations) count for all.

use serde::{Deserialize, Serialize};

use crate::measure::{Spread, Sum, Tally, Timing};

/// Why a text is no objective.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("objective `{item}` {rule}")]
pub struct SloError {
    /// The part that cannot be read.
    pub item: String,
    /// What it must be.
    pub rule: &'static str,
}

/// Everything a run must keep to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objectives {
    objectives: Vec<Objective>,
}

#[derive(Debug, Clone, PartialEq)]
struct Objective {
    text: String,
    figure: Figure,
    relation: Relation,
    /// Microseconds of times, otherwise a count.
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Figure {
    Time(Timing, Point),
    Sum(Sum),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Point {
    Mean,
    Max,
    Quantile(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Less,
    AtMost,
    Equal,
}

/// How an objective came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// As it was written.
    pub objective: String,
    /// What was measured, with its unit; "nothing measured" when there is nothing.
    pub measured: String,
    /// Whether it was kept. What was not measured was not kept.
    pub is_kept: bool,
}

impl Objectives {
    /// Reads objectives with commas between; an empty text is none.
    ///
    /// # Errors
    /// [`SloError`] names the first part that cannot be read.
    pub fn parse(text: &str) -> Result<Self, SloError> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Ok(Self { objectives: items.map(parse).collect::<Result<_, _>>()? })
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objectives.is_empty()
    }

    /// How each came out.
    #[must_use]
    pub fn judge(&self, tally: &Tally) -> Vec<Verdict> {
        self.objectives.iter().map(|objective| objective.judge(tally)).collect()
    }
}

impl Objective {
    fn judge(&self, tally: &Tally) -> Verdict {
        let (measured, text) = match self.figure {
            Figure::Sum(sum) => {
                let count = tally.counts.sum(sum);
                (Some(count as f64), count.to_string())
            }
            Figure::Time(timing, point) => {
                let histogram = tally.timings.of(timing);
                let spread = Spread::of(histogram);
                let measured = spread.map(|spread| match point {
                    Point::Mean => spread.mean_us,
                    Point::Max => spread.max_us as f64,
                    Point::Quantile(quantile) => histogram.value_at_quantile(quantile) as f64,
                });
                let text = measured.map(|us| format!("{:.3} ms", us / 1_000.0));
                (measured, text.unwrap_or_else(|| "nothing measured".to_owned()))
            }
        };
        let is_kept = measured.is_some_and(|measured| match self.relation {
            Relation::Less => measured < self.bound,
            Relation::AtMost => measured <= self.bound,
            Relation::Equal => measured == self.bound,
        });
        Verdict { objective: self.text.clone(), measured: text, is_kept }
    }
}

fn parse(item: &str) -> Result<Objective, SloError> {
    let refused = |rule| SloError { item: item.to_owned(), rule };
    let at = item.find(['<', '=']).ok_or(refused("must have `<`, `<=` or `=` before its bound"))?;
    let (name, rest) = item.split_at(at);
    let (relation, bound) = match (rest.strip_prefix("<="), rest.strip_prefix('<')) {
        (Some(bound), _) => (Relation::AtMost, bound),
        (None, Some(bound)) => (Relation::Less, bound),
        (None, None) => (Relation::Equal, &rest[1..]),
    };
    let figure = figure(name.trim()).ok_or(refused(
        "must name a figure: p50 to p99.99, mean or max, perhaps after latency, late, transit, \
         staleness or ready and a point; or lost, violations, refused, closed, silent, merged",
    ))?;
    let bound = match figure {
        Figure::Time(..) => {
            microseconds(bound.trim()).ok_or(refused("must have a bound such as 5ms, 800us or 2s"))
        }
        Figure::Sum(_) => {
            let count: Option<u32> = bound.trim().parse().ok();
            count.map(f64::from).ok_or(refused("must have a whole number as its bound"))
        }
    }?;
    Ok(Objective { text: item.to_owned(), figure, relation, bound })
}

fn figure(name: &str) -> Option<Figure> {
    if let Some(sum) = Sum::ALL.into_iter().find(|sum| sum.name() == name) {
        return Some(Figure::Sum(sum));
    }
    let named = Timing::ALL
        .into_iter()
        .find_map(|timing| Some((timing, name.strip_prefix(timing.name())?.strip_prefix('.')?)));
    let (timing, point) = named.unwrap_or((Timing::Latency, name));
    let point = match point {
        "mean" => Point::Mean,
        "max" => Point::Max,
        _ => {
            let percent: f64 = point.strip_prefix('p')?.parse().ok()?;
            Point::Quantile((percent > 0.0 && percent < 100.0).then_some(percent / 100.0)?)
        }
    };
    Some(Figure::Time(timing, point))
}

fn microseconds(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.trim().parse().ok()?;
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    (number >= 0.0).then_some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str, tally: &Tally) -> Vec<bool> {
        let objectives = Objectives::parse(text).expect("objectives");
        objectives.judge(tally).into_iter().map(|verdict| verdict.is_kept).collect()
    }

    #[test]
    fn objectives_are_judged_on_both_sides_of_their_bounds() {
        let mut tally = Tally::default();
        tally.timings.record(Timing::Latency, 4_000, 99);
        tally.timings.record(Timing::Latency, 90_000, 1);
        tally.timings.record(Timing::Late, 700, 1);
        tally.counts.lost = 2;
        assert_eq!(judged("p50<5ms, p50<4ms, p99<=4.1ms", &tally), [true, false, true]);
        assert_eq!(judged("max<80ms,max<100ms,mean<5ms", &tally), [false, true, true]);
        assert_eq!(
            judged("p99.9<50ms,late.max<800us,late.p99<0.5ms", &tally),
            [false, true, false]
        );
        assert_eq!(
            judged("lost=0,lost=2,lost<=2,lost<2,violations=0", &tally),
            [false, true, true, false, true]
        );
        assert_eq!(judged("", &tally), [] as [bool; 0]);
    }

    #[test]
    fn what_was_not_measured_was_not_kept() {
        let verdicts = Objectives::parse("staleness.p99<1s").expect("one").judge(&Tally::default());
        assert!(!verdicts[0].is_kept && verdicts[0].measured == "nothing measured");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for item in [
            "p99", "p99>5ms", "p100<1ms", "p0<1ms", "q99<1ms", "p99<5", "p99<5min", "lost=x",
            "lost=1ms", "late<1ms", "p99<-1ms",
        ] {
            let error = Objectives::parse(&format!("lost=0,{item}")).expect_err("no objective");
            assert_eq!(error.item, item);
        }
    }
}
