//! What is wrong with one event.

use super::{
    given::{EntryKind, GivenEntry},
    rules::release::Release,
};
pub use crate::error::ViolationKind;
use crate::{
    error::{Error, ErrorKind},
    guessing::Wait,
    text::{listed, shown},
};

/// One thing that is wrong with one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub kind: ViolationKind,
    /// The path of the attribute at fault; empty where it is the event itself.
    pub field: String,
    /// The sentence in title case that names what was given.
    error: String,
    /// The sentence that says what is wrong.
    description: String,
}

impl Violation {
    fn new(kind: ViolationKind, field: impl Into<String>, error: String, description: impl Into<String>) -> Self {
        Self { kind, field: field.into(), error, description: description.into() }
    }

    /// The sentence that says what is wrong, without its full stop.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The same of an attribute at another path.
    pub fn at(self, field: String) -> Self {
        Self { field, ..self }
    }

    /// The documented form of an error's description.
    pub fn error_description(&self) -> String {
        format!("Error:{}. - Description:{}.", self.error, self.description)
    }

    pub fn not_an_object() -> Self {
        let error = "Event Is Malformed".to_owned();
        Self::new(ViolationKind::MalformedEvent, "", error, "The event is not an object")
    }

    pub fn not_a_message() -> Self {
        let error = "Event Is Malformed".to_owned();
        Self::new(ViolationKind::MalformedEvent, "", error, "The event is not a message of the contract")
    }

    /// `description` says what is expected.
    pub fn malformed(field: &str, description: &str) -> Self {
        let error = format!("Attribute {field} Is Malformed");
        Self::new(ViolationKind::MalformedEvent, field, error, description)
    }

    /// `hint` says what was probably meant.
    pub fn unknown_attribute(field: &str, hint: Option<String>) -> Self {
        let error = format!("Attribute {field} Does Not Exist");
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        Self::new(ViolationKind::UnknownAttribute, field, error, format!("The attribute does not exist{hint}"))
    }

    pub fn missing(field: &str) -> Self {
        let error = format!("Attribute {field} Is Mandatory");
        Self::new(ViolationKind::MissingMandatoryAttribute, field, error, "The attribute is missing or empty")
    }

    /// Any of the attributes would do; the first is the one that is named.
    pub fn missing_one_of(fields: &[&str]) -> Self {
        match fields {
            [] => Self::missing(""),
            [field] => Self::missing(field),
            [first, ..] => Self {
                description: format!("One of the attributes {} is mandatory", listed(fields)),
                ..Self::missing(first)
            },
        }
    }

    /// `release` is the one that the server is set to.
    pub fn unsupported_attribute(field: &str, release: Release) -> Self {
        let error = format!("Attribute {field} Is Not Supported");
        let description = format!("The attribute does not exist in release {release}");
        Self::new(ViolationKind::UnsupportedAttribute, field, error, description)
    }

    /// `description` says what the value must be.
    pub fn invalid_value(field: &str, description: &str) -> Self {
        let error = format!("Attribute {field} Has an Invalid Value");
        Self::new(ViolationKind::InvalidAttributeValue, field, error, description)
    }

    pub fn duplicate_request_unique_identifier(identifier: &str) -> Self {
        Self::new(
            ViolationKind::DuplicateRequestUniqueIdentifier,
            "request_unique_identifier",
            format!("Request Unique Identifier {} Is Not Unique", shown(identifier)),
            "The request unique identifier is shared with another event of the call",
        )
    }

    /// `description` says how the identifier must be given.
    pub fn invalid_identifier(field: &str, description: &str) -> Self {
        let error = format!("Identifier {field} Is Invalid");
        Self::new(ViolationKind::InvalidIdentifier, field, error, description)
    }

    pub fn entry_not_found(entry: &GivenEntry) -> Self {
        let (violation, noun, description) = match entry.kind {
            EntryKind::BusinessUnit => {
                (ViolationKind::BusinessUnitNotFound, "Business Unit", "The business unit does not exist")
            }
            EntryKind::Unit => (ViolationKind::UnitNotFound, "Unit", "The unit does not exist"),
            EntryKind::Tap => (
                ViolationKind::TransactionAcquiringPointNotFound,
                "Transaction Acquiring Point",
                "The transaction acquiring point does not exist",
            ),
            EntryKind::Device => (ViolationKind::DeviceNotFound, "Device", "The device does not exist"),
            EntryKind::Classification => (
                ViolationKind::CustomerEventClassificationNotFound,
                "Customer Event Classification",
                "The customer event classification does not exist",
            ),
        };
        Self::new(violation, entry.path(), format!("{noun} {} Was Not Found", shown(&entry.value)), description)
    }

