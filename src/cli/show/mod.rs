//! `show`: what is known of a request, an event or a participant, for the person on duty. It reads the database and
//! changes nothing, while servers run or not.

mod fields;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{COMMAND_TIME_LIMIT, Failure, Settings, check_schema, organisation};
use crate::{
    config::SettingError,
    id::{EventId, EventNumber, OrganisationId},
    referral::{CustomerEvent, Named, describe},
    storage::{
        Database, calls,
        event_pages::{self, EventFilter, Order},
        number_ranges::NumberRange,
        participants::{self, Participant},
        referral_events::{self, EventName},
        unprocessed_events::{self, UnprocessedEvent, UnprocessedFilter},
    },
    text::shown,
};
use fields::Fields;

#[derive(Debug, Subcommand)]
pub enum ShowCommand {
    /// Shows what a request created, cancelled and left unprocessed
    #[command(after_help = "Example:\n  referral-events show request 6a0f3c --organisation acme")]
    Request {
        /// The id of the request, which its answer has in x-request-id
        id: String,
        #[command(flatten)]
        view: View,
    },
    /// Shows an event
    #[command(after_help = "Example:\n  referral-events show event 8 --organisation acme")]
    Event {
        /// The number or the id of the event, or its number in an external system
        name: String,
        /// The external system that the number is of
        #[arg(long, value_name = "NAME")]
        external_system: Option<String>,
        #[command(flatten)]
        view: View,
    },
    /// Shows who referred a rewards participant, how many it has referred, and its last events
    #[command(after_help = "Example:\n  referral-events show participant RP0000000018 --organisation acme")]
    Participant {
        /// The number of the participant
        number: String,
        #[command(flatten)]
        view: View,
    },
}

#[derive(Args, Debug)]
pub struct View {
    /// The organisation's name
    #[arg(long)]
    organisation: String,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// How many events of a request are shown, which are those of one call.
const OF_REQUEST: usize = 1000;
/// How many events of a participant are shown.
const OF_PARTICIPANT: usize = 10;

pub async fn run(command: ShowCommand, settings: &Settings) -> Result<(), Failure> {
    let view = match &command {
        ShowCommand::Request { view, .. } | ShowCommand::Event { view, .. } | ShowCommand::Participant { view, .. } => {
            view
        }
    };
    let database = open(settings).await?;
    let organisation_id = organisation::find(&database, &view.organisation).await?.id;
    // What is told together was true at one moment.
    let transaction = database.begin_read().await?;
    let found = match &command {
        ShowCommand::Request { id, .. } => request(&transaction, organisation_id, id).await?,
        ShowCommand::Event { name, external_system, .. } => {
            event(&transaction, organisation_id, name, external_system.as_deref()).await?
        }
        ShowCommand::Participant { number, .. } => participant(&transaction, organisation_id, number).await?,
    };
    transaction.rollback().await?;
    database.close().await?;
    let fields = found.ok_or_else(|| SettingError::new(not_found(&command)))?;
    // A reader that has seen enough has closed its end.
    _ = fields.print(view.json);
    Ok(())
}

fn not_found(command: &ShowCommand) -> String {
    match command {
        ShowCommand::Request { id, view } => format!(
            "nothing is known of a request {} of {}: no event was created or cancelled by it, and none that it left \
             unprocessed is kept",
            shown(id),
            view.organisation
        ),
        ShowCommand::Event { name, view, .. } => {
            format!(
                "there is no event of the number, id or external reference {} of {}",
                shown(name),
                view.organisation
            )
        }
        ShowCommand::Participant { number, view } => {
            format!("there is no rewards participant {} of {}", shown(number), view.organisation)
        }
    }
}

/// The database as it is: it is neither made nor brought up to date.
async fn open(settings: &Settings) -> Result<Database, Failure> {
    settings.require_file()?;
    let database = settings.connect(COMMAND_TIME_LIMIT).await?;
    check_schema(&database).await?;
    Ok(database)
}

async fn request<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    id: &str,
) -> Result<Option<Fields>, Failure> {
    let filter = EventFilter { request_id: Some(id.to_owned()), ..EventFilter::default() };
    let created = events(connection, organisation_id, &filter, OF_REQUEST).await?;
    let numbers = calls::find_cancelled(connection, organisation_id, id, OF_REQUEST).await?;
    let mut cancelled = Vec::with_capacity(numbers.len());
    for number in numbers {
        cancelled.extend(one_event(connection, organisation_id, EventName::Number(number)).await?);
    }
    let filter = UnprocessedFilter { request_id: Some(id.to_owned()), ..UnprocessedFilter::default() };
    let unprocessed = unprocessed(connection, organisation_id, &filter).await?;
    if created.is_empty() && cancelled.is_empty() && unprocessed.is_empty() {
        return Ok(None);
    }
    let mut users: Vec<&str> = Vec::new();
    let creators = created.iter().filter_map(|event| event.origin.as_ref()?.created_by.as_deref());
    let cancellers = cancelled.iter().filter_map(|event| event.origin.as_ref()?.cancelled_by.as_deref());
    for user in creators.chain(cancellers).chain(unprocessed.iter().map(|event| event.created_by.as_str())) {
        if !users.contains(&user) {
            users.push(user);
        }
    }
    let fields = Fields::default()
        .text("request_id", id)
        .text("user", users.join(", "))
        .number("created", created.len() as i64)
        .number("cancelled", cancelled.len() as i64)
        .number("unprocessed", unprocessed.len() as i64)
        .rows("created_events", created.iter().map(row).collect())
        .rows("cancelled_events", cancelled.iter().map(row).collect())
        .rows("unprocessed_events", unprocessed.iter().map(unprocessed_row).collect());
    Ok(Some(fields))
}

