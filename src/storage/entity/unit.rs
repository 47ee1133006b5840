use sea_orm::entity::prelude::*;

use crate::id::OrganisationId;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "units")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organisation_id: OrganisationId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: i64,
    pub id: String,
    pub name: Option<String>,
    pub alternative_code: String,
    pub business_unit_key: Option<i64>,
    pub default_tap_key: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
