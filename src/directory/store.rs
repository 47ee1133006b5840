//! Batches of rows into the database: a transaction each, and how one that lost is run again.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use super::{
    kind::{Content, DirectoryKind, ID},
    plan::{Plan, Planner, StoredRows, count_until_repeat, stored_columns},
    rejection::{Code, Fault, Rejection},
    row::Row,
    taps::Home,
};
use crate::{
    error::Result,
    id::{EntryKey, OrganisationId, RowKey},
    retry::Attempts,
    secret::CodeHasher,
    storage::{
        Database, Transaction,
        counters::{self, Counter},
        directory::{self, BUSINESS_UNITS, StoredColumn, UNITS},
        is_contention, is_unique_violation,
        party_states::{self, PartyKeys},
        people::Act,
    },
};

/// The most rows that are looked up and written in one go.
const CHUNK_ROWS: usize = 1000;
/// The rows of a transaction: enough of them that its commit is cheap, few enough that other writers wait a moment.
pub const BATCH_ROWS: usize = 4 * CHUNK_ROWS;
/// How often a transaction is run that loses against others.
const ATTEMPTS: u32 = 8;

/// Where the rows go.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub database: &'a Database,
    pub hasher: &'a CodeHasher,
    pub organisation_id: OrganisationId,
    pub kind: DirectoryKind,
}

pub struct Store<'a> {
    target: Target<'a>,
    note: Option<Note>,
    /// That of a dry run, for the whole file, so that each row finds what the rows before it would have written.
    dry_run: Option<Transaction>,
}

/// What is kept of an import in the audit: one entry, which each transaction that changes something brings up to date.
pub struct Note {
    id: Uuid,
    act: Act,
    /// What was stored so far.
    inserted: u64,
    updated: u64,
}

impl Note {
    /// Under an id, of an import that has stored so much.
    pub fn new(id: Uuid, act: Act, inserted: u64, updated: u64) -> Self {
        Self { id, act, inserted, updated }
    }

    async fn keep<C: ConnectionTrait>(&self, connection: &C, target: &Target<'_>, more: &Outcome) -> Result<(), DbErr> {
        let (inserted, updated) = (self.inserted + more.inserted, self.updated + more.updated);
        let counts = format!("{}: inserted {inserted}, updated {updated}", target.kind);
        let details = [Some(counts), self.act.details.clone()].into_iter().flatten().collect::<Vec<_>>().join("; ");
        let act = Act { details: Some(details), ..self.act.clone() };
        act.keep_under(connection, target.organisation_id, self.id).await
    }
}

/// When statistics are made: once a batch is inserted, and again each time that what was inserted has doubled, so that the
/// look-ups of a long file stay fast.
pub struct Growth {
    analyzed: u64,
}

impl Default for Growth {
    fn default() -> Self {
        Self { analyzed: (BATCH_ROWS / 2) as u64 }
    }
}

impl Growth {
    /// Whether so many rows are twice as many as there were when this was so before.
    pub fn has_doubled(&mut self, inserted: u64) -> bool {
        let has_doubled = inserted >= 2 * self.analyzed;
        if has_doubled {
            self.analyzed = inserted;
        }
        has_doubled
    }
}

/// What became of some rows.
#[derive(Default)]
pub struct Outcome {
    pub inserted: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub rejections: Vec<Rejection>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.rejections.extend(other.rejections);
    }
}

impl<'a> Store<'a> {
    /// A store that writes nothing in the end where `is_dry_run`, and what it stores is noted.
    pub async fn open(target: Target<'a>, is_dry_run: bool, note: Option<Note>) -> Result<Self> {
        let dry_run = if is_dry_run { Some(target.database.begin().await?) } else { None };
        Ok(Self { target, note, dry_run })
    }

