//! A load, from its first chunk to its last.

use std::{
    collections::VecDeque,
    io, mem,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{select, sync::mpsc::Receiver};
use tonic::Code as GrpcCode;

use super::{
    chunks::{Chunk, Part},
    fault::Trouble,
    journal::Journal,
    outcomes::Outcomes,
    source::Source,
};
use crate::{
    client::{Client, Error, Load, LoadOptions},
    contract::{LoadChunkResponse, ProcessedCustomerEvent, UnprocessedCustomerEvent},
    rows::{csv::write_line, refused::Format},
};

/// How often the journal is written. What was answered after it is answered again, from what the server keeps.
const JOURNAL_PAUSE: Duration = Duration::from_millis(500);

const UNREAD: &str = "the file was not read to its end, for a reason that the log has";

const CHANGED: &str = "the file was written to while it was loaded, and what was read since was not sent. Once the file is whole, \
                       run the same command again: it goes on where the rows before are as they were";

/// A load, as far as it has come.
pub struct Run {
    pub source: Source,
    pub format: Arc<Format>,
    pub journal: Journal,
    /// Where the journal is written; a rehearsal has none, and neither has an input without a place for it.
    pub journal_path: Option<PathBuf>,
    pub failed: Option<Outcomes>,
    pub created: Option<Outcomes>,
    pub is_rehearsal: bool,
    /// How many bytes of the file are done with, about.
    pub bytes_answered: u64,
    pub written: Instant,
}

/// What became of an event.
enum Outcome {
    Processed(ProcessedCustomerEvent),
    Unprocessed(UnprocessedCustomerEvent),
}

impl Run {
    /// Sends what is read until the end, or until `stop` comes; tells of each chunk that was answered. However it ends, the
    /// journal and the files have what was answered.
    pub async fn carry_out(
        &mut self,
        client: &Client,
        parts: Receiver<Result<Part, Trouble>>,
        stop: impl Future<Output = ()>,
        mut tell: impl FnMut(&Self),
    ) -> Result<(), Trouble> {
        self.journal.is_at_rest = false;
        let ended = select! {
            ended = self.send_all(client, parts, &mut tell) => ended,
            () = stop => Err(Trouble::ToldToStop),
        };
        self.journal.is_at_rest = true;
        let written = self.write();
        ended.and(written)
    }

    async fn send_all(
        &mut self,
        client: &Client,
        mut parts: Receiver<Result<Part, Trouble>>,
        tell: &mut impl FnMut(&Self),
    ) -> Result<(), Trouble> {
        // Whoever has nothing to send needs no server.
        let first = parts.recv().await.transpose()?;
        if let Some(Part::End) = first {
            return Ok(());
        }
        self.write()?;
        let mut load = self.open(client).await?;
        let mut under_way: VecDeque<Chunk> = VecDeque::new();
        let mut end = self.take(first.map(Ok), &mut load, &mut under_way).await?;
        loop {
            while under_way.front().is_some_and(|chunk| !chunk.has_events()) {
                self.settle(&mut under_way, None)?;
            }
            tell(self);
            // However the file ends, what was sent is waited for.
            if under_way.is_empty()
                && let Some(end) = end
            {
                return end;
            }
            select! {
                answer = load.next(), if !under_way.is_empty() => {
                    let answer = answer.map_err(|error| self.explain(&error))?;
                    self.settle(&mut under_way, answer)?;
                }
                part = parts.recv(), if end.is_none() && under_way.len() < load.max_in_flight() => {
                    end = self.take(part, &mut load, &mut under_way).await?;
                }
            }
        }
    }

    /// Sends what is read; answers how the file ends, where it does.
    async fn take(
        &mut self,
        part: Option<Result<Part, Trouble>>,
        load: &mut Load,
        under_way: &mut VecDeque<Chunk>,
    ) -> Result<Option<Result<(), Trouble>>, Trouble> {
        match part {
            Some(Ok(Part::Chunk(_))) if self.source.has_changed() => Ok(Some(Err(Trouble::stopped(CHANGED)))),
            Some(Ok(Part::Chunk(chunk))) => self.send(load, chunk, under_way).await.map(|()| None),
            Some(Ok(_)) => Ok(Some(Ok(()))),
            Some(Err(trouble)) => Ok(Some(Err(trouble))),
            None => Ok(Some(Err(Trouble::stopped(UNREAD)))),
        }
    }

    async fn open(&self, client: &Client) -> Result<Load, Trouble> {
        let options = LoadOptions { validate_only: self.is_rehearsal, ..LoadOptions::default() };
        let opened = client.load(&self.journal.load_id, options).await;
        let mut load = opened.map_err(|error| self.explain(&error))?;
        if !self.is_rehearsal && load.next_offset() < self.journal.offset {
            return Err(Trouble::stopped(format!(
                "the server knows {} events of this load, and the journal {}: it has forgotten them (it keeps answers for 7 \
                 days, where it is not set to another time), or it is another server, or another organisation. Nothing was \
                 sent. On the right server, go on with the rest of the file with --renew",
                load.next_offset(),
                self.journal.offset
            )));
        }
        load.begin_at(self.journal.offset);
        Ok(load)
    }

    async fn send(
        &mut self,
        load: &mut Load,
        mut chunk: Chunk,
        under_way: &mut VecDeque<Chunk>,
    ) -> Result<(), Trouble> {
        let events = mem::take(&mut chunk.events);
        under_way.push_back(chunk);
        if events.is_empty() {
            return Ok(());
        }
        match load.send_encoded(events).await.map_err(|error| self.explain(&error))? {
            Some(answer) => self.settle_answered(under_way, answer),
            None => Ok(()),
        }
    }

    /// Settles the oldest chunk with events, and those before it, which have none.
    fn settle_answered(&mut self, under_way: &mut VecDeque<Chunk>, answer: LoadChunkResponse) -> Result<(), Trouble> {
        while under_way.front().is_some_and(|chunk| !chunk.has_events()) {
            self.settle(under_way, None)?;
        }
        self.settle(under_way, Some(answer))
    }

    /// Keeps what became of the oldest chunk.
    fn settle(&mut self, under_way: &mut VecDeque<Chunk>, answer: Option<LoadChunkResponse>) -> Result<(), Trouble> {
        let Some(chunk) = under_way.pop_front() else { return Ok(()) };
        let answer = answer.unwrap_or_default();
        let mut outcomes: Vec<Option<Outcome>> = Vec::new();
        outcomes.resize_with(chunk.rows.iter().filter(|row| row.fault.is_none()).count(), || None);
        let mut answered = |index: Option<u32>, outcome| {
            let index = index.and_then(|index| usize::try_from(index).ok());
            if let Some(place) = index.and_then(|index| outcomes.get_mut(index)) {
                *place = Some(outcome);
            }
        };
        for event in answer.processed_customer_events_set {
            answered(event.index, Outcome::Processed(event));
        }
        for event in answer.unprocessed_customer_events_set {
            answered(event.index, Outcome::Unprocessed(event));
        }
        if outcomes.iter().any(Option::is_none) || answer.offset.unwrap_or_default() != self.offset_of(&outcomes) {
            return Err(Trouble::stopped(
                "the server's answer is not about the events that were sent: is it another version?",
            ));
        }
        self.journal.offset += outcomes.len() as u64;
        let mut outcomes = outcomes.into_iter().flatten();
        for row in &chunk.rows {
            let outcome = if row.fault.is_none() { outcomes.next() } else { None };
            match (&row.fault, outcome) {
                (Some(fault), _) => self.fail(row.line, [fault.code.name(), &fault.reason], &row.source),
                (None, Some(Outcome::Unprocessed(event))) => {
                    let error = [event.error_code(), event.error_description()];
                    self.fail(row.line, error, &row.source);
                }
                (None, Some(Outcome::Processed(event))) => self.create(row.line, &event),
                (None, None) => {}
            }
        }
        self.journal.position = chunk.end;
        self.bytes_answered = chunk.bytes_read;
        if self.written.elapsed() >= JOURNAL_PAUSE { self.write() } else { Ok(()) }
    }

    /// The offset of the chunk whose outcomes these are; a chunk without events has none, and no answer.
    fn offset_of(&self, outcomes: &[Option<Outcome>]) -> u64 {
        if outcomes.is_empty() { 0 } else { self.journal.offset }
    }

    fn fail(&mut self, line: u64, error: [&str; 2], row: &[u8]) {
        self.journal.counts.fail(error[0], line);
        let Some(failed) = &mut self.failed else { return };
        let is_first = failed.length() == 0;
        failed.add(|text| {
            if is_first {
                self.format.begin(text);
            }
            self.format.write(text, error, row);
        });
    }

    fn create(&mut self, line: u64, event: &ProcessedCustomerEvent) {
        let counts = &mut self.journal.counts;
        *(if event.replayed() { &mut counts.already_there } else { &mut counts.created }) += 1;
        let Some(created) = &mut self.created else { return };
        let is_first = created.length() == 0;
        let line = line.to_string();
        let cells = [&line, event.request_unique_identifier(), event.id(), event.number()];
        created.add(|text| {
            if is_first {
                text.extend_from_slice(b"line,request_unique_identifier,id,number\n");
            }
            write_line(text, cells.into_iter().map(str::as_bytes), b',');
            text.push(b'\n');
        });
    }

    /// Brings the files of outcomes and then the journal to the disk.
    fn write(&mut self) -> Result<(), Trouble> {
        let full = |what: String, cause: io::Error| {
            let mended = if cause.kind() == io::ErrorKind::StorageFull { "there is room" } else { "that is mended" };
            Trouble::stopped(format!(
                "{what} cannot be written: {cause}. Nothing is lost: once {mended}, run the same command again"
            ))
        };
        for outcomes in [&mut self.failed, &mut self.created].into_iter().flatten() {
            outcomes.sync().map_err(|cause| full(outcomes.path().display().to_string(), cause))?;
        }
        // Where there is no such file this time, that of the time before may go on the next.
        self.journal.failed = self.failed.as_ref().map(Outcomes::written).or(self.journal.failed.take());
        self.journal.created = self.created.as_ref().map(Outcomes::written).or(self.journal.created.take());
        if let Some(path) = &self.journal_path {
            self.journal.write(path).map_err(|cause| full(format!("the journal {}", path.display()), cause))?;
        }
        self.written = Instant::now();
        Ok(())
    }

    /// What a refusal means for the load.
    fn explain(&self, error: &Error) -> Trouble {
        let rows = self.journal.position.rows;
        let helps = match error.code() {
            Some("InvalidTokenException") => {
                "Give a token that is valid in REFERRAL_EVENTS_TOKEN or --token-file, or log in with --username"
                    .to_owned()
            }
            Some("InvalidCredentialsException") => {
                "Look at --username, at --organisation, and at the password, which is that of REFERRAL_EVENTS_PASSWORD where \
                 it is set and else asked for"
                    .to_owned()
            }
            Some("IdempotencyKeyReusedException") => format!(
                "Other rows were sent after row {rows} before, under the same load: the file has changed. Put it back, or go on \
                 with the file as it is with --renew"
            ),
            Some("OffsetOutOfRangeException") => {
                "The server does not go on from there; go on with the rest of the file with --renew".to_owned()
            }
            None if error.grpc_code() == GrpcCode::FailedPrecondition => {
                "Go on with the rest of the file with --renew".to_owned()
            }
            _ if error.grpc_code() == GrpcCode::Unimplemented => {
                "The server is older than this program, and takes no loads".to_owned()
            }
            _ => "Run the same command again to go on".to_owned(),
        };
        Trouble::stopped(format!("{error}. {helps}; {rows} rows are answered"))
    }
}

impl Chunk {
    /// Whether any of its rows is an event, sent or not.
    fn has_events(&self) -> bool {
        self.rows.iter().any(|row| row.fault.is_none())
    }
}
