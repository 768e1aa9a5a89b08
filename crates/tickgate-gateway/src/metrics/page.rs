//! A page of metrics that is filled with values instead of being kept up to date.

use prometheus::{
    Counter, Error, Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
    process_collector::ProcessCollector,
    proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};
use tickgate_session::Spread;

use crate::config::{Figure, FigureKind};

/// A page of metrics.
pub(super) struct Page {
    registry: Registry,
    /// Histograms come counted, which the registry's own cannot take.
    histograms: Vec<MetricFamily>,
}

impl Page {
    pub(super) fn new() -> Self {
        Self { registry: Registry::new(), histograms: Vec::new() }
    }

    /// The text, the process's own metrics included.
    pub(super) fn text(self) -> Result<String, Error> {
        self.registry.register(Box::new(ProcessCollector::for_self()))?;
        let mut families = self.registry.gather();
        families.extend(self.histograms);
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new().encode_to_string(&families)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.registry.register(Box::new(gauge))
    }

    /// A gauge that may be below zero.
    pub(super) fn difference(&mut self, name: &str, help: &str, value: i64) -> Result<(), Error> {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(value);
        self.registry.register(Box::new(gauge))
    }

    pub(super) fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Result<(), Error> {
        let gauges = IntGaugeVec::new(Opts::new(name, help), &[label])?;
        for (value, count) in values {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            gauges.with_label_values(&[value]).set(count);
        }
        self.registry.register(Box::new(gauges))
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        self.registry.register(Box::new(counter))
    }

    pub(super) fn counters<L: AsRef<str>>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> Result<(), Error> {
        let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
        for (value, count) in values {
            counters.with_label_values(&[value.as_ref()]).inc_by(count);
        }
        self.registry.register(Box::new(counters))
    }

    /// A histogram of values counted by powers of two, `unit_us` microseconds each. `whole` values are
    /// exactly what they say; others were rounded down, so that a bucket reaches up to the next.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        spread: &Spread,
        unit_us: u64,
        whole: bool,
    ) {
        let metric = Self::spread(Vec::new(), spread, unit_us, whole);
        self.family(name, help, vec![metric]);
    }

    /// Histograms of one name, one for each value of a label; values were rounded down.
    pub(super) fn histograms<'a, const BUCKETS: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        unit_us: u64,
        spreads: impl IntoIterator<Item = (&'a str, Spread<BUCKETS>)>,
    ) {
        let metrics = spreads.into_iter().map(|(value, spread)| {
            let mut pair = LabelPair::default();
            pair.set_name(label.to_owned());
            pair.set_value(value.to_owned());
            Self::spread(vec![pair], &spread, unit_us, false)
        });
        self.family(name, help, metrics.collect());
    }

    fn spread<const BUCKETS: usize>(
        labels: Vec<LabelPair>,
        spread: &Spread<BUCKETS>,
        unit_us: u64,
        whole: bool,
    ) -> Metric {
        // Divided last: the nearest number to what it says, and so the shortest text.
        let seconds = |units: u64| (units * unit_us) as f64 / 1e6;
        let mut cumulative = 0;
        let buckets = spread.counts.iter().enumerate().filter_map(|(at, count)| {
            cumulative += count;
            // The last has no end: the encoder adds it as +Inf.
            let upper = Spread::<BUCKETS>::upper(at)? + u64::from(!whole);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(seconds(upper));
            bucket.set_cumulative_count(cumulative);
            Some(bucket)
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(spread.total());
        histogram.set_sample_sum(seconds(spread.sum));
        let mut metric = Metric::from_label(labels);
        metric.set_histogram(histogram);
        metric
    }

    fn family(&mut self, name: &str, help: &str, metrics: Vec<Metric>) {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(metrics);
        self.histograms.push(family);
    }

    /// A figure of somebody else's; those of one name get the same help.
    pub(super) fn figure(&mut self, figure: &Figure, help: &str) -> Result<(), Error> {
        let mut options = Opts::new(figure.name, help);
        if let Some((label, value)) = figure.label {
            options = options.const_label(label, value);
        }
        match figure.kind {
            FigureKind::Counter => {
                let counter = Counter::with_opts(options)?;
                counter.inc_by(figure.value.max(0.0));
                self.registry.register(Box::new(counter))
            }
            FigureKind::Gauge => {
                let gauge = Gauge::with_opts(options)?;
                gauge.set(figure.value);
                self.registry.register(Box::new(gauge))
            }
        }
    }

    /// Seconds that only rise, one for each value of a label.
    pub(super) fn seconds(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (String, f64)>,
    ) -> Result<(), Error> {
        for (value, seconds) in values {
            let counter = Counter::with_opts(Opts::new(name, help).const_label(label, value))?;
            counter.inc_by(seconds.max(0.0));
            self.registry.register(Box::new(counter))?;
        }
        Ok(())
    }
}
