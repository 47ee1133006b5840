//! What administrators do to organisations and users, each with its entry in the audit: both are there, or neither.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, UpdateMany,
    sea_query::{Expr, ExprTrait, OnConflict},
};
use uuid::Uuid;

use super::{
    connect::Database,
    entity::{audit_entry, organisation, user},
    settings::Access,
    sql::Sql,
    users,
};
use crate::id::OrganisationId;

/// What an administrator does.
#[derive(Clone, Debug)]
pub struct Act {
    /// The operating system's user who runs the command, and the machine; or the user who calls, and [`SERVICE`].
    pub actor: String,
    pub host: String,
    /// The command, as `user role`.
    pub action: &'static str,
    pub details: Option<String>,
    pub occurred_on: DateTime<Utc>,
}

/// Where those are who call.
pub const SERVICE: &str = "service";

impl Act {
    pub async fn keep<C: ConnectionTrait>(
        self,
        connection: &C,
        organisation_id: OrganisationId,
        user_name: Option<&str>,
    ) -> Result<(), DbErr> {
        let entry = self.entry(organisation_id, Uuid::now_v7(), user_name);
        audit_entry::Entity::insert(entry).exec_without_returning(connection).await?;
        Ok(())
    }

    /// Keeps an entry under an id; one that is there has other details from now on.
    pub async fn keep_under<C: ConnectionTrait>(
        self,
        connection: &C,
        organisation_id: OrganisationId,
        id: Uuid,
    ) -> Result<(), DbErr> {
        let key = [audit_entry::Column::OrganisationId, audit_entry::Column::Id];
        let update = OnConflict::columns(key).update_column(audit_entry::Column::Details).to_owned();
        let entry = self.entry(organisation_id, id, None);
        audit_entry::Entity::insert(entry).on_conflict(update).exec_without_returning(connection).await?;
        Ok(())
    }

    fn entry(self, organisation_id: OrganisationId, id: Uuid, user_name: Option<&str>) -> audit_entry::ActiveModel {
        audit_entry::ActiveModel {
            organisation_id: Set(organisation_id),
            id: Set(id),
            occurred_on: Set(self.occurred_on),
            actor: Set(self.actor),
            host: Set(self.host),
            action: Set(self.action.to_owned()),
            user_name: Set(user_name.map(str::to_owned)),
            details: Set(self.details),
        }
    }
}

pub async fn add_organisation(database: &Database, name: &str, act: Act) -> Result<(), DbErr> {
    let transaction = database.writer().begin(Access::Write).await?;
    let id = users::insert_organisation(&transaction, name, act.occurred_on).await?;
    act.keep(&transaction, id, None).await?;
    transaction.commit().await
}

/// Disables an organisation, or lets its users in again. The tokens of one that is disabled end for good.
pub async fn set_organisation_disabled(
    database: &Database,
    organisation: &organisation::Model,
    disabled_on: Option<DateTime<Utc>>,
    act: Act,
) -> Result<(), DbErr> {
    let transaction = database.writer().begin(Access::Write).await?;
    organisation::Entity::update_many()
        .col_expr(organisation::Column::DisabledOn, Expr::value(disabled_on))
        .filter(organisation::Column::Id.eq(organisation.id))
        .exec(&transaction)
        .await?;
    if disabled_on.is_some() {
        let users = user::Entity::update_many().filter(user::Column::OrganisationId.eq(organisation.id));
        end_tokens(users).exec(&transaction).await?;
    }
    act.keep(&transaction, organisation.id, None).await?;
    transaction.commit().await
}

pub async fn add_user(database: &Database, user: user::Model, act: Act) -> Result<(), DbErr> {
    let (organisation_id, name) = (user.organisation_id, user.name.clone());
    let transaction = database.writer().begin(Access::Write).await?;
    users::add_user(&transaction, user).await?;
    act.keep(&transaction, organisation_id, Some(&name)).await?;
    transaction.commit().await
}

