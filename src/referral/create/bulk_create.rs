//! The bulk call: what can be said of it without looking anything up, and then its way through the database.

use chrono::{DateTime, Utc};

use super::{
    call::{Answered, Idempotency, Options},
    fingerprint::canonical,
};
use crate::{
    error::Result,
    referral::{
        codes::Sender,
        event::EventRequest,
        referral_events::ReferralEvents,
        rules::validate::{Checked, validate},
    },
    storage::to_its_end,
};

/// A call under way.
pub struct Call {
    pub sender: Sender,
    pub events: Vec<Checked>,
    pub now: DateTime<Utc>,
    pub options: Options,
    /// With the fingerprint of the call.
    pub idempotency: Option<(Idempotency, Vec<u8>)>,
}

impl ReferralEvents {
    /// Creates the events that may be created, in one transaction, and says what became of each. The events are
    /// committed when this answers, and with them the answer, where the call has an idempotency key. Where the caller
    /// leaves before that, they are all committed or none is. `permit` is held until one or the other has come about.
    pub async fn bulk_create(
        &self,
        sender: Sender,
        requests: Vec<EventRequest>,
        options: Options,
        idempotency: Option<Idempotency>,
        permit: impl Send + 'static,
    ) -> Result<Answered> {
        let this = self.clone();
        let create = async move {
            let _permit = permit;
            let call = this.check(sender, requests, options, idempotency);
            if options.validate_only { this.rehearse(call).await } else { this.create_together(call).await }
        };
        to_its_end(create, Answered::count_created).await
    }

    /// All that can be said of the call without looking anything up.
    fn check(
        &self,
        sender: Sender,
        requests: Vec<EventRequest>,
        options: Options,
        idempotency: Option<Idempotency>,
    ) -> Call {
        let now = self.clock.now();
        // A rehearsal neither keeps an answer nor looks for one.
        let idempotency = idempotency.filter(|_| !options.validate_only).map(|idempotency| {
            let fingerprint = self.hasher.fingerprint(sender.organisation_id, &canonical(&requests, options));
            (idempotency, fingerprint)
        });
        let events = validate(requests, now, self.settings.release);
        Call { sender, events, now, options, idempotency }
    }
}
