//! Retrying a whole call: under an idempotency key it is carried out once, and answered as the first time.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use referral_events::{
    config::Config,
    referral::ReferralSettings,
    storage::{entity::idempotency_key, idempotency, users},
};
use serde_json::{Value, json};

use crate::support::{Server, Setup, Workplace, event, tests, until};

tests! {
    Both:
        a_repeated_call_is_answered_as_the_first_time,
        a_repeat_is_known_whatever_its_token,
        a_key_is_good_for_one_content,
        a_key_belongs_to_its_organisation_and_its_method,
        many_repeats_at_once_get_the_one_answer,
        a_refused_call_leaves_its_key_free,
        a_rehearsal_leaves_its_key_free,
        a_call_of_which_nothing_is_created_is_answered_again_too,
        a_key_is_forgotten_after_its_time,
        a_repeat_names_the_fields_it_wants,
        a_key_that_is_no_text_of_ascii_is_refused;
    NoCalls: all_old_answers_are_removed_be_there_one_key_of_several_methods;
    Rest: a_repeat_after_a_crash_gets_the_answer_or_creates_it;
}

fn request(server: &Server, events: Value) -> Value {
    json!({"token": server.token, "referral_customer_events_set": events})
}

async fn a_repeated_call_is_answered_as_the_first_time(setup: Setup) {
    let server = Server::start(setup).await;
    // Two that are created and one that fails; none has a reference of its own.
    let events = json!([event("1", "01", "20"), event("2", "01", "21"), event("3", "02", "20")]);
    let (first, is_marked) = server.bulk_under("key", request(&server, events.clone())).await;
    first.assert_outcome(&["1", "3"], &[("2", "ReferredByAnotherParticipant")]);
    assert!(!is_marked);
    for _ in 0..3 {
        let (again, is_marked) = server.bulk_under("key", request(&server, events.clone())).await;
        assert_eq!(again, first);
        assert!(is_marked);
    }
    // Without the key, and under another one, it is another call.
    let (other, is_marked) = server.bulk_under("other key", request(&server, events)).await;
    assert_eq!((other.processed().len(), is_marked), (0, false));
    assert_eq!(server.stored_events().await.len(), 2);
}

async fn a_repeat_is_known_whatever_its_token(setup: Setup) {
    let server = Server::start(setup).await;
    let events = json!([event("1", "01", "20")]);
    let (first, _) = server.bulk_under("key", request(&server, events.clone())).await;
    let token = server.login("acme", "adam").await;
    let (again, is_marked) =
        server.bulk_under("key", json!({"token": token, "referral_customer_events_set": events})).await;
    assert_eq!((again, is_marked), (first, true));
}

async fn a_key_is_good_for_one_content(setup: Setup) {
    let server = Server::start(setup).await;
    server.bulk_under("key", request(&server, json!([event("1", "01", "20")]))).await.0.assert_outcome(&["1"], &[]);
    let mut described = event("1", "01", "20");
    described["description"] = json!("another");
    let mut with_option = request(&server, json!([event("1", "01", "20")]));
    with_option["all_or_nothing"] = json!(true);
    for other in [
        request(&server, json!([event("2", "01", "20")])),
        request(&server, json!([event("1", "02", "20")])),
        request(&server, json!([described])),
        request(&server, json!([event("1", "01", "20"), event("2", "02", "20")])),
        with_option,
    ] {
        server.bulk_under("key", other).await.0.assert_refused("IdempotencyKeyReused");
    }
    assert_eq!(server.stored_events().await.len(), 1);
}

async fn a_key_belongs_to_its_organisation_and_its_method(setup: Setup) {
    let server = Server::start(setup).await;
    server.bulk_under("key", request(&server, json!([event("1", "01", "20")]))).await.0.assert_outcome(&["1"], &[]);
    let oscar = server.login("other", "oscar").await;
    let events = json!([event("1", "01", "20")]);
    let (answer, is_marked) =
        server.bulk_under("key", json!({"token": oscar, "referral_customer_events_set": events})).await;
    // There is no such participant in that organisation.
    assert_eq!((answer.failures().len(), is_marked), (1, false));
    // The method of one event does not know the key either.
    let answer = server.create(json!({}), event("1", "02", "20")).await;
    assert_eq!(answer.code, "OK", "{answer:?}");
}

