//! No secret is ever logged, at any level.

use std::collections::BTreeSet;

use prost_reflect::DescriptorPool;
use referral_events::contract::{
    AccessTokenIdentifier, BulkCreateReferralEventsRequest, CreateTokenRequest, DESCRIPTOR_SET,
    RewardsParticipantIdentifier, authentication_service_client::AuthenticationServiceClient,
    referral_event_service_client::ReferralEventServiceClient,
};
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::support::{Setup, Workplace, message, tests};

tests! {
    Once: no_secret_is_logged_or_printed, what_the_contract_calls_secret_is_redacted;
}

const PASSWORD: &str = "password-s3cret";
const WRONG_PASSWORD: &str = "wrong-passw0rd";
/// The codes of the access token, right and wrong: those that are short are long enough to be seen in no other number.
const CODES: [&str; 6] =
    ["auth-c0de-right", "auth-c0de-wrong", "pass-c0de-right", "pass-c0de-wrong", "7360941825519", "9018273645546"];

async fn no_secret_is_logged_or_printed(_: Setup) {
    let workplace = Workplace::new();
    workplace.add_caller(PASSWORD);
    let import = |kind: &str, rows: String| {
        let arguments = ["import", "--organisation", "acme", "--log", "trace", kind, "-"];
        let ended = workplace.run_well(&arguments, &rows);
        ended.stdout + &ended.stderr
    };
    import("units", "name,alternative_code\nAdmin Unit,U\n".to_owned());
    import("accounts_receivable", "number\nA1\nA2\nA3\nA4\nA5\nA6\n".to_owned());
    import("rewards_participants", "number,accounts_receivable_number\nP1,A1\n".to_owned());
    let [code, wrong_code, pass, wrong_pass, otp, wrong_otp] = CODES;
    let mut log = import(
        "access_tokens",
        format!(
            "identifier,authentication_code,pass_code,one_time_password,rewards_participant_number\nT1,{code},{pass},{otp},P1\n"
        ),
    );
    // A row that is refused is told of, its codes are not.
    let arguments = ["import", "--organisation", "acme", "--log", "trace", "access_tokens", "-"];
    let rows = format!(
        "identifier,authentication_code,pass_code,one_time_password,rewards_participant_number\n\
         T2,{wrong_code},{wrong_pass},{wrong_otp},nobody\nT3,{code},{wrong_pass},{wrong_otp},P1\n"
    );
    let rejected = workplace.run_with_input(&arguments, &rows);
    assert_eq!(rejected.code, Some(1), "{rejected:?}");
    log += &(rejected.stdout + &rejected.stderr);

    let mut server = workplace.serve(&["--log", "trace"]);
    let channel = Channel::from_shared(format!("http://{}", server.address)).expect("a URI").connect_lazy();
    let token = server.login(PASSWORD).await;
    let credentials = |password: &str| json!({"organisation": "acme", "username": "carla", "password": password});
    server.post("authentication/token", &credentials(WRONG_PASSWORD)).await.assert_refused("InvalidCredentials");
    let mut logins = AuthenticationServiceClient::new(channel.clone());
    let login = |password: &str| message::<CreateTokenRequest>("CreateTokenRequest", credentials(password));
    let grpc_token = logins.create_token(login(PASSWORD)).await.expect("a token").into_inner().token;
    logins.create_token(login(WRONG_PASSWORD)).await.expect_err("a refusal");

    let tokens = [
        json!({"authentication_code": code}),
        json!({"authentication_code": wrong_code}),
        json!({"identifier": "T1", "pass_code": pass}),
        json!({"identifier": "T1", "pass_code": wrong_pass}),
        json!({"one_time_password": otp}),
        json!({"one_time_password": wrong_otp}),
    ];
    let events: Vec<Value> = (1..).zip(tokens).map(|(n, token)| by_token(n, token)).collect();
    let request = json!({"token": token, "referral_customer_events_set": events});
    let invalid = "InvalidAccessToken";
    let answer = server.post("customer_events/bulk/referrals/create", &request).await;
    // 1 was never referred before, but it refers itself.
    answer.assert_outcome(&["3", "5"], &[("1", "SelfReferral"), ("2", invalid), ("4", invalid), ("6", invalid)]);
    // As headers, and over gRPC; and in a body that cannot be read.
    let mut request = tonic::Request::new(message::<BulkCreateReferralEventsRequest>(
        "BulkCreateReferralEventsRequest",
        json!({"referral_customer_events_set": events}),
    ));
    request.metadata_mut().insert("authorization", format!("Bearer {grpc_token}").parse().expect("a value"));
    let response = ReferralEventServiceClient::new(channel).bulk_create_referral_events(request).await;
    assert_eq!(response.expect("an answer").into_inner().unprocessed_customer_events_set.len(), 6);
    let client = reqwest::Client::new();
    let url = format!("http://{}/customer_events/bulk/referrals/create", server.address);
    for body in [
        json!({"referral_customer_events_set": events}).to_string(),
        format!("{{\"token\": \"{token}\", \"{otp}"),
        format!("[\"{pass}\", \"{code}\"]"),
    ] {
        let call = client.post(format!("{url}?token={token}")).bearer_auth(&token).body(body);
        call.send().await.expect("an answer").text().await.expect("a body");
    }
    let show = format!("http://{}/customer_events/referrals/show", server.address);
    let shown = client.get(format!("{show}?token={token}&customer_event_identifier=number=1")).send().await;
    assert_eq!(shown.expect("an answer").status(), 200);
    for code in [code, wrong_code] {
        let party = json!({"access_token_identifier": {"authentication_code": code}});
        let request = json!({"token": token, "referred_by_rewards_participant_identifier": party});
        server.post("customer_events/referrals/list", &request).await;
    }
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    log += &server.output();

    // At this level even the frames of the protocol are told of; what they hold must not be.
    assert!(log.lines().count() > 300, "{log}");
    for level in ["TRACE", "DEBUG", "INFO"] {
        assert!(log.contains(level), "no {level}: {log}");
    }
    let keys = std::fs::read_to_string(workplace.path("referral-events.db.keys")).expect("a key file");
    let keys: Vec<&str> = keys.lines().filter_map(|line| line.split_once('=')).map(|(_, key)| key).collect();
    assert_eq!(keys.len(), 2);
    let secrets = [PASSWORD, WRONG_PASSWORD, &token, &grpc_token].into_iter().chain(CODES).chain(keys);
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in the log: {line:?}");
    }
}

