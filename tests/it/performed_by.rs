//! Where an event was performed: what follows from the places that it names, and which of them disagree.

use referral_events::directory::DirectoryKind;
use serde_json::{Value, json};

use crate::support::{Server, Setup, event, tests};

tests! {
    Both:
        places_that_are_not_named_follow_from_those_that_are,
        places_that_disagree_are_refused,
        an_event_names_at_least_one_place;
}

/// Beside the world's places: a unit and a TAP that belong nowhere.
async fn start(setup: Setup) -> Server {
    let server = Server::start(setup).await;
    server.import("acme", DirectoryKind::Units, "alternative_code\nU0\n").await;
    server.import("acme", DirectoryKind::Taps, "code,unit_alternative_code\nTAP0,\nTAP3,U3\n").await;
    server
}

async fn places_that_are_not_named_follow_from_those_that_are(setup: Setup) {
    let server = start(setup).await;
    // What is named; then the business unit, the unit, the TAP and the device that are stored.
    let table: [(&str, [&str; 4]); 30] = [
        // A unit sets its business unit and its default TAP.
        ("U1", ["BU1", "U1", "TAP1", ""]),
        // One without a TAP takes its business unit's.
        ("U2", ["BU1", "U2", "TAPB", ""]),
        // None configured leaves it unset; a TAP that stands there is no default.
        ("U3", ["BU2", "U3", "", ""]),
        ("U0", ["", "U0", "", ""]),
        // A business unit sets its default TAP.
        ("BU1", ["BU1", "", "TAPB", ""]),
        ("BU2", ["BU2", "", "", ""]),
        // A TAP sets its unit and business unit.
        ("TAP1", ["BU1", "U1", "TAP1", ""]),
        ("TAP2", ["BU1", "U1", "TAP2", ""]),
        ("TAPB", ["BU1", "", "TAPB", ""]),
        ("TAP3", ["BU2", "U3", "TAP3", ""]),
        ("TAP0", ["", "", "TAP0", ""]),
        // A device sets its unit, and what follows from that.
        ("DEV1", ["BU1", "U1", "TAP1", "DEV1"]),
        ("DEV3", ["BU2", "U3", "", "DEV3"]),
        // A device in no unit says nothing of where it is.
        ("DEV0", ["", "", "", "DEV0"]),
        ("DEV0 BU1", ["BU1", "", "TAPB", "DEV0"]),
        ("DEV0 U1", ["BU1", "U1", "TAP1", "DEV0"]),
        ("DEV0 TAP2", ["BU1", "U1", "TAP2", "DEV0"]),
        // Those that agree.
        ("BU1 U1", ["BU1", "U1", "TAP1", ""]),
        ("BU1 U2", ["BU1", "U2", "TAPB", ""]),
        ("BU1 TAP2", ["BU1", "U1", "TAP2", ""]),
        ("BU1 TAPB", ["BU1", "", "TAPB", ""]),
        ("BU1 DEV1", ["BU1", "U1", "TAP1", "DEV1"]),
        ("U1 TAP2", ["BU1", "U1", "TAP2", ""]),
        ("U1 DEV1", ["BU1", "U1", "TAP1", "DEV1"]),
        ("TAP2 DEV1", ["BU1", "U1", "TAP2", "DEV1"]),
        ("BU1 U1 TAP2", ["BU1", "U1", "TAP2", ""]),
        ("BU2 U3 TAP3 DEV3", ["BU2", "U3", "TAP3", "DEV3"]),
        ("BU1 U1 TAP1 DEV1", ["BU1", "U1", "TAP1", "DEV1"]),
        // A TAP of a business unit serves its units.
        ("U2 TAPB", ["BU1", "U2", "TAPB", ""]),
        ("U1 TAPB", ["BU1", "U1", "TAPB", ""]),
    ];
    let events: Vec<Value> = (1..).zip(table).map(|(n, (named, _))| performed_by(n, named)).collect();
    let answer = server.send(json!(events)).await;
    assert_eq!(answer.failures(), [], "{answer:#?}");
    let stored = server.stored_events().await;
    assert_eq!(stored.len(), table.len());
    for ((named, expected), event) in table.into_iter().zip(stored) {
        let kinds = [DirectoryKind::BusinessUnits, DirectoryKind::Units, DirectoryKind::Taps, DirectoryKind::Devices];
        let mut keys = [None; 4];
        for (key, (kind, code)) in keys.iter_mut().zip(kinds.into_iter().zip(expected)) {
            if !code.is_empty() {
                *key = Some(server.key(kind, code).await);
            }
        }
        let of_event = [
            event.performed_by_business_unit_key,
            event.performed_by_unit_key,
            event.performed_by_tap_key,
            event.performed_by_device_key,
        ];
        assert_eq!(of_event, keys, "{named} should give {expected:?}");
    }
}

