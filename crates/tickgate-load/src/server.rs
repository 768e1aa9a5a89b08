//! Figures of the server under load: CPU time, resident memory, ticks.
//!
//! From `/proc` where the server runs on this machine, from its Prometheus text otherwise, or the
//! process's figures from the one and ticks from the other. A server that is too busy to answer is
//! still a server under load: what could not be read is absent, and the run goes on.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::process::{CpuReading, Resident};

/// Longest time that a scrape may take. Readings come once a second.
const PATIENCE: Duration = Duration::from_millis(300);

/// Longest Prometheus text that is read, bytes; a longer one counts as no answer.
const TEXT_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// What of the text is read, summed over labels.
const CPU_SECONDS: &str = "process_cpu_seconds_total";
const RESIDENT_BYTES: &str = "process_resident_memory_bytes";
const TICKS: &str = "tickgate_ticks_total";

/// Reads figures of one server.
#[derive(Debug)]
pub struct ServerWatch {
    process: Option<Process>,
    metrics: Option<Metrics>,
    began: Instant,
    resident: Slope,
}

/// What could be read at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// When it had been read: rates are over the time between two of these.
    pub at: Instant,
    /// CPU time of all threads from some beginning, seconds; subtract two. A Tickgate's Prometheus
    /// text has whole seconds of it, `/proc` hundredths.
    pub cpu_seconds: Option<f64>,
    /// Resident memory, bytes.
    pub resident_bytes: Option<u64>,
    /// Ticks that entered the hub since the server began; subtract two.
    pub ticks: Option<f64>,
}

impl ServerWatch {
    /// Reads CPU time and memory of a process on this machine.
    #[must_use]
    pub fn pid(pid: u32) -> Self {
        Self { process: Some(Process { pid, first: None }), ..Self::metrics_of(None) }
    }

    /// Reads Prometheus text at `url` (`http://` only).
    #[must_use]
    pub fn metrics(url: &str) -> Self {
        Self::metrics_of(Some(Metrics::new(url, PATIENCE)))
    }

    /// Reads ticks from the Prometheus text at `url`; what else was read is read as before.
    #[must_use]
    pub fn and_metrics(self, url: &str) -> Self {
        Self { metrics: Some(Metrics::new(url, PATIENCE)), ..self }
    }

    fn metrics_of(metrics: Option<Metrics>) -> Self {
        Self { process: None, metrics, began: Instant::now(), resident: Slope::default() }
    }

    /// Reads once. Takes 300 ms at most.
    pub fn sample(&mut self) -> Reading {
        let text = self.metrics.as_ref().and_then(Metrics::text);
        let figure = |name| sum(text.as_deref()?, name);
        let (cpu_seconds, resident_bytes) = match &mut self.process {
            Some(process) => process.read(),
            // No memory is so large that its bytes do not fit.
            None => (figure(CPU_SECONDS), figure(RESIDENT_BYTES).map(|bytes| bytes as u64)),
        };
        let ticks = figure(TICKS);
        let at = Instant::now();
        if let Some(bytes) = resident_bytes {
            self.resident.add(at.duration_since(self.began).as_secs_f64(), bytes as f64);
        }
        Reading { at, cpu_seconds, resident_bytes, ticks }
    }

    /// Slope of a straight line through resident memory since the beginning or
    /// [`Self::restart_slope`], bytes an hour; `None` with fewer than two readings.
    #[must_use]
    pub fn resident_bytes_per_hour(&self) -> Option<f64> {
        self.resident.per_second().map(|bytes| bytes * 3_600.0)
    }

    /// Forgets the readings so far for the slope: a window begins.
    pub fn restart_slope(&mut self) {
        self.resident = Slope::default();
    }
}

/// What is read, as reports name it.
impl fmt::Display for ServerWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.process, &self.metrics) {
            (Some(process), None) => write!(f, "process {}", process.pid),
            (Some(process), Some(metrics)) => {
                write!(f, "process {}, {}", process.pid, metrics.url)
            }
            (None, Some(metrics)) => f.write_str(&metrics.url),
            (None, None) => f.write_str("nothing"),
        }
    }
}

#[derive(Debug)]
struct Process {
    pid: u32,
    /// What CPU time is counted from.
    first: Option<CpuReading>,
}

