//! Worlds of a few parties, references and one-time passwords, so that random events collide. Worlds of different
//! numbers share but the places.

use std::{collections::HashMap, ops::Range};

use proptest::{collection::vec, option, prelude::*};
use referral_events::{
    directory::DirectoryKind,
    id::{AccountKey, OrganisationId},
    storage::{Database, entity::referral_event},
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};

use super::{Answer, tables::account_receivable};

/// Few, so that they collide. The last one's account is suspended.
pub const PARTIES: usize = 7;

/// How an event names a party.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    Participant,
    Account,
    OneTimePassword,
}

/// What else is wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    NoDate,
    NoSuchUnit,
    NoSuchReferrer,
    WrongCode,
    PlacesDisagree,
}

/// An event of a world.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Whether its identifier is the one that others may have too.
    pub shares_identifier: bool,
    pub referred: usize,
    pub referrer: usize,
    pub forms: (Form, Form),
    pub description: Option<u8>,
    /// A system, and a number within it.
    pub reference: Option<(Option<u8>, u8)>,
    pub fault: Option<Fault>,
}

/// The id and number of a created event.
pub type Name = (String, String);

/// The accounts of the referred party and of the referrer, the description, the external system and reference.
pub type Content = (String, String, Option<String>, Option<(String, String)>);

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
pub fn events(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Sent>> {
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
pub fn cut<'a>(events: &'a [Sent], sizes: &[usize]) -> Vec<&'a [Sent]> {
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
    pub fn identifier(&self, position: usize) -> String {
        if self.shares_identifier { "shared".to_owned() } else { position.to_string() }
    }

    /// The event at `position` of a call, of the world of that number.
    pub fn json(&self, position: usize, world: usize) -> Value {
        let mut event = json!({
            "request_unique_identifier": self.identifier(position),
            "performed_by_unit_identifier": {"alternative_code": "U"},
            "performed_on": "2016-06-22T15:00:00",
        });
        for (role, party, form) in
            [("referred", self.referred, self.forms.0), ("referred_by", self.referrer, self.forms.1)]
        {
            let (kind, identifier) = match form {
                Form::Participant => ("rewards_participant", json!({"number": format!("P{world}-{party}")})),
                Form::Account => ("accounts_receivable", json!({"number": format!("A{world}-{party}")})),
                Form::OneTimePassword => (
                    "rewards_participant",
                    json!({"access_token_identifier": {"one_time_password": one_time_password(world, party)}}),
                ),
            };
            event[format!("{role}_{kind}_identifier")] = identifier;
        }
        if let Some(description) = self.description {
            event["description"] = json!(description.to_string());
        }
        if let Some((system, number)) = self.reference {
            event["external_system"] = json!(system.map(|system| format!("system {system}")));
            event["external_system_reference_number"] = json!(format!("{world}-{number}"));
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

    /// What the row of the event holds.
    pub fn content(&self, world: usize) -> Content {
        let reference = self.reference.map(|(system, number)| {
            (system.map(|system| format!("system {system}")).unwrap_or_default(), format!("{world}-{number}"))
        });
        let description = self.description.map(|description| description.to_string());
        let account = |party| format!("A{world}-{party}");
        (account(self.referred), account(self.referrer), description, reference)
    }

    /// The parties whose one-time passwords the event gives.
    pub fn passwords(&self) -> Vec<usize> {
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

fn one_time_password(world: usize, party: usize) -> String {
    format!("{world:06}{party}")
}

fn strip_null(mut event: Value) -> Value {
    event.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    event
}

/// The directory files of worlds, in the order in which they are imported.
pub fn directory(worlds: Range<usize>) -> Vec<(DirectoryKind, String)> {
    let lines = |line: fn(usize, usize) -> String| {
        let parties = worlds.clone().flat_map(|world| (0..PARTIES).map(move |party| (world, party)));
        parties.map(|(world, party)| line(world, party)).collect::<String>()
    };
    let accounts = lines(|world, party| {
        let state = if party == PARTIES - 1 { "SUSPENDED" } else { "ACTIVE" };
        format!("A{world}-{party},{state}\n")
    });
    let participants = lines(|world, party| format!("P{world}-{party},A{world}-{party}\n"));
    let tokens =
        lines(|world, party| format!("T{world}-{party},{},P{world}-{party}\n", one_time_password(world, party)));
    vec![
        (DirectoryKind::BusinessUnits, "code\nB\n".to_owned()),
        (DirectoryKind::Units, "alternative_code\nU\n".to_owned()),
        (DirectoryKind::AccountsReceivable, format!("number,state\n{accounts}")),
        (DirectoryKind::RewardsParticipants, format!("number,accounts_receivable_number\n{participants}")),
        (DirectoryKind::AccessTokens, format!("identifier,one_time_password,rewards_participant_number\n{tokens}")),
    ]
}

/// What became of each event of a call, the name of the event or the error's code; each must be answered exactly once
/// and each set be in request order.
pub fn outcomes(events: &[Sent], answer: &Answer) -> Result<Vec<Result<Name, String>>, String> {
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
            let event = event.ok_or_else(|| format!("{identifier} is not answered in its turn: {answer:#?}"))?;
            let text = |name: &str| event[name].as_str().expect("a text").to_owned();
            outcomes.push(Ok((text("id"), text("number"))));
            next_processed = processed.next();
        }
    }
    if next_processed.is_some() || next_failure.is_some() {
        return Err(format!("answered twice: {answer:#?}"));
    }
    Ok(outcomes)
}

/// Which of the created events each outcome names; one that is not known yet is the next.
pub fn positions(created: &mut Vec<Name>, outcomes: &[Result<Name, String>]) -> Vec<Result<usize, String>> {
    let mut position_of = |name: &Name| {
        created.iter().position(|other| other == name).unwrap_or_else(|| {
            created.push(name.clone());
            created.len() - 1
        })
    };
    outcomes.iter().map(|outcome| outcome.as_ref().map(&mut position_of).map_err(String::clone)).collect()
}

/// The rows that created events must have.
pub fn rows(created: &[Sent], names: &[Name], world: usize) -> Vec<(Name, Content)> {
    names.iter().cloned().zip(created.iter().map(|event| event.content(world))).collect()
}

/// The rows of an organisation, by number.
pub async fn stored(database: &Database, organisation_id: OrganisationId) -> Vec<(Name, Content)> {
    let accounts: HashMap<AccountKey, String> = account_receivable::Entity::find()
        .filter(account_receivable::Column::OrganisationId.eq(organisation_id))
        .all(database.reader())
        .await
        .expect("accounts")
        .into_iter()
        .map(|account| (AccountKey(account.key), account.number))
        .collect();
    let rows = referral_event::Entity::find()
        .filter(referral_event::Column::OrganisationId.eq(organisation_id))
        .order_by_asc(referral_event::Column::Number)
        .all(database.reader())
        .await
        .expect("events");
    rows.into_iter()
        .map(|row| {
            let name = (row.id.to_string(), row.number.to_string());
            let account = |key: AccountKey| accounts[&key].clone();
            let reference = row.external_system_reference_number.map(|number| (row.external_system, number));
            let parties = (account(row.referred_account_key), account(row.referred_by_account_key));
            (name, (parties.0, parties.1, row.description, reference))
        })
        .collect()
}