async fn many_repeats_at_once_get_the_one_answer(setup: Setup) {
    const CALLERS: usize = 32;
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    for round in 0..4 {
        let events: Vec<Value> =
            (0..5).map(|n| event(&n.to_string(), &format!("{:02}", 1 + round * 5 + n), "40")).collect();
        let key = format!("key {round}");
        let calls = (0..CALLERS).map(|caller| {
            let server = if caller % 2 == 0 { &server } else { &replica };
            server.bulk_under(&key, request(server, json!(events)))
        });
        let answers = join_all(calls).await;
        answers[0].0.assert_outcome(&["0", "1", "2", "3", "4"], &[]);
        assert!(answers.iter().all(|(answer, _)| *answer == answers[0].0), "{answers:#?}");
        assert_eq!(answers.iter().filter(|(_, is_marked)| !is_marked).count(), 1);
    }
    assert_eq!(server.stored_events().await.len(), 20);
}

async fn a_refused_call_leaves_its_key_free(setup: Setup) {
    let server = Server::start(setup).await;
    let events = json!([event("1", "01", "20")]);
    let bad_token = json!({"token": "bad", "referral_customer_events_set": events});
    server.bulk_under("key", bad_token).await.0.assert_refused("InvalidToken");
    server.bulk_under("key", request(&server, json!([]))).await.0.assert_refused("MissingMandatoryAttribute");
    let (answer, is_marked) = server.bulk_under("key", request(&server, events)).await;
    answer.assert_outcome(&["1"], &[]);
    assert!(!is_marked);
}

async fn a_rehearsal_leaves_its_key_free(setup: Setup) {
    let server = Server::start(setup).await;
    let mut rehearsal = request(&server, json!([event("1", "01", "20")]));
    rehearsal["validate_only"] = json!(true);
    for _ in 0..2 {
        let (answer, is_marked) = server.bulk_under("key", rehearsal.clone()).await;
        answer.assert_outcome(&["1"], &[]);
        assert!(!is_marked);
    }
    let (answer, is_marked) = server.bulk_under("key", request(&server, json!([event("1", "01", "20")]))).await;
    assert!(answer.processed()[0]["number"].is_string() && !is_marked, "{answer:?}");
}

async fn a_call_of_which_nothing_is_created_is_answered_again_too(setup: Setup) {
    let server = Server::start(setup).await;
    let mut bad = event("bad", "01", "20");
    bad["performed_on"] = json!("9999-01-01T00:00:00");
    let missing = event("missing", "99", "20");
    for (key, events) in [("one", json!([bad])), ("two", json!([missing, bad]))] {
        let (first, _) = server.bulk_under(key, request(&server, events.clone())).await;
        assert_eq!(first.processed().len(), 0);
        assert_eq!(server.bulk_under(key, request(&server, events)).await, (first, true));
    }
    // The participant exists from now on; the answer stays that of the first time.
    let (answer, is_marked) = server.bulk_under("one", request(&server, json!([event("1", "01", "20")]))).await;
    answer.assert_refused("IdempotencyKeyReused");
    assert!(!is_marked);
}

async fn a_key_is_forgotten_after_its_time(setup: Setup) {
    // The token is valid for two hours.
    let an_hour = Duration::from_secs(3600);
    let referral = ReferralSettings { idempotency_retention: an_hour, ..ReferralSettings::default() };
    let server = Server::start_with(setup, Config { referral, ..Config::default() }).await;
    let events = json!([event("1", "01", "20")]);
    let send = async || server.bulk_under("key", request(&server, events.clone())).await;
    send().await.0.assert_outcome(&["1"], &[]);
    server.advance(an_hour - Duration::from_secs(60));
    let (answer, is_marked) = send().await;
    answer.assert_outcome(&["1"], &[]);
    assert!(is_marked);
    server.advance(Duration::from_secs(61));
    let (answer, is_marked) = send().await;
    answer.assert_outcome(&[], &[("1", "ReferralAlreadyExists")]);
    assert!(!is_marked);
}

