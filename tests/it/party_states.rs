//! What the directory says of a party's account and participant holds, whatever names the party and whenever it changed.

use std::{collections::BTreeMap, fmt::Write};

use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};
use referral_events::{directory::DirectoryKind, id::OrganisationId};
use serde_json::{Value, json};

use crate::support::{Answer, Engine, Server, Setup, tests, until_waiting_for_a_lock};

tests! {
    Grpc:
        every_name_of_a_party_tells_both_states_whatever_was_imported_before,
        a_call_that_waits_for_its_turn_sees_what_is_imported_meanwhile,
        a_call_that_waits_while_something_else_is_imported_creates_its_events;
}

const PARTIES: usize = 6;
const STEPS: usize = 60;

/// The states of accounts, and of participants with the accounts that they own.
#[derive(Default)]
struct Model {
    accounts: BTreeMap<usize, &'static str>,
    participants: BTreeMap<usize, (usize, &'static str)>,
}

impl Model {
    fn of_account(&self, account: usize) -> Vec<&'static str> {
        let mut codes = Vec::new();
        if self.accounts[&account] != "ACTIVE" {
            codes.push("AccountsReceivableNotActiveException");
        }
        if self.participants.values().any(|(of, state)| *of == account && *state != "EFFECTIVE") {
            codes.push("RewardsParticipantNotEffectiveException");
        }
        codes
    }
}

/// Every name of every party, each with the codes that it should have; a code of an access token once it has one.
fn expected(model: &Model) -> Vec<(Value, Vec<&'static str>)> {
    let mut names = Vec::new();
    for account in 0..PARTIES {
        let codes = model.of_account(account);
        for identifier in [json!({"id": format!("SA{account}-ID")}), json!({"number": format!("SA{account}")})] {
            names.push((json!({"referred_accounts_receivable_identifier": identifier}), codes.clone()));
        }
    }
    for (participant, (account, _)) in &model.participants {
        let codes = model.of_account(*account);
        for identifier in [
            json!({"id": format!("SP{participant}-ID")}),
            json!({"number": format!("SP{participant}")}),
            json!({"access_token_identifier": {"authentication_code": format!("CODE{participant}")}}),
        ] {
            names.push((json!({"referred_rewards_participant_identifier": identifier}), codes.clone()));
            // A participant may stand for its account.
            names.push((json!({"referred_accounts_receivable_identifier": identifier}), codes.clone()));
        }
    }
    names
}

fn event(identifier: &str, referred: &Value) -> Value {
    let mut event = json!({
        "request_unique_identifier": identifier,
        "performed_by_unit_identifier": {"name": "Admin Unit"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_by_accounts_receivable_identifier": {"number": "ACR01"},
    });
    event.as_object_mut().expect("an object").extend(referred.as_object().expect("an object").clone());
    event
}

/// The codes of all that is wrong with each event.
fn codes(answer: &Answer) -> BTreeMap<String, Vec<String>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let unprocessed = answer.unprocessed().into_iter().map(|event| {
        let violations = event["violations"].as_array().cloned().unwrap_or_default();
        (text(&event["request_unique_identifier"]), violations.iter().map(|one| text(&one["error_code"])).collect())
    });
    let processed = answer.processed().into_iter().map(|event| (text(&event["request_unique_identifier"]), Vec::new()));
    processed.chain(unprocessed).collect()
}

