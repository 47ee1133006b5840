//! What is told of a participant's referrals, and of the tree that it stands in.

use std::{collections::BTreeMap, time::Instant};

use proptest::{collection::vec, prelude::*, strategy::ValueTree, test_runner::TestRunner};
use referral_events::{directory::DirectoryKind, id::AccountKey};
use serde_json::{Value, json};

use crate::support::{Answer, Server, Setup, directory_calls::rows, event, tests};

tests! {
    Both:
        a_participant_is_told_with_its_account_its_referrer_and_how_many_it_has_referred,
        trees_are_what_a_naive_walk_finds,
        what_cannot_be_meant_is_refused,
        a_party_of_another_organisation_has_no_tree;
    Grpc:
        a_long_chain_is_told_page_by_page,
        a_referrer_of_many_is_told_page_by_page;
}

const TREE: &str = "ListReferralTree";

async fn a_participant_is_told_with_its_account_its_referrer_and_how_many_it_has_referred(setup: Setup) {
    let server = Server::start(setup).await;
    let events =
        json!([event("1", "01", "02"), event("2", "03", "01"), event("3", "04", "01"), event("4", "05", "01")]);
    let answer = server.send(events).await;
    let first = answer.processed()[0]["number"].clone();
    server.cancel(json!({"number": answer.processed()[3]["number"]})).await;
    let show =
        |number: &str| server.show("GetParticipant", json!({"rewards_participant_identifier": {"number": number}}));
    let expected = json!({
        "id": "RP01-ID", "number": "RP01", "state": "EFFECTIVE",
        "accounts_receivable": {"id": "ACR01-ID", "number": "ACR01", "state": "ACTIVE"},
        "referred_by_accounts_receivable": {"id": "ACR02-ID", "number": "ACR02"},
        "referred_by_rewards_participant": {"id": "RP02-ID", "number": "RP02"},
        "referred_by_event_number": first,
        "number_of_referred": 2, "has_referred_more": false,
    });
    assert_eq!(show("RP01").await.data, expected);
    let root = show("RP02").await.data;
    assert_eq!(root["number_of_referred"], 1);
    for absent in ["referred_by_accounts_receivable", "referred_by_rewards_participant", "referred_by_event_number"] {
        assert!(root.get(absent).is_none(), "{root}");
    }
    // The referral of 05 was cancelled.
    assert!(show("RP05").await.data.get("referred_by_event_number").is_none());
}

/// Who was referred by whom, by number of participants, with the event's number.
type Referrals = BTreeMap<usize, (usize, i64)>;

/// The level and the number of each party above or below one, as one finds them by walking.
fn walk(referrals: &Referrals, from: usize, level: usize, levels: Option<usize>) -> Vec<(usize, usize)> {
    let Some(levels) = levels else {
        let Some((referrer, _)) = referrals.get(&from) else { return Vec::new() };
        return [vec![(level, *referrer)], walk(referrals, *referrer, level + 1, None)].concat();
    };
    let mut below: Vec<(i64, usize)> =
        referrals.iter().filter(|(_, (by, _))| *by == from).map(|(of, (_, number))| (*number, *of)).collect();
    below.sort_unstable();
    let mut found = Vec::new();
    for (_, party) in below {
        found.push((level, party));
        if level < levels {
            found.extend(walk(referrals, party, level + 1, Some(levels)));
        }
    }
    found
}

fn told(nodes: &[Value]) -> Vec<(usize, usize)> {
    let digits = |node: &Value| node["rewards_participant"]["number"].as_str().expect("a number")[2..].to_owned();
    let level = |node: &Value| usize::try_from(node["level"].as_u64().expect("a level")).expect("a level");
    nodes.iter().map(|node| (level(node), digits(node).parse().expect("digits"))).collect()
}

