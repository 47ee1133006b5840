//! One-time passwords work once: for the event that they helped to create, and for its retry.

use referral_events::directory::DirectoryKind;
use serde_json::{Value, json};

use crate::support::{Server, Setup, event, tests};

tests! {
    Both:
        a_one_time_password_works_once,
        a_one_time_password_works_once_within_a_call,
        an_event_that_fails_leaves_its_one_time_password_usable,
        a_retry_with_its_used_one_time_password_is_answered_as_processed,
        a_retry_within_a_call_may_use_the_one_time_password_of_its_first,
        a_retry_is_the_same_within_a_call_and_over_several,
        a_new_one_time_password_works_after_the_old_one_was_used,
        both_parties_may_be_identified_by_one_time_passwords;
    Postgres:
        a_call_by_a_one_time_password_that_is_being_replaced_does_not_use_up_the_new_one;
}

/// An event whose referrer is identified by the one-time password of token 26.
fn by_password(identifier: &str, referred: &str) -> Value {
    let mut event = event(identifier, referred, "26");
    event["referred_by_rewards_participant_identifier"] =
        json!({"access_token_identifier": {"one_time_password": "123456"}});
    event
}

fn referenced(mut event: Value, reference: &str) -> Value {
    event["external_system_reference_number"] = json!(reference);
    event
}

async fn a_one_time_password_works_once(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([by_password("1", "01")])).await.assert_outcome(&["1"], &[]);
    let answer = server.send(json!([by_password("2", "02"), by_password("3", "01")])).await;
    // A used one is told apart neither from a wrong one nor by what else is wrong.
    answer.assert_outcome(&[], &[("2", "InvalidAccessToken"), ("3", "InvalidAccessToken")]);
    let unknown = "Error:Access Token Is Invalid. - Description:The access token does not identify a rewards \
                   participant.";
    assert!(answer.unprocessed().iter().all(|event| event["error_description"] == unknown), "{answer:?}");
    // The token's other codes identify as before.
    let mut by_code = event("4", "04", "26");
    by_code["referred_by_rewards_participant_identifier"] =
        json!({"access_token_identifier": {"authentication_code": "AUTH26"}});
    server.send(json!([by_code])).await.assert_outcome(&["4"], &[]);
    assert_eq!(server.stored_events().await.len(), 2);
}

async fn a_one_time_password_works_once_within_a_call(setup: Setup) {
    let server = Server::start(setup).await;
    let answer = server.send(json!([by_password("1", "01"), by_password("2", "02"), by_password("3", "03")])).await;
    answer.assert_outcome(&["1"], &[("2", "InvalidAccessToken"), ("3", "InvalidAccessToken")]);
    // Also where the second would be its referred party.
    let server = Server::start(setup).await;
    let mut referred = event("2", "26", "02");
    referred["referred_rewards_participant_identifier"] =
        json!({"access_token_identifier": {"one_time_password": "123456"}});
    let answer = server.send(json!([by_password("1", "01"), referred])).await;
    answer.assert_outcome(&["1"], &[("2", "InvalidAccessToken")]);
}

async fn an_event_that_fails_leaves_its_one_time_password_usable(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("0", "01", "02")])).await.assert_outcome(&["0"], &[]);
    let mut elsewhere = by_password("2", "03");
    elsewhere["performed_by_unit_identifier"] = json!({"name": "Nowhere"});
    let failing = [
        (by_password("1", "01"), "ReferredByAnotherParticipant"),
        (elsewhere, "UnitNotFound"),
        (by_password("3", "26"), "SelfReferral"),
        (by_password("4", "51"), "AccountsReceivableNotActive"),
        (by_password("5", "99"), "RewardsParticipantNotFound"),
    ];
    for (event, code) in &failing {
        let identifier = event["request_unique_identifier"].as_str().expect("a text");
        server.send(json!([event])).await.assert_outcome(&[], &[(identifier, *code)]);
    }
    // In one call with the event that uses it, too.
    let mut events: Vec<Value> = failing.iter().map(|(event, _)| event.clone()).collect();
    events.push(by_password("6", "06"));
    let answer = server.send(json!(events)).await;
    assert_eq!(answer.processed_identifiers(), ["6"]);
    let codes: Vec<String> = answer.failures().into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, failing.map(|(_, code)| code));
}

