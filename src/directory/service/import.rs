//! An import whose rows come a step at a time, from a caller who may leave in between.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Directory;
use crate::{
    directory::{
        DirectoryKind, ImportSummary,
        ndjson::read_members,
        rejection::{Code, Fault, Rejection},
        row::{Checker, Row},
        store::{Growth, Note, Store, Target},
    },
    error::Result,
    referral::{Sender, rules::validate::given, violation::Violation},
    storage::to_its_end,
    text::shown_short,
};

/// What a row has in the columns of its kind, as text; `None` where it cannot be read.
pub type Values = Option<BTreeMap<String, String>>;

/// An import that is under way.
pub struct DirectoryImport {
    directory: Directory,
    sender: Sender,
    kind: DirectoryKind,
    is_rehearsal: bool,
    /// Under which its entry in the audit is kept.
    audit_id: Uuid,
    growth: Growth,
    summary: ImportSummary,
}

impl Directory {
    /// Begins to import rows of a kind. A rehearsal writes nothing; each of its steps is by itself.
    pub fn begin_import(&self, sender: Sender, kind: Option<String>, is_rehearsal: bool) -> Result<DirectoryImport> {
        let kind: String = given(kind).ok_or_else(|| Violation::missing("kind"))?;
        let kind = kind.parse().map_err(|_| {
            let names = DirectoryKind::ALL.map(DirectoryKind::name).join(", ");
            Violation::invalid_value("kind", &format!("{} is not one of {names}", shown_short(&kind)))
        })?;
        Ok(DirectoryImport {
            directory: self.clone(),
            sender,
            kind,
            is_rehearsal,
            audit_id: Uuid::now_v7(),
            growth: Growth::default(),
            summary: ImportSummary::default(),
        })
    }
}

impl DirectoryImport {
    /// Stores rows, in one transaction. `permit` is held until the database has done its part.
    pub async fn store(mut self, rows: Vec<Values>, permit: impl Send + 'static) -> Result<Self> {
        let store = async move {
            let _permit = permit;
            self.store_rows(rows).await?;
            Ok(self)
        };
        to_its_end(store, |_| 0).await
    }

    async fn store_rows(&mut self, values: Vec<Values>) -> Result<()> {
        let Directory { database, hasher, .. } = &self.directory;
        let (kind, organisation_id) = (self.kind, self.sender.organisation_id);
        let checker = Checker { kind, hasher: hasher.clone(), organisation_id };
        let count = values.len();
        let (mut rows, mut rejections) = (Vec::new(), Vec::new());
        for (line, values) in (self.summary.read + 1..).zip(values) {
            match read_values(&checker, line, values) {
                Ok(row) => rows.push(row),
                Err(fault) => rejections.push(Rejection::new(line, fault, None)),
            }
        }
        let act = self.directory.act(&self.sender, "import", None);
        let note = Note::new(self.audit_id, act, self.summary.inserted, self.summary.updated);
        let target = Target { database, hasher, organisation_id, kind };
        let mut store = Store::open(target, self.is_rehearsal, Some(note)).await?;
        let outcome = store.store_batch(&rows).await?;
        self.summary.count(count, &outcome);
        rejections.extend(outcome.rejections);
        rejections.sort_by_key(|rejection| rejection.line);
        self.summary.reject(rejections);
        if self.is_rehearsal {
            return store.close(0, 0).await;
        }
        if self.growth.has_doubled(self.summary.inserted) {
            store.analyze().await;
        }
        Ok(())
    }

    /// Ends it, and answers what became of its rows.
    pub async fn end(self, permit: impl Send + 'static) -> Result<ImportSummary> {
        let end = async move {
            let _permit = permit;
            let Directory { database, hasher, .. } = &self.directory;
            if !self.is_rehearsal {
                let target = Target { database, hasher, organisation_id: self.sender.organisation_id, kind: self.kind };
                Store::open(target, false, None).await?.close(self.summary.inserted, self.summary.updated).await?;
            }
            Ok(self.summary)
        };
        to_its_end(end, |_| 0).await
    }
}

fn read_values(checker: &Checker, line: u64, values: Values) -> Result<Row, Fault> {
    let values = values.ok_or_else(|| Fault::new(Code::WrongEncoding, "not a row of texts in UTF-8"))?;
    let members: Vec<(String, String)> = values.into_iter().collect();
    read_members(checker, line, &members, |_, text| Some(text.clone()))
}
