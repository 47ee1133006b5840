//! Rows by their names.

use super::Directory;
use crate::{
    error::{Error, ErrorKind, Result},
    id::{OrganisationId, RowKey},
    referral::{
        Sender,
        event::{EntryIdentifier, PartyIdentifier, PartyIdentifiers},
        given::{EntryField, EntryKind, GivenEntry, PartyKind},
        pages::{refuse, refuse_first},
        rules::validate::{Validator, given, one_field_expected},
        violation::Violation,
    },
    storage::{
        directory_rows::{self, AccessToken, Account, DirectoryRow, RowName},
        to_its_end,
    },
    text::shown,
};

/// What names an access token, as it was sent.
#[derive(Debug, Default)]
pub struct AccessTokenName {
    pub id: Option<String>,
    pub identifier: Option<String>,
}

impl Directory {
    pub(super) fn validator(&self) -> Validator {
        Validator::new(self.clock.now(), self.referral_events.release())
    }

    /// The place or classification that an identifier names. Here and below, `permit` is held until the database has done
    /// its part.
    pub async fn entry<R: DirectoryRow>(
        &self,
        organisation_id: OrganisationId,
        kind: EntryKind,
        identifier: Option<EntryIdentifier>,
        permit: impl Send + 'static,
    ) -> Result<R> {
        let mut validator = self.validator();
        if identifier.is_none() {
            validator.violations.push(Violation::missing(kind.own_attribute()));
        }
        let given = validator.entry_at(kind.own_attribute(), kind, identifier);
        refuse(validator.violations)?;
        let given = given.ok_or_else(names_nothing)?;
        let this = self.clone();
        let find = async move {
            let _permit = permit;
            this.find_entry(organisation_id, &given).await
        };
        to_its_end(find, |_| 0).await
    }

    pub(super) async fn find_entry<R: DirectoryRow>(
        &self,
        organisation_id: OrganisationId,
        given: &GivenEntry,
    ) -> Result<R> {
        let value = given.value.as_str();
        let name = match given.by {
            EntryField::Id => RowName::Id(value),
            EntryField::Name => RowName::Name(value),
            EntryField::Code => RowName::Code(value),
        };
        let found = directory_rows::find(self.database.reader(), organisation_id, name).await?;
        found.ok_or_else(|| {
            let path = format!("{}.{}", given.kind.own_attribute(), given.field());
            Violation::entry_not_found(given).at(path).into()
        })
    }

    pub async fn account(
        &self,
        sender: Sender,
        identifier: Option<Box<PartyIdentifier>>,
        permit: impl Send + 'static,
    ) -> Result<Account> {
        let this = self.clone();
        let find = async move {
            let _permit = permit;
            let key = this.find_account(&sender, identifier).await?;
            let found = directory_rows::find(this.database.reader(), sender.organisation_id, RowName::Key(key)).await?;
            found.ok_or_else(names_nothing)
        };
        to_its_end(find, |_| 0).await
    }

    pub(super) async fn find_account(
        &self,
        sender: &Sender,
        identifier: Option<Box<PartyIdentifier>>,
    ) -> Result<RowKey> {
        let identifiers = PartyIdentifiers { accounts_receivable: identifier, ..PartyIdentifiers::default() };
        let found = self.referral_events.find_party(sender, &[PartyKind::AccountsReceivable], identifiers).await?;
        Ok(RowKey(found.0))
    }

    pub(super) async fn find_participant(
        &self,
        sender: &Sender,
        identifier: Option<Box<PartyIdentifier>>,
    ) -> Result<RowKey> {
        let identifiers = PartyIdentifiers { rewards_participant: identifier, ..PartyIdentifiers::default() };
        let account = self.referral_events.find_party(sender, &[PartyKind::RewardsParticipant], identifiers).await?;
        let found =
            directory_rows::find_participant_of(self.database.reader(), sender.organisation_id, account).await?;
        found.ok_or_else(names_nothing)
    }

    pub async fn access_token(
        &self,
        organisation_id: OrganisationId,
        name: Option<AccessTokenName>,
        permit: impl Send + 'static,
    ) -> Result<AccessToken> {
        let mut validator = self.validator();
        let name = access_token_name(name, &mut validator)?;
        let this = self.clone();
        let find = async move {
            let _permit = permit;
            this.find_access_token(organisation_id, &name).await
        };
        to_its_end(find, |_| 0).await
    }

    async fn find_access_token(&self, organisation_id: OrganisationId, name: &GivenToken) -> Result<AccessToken> {
        let found = directory_rows::find(self.database.reader(), organisation_id, name.row()).await?;
        found.ok_or_else(|| name.not_found())
    }
}

const ACCESS_TOKEN: &str = "access_token_identifier";

/// What names an access token, well-formed.
pub(super) enum GivenToken {
    Id(String),
    Identifier(String),
}

impl GivenToken {
    pub fn row(&self) -> RowName<'_> {
        match self {
            Self::Id(id) => RowName::Id(id),
            Self::Identifier(identifier) => RowName::Code(identifier),
        }
    }

    pub fn not_found(&self) -> Error {
        let (field, value) = match self {
            Self::Id(id) => ("id", id),
            Self::Identifier(identifier) => ("identifier", identifier),
        };
        let message = format!("The access token {} does not exist.", shown(value));
        Error::new(ErrorKind::AccessTokenNotFound, message).at_field(format!("{ACCESS_TOKEN}.{field}"))
    }
}

/// What an access token is named by; what is wrong with it, or was wrong before, refuses the call.
pub(super) fn access_token_name(name: Option<AccessTokenName>, validator: &mut Validator) -> Result<GivenToken> {
    let Some(AccessTokenName { id, identifier }) = name else {
        validator.violations.push(Violation::missing(ACCESS_TOKEN));
        return Err(refuse_first(std::mem::take(&mut validator.violations)));
    };
    let (id, identifier) = (given(id), given(identifier));
    validator.optional_text(format_args!("{ACCESS_TOKEN}.id"), id.as_deref());
    validator.optional_text(format_args!("{ACCESS_TOKEN}.identifier"), identifier.as_deref());
    let name = match (id, identifier) {
        (Some(id), None) => Some(GivenToken::Id(id)),
        (None, Some(identifier)) => Some(GivenToken::Identifier(identifier)),
        (id, _) => {
            let fields = ["id", "identifier"].map(|name| (name, id.is_some()));
            validator.violations.push(one_field_expected(ACCESS_TOKEN, &fields));
            None
        }
    };
    refuse(std::mem::take(&mut validator.violations))?;
    name.ok_or_else(names_nothing)
}

pub(super) fn names_nothing() -> Error {
    Error::internal("a name that is well-formed, or was found, leads to nothing")
}