async fn a_retry_with_its_used_one_time_password_is_answered_as_processed(setup: Setup) {
    let server = Server::start(setup).await;
    let first = server.send(json!([referenced(by_password("1", "01"), "R1")])).await;
    first.assert_outcome(&["1"], &[]);
    let again = server.send(json!([referenced(by_password("1", "01"), "R1")])).await;
    assert_eq!(again, first);
    // The password may have run out meanwhile.
    let rows = "identifier,rewards_participant_number,one_time_password_expires_on\n\
                t26@example.com,RP26,2001-01-01T00:00:00\n";
    server.import("acme", DirectoryKind::AccessTokens, rows).await;
    assert_eq!(server.send(json!([referenced(by_password("1", "01"), "R1")])).await, first);
    // Another event has no use of it, under a reference of its own, without one, or under this one.
    let answer = server
        .send(json!([
            referenced(by_password("2", "02"), "R2"),
            by_password("3", "03"),
            referenced(by_password("4", "04"), "R1"),
        ]))
        .await;
    let invalid = "InvalidAccessToken";
    answer.assert_outcome(&[], &[("2", invalid), ("3", invalid), ("4", invalid)]);
    assert_eq!(server.stored_events().await.len(), 1);
}

async fn a_retry_within_a_call_may_use_the_one_time_password_of_its_first(setup: Setup) {
    let server = Server::start(setup).await;
    let answer = server
        .send(json!([
            referenced(by_password("1", "01"), "R1"),
            referenced(by_password("2", "02"), "R2"),
            referenced(by_password("3", "01"), "R1"),
        ]))
        .await;
    answer.assert_outcome(&["1", "3"], &[("2", "InvalidAccessToken")]);
    let processed = answer.processed();
    assert_eq!((&processed[0]["id"], &processed[0]["number"]), (&processed[1]["id"], &processed[1]["number"]));
    assert_eq!(server.stored_events().await.len(), 1);

    // An event that was created without a password and is sent again with one has not used it up.
    let server = Server::start(setup).await;
    server.send(json!([referenced(event("1", "01", "26"), "R1")])).await.assert_outcome(&["1"], &[]);
    server.send(json!([referenced(by_password("2", "01"), "R1")])).await.assert_outcome(&["2"], &[]);
    server.send(json!([by_password("3", "03")])).await.assert_outcome(&["3"], &[]);
    // Now that another event has, sending it with the password is a second use.
    let answer = server.send(json!([referenced(by_password("4", "01"), "R1")])).await;
    answer.assert_outcome(&[], &[("4", "InvalidAccessToken")]);
}

async fn a_retry_is_the_same_within_a_call_and_over_several(setup: Setup) {
    let by_number = |identifier: &str| referenced(event(identifier, "01", "26"), "R1");
    let retry = |identifier: &str| referenced(by_password(identifier, "01"), "R1");
    // A retry may give a password that the first did not, as long as it is nobody's. It does not use it up.
    let unused = (vec![by_number("1"), retry("2"), by_password("3", "03")], vec!["1", "2", "3"], vec![]);
    // One that another event has used is no retry's.
    let used = (
        vec![by_number("1"), by_password("2", "02"), retry("3"), retry("4")],
        vec!["1", "2"],
        vec![("3", "InvalidAccessToken"), ("4", "InvalidAccessToken")],
    );
    for (events, processed, failures) in [unused, used] {
        // All at once, cut in two at every place, and one by one.
        let cuts: [&[usize]; 5] = [&[], &[1], &[2], &[3], &[1, 2, 3]];
        for cuts in cuts {
            let server = Server::start(setup).await;
            let mut outcome = (Vec::new(), Vec::new());
            let ends = cuts.iter().copied().filter(|cut| *cut < events.len()).chain([events.len()]);
            let mut start = 0;
            for end in ends {
                let call = &events[std::mem::replace(&mut start, end)..end];
                let answer = server.send(json!(call)).await;
                outcome.0.extend(answer.processed_identifiers());
                outcome.1.extend(answer.failures());
            }
            let failures: Vec<_> =
                failures.iter().map(|(identifier, code)| ((*identifier).to_owned(), (*code).to_owned())).collect();
            assert_eq!(outcome, (processed.iter().map(|&identifier| identifier.to_owned()).collect(), failures));
        }
    }
}

