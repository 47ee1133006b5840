//! Of all that is wrong with an event it is told the first in the order of the catalogue.

use referral_events::directory::DirectoryKind;
use serde_json::{Value, json};

use crate::support::{Server, Setup, event, tests};

tests! {
    Both:
        each_error_comes_before_all_later_ones,
        a_used_one_time_password_comes_before_what_comes_after_it,
        of_two_alternatives_the_applicable_one_is_told;
    Rest: what_cannot_be_read_comes_before_what_is_missing;
}

/// Makes something wrong with an event.
type Fault = fn(&mut Value);

fn remove(event: &mut Value, attribute: &str) {
    event.as_object_mut().expect("an object").remove(attribute);
}

/// The faults of an event that can be read, in order, which can all be had by one event: each kind with an attribute
/// of its own. The party that refers is only known to be found where nothing before that is wrong with it.
const FAULTS: [(&str, Fault); 17] = [
    ("MissingMandatoryAttribute", |event| remove(event, "performed_on")),
    ("InvalidAttributeValue", |event| event["description"] = json!("\u{0}")),
    ("DuplicateRequestUniqueIdentifier", |event| event["request_unique_identifier"] = json!("shared")),
    ("InvalidIdentifier", |event| {
        // Both kinds of identifier for one party.
        event["referred_by_accounts_receivable_identifier"] = json!({"number": "ACR02"});
        event["referred_by_rewards_participant_identifier"] = json!({"number": "RP02"});
    }),
    ("BusinessUnitNotFound", |event| event["performed_by_business_unit_identifier"] = json!({"code": "BU9"})),
    ("UnitNotFound", |event| event["performed_by_unit_identifier"] = json!({"name": "Nowhere"})),
    ("TransactionAcquiringPointNotFound", |event| event["performed_by_tap_identifier"] = json!({"code": "TAP9"})),
    ("DeviceNotFound", |event| event["performed_by_device_identifier"] = json!({"code": "DEV9"})),
    ("CustomerEventClassificationNotFound", |event| event["classification_identifier"] = json!({"name": "Foe"})),
    ("AccountsReceivableNotFound", |event| {
        remove(event, "referred_by_rewards_participant_identifier");
        event["referred_by_accounts_receivable_identifier"] = json!({"number": "ACR99"});
    }),
    ("RewardsParticipantNotFound", |event| {
        event["referred_rewards_participant_identifier"] = json!({"number": "RP99"});
    }),
    ("InvalidAccessToken", |event| {
        event["referred_rewards_participant_identifier"] =
            json!({"access_token_identifier": {"authentication_code": "nonsense"}});
    }),
    ("PerformedByMismatch", |event| {
        event["performed_by_unit_identifier"] = json!({"name": "Admin Unit"});
        event["performed_by_tap_identifier"] = json!({"code": "TAP1"});
        event["performed_by_device_identifier"] = json!({"code": "DEV3"});
    }),
    ("AccountsReceivableNotActive", |event| {
        event["referred_rewards_participant_identifier"] = json!({"number": "RP51"});
    }),
    ("RewardsParticipantNotEffective", |event| {
        remove(event, "referred_by_accounts_receivable_identifier");
        event["referred_by_rewards_participant_identifier"] = json!({"number": "RP53"});
    }),
    ("ExternalReferenceConflict", |event| event["external_system_reference_number"] = json!("R1")),
    ("ReferredByAnotherParticipant", |event| {
        event["referred_rewards_participant_identifier"] = json!({"number": "RP03"});
    }),
];

async fn each_error_comes_before_all_later_ones(setup: Setup) {
    let server = Server::start(setup).await;
    let mut first = event("1", "03", "04");
    first["external_system_reference_number"] = json!("R1");
    server.send(json!([first])).await.assert_outcome(&["1"], &[]);

    let good = event("good", "05", "06");
    for (n, (code, fault)) in FAULTS.iter().enumerate() {
        // The fault alone, with each later one, and with all of them. Each is applied over the later ones, for some
        // are told of the same attribute.
        let later = &FAULTS[n + 1..];
        let mut events = Vec::new();
        for mut others in later.iter().map(|fault| vec![fault]).chain([later.iter().collect(), Vec::new()]) {
            others.reverse();
            let mut event = good.clone();
            for (_, other) in others {
                other(&mut event);
            }
            fault(&mut event);
            if event["request_unique_identifier"] == "good" {
                event["request_unique_identifier"] = json!(events.len().to_string());
            }
            events.push(event);
        }
        let mut expected = vec![*code; events.len()];
        if events.iter().any(|event| event["request_unique_identifier"] == "shared") {
            // The one that it is shared with.
            events.push(event("shared", "07", "08"));
            expected.push("DuplicateRequestUniqueIdentifier");
        }
        let answer = server.send(json!(events)).await;
        let codes: Vec<String> = answer.failures().into_iter().map(|(_, code)| code).collect();
        assert_eq!(codes, expected, "{code}");
    }
}

