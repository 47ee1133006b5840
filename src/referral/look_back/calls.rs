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
        rules::validate::{Validator, are_given, given},
        violation::Violation,
    },
    storage::{
        Callers, calls,
        event_pages::{self, Order, Page},
        number_ranges::{self, NumberRange},
        referral_events::{self, EventName},
        to_its_end,
    },
    text::{printable, shown, shown_short},
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
        let given = given_event(identifier, &mut Validator::new(self.clock.now(), self.settings.release))?;
        let database = self.database.clone();
        let find = async move {
            let _permit = permit;
            let transaction = database.begin_read().await?;
            let found = referral_events::find(&transaction, organisation_id, &given.name).await?;
            let row = found.ok_or_else(|| given.not_found())?;
            let event = describe(&transaction, organisation_id, vec![row]).await?.pop();
            transaction.commit().await?;
            event.ok_or_else(|| given.not_found())
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
        let given = given_event(identifier, &mut validator)?;
        let database = self.database.clone();
        let cancel = async move {
            let _permit = permit;
            let Sender { organisation_id, user_name, request_id, .. } = sender;
            let transaction = database.begin_turn(organisation_id).await?;
            let found = referral_events::find(&transaction, organisation_id, &given.name).await?;
            let event = found.ok_or_else(|| given.not_found())?;
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
        Some(order) => {
            let description = format!("{} is neither {NEWEST_FIRST} nor {OLDEST_FIRST}", shown_short(order));
            validator.violations.push(Violation::invalid_value("order", &description));
            Order::NewestFirst
        }
    }
}

const ATTRIBUTE: &str = "customer_event_identifier";

/// An event as a caller names it, well-formed.
struct GivenEvent {
    name: EventName,
    /// The field that names it.
    field: &'static str,
    /// The event for a sentence.
    label: String,
}

impl GivenEvent {
    fn by_id(id: &str) -> Option<Self> {
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let name = is_id.then(|| Uuid::try_parse(id).ok()).flatten().map(|id| EventName::Id(EventId(id)))?;
        Some(Self { name, field: "id", label: format!("of id {id}") })
    }

    fn by_number(number: &str) -> Option<Self> {
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        // One that is too large is the number of no event.
        let name = is_number.then(|| EventName::Number(EventNumber(number.parse().unwrap_or(i64::MAX))))?;
        Some(Self { name, field: "number", label: format!("of number {}", printable(number)) })
    }

    fn by_reference(number: String, system: Option<String>) -> Self {
        let of_system = system.as_deref().map_or("no external system".to_owned(), |system| shown(system).into_owned());
        let label = format!("of external system reference number {} of {of_system}", shown(&number));
        let name = EventName::ExternalReference(system.unwrap_or_default(), number);
        Self { name, field: "external_system_reference_number", label }
    }

    fn not_found(&self) -> Error {
        let message = format!("The customer event {} does not exist.", self.label);
        Error::new(ErrorKind::CustomerEventNotFound, message).at_field(format!("{ATTRIBUTE}.{}", self.field))
    }
}

/// What the identifier names; what is wrong with it, or was wrong before, refuses the call.
fn given_event(identifier: Option<EventIdentifier>, validator: &mut Validator) -> Result<GivenEvent> {
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
    let mut invalid = |field: &str, value: &str, expected: &str| {
        let description = format!("{} is not {expected}", shown_short(value));
        validator.violations.push(Violation::invalid_value(&path(field), &description));
        None
    };
    let event = match (id, number, reference, system) {
        (Some(id), None, None, None) => GivenEvent::by_id(&id).or_else(|| invalid("id", &id, "32 hexadecimal digits")),
        (None, Some(number), None, None) => {
            GivenEvent::by_number(&number).or_else(|| invalid("number", &number, "decimal digits"))
        }
        (None, None, Some(reference), system) => Some(GivenEvent::by_reference(reference, system)),
        (id, number, reference, system) => {
            let fields = [
                ("id", id.is_some()),
                ("number", number.is_some()),
                ("external_system_reference_number", reference.is_some()),
                ("external_system", system.is_some()),
            ];
            let description = format!(
                "One of id, number, and external_system_reference_number, which alone can have its external_system, is \
                 expected, and {}",
                are_given(&fields)
            );
            validator.violations.push(Violation::invalid_identifier(ATTRIBUTE, &description));
            None
        }
    };
    refuse(std::mem::take(&mut validator.violations))?;
    event.ok_or_else(|| Error::internal("an identifier that is well-formed names nothing"))
}
