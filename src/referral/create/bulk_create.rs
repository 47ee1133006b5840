//! The bulk call: its checks, and its attempts until one comes to an end.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    call::{Answered, Idempotency, Options},
    decide::Depth,
    fingerprint::canonical,
    interrupted::Interrupted,
};
use crate::{
    error::{Error, ErrorKind, Result},
    id::OrganisationId,
    referral::{
        codes::{Codes, Sender},
        event::EventRequest,
        referral_events::ReferralEvents,
        rules::validate::{Checked, validate},
    },
    retry::Attempts,
    storage::{idempotency, to_its_end, users},
};

/// How often a call is tried again that lost a race, before its caller is asked to come back.
const MAXIMUM_ATTEMPTS: u32 = 20;

/// A call under way.
pub struct Call {
    pub organisation_id: OrganisationId,
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
            this.create(sender, requests, options, idempotency).await
        };
        to_its_end(create, Answered::count_created).await
    }

    async fn create(
        &self,
        sender: Sender,
        requests: Vec<EventRequest>,
        options: Options,
        idempotency: Option<Idempotency>,
    ) -> Result<Answered> {
        let organisation_id = sender.organisation_id;
        let now = self.clock.now();
        // A rehearsal neither keeps an answer nor looks for one.
        let idempotency = idempotency.filter(|_| !options.validate_only).map(|idempotency| {
            let fingerprint = self.hasher.fingerprint(organisation_id, &canonical(&requests, options));
            (idempotency, fingerprint)
        });
        let events = validate(requests, now, self.settings.release);
        let call = Call { organisation_id, events, now, options, idempotency };
        let well_formed = call.events.iter().filter_map(|checked| checked.event.as_ref().ok());
        let mut codes = Codes::of_events(&self.guessing, &sender, well_formed).await?;
        let mut attempts = Attempts::up_to(MAXIMUM_ATTEMPTS);
        loop {
            let attempted = match attempts.number() {
                _ if options.validate_only => self.rehearse(&call, &mut codes).await,
                // Nearly every call is of new referrals, so the first attempt leaves it to the unique keys to say
                // otherwise.
                1 => self.attempt(&call, &mut codes, Depth::CirclesOnly).await,
                _ => self.attempt(&call, &mut codes, Depth::Everything).await,
            };
            match attempted {
                Ok(answered) => return Ok(answered),
                Err(Interrupted::Failed(error)) => return Err(error),
                Err(Interrupted::Raced | Interrupted::DirectoryChanged) if attempts.is_last() => {
                    let message = "Too many calls refer the same parties at once; try again.";
                    return Err(Error::new(ErrorKind::TooManyRequests, message));
                }
                Err(Interrupted::Raced | Interrupted::DirectoryChanged) => attempts.next().await,
            }
        }
    }

    /// Removes the answers that are kept for longer than they need be, in steps so small that no call waits for them.
    pub async fn remove_old_answers(&self) -> Result<()> {
        const STEP: u32 = 200;
        let since = self.clock.now() - self.settings.idempotency_retention;
        for organisation_id in users::list_organisation_ids(self.database.reader()).await? {
            // A step may remove fewer than it could: another replica's took the same, or a call has just renewed one.
            while idempotency::remove_old(self.database.writer(), organisation_id, since, STEP).await? > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}