async fn a_used_one_time_password_comes_before_what_comes_after_it(setup: Setup) {
    let server = Server::start(setup).await;
    let by_password = |identifier: &str| {
        let mut event = event(identifier, "01", "26");
        event["referred_by_rewards_participant_identifier"] =
            json!({"access_token_identifier": {"one_time_password": "123456"}});
        event
    };
    let mismatch = |mut event: Value| {
        event["performed_by_business_unit_identifier"] = json!({"code": "BU2"});
        event
    };
    let mut suspended = by_password("suspended");
    suspended["referred_rewards_participant_identifier"] = json!({"number": "RP51"});
    let invalid = "InvalidAccessToken";
    // Used by the call itself, then by an earlier one.
    let answer = server.send(json!([by_password("1"), suspended, mismatch(by_password("2"))])).await;
    answer.assert_outcome(&["1"], &[("suspended", invalid), ("2", invalid)]);
    let mut unknown = mismatch(by_password("4"));
    unknown["referred_rewards_participant_identifier"] = json!({"number": "RP99"});
    let answer = server.send(json!([suspended, mismatch(by_password("3")), unknown])).await;
    answer.assert_outcome(&[], &[("suspended", invalid), ("3", invalid), ("4", "RewardsParticipantNotFound")]);
}

async fn of_two_alternatives_the_applicable_one_is_told(setup: Setup) {
    let server = Server::start(setup).await;
    let rows = "number,state\nACR53,SUSPENDED\n";
    server.import("acme", DirectoryKind::AccountsReceivable, rows).await;
    // 03 is referred by 02, and has itself referred 04.
    server.send(json!([event("1", "03", "02"), event("2", "04", "03")])).await.assert_outcome(&["1", "2"], &[]);
    let mut conflicting = event("conflict", "05", "05");
    conflicting["external_system_reference_number"] = json!("R1");
    let mut first = event("3", "06", "07");
    first["external_system_reference_number"] = json!("R1");
    server.send(json!([first])).await.assert_outcome(&["3"], &[]);
    let answer = server
        .send(json!([
            event("neither active nor effective", "53", "01"),
            conflicting,
            // Itself, and referred by another; a circle, and referred by another.
            event("self", "03", "03"),
            event("circle", "03", "04"),
        ]))
        .await;
    let failures = [
        ("neither active nor effective", "AccountsReceivableNotActive"),
        ("conflict", "ExternalReferenceConflict"),
        ("self", "SelfReferral"),
        ("circle", "ReferredByAnotherParticipant"),
    ];
    answer.assert_outcome(&[], &failures);
}

async fn what_cannot_be_read_comes_before_what_is_missing(setup: Setup) {
    let server = Server::start(setup).await;
    let with = |identifier: &str, faults: &[Fault]| {
        let mut event = event(identifier, "01", "02");
        for fault in faults {
            fault(&mut event);
        }
        event
    };
    let malformed: Fault = |event| event["description"] = json!(7);
    let unknown: Fault = |event| event["shoe_size"] = json!(43);
    let missing: Fault = |event| remove(event, "referred_rewards_participant_identifier");
    let no_such_date: Fault = |event| event["performed_on"] = json!("2016-02-30T15:00:00");
    let no_such_udf: Fault = |event| event["udf_date_1"] = json!("2016-02-30T15:00:00");
    let two_fields: Fault =
        |event| event["performed_by_unit_identifier"] = json!({"id": "U1-ID", "name": "Admin Unit"});
    let answer = server
        .send(json!([
            with("1", &[malformed, unknown, missing, no_such_udf]),
            with("2", &[unknown, missing, no_such_udf]),
            with("3", &[missing, no_such_udf, two_fields]),
            with("4", &[no_such_udf, two_fields]),
            // A date that is there but is none is not missing.
            with("5", &[no_such_date, two_fields]),
            with("6", &[missing, no_such_date]),
            with("7", &[two_fields]),
        ]))
        .await;
    let failures = [
        ("1", "MalformedEvent"),
        ("2", "UnknownAttribute"),
        ("3", "MissingMandatoryAttribute"),
        ("4", "InvalidAttributeValue"),
        ("5", "InvalidAttributeValue"),
        ("6", "MissingMandatoryAttribute"),
        ("7", "InvalidIdentifier"),
    ];
    answer.assert_outcome(&[], &failures);
    // A shared identifier comes after what is wrong with a value, and before what is wrong with an identifier.
    let answer = server.send(json!([with("a", &[no_such_udf]), with("a", &[two_fields])])).await;
    answer.assert_outcome(&[], &[("a", "InvalidAttributeValue"), ("a", "DuplicateRequestUniqueIdentifier")]);
}