async fn all_old_answers_are_removed_be_there_one_key_of_several_methods(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.stop().await;
    let database = server.database.writer();
    let acme = users::find_organisation(database, "acme").await.expect("a look-up").expect("an organisation").id;
    let keep = async |method: &str, key: usize, age: usize| {
        let created_on = Utc::now() - TimeDelta::days(10) - TimeDelta::seconds(age as i64);
        let kept = idempotency_key::Model {
            organisation_id: acme,
            method: method.to_owned(),
            idempotency_key: key.to_string(),
            fingerprint: vec![0],
            answer: vec![0],
            created_on,
        };
        assert_eq!(idempotency::keep(database, vec![kept], created_on).await.expect("a row"), 1);
    };
    // What one step takes is answers of one method; the same keys of the other would go with them, and more than a step.
    for key in 0..150 {
        keep("one", key, 2000 - key).await;
        keep("other", key, 1000 - key).await;
    }
    for key in 150..400 {
        keep("one", key, 500 - key).await;
    }
    assert_eq!(server.dump("idempotency_keys").await.len(), 550);
    server.restart_with(Config::default()).await;
    until("the old answers are gone", async || server.dump("idempotency_keys").await.is_empty()).await;
}

async fn a_repeat_names_the_fields_it_wants(setup: Setup) {
    let server = Server::start(setup).await;
    let mut request = request(&server, json!([event("1", "01", "20")]));
    let (first, _) = server.bulk_under("key", request.clone()).await;
    request["fields_set"] = json!(["number"]);
    let (again, is_marked) = server.bulk_under("key", request).await;
    assert!(is_marked);
    assert_eq!(again.processed(), [json!({"number": first.processed()[0]["number"]})]);
}

async fn a_key_that_is_no_text_of_ascii_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    for key in ["k".repeat(256), String::new()] {
        let (answer, _) = server.bulk_under(&key, request(&server, json!([event("1", "01", "20")]))).await;
        answer.assert_refused("MalformedRequest");
        assert!(answer.message.contains("idempotency key"), "{answer:?}");
    }
    let (answer, _) = server.bulk_under(&"k".repeat(255), request(&server, json!([event("1", "01", "20")]))).await;
    answer.assert_outcome(&["1"], &[]);
}

async fn a_repeat_after_a_crash_gets_the_answer_or_creates_it(setup: Setup) {
    const CALLS: usize = 30;
    let workplace = Workplace::over(setup.engine.create_database());
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
    let accounts: String = (0..=CALLS).map(|n| format!("A{n}\n")).collect();
    workplace.run_well(&["import", "--organisation", "acme", "units", "-"], "name,alternative_code\nAdmin Unit,U\n");
    workplace
        .run_well(&["import", "--organisation", "acme", "accounts_receivable", "-"], &format!("number\n{accounts}"));
    let http = reqwest::Client::new();
    let call = |address: String, token: String, n: usize| {
        let event = json!({
            "request_unique_identifier": "1",
            "performed_by_unit_identifier": {"name": "Admin Unit"},
            "performed_on": "2016-06-22T15:00:00",
            "referred_accounts_receivable_identifier": {"number": format!("A{n}")},
            "referred_by_accounts_receivable_identifier": {"number": format!("A{CALLS}")},
        });
        let request = http
            .post(format!("http://{address}/customer_events/bulk/referrals/create"))
            .header("idempotency-key", format!("call {n}"))
            .json(&json!({"token": token, "referral_customer_events_set": [event]}));
        async move { request.send().await?.json::<Value>().await }
    };
    let mut first_answers = vec![None; CALLS];
    for kill in 0..5 {
        let mut server = workplace.serve(&[]);
        let (address, token) = (server.address.to_string(), server.login("seven green kettles").await);
        let calls = (kill * 6..kill * 6 + 6).map(|n| call(address.clone(), token.clone(), n));
        let calls = tokio::spawn(join_all(calls));
        // Each time at another point: before the commit, between the commit and the answer, after the answer.
        tokio::time::sleep(Duration::from_micros(1500 * kill as u64)).await;
        server.kill();
        for (n, answer) in (kill * 6..).zip(calls.await.expect("the calls")) {
            first_answers[n] = answer.ok();
        }
    }
    let server = workplace.serve(&[]);
    let (address, token) = (server.address.to_string(), server.login("seven green kettles").await);
    for (n, first) in first_answers.into_iter().enumerate() {
        let again = call(address.clone(), token.clone(), n).await.expect("an answer");
        assert_eq!(again["data"]["processed_customer_events_set"].as_array().expect("a set").len(), 1, "{again}");
        if let Some(first) = first {
            assert_eq!(again, first);
        }
        assert_eq!(call(address.clone(), token.clone(), n).await.expect("an answer"), again);
    }
}
