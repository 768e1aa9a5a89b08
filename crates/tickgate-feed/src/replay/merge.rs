//! Several recordings as one, in the order of their times of receipt.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use super::{
    binance::BinanceReader,
    dbn::{DbnReader, is_dbn},
    recorded::{Recorded, Report, Step},
    symbols::Symbols,
};
use crate::error::FeedError;

/// A recording of either format, told apart by its first bytes.
pub(super) enum Reader {
    Binance(BinanceReader),
    Dbn(Box<DbnReader>),
}

/// The recordings, each with the tick it offers next.
pub(super) struct Merge {
    inputs: Vec<Input>,
    truncated: Option<String>,
}

struct Input {
    reader: Reader,
    offered: Option<Recorded>,
}

impl Reader {
    /// Opens a recording.
    ///
    /// # Errors
    /// [`FeedError::Read`] when it cannot be opened, [`FeedError::Format`] when it is of a kind
    /// that carries no quotes or trades.
    pub(super) fn open(path: &Path) -> Result<Self, FeedError> {
        let unreadable = |source| FeedError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let mut input = BufReader::with_capacity(1 << 16, file);
        if is_dbn(input.fill_buf().map_err(unreadable)?) {
            let refused = |rule| FeedError::Format { path: path.to_owned(), rule };
            return Ok(Self::Dbn(Box::new(DbnReader::new(input, name).map_err(refused)?)));
        }
        Ok(Self::Binance(BinanceReader::new(input, name).map_err(unreadable)?))
    }

    fn next(&mut self, symbols: &Symbols, report: &mut Report) -> Step {
        match self {
            Self::Binance(reader) => reader.next(symbols, report),
            Self::Dbn(reader) => reader.next(symbols, report),
        }
    }

    /// Takes note of every symbol and its digits, to the end of the recording.
    pub(super) fn scan(self, symbols: &mut Symbols, report: &mut Report) -> Step<()> {
        match self {
            Self::Binance(reader) => reader.scan(symbols, report),
            Self::Dbn(reader) => reader.scan(symbols, report),
        }
    }
}

impl Merge {
    /// Opens the recordings and reads the first tick of each.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub(super) fn open(
        paths: &[PathBuf],
        symbols: &Symbols,
        report: &mut Report,
    ) -> Result<Self, FeedError> {
        let mut merge = Self { inputs: Vec::with_capacity(paths.len()), truncated: None };
        for path in paths {
            let mut input = Input { reader: Reader::open(path)?, offered: None };
            input.read(symbols, report, &mut merge.truncated);
            merge.inputs.push(input);
        }
        Ok(merge)
    }

    /// When the next tick was recorded; `None` when there is none.
    pub(super) fn upcoming_ns(&self) -> Option<i64> {
        self.first().and_then(|first| self.inputs[first].offered).map(|offered| offered.at_ns)
    }

    /// Takes the next tick.
    pub(super) fn take(&mut self, symbols: &Symbols, report: &mut Report) -> Option<Recorded> {
        let first = self.first()?;
        let input = &mut self.inputs[first];
        let taken = input.offered.take();
        input.read(symbols, report, &mut self.truncated);
        taken
    }

    /// The recording that broke off, where and why, if one did: the first.
    pub(super) fn truncated(&self) -> Option<&str> {
        self.truncated.as_deref()
    }

    /// The input with the oldest offer; of equally old ones the first, so that the order is always
    /// the same. There are few inputs: a scan is as good as a heap.
    fn first(&self) -> Option<usize> {
        let offers = self.inputs.iter().enumerate();
        offers
            .filter_map(|(input, Input { offered, .. })| offered.map(|o| (o.at_ns, input)))
            .min()
            .map(|(_, input)| input)
    }
}

impl Input {
    fn read(&mut self, symbols: &Symbols, report: &mut Report, truncated: &mut Option<String>) {
        self.offered = match self.reader.next(symbols, report) {
            Step::Tick(recorded) => Some(recorded),
            Step::Finished => None,
            Step::Truncated(message) => {
                report.warnings.push(|| message.clone());
                truncated.get_or_insert(message);
                None
            }
        };
    }
}