    pub fn accounts_receivable_not_found(field: &str, label: &str) -> Self {
        let error = format!("{label} Was Not Found");
        let description = "The accounts receivable does not exist";
        Self::new(ViolationKind::AccountsReceivableNotFound, field, error, description)
    }

    pub fn rewards_participant_not_found(field: &str, label: &str) -> Self {
        let error = format!("{label} Was Not Found");
        let description = "The rewards participant does not exist";
        Self::new(ViolationKind::RewardsParticipantNotFound, field, error, description)
    }

    /// The same for every reason that an access token does not identify: which one it was is nobody's business.
    pub fn invalid_access_token(field: &str) -> Self {
        Self::new(
            ViolationKind::InvalidAccessToken,
            field,
            "Access Token Is Invalid".to_owned(),
            "The access token does not identify a rewards participant",
        )
    }

    pub fn performed_by_mismatch(field: &str) -> Self {
        Self::new(
            ViolationKind::PerformedByMismatch,
            field,
            "Performed by Identifiers Do Not Match".to_owned(),
            "The business unit, unit, transaction acquiring point and device do not belong together",
        )
    }

    pub fn accounts_receivable_not_active(field: &str, label: &str) -> Self {
        Self::new(
            ViolationKind::AccountsReceivableNotActive,
            field,
            format!("{label} Is Not Active"),
            "The accounts receivable is not active",
        )
    }

    pub fn rewards_participant_not_effective(field: &str, label: &str) -> Self {
        Self::new(
            ViolationKind::RewardsParticipantNotEffective,
            field,
            format!("{label} Is Not Effective"),
            "The rewards participant is not effective",
        )
    }

    pub fn external_reference_conflict(number: &str) -> Self {
        Self::new(
            ViolationKind::ExternalReferenceConflict,
            "external_system_reference_number",
            format!("External System Reference Number {} Already Exists", shown(number)),
            "Another event with other content has the external system reference number",
        )
    }

    pub fn self_referral(field: &str, label: &str) -> Self {
        let error = format!("{label} Cannot Refer Itself");
        Self::new(ViolationKind::SelfReferral, field, error, "A party cannot refer itself")
    }

    pub fn referral_already_exists(field: &str, label: &str) -> Self {
        Self::new(
            ViolationKind::ReferralAlreadyExists,
            field,
            format!("{label} Was Already Referred by the Same Participant"),
            "The participant was already referred by the same participant",
        )
    }

    pub fn referred_by_another_participant(field: &str, label: &str) -> Self {
        Self::new(
            ViolationKind::ReferredByAnotherParticipant,
            field,
            format!("{label} Was Already Referred by Another Participant"),
            "The participant was already referred by another participant",
        )
    }

    pub fn circular_referral(field: &str, label: &str) -> Self {
        Self::new(
            ViolationKind::CircularReferral,
            field,
            format!("Referral of {label} Closes a Circle"),
            "The referred participant has, directly or through others, referred the one that refers it",
        )
    }

    /// The same whether the event's codes are right or wrong.
    pub fn too_many_wrong_codes(wait: Wait) -> Self {
        let error = "Event Was Not Attempted".to_owned();
        let description =
            format!("Too many wrong codes were given, and the event has codes; send it again in {} s", wait.seconds());
        Self::new(ViolationKind::NotAttempted, "", error, description)
    }

    pub fn not_attempted() -> Self {
        let error = "Event Was Not Attempted".to_owned();
        Self::new(
            ViolationKind::NotAttempted,
            "",
            error,
            "Another event of the call failed, and all or none were wanted",
        )
    }
}

/// Refuses a whole call for what is wrong with one of its attributes.
impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        let kind = ErrorKind::EventRefused(violation.kind);
        Self::new(kind, violation.error_description()).at_field(violation.field)
    }
}
