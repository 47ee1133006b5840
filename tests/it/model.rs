//! Random calls, answered as a model answers them that knows no batch, no look-up and no database: one event after
//! another, each judged by all that were created before it.

use std::collections::HashMap;

use proptest::{
    collection::vec,
    option,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use referral_events::{
    auth::password,
    directory::{self, DirectoryKind},
    secret::{CodeHasher, Secret},
    storage::{
        entity::{account_receivable, referral_event, user},
        users,
    },
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::support::{Server, Setup, tests};

tests! {
    Both: calls_are_answered_as_the_model_says, one_call_or_several_give_the_same_outcomes;
}

const CASES: u32 = 32;
/// Few, so that they collide. The last one's account is suspended.
const PARTIES: usize = 7;

/// How an event names a party.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Participant,
    Account,
    OneTimePassword,
}

/// What else is wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    NoDate,
    NoSuchUnit,
    NoSuchReferrer,
    WrongCode,
    PlacesDisagree,
}

#[derive(Clone, Debug)]
struct Sent {
    /// Whether its identifier is the one that others may have too.
    shares_identifier: bool,
    referred: usize,
    referrer: usize,
    forms: (Form, Form),
    description: Option<u8>,
    /// A system, and a number within it.
    reference: Option<(Option<u8>, u8)>,
    fault: Option<Fault>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let form = || prop_oneof![5 => Just(Form::Participant), 2 => Just(Form::Account), 2 => Just(Form::OneTimePassword)];
    let fault = prop_oneof![
        Just(Fault::NoDate),
        Just(Fault::NoSuchUnit),
        Just(Fault::NoSuchReferrer),
        Just(Fault::WrongCode),
        Just(Fault::PlacesDisagree),
    ];
    (
        prop::bool::weighted(0.07),
        (0..PARTIES, 0..PARTIES),
        (form(), form()),
        option::weighted(0.2, 0..2u8),
        option::weighted(0.5, (option::of(0..2u8), 0..3u8)),
        option::weighted(0.15, fault),
    )
        .prop_map(|(shares_identifier, (referred, referrer), forms, description, reference, fault)| Sent {
            shares_identifier,
            referred,
            referrer,
            forms,
            description,
            reference,
            fault,
        })
}

/// Events of which some repeat an earlier one, be it in other words.
fn events(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Sent>> {
    let repetition = option::weighted(0.4, any::<prop::sample::Index>());
    vec((sent(), repetition), count).prop_map(|drawn| {
        let mut events: Vec<Sent> = Vec::with_capacity(drawn.len());
        for (drawn, repetition) in drawn {
            events.push(match repetition {
                Some(of) if !events.is_empty() => Sent { forms: drawn.forms, ..of.get(&events).clone() },
                _ => drawn,
            });
        }
        events
    })
}

/// Cuts events into calls.
fn cut<'a>(events: &'a [Sent], sizes: &[usize]) -> Vec<&'a [Sent]> {
    let mut calls = Vec::new();
    let mut rest = events;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (call, after) = rest.split_at((*size).min(rest.len()));
        calls.push(call);
        rest = after;
    }
    calls
}

impl Sent {
    fn identifier(&self, position: usize) -> String {
        if self.shares_identifier { "shared".to_owned() } else { position.to_string() }
    }