/// The first events of a list, the newest first.
async fn events<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    filter: &EventFilter,
    limit: usize,
) -> Result<Vec<CustomerEvent>, Failure> {
    let mut rows = Vec::new();
    let mut range = NumberRange::ALL;
    while rows.len() < limit {
        if let Some(calls) = filter.calls() {
            range = calls::narrow(connection, organisation_id, calls, range).await?;
        }
        let order = Order::NewestFirst;
        let page =
            event_pages::find_page(connection, organisation_id, filter, order, range, limit - rows.len()).await?;
        rows.extend(page.events);
        let Some(next_after) = page.next_after else { break };
        range.below = next_after;
    }
    Ok(describe(connection, organisation_id, rows).await?)
}

async fn unprocessed<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    filter: &UnprocessedFilter,
) -> Result<Vec<UnprocessedEvent>, Failure> {
    let (mut found, mut after) = (Vec::new(), None);
    while found.len() < OF_REQUEST {
        let (since, limit) = (DateTime::UNIX_EPOCH, OF_REQUEST - found.len());
        let (page, next_after) =
            unprocessed_events::find_page(connection, organisation_id, filter, since, after, limit).await?;
        found.extend(page);
        after = next_after;
        if after.is_none() {
            break;
        }
    }
    // In the order of the call.
    found.reverse();
    Ok(found)
}

async fn one_event<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    name: EventName,
) -> Result<Option<CustomerEvent>, Failure> {
    let row = referral_events::find(connection, organisation_id, &name).await?;
    Ok(describe(connection, organisation_id, row.into_iter().collect()).await?.pop())
}

async fn event<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    name: &str,
    external_system: Option<&str>,
) -> Result<Option<Fields>, Failure> {
    for name in names(name, external_system) {
        if let Some(event) = one_event(connection, organisation_id, name).await? {
            return Ok(Some(of_event(&event)));
        }
    }
    Ok(None)
}

/// What a name may mean, in the order in which it is tried.
fn names(name: &str, external_system: Option<&str>) -> Vec<EventName> {
    let mut names = Vec::new();
    if external_system.is_none() {
        let id = Some(name).filter(|name| name.len() == 32).and_then(|name| Uuid::try_parse(name).ok());
        names.extend(id.map(|id| EventName::Id(EventId(id))));
        let number = Some(name).filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        names.extend(number.and_then(|number| number.parse().ok()).map(|n| EventName::Number(EventNumber(n))));
    }
    names.push(EventName::ExternalReference(external_system.unwrap_or_default().to_owned(), name.to_owned()));
    names
}