/// What is changed of a user. All but [`Enable`](Self::Enable) end the user's tokens.
#[derive(Debug)]
pub enum Change {
    /// Has the hash.
    Password(String),
    Role(String),
    Disable(DateTime<Utc>),
    Enable,
    EndTokens,
}

pub async fn change_user(database: &Database, user: &user::Model, change: Change, act: Act) -> Result<(), DbErr> {
    let update = user::Entity::update_many()
        .filter(user::Column::OrganisationId.eq(user.organisation_id))
        .filter(user::Column::Id.eq(&user.id));
    let update = match change {
        Change::Password(hash) => end_tokens(update).col_expr(user::Column::PasswordHash, Expr::value(hash)),
        Change::Role(role) => end_tokens(update).col_expr(user::Column::Role, Expr::value(role)),
        Change::Disable(when) => end_tokens(update).col_expr(user::Column::DisabledOn, Expr::value(Some(when))),
        Change::Enable => update.col_expr(user::Column::DisabledOn, Expr::value(None::<DateTime<Utc>>)),
        Change::EndTokens => end_tokens(update),
    };
    let transaction = database.writer().begin(Access::Write).await?;
    update.exec(&transaction).await?;
    act.keep(&transaction, user.organisation_id, Some(&user.name)).await?;
    transaction.commit().await
}

/// The tokens that were issued so far end.
fn end_tokens(users: UpdateMany<user::Entity>) -> UpdateMany<user::Entity> {
    let next = Expr::col(user::Column::TokenGeneration).add(1);
    users.col_expr(user::Column::TokenGeneration, next)
}

/// A user as a list has it: without the hash of the password.
#[derive(Debug, FromQueryResult)]
pub struct ListedUser {
    pub organisation: String,
    pub name: String,
    pub role: String,
    pub default_unit_id: Option<String>,
    pub created_on: DateTime<Utc>,
    pub disabled_on: Option<DateTime<Utc>>,
}

const LIST_USERS: Sql = Sql::of_both(
    "\
SELECT o.name AS organisation, u.name, u.role, u.default_unit_id, u.created_on, u.disabled_on
FROM users u JOIN organisations o ON o.id = u.organisation_id
WHERE CAST($1 AS BIGINT) IS NULL OR u.organisation_id = $1
ORDER BY o.name, u.name",
);

/// The users of an organisation, or of all.
pub async fn list_users<C: ConnectionTrait>(
    connection: &C,
    of: Option<OrganisationId>,
) -> Result<Vec<ListedUser>, DbErr> {
    ListedUser::find_by_statement(LIST_USERS.with(connection, vec![of.map(|id| id.0).into()])).all(connection).await
}

/// All organisations.
pub async fn list_organisations<C: ConnectionTrait>(connection: &C) -> Result<Vec<organisation::Model>, DbErr> {
    organisation::Entity::find().order_by_asc(organisation::Column::Name).all(connection).await
}

/// An entry of the audit as a list has it.
#[derive(Debug, FromQueryResult)]
pub struct ListedEntry {
    pub occurred_on: DateTime<Utc>,
    pub actor: String,
    pub host: String,
    pub action: String,
    pub organisation: String,
    pub user_name: Option<String>,
    pub details: Option<String>,
}

const LIST_AUDIT: Sql = Sql::of_both(
    "\
SELECT a.occurred_on, a.actor, a.host, a.action, o.name AS organisation, a.user_name, a.details
FROM audit_entries a JOIN organisations o ON o.id = a.organisation_id
WHERE CAST($1 AS BIGINT) IS NULL OR a.organisation_id = $1
ORDER BY a.occurred_on, a.id",
);

/// What was done in an organisation, or in all, in the order in which it was.
pub async fn list_audit<C: ConnectionTrait>(
    connection: &C,
    of: Option<OrganisationId>,
) -> Result<Vec<ListedEntry>, DbErr> {
    ListedEntry::find_by_statement(LIST_AUDIT.with(connection, vec![of.map(|id| id.0).into()])).all(connection).await
}
