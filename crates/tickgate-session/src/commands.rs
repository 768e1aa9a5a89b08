//! Carries out what clients ask.

use tickgate_hub::DirectoryLine;
use tickgate_protocol::{
    close::CloseReason,
    command::{Command, ErrorCode, Op, Refusal},
    reply::{Reply, SymbolInfo},
    symbol::NAME_LIMIT_BYTES,
};

use crate::{
    engine::{Engine, SYMBOLS_PAGE_LIMIT},
    pace::{Allowed, Budget, CREDIT_LIMIT_FRAMES, Credit},
    transport::{Now, Transport},
};

/// A command counts as one more for each of these that it has in bytes: what it costs grows with
/// the symbols it names.
const COMMAND_BYTES: usize = 1_024;

impl<T: Transport> Engine<T> {
    /// Reads one message and carries it out; whatever is wrong with it is answered and loses
    /// nothing.
    pub(crate) fn take_command(&mut self, now: Now, position: usize, message: &[u8]) {
        self.stats.commands += 1;
        let config = self.shared.config();
        let (per_second, burst) = (config.commands_per_second, config.command_burst);
        let session = &mut self.sessions[position];
        let parsed = session.dialect.parse_command(message);
        if let Ok(Command { id, op: Op::Ack { frame } }) = parsed
            && frame > session.acknowledged
            && frame <= session.frame_sequence
        {
            // An acknowledgement that advances costs nothing: it is the client doing its part.
            return self.acknowledge(position, id, frame);
        }
        let count = 1 + (message.len() / COMMAND_BYTES) as u32;
        match session.rate.take(now.monotonic_us, per_second, burst, count) {
            Allowed::Yes => {}
            Allowed::No => {
                let id = parsed.map_or_else(|refusal| refusal.id, |command| command.id);
                let message = format!(
                    "at most {per_second} commands a second, {burst} at once; {COMMAND_BYTES} bytes \
                     count as one more"
                );
                let refusal =
                    Refusal { code: ErrorCode::TooManyCommands, message, field: None, id };
                return self.refuse(position, refusal);
            }
            Allowed::Flood => return self.begin_close(now, position, CloseReason::CommandFlood),
        }
        match parsed {
            Ok(command) => {
                session.has_commanded = true;
                self.carry_out(now, position, command);
            }
            Err(refusal) => self.refuse(position, refusal),
        }
    }

    /// A WebSocket ping or pong takes one from the command rate as well: answering it is work. One
    /// beyond it cannot be refused in words, so it only counts, and a flood of them ends.
    pub(crate) fn take_control(&mut self, now: Now, position: usize) {
        let config = self.shared.config();
        let (per_second, burst) = (config.commands_per_second, config.command_burst);
        match self.sessions[position].rate.take(now.monotonic_us, per_second, burst, 1) {
            Allowed::Yes => {}
            Allowed::No => self.stats.controls_refused += 1,
            Allowed::Flood => self.begin_close(now, position, CloseReason::CommandFlood),
        }
    }

    fn carry_out(&mut self, now: Now, position: usize, command: Command) {
        let id = command.id;
        let outcome = match command.op {
            Op::Subscribe(subscribe) => self.subscribe(position, id, &subscribe),
            Op::Unsubscribe { symbols, channels } => {
                self.unsubscribe(position, id, &symbols, channels)
            }
            Op::Throttle { symbols, throttle_ms, max_bytes_per_second } => {
                let result = self.throttle(position, id, symbols.as_deref(), throttle_ms);
                if result.is_ok()
                    && let Some(rate) = max_bytes_per_second
                {
                    self.limit_bytes(now, position, rate);
                }
                result
            }
            Op::Credit { frames } => self.credit(position, id, frames),
            Op::Ack { frame } => return self.acknowledge(position, id, frame),
            Op::History { symbol, channel, before_s, limit } => {
                self.history(id, &symbol, &channel, before_s, limit)
            }
            Op::Symbols { prefix, after, limit } => {
                self.symbols(id, &prefix, after.as_deref(), limit)
            }
            Op::Ping => Ok(Reply::Pong { id, time_us: now.unix_us }),
            Op::Auth { .. } => Err(Refusal {
                code: ErrorCode::NotRequired,
                message: "this gateway asks for no authentication".into(),
                field: None,
                id,
            }),
        };
        match outcome {
            Ok(Reply::Throttled { id, throttle_ms, count, rejected, .. }) => {
                // The budget is set after the throttle was found good, so it is told here.
                let budget = self.sessions[position].budget.as_ref();
                let max_bytes_per_second = budget.map(|each| each.bytes_per_second);
                let reply =
                    Reply::Throttled { id, throttle_ms, max_bytes_per_second, count, rejected };
                self.reply_to(position, &reply);
            }
            Ok(reply) => self.reply_to(position, &reply),
            Err(refusal) => self.refuse(position, refusal),
        }
    }

