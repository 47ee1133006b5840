//! The calls that change the directory, which are for administrators.

use super::{
    admission::{Load, Permit},
    api::{Api, in_queue, sender},
    convert::{instant, unboxed},
    head::Head,
};
use crate::{
    contract::{
        SetAccessTokenStateRequest, SetAccessTokenStateResponse, SetAccountsReceivableStateRequest,
        SetAccountsReceivableStateResponse, SetParticipantStateRequest, SetParticipantStateResponse,
    },
    directory::NewTokenState,
    error::Result,
    referral::Sender,
};

impl Api {
    pub async fn set_accounts_receivable_state(
        &self,
        head: &Head,
        request: SetAccountsReceivableStateRequest,
    ) -> Result<SetAccountsReceivableStateResponse> {
        let (sender, permit) = self.administrator(head, request.token).await?;
        let identifier = unboxed(request.accounts_receivable_identifier);
        let account = self.directory.set_account_state(sender, identifier, request.state, permit).await?;
        Ok(SetAccountsReceivableStateResponse { accounts_receivable: Some(account.into()) })
    }

    pub async fn set_participant_state(
        &self,
        head: &Head,
        request: SetParticipantStateRequest,
    ) -> Result<SetParticipantStateResponse> {
        let (sender, permit) = self.administrator(head, request.token).await?;
        let identifier = unboxed(request.rewards_participant_identifier);
        let participant = self.directory.set_participant_state(sender, identifier, request.state, permit).await?;
        Ok(SetParticipantStateResponse { rewards_participant: Some(participant.into()) })
    }

    pub async fn set_access_token_state(
        &self,
        head: &Head,
        request: SetAccessTokenStateRequest,
    ) -> Result<SetAccessTokenStateResponse> {
        let (sender, permit) = self.administrator(head, request.token).await?;
        let name = request.access_token_identifier.map(Into::into);
        let new = NewTokenState { state: request.state, effective_to: request.effective_to.map(instant) };
        let token = self.directory.set_access_token_state(sender, name, new, permit).await?;
        Ok(SetAccessTokenStateResponse { access_token: Some(token.into()) })
    }

    /// Who changes something, and a place to do so.
    async fn administrator(&self, head: &Head, token: Option<String>) -> Result<(Sender, Permit)> {
        let caller = self.caller(head, token).await?;
        caller.require_administration()?;
        let permit = in_queue(&self.writes, &caller, Load::Other(1)).await?;
        Ok((sender(head, &caller), permit))
    }
}
