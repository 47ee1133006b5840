//! The rows behind what events name, and rows that a test adds to its world.

use std::io::Cursor;

use referral_events::{
    directory::{self, DirectoryKind},
    id::AccountKey,
    secret::CodeHasher,
    storage::users,
};
use sea_orm::{ConnectionTrait, Statement, TryGetable};

use super::Server;

impl Server {
    /// The key of a row of acme, by its code or number (for access tokens, the identifier).
    pub async fn key<K: TryGetable>(&self, kind: DirectoryKind, code: &str) -> K {
        let database = self.database.reader();
        let sql = format!(
            "SELECT d.key FROM {kind} d JOIN organisations o ON o.id = d.organisation_id \
             WHERE o.name = 'acme' AND d.{} = $1",
            kind.natural_key()
        );
        let statement = Statement::from_sql_and_values(database.get_database_backend(), sql, [code.into()]);
        let row = database.query_one_raw(statement).await.expect("a look-up");
        row.unwrap_or_else(|| panic!("no {} {code}", kind.noun())).try_get("", "key").expect("a key")
    }

    /// The key of account ACR of these digits.
    pub async fn account(&self, digits: &str) -> AccountKey {
        self.key(DirectoryKind::AccountsReceivable, &format!("ACR{digits}")).await
    }

    /// Adds rows to an organisation's directory, or changes those that are there.
    pub async fn import(&self, organisation: &str, kind: DirectoryKind, rows: impl Into<String>) {
        let organisation = users::find_organisation(self.database.reader(), organisation).await.expect("a look-up");
        let id = organisation.expect("an organisation").id;
        let hasher = CodeHasher::new(&self.keys.hash);
        let rows = Cursor::new(rows.into());
        let summary = directory::import(&self.database, &hasher, id, kind, rows, |_| {}).await.expect("an import");
        assert_eq!(summary.rejected, 0, "{kind}: {:?}", summary.rejections);
    }
}
