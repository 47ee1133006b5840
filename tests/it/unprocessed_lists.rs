//! Lists of unprocessed events: filters, pages, and whose they are.

use proptest::{
    option,
    prelude::*,
    sample::select,
    test_runner::{Config as Cases, TestRunner},
};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::{
    support::{Server, Setup, tests, until},
    unprocessed::{event, events_of, journal, list, list_all, send, without},
};

tests! {
    Both:
        a_list_of_unprocessed_events_has_what_a_look_at_all_finds,
        filters_that_cannot_be_meant_are_refused,
        unprocessed_events_of_another_organisation_are_not_listed,
        a_reader_may_list_unprocessed_events,
        a_page_of_long_texts_ends_before_it_is_too_large;
}

#[derive(Clone, Debug, Default)]
struct Filter {
    request_id: Option<&'static str>,
    error_code: Option<&'static str>,
    name: Option<&'static str>,
    system: Option<&'static str>,
    reference: Option<&'static str>,
    from: Option<usize>,
    to: Option<usize>,
    number_of_results: u32,
}

const REQUESTS: [&str; 3] = ["a", "b", "c"];
const NAMES: [&str; 3] = ["1", "2", "3"];
const REFERENCES: [&str; 2] = ["R1", "R2"];
const CODES_OF_EVENTS: [&str; 4] = [
    "RewardsParticipantNotFoundException",
    "SelfReferralException",
    "MissingMandatoryAttributeException",
    "NotFoundException",
];

fn filter() -> impl Strategy<Value = Filter> {
    (
        option::weighted(0.4, select(REQUESTS.to_vec())),
        option::weighted(0.4, select(CODES_OF_EVENTS.to_vec())),
        option::weighted(0.3, select(NAMES.to_vec())),
        option::weighted(0.2, select(vec!["till", "shop"])),
        option::weighted(0.2, select(REFERENCES.to_vec())),
        option::weighted(0.2, 0..24usize),
        option::weighted(0.2, 0..24usize),
        1..6u32,
    )
        .prop_map(|(request_id, error_code, name, system, reference, from, to, number_of_results)| Filter {
            request_id,
            error_code,
            name,
            system,
            reference,
            from,
            to,
            number_of_results,
        })
}

impl Filter {
    fn json(&self, known: &[Value]) -> Value {
        let mut request = json!({"number_of_results": self.number_of_results});
        let texts = [
            ("request_id", self.request_id),
            ("error_code", self.error_code),
            ("request_unique_identifier", self.name),
            ("external_system", self.system),
            ("external_system_reference_number", self.reference),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                request[name] = json!(text);
            }
        }
        for (name, n) in [("created_on_from", self.from), ("created_on_to", self.to)] {
            if let Some(n) = n {
                request[name] = known[n]["created_on"].clone();
            }
        }
        request
    }

    fn is_met_by(&self, event: &Value, known: &[Value]) -> bool {
        let is = |wanted: Option<&str>, name: &str| wanted.is_none() || event[name].as_str() == wanted;
        let moment = |event: &Value| -> chrono::DateTime<chrono::Utc> {
            event["created_on"].as_str().and_then(|moment| moment.parse().ok()).expect("a moment")
        };
        let codes = event["error_codes"].as_array().expect("codes");
        is(self.request_id, "request_id")
            && self.error_code.is_none_or(|code| codes.iter().any(|of_event| of_event == code))
            && is(self.name, "request_unique_identifier")
            && is(self.system, "external_system")
            && is(self.reference, "external_system_reference_number")
            && self.from.is_none_or(|n| moment(event) >= moment(&known[n]))
            && self.to.is_none_or(|n| moment(event) <= moment(&known[n]))
    }
}