async fn every_name_of_a_party_tells_both_states_whatever_was_imported_before(setup: Setup) {
    let server = Server::start(setup).await;
    let mut model = Model::default();
    // The same at every run.
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut below = |end: usize| random.next_u32() as usize % end;
    for step in 0..STEPS {
        // Some rows of one kind, each new or a change of one that is there.
        let rows = 1 + below(3);
        if step == 0 || below(2) == 0 {
            let mut file = String::from("id,number,state\n");
            for n in 0..if step == 0 { PARTIES } else { rows } {
                let account = if step == 0 { n } else { below(PARTIES) };
                let state = ["ACTIVE", "ACTIVE", "SUSPENDED", "TERMINATED"][below(4)];
                model.accounts.insert(account, state);
                writeln!(file, "SA{account}-ID,SA{account},{state}").expect("a line");
            }
            server.import("acme", DirectoryKind::AccountsReceivable, file).await;
        } else {
            let mut file = String::from("id,number,accounts_receivable_number,state\n");
            let mut tokens = String::from("identifier,authentication_code,rewards_participant_number\n");
            for _ in 0..rows {
                let participant = below(PARTIES);
                let is_free = |account: &usize| {
                    model.participants.iter().all(|(other, (of, _))| *other == participant || of != account)
                };
                // Its own account is free for it, so there is always one.
                let free: Vec<usize> = (0..PARTIES).filter(is_free).collect();
                let account = free[below(free.len())];
                let state = ["EFFECTIVE", "NOT_EFFECTIVE"][below(2)];
                model.participants.insert(participant, (account, state));
                writeln!(file, "SP{participant}-ID,SP{participant},SA{account},{state}").expect("a line");
                writeln!(tokens, "S{participant},CODE{participant},SP{participant}").expect("a line");
            }
            server.import("acme", DirectoryKind::RewardsParticipants, file).await;
            server.import("acme", DirectoryKind::AccessTokens, tokens).await;
        }
        let expected = expected(&model);
        // Each in a call of its own would be too slow; in one, each may be referred but once, so nothing is created.
        let events: Vec<Value> =
            expected.iter().enumerate().map(|(n, (referred, _))| event(&n.to_string(), referred)).collect();
        let answer = server
            .bulk(json!({"token": server.token, "validate_only": true, "referral_customer_events_set": events}))
            .await;
        let codes = codes(&answer);
        for (n, (referred, expected)) in expected.iter().enumerate() {
            let mut found = codes[&n.to_string()].clone();
            found.retain(|code| code.contains("NotActive") || code.contains("NotEffective"));
            assert_eq!(&found, expected, "step {step}: {referred}");
        }
    }
}

/// Sends two events, and imports while they wait for their turn, with what they name looked up.
async fn call_during_import(server: &Server, setup: Setup, file: &str) -> Answer {
    let account = |number: &str| json!({"referred_accounts_receivable_identifier": {"number": number}});
    let events = json!([event("good", &account("ACR02")), event("changed", &account("ACR03"))]);
    let replica = server.replica().await;
    let import = replica.import("acme", DirectoryKind::AccountsReceivable, file);
    match setup.engine {
        // Its turn is the transaction itself.
        Engine::Sqlite => {
            let held = server.hold_at("BEGIN");
            tokio::join!(server.send(events), held.meanwhile(import)).0
        }
        _ => {
            let blocker = replica.database.begin_turn(OrganisationId(1)).await.expect("a turn");
            let import = async {
                until_waiting_for_a_lock(&replica.database, 1).await;
                import.await;
                blocker.rollback().await.expect("an end");
            };
            tokio::join!(server.send(events), import).0
        }
    }
}

async fn a_call_that_waits_for_its_turn_sees_what_is_imported_meanwhile(setup: Setup) {
    let server = Server::start(setup).await;
    let answer = call_during_import(&server, setup, "number,state\nACR03,SUSPENDED\n").await;
    answer.assert_outcome(&["good"], &[("changed", "AccountsReceivableNotActive")]);
    assert_eq!(server.stored_events().await.len(), 1);
}

async fn a_call_that_waits_while_something_else_is_imported_creates_its_events(setup: Setup) {
    let server = Server::start(setup).await;
    let answer = call_during_import(&server, setup, "number,state\nACR04,SUSPENDED\n").await;
    answer.assert_outcome(&["good", "changed"], &[]);
    assert_eq!(server.stored_events().await.len(), 2);
}
