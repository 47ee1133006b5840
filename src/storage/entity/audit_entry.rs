use sea_orm::entity::prelude::*;

use crate::id::OrganisationId;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_entries")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organisation_id: OrganisationId,
    /// Later entries have higher ones.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub occurred_on: DateTimeUtc,
    /// Who did it: the operating system's user who ran the command.
    pub actor: String,
    /// The machine where it was run.
    pub host: String,
    /// The command, as `user role`.
    pub action: String,
    /// The user to whom it was done; `None` where it was done to the organisation.
    pub user_name: Option<String>,
    /// What else there is to know, and no secret.
    pub details: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