async fn a_list_of_unprocessed_events_has_what_a_look_at_all_finds(setup: Setup) {
    let server = Server::start(setup).await;
    for call in 0..8_usize {
        let events = NAMES.iter().enumerate().map(|(n, name)| {
            let mut event = [event(name, "99", "60"), event(name, "05", "05"), event(name, "98", "60")][n].clone();
            if (call + n).is_multiple_of(3) {
                event["external_system_reference_number"] = json!(REFERENCES[call % 2]);
            }
            if (call + n) % 4 == 1 {
                event["external_system"] = json!(["till", "shop"][call / 4]);
            }
            if n == 2 { without(event, "performed_on") } else { event }
        });
        send(&server, REQUESTS[call * call % 3], json!(events.collect::<Vec<_>>())).await;
    }
    let known = journal(&server, 24).await;
    let runtime = Handle::current();
    let config = Cases { cases: 96, failure_persistence: None, ..Cases::default() };
    tokio::task::block_in_place(|| {
        let outcome = TestRunner::new(config).run(&filter(), |filter| {
            let expected: Vec<&Value> = known.iter().filter(|event| filter.is_met_by(event, &known)).collect();
            let listed = runtime.block_on(list_all(&server, &filter.json(&known)));
            prop_assert_eq!(listed.iter().collect::<Vec<_>>(), expected);
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
    });
    let named = list(&server, json!({"number_of_results": 1, "fields_set": ["request_id", "error_codes"]})).await;
    let first = &events_of(&named)[0];
    assert_eq!(first.as_object().expect("an object").len(), 2, "{first}");
    // What is left while pages are read comes before the first.
    let token = named.data["next_page_token"].clone();
    send(&server, "later", json!([event("later", "97", "60")])).await;
    journal(&server, 25).await;
    let second = list(&server, json!({"number_of_results": 1, "page_token": token})).await;
    assert_eq!(events_of(&second), [known[1].clone()]);
}

async fn filters_that_cannot_be_meant_are_refused(setup: Setup) {
    let server = Server::start(setup).await;
    for (filter, code) in [
        (json!({"number_of_results": 0}), "InvalidAttributeValueException"),
        (json!({"number_of_results": 1001}), "InvalidAttributeValueException"),
        (json!({"error_code": "%"}), "InvalidAttributeValueException"),
        (json!({"request_id": "x".repeat(256)}), "InvalidAttributeValueException"),
        (json!({"external_system": "\u{0}"}), "InvalidAttributeValueException"),
        (json!({"page_token": "0"}), "InvalidPageTokenException"),
        (json!({"page_token": "é".repeat(40)}), "InvalidPageTokenException"),
        (json!({"fields_set": ["nothing"]}), "InvalidFieldsSetException"),
        (json!({"token": "nobody's"}), "InvalidTokenException"),
    ] {
        let answer = list(&server, filter.clone()).await;
        assert_eq!(answer.code, code, "{filter}");
    }
    // A token is of one list.
    send(&server, "one", json!([event("1", "99", "60"), event("2", "98", "60")])).await;
    journal(&server, 2).await;
    let page = list(&server, json!({"number_of_results": 1})).await;
    let token = page.data["next_page_token"].clone();
    let other = list(&server, json!({"number_of_results": 1, "request_id": "one", "page_token": token})).await;
    assert_eq!(other.code, "InvalidPageTokenException");
}

async fn unprocessed_events_of_another_organisation_are_not_listed(setup: Setup) {
    let server = Server::start(setup).await;
    let oscar = server.login("other", "oscar").await;
    send(&server, "one", json!([event("1", "99", "60")])).await;
    let request = json!({"token": oscar, "referral_customer_events_set": [event("theirs", "98", "60")]});
    server.bulk(request).await;
    journal(&server, 1).await;
    until("theirs is written", async || !events_of(&list(&server, json!({"token": oscar})).await).is_empty()).await;
    let theirs = events_of(&list(&server, json!({"token": oscar})).await);
    assert_eq!(theirs.len(), 1);
    assert_eq!(theirs[0]["request_unique_identifier"], "theirs");
}

async fn a_reader_may_list_unprocessed_events(setup: Setup) {
    let server = Server::start(setup).await;
    send(&server, "one", json!([event("1", "99", "60")])).await;
    journal(&server, 1).await;
    let rita = server.login("acme", "rita").await;
    assert_eq!(events_of(&list(&server, json!({"token": rita})).await).len(), 1);
}

async fn a_page_of_long_texts_ends_before_it_is_too_large(setup: Setup) {
    let server = Server::start(setup).await;
    let long = |n: usize| {
        let mut event = event(&format!("{n:03}{}", "🎈".repeat(250)), "99", "60");
        event["external_system"] = json!("🎈".repeat(255));
        event["external_system_reference_number"] = json!("🎈".repeat(255));
        event["referred_rewards_participant_identifier"] = json!({"number": "🎈".repeat(255)});
        event
    };
    send(&server, "long", json!((0..1000).map(long).collect::<Vec<_>>())).await;
    let all = journal(&server, 1000).await;
    let page = list(&server, json!({"number_of_results": 1000})).await;
    // Clients of gRPC read no more than 4 MiB.
    assert!((500..1000).contains(&events_of(&page).len()), "{}", events_of(&page).len());
    let indexes: Vec<u64> = all.iter().rev().map(|event| event["index"].as_u64().expect("a number")).collect();
    assert_eq!(indexes, (0..1000).collect::<Vec<u64>>());
}