/// The comment tells people, the option tells programs, and the message shows nothing of it.
async fn what_the_contract_calls_secret_is_redacted(_: Setup) {
    let contract = DescriptorPool::decode(DESCRIPTOR_SET).expect("a descriptor set");
    let mut names = BTreeSet::new();
    for message in contract.all_messages().filter(|message| message.package_name() == "referral.v1") {
        for field in message.fields() {
            let file = message.parent_file();
            let comments = file.file_descriptor_proto().source_code_info.as_ref().expect("the comments");
            let comment = comments.location.iter().find(|location| location.path == field.path());
            let is_called_secret = comment.is_some_and(|comment| comment.leading_comments().contains("Secret"));
            let is_redacted = field.options().get_field_by_name("debug_redact").and_then(|option| option.as_bool());
            assert!(!is_called_secret || is_redacted == Some(true), "{}", field.full_name());
            if is_redacted == Some(true) {
                names.insert(field.name().to_owned());
            }
        }
    }
    let secrets = ["authentication_code", "one_time_password", "pass_code", "password", "token", "values"];
    assert_eq!(names, secrets.map(str::to_owned).into());
    let request = CreateTokenRequest { password: Some(PASSWORD.to_owned()), ..CreateTokenRequest::default() };
    assert_eq!(format!("{request:?}"), "CreateTokenRequest { .. }");
    let token = AccessTokenIdentifier { pass_code: Some(PASSWORD.to_owned()), ..AccessTokenIdentifier::default() };
    let identifier = RewardsParticipantIdentifier { access_token_identifier: Some(token.into()), ..Default::default() };
    assert!(!format!("{identifier:?}").contains(PASSWORD), "{identifier:?}");
}

/// An event whose referrer, the only account with a token, is identified by it.
fn by_token(n: usize, token: Value) -> Value {
    json!({
        "request_unique_identifier": n.to_string(),
        "performed_by_unit_identifier": {"name": "Admin Unit"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_accounts_receivable_identifier": {"number": format!("A{n}")},
        "referred_by_rewards_participant_identifier": {"access_token_identifier": token},
    })
}
