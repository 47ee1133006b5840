//! The journal of unprocessed events: what is in it, for how long, and that no call waits for it.

use std::{collections::BTreeMap, time::Duration};

use referral_events::{config::Config, guessing::Limits, referral::ReferralSettings, storage::Database};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::support::{self, Answer, Server, Setup, Transport, Workplace, method, tests, until};

tests! {
    Both:
        unprocessed_events_are_kept_as_their_caller_was_told,
        what_is_only_rehearsed_or_repeated_is_not_kept,
        no_code_is_in_the_journal;
    Rest:
        unprocessed_events_go_with_their_time,
        nothing_is_kept_where_that_is_off,
        what_waits_is_written_before_the_server_ends,
        no_call_waits_for_the_journal_and_what_finds_no_room_is_left_out,
        an_organisation_leaves_a_bounded_number;
    NoCalls:
        a_journal_that_cannot_be_written_costs_no_call_and_is_told_of,
        a_server_that_is_killed_loses_no_event;
}

/// A good event, as both transports read it.
pub fn event(identifier: &str, referred: &str, referrer: &str) -> Value {
    let mut event = support::event(identifier, referred, referrer);
    event["performed_on"] = json!("2016-06-22T15:00:00Z");
    event
}

/// A page of the list with these filters, as carla of acme sees it.
pub async fn list(server: &Server, mut request: Value) -> Answer {
    if request.get("token").is_none() {
        request["token"] = json!(server.token);
    }
    server.call(&method("ListUnprocessedEvents"), request, &[]).await
}

pub fn events_of(page: &Answer) -> Vec<Value> {
    assert_eq!(page.code, "OK", "{page:?}");
    page.data["unprocessed_events_set"].as_array().expect("events").clone()
}

/// All events of the list, page by page.
pub async fn list_all(server: &Server, request: &Value) -> Vec<Value> {
    let mut request = request.clone();
    let mut all = Vec::new();
    loop {
        let page = list(server, request.clone()).await;
        all.extend(events_of(&page));
        match page.data.get("next_page_token") {
            Some(token) => request["page_token"] = token.clone(),
            None => return all,
        }
    }
}

/// All events of the journal once there are so many.
pub async fn journal(server: &Server, count: usize) -> Vec<Value> {
    until("the journal is written", async || list_all(server, &json!({})).await.len() >= count).await;
    let all = list_all(server, &json!({})).await;
    assert_eq!(all.len(), count, "{all:#?}");
    all
}

pub async fn send(server: &Server, request_id: &str, events: Value) -> Answer {
    let request = json!({"token": server.token, "referral_customer_events_set": events});
    server.call(&method("BulkCreateReferralEvents"), request, &[("x-request-id", request_id)]).await
}

fn with(mut event: Value, attribute: &str, value: Value) -> Value {
    event[attribute] = value;
    event
}

pub fn without(mut event: Value, attribute: &str) -> Value {
    event.as_object_mut().expect("an object").remove(attribute);
    event
}

