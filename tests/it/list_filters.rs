//! What the filters of a list find.

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
        a_reference_number_alone_is_of_no_system,
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

/// They are used in each system, and again once their events are cancelled.
const REFERENCES: [&str; 4] = ["R0", "R1", "R2", "R3"];

/// What a test knows of an event without asking.
#[derive(Clone, Debug)]
struct Known {
    number: i64,
    referred: String,
    referrer: String,
    classification: Option<&'static str>,
    places: [Option<&'static str>; 4],
    system: Option<&'static str>,
    reference: Option<&'static str>,
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
    let mut known: Vec<Known> = Vec::new();
    for call in 0..4 {
        let mut events = Vec::new();
        for n in call * 12..call * 12 + 12 {
            // One party is referred again and again, each time after the referral before was cancelled.
            let referred = if n % 12 == 11 { "48".to_owned() } else { format!("{:02}", n + 1) };
            // It refers others, too.
            let referrer = if n % 12 == 5 { "48" } else { ["57", "58", "59"][n * n % 3] }.to_owned();
            let (attribute, code, places) = PLACES[n * 7 % PLACES.len()];
            let classification = [None, Some("CL1"), Some("CL2")][n % 3];
            let system = [None, Some("till"), Some("shop")][n / 2 % 3];
            let reference = REFERENCES[n % 2 + n % 12 / 6 * 2];
            let is_in_use =
                |known: &Known| (known.system, known.reference) == (system, Some(reference)) && !known.cancelled;
            let reference = (n % 7 != 0 && !known.iter().any(is_in_use)).then_some(reference);
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
            if let Some(reference) = reference {
                event["external_system_reference_number"] = json!(reference);
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
                reference,
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
    either: Option<&'static str>,
    /// By which of its names a party is given.
    party_form: usize,
    classification: Option<&'static str>,
    places: [Option<&'static str>; 4],
    system: Option<&'static str>,
    reference: Option<&'static str>,
    state: Option<bool>,
    performed_on: (Option<usize>, Option<usize>),
    created_on: (Option<usize>, Option<usize>),
    number_of_results: u32,
    order: Option<&'static str>,
}

fn filter() -> impl Strategy<Value = Filter> {
    let place = |codes: Vec<&'static str>| option::weighted(0.15, select(codes));
    let referred = prop_oneof![Just("48".to_owned()), (1..60usize).prop_map(|n| format!("{n:02}"))];
    let end = || (option::weighted(0.15, 0..48usize), option::weighted(0.15, 0..48usize));
    (
        (
            option::weighted(0.15, referred),
            option::weighted(0.3, select(vec!["48", "57", "58", "59", "60"])),
            option::weighted(0.3, select(vec!["02", "48", "57", "58", "60"])),
            0..4usize,
        ),
        option::weighted(0.3, select(vec!["CL1", "CL2"])),
        (
            place(vec!["BU1", "BU2"]),
            place(vec!["U1", "U2", "U3"]),
            place(vec!["TAP1", "TAP2", "TAPB"]),
            place(vec!["DEV1", "DEV3"]),
        ),
        option::weighted(0.3, select(vec!["till", "shop", "none"])),
        option::weighted(0.2, select(REFERENCES.to_vec())),
        option::weighted(0.3, any::<bool>()),
        (end(), end()),
        (1..8u32, option::weighted(0.6, select(vec!["OLDEST_FIRST", "OLDEST_FIRST", "NEWEST_FIRST"]))),
    )
        .prop_map(
            |(
                (referred, referrer, either, party_form),
                classification,
                places,
                system,
                reference,
                state,
                (performed_on, created_on),
                (number_of_results, order),
            )| Filter {
                referred,
                referrer,
                either,
                party_form,
                classification,
                places: [places.0, places.1, places.2, places.3],
                system,
                reference,
                state,
                performed_on,
                created_on,
                number_of_results,
                order,
            },
        )
}

impl Filter {
    /// The ends of its periods are those of events, so that the ends themselves are tried.
    fn json(&self, known: &[Known]) -> Value {
        let mut request = json!({"number_of_results": self.number_of_results});
        let parties = [
            ("referred", self.referred.as_deref()),
            ("referred_by", self.referrer),
            ("referred_or_referred_by", self.either),
        ];
        for (role, digits) in parties {
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
        if let Some(reference) = self.reference {
            request["external_system_reference_number"] = json!(reference);
        }
        if let Some(order) = self.order {
            request["order"] = json!(order);
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
            && self.either.is_none_or(|party| [&event.referred, &event.referrer].into_iter().any(|side| side == party))
            && self.classification.is_none_or(|code| event.classification == Some(code))
            && self.places.iter().zip(event.places).all(|(wanted, place)| wanted.is_none() || *wanted == place)
            && self.system.is_none_or(|system| event.system == Some(system))
            && self.reference.is_none_or(|reference| (event.system, event.reference) == (self.system, Some(reference)))
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
    let config = Config { cases: 96, failure_persistence: None, ..Config::default() };
    tokio::task::block_in_place(|| {
        let outcome = TestRunner::new(config).run(&filter(), |filter| {
            let met = known.iter().filter(|event| filter.is_met_by(event, &known));
            let mut expected: Vec<i64> = met.map(|event| event.number).collect();
            if filter.order != Some("OLDEST_FIRST") {
                expected.reverse();
            }
            let (listed, _) = runtime.block_on(server.list_all(&filter.json(&known)));
            prop_assert_eq!(&listed, &expected);
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

async fn a_reference_number_alone_is_of_no_system(setup: Setup) {
    let server = Server::start(setup).await;
    let with = |n: &str, system: Option<&str>| {
        let mut event = event(n, &format!("0{n}"), "20");
        event["external_system_reference_number"] = json!("R1");
        if let Some(system) = system {
            event["external_system"] = json!(system);
        }
        event
    };
    let events = json!([with("1", None), with("2", Some("till")), event("3", "03", "20")]);
    server.send(events).await.assert_outcome(&["1", "2", "3"], &[]);
    // The cancelled ones are there, too.
    assert_eq!(server.cancel(json!({"number": "1"})).await.code, "OK");
    server.send(json!([with("1", None)])).await.assert_outcome(&["1"], &[]);
    for (filter, expected) in [
        (json!({"external_system_reference_number": "R1"}), vec![4, 1]),
        (json!({"external_system_reference_number": "R1", "external_system": " "}), vec![4, 1]),
        (json!({"external_system_reference_number": "R1", "external_system": "till"}), vec![2]),
        (json!({"external_system_reference_number": "R1", "external_system": "shop"}), vec![]),
        (json!({"external_system_reference_number": "r1"}), vec![]),
        // A blank one is not given.
        (json!({"external_system_reference_number": " "}), vec![4, 3, 2, 1]),
    ] {
        assert_eq!(numbers(&server.list(filter.clone()).await), expected, "{filter}");
    }
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
