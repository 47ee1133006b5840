//! The kinds of rows, and what each of their columns may hold.

use std::{fmt, str::FromStr};

use crate::{
    error::{Error, ErrorKind},
    storage::directory::{
        ACCESS_TOKENS, ACCOUNTS_RECEIVABLE, BUSINESS_UNITS, CLASSIFICATIONS, DEVICES, ONE_TIME_PASSWORD_HASH,
        REWARDS_PARTICIPANTS, SqlType, StoredColumn, TAPS, Table, UNITS,
    },
};

/// A kind of row that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DirectoryKind {
    BusinessUnits,
    Units,
    Taps,
    Devices,
    Classifications,
    AccountsReceivable,
    RewardsParticipants,
    AccessTokens,
}

/// A column of a file.
#[derive(Debug)]
pub struct Column {
    pub name: &'static str,
    pub content: Content,
    pub need: Need,
    /// No two rows have the same value.
    pub unique: bool,
    /// Where the value, or what it leads to, is stored; `is_default` is stored with the place, not with the TAP.
    pub(super) stored: Option<StoredColumn>,
}

/// What a column holds.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    Id,
    Text,
    /// One of these.
    State(&'static [&'static str]),
    Flag,
    Time,
    /// A secret that is stored as a hash.
    AuthenticationCode,
    OneTimePassword,
    PassCode,
    /// The natural key of a row of another kind.
    Reference(DirectoryKind),
}

/// What becomes of a column that has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The row has none; an empty cell takes it away from a row that is there.
    Optional,
    /// A new row is refused without it; a row that is there keeps what it has.
    Mandatory,
    /// A new row gets this; a row that is there keeps what it has.
    Default(&'static str),
}

/// The position of `id` among the columns of every kind.
pub(super) const ID: usize = 0;

impl DirectoryKind {
    /// In an order in which files can be imported: no kind refers to a later one.
    pub const ALL: [Self; 8] = [
        Self::BusinessUnits,
        Self::Units,
        Self::Taps,
        Self::Devices,
        Self::Classifications,
        Self::AccountsReceivable,
        Self::RewardsParticipants,
        Self::AccessTokens,
    ];

    pub fn name(self) -> &'static str {
        self.table().name
    }

    /// The columns that a file of this kind may have.
    pub fn columns(self) -> &'static [Column] {
        match self {
            Self::BusinessUnits => &BUSINESS_UNIT_COLUMNS,
            Self::Units => &UNIT_COLUMNS,
            Self::Taps => &TAP_COLUMNS,
            Self::Devices => &DEVICE_COLUMNS,
            Self::Classifications => &CLASSIFICATION_COLUMNS,
            Self::AccountsReceivable => &ACCOUNT_COLUMNS,
            Self::RewardsParticipants => &PARTICIPANT_COLUMNS,
            Self::AccessTokens => &ACCESS_TOKEN_COLUMNS,
        }
    }

    /// The column by which a row is found where its id is not given.
    pub fn natural_key(self) -> &'static str {
        self.table().natural_key
    }

    /// What one row is called in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            Self::BusinessUnits => "business unit",
            Self::Units => "unit",
            Self::Taps => "TAP",
            Self::Devices => "device",
            Self::Classifications => "classification",
            Self::AccountsReceivable => "account receivable",
            Self::RewardsParticipants => "rewards participant",
            Self::AccessTokens => "access token",
        }
    }

    pub(super) fn table(self) -> &'static Table {
        match self {
            Self::BusinessUnits => &BUSINESS_UNITS,
            Self::Units => &UNITS,
            Self::Taps => &TAPS,
            Self::Devices => &DEVICES,
            Self::Classifications => &CLASSIFICATIONS,
            Self::AccountsReceivable => &ACCOUNTS_RECEIVABLE,
            Self::RewardsParticipants => &REWARDS_PARTICIPANTS,
            Self::AccessTokens => &ACCESS_TOKENS,
        }
    }

    /// The position of a column; `None` where the kind hasn't got it.
    pub(super) fn position(self, name: &str) -> Option<usize> {
        self.columns().iter().position(|column| column.name == name)
    }
}

