//! A run while it goes: two lines that change on a terminal, a line every few seconds elsewhere.

use std::{
    borrow::Cow,
    io::{self, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    measure::Spread,
    report::{
        Second,
        units::{NOTHING, count, microseconds, rate, seconds},
    },
};

/// How often a line is written where lines stay.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phase {
    /// Clients connect and subscribe.
    Connecting {
        /// Those that are ready.
        ready: u32,
        /// Those that there shall be.
        of: u32,
    },
    /// All are ready; nothing is counted yet.
    WarmUp {
        /// Since its beginning, seconds.
        elapsed_s: f64,
        /// How long it is, seconds.
        of_s: f64,
    },
    /// What is measured.
    Window {
        /// Since its beginning, seconds.
        elapsed_s: f64,
        /// How long it is, seconds; of a ramp at most.
        of_s: f64,
    },
    /// A ramp's step.
    Step {
        /// Clients of the group that grows.
        clients: u32,
        /// Since the step's clients are ready, seconds.
        elapsed_s: f64,
        /// How long a step is, seconds.
        of_s: f64,
    },
    /// What clients hold is compared with the gateway's own answer.
    Comparing,
}

impl Phase {
    fn words(&self) -> String {
        let times = |elapsed_s: f64, of_s: f64| format!("{:.0}/{}", elapsed_s, seconds(of_s));
        match *self {
            Self::Connecting { ready, of } => {
                format!("connecting {}/{}", count(ready.into()), count(of.into()))
            }
            Self::WarmUp { elapsed_s, of_s } => format!("warm-up {}", times(elapsed_s, of_s)),
            Self::Window { elapsed_s, of_s } => format!("window {}", times(elapsed_s, of_s)),
            Self::Step { clients, elapsed_s, of_s } => {
                format!("step of {} clients {}", count(clients.into()), times(elapsed_s, of_s))
            }
            Self::Comparing => "comparing".to_owned(),
        }
    }

    /// Which part is done, of a thousand; `None` when that is not known.
    fn permille(&self) -> Option<u64> {
        let (done, of) = match *self {
            Self::Connecting { ready, of } => (f64::from(ready), f64::from(of)),
            Self::WarmUp { elapsed_s, of_s }
            | Self::Window { elapsed_s, of_s }
            | Self::Step { elapsed_s, of_s, .. } => (elapsed_s, of_s),
            Self::Comparing => return None,
        };
        (of > 0.0).then(|| (1_000.0 * (done / of).clamp(0.0, 1.0)) as u64)
    }
}

/// Shows a run while it goes, on standard error.
pub struct Progress {
    shown: Shown,
    /// Which phase it is, and in words.
    kind: &'static str,
    phase: String,
    figures: String,
    lost: u64,
    violations: u64,
}

enum Shown {
    Bar(ProgressBar),
    Lines(Lines),
}

/// Lines that stay: a new phase at once, everything else every [`LINE_EVERY`].
struct Lines {
    out: Box<dyn Write + Send>,
    written: Option<(Instant, &'static str)>,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl Progress {
    /// Shows nothing yet. `is_terminal` says whether standard error is one.
    #[must_use]
    pub fn new(is_terminal: bool) -> Self {
        if is_terminal {
            Self::on(Shown::Bar(bar(ProgressDrawTarget::stderr())))
        } else {
            Self::on(Shown::Lines(Lines { out: Box::new(io::stderr()), written: None }))
        }
    }

    fn on(shown: Shown) -> Self {
        let (phase, figures) = (String::new(), String::new());
        Self { shown, kind: "", phase, figures, lost: 0, violations: 0 }
    }

    /// Says where the run is; as often as one likes.
    pub fn phase(&mut self, phase: &Phase) {
        self.phase_at(phase, Instant::now());
    }

    fn phase_at(&mut self, phase: &Phase, now: Instant) {
        (self.kind, self.phase) = (kind(phase), phase.words());
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(phase.permille().unwrap_or(1_000));
                bar.set_prefix(self.phase.clone());
                bar.tick();
            }
            Shown::Lines(lines) => lines.write(self.kind, &self.phase, &self.figures, now),
        }
    }

    /// Takes a second's figures. Losses and violations are added up.
    pub fn second(&mut self, second: &Second, target_clients: u32) {
        self.second_at(second, target_clients, Instant::now());
    }

    fn second_at(&mut self, second: &Second, target_clients: u32, now: Instant) {
        self.lost += second.figures.counts.lost;
        self.violations += second.figures.counts.violations;
        self.figures = self.words(second, target_clients);
        match &mut self.shown {
            Shown::Bar(bar) => bar.set_message(self.figures.clone()),
            Shown::Lines(lines) => lines.write(self.kind, &self.phase, &self.figures, now),
        }
    }

    fn words(&self, second: &Second, target_clients: u32) -> String {
        let figures = &second.figures;
        let p99 = |spread: &Option<Spread>| {
            spread
                .map_or(Cow::Borrowed(NOTHING), |spread| microseconds(spread.p99_us as f64).into())
        };
        let mut words = format!(
            "{}/{} ready, {} frames/s, p99 late {} transit {}, {} lost, {} violations",
            count(second.ready.into()),
            count(target_clients.into()),
            rate(figures.counts.frames as f64, second.length_s),
            p99(&figures.late),
            p99(&figures.transit),
            count(self.lost),
            count(self.violations),
        );
        if let Some(cores) = second.server_cores {
            words += &format!(", server {cores:.2} cores");
        }
        if let Some(share) = second.own_share {
            words += &format!(", own {:.0} %", 100.0 * share);
        }
        words
    }

    /// Takes the lines off a terminal; what was written elsewhere stays.
    pub fn finish(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// An unfinished run leaves no half a line on the terminal either.
impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn bar(target: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(1_000), target);
    let style = ProgressStyle::with_template("{prefix} {bar:24}\n{msg}");
    bar.with_style(style.expect("the template is a constant that the library takes"))
}