    /// Stores a batch, in one transaction unless it collides with rows that another import writes meanwhile: then in
    /// halves, down to the row that collides.
    pub async fn store_batch(&mut self, rows: &[Row]) -> Result<Outcome> {
        if let Some(transaction) = &self.dry_run {
            return Ok(self.store_rows(transaction, rows).await?);
        }
        let mut outcome = Outcome::default();
        let mut parts = vec![rows];
        while let Some(rows) = parts.pop() {
            match self.store(rows).await? {
                Some(stored) => {
                    if let Some(note) = &mut self.note {
                        note.inserted += stored.inserted;
                        note.updated += stored.updated;
                    }
                    outcome.add(stored);
                }
                None if rows.len() > 1 => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    parts.extend([second, first]);
                }
                None => {
                    let fault = || Fault::new(Code::Busy, "collides with a row that is being written at the same time");
                    outcome.rejections.extend(rows.iter().map(|row| row.refuse(fault())));
                }
            }
        }
        Ok(outcome)
    }

    /// Stores `rows` in a transaction; `None` where a unique key refused one of them.
    async fn store(&self, rows: &[Row]) -> Result<Option<Outcome>> {
        // The look-up of the next attempt sees the other's row; only halves help against one that it doesn't.
        let is_lost_race = |error: &DbErr| is_contention(error) || (rows.len() == 1 && is_unique_violation(error));
        let mut attempts = Attempts::up_to(ATTEMPTS);
        loop {
            let transaction = self.target.database.begin().await?;
            let stored = match self.store_and_note(&transaction, rows).await {
                Ok(outcome) => transaction.commit().await.map(|()| outcome),
                Err(error) => {
                    // Why it failed says more than why it could not be rolled back.
                    _ = transaction.rollback().await;
                    Err(error)
                }
            };
            match stored {
                Ok(outcome) => return Ok(Some(outcome)),
                Err(error) if is_lost_race(&error) && !attempts.is_last() => attempts.next().await,
                Err(error) if is_unique_violation(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn store_and_note<C: ConnectionTrait>(&self, connection: &C, rows: &[Row]) -> Result<Outcome, DbErr> {
        let outcome = self.store_rows(connection, rows).await?;
        if let Some(note) = self.note.as_ref().filter(|_| outcome.inserted + outcome.updated > 0) {
            note.keep(connection, &self.target, &outcome).await?;
        }
        Ok(outcome)
    }

    async fn store_rows<C: ConnectionTrait>(&self, connection: &C, rows: &[Row]) -> Result<Outcome, DbErr> {
        counters::take(connection, self.target.organisation_id, Counter::DirectoryVersion, 1).await?;
        let mut outcome = Outcome::default();
        let mut rest = rows;
        let mut limit = CHUNK_ROWS;
        while !rest.is_empty() {
            let chunk = &rest[..rest.len().min(limit)];
            let chunk = &chunk[..count_until_repeat(self.target.kind, chunk)];
            let plan = self.store_chunk(connection, chunk).await?;
            // Where rows wait for each other, small chunks spare looking the waiting ones up again and again.
            limit = if plan.done < chunk.len() { plan.done * 2 } else { (limit * 2).min(CHUNK_ROWS) };
            rest = &rest[plan.done..];
            outcome.add(Outcome {
                inserted: plan.inserts.len() as u64,
                updated: plan.updated,
                unchanged: plan.unchanged,
                rejections: plan.rejections,
            });
        }
        Ok(outcome)
    }

    /// Stores as many rows of a chunk as need not wait for each other: at least one.
    async fn store_chunk<C: ConnectionTrait>(&self, connection: &C, rows: &[Row]) -> Result<Plan, DbErr> {
        let known = self.look_up(connection, rows).await?;
        let Target { kind, hasher, organisation_id, .. } = self.target;
        let planner = Planner { kind, hasher, organisation_id, known: &known };
        let first_key = match planner.count_new(rows) {
            0 => 0,
            count => counters::take(connection, organisation_id, Counter::DirectoryKey, count).await?,
        };
        let plan = planner.plan(rows, RowKey(first_key));
        let table = kind.table();
        let (inserted, updated) = plan.keys();
        if kind == DirectoryKind::RewardsParticipants && !updated.is_empty() {
            party_states::forget_participants(connection, organisation_id, &updated).await?;
        }
        if !plan.inserts.is_empty() {
            let columns = stored_columns(kind, 0..kind.columns().len());
            directory::insert_many(connection, organisation_id, table, &columns, &plan.inserts).await?;
        }
        for (positions, updates) in &plan.updates {
            let columns = stored_columns(kind, positions.iter().copied());
            directory::update_many(connection, organisation_id, table, &columns, hasher.has_two_keys(), updates)
                .await?;
        }
        match kind {
            DirectoryKind::RewardsParticipants => {
                let written = [inserted, updated].concat();
                party_states::note_ineffective_participants(connection, organisation_id, &written).await?;
                party_states::note_account_states(connection, organisation_id, PartyKeys::Participants(&written))
                    .await?;
            }
            DirectoryKind::AccountsReceivable if !updated.is_empty() => {
                party_states::note_account_states(connection, organisation_id, PartyKeys::Accounts(&updated)).await?;
            }
            DirectoryKind::Taps => self.store_default_taps(connection, &plan).await?,
            _ => {}
        }
        Ok(plan)
    }

    async fn look_up<C: ConnectionTrait>(&self, connection: &C, rows: &[Row]) -> Result<StoredRows, DbErr> {
        let Target { kind, organisation_id, .. } = self.target;
        let mut known = StoredRows { referred: HashMap::new(), stored: HashMap::new() };
        for (position, column) in kind.columns().iter().enumerate() {
            let Content::Reference(to) = column.content else { continue };
            let mut given: Vec<&str> = rows.iter().filter_map(|row| row.text(position)).collect();
            given.sort_unstable();
            given.dedup();
            if given.is_empty() {
                continue;
            }
            let found = directory::find_many_referred(connection, organisation_id, to.table(), &given).await?;
            known.referred.extend(found.into_iter().map(|referred| ((position, referred.given.clone()), referred)));
        }
        let (mut positions, mut columns): (Vec<usize>, Vec<StoredColumn>) = self.unique_columns().unzip();
        let count = positions.len();
        // While there are two hash keys, codes are looked for by their hashes of the other one, too.
        for arm in (0..count).filter(|_| self.target.hasher.has_two_keys()) {
            if matches!(kind.columns()[positions[arm]].content, Content::AuthenticationCode | Content::OneTimePassword)
            {
                positions.push(positions[arm]);
                columns.push(columns[arm]);
            }
        }
        let sought_in = |row: &Row, arm: usize, position: usize| match arm < count {
            true => self.sought(row, position, &known),
            false => row.old_hash(position).map(str::to_owned),
        };
        let sought: Vec<Vec<Option<String>>> = rows
            .iter()
            .map(|row| positions.iter().enumerate().map(|(arm, &position)| sought_in(row, arm, position)).collect())
            .collect();
        let values = stored_columns(kind, 0..kind.columns().len());
        let found =
            directory::find_many_by_unique(connection, organisation_id, kind.table(), &columns, &sought, &values)
                .await?;
        for stored in found {
            if let Some(&position) = usize::try_from(stored.arm).ok().and_then(|arm| positions.get(arm)) {
                known.stored.insert((position, stored.given.clone()), stored);
            }
        }
        Ok(known)
    }

    /// The unique columns with their positions: those first that say which row is meant.
    fn unique_columns(&self) -> impl Iterator<Item = (usize, StoredColumn)> {
        let columns = self.target.kind.columns();
        let natural_key = self.target.kind.natural_key();
        let mut positions: Vec<usize> = (0..columns.len()).filter(|&position| columns[position].unique).collect();
        positions.sort_by_key(|&position| (position != ID, columns[position].name != natural_key));
        positions.into_iter().filter_map(|position| Some((position, columns[position].stored?)))
    }

    /// What `row` gives to a unique column, as the database holds it.
    fn sought(&self, row: &Row, position: usize, known: &StoredRows) -> Option<String> {
        let value = row.text(position)?.to_owned();
        match self.target.kind.columns()[position].content {
            Content::Reference(_) => Some(known.referred.get(&(position, value))?.key.0.to_string()),
            _ => Some(value),
        }
    }

    /// Makes statistics, which are a help: an import that cannot make them goes on without.
    pub async fn analyze(&self) {
        let table = self.target.kind.table();
        let analyzed = match &self.dry_run {
            Some(transaction) => directory::analyze_within(transaction, table).await,
            None => directory::analyze(self.target.database, self.target.organisation_id, table).await,
        };
        if let Err(error) = analyzed {
            tracing::warn!(%error, table = table.name, "the table cannot be analyzed");
        }
    }

    /// Ends it, after so many rows.
    pub async fn close(self, inserted: u64, updated: u64) -> Result<()> {
        if let Some(transaction) = self.dry_run {
            transaction.rollback().await?;
        } else if inserted + updated >= BATCH_ROWS as u64 / 2 {
            self.vacuum().await;
        } else if inserted > 0 {
            // What sessions planned when the table had other rows ends with this, too.
            self.analyze().await;
        }
        Ok(())
    }

    /// A help, likewise.
    async fn vacuum(&self) {
        let table = self.target.kind.table();
        if let Err(error) = directory::vacuum(self.target.database, self.target.organisation_id, table).await {
            tracing::warn!(%error, table = table.name, "the table cannot be vacuumed");
        }
    }

    async fn store_default_taps<C: ConnectionTrait>(&self, connection: &C, plan: &Plan) -> Result<(), DbErr> {
        /// Of the places of one table, each with a TAP.
        #[derive(Default)]
        struct Changes {
            cleared: Vec<(EntryKey, EntryKey)>,
            set: Vec<(EntryKey, EntryKey)>,
        }
        let (mut of_units, mut of_business_units) = (Changes::default(), Changes::default());
        for (home, default_tap) in &plan.default_taps {
            let (place, changes) = match *home {
                Home::Unit(key) => (key, &mut of_units),
                Home::BusinessUnit(key) => (key, &mut of_business_units),
            };
            match default_tap.set {
                Some(tap) => changes.set.push((place, tap)),
                None => changes.cleared.extend(default_tap.cleared.iter().map(|&tap| (place, tap))),
            }
        }
        for (table, Changes { cleared, set }) in [(&UNITS, of_units), (&BUSINESS_UNITS, of_business_units)] {
            directory::clear_default_taps(connection, self.target.organisation_id, table, &cleared).await?;
            directory::set_default_taps(connection, self.target.organisation_id, table, &set).await?;
        }
        Ok(())
    }
}