async fn trees_are_what_a_naive_walk_finds(setup: Setup) {
    let server = Server::start(setup).await;
    // Of 50 parties each is referred by an earlier one, or by none; some are cancelled.
    let parties = vec((any::<prop::sample::Index>(), any::<bool>(), 0..5u8), 50);
    let mut runner = TestRunner::deterministic();
    let drawn = parties.new_tree(&mut runner).expect("parties").current();
    let mut referrals = Referrals::new();
    for (n, (index, is_root, fate)) in drawn.into_iter().enumerate() {
        if n == 0 || (is_root && fate == 0) {
            continue;
        }
        // Near ones make it deep, far ones broad.
        let by = if is_root { index.index(n) } else { n - 1 - index.index(n.min(3)) };
        let name = |n: usize| format!("{:02}", n + 1);
        let created = server.send(json!([event("1", &name(n), &name(by))])).await;
        let number = created.processed()[0]["number"].clone();
        if fate == 1 {
            server.cancel(json!({"number": number})).await;
        } else {
            referrals.insert(n + 1, (by + 1, number.as_str().expect("a number").parse().expect("digits")));
        }
    }
    assert!(referrals.len() > 20);
    for from in 1..=50 {
        let party = json!({"number": format!("RP{from:02}")});
        for (levels, size) in
            [(None, 1), (None, 3), (Some(1), 2), (Some(2), 1), (Some(3), 7), (Some(10), 1000), (Some(10), 4)]
        {
            let mut request = json!({"rewards_participant_identifier": party, "number_of_results": size});
            request["direction"] = json!(if levels.is_some() { "DOWN" } else { "UP" });
            if let Some(levels) = levels {
                request["levels"] = json!(levels);
            }
            let (nodes, pages) = server.pages(TREE, &request).await;
            let expected = walk(&referrals, from, 1, levels);
            assert_eq!(told(&nodes), expected, "{request}");
            assert!(pages <= expected.len().div_ceil(size).max(1) + 1, "{pages} pages for {request}");
            for node in &nodes {
                let digits = told(std::slice::from_ref(node))[0].1;
                assert_eq!(node["accounts_receivable"]["number"], format!("ACR{digits:02}"));
            }
        }
    }
}

async fn what_cannot_be_meant_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let of = |more: Value| {
        let mut request = json!({"rewards_participant_identifier": {"number": "RP01"}});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        request
    };
    for (request, code, field) in [
        (json!({}), "MissingMandatoryAttribute", "rewards_participant_identifier"),
        (of(json!({"accounts_receivable_identifier": {"number": "ACR01"}})), "InvalidIdentifier", "identifier"),
        (of(json!({"direction": "LEFT"})), "InvalidAttributeValue", "direction"),
        (of(json!({"levels": 0})), "InvalidAttributeValue", "levels"),
        (of(json!({"levels": 11})), "InvalidAttributeValue", "levels"),
        (of(json!({"number_of_results": 0})), "InvalidAttributeValue", "number_of_results"),
        (of(json!({"fields_set": ["shoe_size"]})), "InvalidFieldsSet", "shoe_size"),
        (of(json!({"page_token": "x"})), "InvalidPageToken", "page token"),
        (json!({"rewards_participant_identifier": {"number": "RP99"}}), "RewardsParticipantNotFound", "RP99"),
    ] {
        let answer = server.page(TREE, request.clone()).await;
        answer.assert_refused(code);
        assert!(answer.message.contains(field), "{request}: {answer:?}");
    }
    server.send(json!([event("1", "01", "02"), event("2", "03", "02")])).await.assert_outcome(&["1", "2"], &[]);
    let of_02 = |more: Value| {
        let mut request = json!({"rewards_participant_identifier": {"number": "RP02"}, "number_of_results": 1});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        server.page(TREE, request)
    };
    let first = of_02(json!({})).await;
    let token = first.data["next_page_token"].clone();
    // A token is of its party, its direction and its levels.
    for other in [
        json!({"levels": 2}),
        json!({"direction": "UP"}),
        json!({"rewards_participant_identifier": {"number": "RP01"}}),
    ] {
        let mut other = other.clone();
        other["page_token"] = token.clone();
        of_02(other).await.assert_refused("InvalidPageToken");
    }
    assert_eq!(told(&rows(&of_02(json!({"page_token": token})).await)), [(1, 3)]);
}

