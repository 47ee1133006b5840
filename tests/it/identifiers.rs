//! How events name places, classifications and parties: each documented field leads to the same row.

use referral_events::{directory::DirectoryKind, id::AccountKey};
use serde_json::{Value, json};

use crate::support::{Server, Setup, event, tests};

tests! {
    Both:
        each_field_of_a_place_names_the_same_row,
        each_field_of_a_party_names_the_same_account,
        an_account_is_found_before_a_participant_of_the_same_number,
        what_does_not_exist_is_not_found,
        names_and_codes_are_not_mixed_up,
        parties_that_may_not_take_part_are_refused,
        a_participant_of_an_account_that_is_not_active_is_refused_for_the_account;
}

async fn each_field_of_a_place_names_the_same_row(setup: Setup) {
    let server = Server::start(setup).await;
    let forms = [
        ("performed_by_business_unit_identifier", vec![("id", "BU2-ID"), ("name", "South"), ("code", "BU2")]),
        ("performed_by_unit_identifier", vec![("id", "U3-ID"), ("name", "Kiosk"), ("alternative_code", "U3")]),
        ("performed_by_tap_identifier", vec![("id", "TAP2-ID"), ("name", "Till 2"), ("code", "TAP2")]),
        ("performed_by_device_identifier", vec![("id", "DEV3-ID"), ("code", "DEV3")]),
        ("classification_identifier", vec![("id", "CL1-ID"), ("name", "Friend"), ("alternative_code", "CL1")]),
    ];
    let mut events = Vec::new();
    for (attribute, fields) in &forms {
        for (field, value) in fields {
            let number = format!("{:02}", events.len() + 1);
            let mut event = event(&number, &number, "60");
            if *attribute != "classification_identifier" {
                event.as_object_mut().expect("an object").remove("performed_by_unit_identifier");
            }
            event[attribute] = json!({*field: value});
            events.push(event);
        }
    }
    let answer = server.send(json!(events)).await;
    assert_eq!(answer.failures(), []);

    let stored = server.stored_events().await;
    assert_eq!(stored.len(), 14);
    let business_unit = Some(server.key(DirectoryKind::BusinessUnits, "BU2").await);
    let unit = Some(server.key(DirectoryKind::Units, "U3").await);
    let tap = Some(server.key(DirectoryKind::Taps, "TAP2").await);
    let device = Some(server.key(DirectoryKind::Devices, "DEV3").await);
    let classification = Some(server.key(DirectoryKind::Classifications, "CL1").await);
    assert!(stored[..3].iter().all(|event| event.performed_by_business_unit_key == business_unit), "{stored:?}");
    assert!(stored[3..6].iter().all(|event| event.performed_by_unit_key == unit), "{stored:?}");
    assert!(stored[6..9].iter().all(|event| event.performed_by_tap_key == tap), "{stored:?}");
    assert!(stored[9..11].iter().all(|event| event.performed_by_device_key == device), "{stored:?}");
    assert!(stored[..11].iter().all(|event| event.classification_key.is_none()), "{stored:?}");
    assert!(stored[11..].iter().all(|event| event.classification_key == classification), "{stored:?}");
}

/// Every way to name the party of these digits, but by access tokens.
fn forms(digits: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("accounts_receivable", json!({"id": format!("ACR{digits}-ID")})),
        ("accounts_receivable", json!({"number": format!("ACR{digits}")})),
        ("accounts_receivable", json!({"id": format!("RP{digits}-ID")})),
        ("accounts_receivable", json!({"number": format!("RP{digits}")})),
        ("rewards_participant", json!({"id": format!("RP{digits}-ID")})),
        ("rewards_participant", json!({"number": format!("RP{digits}")})),
    ]
}