impl fmt::Display for DirectoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DirectoryKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::new(ErrorKind::MalformedRequest, format!("the kind is one of {names}")).at_field("kind")
        })
    }
}

static BUSINESS_UNIT_COLUMNS: [Column; 3] = [id(), natural_key("code"), name()];

static UNIT_COLUMNS: [Column; 4] = [
    id(),
    name(),
    natural_key("alternative_code"),
    reference("business_unit_code", "business_unit_key", DirectoryKind::BusinessUnits),
];

static TAP_COLUMNS: [Column; 6] = [
    id(),
    natural_key("code"),
    name(),
    reference("business_unit_code", "business_unit_key", DirectoryKind::BusinessUnits),
    reference("unit_alternative_code", "unit_key", DirectoryKind::Units),
    Column { stored: None, ..column("is_default", Content::Flag, Need::Optional) },
];

static DEVICE_COLUMNS: [Column; 3] =
    [id(), natural_key("code"), reference("unit_alternative_code", "unit_key", DirectoryKind::Units)];

static CLASSIFICATION_COLUMNS: [Column; 3] = [id(), name(), natural_key("alternative_code")];

static ACCOUNT_COLUMNS: [Column; 3] =
    [id(), natural_key("number"), state(&["ACTIVE", "SUSPENDED", "TERMINATED"], "ACTIVE")];

static PARTICIPANT_COLUMNS: [Column; 4] = [
    id(),
    natural_key("number"),
    Column {
        need: Need::Mandatory,
        unique: true,
        ..reference("accounts_receivable_number", "account_key", DirectoryKind::AccountsReceivable)
    },
    state(&["EFFECTIVE", "NOT_EFFECTIVE"], "EFFECTIVE"),
];

static ACCESS_TOKEN_COLUMNS: [Column; 10] = [
    id(),
    natural_key("identifier"),
    Column {
        unique: true,
        ..code("authentication_code", text("authentication_code_hash"), Content::AuthenticationCode)
    },
    code("pass_code", text("pass_code_hash"), Content::PassCode),
    state(&["EFFECTIVE", "NOT_EFFECTIVE", "PENDING_VERIFICATION"], "EFFECTIVE"),
    column("effective_from", Content::Time, Need::Optional),
    column("effective_to", Content::Time, Need::Optional),
    Column {
        need: Need::Mandatory,
        ..reference("rewards_participant_number", "participant_key", DirectoryKind::RewardsParticipants)
    },
    Column { unique: true, ..code("one_time_password", ONE_TIME_PASSWORD_HASH, Content::OneTimePassword) },
    column("one_time_password_expires_on", Content::Time, Need::Optional),
];

const fn column(name: &'static str, content: Content, need: Need) -> Column {
    let sql_type = match content {
        Content::Time => SqlType::Timestamp,
        _ => SqlType::Text,
    };
    Column { name, content, need, unique: false, stored: Some(StoredColumn { name, sql_type }) }
}

const fn id() -> Column {
    Column { unique: true, ..column("id", Content::Id, Need::Optional) }
}

const fn natural_key(name: &'static str) -> Column {
    Column { unique: true, ..column(name, Content::Text, Need::Mandatory) }
}

const fn name() -> Column {
    Column { unique: true, ..column("name", Content::Text, Need::Optional) }
}

const fn state(states: &'static [&'static str], default: &'static str) -> Column {
    column("state", Content::State(states), Need::Default(default))
}

const fn code(name: &'static str, stored: StoredColumn, content: Content) -> Column {
    Column { stored: Some(stored), ..column(name, content, Need::Optional) }
}

const fn text(name: &'static str) -> StoredColumn {
    StoredColumn { name, sql_type: SqlType::Text }
}

const fn reference(name: &'static str, stored: &'static str, to: DirectoryKind) -> Column {
    let stored = StoredColumn { name: stored, sql_type: SqlType::BigInteger };
    Column { stored: Some(stored), ..column(name, Content::Reference(to), Need::Optional) }
}
