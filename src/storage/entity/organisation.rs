use sea_orm::entity::prelude::*;

use crate::id::OrganisationId;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "organisations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = true)]
    pub id: OrganisationId,
    pub name: String,
    pub created_on: DateTimeUtc,
    /// Since when none of its users may log in or use a token; `None` where they may.
    pub disabled_on: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
