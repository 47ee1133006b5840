//! Who created an event and who cancelled it, and by which requests.

use std::{collections::BTreeMap, sync::Arc};

use chrono::Utc;
use proptest::{
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use referral_events::storage::{calls, number_ranges::NumberRange};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::support::{self, Answer, Server, Setup, Transport, method, numbers, tests};

tests! {
    Both:
        an_event_knows_who_created_it_and_by_which_request,
        an_event_knows_who_cancelled_it_first,
        each_call_of_a_group_is_known_by_its_own_request,
        a_repeat_does_not_change_who_created,
        a_call_that_creates_nothing_is_not_kept,
        events_from_before_have_no_origin,
        a_list_by_origin_has_what_a_look_at_every_event_finds,
        a_list_by_origin_leaps_over_what_others_created;
}

/// A good event, as both transports read it.
fn event(identifier: &str, referred: &str, referrer: &str) -> Value {
    let mut event = support::event(identifier, referred, referrer);
    event["performed_on"] = json!("2016-06-22T15:00:00Z");
    event
}

/// An event's user and request of its creation, and of its cancellation.
type Origin = [Option<String>; 4];

const ATTRIBUTES: [&str; 4] = ["created_by", "request_id", "cancelled_by", "cancellation_request_id"];

fn origin(event: &Value) -> Origin {
    ATTRIBUTES.map(|attribute| event[attribute].as_str().map(str::to_owned))
}

fn created(user: &str, request: &str) -> Origin {
    [Some(user.to_owned()), Some(request.to_owned()), None, None]
}

/// Sends a bulk call under this id.
async fn send(server: &Server, request_id: &str, mut request: Value) -> Answer {
    if request.get("token").is_none() {
        request["token"] = json!(server.token);
    }
    server.call(&method("BulkCreateReferralEvents"), request, &[("x-request-id", request_id)]).await
}

fn set(events: Value) -> Value {
    json!({"referral_customer_events_set": events})
}

async fn cancel(server: &Server, token: &str, request_id: &str, number: i64) -> Answer {
    let request = json!({"token": token, "customer_event_identifier": {"number": number.to_string()}});
    server.call(&method("CancelReferralEvent"), request, &[("x-request-id", request_id)]).await
}

/// The origins of all events, by number, as a list has them; a look at each tells the same.
async fn origins(server: &Server) -> BTreeMap<i64, Origin> {
    let page = server.list(json!({"number_of_results": 1000})).await;
    let listed: BTreeMap<i64, Origin> = numbers(&page)
        .into_iter()
        .zip(page.data["customer_events_set"].as_array().expect("events").iter().map(origin))
        .collect();
    for (number, listed) in &listed {
        let shown = server.get(json!({"number": number.to_string()})).await;
        assert_eq!(origin(&shown.data), *listed);
    }
    listed
}

async fn an_event_knows_who_created_it_and_by_which_request(setup: Setup) {
    let server = Server::start(setup).await;
    let adam = server.login("acme", "adam").await;
    send(&server, "first'\"\\&;", set(json!([event("1", "01", "60"), event("2", "02", "60")]))).await;
    let mut of_adam = set(json!([event("1", "03", "60")]));
    of_adam["token"] = json!(adam);
    send(&server, "second", of_adam).await.assert_outcome(&["1"], &[]);
    let mut one = json!({"token": server.token});
    match setup.transport {
        Transport::Grpc => one["referral_customer_event"] = event("1", "04", "60"),
        Transport::Rest => {
            one.as_object_mut().expect("an object").extend(event("1", "04", "60").as_object().expect("one").clone());
        }
    }
    let single = server.call(&method("CreateReferralEvent"), one, &[("x-request-id", "third")]).await;
    assert_eq!(single.code, "OK", "{single:?}");
    let expected = [
        (1, created("carla", "first'\"\\&;")),
        (2, created("carla", "first'\"\\&;")),
        (3, created("adam", "second")),
        (4, created("carla", "third")),
    ];
    assert_eq!(origins(&server).await, expected.into());
    // Of who names none, the request has the id of its answer.
    server.send(json!([event("1", "05", "60")])).await.assert_outcome(&["1"], &[]);
    let made = origins(&server).await[&5][1].clone().expect("an id");
    assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
    // As long as an id may be, and a user of another organisation of the same name.
    let longest = "x".repeat(64);
    send(&server, &longest, set(json!([event("1", "06", "60")]))).await;
    assert_eq!(origins(&server).await[&6], created("carla", &longest));
}

async fn an_event_knows_who_cancelled_it_first(setup: Setup) {
    let server = Server::start(setup).await;
    let adam = server.login("acme", "adam").await;
    send(&server, "creation", set(json!([event("1", "01", "60"), event("2", "02", "60")]))).await;
    assert_eq!(cancel(&server, &adam, "cancellation", 1).await.code, "OK");
    // It is cancelled already.
    assert_eq!(cancel(&server, &server.token, "another", 1).await.code, "OK");
    let cancelled = ["carla", "creation", "adam", "cancellation"].map(|text| Some(text.to_owned()));
    assert_eq!(origins(&server).await, [(1, cancelled), (2, created("carla", "creation"))].into());
    assert_eq!(numbers(&server.list(json!({"cancelled_by": "adam"})).await), [1]);
    assert_eq!(numbers(&server.list(json!({"cancelled_by": "carla"})).await), Vec::<i64>::new());
}

async fn each_call_of_a_group_is_known_by_its_own_request(setup: Setup) {
    let server = Arc::new(Server::start(setup).await);
    let adam = server.login("acme", "adam").await;
    let sent = (0..12).map(|call| {
        let (server, adam) = (server.clone(), adam.clone());
        tokio::spawn(async move {
            // Of one, two or three events, of which the middle one of three is refused; some create nothing.
            let parties = (1..=call % 3 + 1).map(|n| format!("{:02}", call * 3 + n));
            let events = parties.enumerate().map(|(n, party)| {
                let referrer = if (call, n) == (5, 0) || n == 1 { party.clone() } else { "60".to_owned() };
                event(&n.to_string(), &party, &referrer)
            });
            let mut request = set(json!(events.collect::<Vec<_>>()));
            request["all_or_nothing"] = json!(call == 8);
            if call % 2 == 1 {
                request["token"] = json!(adam);
            }
            let answer = send(&server, &format!("call-{call}"), request).await;
            let user = if call % 2 == 1 { "adam" } else { "carla" };
            let number = |event: &Value| event["number"].as_str().and_then(|number| number.parse().ok()).expect("one");
            let numbers: Vec<i64> = answer.processed().iter().map(number).collect();
            numbers.into_iter().map(|number| (number, created(user, &format!("call-{call}")))).collect::<Vec<_>>()
        })
    });
    let mut expected = BTreeMap::new();
    for sent in sent.collect::<Vec<_>>() {
        expected.extend(sent.await.expect("an answer"));
    }
    assert!(expected.len() > 12, "{expected:?}");
    assert_eq!(origins(&server).await, expected);
}

async fn a_repeat_does_not_change_who_created(setup: Setup) {
    let server = Server::start(setup).await;
    let adam = server.login("acme", "adam").await;
    let mut known = event("1", "01", "60");
    known["external_system_reference_number"] = json!("R1");
    send(&server, "first", set(json!([known]))).await.assert_outcome(&["1"], &[]);
    // A repeat beside a new one.
    let mut repeat = set(json!([known, event("2", "02", "60")]));
    repeat["token"] = json!(adam);
    send(&server, "second", repeat).await.assert_outcome(&["1", "2"], &[]);
    let under_a_key = json!({"token": server.token, "referral_customer_events_set": [event("3", "03", "60")]});
    server.bulk_under("key", under_a_key.clone()).await;
    let before = origins(&server).await;
    assert!(server.bulk_under("key", under_a_key).await.1);
    assert_eq!(origins(&server).await, before);
    assert_eq!((&before[&1], &before[&2]), (&created("carla", "first"), &created("adam", "second")));
}

async fn a_call_that_creates_nothing_is_not_kept(setup: Setup) {
    let server = Server::start(setup).await;
    send(&server, "first", set(json!([event("1", "01", "60")]))).await.assert_outcome(&["1"], &[]);
    let events = json!([event("1", "02", "60"), event("2", "01", "59")]);
    let mut failing = set(events.clone());
    failing["all_or_nothing"] = json!(true);
    assert_eq!(send(&server, "all-or-nothing", failing).await.failures().len(), 2);
    let mut rehearsed = set(events.clone());
    rehearsed["validate_only"] = json!(true);
    send(&server, "rehearsal", rehearsed).await.assert_outcome(&["1"], &[("2", "ReferredByAnotherParticipant")]);
    send(&server, "refused", set(json!([event("1", "99", "60")]))).await;
    assert_eq!(server.dump("calls").await.len(), 1);
    send(&server, "last", set(events)).await.assert_outcome(&["1"], &[("2", "ReferredByAnotherParticipant")]);
    let origins: Vec<Origin> = origins(&server).await.into_values().collect();
    assert_eq!(origins, [created("carla", "first"), created("carla", "last")]);
    for nothing in ["all-or-nothing", "rehearsal", "refused", "never"] {
        assert_eq!(numbers(&server.list(json!({"request_id": nothing})).await), Vec::<i64>::new());
    }
}

async fn events_from_before_have_no_origin(setup: Setup) {
    let server = Server::start(setup).await;
    send(&server, "first", set(json!([event("1", "01", "60"), event("2", "02", "60")]))).await;
    // As programs leave them that know no calls.
    server.insert((3..=5).map(|n| (n, Utc::now(), None)).collect()).await;
    let nobody = || [None, None, None, None];
    let first = || created("carla", "first");
    let expected = [(1, first()), (2, first()), (3, nobody()), (4, nobody()), (5, nobody())];
    assert_eq!(origins(&server).await, expected.into());
    assert_eq!(numbers(&server.list(json!({"created_by": "carla"})).await), [2, 1]);
    assert_eq!(numbers(&server.list(json!({"request_id": "first"})).await), [2, 1]);
}

#[derive(Clone, Debug)]
struct Filter {
    request_id: Option<&'static str>,
    created_by: Option<&'static str>,
    cancelled_by: Option<&'static str>,
    referrer: Option<&'static str>,
    number_of_results: u32,
    order: &'static str,
}

const REQUESTS: [&str; 4] = ["a", "b", "c", "d"];
const NAMES: [&str; 3] = ["carla", "adam", "nobody"];

fn filter() -> impl Strategy<Value = Filter> {
    let name = |weight| option::weighted(weight, select(NAMES.to_vec()));
    (
        option::weighted(0.5, select(REQUESTS.to_vec())),
        name(0.5),
        name(0.2),
        option::weighted(0.2, select(vec!["59", "60"])),
        1..5u32,
        select(vec!["NEWEST_FIRST", "OLDEST_FIRST"]),
    )
        .prop_map(|(request_id, created_by, cancelled_by, referrer, number_of_results, order)| Filter {
            request_id,
            created_by,
            cancelled_by,
            referrer,
            number_of_results,
            order,
        })
}

impl Filter {
    fn json(&self) -> Value {
        let mut request = json!({"number_of_results": self.number_of_results, "order": self.order});
        let texts =
            [("request_id", self.request_id), ("created_by", self.created_by), ("cancelled_by", self.cancelled_by)];
        for (name, text) in texts {
            if let Some(text) = text {
                request[name] = json!(text);
            }
        }
        if let Some(referrer) = self.referrer {
            request["referred_by_accounts_receivable_identifier"] = json!({"number": format!("ACR{referrer}")});
        }
        request
    }

    fn is_met_by(&self, number: i64, [created_by, request_id, cancelled_by, _]: &Origin) -> bool {
        let is = |wanted: Option<&str>, given: &Option<String>| wanted.is_none() || wanted == given.as_deref();
        is(self.request_id, request_id)
            && is(self.created_by, created_by)
            && is(self.cancelled_by, cancelled_by)
            && self.referrer.is_none_or(|referrer| referrer == referrer_of(number))
    }
}

fn referrer_of(number: i64) -> &'static str {
    ["59", "60", "60"][number as usize % 3]
}

