//! The log: lines on standard error that nobody ever waits for.
//!
//! A thread of its own writes them. What it cannot write in time, because nobody reads, or at all, because the disk is
//! full or the reader gone, is dropped, counted, and told once lines get through again.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{SecondsFormat, Utc};
use clap::ValueEnum;
use serde_json::json;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, Layer, filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// How many lines wait to be written at most; those of a call that fails are some 300 bytes each.
const WAITING_LINES: usize = 8192;
/// How often it is told at most that lines were dropped.
const TELLING: Duration = Duration::from_secs(10);

/// What a setting lets through: a level, or levels by module. To the filter itself a word that is no level is a module,
/// all of which it lets through, and nothing else.
pub fn filter(setting: &str) -> Result<EnvFilter, String> {
    let refusal = |reason: String| {
        format!(
            "{reason}; it is a level (off, error, warn, info, debug or trace), or levels by module, as in \
             info,referral_events=debug"
        )
    };
    let words: Vec<&str> = setting.split(',').map(str::trim).collect();
    let mut levels = words.iter().filter(|word| !word.contains(['=', '[', ']', '{', '}', '"']));
    if let Some(word) = levels.find(|word| word.is_empty() || word.parse::<LevelFilter>().is_err()) {
        return Err(refusal(format!("{word:?} is no level")));
    }
    EnvFilter::try_new(words.join(",")).map_err(|error| refusal(error.to_string()))
}

/// The form of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text on a terminal, JSON elsewhere
    Auto,
    Text,
    /// An object a line
    Json,
}

impl Format {
    fn is_json(self, is_terminal: bool) -> bool {
        match self {
            Self::Auto => !is_terminal,
            Self::Text => false,
            Self::Json => true,
        }
    }
}

/// Lines for which there was no place among those that wait.
static WITHOUT_PLACE: OnceLock<ErrorCounter> = OnceLock::new();
/// Lines that could not be written.
static UNWRITABLE: AtomicUsize = AtomicUsize::new(0);

/// How many lines of this process's log were dropped so far.
pub fn dropped_lines() -> usize {
    let without_place = WITHOUT_PLACE.get().map_or(0, ErrorCounter::dropped_lines);
    without_place.saturating_add(UNWRITABLE.load(Ordering::Relaxed))
}

/// The log of this process. When it is dropped, the lines that still wait are written, for a second at most.
pub struct Log {
    lines: NonBlocking,
    guard: Option<WorkerGuard>,
}

impl Log {
    /// Starts the log: from here on whatever passes the filter is written to standard error, panics too.
    pub fn start(filter: EnvFilter, format: Format) -> io::Result<Self> {
        let stderr = io::stderr();
        let is_json = format.is_json(stderr.is_terminal());
        // Standard error itself has a lock in this process, which a write that does not end would hold for ever.
        let output = File::from(stderr.as_fd().try_clone_to_owned()?);
        let builder = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).thread_name("log");
        let (lines, guard) = builder.finish(Output { output, is_json, told: 0, told_at: None });
        _ = WITHOUT_PLACE.set(lines.error_counter());
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone()).log_internal_errors(false);
        let layer = match is_json {
            true => layer.json().flatten_event(true).with_span_list(false).boxed(),
            false => layer.with_ansi(stderr.is_terminal()).boxed(),
        };
        tracing_subscriber::registry().with(filter).with(layer).init();
        // Otherwise a panic is written to standard error directly, and might wait there.
        panic::set_hook(Box::new(log_panic));
        Ok(Self { lines, guard: Some(guard) })
    }

    /// Writes a line that is not an event, after all that was logged before.
    pub fn say(&mut self, line: &str) {
        _ = self.lines.write_all(format!("{line}\n").as_bytes());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // If the waiting lines leave no place, the guard says so on standard output, and panics if that is closed.
        let guard = self.guard.take();
        _ = panic::catch_unwind(AssertUnwindSafe(|| drop(guard)));
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("of no known kind");
    let location = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    let backtrace = backtrace.as_ref().map(tracing::field::display);
    tracing::error!(location, backtrace, "panicked: {message}");
}

/// Writes lines, each whole, and fails at none.
struct Output {
    output: File,
    is_json: bool,
    /// How many dropped lines were told, and when.
    told: usize,
    told_at: Option<Instant>,
}

impl Output {
    /// Says, once a line got through, how many did not since this was said last.
    fn tell(&mut self) {
        let dropped = dropped_lines();
        if dropped == self.told || self.told_at.is_some_and(|at| at.elapsed() < TELLING) {
            return;
        }
        // Written here, because where lines are dropped there is no place for another one.
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let lines = dropped - self.told;
        let (target, message) = (module_path!(), format!("{lines} lines of the log were dropped"));
        let line = match self.is_json {
            true => json!({"timestamp": now, "level": "WARN", "message": message, "target": target}).to_string(),
            false => format!("{now}  WARN {target}: {message}"),
        };
        let line = format!("{line}\n");
        if self.output.write_all(line.as_bytes()).is_ok() {
            self.told = dropped;
            self.told_at = Some(Instant::now());
        }
    }
}

impl Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.output.write_all(line) {
            Ok(()) => self.tell(),
            Err(_) => _ = UNWRITABLE.fetch_add(1, Ordering::Relaxed),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
