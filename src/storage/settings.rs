//! What PostgreSQL is told, so that nothing hangs on the defaults of the server, of the database or of the user: by each
//! session once, for statements that stand alone, and by each transaction in the string that begins it.

use std::time::Duration;

/// What a session, and each transaction, tells PostgreSQL's planner. What is looked up is looked up by key, a thousand
/// keys in less time than it takes to start parallel workers, to compile a plan or to read a large table; or it is some
/// rows in the order of an index. The planner does not know that of a table that has just grown, for which it has no
/// statistics yet: it would read and sort all events of an organisation for the newest hundred.
///
/// Transactions say it again for poolers, behind which the session is another's. Where Citus is there, they do not: it
/// would not hand on what they say to the machines that do the work, which are told by settings of the database;
/// `migrate` makes those.
pub(super) const PLANNER: [&str; 6] = [
    "enable_seqscan = off",
    "enable_bitmapscan = off",
    "enable_hashjoin = off",
    "enable_mergejoin = off",
    "max_parallel_workers_per_gather = 0",
    "jit = off",
];

/// In a transaction, which may be about events, no plan is kept: one from when the table was small may take the wrong
/// index. The directory is looked up outside, by plans that last until its import has statistics made.
const KEEP_NO_PLAN: &str = "plan_cache_mode = force_custom_plan";

/// Statements that stand alone look up the directory, all kinds of names in one, which takes longer to plan than to run.
/// PostgreSQL would plan it anew for each call of a few names, for which it takes a plan of their own for cheaper. Citus
/// has no such plan for a statement of several tables, and finds out by itself for which it has.
const KEEP_A_PLAN: &str = "SELECT set_config('plan_cache_mode', CASE \
                           WHEN EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus') THEN 'auto' \
                           ELSE 'force_generic_plan' END, FALSE)";

/// Frees the names that sqlx gives to what it prepares, counting from one on each connection.
pub(super) const DEALLOCATE: &str = "DEALLOCATE ALL";

/// What the transaction of the steps says: what PostgreSQL gives notice of in them is as it should be.
pub(super) const NO_NOTICES: &str = "SET LOCAL client_min_messages = warning";

/// An acknowledged event is on disk.
const DURABLE: &str = "synchronous_commit = on";

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// To write. Each statement sees what was committed before it, as the turn of a call demands.
    Write,
    /// To read, all of it at one moment.
    Read,
}

/// How long the parts of a call may take. All follow from how long a call may take as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub call: Duration,
}

impl Limits {
    /// How long a statement waits for a lock, such as the turn of its organisation: less than its caller does, so that
    /// it is not left in the queue.
    fn lock(self) -> Duration {
        self.call / 2
    }

    fn statement(self) -> Duration {
        self.call
    }

    /// How long a transaction may wait for its server's next statement. It may hold a turn that others wait for, and its
    /// server may be frozen; so less than those wait.
    pub fn idle_in_transaction(self) -> Duration {
        (self.call / 6).min(Duration::from_secs(60))
    }

    /// How long the server itself waits for the end of a statement, should neither the database nor the network in between
    /// say a word: longer than the database has for it.
    pub fn patience(self) -> Duration {
        self.statement() + Duration::from_secs(5)
    }

    fn settings(self) -> [String; 3] {
        [
            ("lock_timeout", self.lock()),
            ("statement_timeout", self.statement()),
            ("idle_in_transaction_session_timeout", self.idle_in_transaction()),
        ]
        // Zero would stand for no limit.
        .map(|(name, limit)| format!("{name} = {}", limit.as_millis().max(1)))
    }
}

/// What a new session says.
pub(super) fn of_session(limits: Limits) -> String {
    let defaults = ["default_transaction_isolation = 'read committed'", "default_transaction_read_only = off", DURABLE];
    let limits = limits.settings();
    let settings = defaults.into_iter().chain(PLANNER).chain(limits.iter().map(String::as_str));
    settings.map(|setting| format!("SET {setting}; ")).chain([KEEP_A_PLAN.to_owned()]).collect()
}

/// What begins a transaction. Where sessions are shared, the one that the transaction gets may hold what others prepared
/// in it.
pub(super) fn begin(access: Access, limits: Limits, is_citus: bool, shares_sessions: bool) -> String {
    let limits = limits.settings();
    let mut settings: Vec<&str> = limits.iter().map(String::as_str).collect();
    let mut begin = match access {
        Access::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    }
    .to_owned();
    if access == Access::Write {
        settings.push(DURABLE);
    }
    if !is_citus {
        settings.extend(PLANNER);
    }
    settings.push(KEEP_NO_PLAN);
    begin.extend(settings.iter().map(|setting| format!("; SET LOCAL {setting}")));
    if shares_sessions {
        begin.extend(["; ", DEALLOCATE]);
    }
    begin
}