    fn limit_bytes(&mut self, now: Now, position: usize, rate: Option<u64>) {
        let session = &mut self.sessions[position];
        match (rate, session.budget.as_mut()) {
            (None, _) => session.budget = None,
            (Some(rate), Some(budget)) => budget.set_rate(rate, now.monotonic_us),
            (Some(rate), None) => {
                session.budget = Some(Box::new(Budget::new(rate, now.monotonic_us)));
            }
        }
    }

    fn credit(
        &mut self,
        position: usize,
        id: Option<i64>,
        frames: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let session = &mut self.sessions[position];
        if let Some(frames) = frames
            && !(1..=CREDIT_LIMIT_FRAMES).contains(&frames)
        {
            let message = format!("frames is {frames}: must be 1 to {CREDIT_LIMIT_FRAMES}, or nil");
            return Err(bad_field(id, "frames", message));
        }
        session.credit = frames.map(|frames| Box::new(Credit::new(frames)));
        Ok(Reply::Credited { id, frames, from: session.frame_sequence })
    }

    fn acknowledge(&mut self, position: usize, id: Option<i64>, frame: u64) {
        let session = &mut self.sessions[position];
        if frame > session.frame_sequence {
            let message =
                format!("frame is {frame}: the last frame sent is {}", session.frame_sequence);
            return self.refuse(position, bad_field(id, "frame", message));
        }
        session.has_commanded = true;
        session.acknowledged = session.acknowledged.max(frame);
        if let Some(credit) = session.credit.as_mut() {
            credit.acknowledged(frame);
        }
    }

    fn symbols(
        &self,
        id: Option<i64>,
        prefix: &str,
        after: Option<&str>,
        limit: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let limit = limit.unwrap_or(SYMBOLS_PAGE_LIMIT);
        if !(1..=SYMBOLS_PAGE_LIMIT).contains(&limit) {
            let message = format!("limit is {limit}: must be 1 to {SYMBOLS_PAGE_LIMIT}");
            return Err(bad_field(id, "limit", message));
        }
        let (page, more) = self.shared.hub().list(prefix, after, limit as usize);
        let symbols = page.iter().map(|DirectoryLine { definition, instrument }| SymbolInfo {
            name: definition.name.to_string(),
            price_exponent: definition.price_exponent,
            size_exponent: definition.size_exponent,
            tick_size: definition.tick_size,
            instrument: instrument.as_deref().cloned().unwrap_or_default(),
        });
        Ok(Reply::Symbols { id, symbols: symbols.collect(), more })
    }
}

pub(crate) fn bad_field(id: Option<i64>, field: &str, message: String) -> Refusal {
    Refusal { code: ErrorCode::BadField, message, field: Some(field.into()), id }
}

/// Client text in a message: its first bytes, so that an answer cannot be made to grow.
pub(crate) fn shortened(text: &str) -> String {
    // Most texts are no longer than that in bytes.
    match text.len() {
        0..=NAME_LIMIT_BYTES => text.to_owned(),
        _ => text.chars().take(NAME_LIMIT_BYTES).collect(),
    }
}