async fn a_list_by_origin_has_what_a_look_at_every_event_finds(setup: Setup) {
    let server = Server::start(setup).await;
    let adam = server.login("acme", "adam").await;
    // Ids come again, in turns and at once; now and then an event has no origin.
    let mut number = 0;
    for call in 0..15_usize {
        let events: Vec<Value> = (0..call % 4 + 1)
            .map(|n| {
                number += 1;
                event(&n.to_string(), &format!("{number:02}"), referrer_of(number))
            })
            .collect();
        let mut request = set(json!(events));
        request["token"] = json!(if call % 3 == 0 { &adam } else { &server.token });
        assert_eq!(send(&server, REQUESTS[call * call % 5 % 4], request).await.processed().len(), call % 4 + 1);
        if call % 5 == 2 {
            cancel(&server, if call == 7 { &adam } else { &server.token }, "x", number).await;
        }
    }
    let known = origins(&server).await;
    assert_eq!(known.len() as i64, number);
    let runtime = Handle::current();
    let config = Config { cases: 96, failure_persistence: None, ..Config::default() };
    tokio::task::block_in_place(|| {
        let outcome = TestRunner::new(config).run(&filter(), |filter| {
            let met = known.iter().filter(|(number, origin)| filter.is_met_by(**number, origin));
            let mut expected: Vec<i64> = met.map(|(number, _)| *number).collect();
            if filter.order == "NEWEST_FIRST" {
                expected.reverse();
            }
            prop_assert_eq!(&runtime.block_on(server.list_all(&filter.json())).0, &expected);
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

async fn a_list_by_origin_leaps_over_what_others_created(setup: Setup) {
    let server = Server::start(setup).await;
    server.insert((1..=90_000).map(|n| (n, Utc::now(), None)).collect()).await;
    let organisation_id = server.acme().await;
    let transaction = server.database.begin().await.expect("a transaction");
    // Two calls of one request, far from each other and from both ends.
    let call = |first: i64, request_id, created_by| {
        let (first, last) = (first, first + 1);
        calls::Call { first: number(first), last: number(last), request_id, created_by }
    };
    let of_two = [call(5_000, "twice", "ann"), call(70_000, "twice", "ann"), call(70_002, "other", "bob")];
    calls::commit_with(transaction, organisation_id, &of_two, Vec::new()).await.expect("a commit");
    for filter in [json!({"request_id": "twice"}), json!({"created_by": "ann"})] {
        for (order, expected) in
            [("NEWEST_FIRST", [70_001, 70_000, 5_001, 5_000]), ("OLDEST_FIRST", [5_000, 5_001, 70_000, 70_001])]
        {
            let mut list = filter.clone();
            list["order"] = json!(order);
            let (listed, pages) = server.list_all(&list).await;
            assert_eq!(listed, expected, "{list}");
            // To read all that lies between them would take five.
            assert!(pages <= 3, "{pages} for {list}");
        }
    }
    let transaction = server.database.begin().await.expect("a transaction");
    let nothing = calls::narrow(&transaction, organisation_id, calls::CallsOf::User("nobody"), NumberRange::ALL).await;
    assert_eq!(nothing.expect("a range"), NumberRange::NONE);
    transaction.rollback().await.expect("a rollback");
}

fn number(number: i64) -> referral_events::id::EventNumber {
    referral_events::id::EventNumber(number)
}