async fn each_field_of_a_party_names_the_same_account(setup: Setup) {
    let server = Server::start(setup).await;
    let mut events = Vec::new();
    for (n, (kind, identifier)) in (1..).zip(forms("40")) {
        let mut event = nobody(&n.to_string());
        event["referred_rewards_participant_identifier"] = json!({"number": format!("RP{n:02}")});
        event[format!("referred_by_{kind}_identifier")] = identifier;
        events.push(event);
    }
    // As the referred party one account can be named once; each form names another.
    for n in 10..16 {
        let (kind, identifier) = forms(&n.to_string()).swap_remove(n - 10);
        let mut event = nobody(&n.to_string());
        event[format!("referred_{kind}_identifier")] = identifier;
        event["referred_by_rewards_participant_identifier"] = json!({"number": "RP41"});
        events.push(event);
    }
    // Once more by every form: each leads to the account that is referred already.
    for (n, (kind, identifier)) in (20..).zip(forms("10")) {
        let mut event = nobody(&n.to_string());
        event[format!("referred_{kind}_identifier")] = identifier;
        event["referred_by_rewards_participant_identifier"] = json!({"number": "RP41"});
        events.push(event);
    }
    let answer = server.send(json!(events)).await;
    let processed: Vec<String> = (1..=6).chain(10..16).map(|n| n.to_string()).collect();
    assert_eq!(answer.processed_identifiers(), processed);
    let failures: Vec<_> = (20..26).map(|n| (n.to_string(), "ReferralAlreadyExists".to_owned())).collect();
    assert_eq!(answer.failures(), failures);

    let stored = server.stored_events().await;
    let (by_40, by_41) = (server.account("40").await, server.account("41").await);
    for (n, event) in (1..=6).zip(&stored[..6]) {
        let referred = server.account(&format!("{n:02}")).await;
        assert_eq!((event.referred_account_key, event.referred_by_account_key), (referred, by_40));
    }
    for (n, event) in (10..16).zip(&stored[6..]) {
        let referred = server.account(&n.to_string()).await;
        assert_eq!((event.referred_account_key, event.referred_by_account_key), (referred, by_41));
    }
}

async fn an_account_is_found_before_a_participant_of_the_same_number(setup: Setup) {
    let server = Server::start(setup).await;
    // Account RP05 is another's than participant RP05.
    server.import("acme", DirectoryKind::AccountsReceivable, "id,number\nRP05-ID,RP05\n").await;
    let mut events = Vec::new();
    for (n, (kind, identifier)) in (1..).zip([
        ("accounts_receivable", json!({"number": "RP05"})),
        ("accounts_receivable", json!({"id": "RP05-ID"})),
        ("rewards_participant", json!({"number": "RP05"})),
        ("rewards_participant", json!({"id": "RP05-ID"})),
    ]) {
        let mut event = nobody(&n.to_string());
        event["referred_rewards_participant_identifier"] = json!({"number": format!("RP1{n}")});
        event[format!("referred_by_{kind}_identifier")] = identifier;
        events.push(event);
    }
    server.send(json!(events)).await.assert_outcome(&["1", "2", "3", "4"], &[]);
    let account = server.key(DirectoryKind::AccountsReceivable, "RP05").await;
    let participants = server.account("05").await;
    let referrers: Vec<AccountKey> =
        server.stored_events().await.iter().map(|event| event.referred_by_account_key).collect();
    assert_eq!(referrers, [account, account, participants, participants]);
}

async fn what_does_not_exist_is_not_found(setup: Setup) {
    let server = Server::start(setup).await;
    let cases = [
        ("performed_by_business_unit_identifier", "id", "BusinessUnit"),
        ("performed_by_business_unit_identifier", "name", "BusinessUnit"),
        ("performed_by_business_unit_identifier", "code", "BusinessUnit"),
        ("performed_by_unit_identifier", "id", "Unit"),
        ("performed_by_unit_identifier", "name", "Unit"),
        ("performed_by_unit_identifier", "alternative_code", "Unit"),
        ("performed_by_tap_identifier", "id", "TransactionAcquiringPoint"),
        ("performed_by_tap_identifier", "name", "TransactionAcquiringPoint"),
        ("performed_by_tap_identifier", "code", "TransactionAcquiringPoint"),
        ("performed_by_device_identifier", "id", "Device"),
        ("performed_by_device_identifier", "code", "Device"),
        ("classification_identifier", "id", "CustomerEventClassification"),
        ("classification_identifier", "name", "CustomerEventClassification"),
        ("classification_identifier", "alternative_code", "CustomerEventClassification"),
        ("referred_accounts_receivable_identifier", "id", "AccountsReceivable"),
        ("referred_accounts_receivable_identifier", "number", "AccountsReceivable"),
        ("referred_by_accounts_receivable_identifier", "id", "AccountsReceivable"),
        ("referred_by_accounts_receivable_identifier", "number", "AccountsReceivable"),
        ("referred_rewards_participant_identifier", "id", "RewardsParticipant"),
        ("referred_rewards_participant_identifier", "number", "RewardsParticipant"),
        ("referred_by_rewards_participant_identifier", "id", "RewardsParticipant"),
        ("referred_by_rewards_participant_identifier", "number", "RewardsParticipant"),
    ];
    let mut events = Vec::new();
    let mut expected = Vec::new();
    for (n, (attribute, field, kind)) in cases.into_iter().enumerate() {
        let mut event = event(&n.to_string(), "01", "02");
        if let Some(role) = attribute.strip_suffix("_accounts_receivable_identifier") {
            event.as_object_mut().expect("an object").remove(&format!("{role}_rewards_participant_identifier"));
        }
        event[attribute] = json!({field: "Nowhere 7"});
        events.push(event);
        expected.push((n.to_string(), format!("{kind}NotFound")));
    }
    let answer = server.send(json!(events)).await;
    assert_eq!(answer.failures(), expected);
    for event in answer.unprocessed() {
        // What was given is named, so that the caller finds it in a call of a thousand.
        let description = event["error_description"].as_str().expect("a text");
        assert!(description.contains("\"Nowhere 7\" Was Not Found. - Description:"), "{description}");
    }
    assert!(server.stored_events().await.is_empty());
}

