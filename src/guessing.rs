//! Makes those wait who guess at passwords and codes.
//!
//! What fails is counted in the database, so for all replicas together. The first failures cost nothing; from then on
//! each makes the next guess wait twice as long, up to a longest wait. Who comes too early is told the time and nothing
//! else, and does not lengthen it. Failures are forgotten when none came for a while. `docs/guessing.md` has the figures
//! and the reasons.

use std::{collections::HashMap, time::Duration};

use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    id::{OrganisationId, SubjectKey},
    secret::CodeHasher,
    storage::{
        Database,
        failed_guesses::{self, FailedGuess},
    },
};

/// How much may be guessed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many wrong passwords may be given for a user before one has to wait.
    pub wrong_passwords: u32,
    /// How many wrong codes a caller may give before it has to wait.
    pub wrong_codes: u32,
    /// The longest time that one has to wait.
    pub longest_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wrong_passwords: 5, wrong_codes: 10, longest_wait: Duration::from_secs(60) }
    }
}

impl Limits {
    /// The wait that is doubled, as a part of the longest.
    const FIRST_WAIT: u32 = 60;
    /// What is guessed at waits for a much shorter time than who guesses: else one who guesses for ever would keep the
    /// owner waiting for ever. It has to do with many who guess together.
    const SHARE_OF_NAME: u32 = 30;
    const SHARE_OF_ACCESS_TOKEN: u32 = 6;

    /// For how long failures are remembered after the last wait: so long that pauses don't pay.
    pub fn memory(&self) -> Duration {
        self.longest_wait * 10
    }

    fn limit(&self, free: u32, share: u32) -> Limit {
        let longest = milliseconds(self.longest_wait / share).max(1);
        let first = milliseconds(self.longest_wait / Self::FIRST_WAIT).clamp(1, longest);
        Limit { free: i64::from(free.max(1)), first, longest }
    }
}

/// What failures are counted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    key: SubjectKey,
    limit: Limit,
}

/// In failures and milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Limit {
    free: i64,
    first: i64,
    longest: i64,
}

impl Limit {
    /// How long the guess after so many failures has to wait.
    fn wait_after(&self, failures: i64) -> i64 {
        match failures - self.free {
            ..0 => 0,
            doublings => self.first.saturating_mul(1 << doublings.min(32)).min(self.longest),
        }
    }
}

/// For how long nothing of it may be guessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait(pub Duration);

impl Wait {
    fn of(milliseconds: i64) -> Self {
        Self(Duration::from_millis(milliseconds.unsigned_abs()))
    }

    /// In seconds, rounded up.
    pub fn seconds(self) -> u64 {
        self.0.as_millis().div_ceil(1000).max(1) as u64
    }

    /// Refuses a call until then.
    pub fn refusal(self, too_many: &str) -> Error {
        let message = format!("{too_many}; try again in {} s.", self.seconds());
        Error::new(ErrorKind::TooManyRequests, message).retry_after(self.0)
    }
}

/// What is known of some subjects.
#[derive(Clone, Debug, Default)]
pub struct History {
    rows: HashMap<SubjectKey, FailedGuess>,
    now: i64,
    memory: i64,
}

impl History {
    /// Whether the subject was guessed at in vain, be it long ago.
    pub fn knows(&self, subject: Subject) -> bool {
        self.rows.contains_key(&subject.key)
    }

    fn failures(&self, subject: Subject) -> i64 {
        let remembered = self.rows.get(&subject.key).filter(|row| row.free_at + self.memory >= self.now);
        remembered.map_or(0, |row| row.failures)
    }

    /// For how long the subject must not be guessed at.
    pub fn wait(&self, subject: Subject) -> Option<Wait> {
        let wait = self.rows.get(&subject.key)?.free_at - self.now;
        // Longer ones come of a clock that was set back, and would last as long as that.
        (wait > 0 && wait <= 2 * subject.limit.longest).then(|| Wait::of(wait))
    }

    /// How many failures the subject has left before the next wait.
    pub fn left(&self, subject: Subject) -> usize {
        usize::try_from(subject.limit.free - self.failures(subject)).unwrap_or(0).max(1)
    }

    /// What is to be stored once so many failures more are counted.
    fn with_failures(&self, subject: Subject, more: u32) -> FailedGuess {
        let failures = self.failures(subject) + i64::from(more);
        FailedGuess {
            subject: subject.key,
            failures,
            free_at: self.now + subject.limit.wait_after(failures),
            version: self.rows.get(&subject.key).map_or(1, |row| row.version + 1),
        }
    }
}

/// Counts failures, and says who has to wait.
#[derive(Clone)]
pub struct Guessing {
    database: Database,
    hasher: CodeHasher,
    limits: Limits,
    clock: Clock,
}

