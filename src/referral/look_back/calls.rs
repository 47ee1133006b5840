//! Looking back: one event, lists of events, and cancelling an event.

use uuid::Uuid;

use super::{
    customer_event::{CustomerEvent, describe},
    filter::{self, FilterRequest},
};
use crate::{
    error::{Error, ErrorKind, Result},
    id::{EventId, EventNumber, OrganisationId},
    metrics::Step,
    referral::{
        codes::Sender,
        event::EventIdentity,
        pages::{PageTokens, number_of_results, refuse, refuse_first},
        referral_events::ReferralEvents,
        rules::validate::{Validator, given},
        violation::Violation,
    },
    storage::{
        Callers, calls,
        event_pages::{self, Order, Page},
        number_ranges::{self, NumberRange},
        referral_events::{self, EventName},
        to_its_end,
    },
};

/// What names an event, as it was sent.
#[derive(Debug, Default)]
pub struct EventIdentifier {
    pub id: Option<String>,
    pub number: Option<String>,
    pub external_system_reference_number: Option<String>,
    pub external_system: Option<String>,
}

/// Which page of which list, as it was sent.
#[derive(Debug, Default)]
pub struct ListRequest {
    pub filter: FilterRequest,
    pub order: Option<String>,
    pub number_of_results: Option<u32>,
    pub page_token: Option<String>,
}

/// A page of a list of events, in the order that was asked for.
pub struct Listed {
    pub events: Vec<CustomerEvent>,
    /// The number after which the next page begins; `None` on the last page.
    next_after: Option<EventNumber>,
    tokens: PageTokens,
}

impl Listed {
    /// The token of the next page, which begins after the event of this number where this page is cut there; `None` on the
    /// last page.
    pub fn next_page_token(&self, cut_after: Option<EventNumber>) -> Option<String> {
        cut_after.or(self.next_after).map(|after| self.tokens.token(&format!("{:016x}", after.0), after))
    }
}

/// The digits of a number in a token.
const DIGITS: usize = 16;
const NEWEST_FIRST: &str = "NEWEST_FIRST";
const OLDEST_FIRST: &str = "OLDEST_FIRST";

impl ReferralEvents {
    /// The event that the identifier names. Here and below, `permit` is held until the database has done its part.
    pub async fn get(
        &self,
        organisation_id: OrganisationId,
        identifier: Option<EventIdentifier>,
        permit: impl Send + 'static,
    ) -> Result<CustomerEvent> {
        let name = event_name(identifier, &mut Validator::new(self.clock.now(), self.settings.release))?;
        let database = self.database.clone();
        let find = async move {
            let _permit = permit;
            let transaction = database.begin_read().await?;
            let found = referral_events::find(&transaction, organisation_id, name).await?;
            let row = found.ok_or_else(not_found)?;
            let event = describe(&transaction, organisation_id, vec![row]).await?.pop();
            transaction.commit().await?;
            event.ok_or_else(not_found)
        };
        to_its_end(find, |_| 0).await
    }

    /// A page of a list of events. Numbers rise in the order in which events come to be seen, so that pages that each
    /// begin after the last number of the page before miss none and have none twice; what is created meanwhile comes
    /// before the first page, or at the end of a list of the oldest first.
    pub async fn list(&self, sender: Sender, request: ListRequest, permit: impl Send + 'static) -> Result<Listed> {
        let this = self.clone();
        let find = async move {
            let _permit = permit;
            this.find_page(sender, request).await
        };
        to_its_end(find, |_| 0).await
    }

    async fn find_page(&self, sender: Sender, request: ListRequest) -> Result<Listed> {
        let organisation_id = sender.organisation_id;
        let now = self.clock.now();
        let mut validator = Validator::new(now, self.settings.release);
        let limit = number_of_results(&mut validator, request.number_of_results);
        let order = order(&mut validator, given(request.order).as_deref());
        let filter = request.filter.check(&mut validator);
        refuse(validator.violations)?;
        let (reader, parties) = (self.database.reader(), filter.parties());
        filter::count_codes(reader, &self.guessing, &sender, &self.hasher, parties, now).await?;

        let transaction = self.database.begin_read().await?;
        let filter = filter::resolve(&transaction, organisation_id, &self.hasher, filter, now).await?;
        let filter = match filter {
            Ok(filter) => filter,
            Err(violations) => return Err(refuse_first(violations)),
        };
        let mut list = serde_json::to_string(&filter).map_err(Error::internal)?;
        if order == Order::OldestFirst {
            list.push_str(OLDEST_FIRST);
        }
        let tokens = PageTokens { hasher: self.hasher.clone(), organisation_id, list };
        let number = |digits: &str| Some(EventNumber(i64::from_str_radix(digits, 16).ok()?));
        let after = tokens.read(request.page_token, DIGITS, number)?;
        let mut range = NumberRange::ALL;
        if filter.created_on_from.is_some() || filter.created_on_to.is_some() {
            let (from, to) = (filter.created_on_from, filter.created_on_to);
            range = number_ranges::find_number_range(&transaction, organisation_id, from, to).await?;
        }
        match (order, after) {
            (_, None) => {}
            (Order::NewestFirst, Some(after)) => range.below = range.below.min(after),
            (Order::OldestFirst, Some(after)) => range.above = range.above.max(after),
        }
        if let Some(calls) = filter.calls() {
            range = calls::narrow(&transaction, organisation_id, calls, range).await?;
        }
        let Page { events, next_after } =
            event_pages::find_page(&transaction, organisation_id, &filter, order, range, limit).await?;
        let events = describe(&transaction, organisation_id, events).await?;
        transaction.commit().await?;
        Ok(Listed { events, next_after, tokens })
    }

