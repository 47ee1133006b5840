//! Lists of events: what a filter finds, and how it comes page by page.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use referral_events::directory::DirectoryKind;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::support::{Server, Setup, event, numbers, tests};

tests! {
    Both:
        a_list_has_what_a_look_at_every_event_finds,
        pages_stay_as_they_are_while_others_create_and_cancel,
        the_number_of_results_is_1_to_1000,
        a_token_of_another_list_is_refused,
        a_list_is_of_one_moment,
        nothing_is_after_the_last_moment_of_the_year_9999;
}

/// Where an event was performed: the attribute, its code, and the codes of the business unit, unit, TAP and device.
type Place = (&'static str, &'static str, [Option<&'static str>; 4]);

const PLACES: [Place; 6] = [
    ("performed_by_unit_identifier", "U1", [Some("BU1"), Some("U1"), Some("TAP1"), None]),
    ("performed_by_unit_identifier", "U2", [Some("BU1"), Some("U2"), Some("TAPB"), None]),
    ("performed_by_unit_identifier", "U3", [Some("BU2"), Some("U3"), None, None]),
    ("performed_by_business_unit_identifier", "BU2", [Some("BU2"), None, None, None]),
    ("performed_by_device_identifier", "DEV3", [Some("BU2"), Some("U3"), None, Some("DEV3")]),
    ("performed_by_tap_identifier", "TAP2", [Some("BU1"), Some("U1"), Some("TAP2"), None]),
];

/// The attributes that name a place in a filter, in the order of an event's places, and the fields of their codes.
const PLACE_FILTERS: [(&str, &str); 4] = [
    ("performed_by_business_unit_identifier", "code"),
    ("performed_by_unit_identifier", "alternative_code"),
    ("performed_by_tap_identifier", "code"),
    ("performed_by_device_identifier", "code"),
];

/// What a test knows of an event without asking.
#[derive(Clone, Debug)]
struct Known {
    number: i64,
    referred: String,
    referrer: String,
    classification: Option<&'static str>,
    places: [Option<&'static str>; 4],
    system: Option<&'static str>,
    performed_on: DateTime<Utc>,
    created_on: DateTime<Utc>,
    cancelled: bool,
}

fn date(text: &str) -> DateTime<Utc> {
    text.parse().expect("a date")
}

/// Creates events of all kinds, some of which are cancelled, in a few calls.
async fn populate(server: &Server) -> Vec<Known> {
    server.import("acme", DirectoryKind::Classifications, "id,name,alternative_code\nCL2-ID,Family,CL2\n").await;
    let mut known = Vec::new();
    for call in 0..4 {
        let mut events = Vec::new();
        for n in call * 12..call * 12 + 12 {
            // One party is referred again and again, each time after the referral before was cancelled.
            let referred = if n % 12 == 11 { "48".to_owned() } else { format!("{:02}", n + 1) };
            let referrer = ["57", "58", "59"][n * n % 3].to_owned();
            let (attribute, code, places) = PLACES[n * 7 % PLACES.len()];
            let classification = [None, Some("CL1"), Some("CL2")][n % 3];
            let system = [None, Some("till"), Some("shop")][n / 2 % 3];
            let performed_on = date("2020-01-01T00:00:00Z") + TimeDelta::hours((n * 31 % 97) as i64);
            let mut event = event(&n.to_string(), &referred, &referrer);
            event.as_object_mut().expect("an object").remove("performed_by_unit_identifier");
            let field = if attribute.contains("_unit_") && !attribute.contains("business") {
                "alternative_code"
            } else {
                "code"
            };
            event[attribute] = json!({field: code});
            event["performed_on"] = json!(performed_on.to_rfc3339());
            if let Some(code) = classification {
                event["classification_identifier"] = json!({"alternative_code": code});
            }
            if let Some(system) = system {
                event["external_system"] = json!(system);
            }
            events.push(event);
            let cancelled = n % 5 == 0 || n % 12 == 11;
            known.push(Known {
                number: 0,
                referred,
                referrer,
                classification,
                places,
                system,
                performed_on,
                created_on: performed_on,
                cancelled,
            });
        }
        let created = server.send(json!(events)).await.processed();
        assert_eq!(created.len(), 12);
        for (known, created) in known[call * 12..].iter_mut().zip(created) {
            let name = json!({"number": created["number"]});
            if known.cancelled {
                assert_eq!(server.cancel(name.clone()).await.code, "OK");
            }
            let seen = server.get(name).await.data;
            known.number = created["number"].as_str().and_then(|number| number.parse().ok()).expect("a number");
            known.created_on = date(seen["created_on"].as_str().expect("a date"));
        }
    }
    known
}

#[derive(Clone, Debug)]
struct Filter {
    referred: Option<String>,
    referrer: Option<&'static str>,
    /// By which of its names a party is given.
    party_form: usize,
    classification: Option<&'static str>,
    places: [Option<&'static str>; 4],
    system: Option<&'static str>,
    state: Option<bool>,
    performed_on: (Option<usize>, Option<usize>),
    created_on: (Option<usize>, Option<usize>),
    number_of_results: u32,
}

fn filter() -> impl Strategy<Value = Filter> {
    let place = |codes: Vec<&'static str>| option::weighted(0.15, select(codes));
    let referred = prop_oneof![Just("48".to_owned()), (1..60usize).prop_map(|n| format!("{n:02}"))];
    let end = || (option::weighted(0.15, 0..48usize), option::weighted(0.15, 0..48usize));
    (
        (option::weighted(0.15, referred), option::weighted(0.4, select(vec!["57", "58", "59", "60"])), 0..4usize),
        option::weighted(0.3, select(vec!["CL1", "CL2"])),
        (
            place(vec!["BU1", "BU2"]),
            place(vec!["U1", "U2", "U3"]),
            place(vec!["TAP1", "TAP2", "TAPB"]),
            place(vec!["DEV1", "DEV3"]),
        ),
        option::weighted(0.3, select(vec!["till", "shop", "none"])),
        option::weighted(0.3, any::<bool>()),
        (end(), end()),
        1..8u32,
    )
        .prop_map(
            |(
                (referred, referrer, party_form),
                classification,
                places,
                system,
                state,
                (performed_on, created_on),
                number_of_results,
            )| Filter {
                referred,
                referrer,
                party_form,
                classification,
                places: [places.0, places.1, places.2, places.3],
                system,
                state,
                performed_on,
                created_on,
                number_of_results,
            },
        )
}

impl Filter {
    /// The ends of its periods are those of events, so that the ends themselves are tried.
    fn json(&self, known: &[Known]) -> Value {
        let mut request = json!({"number_of_results": self.number_of_results});
        for (role, digits) in [("referred", self.referred.as_deref()), ("referred_by", self.referrer)] {
            let Some(digits) = digits else { continue };
            let (kind, identifier) = match self.party_form {
                0 => ("accounts_receivable", json!({"number": format!("ACR{digits}")})),
                1 => ("accounts_receivable", json!({"id": format!("ACR{digits}-ID")})),
                2 => ("rewards_participant", json!({"id": format!("RP{digits}-ID")})),
                // The number of its participant names an account too.
                _ => ("accounts_receivable", json!({"number": format!("RP{digits}")})),
            };
            request[format!("{role}_{kind}_identifier")] = identifier;
        }
        if let Some(code) = self.classification {
            request["classification_identifier"] = json!({"alternative_code": code});
        }
        for (code, (attribute, field)) in self.places.iter().zip(PLACE_FILTERS) {
            if let Some(code) = code {
                request[attribute] = json!({field: code});
            }
        }
        if let Some(system) = self.system {
            request["external_system"] = json!(system);
        }
        if let Some(posted) = self.state {
            request["life_cycle_state"] = json!(if posted { "POSTED" } else { "CANCELLED" });
        }
        let ends = [
            ("performed_on_from", self.performed_on.0.map(|n| known[n].performed_on)),
            ("performed_on_to", self.performed_on.1.map(|n| known[n].performed_on)),
            ("created_on_from", self.created_on.0.map(|n| known[n].created_on)),
            ("created_on_to", self.created_on.1.map(|n| known[n].created_on)),
        ];
        for (name, end) in ends {
            if let Some(end) = end {
                request[name] = json!(end.to_rfc3339());
            }
        }
        request
    }

    fn is_met_by(&self, event: &Known, known: &[Known]) -> bool {
        let within = |date: DateTime<Utc>, ends: (Option<DateTime<Utc>>, Option<DateTime<Utc>>)| {
            ends.0.is_none_or(|from| from <= date) && ends.1.is_none_or(|to| date <= to)
        };
        let performed =
            (self.performed_on.0.map(|n| known[n].performed_on), self.performed_on.1.map(|n| known[n].performed_on));
        let created = (self.created_on.0.map(|n| known[n].created_on), self.created_on.1.map(|n| known[n].created_on));
        self.referred.as_ref().is_none_or(|referred| *referred == event.referred)
            && self.referrer.is_none_or(|referrer| referrer == event.referrer)
            && self.classification.is_none_or(|code| event.classification == Some(code))
            && self.places.iter().zip(event.places).all(|(wanted, place)| wanted.is_none() || *wanted == place)
            && self.system.is_none_or(|system| event.system == Some(system))
            && self.state.is_none_or(|posted| posted != event.cancelled)
            && within(event.performed_on, performed)
            && within(event.created_on, created)
    }
}

async fn a_list_has_what_a_look_at_every_event_finds(setup: Setup) {
    let server = Server::start(setup).await;
    let known = populate(&server).await;
    let everything: Vec<i64> = known.iter().rev().map(|event| event.number).collect();
    assert_eq!(server.list_all(&json!({})).await.0, everything);
    let runtime = Handle::current();
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    tokio::task::block_in_place(|| {
        let outcome = TestRunner::new(config).run(&filter(), |filter| {
            let met = known.iter().rev().filter(|event| filter.is_met_by(event, &known));
            let expected: Vec<i64> = met.map(|event| event.number).collect();
            let (listed, _) = runtime.block_on(server.list_all(&filter.json(&known)));
            prop_assert_eq!(&listed, &expected);
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

async fn pages_stay_as_they_are_while_others_create_and_cancel(setup: Setup) {
    let server = Server::start(setup).await;
    let before: Vec<i64> = populate(&server).await.iter().rev().map(|event| event.number).collect();
    let newest = before[0];
    let done = AtomicBool::new(false);
    let disturb = async {
        let mut newest = newest;
        while !done.load(Ordering::Relaxed) {
            let created = server.send(json!([event("1", "55", "56")])).await.processed().remove(0);
            newest = created["number"].as_str().and_then(|number| number.parse().ok()).expect("a number");
            assert_eq!(server.cancel(json!({"number": created["number"]})).await.code, "OK");
            // One of those that are listed, too; it stays on the list.
            assert_eq!(server.cancel(json!({"number": (newest % before[0] + 1).to_string()})).await.code, "OK");
        }
        newest
    };
    let read = async {
        for number_of_results in 1..=before.len() + 1 {
            let (listed, pages) = server.list_all(&json!({"number_of_results": number_of_results})).await;
            let new: Vec<i64> = listed.iter().copied().take_while(|number| *number > newest).collect();
            assert!(new.is_sorted_by(|a, b| a > b), "{new:?}");
            // All that were there come, once each, however many are new.
            assert_eq!(listed[new.len()..], before, "in pages of {number_of_results}");
            assert_eq!(pages, listed.len().div_ceil(number_of_results));
        }
        done.store(true, Ordering::Relaxed);
    };
    let (last, ()) = tokio::join!(disturb, read);
    assert!(last > newest, "nothing was created meanwhile");
}

async fn the_number_of_results_is_1_to_1000(setup: Setup) {
    let server = Server::start(setup).await;
    let rows = (0..1001).map(|n| (n + 1, Utc::now(), None)).collect();
    server.insert(rows).await;
    for number_of_results in [0, 1001, u32::MAX] {
        let answer = server.list(json!({"number_of_results": number_of_results})).await;
        answer.assert_refused("InvalidAttributeValue");
        assert!(answer.message.contains("number_of_results"), "{answer:?}");
    }
    assert_eq!(numbers(&server.list(json!({"number_of_results": 1})).await), [1001]);
    let page = server.list(json!({"number_of_results": 1000})).await;
    assert_eq!(numbers(&page), (2..=1001).rev().collect::<Vec<_>>());
    let rest = server.list(json!({"page_token": page.data["next_page_token"]})).await;
    assert_eq!((numbers(&rest), rest.data.get("next_page_token")), (vec![1], None));
    assert_eq!(numbers(&server.list(json!({})).await).len(), 100);
}

async fn a_token_of_another_list_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    populate(&server).await;
    let list = json!({"number_of_results": 2, "life_cycle_state": "POSTED"});
    let token = server.list(list.clone()).await.data["next_page_token"].as_str().expect("a token").to_owned();
    let with = |list: &Value, token: &str| {
        let mut list = list.clone();
        list["page_token"] = json!(token);
        list
    };
    // The size of the page and the fields are not what the list is.
    let mut other_size = with(&list, &token);
    other_size["number_of_results"] = json!(7);
    other_size["fields_set"] = json!(["number"]);
    assert_eq!(numbers(&server.list(other_size).await).len(), 7);

    let mut refused = vec![
        with(&json!({}), &token),
        with(&json!({"life_cycle_state": "CANCELLED"}), &token),
        with(&json!({"life_cycle_state": "POSTED", "external_system": "till"}), &token),
    ];
    let changed = format!("{}{}", if token.starts_with('1') { "2" } else { "1" }, &token[1..]);
    let lower = format!("{:016x}{}", 3, &token[16..]);
    for garbage in [
        "x",
        "0000000000000000",
        &changed,
        &lower,
        &token[..token.len() - 1],
        &format!("{token}0"),
        "ü".repeat(30).as_str(),
        "+000000000000001",
    ] {
        refused.push(with(&list, garbage));
    }
    let mut of_other = with(&list, &token);
    of_other["token"] = json!(server.login("other", "oscar").await);
    refused.push(of_other);
    for list in refused {
        let answer = server.list(list.clone()).await;
        assert_eq!(answer.code, "InvalidPageTokenException", "{list}");
    }
    // Another server takes it, and another user of the organisation.
    let replica = server.replica().await;
    let mut of_rita = with(&list, &token);
    of_rita["token"] = json!(server.login("acme", "rita").await);
    assert_eq!(replica.list(with(&list, &token)).await, server.list(of_rita).await);
}

async fn a_list_is_of_one_moment(setup: Setup) {
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    server.send(json!([event("1", "01", "20")])).await.assert_outcome(&["1"], &[]);
    let filter = json!({"referred_accounts_receivable_identifier": {"number": "ACR01"}});
    // Between the look-up of the account and that of its events.
    let held = server.hold_at("LIMIT $17");
    let rename = replica.import("acme", DirectoryKind::AccountsReceivable, "id,number\nACR01-ID,ACR99\n");
    let (page, ()) = tokio::join!(server.list(filter.clone()), held.meanwhile(rename));
    let events = page.data["customer_events_set"].as_array().expect("events");
    let names: Vec<&Value> = events.iter().map(|event| &event["referred_accounts_receivable"]["number"]).collect();
    assert_eq!(names, [&json!("ACR01")]);
    server.list(filter).await.assert_refused("AccountsReceivableNotFound");
}

async fn nothing_is_after_the_last_moment_of_the_year_9999(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("1", "01", "20"), event("2", "02", "20")])).await.assert_outcome(&["1", "2"], &[]);
    for end in ["9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59Z"] {
        for filter in ["performed_on_from", "created_on_from"] {
            assert_eq!(numbers(&server.list(json!({filter: end})).await), Vec::<i64>::new(), "{filter} {end}");
        }
        for filter in ["performed_on_to", "created_on_to"] {
            assert_eq!(numbers(&server.list(json!({filter: end})).await), [2, 1], "{filter} {end}");
        }
    }
}