async fn unprocessed_events_are_kept_as_their_caller_was_told(setup: Setup) {
    let server = Server::start(setup).await;
    let referenced = with(event("b", "99", "60"), "external_system_reference_number", json!("R1"));
    let malformed = without(with(referenced.clone(), "request_unique_identifier", json!("c")), "performed_on");
    let malformed = with(malformed, "external_system", json!("till"));
    let answer = send(&server, "one", json!([event("a", "01", "60"), referenced, malformed])).await;
    answer.assert_outcome(&["a"], &[("b", "RewardsParticipantNotFound"), ("c", "MissingMandatoryAttribute")]);
    let kept = journal(&server, 2).await;
    // The newest is first: of a call that is its last.
    for (kept, told) in kept.iter().rev().zip(answer.unprocessed()) {
        assert_eq!(kept["request_unique_identifier"], told["request_unique_identifier"]);
        assert_eq!(kept["error_description"], told["error_description"]);
        assert_eq!(kept["error_codes"][0], told["error_code"]);
        assert_eq!((&kept["request_id"], &kept["created_by"]), (&json!("one"), &json!("carla")));
        assert_eq!(kept["external_system_reference_number"], json!("R1"));
    }
    assert_eq!((&kept[0]["index"], &kept[1]["index"]), (&json!(2), &json!(1)));
    assert_eq!((&kept[0]["external_system"], kept[1].get("external_system")), (&json!("till"), None));

    // Of a call of one event, whose name for it has no meaning.
    let mut one = json!({"token": server.token});
    match setup.transport {
        Transport::Grpc => one["referral_customer_event"] = event("x", "02", "02"),
        Transport::Rest => {
            one.as_object_mut().expect("an object").extend(event("x", "02", "02").as_object().expect("one").clone());
        }
    }
    let refused = server.call(&method("CreateReferralEvent"), one, &[("x-request-id", "single")]).await;
    assert_eq!(refused.code, "SelfReferralException");
    let single = &journal(&server, 3).await[0];
    assert_eq!(single["error_codes"], json!(["SelfReferralException"]));
    assert_eq!((single.get("request_unique_identifier"), &single["index"]), (None, &json!(0)));
    assert_eq!(single["request_id"], "single");

    // Each of its violations once, the reason first; and all that were not attempted.
    let twice_wrong = without(with(event("d", "01", "60"), "performed_by_unit_identifier", json!({})), "performed_on");
    let request = json!({"token": server.token, "referral_customer_events_set": [twice_wrong, event("e", "03", "60")],
        "all_or_nothing": true});
    server.call(&method("BulkCreateReferralEvents"), request, &[]).await;
    let kept = journal(&server, 5).await;
    assert_eq!(kept[0]["error_codes"], json!(["NotAttemptedException"]));
    assert_eq!(kept[1]["error_codes"], json!(["MissingMandatoryAttributeException", "InvalidIdentifierException"]));

    // A name as long as it may be answered, with what no database takes.
    let name = format!("\0{}", "🎈".repeat(300));
    send(&server, "long", json!([event(&name, "04", "60")])).await;
    let kept = &journal(&server, 6).await[0];
    let expected = format!("\u{fffd}{}", "🎈".repeat(254));
    assert_eq!(kept["request_unique_identifier"], json!(expected));
}

async fn what_is_only_rehearsed_or_repeated_is_not_kept(setup: Setup) {
    let server = Server::start(setup).await;
    let known = with(event("a", "01", "60"), "external_system_reference_number", json!("R1"));
    let events = json!([known, event("b", "99", "60")]);
    let mut rehearsed = json!({"token": server.token, "referral_customer_events_set": events});
    rehearsed["validate_only"] = json!(true);
    server.bulk(rehearsed).await;
    let request = json!({"token": server.token, "referral_customer_events_set": events});
    server.bulk_under("key", request.clone()).await;
    assert!(server.bulk_under("key", request).await.1);
    // What was processed before is processed, and who is refused as a whole has no events.
    send(&server, "again", json!([known])).await.assert_outcome(&["a"], &[]);
    send(&server, "empty", json!([])).await;
    send(&server, "last", json!([event("c", "98", "60")])).await;
    let kept = journal(&server, 2).await;
    let names: Vec<&str> =
        kept.iter().map(|event| event["request_unique_identifier"].as_str().expect("a name")).collect();
    assert_eq!(names, ["c", "b"]);
}

/// Codes, right and wrong; long enough to be seen in no other text.
const CODES: [&str; 5] = ["auth-c0de-wrong", "pass-c0de-wrong", "9018273645546", "AUTH20", "123456"];