impl Process {
    fn read(&mut self) -> (Option<f64>, Option<u64>) {
        let cpu = CpuReading::of_process(self.pid).ok();
        let first = self.first.or(cpu);
        self.first = first;
        let cpu_seconds = cpu.zip(first).map(|(cpu, first)| cpu.since(first).cpu_seconds);
        let resident = Resident::of_process(self.pid).ok().map(|resident| resident.total_bytes);
        (cpu_seconds, resident)
    }
}

#[derive(Debug)]
struct Metrics {
    url: String,
    agent: ureq::Agent,
}

impl Metrics {
    fn new(url: &str, patience: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(patience))
            // The environment's is for what lies elsewhere, and would be measured instead.
            .proxy(None)
            .build();
        Self { url: url.to_owned(), agent: config.into() }
    }

    fn text(&self) -> Option<String> {
        let mut response = self.agent.get(&self.url).call().ok()?;
        response.body_mut().with_config().limit(TEXT_LIMIT_BYTES).read_to_string().ok()
    }
}

/// The sum of a metric over its labels in Prometheus text; `None` when it is not there.
fn sum(text: &str, name: &str) -> Option<f64> {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            // A label's text may hold anything, but a value holds no brace.
            let value = match rest.strip_prefix('{') {
                Some(labels) => labels.rsplit_once('}')?.1,
                None => rest.strip_prefix([' ', '\t'])?,
            };
            value.split_whitespace().next()?.parse::<f64>().ok()
        })
        .reduce(|sum, value| sum + value)
}

/// A straight line through points by least squares, kept as running sums.
#[derive(Debug, Clone, Copy, Default)]
struct Slope {
    points: f64,
    mean_at: f64,
    mean_value: f64,
    /// Sums of products of what is left when the means are taken off, so that large values lose
    /// no digits.
    at_at: f64,
    at_value: f64,
}

impl Slope {
    fn add(&mut self, at: f64, value: f64) {
        self.points += 1.0;
        let off = at - self.mean_at;
        self.mean_at += off / self.points;
        self.mean_value += (value - self.mean_value) / self.points;
        self.at_at += off * (at - self.mean_at);
        self.at_value += off * (value - self.mean_value);
    }