const fn kind(phase: &Phase) -> &'static str {
    match phase {
        Phase::Connecting { .. } => "connecting",
        Phase::WarmUp { .. } => "warm-up",
        Phase::Window { .. } => "window",
        Phase::Step { .. } => "step",
        Phase::Comparing => "comparing",
    }
}

impl Lines {
    fn write(&mut self, kind: &'static str, phase: &str, figures: &str, now: Instant) {
        let is_due = self.written.is_none_or(|(at, written)| {
            written != kind || now.saturating_duration_since(at) >= LINE_EVERY
        });
        if !is_due || phase.is_empty() {
            return;
        }
        self.written = Some((now, kind));
        let between = if figures.is_empty() { "" } else { ": " };
        // Whoever closed standard error does not want to know; the run goes on.
        let _ = writeln!(self.out, "{phase}{between}{figures}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::report::sample;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn lines(&self) -> Vec<String> {
            let bytes = self.0.lock().expect("no panic").clone();
            String::from_utf8(bytes).expect("UTF-8").lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn elsewhere_a_line_is_written_for_each_phase_and_every_five_seconds() {
        let written = Written::default();
        let lines = Lines { out: Box::new(written.clone()), written: None };
        let mut progress = Progress::on(Shown::Lines(lines));
        let began = Instant::now();
        for quarter in 0..8_u32 {
            let ready = 100 * quarter;
            let now = began + Duration::from_millis(250) * quarter;
            progress.phase_at(&Phase::Connecting { ready, of: 1_000 }, now);
        }
        let seconds = sample::full().seconds;
        for elapsed in 0..12_u8 {
            let now = began + Duration::from_secs(2 + u64::from(elapsed));
            let elapsed_s = f64::from(elapsed) + 0.4;
            progress.phase_at(&Phase::Window { elapsed_s, of_s: 30.0 }, now);
            progress.second_at(&seconds[usize::from(elapsed)], 1_010, now);
        }
        progress.phase_at(&Phase::Comparing, began + Duration::from_secs(15));
        progress.second_at(&seconds[12], 1_010, began + Duration::from_secs(19));
        progress.second_at(&seconds[13], 1_010, began + Duration::from_secs(20));
        progress.finish();
        let lines = written.lines();
        let begins = [
            "connecting 0/1,000",
            "window 0/30 s",
            "window 5/30 s: 1,010/1,010 ready, ",
            "window 10/30 s: 1,010/1,010 ready, ",
            "comparing: 710/1,010 ready, ",
            "comparing: 910/1,010 ready, ",
        ];
        assert_eq!(lines.len(), begins.len(), "{lines:#?}");
        for (line, begin) in lines.iter().zip(begins) {
            assert!(line.starts_with(begin), "{line}");
        }
    }

    #[test]
    fn a_seconds_figures_are_all_there_and_losses_add_up() {
        let mut progress = Progress::on(Shown::Bar(bar(ProgressDrawTarget::hidden())));
        let mut second = sample::full().seconds[18].clone();
        second.figures.counts.frames = 19_300;
        second.figures.counts.violations = 1;
        let times = |us| Spread { p99_us: us, ..second.figures.late.expect("there") };
        (second.figures.late, second.figures.transit) = (Some(times(402_000)), None);
        (second.server_cores, second.own_share) = (Some(0.834), Some(0.314));
        progress.second(&second, 1_010);
        progress.second(&second, 1_010);
        assert_eq!(
            progress.figures,
            "1,010/1,010 ready, 19,300 frames/s, p99 late 402 ms transit –, 6 lost, \
             2 violations, server 0.83 cores, own 31 %"
        );
        (second.server_cores, second.own_share, second.length_s) = (None, None, 0.0);
        progress.second(&second, 1_010);
        assert!(progress.figures.contains(" – frames/s"), "{}", progress.figures);
        assert!(progress.figures.ends_with("3 violations"), "{}", progress.figures);
    }

    #[test]
    fn phases_say_how_far_they_are() {
        let step = Phase::Step { clients: 2_000, elapsed_s: 12.0, of_s: 10.0 };
        assert_eq!(
            (step.words().as_str(), step.permille()),
            ("step of 2,000 clients 12/10 s", Some(1_000))
        );
        let connecting = Phase::Connecting { ready: 812, of: 1_000 };
        assert_eq!(
            (connecting.words().as_str(), connecting.permille()),
            ("connecting 812/1,000", Some(812))
        );
        assert_eq!(Phase::Connecting { ready: 0, of: 0 }.permille(), None);
        assert_eq!(Phase::Comparing.permille(), None);
    }

    #[test]
    fn the_terminal_shows_phase_and_figures_and_is_left_clean() {
        for columns in [160, 60] {
            let term = indicatif::InMemoryTerm::new(8, columns);
            let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
            let mut progress = Progress::on(Shown::Bar(bar(target)));
            progress.second(&sample::full().seconds[0], 1_010);
            for elapsed_s in [11.0, 12.0] {
                progress.phase(&Phase::Window { elapsed_s, of_s: 30.0 });
            }
            let shown = term.contents();
            let lines: Vec<_> = shown.lines().collect();
            assert!(lines[0].starts_with("window 12/30 s █"), "{shown}");
            assert!(lines[1].starts_with("1,010/1,010 ready, "), "{shown}");
            assert!(shown.contains("own "), "the end of the figures is cut off: {shown}");
            drop(progress);
            assert_eq!(term.contents(), "", "{columns} columns");
        }
    }
}
