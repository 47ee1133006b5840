//! Changes of states. Each takes its turn among the changes of the organisation's directory, as an import does, and leaves
//! its entry in the audit; one that changes nothing leaves none.

use super::{
    Directory,
    lists::check_state,
    names::{AccessTokenName, access_token_name, names_nothing},
};
use crate::{
    directory::DirectoryKind,
    error::Result,
    id::RowKey,
    referral::{
        Sender,
        event::{Instant, PartyIdentifier},
        pages::refuse,
        rules::validate::Validator,
        violation::Violation,
    },
    storage::{
        Transaction,
        directory_rows::{self, AccessToken, Account, DirectoryRow, Participant, RowName},
        directory_states::{self, begin_change},
        people::{Act, SERVICE},
        to_its_end,
    },
};

/// What an access token is to have, as it was sent.
#[derive(Debug, Default)]
pub struct NewTokenState {
    pub state: Option<String>,
    pub effective_to: Option<Instant>,
}

impl Directory {
    /// Sets the state of an account. Here and below, `permit` is held until the database has done its part.
    pub async fn set_account_state(
        &self,
        sender: Sender,
        identifier: Option<Box<PartyIdentifier>>,
        state: Option<String>,
        permit: impl Send + 'static,
    ) -> Result<Account> {
        let state = self.mandatory_state(DirectoryKind::AccountsReceivable, state)?;
        let this = self.clone();
        let set = async move {
            let _permit = permit;
            let organisation_id = sender.organisation_id;
            let key = this.find_account(&sender, identifier).await?;
            let transaction = begin_change(&this.database, organisation_id).await?;
            let mut account: Account = this.find_again(&transaction, &sender, key).await?;
            if account.state == state {
                transaction.rollback().await?;
                return Ok(account);
            }
            directory_states::set_account(&transaction, organisation_id, key, state).await?;
            let change = format!("{}: {} to {state}", account.number, account.state);
            this.end_change(transaction, &sender, "accounts_receivable state", change).await?;
            state.clone_into(&mut account.state);
            Ok(account)
        };
        to_its_end(set, |_| 0).await
    }

    pub async fn set_participant_state(
        &self,
        sender: Sender,
        identifier: Option<Box<PartyIdentifier>>,
        state: Option<String>,
        permit: impl Send + 'static,
    ) -> Result<Participant> {
        let state = self.mandatory_state(DirectoryKind::RewardsParticipants, state)?;
        let this = self.clone();
        let set = async move {
            let _permit = permit;
            let organisation_id = sender.organisation_id;
            let key = this.find_participant(&sender, identifier).await?;
            let transaction = begin_change(&this.database, organisation_id).await?;
            let mut participant: Participant = this.find_again(&transaction, &sender, key).await?;
            if participant.state == state {
                transaction.rollback().await?;
                return Ok(participant);
            }
            directory_states::set_participant(&transaction, organisation_id, key, state).await?;
            let change = format!("{}: {} to {state}", participant.number, participant.state);
            this.end_change(transaction, &sender, "rewards_participants state", change).await?;
            state.clone_into(&mut participant.state);
            Ok(participant)
        };
        to_its_end(set, |_| 0).await
    }

    /// Sets the state of an access token, or when it ends, or both.
    pub async fn set_access_token_state(
        &self,
        sender: Sender,
        name: Option<AccessTokenName>,
        new: NewTokenState,
        permit: impl Send + 'static,
    ) -> Result<AccessToken> {
        let mut validator = self.validator();
        let state = new.state.and_then(|state| check_state(&mut validator, DirectoryKind::AccessTokens, state));
        let end = new.effective_to.and_then(|end| validator.date("effective_to", end));
        if state.is_none() && end.is_none() && validator.violations.is_empty() {
            validator.violations.push(Violation::missing_one_of(&["state", "effective_to"]));
        }
        let name = access_token_name(name, &mut validator)?;
        let this = self.clone();
        let set = async move {
            let _permit = permit;
            let organisation_id = sender.organisation_id;
            let transaction = begin_change(&this.database, organisation_id).await?;
            let found = directory_rows::find(&transaction, organisation_id, name.row()).await?;
            let token: AccessToken = found.ok_or_else(|| name.not_found())?;
            let state = state.map_or_else(|| token.state.clone(), str::to_owned);
            let effective_to = end.or(token.effective_to);
            if token.state == state && token.effective_to == effective_to {
                transaction.rollback().await?;
                return Ok(token);
            }
            if token.effective_from.zip(end).is_some_and(|(from, end)| end < from) {
                let description = "The date is before effective_from";
                return Err(Violation::invalid_value("effective_to", description).into());
            }
            let key = token.key;
            directory_states::set_access_token(&transaction, organisation_id, key, &state, effective_to).await?;
            let ends = end.map(|end| format!(", ends {}", end.to_rfc3339())).unwrap_or_default();
            let change = format!("{}: {} to {state}{ends}", token.identifier, token.state);
            this.end_change(transaction, &sender, "access_tokens state", change).await?;
            Ok(AccessToken { state, effective_to, ..token })
        };
        to_its_end(set, |_| 0).await
    }

    fn mandatory_state(&self, kind: DirectoryKind, state: Option<String>) -> Result<&'static str> {
        let mut validator: Validator = self.validator();
        let state = state.and_then(|state| check_state(&mut validator, kind, state));
        if state.is_none() && validator.violations.is_empty() {
            validator.violations.push(Violation::missing("state"));
        }
        refuse(validator.violations)?;
        state.ok_or_else(names_nothing)
    }

    /// A row as it is now that no other change is under way.
    async fn find_again<R: DirectoryRow>(&self, transaction: &Transaction, sender: &Sender, key: RowKey) -> Result<R> {
        let found = directory_rows::find(transaction, sender.organisation_id, RowName::Key(key)).await?;
        found.ok_or_else(names_nothing)
    }

    async fn end_change(
        &self,
        transaction: Transaction,
        sender: &Sender,
        action: &'static str,
        change: String,
    ) -> Result<()> {
        let act = self.act(sender, action, Some(change));
        act.keep(&transaction, sender.organisation_id, None).await?;
        Ok(transaction.commit().await?)
    }

    /// What is kept of a change in the audit.
    pub(super) fn act(&self, sender: &Sender, action: &'static str, change: Option<String>) -> Act {
        let request = format!("request {}", sender.request_id);
        Act {
            actor: sender.user_name.clone(),
            host: SERVICE.to_owned(),
            action,
            details: Some(change.into_iter().chain([request]).collect::<Vec<_>>().join("; ")),
            occurred_on: self.clock.now(),
        }
    }
}