    fn json(&self, position: usize) -> Value {
        let mut event = json!({
            "request_unique_identifier": self.identifier(position),
            "performed_by_unit_identifier": {"alternative_code": "U"},
            "performed_on": "2016-06-22T15:00:00",
        });
        for (role, party, form) in
            [("referred", self.referred, self.forms.0), ("referred_by", self.referrer, self.forms.1)]
        {
            let (kind, identifier) = match form {
                Form::Participant => ("rewards_participant", json!({"number": format!("P{party}")})),
                Form::Account => ("accounts_receivable", json!({"number": format!("A{party}")})),
                Form::OneTimePassword => (
                    "rewards_participant",
                    json!({"access_token_identifier": {"one_time_password": format!("00{party}")}}),
                ),
            };
            event[format!("{role}_{kind}_identifier")] = identifier;
        }
        if let Some(description) = self.description {
            event["description"] = json!(description.to_string());
        }
        if let Some((system, number)) = self.reference {
            event["external_system"] = json!(system.map(|system| format!("system {system}")));
            event["external_system_reference_number"] = json!(number.to_string());
        }
        let members = event.as_object_mut().expect("an object");
        match self.fault {
            None => {}
            Some(Fault::NoDate) => _ = members.remove("performed_on"),
            Some(Fault::NoSuchUnit) => event["performed_by_unit_identifier"] = json!({"alternative_code": "V"}),
            Some(Fault::PlacesDisagree) => event["performed_by_business_unit_identifier"] = json!({"code": "B"}),
            Some(fault @ (Fault::NoSuchReferrer | Fault::WrongCode)) => {
                members.retain(|name, _| !name.starts_with("referred_by_"));
                event["referred_by_rewards_participant_identifier"] = match fault {
                    Fault::NoSuchReferrer => json!({"number": "P99"}),
                    _ => json!({"access_token_identifier": {"authentication_code": "wrong"}}),
                };
            }
        }
        strip_null(event)
    }

    /// The parties whose one-time passwords the event gives.
    fn passwords(&self) -> Vec<usize> {
        let referrer = self.forms.1 == Form::OneTimePassword
            && !matches!(self.fault, Some(Fault::NoSuchReferrer | Fault::WrongCode));
        let referred = self.forms.0 == Form::OneTimePassword;
        [(referred, self.referred), (referrer, self.referrer)]
            .into_iter()
            .filter(|(by, _)| *by)
            .map(|(_, p)| p)
            .collect()
    }
}

fn strip_null(mut event: Value) -> Value {
    event.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    event
}

/// The event that an event of the request led to, by its position among those created, or the error's code.
type Outcome = Result<usize, &'static str>;

/// All that was created, in order, and whose one-time password was used by which of them.
#[derive(Default)]
struct Model {
    created: Vec<Sent>,
    used: HashMap<usize, usize>,
}

impl Model {
    fn call(&mut self, events: &[Sent]) -> Vec<Outcome> {
        let shared = events.iter().filter(|event| event.shares_identifier).count() > 1;
        events.iter().map(|event| self.event(event, shared && event.shares_identifier)).collect()
    }

    fn event(&mut self, event: &Sent, shares: bool) -> Outcome {
        if event.fault == Some(Fault::NoDate) {
            return Err("MissingMandatoryAttribute");
        }
        if shares {
            return Err("DuplicateRequestUniqueIdentifier");
        }
        match event.fault {
            Some(Fault::NoSuchUnit) => return Err("UnitNotFound"),
            Some(Fault::NoSuchReferrer) => return Err("RewardsParticipantNotFound"),
            Some(Fault::WrongCode) => return Err("InvalidAccessToken"),
            _ => {}
        }
        let first =
            self.created.iter().position(|other| event.reference.is_some() && other.reference == event.reference);
        if let Some(first) = first {
            let of_first = |party: &usize| self.used.get(party).is_none_or(|user| *user == first);
            if self.same_content(event, first) && event.passwords().iter().all(of_first) {
                return Ok(first);
            }
        }
        if event.passwords().iter().any(|party| self.used.contains_key(party)) {
            return Err("InvalidAccessToken");
        }
        if event.fault == Some(Fault::PlacesDisagree) {
            return Err("PerformedByMismatch");
        }
        if event.referred == PARTIES - 1 || event.referrer == PARTIES - 1 {
            return Err("AccountsReceivableNotActive");
        }
        if first.is_some() {
            return Err("ExternalReferenceConflict");
        }
        if event.referred == event.referrer {
            return Err("SelfReferral");
        }
        if let Some(other) = self.created.iter().find(|other| other.referred == event.referred) {
            let same = other.referrer == event.referrer;
            return Err(if same { "ReferralAlreadyExists" } else { "ReferredByAnotherParticipant" });
        }
        if self.leads_up_to(event.referrer, event.referred) {
            return Err("CircularReferral");
        }
        let position = self.created.len();
        self.created.push(event.clone());
        self.used.extend(event.passwords().into_iter().map(|party| (party, position)));
        Ok(position)
    }