async fn a_party_of_another_organisation_has_no_tree(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
    let token = server.login("other", "oscar").await;
    let request = json!({"token": token, "rewards_participant_identifier": {"number": "RP02"}});
    server.page(TREE, request).await.assert_refused("RewardsParticipantNotFound");
}

/// Accounts of numbers from C00000 on, without participants.
async fn accounts(server: &Server, count: usize) -> Vec<AccountKey> {
    let numbers: Vec<String> = (0..count).map(|n| format!("C{n:05}")).collect();
    server.import("acme", DirectoryKind::AccountsReceivable, format!("number\n{}\n", numbers.join("\n"))).await;
    let first: i64 = server.key(DirectoryKind::AccountsReceivable, "C00000").await;
    (0..count as i64).map(|n| AccountKey(first + n)).collect()
}

fn numbers(page: &Answer) -> Vec<String> {
    let number = |node: &Value| node["accounts_receivable"]["number"].as_str().expect("a number").to_owned();
    rows(page).iter().map(number).collect()
}

async fn a_long_chain_is_told_page_by_page(setup: Setup) {
    let server = Server::start(setup).await;
    let count = 30_000;
    server.insert_chain(&accounts(&server, count).await).await;
    let of = |number: &str| json!({"accounts_receivable_identifier": {"number": number}, "number_of_results": 1000});
    let mut up = of("C00000");
    up["direction"] = json!("UP");
    server.take_statements();
    let begun = Instant::now();
    let first = server.page(TREE, up.clone()).await;
    let of_a_page = begun.elapsed();
    assert!(server.take_statements().len() < 12);
    assert_eq!(numbers(&first), (1..=1000).map(|n| format!("C{n:05}")).collect::<Vec<_>>());
    assert!(of_a_page.as_secs() < 5, "{of_a_page:?}");
    let (all, pages) = server.pages(TREE, &up).await;
    assert_eq!((all.len(), pages), (count - 1, 30));
    assert_eq!(all.last().expect("a root")["level"], 29_999);
    let mut down = of("C29999");
    down["levels"] = json!(10);
    let page = server.page(TREE, down).await;
    assert_eq!(numbers(&page), (0..10).map(|n| format!("C{:05}", count - 2 - n)).collect::<Vec<_>>());
    assert!(page.data.get("next_page_token").is_none());
}

async fn a_referrer_of_many_is_told_page_by_page(setup: Setup) {
    let server = Server::start(setup).await;
    let rows_of_events = (1..=30_000).map(|n| (n, chrono::Utc::now(), None)).collect();
    server.insert(rows_of_events).await;
    let participant = json!({"rewards_participant_identifier": {"number": "RP60"}});
    let shown = server.show("GetParticipant", participant.clone()).await.data;
    assert_eq!((&shown["number_of_referred"], &shown["has_referred_more"]), (&json!(20_000), &json!(true)));
    let mut request = participant;
    (request["levels"], request["number_of_results"]) = (json!(10), json!(1000));
    server.take_statements();
    let first = server.page(TREE, request.clone()).await;
    assert_eq!(rows(&first).len(), 1000);
    assert!(server.take_statements().len() < 12);
    let (all, pages) = server.pages(TREE, &request).await;
    assert_eq!((all.len(), pages), (30_000, 30));
    let events: Vec<i64> =
        all.iter().map(|node| node["event_number"].as_str().expect("a number").parse().expect("digits")).collect();
    assert_eq!(events, (1..=30_000).collect::<Vec<i64>>());
}
