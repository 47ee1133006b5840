//! An older release has fewer attributes and demands others; what is deprecated is accepted, and the caller is told.

use std::{fs, path::Path};

use referral_events::{
    config::Config,
    guessing::Limits,
    referral::{
        ReferralSettings,
        rules::{attributes::ATTRIBUTES, release::Release},
    },
};
use serde_json::{Value, json};

use crate::support::{
    Answer, Server, Setup, Transport, Workplace, answer, deprecated_fields, envelope, event, message, tests, with,
};

tests! {
    Both:
        every_release_has_and_demands_the_documented_attributes,
        a_one_time_password_is_of_release_13,
        every_release_creates_events,
        an_unsupported_attribute_comes_after_a_missing_one_and_before_an_invalid_value,
        the_newest_release_is_the_default,
        the_use_of_deprecated_attributes_is_told;
    Once:
        the_table_says_what_is_documented,
        the_contract_marks_what_the_newest_release_has_deprecated,
        the_document_has_the_table,
        what_is_no_release_is_refused_at_start,
        operators_read_who_uses_deprecated_attributes;
}

/// The attributes whose release is documented: available from, mandatory before, deprecated from.
const DOCUMENTED: [(&str, &str, Option<&str>, Option<&str>); 9] = [
    ("performed_by_business_unit_identifier", "R18.0", None, None),
    ("performed_by_unit_identifier", "R10.0", Some("R17.0"), Some("R18.0")),
    ("performed_by_tap_identifier", "R17.0", None, None),
    ("performed_by_device_identifier", "R17.0", None, None),
    ("referred_accounts_receivable_identifier", "R17.0", None, None),
    ("referred_by_accounts_receivable_identifier", "R17.0", None, None),
    ("referred_rewards_participant_identifier", "R10.0", Some("R17.0"), Some("R17.0")),
    ("referred_by_rewards_participant_identifier", "R10.0", Some("R17.0"), Some("R17.0")),
    ("external_system_reference_number", "R10.1", None, None),
];

/// The four ways to say where.
const PLACES: std::ops::Range<usize> = 0..4;
/// For each party its two identifiers.
const PARTIES: [[usize; 2]; 2] = [[4, 6], [5, 7]];
const ONE_TIME_PASSWORD: &str = ".access_token_identifier.one_time_password";

/// Those that brought something, and some between.
const RELEASES: [&str; 9] = ["R10.0", "R10.1", "R12.9", "R13.0", "R16.12", "R17.0", "R17.3", "R18.0", "R17.10"];

fn release(text: &str) -> Release {
    text.parse().expect("a release")
}

fn config(text: &str) -> Config {
    let referral = ReferralSettings { release: release(text), ..ReferralSettings::default() };
    // Wrong codes are given on purpose.
    let guessing = Limits { wrong_codes: 1_000_000, ..Limits::default() };
    Config { referral, guessing, ..Config::default() }
}

/// A value that is well-formed and names nothing that exists.
fn value(attribute: &str) -> Value {
    match attribute {
        "external_system_reference_number" => json!("R1"),
        _ => json!({"id": "nobody"}),
    }
}

async fn every_release_has_and_demands_the_documented_attributes(setup: Setup) {
    let mut server = Server::start(setup).await;
    for name in RELEASES {
        server.restart_with(config(name)).await;
        let at = release(name);
        let from = |text: &str| at >= release(text);
        // Every set of the attributes, given in one event.
        let sets: Vec<usize> = (0..1 << DOCUMENTED.len()).collect();
        let mut expected = Vec::new();
        let mut events = Vec::new();
        for set in sets {
            let given = |n: usize| set & (1 << n) != 0;
            let mut event =
                json!({"request_unique_identifier": set.to_string(), "performed_on": "2016-06-22T15:00:00"});
            let (mut missing, mut unsupported) = (false, false);
            for (n, (attribute, available_from, mandatory_before, _)) in DOCUMENTED.into_iter().enumerate() {
                if given(n) {
                    event[attribute] = value(attribute);
                    unsupported |= !from(available_from);
                } else {
                    missing |= mandatory_before.is_some_and(|first| !from(first));
                }
            }
            missing |= !PLACES.into_iter().any(given);
            missing |= PARTIES.iter().any(|party| !party.iter().any(|n| given(*n)));
            let both = PARTIES.iter().any(|party| party.iter().all(|n| given(*n)));
            let code = match (missing, unsupported, both) {
                (true, _, _) => "MissingMandatoryAttribute",
                (_, true, _) => "UnsupportedAttribute",
                (_, _, true) => "InvalidIdentifier",
                _ => "…NotFound",
            };
            expected.push((set.to_string(), code.to_owned()));
            events.push(event);
        }
        let failures: Vec<(String, String)> = server
            .send(json!(events))
            .await
            .failures()
            .into_iter()
            .map(|(identifier, code)| match code.ends_with("NotFound") {
                true => (identifier, "…NotFound".to_owned()),
                false => (identifier, code),
            })
            .collect();
        assert_eq!(failures, expected, "{name}");
    }
}

