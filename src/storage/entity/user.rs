use sea_orm::entity::prelude::*;

use crate::id::OrganisationId;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organisation_id: OrganisationId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub name: String,
    /// argon2id, in the PHC string form.
    pub password_hash: String,
    pub role: String,
    /// The id of the user's own unit, which no call reads.
    pub default_unit_id: Option<String>,
    pub created_on: DateTimeUtc,
    /// Since when the user may neither log in nor use a token; `None` for one who may.
    pub disabled_on: Option<DateTimeUtc>,
    /// Tokens that were issued in an earlier generation have ended.
    pub token_generation: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