    fn same_content(&self, event: &Sent, first: usize) -> bool {
        let first = &self.created[first];
        let parties = |event: &Sent| (event.referred, event.referrer);
        parties(event) == parties(first) && event.description == first.description && event.fault == first.fault
    }

    fn leads_up_to(&self, from: usize, to: usize) -> bool {
        let up = self.created.iter().filter(|event| event.referred == from);
        from == to || up.into_iter().any(|event| self.leads_up_to(event.referrer, to))
    }
}

/// An organisation of a case's own, with the small world in it.
struct Organisation<'a> {
    server: &'a Server,
    id: i64,
    token: String,
    /// The id and number of each event that was created, in order.
    created: Vec<(String, String)>,
}

impl<'a> Organisation<'a> {
    async fn new(server: &'a Server) -> Self {
        let name = uuid::Uuid::new_v4().to_string();
        let now = chrono::Utc::now();
        let id = users::add_organisation(server.database.write(), &name, now).await.expect("an organisation");
        let lines = |line: fn(usize) -> String| (0..PARTIES).map(line).collect::<String>();
        let state = |n| if n == PARTIES - 1 { "SUSPENDED" } else { "ACTIVE" };
        let accounts: String = (0..PARTIES).map(|n| format!("A{n},{}\n", state(n))).collect();
        let files = [
            (DirectoryKind::BusinessUnits, "code\nB\n".to_owned()),
            (DirectoryKind::Units, "alternative_code\nU\n".to_owned()),
            (DirectoryKind::AccountsReceivable, format!("number,state\n{accounts}")),
            (
                DirectoryKind::RewardsParticipants,
                format!("number,accounts_receivable_number\n{}", lines(|n| format!("P{n},A{n}\n"))),
            ),
            (
                DirectoryKind::AccessTokens,
                format!(
                    "identifier,one_time_password,rewards_participant_number\n{}",
                    lines(|n| format!("T{n},00{n},P{n}\n"))
                ),
            ),
        ];
        let hasher = CodeHasher::new(&server.keys.hash);
        for (kind, rows) in files {
            let rows = std::io::Cursor::new(rows);
            let summary = directory::import(&server.database, &hasher, id, kind, rows, |_| {}).await;
            assert_eq!(summary.expect("an import").rejected, 0);
        }
        let user = user::Model {
            organisation_id: id,
            id: "anna".to_owned(),
            name: "anna".to_owned(),
            password_hash: password::hash(Secret::new("anna")).await.expect("a hash"),
            role: "caller".to_owned(),
            default_unit_id: None,
            created_on: now,
        };
        users::add_user(server.database.write(), user).await.expect("a user");
        let token = server.login(&name, "anna").await;
        Self { server, id, token, created: Vec::new() }
    }

    /// Sends a call and reads its outcomes, each event answered exactly once and each set in request order.
    async fn call(&mut self, events: &[Sent]) -> Result<Vec<Result<usize, String>>, TestCaseError> {
        let sent: Vec<Value> = (0..).zip(events).map(|(position, event)| event.json(position)).collect();
        let request = json!({"token": self.token, "referral_customer_events_set": sent});
        let answer = self.server.bulk(request).await;
        prop_assert_eq!(&answer.code, "OK");
        let (mut processed, mut failures) = (answer.processed().into_iter(), answer.failures().into_iter());
        let (mut next_processed, mut next_failure) = (processed.next(), failures.next());
        let mut outcomes = Vec::new();
        for (position, event) in events.iter().enumerate() {
            let identifier = event.identifier(position);
            // Identifiers tell events apart but where they are shared, and then all of those fail.
            if next_failure.as_ref().is_some_and(|(of, _)| *of == identifier) {
                outcomes.extend(next_failure.take().map(|(_, code)| Err(code)));
                next_failure = failures.next();
            } else {
                let event = next_processed.take();
                let event = event.filter(|event| event["request_unique_identifier"] == identifier.as_str());
                let Some(event) = event else {
                    return Err(TestCaseError::fail(format!("{identifier} is not answered in its turn: {answer:#?}")));
                };
                outcomes.push(Ok(self.position_of(&event)));
                next_processed = processed.next();
            }
        }
        prop_assert!(next_processed.is_none() && next_failure.is_none(), "answered twice: {:#?}", answer);
        Ok(outcomes)
    }