async fn the_contract_marks_what_the_newest_release_has_deprecated(_: Setup) {
    let mut expected: Vec<&str> =
        DOCUMENTED.iter().filter(|row| row.3.is_some()).map(|(attribute, ..)| *attribute).collect();
    expected.sort_unstable();
    assert_eq!(
        deprecated_fields(),
        expected.iter().map(|name| format!("ReferralCustomerEvent.{name}")).collect::<Vec<_>>()
    );
}

async fn a_one_time_password_is_of_release_13(setup: Setup) {
    let mut server = Server::start(setup).await;
    for (name, supported) in [("R10.1", false), ("R12.9", false), ("R13.0", true), ("R17.0", true), ("R18.0", true)] {
        server.restart_with(config(name)).await;
        for party in ["referred_rewards_participant_identifier", "referred_by_rewards_participant_identifier"] {
            let path = format!("{party}{ONE_TIME_PASSWORD}");
            let mut by_password = event("1", "01", "02");
            by_password[party] = json!({"access_token_identifier": {"one_time_password": "000000"}});
            let mut by_code = event("2", "01", "02");
            by_code[party] = json!({"access_token_identifier": {"authentication_code": "nonsense"}});
            // Blank is as good as not given.
            by_code[party]["access_token_identifier"]["one_time_password"] = json!(" ");
            let answer = server.send(json!([by_password, by_code])).await;
            let code = if supported { "InvalidAccessToken" } else { "UnsupportedAttribute" };
            answer.assert_outcome(&[], &[("1", code), ("2", "InvalidAccessToken")]);
            if !supported {
                let description = format!(
                    "Error:Attribute {path} Is Not Supported. - Description:The attribute does not exist in release \
                     {name}."
                );
                assert_eq!(answer.unprocessed()[0]["error_description"], description);
            }
        }
    }
    // With an account's identifier it is the same rule, behind that of the identifier itself.
    server.restart_with(config("R17.0")).await;
    for party in ["referred_accounts_receivable_identifier", "referred_by_accounts_receivable_identifier"] {
        let mut event = event("1", "01", "02");
        let participant = party.replace("accounts_receivable", "rewards_participant");
        event.as_object_mut().expect("an object").remove(&participant);
        event[party] = json!({"access_token_identifier": {"one_time_password": "000000"}});
        server.send(json!([event])).await.assert_outcome(&[], &[("1", "InvalidAccessToken")]);
    }
}

async fn every_release_creates_events(setup: Setup) {
    let mut server = Server::start(setup).await;
    for (n, name) in (1..).zip(RELEASES) {
        server.restart_with(config(name)).await;
        server.send(json!([event(name, &format!("{n:02}"), "60")])).await.assert_outcome(&[name], &[]);
    }
    assert_eq!(server.stored_events().await.len(), RELEASES.len());
}

