//! Creating one event: its id and number, or a refusal.

use prost::Message;
use referral_events::contract::CreateReferralEventRequest;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{Server, Setup, event, message, method, tests};

tests! {
    Both:
        the_answer_is_the_id_and_the_number,
        a_failing_event_refuses_the_call,
        a_repeated_event_is_answered_with_the_first_id,
        a_rehearsal_creates_nothing,
        without_an_event_the_call_is_refused;
    Rest:
        the_refusal_has_its_http_status,
        an_attribute_that_is_given_twice_refuses_the_call;
    Grpc: the_refusal_names_every_attribute_at_fault;
}

fn unnamed(referred: &str, referrer: &str) -> Value {
    let mut event = event("", referred, referrer);
    event.as_object_mut().expect("an object").remove("request_unique_identifier");
    event
}

async fn the_answer_is_the_id_and_the_number(setup: Setup) {
    let server = Server::start(setup).await;
    let fields = json!({"fields_set": ["id", "number"]});
    for (number, event) in [("1", unnamed("01", "20")), ("2", event("named", "02", "20"))] {
        let answer = server.create(fields.clone(), event).await;
        assert_eq!(answer.code, "OK", "{answer:?}");
        assert_eq!(answer.data.as_object().expect("an object").len(), 2, "{answer:?}");
        assert_eq!(answer.data["number"], number);
        assert_eq!(answer.data["id"].as_str().expect("an id").len(), 32);
    }
    server.create(json!({"fields_set": ["index"]}), unnamed("03", "20")).await.assert_refused("InvalidFieldsSet");
    assert_eq!(server.stored_events().await.len(), 2);
}

async fn a_failing_event_refuses_the_call(setup: Setup) {
    let server = Server::start(setup).await;
    server.create(json!({}), unnamed("01", "20")).await;
    let mut nowhere = unnamed("02", "20");
    nowhere["performed_by_unit_identifier"] = json!({"name": "Nowhere"});
    for (event, code) in [
        (unnamed("01", "20"), "ReferralAlreadyExists"),
        (unnamed("01", "21"), "ReferredByAnotherParticipant"),
        (unnamed("20", "01"), "CircularReferral"),
        (unnamed("02", "99"), "RewardsParticipantNotFound"),
        (unnamed("02", "51"), "AccountsReceivableNotActive"),
        (nowhere, "UnitNotFound"),
        (json!({"performed_on": "2016-06-22T15:00:00"}), "MissingMandatoryAttribute"),
    ] {
        let answer = server.create(json!({}), event).await;
        assert_eq!(
            (answer.code.as_str(), &answer.data),
            (format!("{code}Exception").as_str(), &json!({})),
            "{answer:?}"
        );
    }
    assert_eq!(server.stored_events().await.len(), 1);
}

async fn a_repeated_event_is_answered_with_the_first_id(setup: Setup) {
    let server = Server::start(setup).await;
    let mut event = unnamed("01", "20");
    event["external_system_reference_number"] = json!("R1");
    let fields = json!({"fields_set": ["id", "number", "replayed"]});
    let first = server.create(fields.clone(), event.clone()).await;
    let again = server.create(fields, event).await;
    assert_eq!((&first.data["replayed"], &again.data["replayed"]), (&json!(false), &json!(true)));
    assert_eq!((&first.data["id"], &first.data["number"]), (&again.data["id"], &again.data["number"]));
}

async fn a_rehearsal_creates_nothing(setup: Setup) {
    let server = Server::start(setup).await;
    let rehearsal = json!({"validate_only": true, "fields_set": ["id", "number"]});
    let answer = server.create(rehearsal.clone(), unnamed("01", "20")).await;
    assert_eq!((answer.code.as_str(), answer.data), ("OK", json!({})));
    server.create(rehearsal, unnamed("01", "01")).await.assert_refused("SelfReferral");
    assert_eq!(server.stored_events().await.len(), 0);
}

async fn without_an_event_the_call_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let answer = server.call(&crate::support::method("CreateReferralEvent"), json!({"token": server.token}), &[]).await;
    answer.assert_refused("MissingMandatoryAttribute");
}

async fn the_refusal_has_its_http_status(setup: Setup) {
    let server = Server::start(setup).await;
    server.create(json!({}), unnamed("01", "20")).await;
    for (event, status) in [
        (unnamed("01", "20"), 409),
        (unnamed("01", "21"), 409),
        (unnamed("02", "99"), 404),
        (unnamed("02", "02"), 400),
        (json!({"performed_on": 7}), 400),
    ] {
        let mut body = event;
        body["token"] = json!(server.token);
        let (answered, answer) = server.post_text("customer_events/referrals/create", body.to_string()).await;
        assert_eq!(answered, status, "{answer:?}");
    }
}

async fn an_attribute_that_is_given_twice_refuses_the_call(setup: Setup) {
    let server = Server::start(setup).await;
    let token = &server.token;
    for (body, code) in [
        (
            format!(r#"{{"token":"{token}","token":"{token}","performed_on":"2016-06-22T15:00:00"}}"#),
            "MalformedRequest",
        ),
        (format!(r#"{{"token":"{token}","description":"a","description":"b"}}"#), "MalformedEvent"),
        (format!(r#"{{"token":"{token}","colour":"red"}}"#), "UnknownAttribute"),
        (format!(r#"{{"token":"{token}","validate_only":"yes"}}"#), "MalformedRequest"),
    ] {
        let (_, answer) = server.post_text("customer_events/referrals/create", body).await;
        assert_eq!(answer.code, format!("{code}Exception"), "{answer:?}");
    }
}

async fn the_refusal_names_every_attribute_at_fault(setup: Setup) {
    let server = Server::start(setup).await;
    let path = method("CreateReferralEvent").grpc_path();
    let bearer = format!("Bearer {}", server.token);
    let request: CreateReferralEventRequest =
        message("CreateReferralEventRequest", json!({"referral_customer_event": unnamed("98", "99")}));
    // The event is the second field; in it the third is no message.
    let no_message = vec![0x12, 2, 0x1a, 7];
    for (code, bytes, fields) in [
        (
            Code::NotFound,
            request.encode_to_vec(),
            [
                "referral_customer_event.referred_rewards_participant_identifier.number",
                "referral_customer_event.referred_by_rewards_participant_identifier.number",
            ]
            .as_slice(),
        ),
        (Code::InvalidArgument, no_message, &["referral_customer_event"]),
        (Code::InvalidArgument, Vec::new(), &["referral_customer_event"]),
    ] {
        let status = server.call_with_bytes(&path, bytes, &[("authorization", &bearer)]).await.expect_err("a refusal");
        assert_eq!(status.code(), code, "{status:?}");
        let details = status.get_error_details();
        let violations = &details.bad_request().expect("a BadRequest").field_violations;
        let named: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(named, fields);
    }
}