async fn places_that_disagree_are_refused(setup: Setup) {
    let server = start(setup).await;
    let table = [
        // The unit belongs to another business unit, or to none.
        "BU2 U1",
        "BU1 U3",
        "BU1 U0",
        // The TAP does.
        "BU2 TAP1",
        "BU2 TAP2",
        "BU2 TAPB",
        "BU1 TAP3",
        "BU1 TAP0",
        // The device's unit does.
        "BU2 DEV1",
        "BU1 DEV3",
        // The TAP belongs to another unit, to another unit's business unit, or nowhere.
        "U2 TAP1",
        "U2 TAP2",
        "U1 TAP3",
        "U3 TAPB",
        "U1 TAP0",
        "U0 TAP0",
        "U0 TAPB",
        // The device stands in another unit.
        "U2 DEV1",
        "U1 DEV3",
        "U0 DEV1",
        // The TAP does not belong to the device's unit.
        "TAP1 DEV3",
        "TAP3 DEV1",
        "TAPB DEV3",
        // Two agree, the third does not.
        "BU1 U1 TAP3",
        "BU1 U3 TAP3",
        "BU2 U1 TAP1",
        "BU1 U1 DEV3",
        "BU2 TAP3 DEV1",
        "BU2 DEV0 TAP1",
        "U1 TAP1 DEV3",
        "U1 TAP3 DEV1",
        "U3 TAP1 DEV1",
        "BU2 U1 TAP1 DEV1",
        "BU1 U2 TAP1 DEV1",
        "BU1 U1 TAPB DEV3",
    ];
    let events: Vec<Value> = (1..).zip(table).map(|(n, named)| performed_by(n, named)).collect();
    let answer = server.send(json!(events)).await;
    let expected: Vec<_> =
        table.into_iter().map(|named| (named.to_owned(), "PerformedByMismatch".to_owned())).collect();
    assert_eq!(answer.failures(), expected);
    assert!(server.stored_events().await.is_empty());
}

async fn an_event_names_at_least_one_place(setup: Setup) {
    let server = start(setup).await;
    let mut nowhere = performed_by(1, "");
    nowhere["classification_identifier"] = json!({"name": "Friend"});
    let answer = server.send(json!([nowhere])).await;
    answer.assert_outcome(&[], &[("", "MissingMandatoryAttribute")]);
}

/// An event named by the places that it names, `n` of them apart from each other.
fn performed_by(n: usize, named: &str) -> Value {
    let mut event = event(named, &format!("{n:02}"), "60");
    event.as_object_mut().expect("an object").remove("performed_by_unit_identifier");
    for code in named.split_whitespace() {
        let (attribute, field) = match code.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "BU" => ("performed_by_business_unit_identifier", "code"),
            "U" => ("performed_by_unit_identifier", "alternative_code"),
            "DEV" => ("performed_by_device_identifier", "code"),
            _ => ("performed_by_tap_identifier", "code"),
        };
        event[attribute] = json!({field: code});
    }
    event
}