    /// Cancels the event that the identifier names, unless it is cancelled already; answers it.
    ///
    /// It takes its turn among the calls of its organisation: a call that creates events looks them up in several steps,
    /// which must not see the event in force at first and cancelled then.
    pub async fn cancel(
        &self,
        sender: Sender,
        identifier: Option<EventIdentifier>,
        reason: Option<String>,
        permit: impl Send + 'static,
    ) -> Result<EventIdentity> {
        let now = self.clock.now();
        let mut validator = Validator::new(now, self.settings.release);
        validator.optional_text("cancellation_reason", reason.as_deref());
        let name = event_name(identifier, &mut validator)?;
        let database = self.database.clone();
        let cancel = async move {
            let _permit = permit;
            let Sender { organisation_id, user_name, request_id, .. } = sender;
            let transaction = database.begin_turn(organisation_id).await?;
            let event = referral_events::find(&transaction, organisation_id, name).await?.ok_or_else(not_found)?;
            let is_in_force = event.in_force.is_some();
            if is_in_force {
                referral_events::cancel(&transaction, organisation_id, event.id, now, reason).await?;
                let number = event.number;
                calls::keep_cancellation(&transaction, organisation_id, number, &request_id, &user_name).await?;
            }
            let timer = Callers::current().timer(Step::Commit);
            transaction.commit().await?;
            drop(timer);
            Ok((EventIdentity { id: event.id, number: event.number }, is_in_force))
        };
        let (identity, _) = to_its_end(cancel, |(_, is_cancelled_now)| usize::from(*is_cancelled_now)).await?;
        Ok(identity)
    }
}

fn order(validator: &mut Validator, order: Option<&str>) -> Order {
    match order {
        None | Some(NEWEST_FIRST) => Order::NewestFirst,
        Some(OLDEST_FIRST) => Order::OldestFirst,
        Some(_) => {
            let description = format!("The order is neither {NEWEST_FIRST} nor {OLDEST_FIRST}");
            validator.violations.push(Violation::invalid_value("order", &description));
            Order::NewestFirst
        }
    }
}

fn not_found() -> Error {
    Error::new(ErrorKind::CustomerEventNotFound, "The customer event does not exist.")
}

/// What the identifier names; what is wrong with it, or was wrong before, refuses the call.
fn event_name(identifier: Option<EventIdentifier>, validator: &mut Validator) -> Result<EventName> {
    const ATTRIBUTE: &str = "customer_event_identifier";
    let Some(identifier) = identifier else {
        validator.violations.push(Violation::missing(ATTRIBUTE));
        return Err(refuse_first(std::mem::take(&mut validator.violations)));
    };
    let EventIdentifier { id, number, external_system_reference_number, external_system } = identifier;
    let (id, number, system) = (given(id), given(number), given(external_system));
    let reference = given(external_system_reference_number);
    let path = |field: &str| format!("{ATTRIBUTE}.{field}");
    validator.optional_text(path("external_system_reference_number"), reference.as_deref());
    validator.optional_text(path("external_system"), system.as_deref());
    let mut invalid = |field: &str, description: &str| {
        validator.violations.push(Violation::invalid_value(&path(field), description));
        None
    };
    let name = match (id, number, reference, system) {
        (Some(id), None, None, None) => {
            let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            let id = is_id.then(|| Uuid::try_parse(&id).ok()).flatten().map(EventId);
            id.map(EventName::Id).or_else(|| invalid("id", "The id is not 32 hexadecimal digits"))
        }
        (None, Some(number), None, None) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            // One that is too large is the number of no event.
            Some(EventName::Number(EventNumber(number.parse().unwrap_or(i64::MAX))))
        }
        (None, Some(_), None, None) => invalid("number", "The number is not decimal digits"),
        (None, None, Some(reference), system) => {
            Some(EventName::ExternalReference(system.unwrap_or_default(), reference))
        }
        _ => {
            let description = "Exactly one of an id, a number and an external system reference number, which alone can \
                               have its external system, is expected";
            validator.violations.push(Violation::invalid_identifier(ATTRIBUTE, description));
            None
        }
    };
    refuse(std::mem::take(&mut validator.violations))?;
    name.ok_or_else(|| Error::internal("an identifier that is well-formed names nothing"))
}
