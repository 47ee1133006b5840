//! An empty directory to import into, and what is in it then.

use std::{
    io::{Cursor, Read},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use referral_events::{
    directory::{self, DirectoryKind, ImportSummary, Progress},
    error::Error,
    id::{AccessTokenKey, EventNumber, OrganisationId},
    secret::{CodeHasher, Key, KeyRing, Secret},
    storage::{
        Database,
        access_tokens::{UsedPassword, use_one_time_passwords},
        entity::unit,
        users,
    },
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::{
    Setup,
    engine::TestDatabase,
    tables::{access_token, account_receivable, business_unit, classification, device, rewards_participant, tap},
};

/// The directory of an organisation, without a server in front of it.
pub struct Directory {
    pub database: Database,
    pub hasher: CodeHasher,
    pub organisation_id: OrganisationId,
    files: Arc<TestDatabase>,
}

impl Directory {
    /// An empty one, in a database of its own.
    pub async fn new(setup: Setup) -> Self {
        let files = setup.engine.create_schema();
        let database = Database::connect(&files.url).await.expect("a database");
        let hasher = CodeHasher::new(&KeyRing::of_one(Key::from_hex(&"5a".repeat(32)).expect("a key")));
        let organisation_id = add_organisation(&database, "acme").await;
        Self { database, hasher, organisation_id, files: Arc::new(files) }
    }

    /// That of another organisation, empty, in the same database.
    pub async fn of_another_organisation(&self) -> Self {
        let organisation_id = add_organisation(&self.database, "other").await;
        let (database, hasher) = (self.database.clone(), self.hasher.clone());
        Self { database, hasher, organisation_id, files: self.files.clone() }
    }

    /// Two participants, RP1 and RP2, with their accounts.
    pub async fn with_participants(self) -> Self {
        self.load("accounts_receivable", "number\nACR1\nACR2\n").await;
        self.load("rewards_participants", "number,accounts_receivable_number\nRP1,ACR1\nRP2,ACR2\n").await;
        self
    }

    /// Business units B1 and B2, with a unit each, U1 and U2.
    pub async fn with_places(self) -> Self {
        self.load("business_units", "code\nB1\nB2\n").await;
        self.load("units", "alternative_code,business_unit_code\nU1,B1\nU2,B2\n").await;
        self
    }

    pub async fn import_from(
        &self,
        kind: DirectoryKind,
        source: impl Read + Send + 'static,
        progress: impl FnMut(Progress),
    ) -> Result<ImportSummary, Error> {
        directory::import(&self.database, &self.hasher, self.organisation_id, kind, source, progress).await
    }

    pub async fn try_import(&self, kind: &str, source: impl Into<Vec<u8>>) -> Result<ImportSummary, Error> {
        self.import_from(kind.parse()?, Cursor::new(source.into()), |_| {}).await
    }

    pub async fn import(&self, kind: &str, source: impl Into<Vec<u8>>) -> ImportSummary {
        self.try_import(kind, source).await.expect("an import")
    }

    /// Imports a file and expects nothing rejected; answers how many rows are new, and how many were there.
    pub async fn load(&self, kind: &str, source: &str) -> (u64, u64) {
        let summary = self.import(kind, source).await;
        assert_eq!(summary.rejections, [], "{source}");
        (summary.inserted, summary.updated + summary.unchanged)
    }

    /// Imports a file, and answers the rejected rows as `line: reason`.
    pub async fn rejections(&self, kind: &str, source: impl Into<Vec<u8>>) -> Vec<String> {
        let summary = self.import(kind, source).await;
        assert_eq!(summary.rejected, summary.rejections.len() as u64);
        summary.rejections.iter().map(|rejection| format!("{}: {}", rejection.line, rejection.reason)).collect()
    }

    pub async fn business_unit(&self, code: &str) -> business_unit::Model {
        self.find_business_unit(code).await.expect("a business unit")
    }

    pub async fn find_business_unit(&self, code: &str) -> Option<business_unit::Model> {
        use business_unit::{Column, Entity};
        self.find::<Entity>(Column::OrganisationId, Column::Code, code).await
    }

    pub async fn unit(&self, code: &str) -> unit::Model {
        use unit::{Column, Entity};
        self.find::<Entity>(Column::OrganisationId, Column::AlternativeCode, code).await.expect("a unit")
    }

    pub async fn tap(&self, code: &str) -> tap::Model {
        use tap::{Column, Entity};
        self.find::<Entity>(Column::OrganisationId, Column::Code, code).await.expect("a TAP")
    }

    pub async fn device(&self, code: &str) -> device::Model {
        use device::{Column, Entity};
        self.find::<Entity>(Column::OrganisationId, Column::Code, code).await.expect("a device")
    }

    pub async fn classification(&self, code: &str) -> classification::Model {
        use classification::{Column, Entity};
        self.find::<Entity>(Column::OrganisationId, Column::AlternativeCode, code).await.expect("a classification")
    }

    pub async fn account(&self, number: &str) -> account_receivable::Model {
        use account_receivable::{Column, Entity};
        self.find::<Entity>(Column::OrganisationId, Column::Number, number).await.expect("an account")
    }

    pub async fn participant(&self, number: &str) -> rewards_participant::Model {
        use rewards_participant::{Column, Entity};
        self.find::<Entity>(Column::OrganisationId, Column::Number, number).await.expect("a participant")
    }

    pub async fn token(&self, identifier: &str) -> access_token::Model {
        use access_token::{Column, Entity};
        self.find::<Entity>(Column::OrganisationId, Column::Identifier, identifier).await.expect("an access token")
    }

    async fn find<E: EntityTrait>(&self, organisation: E::Column, column: E::Column, value: &str) -> Option<E::Model>
    where
        E::Model: Send + Sync,
    {
        let rows = E::find().filter(organisation.eq(self.organisation_id)).filter(column.eq(value));
        rows.one(self.database.reader()).await.expect("a look-up")
    }

    pub fn authentication_code_hash(&self, code: &str) -> Option<String> {
        Some(self.hasher.authentication_code(self.organisation_id, &Secret::new(code)).first)
    }

    pub fn one_time_password_hash(&self, code: &str) -> Option<String> {
        Some(self.hasher.one_time_password(self.organisation_id, &Secret::new(code)).first)
    }

    pub fn pass_code_hash(&self, id: &str, code: &str) -> Option<String> {
        Some(self.hasher.pass_code(self.organisation_id, id, &Secret::new(code)).first)
    }

    pub async fn use_one_time_password(&self, identifier: &str, event: i64) {
        let token = self.token(identifier).await;
        let hash = token.one_time_password_hash.as_deref().expect("a one-time password");
        let password = UsedPassword {
            access_token_key: AccessTokenKey(token.key),
            hash,
            used_by: EventNumber(event),
            new_hash: hash,
        };
        let used = use_one_time_passwords(self.database.writer(), self.organisation_id, &[password]).await;
        assert_eq!(used.expect("an update"), 1);
    }
}

async fn add_organisation(database: &Database, name: &str) -> OrganisationId {
    users::add_organisation(database, name, Utc::now()).await.expect("an organisation")
}

/// A time as a row has it.
pub fn time(text: &str) -> Option<DateTime<Utc>> {
    Some(text.parse().expect("a time"))
}
