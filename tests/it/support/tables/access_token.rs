use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "access_tokens")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organisation_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: i64,
    pub id: String,
    pub identifier: String,
    pub authentication_code_hash: Option<String>,
    pub pass_code_hash: Option<String>,
    pub state: String,
    pub effective_from: Option<DateTimeUtc>,
    pub effective_to: Option<DateTimeUtc>,
    pub participant_key: i64,
    pub one_time_password_hash: Option<String>,
    /// True until the password is used; NULL after, or where there is none.
    pub one_time_password_live: Option<bool>,
    pub one_time_password_expires_on: Option<DateTimeUtc>,
    /// The number of the event whose creation used the password up.
    pub one_time_password_used_by: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