    fn per_second(&self) -> Option<f64> {
        (self.at_at > 0.0).then(|| self.at_value / self.at_at)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpListener, TcpStream},
        thread,
    };

    use super::*;
    use crate::wire;

    const TEXT: &str = "\
# HELP tickgate_ticks_total Ticks applied
# TYPE tickgate_ticks_total counter
tickgate_ticks_total{kind=\"quote\"} 1000
tickgate_ticks_total{kind=\"trade\"} 250
tickgate_ticks_total{kind=\"a } 7\"} 1 1790000000000
tickgate_ticks_total_of_another_name 7
tickgate_ticks_refused_total{reason=\"price\"} 9
# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
process_cpu_seconds_total 12.5
process_resident_memory_bytes 4.2e+07
";

    /// A server that does `serve` with each connection, one after the other.
    fn serving(serve: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || listener.incoming().flatten().for_each(serve));
        address
    }

    /// One that answers with status and text.
    fn answering(status: &'static str, text: String) -> SocketAddr {
        serving(move |mut stream| {
            let (mut request, mut byte) = (Vec::new(), [0]);
            while wire::http_head_bytes(&request).is_none() {
                if stream.read_exact(&mut byte).is_err() {
                    return;
                }
                request.push(byte[0]);
            }
            let length = text.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            // Whoever asked may have lost patience.
            let _ = stream.write_all(format!("{head}{text}").as_bytes());
        })
    }

    /// Watches the metrics at `address` with all the patience a busy machine may ask for.
    fn watching(address: SocketAddr) -> ServerWatch {
        let url = format!("http://{address}/metrics");
        ServerWatch::metrics_of(Some(Metrics::new(&url, Duration::from_secs(60))))
    }

    fn figures(watch: &mut ServerWatch) -> (Option<f64>, Option<u64>, Option<f64>) {
        let reading = watch.sample();
        (reading.cpu_seconds, reading.resident_bytes, reading.ticks)
    }

    #[test]
    fn a_metrics_page_gives_all_three_figures() {
        let address = answering("200 OK", TEXT.to_owned());
        let mut watch = watching(address);
        for _ in 0..2 {
            assert_eq!(figures(&mut watch), (Some(12.5), Some(42_000_000), Some(1_251.0)));
        }
        assert_eq!(watch.to_string(), format!("http://{address}/metrics"));
    }

    #[test]
    fn a_process_gives_cpu_and_memory_and_metrics_the_ticks() {
        let pid = std::process::id();
        let mut watch = ServerWatch::pid(pid);
        let reading = watch.sample();
        assert_eq!((reading.cpu_seconds, reading.ticks), (Some(0.0), None), "it counts from here");
        assert!(reading.resident_bytes.is_some_and(|bytes| bytes > 0));
        assert_eq!(watch.to_string(), format!("process {pid}"));

        let address = answering("200 OK", TEXT.to_owned());
        let mut watch = ServerWatch { metrics: watching(address).metrics, ..watch };
        let reading = watch.sample();
        assert!(reading.cpu_seconds.is_some_and(|seconds| seconds != 12.5));
        assert!(reading.resident_bytes.is_some_and(|bytes| bytes != 42_000_000));
        assert_eq!(reading.ticks, Some(1_251.0));
        let named = ServerWatch::pid(7).and_metrics("http://a/metrics").to_string();
        assert_eq!(named, "process 7, http://a/metrics");
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        let nothing = (None, None, None);
        // Above the largest process id Linux gives out (2^22).
        assert_eq!(figures(&mut ServerWatch::pid(u32::MAX)), nothing);
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        let broken = [
            answering("500 Internal Server Error", TEXT.to_owned()),
            answering("200 OK", "<html></html>\n".to_owned()),
            answering("200 OK", format!("{TEXT}{}", " ".repeat(5 * 1024 * 1024))),
            serving(|mut stream| drop(stream.write_all(b"\xff\xfe"))),
            // Keeps the connection and never answers.
            serving(|mut stream| drop(stream.read_to_end(&mut Vec::new()))),
            free,
        ];
        for address in broken {
            let mut watch = ServerWatch::metrics(&format!("http://{address}/metrics"));
            assert_eq!(figures(&mut watch), nothing);
            assert_eq!(watch.resident_bytes_per_hour(), None);
        }
        assert_eq!(figures(&mut ServerWatch::metrics("nonsense")), nothing);
        assert_eq!(figures(&mut ServerWatch::metrics("https://127.0.0.1/")), nothing);
    }

    #[test]
    fn sums_take_a_name_whole_and_skip_what_is_no_number() {
        assert_eq!(sum(TEXT, TICKS), Some(1_251.0));
        assert_eq!(sum(TEXT, "tickgate_ticks"), None);
        assert_eq!(sum("a{x=\"1\"}\na\na x\na{ 3\n", "a"), None);
        assert_eq!(sum("a\t5\r\na{} 6", "a"), Some(11.0));
    }

    #[test]
    fn the_slope_is_that_of_the_line_and_keeps_its_digits() {
        let mut slope = Slope::default();
        assert_eq!(slope.per_second(), None);
        slope.add(5.0, 1e12);
        assert_eq!(slope.per_second(), None, "one point has none");
        slope.add(5.0, 2e12);
        assert_eq!(slope.per_second(), None, "nor have two at one time");

        // A week of readings of 100 GB that grow by 3 bytes a second, with noise around the line.
        let mut slope = Slope::default();
        for second in 0..604_800_u32 {
            let noise = if second % 2 == 0 { 500.0 } else { -500.0 };
            slope.add(second.into(), 1e11 + 3.0 * f64::from(second) + noise);
        }
        let found = slope.per_second().expect("many points");
        assert!((found - 3.0).abs() < 0.01, "{found}");
    }

    #[test]
    fn a_window_has_a_slope_of_its_own() {
        let address = answering("200 OK", TEXT.to_owned());
        let mut watch = watching(address);
        watch.sample();
        watch.sample();
        assert_eq!(watch.resident_bytes_per_hour(), Some(0.0));
        watch.restart_slope();
        assert_eq!(watch.resident_bytes_per_hour(), None);
    }
}