async fn participant<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    number: &str,
) -> Result<Option<Fields>, Failure> {
    let Some(participant) = participants::find(connection, organisation_id, number).await? else { return Ok(None) };
    let Participant { id, number, state, account_key, account_number, account_state, .. } = participant;
    let referred = participants::count_referred(connection, organisation_id, account_key, i64::MAX).await?;
    let of_referred =
        EventFilter { referred_account_key: Some(account_key), in_force: Some(true), ..EventFilter::default() };
    let referral = events(connection, organisation_id, &of_referred, 1).await?.pop();
    let either = EventFilter { referred_or_referred_by_account_key: Some(account_key), ..EventFilter::default() };
    let last = events(connection, organisation_id, &either, OF_PARTICIPANT).await?;
    let referrer = referral.as_ref().map(|event| party(&event.referred_by_participant, &event.referred_by_account));
    let fields = Fields::default()
        .text("number", number)
        .text("id", id)
        .text("state", state)
        .text("account", account_number)
        .text("account_state", account_state)
        .text("referred_by", referrer.unwrap_or_else(|| "nobody".to_owned()))
        .optional("referred_by_event", referral.as_ref().map(|event| event.identity.number))
        .number("has_referred", referred.in_force)
        .rows("last_events", last.iter().map(row).collect());
    Ok(Some(fields))
}

/// An event on a line.
fn row(event: &CustomerEvent) -> Fields {
    Fields::default()
        .text("number", event.identity.number)
        .text("state", state(event))
        .text("referred", party(&event.referred_participant, &event.referred_account))
        .text("referred_by", party(&event.referred_by_participant, &event.referred_by_account))
        .text("created_on", moment(event.created_on))
}

fn unprocessed_row(event: &UnprocessedEvent) -> Fields {
    Fields::default()
        .number("index", event.event_index)
        .optional("request_unique_identifier", event.request_unique_identifier.as_deref())
        .optional("external_system", event.external_system.as_deref())
        .optional("external_system_reference_number", event.external_system_reference_number.as_deref())
        .text("error_codes", &event.error_codes)
        .text("error_description", &event.error_description)
        .text("created_on", moment(event.created_on))
}

fn of_event(event: &CustomerEvent) -> Fields {
    let details = &event.details;
    let origin = event.origin.clone().unwrap_or_default();
    let cancellation = event.cancellation.as_ref();
    let code = |named: &Option<Named>| named.as_ref().map(|named| named.code.clone());
    Fields::default()
        .text("number", event.identity.number)
        .text("id", event.identity.id)
        .text("state", state(event))
        .text("performed_on", moment(details.performed_on))
        .optional("description", details.description.as_deref())
        .optional("external_system", Some(&details.external_system).filter(|system| !system.is_empty()))
        .optional("external_system_reference_number", details.external_system_reference_number.as_deref())
        .optional("classification", code(&event.classification))
        .optional("performed_by_business_unit", code(&event.business_unit))
        .optional("performed_by_unit", code(&event.unit))
        .optional("performed_by_tap", code(&event.tap))
        .optional("performed_by_device", code(&event.device))
        .text("referred", party(&event.referred_participant, &event.referred_account))
        .text("referred_by", party(&event.referred_by_participant, &event.referred_by_account))
        .text("created_on", moment(event.created_on))
        .optional("created_by", origin.created_by)
        .optional("request_id", origin.request_id)
        .optional("cancelled_on", cancellation.and_then(|cancellation| cancellation.on).map(moment))
        .optional("cancellation_reason", cancellation.and_then(|cancellation| cancellation.reason.as_deref()))
        .optional("cancelled_by", origin.cancelled_by)
        .optional("cancellation_request_id", origin.cancellation_request_id)
}

fn state(event: &CustomerEvent) -> &'static str {
    if event.cancellation.is_none() { "POSTED" } else { "CANCELLED" }
}

/// A party by its participant, or by its account where it has none.
fn party(participant: &Option<Named>, account: &Option<Named>) -> String {
    let named = participant.as_ref().or(account.as_ref());
    named.map_or_else(|| "?".to_owned(), |named| named.code.clone())
}

fn moment(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
