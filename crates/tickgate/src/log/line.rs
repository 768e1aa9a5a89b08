//! One event, one line: nothing that a client said can end a line early, act on a terminal or
//! make a line long, whatever the place in the code that logged it.

use std::{
    fmt::{self, Write},
    hash::{Hash, Hasher},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime as Stamp},
    },
    registry::LookupSpan,
};

use super::flood::{Flood, Verdict};

/// Longest line that is no JSON, characters; the rest is cut.
const LINE_LIMIT: usize = 2_048;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    /// With escape sequences for colours, which then stay as they are: those in fields are escaped
    /// before they come here.
    Coloured,
    /// Escaped by being JSON.
    Json,
}

/// Writes events in the `inner` format, as many of a kind as the flood lets through.
pub(super) struct Limited<F> {
    inner: F,
    flood: Mutex<Flood<Kind>>,
    style: Style,
    second: fn() -> u64,
}

/// A kind of line: the place in the code that logs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind(&'static Metadata<'static>);

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.0.callsite() == other.0.callsite()
    }
}

impl Eq for Kind {}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.callsite().hash(state);
    }
}

impl<F> Limited<F> {
    pub(super) fn new(inner: F, flood: Flood<Kind>, style: Style) -> Self {
        Self { inner, flood: Mutex::new(flood), style, second }
    }

    /// Tells how many lines of a kind were held back.
    fn tell(&self, writer: &mut Writer<'_>, kind: Kind, count: u64) -> fmt::Result {
        let mut time = String::new();
        Stamp.format_time(&mut Writer::new(&mut time))?;
        let (target, line) = (kind.0.target(), kind.0.line().unwrap_or(0));
        let text = "log lines of a kind suppressed";
        if self.style == Style::Json {
            let told = serde_json::json!({
                "timestamp": time, "level": "WARN", "message": text, "suppressed": count,
                "target": target, "line": line,
            });
            return writeln!(writer, "{told}");
        }
        writeln!(writer, "{time}  WARN {text} suppressed={count} target={target} line={line}")
    }
}

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Counts are whole whatever happened to whoever held the lock.
        let mut flood = self.flood.lock().unwrap_or_else(PoisonError::into_inner);
        let Verdict { write, held_back } = flood.judge(Kind(event.metadata()), (self.second)());
        drop(flood);
        for (kind, count) in held_back {
            self.tell(&mut writer, kind, count)?;
        }
        if !write {
            return Ok(());
        }
        if self.style == Style::Json {
            return self.inner.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        write_line(&mut writer, &line, self.style)
    }
}

/// Writes a line with everything in it escaped that is no plain text, cut to its limit.
fn write_line(writer: &mut impl Write, line: &str, style: Style) -> fmt::Result {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let mut left = LINE_LIMIT;
    for character in line.chars() {
        if left == 0 {
            writer.write_char('…')?;
            break;
        }
        let is_colour = style == Style::Coloured && character == '\u{1b}';
        // Characters that turn the direction of writing, or cannot be seen.
        let hides = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if (character.is_control() || hides) && !is_colour {
            let escaped = character.escape_default();
            left = left.saturating_sub(escaped.len());
            write!(writer, "{escaped}")?;
        } else {
            left -= 1;
            writer.write_char(character)?;
        }
    }
    writer.write_char('\n')
}

fn second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
    };
    use tracing_subscriber::fmt::{MakeWriter, format};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("lines").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;
        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    impl Lines {
        fn taken(&self) -> String {
            let bytes = std::mem::take(&mut *self.0.lock().expect("lines"));
            String::from_utf8(bytes).expect("UTF-8")
        }
    }

    /// The tests' clock: seconds, set by hand. One for each, since tests run at the same time.
    static HUMAN_CLOCK: AtomicU64 = AtomicU64::new(1);
    static JSON_CLOCK: AtomicU64 = AtomicU64::new(1);

    #[test]
    fn a_hostile_text_stays_within_its_line_in_either_form() {
        let hostile = format!("x\nINFO forged\r\u{1b}[2J\u{202e}{}", "A".repeat(10_000));
        let lines = Lines::default();
        let inner = format().with_ansi(false);
        let log = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .event_format(Limited::new(inner, Flood::new(10), Style::Plain))
            .finish();
        tracing::subscriber::with_default(log, || tracing::info!(said = %hostile, "{hostile}"));
        let text = lines.taken();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.len() <= LINE_LIMIT + 16, "{} bytes", text.len());
        assert!(text.contains("x\\nINFO forged\\r"), "{text}");
        assert!(!text.trim_end().chars().any(|c| c.is_control() || c == '\u{202e}'), "{text}");

        let inner = format().json().flatten_event(true);
        let log = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .fmt_fields(format::JsonFields::new())
            .event_format(Limited::new(inner, Flood::new(10), Style::Json))
            .finish();
        tracing::subscriber::with_default(log, || tracing::info!(said = %hostile, "heard"));
        let text = lines.taken();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(line["said"], hostile);
    }

    #[test]
    fn a_flood_is_bounded_by_the_second_and_counted() {
        let lines = Lines::default();
        let mut limited = Limited::new(format().with_ansi(false), Flood::new(5), Style::Plain);
        limited.second = || HUMAN_CLOCK.load(Relaxed);
        let log =
            tracing_subscriber::fmt().with_writer(lines.clone()).event_format(limited).finish();
        tracing::subscriber::with_default(log, || {
            for number in 0..1_000 {
                tracing::info!(number, "flood");
            }
            assert_eq!(lines.taken().lines().count(), 5);
            HUMAN_CLOCK.store(2, Relaxed);
            tracing::info!("another kind");
            let text = lines.taken();
            assert_eq!(text.lines().count(), 2, "{text}");
            assert!(text.contains("suppressed=995 target=tickgate::log::line::tests"), "{text}");
            assert!(text.ends_with("another kind\n"), "{text}");
        });
    }

    #[test]
    fn what_was_suppressed_is_told_in_json_as_well() {
        let lines = Lines::default();
        let mut limited =
            Limited::new(format().json().flatten_event(true), Flood::new(1), Style::Json);
        limited.second = || JSON_CLOCK.load(Relaxed);
        let log = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .fmt_fields(format::JsonFields::new())
            .event_format(limited)
            .finish();
        tracing::subscriber::with_default(log, || {
            for _ in 0..4 {
                tracing::info!("flood");
            }
            JSON_CLOCK.store(2, Relaxed);
            tracing::info!("after");
        });
        let text = lines.taken();
        let told: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(told.len(), 3, "{text}");
        assert_eq!(told[1]["suppressed"], 3);
        assert_eq!(told[2]["message"], "after");
    }
}
