//! Organisations, users and released tokens.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, QueryTrait,
    sea_query::{Expr, ExprTrait, OnConflict},
};
use uuid::Uuid;

use super::{
    connect::Database,
    counters,
    entity::{organisation, released_token, unit, user},
    settings::Access,
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
    let row = organisation::ActiveModel { id: NotSet, name: Set(name.to_owned()), created_on: Set(created_on) };
    let id = organisation::Entity::insert(row).exec(&transaction).await?.last_insert_id;
    counters::create(&transaction, id).await?;
    transaction.commit().await?;
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

/// The role of a token's user; `None` where the user is gone or the token was released.
pub async fn find_role<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    user_id: &str,
    token_id: Uuid,
) -> Result<Option<String>, DbErr> {
    let released = released_token::Entity::find()
        .select_only()
        .column(released_token::Column::TokenId)
        .filter(released_token::Column::OrganisationId.eq(organisation_id))
        .filter(released_token::Column::TokenId.eq(token_id))
        .into_query();
    user::Entity::find_by_id((organisation_id, user_id.to_owned()))
        .select_only()
        .column(user::Column::Role)
        .filter(Expr::exists(released).not())
        .into_tuple()
        .one(connection)
        .await
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