async fn an_unsupported_attribute_comes_after_a_missing_one_and_before_an_invalid_value(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(config("R16.0")).await;
    let unsupported = |identifier: &str| with(identifier, "performed_by_tap_identifier", json!({"code": "TAP1"}));
    let mut and_missing = unsupported("1");
    and_missing.as_object_mut().expect("an object").remove("performed_on");
    let mut and_invalid = unsupported("2");
    and_invalid["description"] = json!("\u{0}");
    // Nor does it matter what is wrong with the attribute itself.
    let and_two_fields = with("3", "performed_by_tap_identifier", json!({"code": "TAP1", "id": "\u{0}"}));
    let answer = server.send(json!([and_missing, and_invalid, and_two_fields, unsupported("4")])).await;
    let code = "UnsupportedAttribute";
    answer.assert_outcome(&[], &[("1", "MissingMandatoryAttribute"), ("2", code), ("3", code), ("4", code)]);
    // What is demanded is named by the attribute that the release has.
    let names = |answer: Answer| answer.unprocessed()[0]["error_description"].as_str().expect("a text").to_owned();
    for (name, place, party) in [
        ("R16.0", "performed_by_unit_identifier", "referred_rewards_participant_identifier"),
        ("R17.0", "performed_by_unit_identifier", "referred_accounts_receivable_identifier"),
        ("R18.0", "performed_by_business_unit_identifier", "referred_accounts_receivable_identifier"),
    ] {
        server.restart_with(config(name)).await;
        for (left_out, missing) in
            [("performed_by_unit_identifier", place), ("referred_rewards_participant_identifier", party)]
        {
            let mut event = event("1", "01", "02");
            event.as_object_mut().expect("an object").remove(left_out);
            let description = names(server.send(json!([event])).await);
            assert!(
                description.starts_with(&format!("Error:Attribute {missing} Is Mandatory.")),
                "{name}: {description}"
            );
        }
    }
}

