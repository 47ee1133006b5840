//! `show` tells the person on duty what became of a request, an event or a participant.

use serde_json::{Value, json};

use crate::support::{Ended, Process, Setup, Workplace, event, tests};

tests! {
    NoCalls:
        a_request_is_shown_with_all_that_it_did,
        an_event_is_shown_by_each_of_its_names,
        a_participant_is_shown_with_its_referrals,
        what_is_unknown_is_said_in_a_sentence,
        nothing_is_changed;
    Once: a_database_that_is_not_there_is_not_made;
}

const CREATE: &str = "customer_events/bulk/referrals/create";

/// Posts under this id of a request.
async fn post(server: &Process, path: &str, request_id: &str, body: &Value) {
    let request = reqwest::Client::new().post(format!("http://{}/{path}", server.address)).json(body);
    let response = request.header("x-request-id", request_id).send().await.expect("an answer");
    assert_eq!(response.status(), 200);
}

/// A server over the world, with three events, of which one is cancelled and one was not created.
async fn start(setup: Setup) -> (Workplace, Process) {
    let workplace = Workplace::over(setup.engine.create_world());
    let server = workplace.serve(&[]);
    let token = server.login("carla").await;
    let mut first = event("1", "01", "60");
    first["external_system"] = json!("till");
    first["external_system_reference_number"] = json!("41");
    first["description"] = json!("two\nlines \u{9}and a tab");
    let mut second = event("2", "02", "01");
    second["external_system_reference_number"] = json!("R1");
    let events = json!([first, second, event("3", "99", "60")]);
    post(&server, CREATE, "req-1", &json!({"token": token, "referral_customer_events_set": events})).await;
    let events = json!([event("1", "03", "01")]);
    post(&server, CREATE, "req-2", &json!({"token": token, "referral_customer_events_set": events})).await;
    let cancelled =
        json!({"token": token, "customer_event_identifier": {"number": "2"}, "cancellation_reason": "twice"});
    post(&server, "customer_events/referrals/cancel", "req-3", &cancelled).await;
    (workplace, server)
}

fn show(workplace: &Workplace, arguments: &[&str]) -> Ended {
    workplace.run(&[&["show"], arguments, &["--organisation", "acme"]].concat())
}

