use sea_orm::entity::prelude::*;

use crate::id::SubjectKey;

#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "failed_guesses")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject: SubjectKey,
    pub failures: i64,
    /// From when on it may be guessed at again; where nobody has to wait, when it was last guessed at in vain. In
    /// milliseconds since 1970.
    pub free_at: i64,
    /// One more with every change.
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
