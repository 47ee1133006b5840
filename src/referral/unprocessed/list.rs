//! Lists of unprocessed events, and how long there are any.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    id::OrganisationId,
    referral::{
        event::Instant,
        pages::{self, PageTokens},
        referral_events::ReferralEvents,
        rules::validate::{Validator, given},
        violation::Violation,
    },
    storage::{
        to_its_end,
        unprocessed_events::{self, UnprocessedEvent, UnprocessedFilter},
        users,
    },
};

/// Which page of which list, as it was sent. A filter that is not given is met by every event.
#[derive(Debug, Default)]
pub struct UnprocessedListRequest {
    pub request_id: Option<String>,
    pub error_code: Option<String>,
    pub request_unique_identifier: Option<String>,
    pub external_system: Option<String>,
    pub external_system_reference_number: Option<String>,
    pub created_on_from: Option<Instant>,
    pub created_on_to: Option<Instant>,
    pub number_of_results: Option<u32>,
    pub page_token: Option<String>,
}

/// A page of a list of unprocessed events, the newest first.
pub struct ListedUnprocessed {
    pub events: Vec<UnprocessedEvent>,
    /// The id after which the next page begins; `None` on the last page.
    next_after: Option<Uuid>,
    tokens: PageTokens,
}

/// The digits of an id.
const DIGITS: usize = 32;

impl ListedUnprocessed {
    /// The token of the next page, which begins after the event of this id where this page is cut there; `None` on the
    /// last page.
    pub fn next_page_token(&self, cut_after: Option<Uuid>) -> Option<String> {
        cut_after.or(self.next_after).map(|after| {
            let after = after.simple();
            self.tokens.token(&after.to_string(), after)
        })
    }
}

impl UnprocessedListRequest {
    /// What is wrong with it goes to the validator.
    fn check(self, validator: &mut Validator) -> UnprocessedFilter {
        let mut text = |field: &str, value: Option<String>| {
            let value = given(value);
            validator.optional_text(field, value.as_deref());
            value
        };
        let request_id = text("request_id", self.request_id);
        let request_unique_identifier = text("request_unique_identifier", self.request_unique_identifier);
        let external_system = text("external_system", self.external_system);
        let reference = text("external_system_reference_number", self.external_system_reference_number);
        let error_code = given(self.error_code);
        if error_code.as_ref().is_some_and(|code| !code.bytes().all(|byte| byte.is_ascii_alphabetic())) {
            let description = "The error code is not one of those of unprocessed events";
            validator.violations.push(Violation::invalid_value("error_code", description));
        }
        UnprocessedFilter {
            request_id,
            error_code,
            request_unique_identifier,
            external_system,
            external_system_reference_number: reference,
            created_on_from: pages::earliest(validator, "created_on_from", self.created_on_from),
            created_on_to: pages::latest(validator, "created_on_to", self.created_on_to),
        }
    }
}

impl ReferralEvents {
    /// A page of the unprocessed events that are kept. Ids rise with the time, so pages that each begin after the last id
    /// of the page before miss none and have none twice. `permit` is held until the database has done its part.
    pub async fn list_unprocessed(
        &self,
        organisation_id: OrganisationId,
        mut request: UnprocessedListRequest,
        permit: impl Send + 'static,
    ) -> Result<ListedUnprocessed> {
        let mut validator = Validator::new(self.clock.now(), self.settings.release);
        let limit = pages::number_of_results(&mut validator, request.number_of_results);
        let page_token = request.page_token.take();
        let filter = request.check(&mut validator);
        pages::refuse(validator.violations)?;
        let list = serde_json::to_string(&("unprocessed", &filter)).map_err(Error::internal)?;
        let tokens = PageTokens { hasher: self.hasher.clone(), organisation_id, list };
        let after = tokens.read(page_token, DIGITS, |digits| Some(Uuid::try_parse(digits).ok()?.simple()))?;
        let (database, since) = (self.database.clone(), self.unprocessed_since());
        let find = async move {
            let _permit = permit;
            let (reader, after) = (database.reader(), after.map(|after| *after.as_uuid()));
            let found = unprocessed_events::find_page(reader, organisation_id, &filter, since, after, limit);
            let (events, next_after) = found.await?;
            Ok(ListedUnprocessed { events, next_after, tokens })
        };
        to_its_end(find, |_| 0).await
    }

    /// Since when unprocessed events are kept.
    fn unprocessed_since(&self) -> DateTime<Utc> {
        let kept_for = TimeDelta::from_std(self.settings.unprocessed_retention).unwrap_or(TimeDelta::MAX);
        self.clock.now().checked_sub_signed(kept_for).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// How many unprocessed events have not been kept so far, for want of room or of the database.
    pub fn unprocessed_left_out(&self) -> u64 {
        self.journal.left_out()
    }

    /// Writes the journal of unprocessed events, until it is told to stop and has written what waits then.
    pub async fn write_unprocessed(self, stop: oneshot::Receiver<()>) {
        self.journal.clone().write(self.database, stop).await;
    }

    /// Removes the unprocessed events that are kept for longer than they need be, in steps so small that no call waits for
    /// them.
    pub async fn remove_old_unprocessed(&self) -> Result<()> {
        const STEP: u32 = 200;
        let since = self.unprocessed_since();
        for organisation_id in users::list_organisation_ids(self.database.reader()).await? {
            while unprocessed_events::remove_old(self.database.writer(), organisation_id, since, STEP).await? > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}
