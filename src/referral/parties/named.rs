//! The party that an identifier names, where no event is asked about.

use crate::{
    error::{Error, Result},
    id::AccountKey,
    referral::{
        codes::Sender,
        event::PartyIdentifiers,
        find_parties::find_parties,
        given::{PartyKind, PartyRole, party_attribute},
        look_back::count_codes,
        pages::refuse,
        referral_events::ReferralEvents,
        resolve::{Entries, Resolver},
        rules::validate::Validator,
        violation::Violation,
    },
};

impl ReferralEvents {
    /// The account of a party, active or not. `kinds` are the identifiers of which one is expected.
    pub async fn find_party(
        &self,
        sender: &Sender,
        kinds: &[PartyKind],
        identifiers: PartyIdentifiers,
    ) -> Result<AccountKey> {
        let now = self.clock.now();
        let mut validator = Validator::new(now, self.settings.release);
        let mut party = None;
        if identifiers.accounts_receivable.is_none() && identifiers.rewards_participant.is_none() {
            let expected: Vec<&str> = kinds.iter().map(|kind| party_attribute(PartyRole::Itself, *kind)).collect();
            validator.violations.push(Violation::missing_one_of(&expected));
        } else {
            party = validator.party(PartyRole::Itself, identifiers);
        }
        refuse(validator.violations)?;
        let party = party.ok_or_else(|| Error::internal("an identifier that is well-formed names nothing"))?;
        let (reader, given) = (self.database.reader(), [&party]);
        count_codes(reader, &self.guessing, sender, &self.hasher, given.into_iter(), now).await?;
        let organisation_id = sender.organisation_id;
        let found = find_parties(reader, organisation_id, &self.hasher, given.into_iter(), 1).await?;
        let resolver = Resolver { organisation_id, hasher: &self.hasher, entries: Entries::new(), now };
        let resolved = resolver.party(&party, found.of_each().next().unwrap_or_default())?;
        if resolved.is_by_used_password() {
            // It identifies nobody any more.
            return Err(Violation::invalid_access_token(&party.path()).into());
        }
        Ok(resolved.account_key)
    }
}