async fn a_new_one_time_password_works_after_the_old_one_was_used(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([by_password("1", "01")])).await.assert_outcome(&["1"], &[]);
    let rows = "identifier,rewards_participant_number,one_time_password\nt26@example.com,RP26,777777\n";
    server.import("acme", DirectoryKind::AccessTokens, rows).await;
    let mut renewed = by_password("3", "03");
    renewed["referred_by_rewards_participant_identifier"] =
        json!({"access_token_identifier": {"one_time_password": "777777"}});
    let answer = server.send(json!([by_password("2", "02"), renewed])).await;
    answer.assert_outcome(&["3"], &[("2", "InvalidAccessToken")]);
    // A password that was used is free for another token.
    let rows = "identifier,rewards_participant_number,one_time_password,one_time_password_expires_on\n\
                t25@example.com,RP25,123456,9000-01-01T00:00:00\n";
    server.import("acme", DirectoryKind::AccessTokens, rows).await;
    server.send(json!([by_password("4", "04")])).await.assert_outcome(&["4"], &[]);
    assert_eq!(server.stored_events().await[2].referred_by_account_key, server.account("25").await);
}

async fn both_parties_may_be_identified_by_one_time_passwords(setup: Setup) {
    let server = Server::start(setup).await;
    let mut event = by_password("1", "20");
    event["referred_rewards_participant_identifier"] =
        json!({"access_token_identifier": {"one_time_password": "020020"}});
    server.send(json!([event.clone()])).await.assert_outcome(&["1"], &[]);
    let stored = server.stored_events().await;
    let parties = [stored[0].referred_account_key, stored[0].referred_by_account_key];
    assert_eq!(parties, [server.account("20").await, server.account("26").await]);
    // Both are used up.
    let mut first = event.clone();
    first["referred_by_rewards_participant_identifier"] = json!({"number": "RP01"});
    let mut second = by_password("2", "02");
    second["request_unique_identifier"] = json!("2");
    let answer = server.send(json!([first, second])).await;
    answer.assert_outcome(&[], &[("1", "InvalidAccessToken"), ("2", "InvalidAccessToken")]);
}

async fn a_call_by_a_one_time_password_that_is_being_replaced_does_not_use_up_the_new_one(setup: Setup) {
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    // While its events are being loaded, and when the password is just about to be used up.
    for (n, statement) in ["INSERT INTO referral_events", "UPDATE access_tokens"].into_iter().enumerate() {
        let (old, new) = (json!(format!("10000{n}")), json!(format!("20000{n}")));
        let by = |password: &Value, identifier: &str, referred: &str| {
            let mut event = by_password(identifier, referred);
            event["referred_by_rewards_participant_identifier"]["access_token_identifier"]["one_time_password"] =
                password.clone();
            event
        };
        let replace = async |password: &Value| {
            let rows = format!(
                "identifier,rewards_participant_number,one_time_password\nt26@example.com,RP26,{}\n",
                password.as_str().expect("a text")
            );
            replica.import("acme", DirectoryKind::AccessTokens, rows).await;
        };
        replace(&old).await;
        let (first, second) = (format!("0{}", 1 + 2 * n), format!("0{}", 2 + 2 * n));
        let beside = event("beside", &format!("1{n}"), "20");
        let held = server.hold_at(statement);
        let call = server.send(json!([beside, by(&old, "old", &first)]));
        let (answer, ()) = tokio::join!(call, held.meanwhile(replace(&new)));
        answer.assert_outcome(&["beside"], &[("old", "InvalidAccessToken")]);
        server.send(json!([by(&new, "new", &second)])).await.assert_outcome(&["new"], &[]);
    }
}
