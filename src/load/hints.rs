//! What helps a row that failed.

use super::fault::Code;
use crate::error::ViolationKind;

/// What helps where a row has failed with that code, ours or the service's; nothing is known of codes of later releases.
pub fn hint(code: &str) -> &'static str {
    if let Some(code) = Code::of_name(code) {
        return code.hint();
    }
    ViolationKind::ALL.into_iter().find(|kind| kind.code() == code).map_or("see docs/errors.md of the server", of_kind)
}

fn of_kind(kind: ViolationKind) -> &'static str {
    match kind {
        ViolationKind::MalformedEvent | ViolationKind::UnknownAttribute => "load --attributes has what there is",
        ViolationKind::MissingMandatoryAttribute => "fill the cell, or give all rows the same with --set",
        ViolationKind::UnsupportedAttribute => "leave the column out: the server is set to an older release",
        ViolationKind::InvalidAttributeValue => "correct the value",
        ViolationKind::DuplicateRequestUniqueIdentifier => "leave the column out: the rows are numbered then",
        ViolationKind::InvalidIdentifier => "name each by one column: its id, its name or its number",
        ViolationKind::BusinessUnitNotFound
        | ViolationKind::UnitNotFound
        | ViolationKind::TransactionAcquiringPointNotFound
        | ViolationKind::DeviceNotFound
        | ViolationKind::CustomerEventClassificationNotFound => "correct the name, or import it first",
        ViolationKind::AccountsReceivableNotFound | ViolationKind::RewardsParticipantNotFound => {
            "correct the number, or import the party first"
        }
        ViolationKind::InvalidAccessToken => "correct the code, or name the party by its number",
        ViolationKind::PerformedByMismatch => "leave all but one of the performed_by columns out",
        ViolationKind::AccountsReceivableNotActive | ViolationKind::RewardsParticipantNotEffective => {
            "load the row again once the party is active"
        }
        ViolationKind::ExternalReferenceConflict => "another event has the reference: correct one of them",
        ViolationKind::SelfReferral => "correct one of the parties",
        ViolationKind::ReferralAlreadyExists => "nothing to do: the referral is there",
        ViolationKind::ReferredByAnotherParticipant => "cancel the other referral first, where this one is right",
        ViolationKind::CircularReferral => "correct one of the parties",
        ViolationKind::NotAttempted => "load the row again",
    }
}
