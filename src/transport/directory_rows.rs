//! The directory's rows as the contract has them.

use crate::{
    contract::{self, date::timestamp},
    directory,
    referral::{Named, Participant, TreeNode},
};

impl From<directory::BusinessUnit> for contract::BusinessUnit {
    fn from(row: directory::BusinessUnit) -> Self {
        Self { id: Some(row.id), code: Some(row.code), name: row.name }
    }
}

impl From<directory::Unit> for contract::Unit {
    fn from(row: directory::Unit) -> Self {
        Self {
            id: Some(row.id),
            name: row.name,
            alternative_code: Some(row.alternative_code),
            business_unit_code: row.business_unit_code,
        }
    }
}

impl From<directory::Tap> for contract::TransactionAcquiringPoint {
    fn from(row: directory::Tap) -> Self {
        Self {
            id: Some(row.id),
            code: Some(row.code),
            name: row.name,
            business_unit_code: row.business_unit_code,
            unit_alternative_code: row.unit_alternative_code,
            is_default: Some(row.is_default),
        }
    }
}

impl From<directory::Device> for contract::Device {
    fn from(row: directory::Device) -> Self {
        Self { id: Some(row.id), code: Some(row.code), unit_alternative_code: row.unit_alternative_code }
    }
}

impl From<directory::Classification> for contract::Classification {
    fn from(row: directory::Classification) -> Self {
        Self { id: Some(row.id), name: row.name, alternative_code: Some(row.alternative_code) }
    }
}

impl From<directory::Account> for contract::AccountsReceivable {
    fn from(row: directory::Account) -> Self {
        Self { id: Some(row.id), number: Some(row.number), state: Some(row.state) }
    }
}

impl From<directory::Participant> for contract::RewardsParticipant {
    fn from(row: directory::Participant) -> Self {
        Self {
            id: Some(row.id),
            number: Some(row.number),
            state: Some(row.state),
            accounts_receivable_number: Some(row.account_number),
        }
    }
}

impl From<directory::AccessToken> for contract::AccessToken {
    fn from(row: directory::AccessToken) -> Self {
        Self {
            id: Some(row.id),
            identifier: Some(row.identifier),
            state: Some(row.state),
            effective_from: row.effective_from.map(timestamp),
            effective_to: row.effective_to.map(timestamp),
            rewards_participant_number: Some(row.participant_number),
            one_time_password_expires_on: row.one_time_password_expires_on.map(timestamp),
        }
    }
}

impl From<Participant> for contract::ParticipantDetails {
    fn from(participant: Participant) -> Self {
        let Named { id, code, .. } = participant.account;
        let state = Some(participant.account_state);
        let (event, account, owner) = match participant.referral {
            Some(referral) => (Some(referral.number), referral.account, referral.participant),
            None => (None, None, None),
        };
        Self {
            id: Some(participant.id),
            number: Some(participant.number),
            state: Some(participant.state),
            accounts_receivable: Some(contract::AccountsReceivable { id: Some(id), number: Some(code), state }),
            referred_by_accounts_receivable: account.map(party),
            referred_by_rewards_participant: owner.map(party),
            referred_by_event_number: event.map(|number| number.to_string()),
            number_of_referred: u32::try_from(participant.number_of_referred).ok(),
            has_referred_more: Some(participant.has_referred_more),
        }
    }
}

impl From<TreeNode> for contract::ReferralTreeNode {
    fn from(node: TreeNode) -> Self {
        Self {
            level: Some(node.level),
            accounts_receivable: node.account.map(party),
            rewards_participant: node.participant.map(party),
            event_number: Some(node.event.to_string()),
            has_referred: node.has_referred,
        }
    }
}

fn party(Named { id, code, .. }: Named) -> contract::Party {
    contract::Party { id: Some(id), number: Some(code) }
}
