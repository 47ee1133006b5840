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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// A value for a row that can be imported after those of the kinds before.
    pub example: &'static str,
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

    /// The position of a column, by its name in any case; `None` where the kind hasn't got it.
    pub(super) fn position(self, name: &str) -> Option<usize> {
        self.columns().iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The states that its rows can be in.
    pub(super) fn states(self) -> Option<&'static [&'static str]> {
        self.columns().iter().find_map(|column| match column.content {
            Content::State(states) => Some(states),
            _ => None,
        })
    }

    /// The kind, other than this one, of which rows with these columns can be new.
    pub(super) fn other_of(self, names: &[&str]) -> Option<Self> {
        let has_all = |kind: &Self| names.iter().all(|name| kind.position(name).is_some());
        let has_enough = |kind: &Self| {
            kind.columns().iter().all(|column| column.need != Need::Mandatory || names.contains(&column.name))
        };
        Self::ALL.into_iter().find(|kind| *kind != self && has_all(kind) && has_enough(kind))
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

static BUSINESS_UNIT_COLUMNS: [Column; 3] = [id(), natural_key("code", DirectoryKind::BusinessUnits), name("Retail")];

static UNIT_COLUMNS: [Column; 4] = [
    id(),
    name("Admin Unit"),
    natural_key("alternative_code", DirectoryKind::Units),
    reference("business_unit_code", "business_unit_key", DirectoryKind::BusinessUnits),
];

static TAP_COLUMNS: [Column; 6] = [
    id(),
    natural_key("code", DirectoryKind::Taps),
    name("Till 1"),
    reference("business_unit_code", "business_unit_key", DirectoryKind::BusinessUnits),
    reference("unit_alternative_code", "unit_key", DirectoryKind::Units),
    Column { stored: None, ..column("is_default", Content::Flag, Need::Optional, "true") },
];

static DEVICE_COLUMNS: [Column; 3] = [
    id(),
    natural_key("code", DirectoryKind::Devices),
    reference("unit_alternative_code", "unit_key", DirectoryKind::Units),
];

static CLASSIFICATION_COLUMNS: [Column; 3] =
    [id(), name("Brought a friend"), natural_key("alternative_code", DirectoryKind::Classifications)];

static ACCOUNT_COLUMNS: [Column; 3] = [
    id(),
    natural_key("number", DirectoryKind::AccountsReceivable),
    state(&["ACTIVE", "SUSPENDED", "TERMINATED"], "ACTIVE"),
];

static PARTICIPANT_COLUMNS: [Column; 4] = [
    id(),
    natural_key("number", DirectoryKind::RewardsParticipants),
    Column {
        need: Need::Mandatory,
        unique: true,
        ..reference("accounts_receivable_number", "account_key", DirectoryKind::AccountsReceivable)
    },
    state(&["EFFECTIVE", "NOT_EFFECTIVE"], "EFFECTIVE"),
];

static ACCESS_TOKEN_COLUMNS: [Column; 10] = [
    id(),
    natural_key("identifier", DirectoryKind::AccessTokens),
    Column {
        unique: true,
        ..code("authentication_code", text("authentication_code_hash"), Content::AuthenticationCode, "7Q2X9K")
    },
    code("pass_code", text("pass_code_hash"), Content::PassCode, "0042"),
    state(&["EFFECTIVE", "NOT_EFFECTIVE", "PENDING_VERIFICATION"], "EFFECTIVE"),
    column("effective_from", Content::Time, Need::Optional, "2026-01-01T00:00:00Z"),
    column("effective_to", Content::Time, Need::Optional, "2030-12-31T23:59:59+02:00"),
    Column {
        need: Need::Mandatory,
        ..reference("rewards_participant_number", "participant_key", DirectoryKind::RewardsParticipants)
    },
    Column { unique: true, ..code("one_time_password", ONE_TIME_PASSWORD_HASH, Content::OneTimePassword, "318225") },
    column("one_time_password_expires_on", Content::Time, Need::Optional, "2030-12-31T23:59:59Z"),
];

const fn column(name: &'static str, content: Content, need: Need, example: &'static str) -> Column {
    let sql_type = match content {
        Content::Time => SqlType::Timestamp,
        _ => SqlType::Text,
    };
    Column { name, content, need, unique: false, example, stored: Some(StoredColumn { name, sql_type }) }
}

/// Without an example, for a new row gets one of its own.
const fn id() -> Column {
    Column { unique: true, ..column("id", Content::Id, Need::Optional, "") }
}

const fn natural_key(name: &'static str, of: DirectoryKind) -> Column {
    Column { unique: true, ..column(name, Content::Text, Need::Mandatory, example_of(of)) }
}

/// The natural key of the row that is a kind's example.
const fn example_of(kind: DirectoryKind) -> &'static str {
    match kind {
        DirectoryKind::BusinessUnits => "BU1",
        DirectoryKind::Units => "ADMIN",
        DirectoryKind::Taps => "TAP1",
        DirectoryKind::Devices => "DEV1",
        DirectoryKind::Classifications => "FRIEND",
        DirectoryKind::AccountsReceivable => "ACR0000000001",
        DirectoryKind::RewardsParticipants => "RP0000000001",
        DirectoryKind::AccessTokens => "card-1",
    }
}

const fn name(example: &'static str) -> Column {
    Column { unique: true, ..column("name", Content::Text, Need::Optional, example) }
}

const fn state(states: &'static [&'static str], default: &'static str) -> Column {
    column("state", Content::State(states), Need::Default(default), default)
}

const fn code(name: &'static str, stored: StoredColumn, content: Content, example: &'static str) -> Column {
    Column { stored: Some(stored), ..column(name, content, Need::Optional, example) }
}

const fn text(name: &'static str) -> StoredColumn {
    StoredColumn { name, sql_type: SqlType::Text }
}

const fn reference(name: &'static str, stored: &'static str, to: DirectoryKind) -> Column {
    let stored = StoredColumn { name: stored, sql_type: SqlType::BigInteger };
    let content = Content::Reference(to);
    Column { stored: Some(stored), ..column(name, content, Need::Optional, example_of(to)) }
}
