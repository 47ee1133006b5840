//! A rewards participant, with its account and its referrals.

use crate::{
    error::{Error, Result},
    id::EventNumber,
    referral::{
        codes::Sender,
        event::{PartyIdentifier, PartyIdentifiers},
        given::PartyKind,
        look_back::Named,
        referral_events::ReferralEvents,
    },
    storage::{directory_names::find_party_names, participants, referral_events, to_its_end},
};

pub struct Participant {
    pub id: String,
    pub number: String,
    pub state: String,
    pub account: Named,
    pub account_state: String,
    /// Who referred it, and by which event.
    pub referral: Option<Referral>,
    /// By events in force, of the first [`MAXIMUM_COUNTED`].
    pub number_of_referred: i64,
    /// Whether there may be more than were counted.
    pub has_referred_more: bool,
}

pub struct Referral {
    pub number: EventNumber,
    pub account: Option<Named>,
    pub participant: Option<Named>,
}

/// The most events of a referrer that are counted.
const MAXIMUM_COUNTED: i64 = 20_000;

impl ReferralEvents {
    /// What is told of a participant. `permit` is held until the database has done its part.
    pub async fn participant(
        &self,
        sender: Sender,
        identifier: Option<Box<PartyIdentifier>>,
        permit: impl Send + 'static,
    ) -> Result<Participant> {
        let this = self.clone();
        let find = async move {
            let _permit = permit;
            this.find_participant(&sender, identifier).await
        };
        to_its_end(find, |_| 0).await
    }

    async fn find_participant(&self, sender: &Sender, identifier: Option<Box<PartyIdentifier>>) -> Result<Participant> {
        let identifiers = PartyIdentifiers { rewards_participant: identifier, ..PartyIdentifiers::default() };
        let account_key = self.find_party(sender, &[PartyKind::RewardsParticipant], identifiers).await?;
        let organisation_id = sender.organisation_id;
        let transaction = self.database.begin_read().await?;
        let found = participants::find_of_account(&transaction, organisation_id, account_key).await?;
        let found = found.ok_or_else(|| Error::internal("a participant that was found is there no more"))?;
        let edges = referral_events::find_many_by_referred(&transaction, organisation_id, &[account_key]).await?;
        let referrers: Vec<_> = edges.iter().map(|edge| edge.referred_by_account_key).collect();
        let names = find_party_names(&transaction, organisation_id, &referrers).await?;
        let referral = edges.into_iter().next().map(|edge| Referral {
            number: edge.number,
            account: names.accounts.get(&edge.referred_by_account_key).map(Named::from),
            participant: names.participants.get(&edge.referred_by_account_key).map(Named::from),
        });
        let referred =
            participants::count_referred(&transaction, organisation_id, account_key, MAXIMUM_COUNTED).await?;
        transaction.commit().await?;
        Ok(Participant {
            id: found.id,
            number: found.number,
            state: found.state,
            account: Named { id: found.account_id, code: found.account_number, name: None },
            account_state: found.account_state,
            referral,
            number_of_referred: referred.in_force,
            has_referred_more: referred.events == MAXIMUM_COUNTED,
        })
    }
}
