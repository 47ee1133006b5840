//! From a source to the database: a batch of rows a transaction, and how a transaction that lost is run again.

use std::{collections::HashMap, io::Read, thread};

use sea_orm::{ConnectionTrait, DbErr};
use tokio::sync::mpsc;

use super::{
    kind::{Content, DirectoryKind, ID},
    plan::{Home, Plan, Planner, StoredRows, count_until_repeat, stored_columns},
    row::{Checker, Rejection, Row},
    source::{self, Batch},
};
use crate::{
    error::{Error, Result},
    id::OrganisationId,
    retry::Attempts,
    secret::CodeHasher,
    storage::{
        Database,
        counters::{self, Counter},
        directory::{self, BUSINESS_UNITS, StoredColumn, UNITS},
        is_contention, is_unique_violation,
        party_states::{self, PartyKeys},
    },
};

/// The most rows that are looked up and written in one go.
const CHUNK_ROWS: usize = 1000;
/// The rows of a transaction: enough of them that its commit is cheap, few enough that other writers wait a moment.
const BATCH_ROWS: usize = 4 * CHUNK_ROWS;
/// How often a transaction is run that loses against others.
const ATTEMPTS: u32 = 8;
/// Of the rejected rows, as many are named.
pub const REJECTIONS_KEPT: usize = 1000;

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportSummary {
    pub inserted: u64,
    pub updated: u64,
    pub rejected: u64,
    /// The first [`REJECTIONS_KEPT`] rejected rows, by line.
    pub rejections: Vec<Rejection>,
}

/// How far an import has come. What it counts is committed.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub rows: u64,
    pub bytes: u64,
}

/// Imports rows of one kind from a CSV or NDJSON `source`, inserting those that are new and updating those that are
/// there. A bad row is rejected by itself. An error means that the rest of the file was not imported: rows already
/// reported to `progress` stay, and importing the whole file again does no harm.
///
/// The source is read on a thread of its own, so it may block.
pub async fn import(
    database: &Database,
    hasher: &CodeHasher,
    organisation_id: OrganisationId,
    kind: DirectoryKind,
    source: impl Read + Send + 'static,
    mut progress: impl FnMut(Progress),
) -> Result<ImportSummary> {
    let import = Import { database, hasher, organisation_id, kind };
    let checker = Checker { kind, hasher: hasher.clone(), organisation_id };
    let (sender, mut batches) = mpsc::channel(1);
    let reader = thread::Builder::new()
        .name("directory-import".to_owned())
        .spawn(move || source::read(source, &checker, BATCH_ROWS, &sender))
        .map_err(Error::internal)?;
    let mut summary = ImportSummary::default();
    let mut rows = 0;
    let mut analyzed = (BATCH_ROWS / 2) as u64;
    while let Some(batch) = batches.recv().await {
        let bytes = batch.bytes;
        rows += (batch.rows.len() + batch.rejections.len()) as u64;
        summary.add(import.store_batch(batch).await?);
        if summary.inserted >= 2 * analyzed {
            analyzed = summary.inserted;
            import.analyze().await;
        }
        progress(Progress { rows, bytes });
    }
    if summary.inserted + summary.updated >= BATCH_ROWS as u64 / 2 {
        import.vacuum().await;
    } else if summary.inserted > 0 {
        // What sessions planned when the table had other rows ends with this, too.
        import.analyze().await;
    }
    // The channel is closed, so the thread is at its end.
    reader.join().map_err(|_| Error::internal("the thread that reads the file panicked"))??;
    Ok(summary)
}

/// What became of some rows.
#[derive(Default)]
struct Outcome {
    inserted: u64,
    updated: u64,
    rejections: Vec<Rejection>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.rejections.extend(other.rejections);
    }
}

impl ImportSummary {
    fn add(&mut self, outcome: Outcome) {
        self.inserted += outcome.inserted;
        self.updated += outcome.updated;
        self.rejected += outcome.rejections.len() as u64;
        let room = REJECTIONS_KEPT - self.rejections.len();
        self.rejections.extend(outcome.rejections.into_iter().take(room));
    }
}

struct Import<'a> {
    database: &'a Database,
    hasher: &'a CodeHasher,
    organisation_id: OrganisationId,
    kind: DirectoryKind,
}