async fn the_newest_release_is_the_default(setup: Setup) {
    let server = Server::start(setup).await;
    let event = json!({
        "request_unique_identifier": "1",
        "performed_by_business_unit_identifier": {"code": "BU1"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_accounts_receivable_identifier": {"number": "ACR01"},
        "referred_by_accounts_receivable_identifier": {"number": "ACR02"},
        "external_system_reference_number": "R1",
    });
    server.send(json!([event])).await.assert_outcome(&["1"], &[]);
    assert_eq!(Release::default(), release("R18.0"));
}

/// Sends events; answers the header, or the metadata, of the deprecated attributes.
async fn deprecated(server: &Server, events: Value) -> (Option<String>, Answer) {
    let request = json!({"token": server.token, "referral_customer_events_set": events});
    let name = "x-deprecated-attributes";
    match server.transport {
        Transport::Rest => {
            let path = "customer_events/bulk/referrals/create";
            let response = server.call_rest(reqwest::Method::POST, path, &request.to_string(), &[]).await;
            let header = response.headers().get(name).map(|value| value.to_str().expect("a text").to_owned());
            (header, envelope(response).await.1)
        }
        Transport::Grpc => {
            let request: referral_events::contract::BulkCreateReferralEventsRequest =
                message("BulkCreateReferralEventsRequest", request);
            let response = server.events_client().bulk_create_referral_events(request).await.expect("an answer");
            let header = response.metadata().get(name).map(|value| value.to_str().expect("a text").to_owned());
            (header, answer(Ok(serde_json::to_value(response.into_inner()).expect("JSON"))))
        }
    }
}

async fn the_use_of_deprecated_attributes_is_told(setup: Setup) {
    let mut server = Server::start(setup).await;
    for name in RELEASES {
        server.restart_with(config(name)).await;
        for (attribute, _, _, deprecated_from) in DOCUMENTED {
            // Told whether the event is processed or not, once however many events use it.
            let one = |identifier: &str| {
                let mut event = json!({"request_unique_identifier": identifier});
                event[attribute] = value(attribute);
                event
            };
            let (header, answer) = deprecated(&server, json!([one("1"), one("2")])).await;
            assert_eq!(answer.failures().len(), 2);
            let expected = deprecated_from.filter(|first| release(name) >= release(first)).map(|_| attribute);
            assert_eq!(header.as_deref(), expected, "{name}");
        }
    }
    server.restart_with(config("R18.0")).await;
    let (header, answer) = deprecated(&server, json!([event("1", "01", "02"), event("2", "03", "04")])).await;
    answer.assert_outcome(&["1", "2"], &[]);
    let all = "performed_by_unit_identifier, referred_rewards_participant_identifier, \
               referred_by_rewards_participant_identifier";
    assert_eq!(header.as_deref(), Some(all));
    // One call's use is not told to the next.
    let modern = json!({
        "request_unique_identifier": "3",
        "performed_by_tap_identifier": {"code": "TAP1"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_accounts_receivable_identifier": {"number": "ACR05"},
        "referred_by_accounts_receivable_identifier": {"number": "ACR06"},
    });
    let (header, answer) = deprecated(&server, json!([modern])).await;
    answer.assert_outcome(&["3"], &[]);
    assert_eq!(header, None);
}

async fn the_table_says_what_is_documented(_: Setup) {
    let mut expected: Vec<_> = DOCUMENTED
        .map(|(name, from, mandatory, deprecated)| {
            (name.to_owned(), release(from), mandatory.map(release), deprecated.map(release))
        })
        .into();
    for n in PARTIES.into_iter().flatten() {
        expected.push((format!("{}{ONE_TIME_PASSWORD}", DOCUMENTED[n].0), release("R13.0"), None, None));
    }
    let mut table: Vec<_> = ATTRIBUTES
        .iter()
        .map(|row| (row.name.to_owned(), row.available_from, row.mandatory_before, row.deprecated_from))
        .collect();
    expected.sort();
    table.sort();
    assert_eq!(table, expected);
}

async fn the_document_has_the_table(_: Setup) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/releases.md");
    let document = fs::read_to_string(path).expect("a document");
    let mut table =
        "| attribute | available from | mandatory before | deprecated from |\n|---|---|---|---|\n".to_owned();
    let cell = |release: Option<Release>| release.map(|release| release.to_string()).unwrap_or_default();
    for row in ATTRIBUTES {
        let (from, mandatory, deprecated) = (row.available_from, cell(row.mandatory_before), cell(row.deprecated_from));
        table += &format!("| `{}` | {from} | {mandatory} | {deprecated} |\n", row.name);
    }
    let in_document: String =
        document.lines().filter(|line| line.starts_with('|')).map(|line| format!("{line}\n")).collect();
    assert_eq!(in_document, table, "put this table into docs/releases.md in place of its own:\n{table}");
}

async fn what_is_no_release_is_refused_at_start(_: Setup) {
    let mut workplace = Workplace::new();
    for name in [
        "",
        "R9.9",
        "R18.1",
        "R19.0",
        "R4294967306.0",
        "18.0",
        "r18.0",
        "R18",
        "R17.0.0",
        "R+17.0",
        "R17.",
        "R.1",
        " R17.0",
    ] {
        let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0", "--release", name]);
        assert_eq!(ended.code, Some(2), "{name:?}: {ended:?}");
        assert!(ended.stderr.contains("a release is one of R10.0 to R18.0, such as R17.0"), "{name:?}: {ended:?}");
    }
    workplace.set("REFERRAL_EVENTS_RELEASE", "R9.0");
    let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("invalid value 'R9.0' for '--release <RELEASE>'"), "{ended:?}");
}

async fn operators_read_who_uses_deprecated_attributes(_: Setup) {
    let mut workplace = Workplace::new();
    workplace.set("REFERRAL_EVENTS_RELEASE", "R17.0");
    workplace.add_caller("seven green kettles");
    let server = workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    let mut account = event("3", "05", "06");
    account.as_object_mut().expect("an object").remove("referred_rewards_participant_identifier");
    account["referred_accounts_receivable_identifier"] = json!({"number": "ACR05"});
    let request = json!({"token": token, "referral_customer_events_set": [event("1", "01", "02"), event("2", "03", "04"), account]});
    server.post("customer_events/bulk/referrals/create", &request).await;
    server.wait_for_output("the call uses deprecated attributes").await;
    let output = server.output();
    let line = output.lines().find(|line| line.contains("deprecated")).expect("a line");
    let counts = "referred_rewards_participant_identifier=2 referred_by_rewards_participant_identifier=3";
    assert!(line.contains(counts) && line.contains("\"organisation\":"), "{line}");
    assert!(!line.contains("performed_by_unit_identifier"), "{line}");
}
