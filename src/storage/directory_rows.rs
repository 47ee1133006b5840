//! The directory's rows as callers are told of them: each by a name, and pages of each kind.
//!
//! The statements differ by kind in a line or two, so they are put together when the program is compiled. What a row
//! refers to is told by its natural key, looked up by key for each row that is answered.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Value};
use serde::Serialize;

use super::sql::Sql;
use crate::id::{AccountKey, OrganisationId, RowKey};

/// A kind of rows.
pub trait DirectoryRow: FromQueryResult + Clone + Send + Sync + 'static {
    const STATEMENTS: Statements;

    fn key(&self) -> RowKey;

    /// What the page's statement is told of a filter, from $5 on.
    fn told(_filter: &RowFilter) -> Vec<Value> {
        Vec::new()
    }
}

/// The statements of a kind. $1 is the organisation.
pub struct Statements {
    pub table: &'static str,
    /// The rows with keys above $2, up to $3, at most $4 of them.
    page: Sql,
    /// The key of the row before which there are $3 with keys above $2.
    end: Sql,
    by_key: Sql,
    by_id: Sql,
    by_code: Sql,
    /// Of kinds that have names.
    by_name: Option<Sql>,
}

/// What names a row.
#[derive(Clone, Copy, Debug)]
pub enum RowName<'a> {
    Key(RowKey),
    Id(&'a str),
    /// The natural key: a code, an alternative code, a number or an identifier.
    Code(&'a str),
    Name(&'a str),
}

/// Which rows a list has; what is `None` is met by all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowFilter {
    pub business_unit: Option<RowKey>,
    pub unit: Option<RowKey>,
    pub participant: Option<RowKey>,
    pub state: Option<String>,
}

macro_rules! select {
    ($table:literal, $columns:literal, $condition:expr) => {
        concat!(
            "SELECT t.key, t.id, ",
            $columns,
            "\nFROM ",
            $table,
            " t\nWHERE t.organisation_id = $1 AND ",
            $condition
        )
    };
}

macro_rules! statements {
    ($table:literal, $columns:literal, $filter:literal, $code:literal, $by_name:expr) => {
        Statements {
            table: $table,
            page: Sql::of_both(select!(
                $table,
                $columns,
                concat!("t.key > $2 AND t.key <= $3", $filter, "\nORDER BY t.key LIMIT $4")
            )),
            end: Sql::of_both(concat!(
                "SELECT t.key FROM ",
                $table,
                " t WHERE t.organisation_id = $1 AND t.key > $2 ORDER BY t.key LIMIT 1 OFFSET $3"
            )),
            by_key: Sql::of_both(select!($table, $columns, "t.key = $2")),
            by_id: Sql::of_both(select!($table, $columns, "t.id = $2")),
            by_code: Sql::of_both(select!($table, $columns, concat!("t.", $code, " = $2"))),
            by_name: $by_name,
        }
    };
    ($table:literal, $columns:literal, $filter:literal, $code:literal) => {
        statements!($table, $columns, $filter, $code, None)
    };
    ($table:literal, $columns:literal, $filter:literal, $code:literal, has a name) => {
        statements!($table, $columns, $filter, $code, Some(Sql::of_both(select!($table, $columns, "t.name = $2"))))
    };
}

macro_rules! row {
    ($(#[$comment:meta])* $name:ident { $($field:ident: $type:ty),* } $statements:expr $(; $told:expr)?) => {
        $(#[$comment])*
        #[derive(Clone, Debug, FromQueryResult)]
        pub struct $name {
            pub key: RowKey,
            pub id: String,
            $(pub $field: $type),*
        }

        impl DirectoryRow for $name {
            const STATEMENTS: Statements = $statements;

            fn key(&self) -> RowKey {
                self.key
            }

            $(fn told(filter: &RowFilter) -> Vec<Value> {
                let told: fn(&RowFilter) -> Vec<Value> = $told;
                told(filter)
            })?
        }
    };
}

row! {
    BusinessUnit { code: String, name: Option<String> }
    statements!("business_units", "t.code, t.name", "", "code", has a name)
}

row! {
    Unit { name: Option<String>, alternative_code: String, business_unit_code: Option<String> }
    statements!(
        "units",
        "t.name, t.alternative_code,
    (SELECT b.code FROM business_units b WHERE b.organisation_id = $1 AND b.key = t.business_unit_key)
        AS business_unit_code",
        "
    AND (CAST($5 AS BIGINT) IS NULL OR t.business_unit_key = $5)",
        "alternative_code",
        has a name
    );
    |filter| vec![filter.business_unit.into()]
}

row! {
    Tap {
        code: String,
        name: Option<String>,
        business_unit_code: Option<String>,
        unit_alternative_code: Option<String>,
        is_default: bool
    }
    statements!(
        "taps",
        "t.code, t.name,
    (SELECT b.code FROM business_units b WHERE b.organisation_id = $1 AND b.key = t.business_unit_key)
        AS business_unit_code,
    (SELECT u.alternative_code FROM units u WHERE u.organisation_id = $1 AND u.key = t.unit_key)
        AS unit_alternative_code,
    COALESCE(t.key = CASE WHEN t.unit_key IS NOT NULL
        THEN (SELECT u.default_tap_key FROM units u WHERE u.organisation_id = $1 AND u.key = t.unit_key)
        ELSE (SELECT b.default_tap_key FROM business_units b
            WHERE b.organisation_id = $1 AND b.key = t.business_unit_key) END, FALSE) AS is_default",
        "
    AND (CAST($5 AS BIGINT) IS NULL OR t.business_unit_key = $5)
    AND (CAST($6 AS BIGINT) IS NULL OR t.unit_key = $6)",
        "code",
        has a name
    );
    |filter| vec![filter.business_unit.into(), filter.unit.into()]
}

row! {
    Device { code: String, unit_alternative_code: Option<String> }
    statements!(
        "devices",
        "t.code,
    (SELECT u.alternative_code FROM units u WHERE u.organisation_id = $1 AND u.key = t.unit_key)
        AS unit_alternative_code",
        "
    AND (CAST($5 AS BIGINT) IS NULL OR t.unit_key = $5)",
        "code"
    );
    |filter| vec![filter.unit.into()]
}

row! {
    Classification { name: Option<String>, alternative_code: String }
    statements!("classifications", "t.name, t.alternative_code", "", "alternative_code", has a name)
}

row! {
    Account { number: String, state: String }
    statements!(
        "accounts_receivable",
        "t.number, t.state",
        "
    AND (CAST($5 AS TEXT) IS NULL OR t.state = $5)",
        "number"
    );
    |filter| vec![filter.state.clone().into()]
}

row! {
    Participant { number: String, state: String, account_key: AccountKey, account_number: String }
    statements!(
        "rewards_participants",
        "t.number, t.state, t.account_key,
    (SELECT a.number FROM accounts_receivable a WHERE a.organisation_id = $1 AND a.key = t.account_key)
        AS account_number",
        "
    AND (CAST($5 AS TEXT) IS NULL OR t.state = $5)",
        "number"
    );
    |filter| vec![filter.state.clone().into()]
}

row! {
    /// Without its codes.
    AccessToken {
        identifier: String,
        state: String,
        effective_from: Option<DateTime<Utc>>,
        effective_to: Option<DateTime<Utc>>,
        participant_number: String,
        one_time_password_expires_on: Option<DateTime<Utc>>
    }
    statements!(
        "access_tokens",
        "t.identifier, t.state, t.effective_from, t.effective_to, t.one_time_password_expires_on,
    (SELECT p.number FROM rewards_participants p WHERE p.organisation_id = $1 AND p.key = t.participant_key)
        AS participant_number",
        "
    AND (CAST($5 AS BIGINT) IS NULL OR t.participant_key = $5)
    AND (CAST($6 AS TEXT) IS NULL OR t.state = $6)",
        "identifier"
    );
    |filter| vec![filter.participant.into(), filter.state.clone().into()]
}

/// The row of a name.
pub async fn find<R: DirectoryRow, C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    name: RowName<'_>,
) -> Result<Option<R>, DbErr> {
    let Statements { by_key, by_id, by_code, by_name, .. } = R::STATEMENTS;
    let (sql, value): (Sql, Value) = match name {
        RowName::Key(key) => (by_key, key.into()),
        RowName::Id(id) => (by_id, id.into()),
        RowName::Code(code) => (by_code, code.into()),
        RowName::Name(name) => match by_name {
            Some(by_name) => (by_name, name.into()),
            None => return Ok(None),
        },
    };
    R::find_by_statement(sql.with(connection, vec![organisation_id.into(), value])).one(connection).await
}

const FIND_PARTICIPANT_OF_ACCOUNT: Sql =
    Sql::of_both("SELECT p.key FROM rewards_participants p WHERE p.organisation_id = $1 AND p.account_key = $2");

#[derive(FromQueryResult)]
struct Keyed {
    key: RowKey,
}

/// The key of the participant who owns an account.
pub async fn find_participant_of<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    account_key: AccountKey,
) -> Result<Option<RowKey>, DbErr> {
    let statement = FIND_PARTICIPANT_OF_ACCOUNT.with(connection, vec![organisation_id.into(), account_key.into()]);
    Ok(Keyed::find_by_statement(statement).one(connection).await?.map(|found| found.key))
}

/// The most rows that are read for a page of those that meet a filter.
const MAXIMUM_READ: i64 = 20_000;

/// The rows that meet a filter, up to `limit`, with keys above `after`, in their order; and the key after which the next
/// page begins, unless this is the last. Keys rise in the order of the commits, for who changes the directory takes turns.
pub async fn find_page<R: DirectoryRow, C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    filter: &RowFilter,
    after: RowKey,
    limit: usize,
) -> Result<(Vec<R>, Option<RowKey>), DbErr> {
    let Statements { page, end, .. } = R::STATEMENTS;
    let mut next_after = None;
    if *filter != RowFilter::default() {
        let values = vec![organisation_id.into(), after.into(), (MAXIMUM_READ - 1).into()];
        let found = Keyed::find_by_statement(end.with(connection, values)).one(connection).await?;
        next_after = found.map(|found| found.key);
    }
    // One more than wanted tells whether there is a next page.
    let fetched = i64::try_from(limit + 1).map_err(|_| DbErr::ConvertFromU64("i64"))?;
    let last = next_after.unwrap_or(RowKey(i64::MAX));
    let mut values = vec![organisation_id.into(), after.into(), last.into(), fetched.into()];
    values.extend(R::told(filter));
    let mut rows = R::find_by_statement(page.with(connection, values)).all(connection).await?;
    if rows.len() > limit {
        rows.truncate(limit);
        next_after = rows.last().map(R::key);
    }
    Ok((rows, next_after))
}