    /// Which of the created events an answer names; one that is not known yet is the next.
    fn position_of(&mut self, event: &Value) -> usize {
        let text = |name: &str| event[name].as_str().expect("a text").to_owned();
        let created = (text("id"), text("number"));
        self.created.iter().position(|other| *other == created).unwrap_or_else(|| {
            self.created.push(created);
            self.created.len() - 1
        })
    }

    /// The stored rows are what the model has, in its order, under the ids and numbers that were answered.
    async fn check_rows(&self, model: &Model) -> Result<(), TestCaseError> {
        let database = self.server.database.read();
        let accounts: HashMap<String, i64> = account_receivable::Entity::find()
            .filter(account_receivable::Column::OrganisationId.eq(self.id))
            .all(database)
            .await
            .expect("accounts")
            .into_iter()
            .map(|account| (account.number, account.key))
            .collect();
        let rows = referral_event::Entity::find()
            .filter(referral_event::Column::OrganisationId.eq(self.id))
            .order_by_asc(referral_event::Column::Number)
            .all(database)
            .await
            .expect("events");
        let stored: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let name = (format!("{:X}", row.id.simple()), row.number.to_string());
                let reference = row.external_system_reference_number.map(|number| (row.external_system, number));
                (name, row.referred_account_key, row.referred_by_account_key, row.description, reference)
            })
            .collect();
        let expected: Vec<_> = model
            .created
            .iter()
            .zip(&self.created)
            .map(|(event, name)| {
                let key = |party: usize| accounts[&format!("A{party}")];
                let reference = event.reference.map(|(system, number)| {
                    (system.map(|system| format!("system {system}")).unwrap_or_default(), number.to_string())
                });
                let description = event.description.map(|description| description.to_string());
                (name.clone(), key(event.referred), key(event.referrer), description, reference)
            })
            .collect();
        prop_assert_eq!(self.created.len(), model.created.len());
        prop_assert_eq!(stored, expected);
        Ok(())
    }
}

fn named(outcomes: Vec<Outcome>) -> Vec<Result<usize, String>> {
    outcomes.into_iter().map(|outcome| outcome.map_err(str::to_owned)).collect()
}

/// Runs a property on random values; on one server, where the values' organisations keep apart.
fn check<S: Strategy>(values: &S, property: impl AsyncFn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases: CASES, max_shrink_iters: 300, failure_persistence: None, ..Config::default() };
    tokio::task::block_in_place(|| {
        let result = TestRunner::new(config).run(values, |value| Handle::current().block_on(property(value)));
        result.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

async fn calls_are_answered_as_the_model_says(setup: Setup) {
    let server = Server::start(setup).await;
    check(&(events(1..60), vec(1..20usize, 1..4)), async |(events, sizes)| {
        let mut organisation = Organisation::new(&server).await;
        let mut model = Model::default();
        for call in cut(&events, &sizes) {
            let outcomes = organisation.call(call).await?;
            prop_assert_eq!(outcomes, named(model.call(call)));
        }
        organisation.check_rows(&model).await
    });
}

async fn one_call_or_several_give_the_same_outcomes(setup: Setup) {
    let server = Server::start(setup).await;
    let events = events(2..40).prop_map(|mut events| {
        // Identifiers are unique within a call, so sharing them is no matter of the events alone.
        events.iter_mut().for_each(|event| event.shares_identifier = false);
        events
    });
    check(&(events, vec(1..8usize, 1..6)), async |(events, sizes)| {
        let mut model = Model::default();
        let expected = named(model.call(&events));
        let (mut whole, mut split) = (Organisation::new(&server).await, Organisation::new(&server).await);
        prop_assert_eq!(&whole.call(&events).await?, &expected);
        whole.check_rows(&model).await?;

        let mut outcomes = Vec::new();
        for call in cut(&events, &sizes) {
            outcomes.extend(split.call(call).await?);
        }
        prop_assert_eq!(&outcomes, &expected);
        split.check_rows(&model).await?;

        // Once more, all in one: nothing is created, and the retries are answered as before.
        let again = whole.call(&events).await?;
        prop_assert_eq!(again, named(model.call(&events)));
        whole.check_rows(&model).await
    });
}