impl Import<'_> {
    /// Stores a batch, in one transaction unless it collides with rows that another import writes meanwhile: then in
    /// halves, down to the row that collides.
    async fn store_batch(&self, batch: Batch) -> Result<Outcome> {
        let mut outcome = Outcome { rejections: batch.rejections, ..Outcome::default() };
        let mut parts = vec![batch.rows.as_slice()];
        while let Some(rows) = parts.pop() {
            match self.store(rows).await? {
                Some(stored) => outcome.add(stored),
                None if rows.len() > 1 => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    parts.extend([second, first]);
                }
                None => outcome.rejections.extend(rows.first().map(|row| Rejection {
                    line: row.line,
                    reason: "collides with a row that is being written at the same time".to_owned(),
                })),
            }
        }
        outcome.rejections.sort_by_key(|rejection| rejection.line);
        Ok(outcome)
    }

    /// Stores `rows` in a transaction; `None` where a unique key refused one of them.
    async fn store(&self, rows: &[Row]) -> Result<Option<Outcome>> {
        // The look-up of the next attempt sees the other's row; only halves help against one that it doesn't.
        let is_lost_race = |error: &DbErr| is_contention(error) || (rows.len() == 1 && is_unique_violation(error));
        let mut attempts = Attempts::up_to(ATTEMPTS);
        loop {
            let transaction = self.database.begin().await?;
            let stored = match self.store_rows(&transaction, rows).await {
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

    async fn store_rows<C: ConnectionTrait>(&self, connection: &C, rows: &[Row]) -> Result<Outcome, DbErr> {
        counters::take(connection, self.organisation_id, Counter::DirectoryVersion, 1).await?;
        let mut outcome = Outcome::default();
        let mut rest = rows;
        let mut limit = CHUNK_ROWS;
        while !rest.is_empty() {
            let chunk = &rest[..rest.len().min(limit)];
            let chunk = &chunk[..count_until_repeat(self.kind, chunk)];
            let plan = self.store_chunk(connection, chunk).await?;
            // Where rows wait for each other, small chunks spare looking the waiting ones up again and again.
            limit = if plan.done < chunk.len() { plan.done * 2 } else { (limit * 2).min(CHUNK_ROWS) };
            rest = &rest[plan.done..];
            outcome.add(Outcome {
                inserted: plan.inserts.len() as u64,
                updated: plan.updated,
                rejections: plan.rejections,
            });
        }
        Ok(outcome)
    }

    /// Stores as many rows of a chunk as need not wait for each other: at least one.
    async fn store_chunk<C: ConnectionTrait>(&self, connection: &C, rows: &[Row]) -> Result<Plan, DbErr> {
        let known = self.look_up(connection, rows).await?;
        let Self { kind, hasher, organisation_id, .. } = *self;
        let planner = Planner { kind, hasher, organisation_id, known: &known };
        let first_key = match planner.count_new(rows) {
            0 => 0,
            count => counters::take(connection, organisation_id, Counter::DirectoryKey, count).await?,
        };
        let plan = planner.plan(rows, first_key);
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
            directory::update_many(connection, organisation_id, table, &columns, updates).await?;
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
            _ => self.store_default_taps(connection, &plan).await?,
        }
        Ok(plan)
    }

    async fn look_up<C: ConnectionTrait>(&self, connection: &C, rows: &[Row]) -> Result<StoredRows, DbErr> {
        let mut known = StoredRows { referred: HashMap::new(), stored: HashMap::new() };
        for (position, column) in self.kind.columns().iter().enumerate() {
            let Content::Reference(to) = column.content else { continue };
            let mut given: Vec<&str> = rows.iter().filter_map(|row| row.text(position)).collect();
            given.sort_unstable();
            given.dedup();
            if given.is_empty() {
                continue;
            }
            let found = directory::find_many_referred(connection, self.organisation_id, to.table(), &given).await?;
            known.referred.extend(found.into_iter().map(|referred| ((position, referred.given.clone()), referred)));
        }
        let (positions, columns): (Vec<usize>, Vec<StoredColumn>) = self.unique_columns().unzip();
        let sought: Vec<Vec<Option<String>>> = rows
            .iter()
            .map(|row| positions.iter().map(|&position| self.sought(row, position, &known)).collect())
            .collect();
        let table = self.kind.table();
        let found = directory::find_many_by_unique(connection, self.organisation_id, table, &columns, &sought).await?;
        for stored in found {
            if let Some(&position) = usize::try_from(stored.arm).ok().and_then(|arm| positions.get(arm)) {
                known.stored.insert((position, stored.given.clone()), stored);
            }
        }
        Ok(known)
    }

    /// The unique columns with their positions: those first that say which row is meant.
    fn unique_columns(&self) -> impl Iterator<Item = (usize, StoredColumn)> {
        let columns = self.kind.columns();
        let natural_key = self.kind.natural_key();
        let mut positions: Vec<usize> = (0..columns.len()).filter(|&position| columns[position].unique).collect();
        positions.sort_by_key(|&position| (position != ID, columns[position].name != natural_key));
        positions.into_iter().filter_map(|position| Some((position, columns[position].stored?)))
    }

    /// What `row` gives to a unique column, as the database holds it.
    fn sought(&self, row: &Row, position: usize, known: &StoredRows) -> Option<String> {
        let value = row.text(position)?.to_owned();
        match self.kind.columns()[position].content {
            Content::Reference(_) => Some(known.referred.get(&(position, value))?.key.to_string()),
            _ => Some(value),
        }
    }

    /// Statistics are a help: an import that cannot make them goes on without.
    async fn analyze(&self) {
        if let Err(error) = directory::analyze(self.database.writer(), self.kind.table()).await {
            tracing::warn!(%error, table = self.kind.table().name, "the table cannot be analyzed");
        }
    }

    /// A help likewise.
    async fn vacuum(&self) {
        if let Err(error) = directory::vacuum(self.database.writer(), self.kind.table()).await {
            tracing::warn!(%error, table = self.kind.table().name, "the table cannot be vacuumed");
        }
    }

    async fn store_default_taps<C: ConnectionTrait>(&self, connection: &C, plan: &Plan) -> Result<(), DbErr> {
        let mut changes = [(&UNITS, Vec::new(), Vec::new()), (&BUSINESS_UNITS, Vec::new(), Vec::new())];
        let [(_, unit_cleared, unit_set), (_, business_unit_cleared, business_unit_set)] = &mut changes;
        for (home, default_tap) in &plan.default_taps {
            let (place, cleared, set) = match *home {
                Home::Unit(key) => (key, &mut *unit_cleared, &mut *unit_set),
                Home::BusinessUnit(key) => (key, &mut *business_unit_cleared, &mut *business_unit_set),
            };
            match default_tap.set {
                Some(tap) => set.push((place, tap)),
                None => cleared.extend(default_tap.cleared.iter().map(|&tap| (place, tap))),
            }
        }
        for (table, cleared, set) in &changes {
            directory::clear_default_taps(connection, self.organisation_id, table, cleared).await?;
            directory::set_default_taps(connection, self.organisation_id, table, set).await?;
        }
        Ok(())
    }
}