async fn no_code_is_in_the_journal(setup: Setup) {
    let server = Server::start(setup).await;
    let [code, pass, otp, right, right_otp] = CODES;
    let tokens = [
        json!({"authentication_code": code}),
        json!({"identifier": "t20@example.com", "pass_code": pass}),
        json!({"one_time_password": otp}),
        // More than there may be, beyond all lengths, and with what no text has.
        json!({"authentication_code": code, "one_time_password": otp}),
        json!({"authentication_code": code.repeat(30)}),
        json!({"authentication_code": format!("{code}\u{1}")}),
        json!({"identifier": "t20@example.com", "pass_code": pass, "one_time_password": right_otp}),
    ];
    let mut events: Vec<Value> = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        for party in ["referred", "referred_by"] {
            let mut event = event(&format!("{n} {party}"), "01", "60");
            event[format!("{party}_rewards_participant_identifier")] = json!({"access_token_identifier": token});
            events.push(event);
        }
    }
    // The code is right, and something else is wrong.
    let mut itself = event("itself", "20", "20");
    itself["referred_by_rewards_participant_identifier"] =
        json!({"access_token_identifier": {"authentication_code": right}});
    events.push(itself);
    if setup.transport == Transport::Rest {
        for wrong in [json!([code]), json!({"code": code}), json!(12.5), json!(true)] {
            for field in ["authentication_code", "pass_code", "one_time_password"] {
                let mut event = event(&format!("{field} {wrong}"), "01", "60");
                event["request_unique_identifier"] = json!(format!("{field} of another shape {}", events.len()));
                event["referred_rewards_participant_identifier"] = json!({"access_token_identifier": {field: wrong}});
                events.push(event);
            }
            let mut event = event("shape", "01", "60");
            event["request_unique_identifier"] = json!(events.len().to_string());
            event["referred_rewards_participant_identifier"] = json!({"access_token_identifier": [code, otp]});
            events.push(event);
        }
    }
    let answer = send(&server, "codes", json!(events)).await;
    assert_eq!(answer.unprocessed().len(), events.len(), "{answer:#?}");
    journal(&server, events.len()).await;
    for row in server.dump("unprocessed_events").await {
        for code in CODES {
            assert!(!row.contains(code), "{code}: {row}");
        }
    }
}

fn kept_for(retention: Duration) -> Config {
    let unlimited =
        Limits { wrong_passwords: 1_000_000, wrong_codes: 1_000_000, longest_wait: Duration::from_secs(60) };
    let referral = ReferralSettings { unprocessed_retention: retention, ..ReferralSettings::default() };
    Config { referral, guessing: unlimited, ..Config::default() }
}

async fn unprocessed_events_go_with_their_time(setup: Setup) {
    const LONG: Duration = Duration::from_secs(1800);
    let server = Server::start_with(setup, kept_for(Duration::from_secs(5))).await;
    server.advance(LONG);
    send(&server, "old", json!([event("1", "99", "60"), event("2", "99", "60")])).await;
    until("it is written", async || server.dump("unprocessed_events").await.len() == 2).await;
    server.advance(LONG);
    // They are listed no more, whether or not they are removed yet.
    assert_eq!(events_of(&list(&server, json!({})).await), Vec::<Value>::new());
    send(&server, "new", json!([event("3", "99", "60")])).await;
    until("the old ones are removed", async || {
        let rows = server.dump("unprocessed_events").await;
        rows.len() == 1 && rows[0].contains("new")
    })
    .await;
}

async fn nothing_is_kept_where_that_is_off(setup: Setup) {
    let mut server = Server::start(setup).await;
    send(&server, "one", json!([event("1", "99", "60")])).await;
    journal(&server, 1).await;
    server.restart_with(kept_for(Duration::ZERO)).await;
    send(&server, "two", json!([event("2", "99", "60")])).await;
    assert_eq!(events_of(&list(&server, json!({})).await), Vec::<Value>::new());
    // What there was is removed.
    until("it is removed", async || server.dump("unprocessed_events").await.is_empty()).await;
    server.stop().await;
    assert_eq!(server.dump("unprocessed_events").await, Vec::<String>::new());
}

/// Events of which none is created.
fn failing(count: usize) -> Value {
    json!((0..count).map(|n| event(&n.to_string(), "99", "60")).collect::<Vec<_>>())
}

async fn what_waits_is_written_before_the_server_ends(setup: Setup) {
    let mut server = Server::start(setup).await;
    for call in 0..5 {
        send(&server, &format!("call-{call}"), failing(700)).await;
    }
    server.stop().await;
    assert_eq!(server.dump("unprocessed_events").await.len(), 3500);
}

