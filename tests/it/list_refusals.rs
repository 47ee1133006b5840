//! Filters of lists that are refused, each for what it says.

use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{Server, Setup, event, method, numbers, tests};

tests! {
    Both: a_filter_that_names_nothing_is_refused, a_filter_that_is_malformed_is_refused;
    Grpc: the_refusal_names_the_filter_by_its_path;
}

async fn a_filter_that_names_nothing_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let token = |token: Value| json!({"access_token_identifier": token});
    let cases = [
        ("classification_identifier", json!({"name": "Nothing"}), "CustomerEventClassificationNotFound"),
        ("performed_by_business_unit_identifier", json!({"code": "XBU1"}), "BusinessUnitNotFound"),
        ("performed_by_unit_identifier", json!({"id": "U1"}), "UnitNotFound"),
        ("performed_by_tap_identifier", json!({"name": "Till 9"}), "TransactionAcquiringPointNotFound"),
        ("performed_by_device_identifier", json!({"code": "DEV9"}), "DeviceNotFound"),
        ("referred_accounts_receivable_identifier", json!({"number": "ACR99"}), "AccountsReceivableNotFound"),
        ("referred_by_rewards_participant_identifier", json!({"number": "ACR01"}), "RewardsParticipantNotFound"),
        (
            "referred_or_referred_by_accounts_receivable_identifier",
            json!({"number": "ACR99"}),
            "AccountsReceivableNotFound",
        ),
        (
            "referred_or_referred_by_rewards_participant_identifier",
            json!({"number": "ACR01"}),
            "RewardsParticipantNotFound",
        ),
        (
            "referred_or_referred_by_rewards_participant_identifier",
            token(json!({"authentication_code": "wrong"})),
            "InvalidAccessToken",
        ),
        (
            "referred_rewards_participant_identifier",
            token(json!({"authentication_code": "wrong"})),
            "InvalidAccessToken",
        ),
        (
            "referred_by_accounts_receivable_identifier",
            token(json!({"identifier": "t20@example.com", "pass_code": "1"})),
            "InvalidAccessToken",
        ),
        (
            "referred_by_accounts_receivable_identifier",
            token(json!({"authentication_code": "AUTH21"})),
            "InvalidAccessToken",
        ),
    ];
    for (attribute, identifier, code) in cases {
        server.list(json!({attribute: identifier})).await.assert_refused(code);
    }
    // A party that is not active any more was so once.
    let inactive = json!({"referred_accounts_receivable_identifier": {"number": "ACR51"}});
    assert!(numbers(&server.list(inactive).await).is_empty());
    // Access tokens lead to their participants; a one-time password does not once it was used, and asking does not use it.
    let mut sent = event("1", "01", "20");
    let password = token(json!({"one_time_password": "020020"}));
    for found in [
        token(json!({"authentication_code": "AUTH20"})),
        token(json!({"identifier": "t20@example.com", "pass_code": "2020"})),
        password.clone(),
    ] {
        assert!(numbers(&server.list(json!({"referred_by_rewards_participant_identifier": found})).await).is_empty());
    }
    sent["referred_by_rewards_participant_identifier"] = password.clone();
    server.send(json!([sent])).await.assert_outcome(&["1"], &[]);
    let by_code =
        json!({"referred_by_rewards_participant_identifier": token(json!({"authentication_code": "AUTH20"}))});
    assert_eq!(numbers(&server.list(by_code).await), [1]);
    let by_password = json!({"referred_by_rewards_participant_identifier": password});
    server.list(by_password).await.assert_refused("InvalidAccessToken");
}

async fn a_filter_that_is_malformed_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let account = json!({"number": "ACR01"});
    let cases = [
        (
            json!({"referred_accounts_receivable_identifier": account, "referred_rewards_participant_identifier": {"number": "RP01"}}),
            "InvalidIdentifier",
        ),
        (
            json!({"referred_by_accounts_receivable_identifier": {"number": "ACR01", "id": "ACR01-ID"}}),
            "InvalidIdentifier",
        ),
        (
            json!({"referred_or_referred_by_accounts_receivable_identifier": account, "referred_or_referred_by_rewards_participant_identifier": {"number": "RP01"}}),
            "InvalidIdentifier",
        ),
        (
            json!({"referred_accounts_receivable_identifier": {"access_token_identifier": {"pass_code": "1"}}}),
            "InvalidIdentifier",
        ),
        (json!({"life_cycle_state": "posted"}), "InvalidAttributeValue"),
        (json!({"external_system": "x".repeat(256)}), "InvalidAttributeValue"),
        (json!({"external_system": "a\0b"}), "InvalidAttributeValue"),
        (json!({"external_system_reference_number": "x".repeat(256)}), "InvalidAttributeValue"),
        (json!({"order": "oldest_first"}), "InvalidAttributeValue"),
        (json!({"classification_identifier": {"name": "a\0b"}}), "InvalidAttributeValue"),
        (json!({"fields_set": ["colour"]}), "InvalidFieldsSet"),
    ];
    for (request, code) in cases {
        let answer = server.list(request.clone()).await;
        assert_eq!(answer.code, format!("{code}Exception"), "{request}");
    }
}

async fn the_refusal_names_the_filter_by_its_path(setup: Setup) {
    let server = Server::start(setup).await;
    let long = "x".repeat(256);
    for (filter, code, field) in [
        (
            json!({"referred_accounts_receivable_identifier": {"number": "ACR99"}}),
            Code::NotFound,
            "referred_accounts_receivable_identifier.number",
        ),
        (
            json!({"performed_by_tap_identifier": {"name": "Till 9"}}),
            Code::NotFound,
            "performed_by_tap_identifier.name",
        ),
        (json!({"classification_identifier": {"name": long}}), Code::InvalidArgument, "classification_identifier.name"),
        (json!({"number_of_results": 1001}), Code::InvalidArgument, "number_of_results"),
        (json!({"page_token": "x"}), Code::InvalidArgument, "page_token"),
        (json!({"fields_set": ["x"]}), Code::InvalidArgument, "fields_set"),
    ] {
        let mut request = filter.clone();
        request["token"] = json!(server.token);
        let status = server.call_grpc(&method("ListReferralEvents"), request, &[]).await.expect_err("a refusal");
        assert_eq!(status.code(), code, "{filter}: {status:?}");
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap_or_else(|| panic!("no BadRequest: {filter}")).field_violations;
        assert_eq!(violations.iter().map(|violation| violation.field.as_str()).collect::<Vec<_>>(), [field]);
    }
}
