//! What is said of a load under way: a bar on a terminal, else a line every few seconds, or JSON for programs.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::{cli::say, client::Retry, load::run::Run};

/// Between two lines, where there is no bar.
const PAUSE: Duration = Duration::from_secs(5);

/// Tells how far a load has come, and of breaks.
#[derive(Clone)]
pub struct Telling {
    form: Form,
    started: Instant,
    /// How many rows were answered by earlier runs.
    rows_before: u64,
    /// When a line was last said, in milliseconds from the beginning.
    said: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Form {
    Bar(ProgressBar),
    Lines,
    Json,
}

impl Telling {
    /// Of a file of that many bytes, where it is known.
    pub fn new(length: Option<u64>, rows_before: u64, as_json: bool) -> Self {
        let form = if as_json {
            Form::Json
        } else {
            let bar = bar(length);
            // Also a terminal may be unable to show one, such as one of TERM=dumb.
            if bar.is_hidden() { Form::Lines } else { Form::Bar(bar) }
        };
        Self { form, started: Instant::now(), rows_before, said: Arc::default() }
    }

    pub fn tell(&self, run: &Run) {
        let counts = &run.journal.counts;
        let rows = run.journal.position.rows;
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = (rows - self.rows_before.min(rows)) as f64 / seconds.max(0.001);
        let line = format!(
            "{rows} rows, {rate:.0}/s: {} created, {} failed, {} already there",
            counts.created, counts.failed, counts.already_there
        );
        match &self.form {
            Form::Bar(bar) => {
                bar.set_message(line);
                bar.set_position(run.bytes_answered);
            }
            _ if !self.is_time() => {}
            Form::Lines => _ = writeln!(io::stderr(), "{line}"),
            Form::Json => say(&json!({"progress": {
                "rows": rows, "rows_per_second": rate.round(), "created": counts.created,
                "already_there": counts.already_there, "failed": counts.failed,
                "bytes": run.bytes_answered, "bytes_of_file": run.source.length(),
            }})
            .to_string()),
        }
    }

    pub fn tell_retry(&self, retry: &Retry<'_>) {
        let seconds = retry.wait.as_secs_f64();
        let line = format!("{}; attempt {} failed, the next is in {seconds:.1} seconds", retry.error, retry.attempt);
        match &self.form {
            Form::Bar(bar) => bar.println(line),
            Form::Lines => _ = writeln!(io::stderr(), "{line}"),
            Form::Json => say(&json!({"retry": {
                "error": retry.error.to_string(), "error_code": retry.error.code(), "attempt": retry.attempt,
                "wait_seconds": seconds,
            }})
            .to_string()),
        }
    }

    pub fn end(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }

    fn is_time(&self) -> bool {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let is_time = now - self.said.load(Ordering::Relaxed).min(now) >= PAUSE.as_millis() as u64;
        if is_time {
            self.said.store(now, Ordering::Relaxed);
        }
        is_time
    }
}

/// It stays one line, however narrow the terminal is: what finds no room there is left out at its end.
fn bar(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:20} {percent}%, {eta} left: {wide_msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {elapsed}: {wide_msg}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
