//! What an event names, well-formed and not yet looked up: entries of the directory, and parties.

use crate::{secret::Secret, text::shown};

/// The kinds of entries of the directory that an event can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    BusinessUnit,
    Unit,
    /// A transaction acquiring point.
    Tap,
    Device,
    Classification,
}

/// The field of an identifier object that names an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryField {
    Id,
    Name,
    /// The alternative code of units and classifications.
    Code,
}

/// An entry of the directory as an event names it, well-formed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GivenEntry {
    pub kind: EntryKind,
    pub by: EntryField,
    pub value: String,
}

impl EntryKind {
    /// The documented name of the attribute that names an entry of this kind.
    pub fn attribute(self) -> &'static str {
        match self {
            Self::BusinessUnit => "performed_by_business_unit_identifier",
            Self::Unit => "performed_by_unit_identifier",
            Self::Tap => "performed_by_tap_identifier",
            Self::Device => "performed_by_device_identifier",
            Self::Classification => "classification_identifier",
        }
    }

    /// The same where it is not about an event.
    pub fn own_attribute(self) -> &'static str {
        let attribute = self.attribute();
        attribute.strip_prefix("performed_by_").unwrap_or(attribute)
    }
}

impl EntryField {
    /// Those by which an entry of this kind is named.
    pub fn of(kind: EntryKind) -> &'static [Self] {
        match kind {
            EntryKind::Device => &[Self::Id, Self::Code],
            EntryKind::BusinessUnit | EntryKind::Unit | EntryKind::Tap | EntryKind::Classification => {
                &[Self::Id, Self::Name, Self::Code]
            }
        }
    }

    /// The documented name.
    pub fn name(self, kind: EntryKind) -> &'static str {
        match (kind, self) {
            (_, Self::Id) => "id",
            (_, Self::Name) => "name",
            (EntryKind::Unit | EntryKind::Classification, Self::Code) => "alternative_code",
            (_, Self::Code) => "code",
        }
    }
}

impl GivenEntry {
    /// The path of the attribute that names the entry.
    pub fn path(&self) -> String {
        format!("{}.{}", self.kind.attribute(), self.field())
    }

    /// The documented name of the field.
    pub fn field(&self) -> &'static str {
        self.by.name(self.kind)
    }
}

/// The role a party plays in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartyRole {
    Referred,
    ReferredBy,
    /// One of the two, whichever it is: only filters ask that.
    Either,
    /// None: no event is asked about, but the party.
    Itself,
}

/// Which of the two identifier objects names a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartyKind {
    AccountsReceivable,
    RewardsParticipant,
}

/// A party as an event names it, well-formed.
#[derive(Clone, Debug)]
pub struct GivenParty {
    pub role: PartyRole,
    pub kind: PartyKind,
    pub by: PartyBy,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PartyBy {
    Id(String),
    Number(String),
    AuthenticationCode(Secret),
    PassCode { identifier: String, pass_code: Secret },
    OneTimePassword(Secret),
}

impl GivenParty {
    /// The path of the attribute that names the party.
    pub fn path(&self) -> String {
        let attribute = party_attribute(self.role, self.kind);
        let field = match self.by {
            PartyBy::Id(_) => "id",
            PartyBy::Number(_) => "number",
            _ => "access_token_identifier",
        };
        format!("{attribute}.{field}")
    }

    /// The party for a sentence: by what was given, save where that is a secret.
    pub fn label(&self) -> String {
        let kind = match self.kind {
            PartyKind::AccountsReceivable => "Accounts Receivable",
            PartyKind::RewardsParticipant => "Participant",
        };
        match &self.by {
            PartyBy::Id(given) | PartyBy::Number(given) | PartyBy::PassCode { identifier: given, .. } => {
                format!("{kind} {}", shown(given))
            }
            PartyBy::AuthenticationCode(_) | PartyBy::OneTimePassword(_) => kind.to_owned(),
        }
    }
}

/// The documented name of the attribute that identifies a party in one of the two ways.
pub fn party_attribute(role: PartyRole, kind: PartyKind) -> &'static str {
    match (role, kind) {
        (PartyRole::Referred, PartyKind::AccountsReceivable) => "referred_accounts_receivable_identifier",
        (PartyRole::Referred, PartyKind::RewardsParticipant) => "referred_rewards_participant_identifier",
        (PartyRole::ReferredBy, PartyKind::AccountsReceivable) => "referred_by_accounts_receivable_identifier",
        (PartyRole::ReferredBy, PartyKind::RewardsParticipant) => "referred_by_rewards_participant_identifier",
        (PartyRole::Either, PartyKind::AccountsReceivable) => "referred_or_referred_by_accounts_receivable_identifier",
        (PartyRole::Either, PartyKind::RewardsParticipant) => "referred_or_referred_by_rewards_participant_identifier",
        (PartyRole::Itself, PartyKind::AccountsReceivable) => "accounts_receivable_identifier",
        (PartyRole::Itself, PartyKind::RewardsParticipant) => "rewards_participant_identifier",
    }
}