async fn names_and_codes_are_not_mixed_up(setup: Setup) {
    let server = Server::start(setup).await;
    let mut events = Vec::new();
    for (n, identifier) in [
        json!({"id": "U1"}),
        json!({"id": "Admin Unit"}),
        json!({"name": "U1"}),
        json!({"name": "U1-ID"}),
        json!({"alternative_code": "Admin Unit"}),
        json!({"alternative_code": "U1-ID"}),
        json!({"name": "ADMIN UNIT"}),
        json!({"name": "Admin Unit "}),
        json!({"name": "Admin%"}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut event = event(&n.to_string(), "01", "02");
        event["performed_by_unit_identifier"] = identifier;
        events.push(event);
    }
    for (n, identifier) in
        [json!({"id": "RP02"}), json!({"number": "RP02-ID"}), json!({"number": "rp02"})].into_iter().enumerate()
    {
        let mut event = event(&(n + 9).to_string(), "01", "02");
        event["referred_by_rewards_participant_identifier"] = identifier;
        events.push(event);
    }
    // A rewards participant's number is not its account's.
    events.push(event("12", "01", "02"));
    events[12]["referred_by_rewards_participant_identifier"] = json!({"number": "ACR02"});
    let expected: Vec<_> = (0..13)
        .map(|n| (n.to_string(), if n < 9 { "UnitNotFound" } else { "RewardsParticipantNotFound" }.to_owned()))
        .collect();
    assert_eq!(server.send(json!(events)).await.failures(), expected);
}

async fn parties_that_may_not_take_part_are_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let mut events = Vec::new();
    let mut expected = Vec::new();
    for (digits, code) in [
        ("51", "AccountsReceivableNotActive"),
        ("52", "AccountsReceivableNotActive"),
        ("53", "RewardsParticipantNotEffective"),
    ] {
        for role in ["referred", "referred_by"] {
            for (kind, identifier) in forms(digits) {
                let identifier_of_event = format!("{role} {kind} {identifier}");
                let mut event = event(&identifier_of_event, "01", "02");
                event.as_object_mut().expect("an object").remove(&format!("{role}_rewards_participant_identifier"));
                event[format!("{role}_{kind}_identifier")] = identifier;
                events.push(event);
                expected.push((identifier_of_event, code.to_owned()));
            }
        }
    }
    let answer = server.send(json!(events)).await;
    assert_eq!(answer.failures(), expected);
    assert!(server.stored_events().await.is_empty());

    // An account without a participant has nobody to be not effective.
    let mut referred = nobody("1");
    referred["referred_accounts_receivable_identifier"] = json!({"number": "ACR70"});
    referred["referred_by_rewards_participant_identifier"] = json!({"number": "RP01"});
    let mut referring = nobody("2");
    referring["referred_rewards_participant_identifier"] = json!({"number": "RP02"});
    referring["referred_by_accounts_receivable_identifier"] = json!({"id": "ACR70-ID"});
    server.send(json!([referred, referring])).await.assert_outcome(&["1", "2"], &[]);
    let account = server.account("70").await;
    let stored = server.stored_events().await;
    assert_eq!((stored[0].referred_account_key, stored[1].referred_by_account_key), (account, account));
}

async fn a_participant_of_an_account_that_is_not_active_is_refused_for_the_account(setup: Setup) {
    let server = Server::start(setup).await;
    let rows = "number,state\nACR53,SUSPENDED\n";
    server.import("acme", DirectoryKind::AccountsReceivable, rows).await;
    let answer = server.send(json!([event("1", "53", "01"), event("2", "01", "53")])).await;
    answer.assert_outcome(&[], &[("1", "AccountsReceivableNotActive"), ("2", "AccountsReceivableNotActive")]);
}

/// An event without parties.
fn nobody(identifier: &str) -> Value {
    json!({
        "request_unique_identifier": identifier,
        "performed_by_unit_identifier": {"name": "Admin Unit"},
        "performed_on": "2016-06-22T15:00:00",
    })
}
