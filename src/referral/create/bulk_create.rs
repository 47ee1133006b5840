//! The bulk call: what can be said of it without looking anything up, and then its way through the database.

use super::{
    call::{Answered, Call, Idempotency, Options},
    fingerprint::canonical,
};
use crate::{
    error::Result,
    metrics::CallRecord,
    referral::{codes::Sender, event::EventRequest, referral_events::ReferralEvents, rules::validate::validate},
    storage::to_its_end,
};

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
            let answered = match options.validate_only {
                // Boxed: what is spawned is moved, and this is large.
                true => Box::pin(this.rehearse(call)).await,
                false => this.create_together(call).await,
            }?;
            // Here, so that they are counted although the caller may have left.
            if let Answered::Now(report) = &answered {
                CallRecord::current().events(report.iter().map(|event| event.outcome.counted()));
            }
            Ok(answered)
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
            let fingerprints = self.hasher.fingerprints(sender.organisation_id, &canonical(&requests, options));
            (idempotency, fingerprints)
        });
        let events = validate(requests, now, self.settings.release);
        Call { sender, events, now, options, idempotency }
    }
}