async fn no_call_waits_for_the_journal_and_what_finds_no_room_is_left_out(setup: Setup) {
    let mut server = Server::start(setup).await;
    let held = server.hold_at("INSERT INTO unprocessed_events");
    send(&server, "first", failing(1)).await;
    held.meanwhile(async {
        for call in 0..12 {
            let answer = send(&server, &format!("call-{call}"), failing(1000)).await;
            assert_eq!(answer.unprocessed().len(), 1000);
        }
    })
    .await;
    server.stop().await;
    // 8192 wait at most; a call finds room whole or not at all.
    assert_eq!(server.dump("unprocessed_events").await.len(), 8001);
}

async fn an_organisation_leaves_a_bounded_number(setup: Setup) {
    let mut server = Server::start(setup).await;
    for call in 0..25 {
        send(&server, &format!("call-{call}"), failing(1000)).await;
        // So that the queue has room for it.
        until("it is written", async || list_count(&server).await >= 1000 * (call + 1).min(20)).await;
    }
    let oscar = server.login("other", "oscar").await;
    server.bulk(json!({"token": oscar, "referral_customer_events_set": failing(1)})).await;
    // An hour later there is some room again.
    server.advance(Duration::from_secs(3600));
    send(&server, "later", failing(10)).await;
    let left_out = server.scrape().await.value("referral_events_unprocessed_left_out_total", &[]);
    server.stop().await;
    let mut of_calls: BTreeMap<bool, usize> = BTreeMap::new();
    for row in server.dump("unprocessed_events").await {
        *of_calls.entry(row.contains("call-")).or_default() += 1;
    }
    // Some finds room while the others are written.
    assert!((20_000..20_500).contains(&of_calls[&true]), "{of_calls:?}");
    assert_eq!(of_calls[&false], 11);
    assert_eq!(left_out, (25_000 - of_calls[&true]) as f64);
}

async fn list_count(server: &Server) -> i64 {
    let connection = server.database.reader();
    let sql = "SELECT count(*) FROM unprocessed_events";
    let statement = sea_orm::Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await.expect("a query").expect("a row");
    row.try_get_by_index(0).expect("a number")
}

fn bulk(token: &str, events: Value) -> Value {
    json!({"token": token, "referral_customer_events_set": events})
}

const BULK: &str = "customer_events/bulk/referrals/create";

async fn a_journal_that_cannot_be_written_costs_no_call_and_is_told_of(setup: Setup) {
    let workplace = Workplace::over(setup.engine.create_world());
    let mut server = workplace.serve(&[]);
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let rename = "ALTER TABLE unprocessed_events RENAME TO gone";
    database.writer().execute_unprepared(rename).await.expect("a statement");
    let token = server.login("carla").await;
    for n in 1..=3 {
        let events = json!([event("good", &format!("0{n}"), "60"), event("bad", "99", "60")]);
        let answer = server.post(BULK, &bulk(&token, events)).await;
        answer.assert_outcome(&["good"], &[("bad", "RewardsParticipantNotFound")]);
    }
    server.terminate();
    assert!(server.ended().await.success());
    let output = server.output();
    let told = output.lines().filter(|line| line.contains("unprocessed events are not kept"));
    let told: Vec<&str> = told.collect();
    // Not once for each.
    assert!(!told.is_empty() && told.len() <= 2 && told.concat().contains("events"), "{output}");
}

async fn a_server_that_is_killed_loses_no_event(setup: Setup) {
    let workplace = Workplace::over(setup.engine.create_world());
    let mut created = 0;
    for round in 0..4 {
        let mut server = workplace.serve(&[]);
        let token = server.login("carla").await;
        let show = json!({"token": token, "number_of_results": 1000, "fields_set": ["request_id", "created_by"]});
        let listed = server.post("customer_events/referrals/list", &show).await;
        let events = listed.data["customer_events_set"].as_array().expect("events").clone();
        assert_eq!(events.len(), created);
        assert!(events.iter().all(|event| event["created_by"] == "carla"), "{events:?}");
        for call in 0..3 {
            let party = format!("{:02}", round * 3 + call + 1);
            let events = json!([event("good", &party, "60"), event("bad", "99", "60")]);
            server
                .post(BULK, &bulk(&token, events))
                .await
                .assert_outcome(&["good"], &[("bad", "RewardsParticipantNotFound")]);
            created += 1;
        }
        server.kill();
    }
}
