//! Organisations, users and released tokens.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QuerySelect,
    sea_query::OnConflict,
};
use uuid::Uuid;

use super::{
    connect::Database,
    counters,
    entity::{organisation, released_token, unit, user},
    settings::Access,
    sql::{Sql, json},
};
use crate::id::OrganisationId;

/// Whether there can be such a text in the database at all: PostgreSQL refuses to be asked for one with a NUL.
fn can_be_stored(text: &str) -> bool {
    !text.contains('\0')
}

pub async fn find_organisation<C: ConnectionTrait>(
    connection: &C,
    name: &str,
) -> Result<Option<organisation::Model>, DbErr> {
    if !can_be_stored(name) {
        return Ok(None);
    }
    organisation::Entity::find().filter(organisation::Column::Name.eq(name)).one(connection).await
}

pub async fn list_organisation_ids<C: ConnectionTrait>(connection: &C) -> Result<Vec<OrganisationId>, DbErr> {
    organisation::Entity::find().select_only().column(organisation::Column::Id).into_tuple().all(connection).await
}

/// Adds an organisation, with its counters, and answers its id.
pub async fn add_organisation(
    database: &Database,
    name: &str,
    created_on: DateTime<Utc>,
) -> Result<OrganisationId, DbErr> {
    let transaction = database.writer().begin(Access::Write).await?;
    let id = insert_organisation(&transaction, name, created_on).await?;
    transaction.commit().await?;
    Ok(id)
}

/// The same within a transaction.
pub(super) async fn insert_organisation<C: ConnectionTrait>(
    connection: &C,
    name: &str,
    created_on: DateTime<Utc>,
) -> Result<OrganisationId, DbErr> {
    let row =
        organisation::ActiveModel { name: Set(name.to_owned()), created_on: Set(created_on), ..Default::default() };
    let id = organisation::Entity::insert(row).exec(connection).await?.last_insert_id;
    counters::create(connection, id).await?;
    Ok(id)
}

pub async fn find_user<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    name: &str,
) -> Result<Option<user::Model>, DbErr> {
    if !can_be_stored(name) {
        return Ok(None);
    }
    user::Entity::find()
        .filter(user::Column::OrganisationId.eq(organisation_id))
        .filter(user::Column::Name.eq(name))
        .one(connection)
        .await
}

pub async fn add_user<C: ConnectionTrait>(connection: &C, user: user::Model) -> Result<(), DbErr> {
    let row = user::ActiveModel::from(user);
    user::Entity::insert(row).exec_without_returning(connection).await?;
    Ok(())
}

pub async fn unit_exists<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    id: &str,
) -> Result<bool, DbErr> {
    if !can_be_stored(id) {
        return Ok(false);
    }
    let unit = unit::Entity::find()
        .filter(unit::Column::OrganisationId.eq(organisation_id))
        .filter(unit::Column::Id.eq(id))
        .one(connection)
        .await?;
    Ok(unit.is_some())
}

/// A token, by its user's id and its own, with the generation in which it was issued.
pub type TokenName = (String, Uuid, i64);

/// The user of a token.
#[derive(Clone, Debug)]
pub struct TokenUser {
    pub name: String,
    pub role: String,
}

#[derive(Debug, FromQueryResult)]
struct Found {
    /// Which of the tokens.
    position: i64,
    name: String,
    role: String,
}

/// $2 has for each token the id of its user, its own, and its generation.
const FIND_TOKEN_USERS: Sql = Sql {
    postgres: "\
SELECT k.n - 1 AS position, u.name, u.role
FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY AS k(value, n)
CROSS JOIN LATERAL (SELECT * FROM users u WHERE u.organisation_id = $1 AND u.id = k.value ->> 0 OFFSET 0) AS u
WHERE u.disabled_on IS NULL AND u.token_generation = CAST(k.value ->> 2 AS BIGINT)
    AND (SELECT o.disabled_on FROM organisations o WHERE o.id = $1) IS NULL
    AND (SELECT t.token_id FROM released_tokens t
        WHERE t.organisation_id = $1 AND t.token_id = CAST(k.value ->> 1 AS UUID)) IS NULL",
    sqlite: "\
SELECT CAST(k.key AS BIGINT) AS position, u.name, u.role
FROM json_each($2) AS k
CROSS JOIN users u ON u.organisation_id = $1 AND u.id = k.value ->> 0
WHERE u.disabled_on IS NULL AND u.token_generation = k.value ->> 2
    AND (SELECT o.disabled_on FROM organisations o WHERE o.id = $1) IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM released_tokens t
        WHERE t.organisation_id = $1 AND t.token_id = unhex(k.value ->> 1, '-'))",
};

/// The tokens' users; `None` where the token has ended, or its user or organisation is disabled or gone.
pub async fn find_token_users<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    tokens: &[TokenName],
) -> Result<Vec<Option<TokenUser>>, DbErr> {
    let values = vec![organisation_id.into(), json(&tokens)];
    let mut users = vec![None; tokens.len()];
    for found in Found::find_by_statement(FIND_TOKEN_USERS.with(connection, values)).all(connection).await? {
        let Found { position, name, role } = found;
        if let Some(user) = usize::try_from(position).ok().and_then(|position| users.get_mut(position)) {
            *user = Some(TokenUser { name, role });
        }
    }
    Ok(users)
}

/// Keeps a released token until it would have expired, and forgets the organisation's that have.
pub async fn release_token<C: ConnectionTrait>(
    connection: &C,
    token: released_token::Model,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    released_token::Entity::delete_many()
        .filter(released_token::Column::OrganisationId.eq(token.organisation_id))
        .filter(released_token::Column::ExpiresOn.lt(now))
        .exec(connection)
        .await?;
    released_token::Entity::insert(released_token::ActiveModel::from(token))
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .try_insert()
        .exec_without_returning(connection)
        .await?;
    Ok(())
}
