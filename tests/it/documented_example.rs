//! Example 1 of the documentation: the documented request gives the documented answer, letter for letter but for ids.

use referral_events::{
    contract::{BulkCreateReferralEventsRequest, referral_event_service_client::ReferralEventServiceClient},
    directory::DirectoryKind,
};
use serde_json::{Value, json};

use crate::support::{Answer, EVENT_FIELDS, Server, Setup, Transport, Workplace, answer, event, message, tests};

tests! {
    Both: the_documented_example_gives_the_documented_answer, the_demo_gives_the_documented_answer;
    Rest: the_documented_example_gives_the_documented_envelope;
}

/// The documented body.
const REQUEST: &str = r#" {
   "token":"{{token}}",
  "referral_customer_events_set":
   [
        {
            "request_unique_identifier":"125",
            "performed_by_unit_identifier":{"name":"Admin Unit"},
            "performed_on":"2016-06-22T15:00:00",
            "referred_rewards_participant_identifier":{"number":"RP0000000017"},
            "referred_by_rewards_participant_identifier":{"number":"RP0000000010"}
        },
        {
            "request_unique_identifier":"124",
            "performed_by_unit_identifier":{"name":"Admin Unit"},
            "performed_on":"2016-06-22T15:00:00",
            "referred_rewards_participant_identifier":{"number":"RP0000000014"},
            "referred_by_rewards_participant_identifier":{"number":"RP0000000012"}
        },
        {
            "request_unique_identifier":"123",
            "performed_by_unit_identifier":{"name":"Admin Unit"},
            "performed_on":"2016-06-22T15:00:00",
            "referred_rewards_participant_identifier":{"number":"RP0000000004"},
            "referred_by_rewards_participant_identifier":{"number":"RP0000000010"}
        }
        
    ]
}"#;

/// The documented answer.
const RESPONSE: &str = r#" {
  "data": {
    "unprocessed_customer_events_set": [
      {
        "error_description": "Error:Participant RP0000000004 Was Already Referred by Another Participant. - Description:The participant was already referred by another participant.",
        "error_code": "ReferredByAnotherParticipantException",
        "request_unique_identifier": "123"
      }
    ],
    "processed_customer_events_set": [
      {
        "number": "8",
        "id": "D49D8CD39786431F882341CBDE5A254A",
        "request_unique_identifier": "125"
      },
      {
        "number": "9",
        "id": "94E44BDAF7724C2E97B5C2B533371497",
        "request_unique_identifier": "124"
      }
    ]
  },
  "status": {
    "code": "OK",
    "description": "",
    "message": ""
  }
}"#;

/// Over gRPC everything is answered unless fields are named.
fn for_documented_fields(mut request: Value) -> Value {
    request["fields_set"] = json!(EVENT_FIELDS);
    request
}

async fn the_documented_example_gives_the_documented_answer(setup: Setup) {
    let server = documented_world(setup).await;
    let answer = server.bulk(for_documented_fields(json_of(&with_token(&server.token)))).await;
    assert_documented(&answer);
    assert_eq!(server.stored_events().await.len(), 9);
}

async fn the_documented_example_gives_the_documented_envelope(setup: Setup) {
    let server = documented_world(setup).await;
    for (path, already) in [
        ("crmapi/rest/v2/customer_events/bulk/referrals/create", false),
        ("customer_events/bulk/referrals/create", true),
    ] {
        let request = server.http().post(server.url(path)).header("content-type", "application/json");
        let response = request.body(with_token(&server.token)).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        let answer = json_of(&response.text().await.expect("a body"));
        if already {
            // The same body once more: every referral is there, and the third is still another's.
            assert_eq!(answer["data"]["processed_customer_events_set"], json!([]));
            let codes = answer["data"]["unprocessed_customer_events_set"].as_array().expect("a set").iter();
            let codes: Vec<_> = codes.map(|event| event["error_code"].as_str().expect("a code")).collect();
            let exists = "ReferralAlreadyExistsException";
            assert_eq!(codes, [exists, exists, "ReferredByAnotherParticipantException"]);
        } else {
            assert_eq!(without_ids(answer), without_ids(json_of(RESPONSE)));
        }
    }
}

async fn the_demo_gives_the_documented_answer(setup: Setup) {
    let workplace = Workplace::new();
    let demo = workplace.serve(&["--demo"]);
    let token = demo.login_as("demo", "demo", "demo").await;
    let answer = match setup.transport {
        Transport::Rest => demo.post("customer_events/bulk/referrals/create", &json_of(&with_token(&token))).await,
        Transport::Grpc => {
            let request: BulkCreateReferralEventsRequest =
                message("BulkCreateReferralEventsRequest", for_documented_fields(json_of(&with_token(&token))));
            let client = ReferralEventServiceClient::connect(format!("http://{}", demo.address)).await;
            let response = client.expect("a connection").bulk_create_referral_events(request).await;
            answer(response.map(|response| serde_json::to_value(response.into_inner()).expect("JSON")))
        }
    };
    assert_documented(&answer);
    let left: Vec<_> = std::fs::read_dir(workplace.path(".")).expect("a folder").collect();
    assert!(left.is_empty(), "the demo leaves files: {left:?}");
}

/// A world as the documented one must have been: seven events, RP0000000004 referred by another than RP0000000010.
async fn documented_world(setup: Setup) -> Server {
    let server = Server::start(setup).await;
    let accounts: String = (1..=20).map(|n| format!("A{n:010}\n")).collect();
    let participants: String = (1..=20).map(|n| format!("RP{n:010},A{n:010}\n")).collect();
    server.import("acme", DirectoryKind::AccountsReceivable, format!("number\n{accounts}")).await;
    let participants = format!("number,accounts_receivable_number\n{participants}");
    server.import("acme", DirectoryKind::RewardsParticipants, participants).await;
    let referred = ["0000000004", "01", "02", "03", "04", "05", "06"];
    let events: Vec<Value> = referred.iter().map(|referred| event(referred, referred, "60")).collect();
    let answer = server.send(json!(events)).await;
    answer.assert_outcome(&referred, &[]);
    let numbers: Vec<i64> = server.stored_events().await.iter().map(|event| event.number.0).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    server
}

fn with_token(token: &str) -> String {
    REQUEST.replace("{{token}}", token)
}

#[track_caller]
fn assert_documented(answer: &Answer) {
    let documented = json_of(RESPONSE);
    assert_eq!(answer.code, "OK");
    assert_eq!(without_ids(answer.data.clone()), without_ids(documented["data"].clone()));
}

/// The value with every id replaced, once it is known to have the documented form.
fn without_ids(mut value: Value) -> Value {
    fn replace(value: &mut Value) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(replace),
            Value::Object(members) => {
                for (name, value) in members {
                    if name == "id" {
                        let id = value.as_str().expect("a text");
                        let is_hex = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
                        assert!(id.len() == 32 && is_hex, "{id}");
                        *value = json!("ID");
                    } else {
                        replace(value);
                    }
                }
            }
            _ => {}
        }
    }
    replace(&mut value);
    value
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