fn text(workplace: &Workplace, arguments: &[&str]) -> String {
    let ended = show(workplace, arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    ended.stdout
}

fn json_of(workplace: &Workplace, arguments: &[&str]) -> Value {
    serde_json::from_str(&text(workplace, &[arguments, &["--json"]].concat())).expect("JSON")
}

/// The same once the journal is written, which is beside the calls.
async fn with_journal(workplace: &Workplace) -> Value {
    loop {
        let request = json_of(workplace, &["request", "req-1"]);
        if request["unprocessed"] == 1 {
            return request;
        }
    }
}

async fn a_request_is_shown_with_all_that_it_did(setup: Setup) {
    let (workplace, _server) = start(setup).await;
    let request = with_journal(&workplace).await;
    assert_eq!((&request["request_id"], &request["user"]), (&json!("req-1"), &json!("carla")));
    assert_eq!((&request["created"], &request["cancelled"]), (&json!(2), &json!(0)));
    let numbers: Vec<&Value> =
        request["created_events"].as_array().expect("events").iter().map(|event| &event["number"]).collect();
    assert_eq!(numbers, ["2", "1"]);
    assert_eq!(request["created_events"][0]["state"], "CANCELLED");
    let unprocessed = &request["unprocessed_events"][0];
    assert_eq!(unprocessed["request_unique_identifier"], "3");
    assert_eq!(unprocessed["error_codes"], "RewardsParticipantNotFoundException");

    let lines = text(&workplace, &["request", "req-1"]);
    for line in ["request id: req-1", "user: carla", "created: 2", "created events:", "cancelled events: none"] {
        assert!(lines.lines().any(|of_text| of_text == line), "{line}: {lines}");
    }
    assert!(lines.contains("  number 1, state POSTED, referred RP01, referred by RP60, created on 20"), "{lines}");
    assert!(lines.contains("error description Error:Participant RP99 Was Not Found"), "{lines}");

    let cancelling = json_of(&workplace, &["request", "req-3"]);
    assert_eq!((&cancelling["created"], &cancelling["cancelled"]), (&json!(0), &json!(1)));
    assert_eq!(cancelling["cancelled_events"][0]["number"], "2");
    assert_eq!(cancelling["user"], "carla");
}

async fn an_event_is_shown_by_each_of_its_names(setup: Setup) {
    let (workplace, _server) = start(setup).await;
    let first = json_of(&workplace, &["event", "1"]);
    let id = first["id"].as_str().expect("an id");
    let of_system = ["event", "41", "--external-system", "till"];
    for arguments in [&["event", id][..], &["event", &id.to_lowercase()], &of_system] {
        assert_eq!(json_of(&workplace, arguments), first, "{arguments:?}");
    }
    assert_eq!(json_of(&workplace, &["event", "R1"])["number"], "2");
    for (name, value) in [
        ("state", "POSTED"),
        ("referred", "RP01"),
        ("referred_by", "RP60"),
        ("performed_by_unit", "U1"),
        ("created_by", "carla"),
        ("request_id", "req-1"),
        ("external_system", "till"),
        ("performed_on", "2016-06-22T15:00:00Z"),
    ] {
        assert_eq!(first[name], value, "{name}");
    }
    assert_eq!(first.get("cancelled_by"), None);
    // Nothing speaks to the terminal.
    let lines = text(&workplace, &["event", "1"]);
    assert!(lines.contains("description: two\\nlines \\tand a tab\n"), "{lines}");
    let second = json_of(&workplace, &["event", "2"]);
    for (name, value) in [
        ("state", "CANCELLED"),
        ("cancelled_by", "carla"),
        ("cancellation_request_id", "req-3"),
        ("cancellation_reason", "twice"),
    ] {
        assert_eq!(second[name], value, "{name}");
    }
}

async fn a_participant_is_shown_with_its_referrals(setup: Setup) {
    let (workplace, _server) = start(setup).await;
    let participant = json_of(&workplace, &["participant", "RP01"]);
    for (name, value) in [
        ("number", json!("RP01")),
        ("state", json!("EFFECTIVE")),
        ("account", json!("ACR01")),
        ("account_state", json!("ACTIVE")),
        ("referred_by", json!("RP60")),
        ("referred_by_event", json!("1")),
        // The other one was cancelled.
        ("has_referred", json!(1)),
    ] {
        assert_eq!(participant[name], value, "{name}");
    }
    let last = participant["last_events"].as_array().expect("events");
    assert_eq!(last.iter().map(|event| &event["number"]).collect::<Vec<_>>(), ["3", "2", "1"]);
    let lines = text(&workplace, &["participant", "RP60"]);
    for line in ["referred by: nobody", "has referred: 1"] {
        assert!(lines.lines().any(|of_text| of_text == line), "{line}: {lines}");
    }
}

async fn what_is_unknown_is_said_in_a_sentence(setup: Setup) {
    let (workplace, _server) = start(setup).await;
    for (arguments, sentence) in [
        (&["request", "nothing"][..], "error: nothing is known of a request nothing of acme"),
        (&["event", "99"], "error: there is no event of the number, id or external reference 99 of acme"),
        (&["event", "99999999999999999999"], "error: there is no event of the number, id or external reference"),
        (&["event", "1", "--external-system", "till"], "error: there is no event of the number"),
        (&["participant", "RP99"], "error: there is no rewards participant RP99 of acme"),
    ] {
        let ended = show(&workplace, arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(sentence), "{arguments:?}: {ended:?}");
    }
    // What is another organisation's is not there.
    for arguments in [["request", "req-1"], ["event", "1"], ["participant", "RP01"]] {
        let ended = workplace.run(&[&["show"], &arguments[..], &["--organisation", "other"]].concat());
        assert_eq!(ended.code, Some(1), "{arguments:?}: {ended:?}");
    }
    let ended = workplace.run(&["show", "event", "1", "--organisation", "nobody"]);
    assert!(ended.code == Some(1) && ended.stderr.contains("there is no organisation \"nobody\"; "), "{ended:?}");
}

async fn nothing_is_changed(setup: Setup) {
    // A schema that is behind is left as it is.
    let workplace = Workplace::over(setup.engine.create_database());
    let url = workplace.database_url();
    let database = referral_events::storage::Database::connect(&url).await.expect("a database");
    database.close().await.expect("a close");
    let ended = show(&workplace, &["event", "1"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("run: referral-events migrate"), "{ended:?}");
    let status = workplace.run_well(&["migrate", "--status"], "").stdout;
    assert!(status.contains("m20261127_000020_keep_calls"), "{status}");
}

async fn a_database_that_is_not_there_is_not_made(_: Setup) {
    let workplace = Workplace::new();
    let ended = show(&workplace, &["event", "1"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("error: there is no database referral-events.db"), "{ended:?}");
    assert!(!workplace.path("referral-events.db").exists());
}