impl Guessing {
    pub fn new(database: Database, hasher: CodeHasher, limits: Limits, clock: Clock) -> Self {
        Self { database, hasher, limits, clock }
    }

    /// A name that somebody logs in by, whether or not it exists, as one source guesses at it.
    pub fn login_from(&self, organisation: &str, name: &str, source: &str) -> Subject {
        let key = self.hasher.subject(&["login_from", organisation, name, source]);
        Subject { key, limit: self.limits.limit(self.limits.wrong_passwords, 1) }
    }

    /// The same name, whoever guesses at it.
    pub fn login(&self, organisation: &str, name: &str) -> Subject {
        let key = self.hasher.subject(&["login", organisation, name]);
        let free = self.limits.wrong_passwords.saturating_mul(4);
        Subject { key, limit: self.limits.limit(free, Limits::SHARE_OF_NAME) }
    }

    /// A user who gives codes.
    pub fn caller(&self, organisation_id: OrganisationId, user_id: &str) -> Subject {
        let key = self.hasher.subject(&["caller", &organisation_id.to_string(), user_id]);
        Subject { key, limit: self.limits.limit(self.limits.wrong_codes, 1) }
    }

    /// An access token whose pass code is given, whether or not it exists.
    pub fn access_token(&self, organisation_id: OrganisationId, identifier: &str) -> Subject {
        let key = self.hasher.subject(&["access_token", &organisation_id.to_string(), identifier]);
        Subject { key, limit: self.limits.limit(self.limits.wrong_codes / 2, Limits::SHARE_OF_ACCESS_TOKEN) }
    }

    /// What is known of the subjects, in one statement.
    pub async fn look_up(&self, subjects: &[Subject]) -> Result<History> {
        Ok(self.known(failed_guesses::find_many(self.database.reader(), &keys(subjects)).await?))
    }

    fn known(&self, rows: Vec<FailedGuess>) -> History {
        let rows = rows.into_iter().map(|row| (row.subject, row)).collect();
        History { rows, now: self.clock.now().timestamp_millis(), memory: milliseconds(self.limits.memory()) }
    }

    /// Counts so many failures of each subject, of which `known` was looked up before; answers the longest wait that
    /// comes of it. Where others were faster and there is a wait already, that is the error: what one was about to be
    /// told is not to be told.
    ///
    /// However many count at once, no more succeed than the limit allows, for each does only where nobody has counted
    /// since it looked.
    pub async fn count(&self, failures: &[(Subject, u32)], known: &History) -> Result<Result<Option<Wait>, Wait>> {
        let mut missing = failures.to_vec();
        let mut newer = None;
        let mut longest = None;
        loop {
            let known = newer.as_ref().unwrap_or(known);
            if let Some(wait) = missing.iter().filter_map(|(subject, _)| known.wait(*subject)).max() {
                return Ok(Err(wait));
            }
            let rows = missing.iter().map(|(subject, more)| known.with_failures(*subject, *more));
            let rows: Vec<FailedGuess> = rows.collect();
            let stored = failed_guesses::store(self.database.side_writer(), &rows).await?;
            let waits = rows.iter().filter(|row| stored.contains(&row.subject)).map(|row| row.free_at - known.now);
            longest = longest.max(waits.filter(|wait| *wait > 0).max().map(Wait::of));
            missing.retain(|(subject, _)| !stored.contains(&subject.key));
            if missing.is_empty() {
                return Ok(Ok(longest));
            }
            let subjects: Vec<Subject> = missing.iter().map(|(subject, _)| *subject).collect();
            newer = Some(self.look_up(&subjects).await?);
        }
    }

    /// Whether the subjects may be guessed at still, asked in the order of those who count: what was guessed right waits
    /// with what was guessed wrong at the same time.
    pub async fn confirm(&self, subjects: &[Subject]) -> Result<Result<(), Wait>> {
        let known = self.known(failed_guesses::find_many_in_turn(self.database.side_writer(), &keys(subjects)).await?);
        Ok(subjects.iter().filter_map(|subject| known.wait(*subject)).max().map_or(Ok(()), Err))
    }

    /// Forgets what was counted of the subjects.
    pub async fn forget(&self, subjects: &[Subject]) -> Result<()> {
        Ok(failed_guesses::remove(self.database.side_writer(), &keys(subjects)).await?)
    }

    /// Removes what is no longer remembered, in steps so small that no call waits for them.
    pub async fn remove_old(&self) -> Result<()> {
        const STEP: u32 = 200;
        let before = self.clock.now().timestamp_millis() - milliseconds(self.limits.memory());
        while failed_guesses::remove_old(self.database.side_writer(), before, STEP).await? > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

fn keys(subjects: &[Subject]) -> Vec<SubjectKey> {
    subjects.iter().map(|subject| subject.key).collect()
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
