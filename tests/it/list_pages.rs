//! How a list comes, page by page.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::Utc;
use referral_events::directory::DirectoryKind;
use serde_json::{Value, json};

use crate::support::{Server, Setup, event, numbers, tests};

tests! {
    Both:
        pages_stay_as_they_are_while_others_create_and_cancel,
        what_is_created_meanwhile_ends_a_list_of_the_oldest_first,
        the_number_of_results_is_1_to_1000,
        a_token_of_another_list_is_refused,
        a_list_is_of_one_moment;
}

/// Creates events; answers their numbers.
async fn populate(server: &Server) -> Vec<i64> {
    let created = server.create_at(&[(Utc::now(), 48)]).await;
    created.into_iter().map(|(number, _)| number).collect()
}

async fn pages_stay_as_they_are_while_others_create_and_cancel(setup: Setup) {
    let server = Server::start(setup).await;
    let before: Vec<i64> = populate(&server).await.into_iter().rev().collect();
    let newest = before[0];
    let done = AtomicBool::new(false);
    let disturb = async {
        let mut newest = newest;
        while !done.load(Ordering::Relaxed) {
            let created = server.send(json!([event("1", "55", "56")])).await.processed().remove(0);
            newest = created["number"].as_str().and_then(|number| number.parse().ok()).expect("a number");
            assert_eq!(server.cancel(json!({"number": created["number"]})).await.code, "OK");
            // One of those that are listed, too; it stays on the list.
            assert_eq!(server.cancel(json!({"number": (newest % before[0] + 1).to_string()})).await.code, "OK");
        }
        newest
    };
    let read = async {
        for number_of_results in 1..=before.len() + 1 {
            let (listed, pages) = server.list_all(&json!({"number_of_results": number_of_results})).await;
            let new: Vec<i64> = listed.iter().copied().take_while(|number| *number > newest).collect();
            assert!(new.is_sorted_by(|a, b| a > b), "{new:?}");
            // All that were there come, once each, however many are new.
            assert_eq!(listed[new.len()..], before, "in pages of {number_of_results}");
            assert_eq!(pages, listed.len().div_ceil(number_of_results));
        }
        done.store(true, Ordering::Relaxed);
    };
    let (last, ()) = tokio::join!(disturb, read);
    assert!(last > newest, "nothing was created meanwhile");
}

async fn what_is_created_meanwhile_ends_a_list_of_the_oldest_first(setup: Setup) {
    let server = Server::start(setup).await;
    let mut expected = populate(&server).await;
    let filters = [
        json!({}),
        json!({"life_cycle_state": "POSTED"}),
        json!({"referred_by_accounts_receivable_identifier": {"number": "ACR60"}}),
        json!({"referred_or_referred_by_accounts_receivable_identifier": {"number": "ACR60"}}),
        json!({"created_on_from": "2020-01-01T00:00:00Z"}),
    ];
    for (n, mut list) in filters.into_iter().enumerate() {
        (list["order"], list["number_of_results"]) = (json!("OLDEST_FIRST"), json!(20));
        let (mut listed, mut pages) = (Vec::new(), 0);
        loop {
            let page = server.list(list.clone()).await;
            listed.extend(numbers(&page));
            pages += 1;
            if pages == 2 {
                let sent = json!([event("1", &format!("0{}", n + 1), "60")]);
                let created = server.send(sent).await.processed().remove(0);
                expected.push(created["number"].as_str().and_then(|number| number.parse().ok()).expect("a number"));
            }
            match page.data.get("next_page_token") {
                Some(token) => list["page_token"] = token.clone(),
                None => break,
            }
        }
        assert_eq!((listed, pages), (expected.clone(), 3), "{list}");
    }
}

async fn the_number_of_results_is_1_to_1000(setup: Setup) {
    let server = Server::start(setup).await;
    let rows = (0..1001).map(|n| (n + 1, Utc::now(), None)).collect();
    server.insert(rows).await;
    for number_of_results in [0, 1001, u32::MAX] {
        let answer = server.list(json!({"number_of_results": number_of_results})).await;
        answer.assert_refused("InvalidAttributeValue");
        assert!(answer.message.contains("number_of_results"), "{answer:?}");
    }
    assert_eq!(numbers(&server.list(json!({"number_of_results": 1})).await), [1001]);
    let page = server.list(json!({"number_of_results": 1000})).await;
    assert_eq!(numbers(&page), (2..=1001).rev().collect::<Vec<_>>());
    let rest = server.list(json!({"page_token": page.data["next_page_token"]})).await;
    assert_eq!((numbers(&rest), rest.data.get("next_page_token")), (vec![1], None));
    assert_eq!(numbers(&server.list(json!({})).await).len(), 100);
}

async fn a_token_of_another_list_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    populate(&server).await;
    let list = json!({"number_of_results": 2, "life_cycle_state": "POSTED"});
    let token = server.list(list.clone()).await.data["next_page_token"].as_str().expect("a token").to_owned();
    let with = |list: &Value, token: &str| {
        let mut list = list.clone();
        list["page_token"] = json!(token);
        list
    };
    // The size of the page and the fields are not what the list is.
    let mut other_size = with(&list, &token);
    other_size["number_of_results"] = json!(7);
    other_size["fields_set"] = json!(["number"]);
    // Nor is the order that it has by default.
    other_size["order"] = json!("NEWEST_FIRST");
    assert_eq!(numbers(&server.list(other_size).await).len(), 7);
    let mut oldest_first = list.clone();
    oldest_first["order"] = json!("OLDEST_FIRST");
    let of_oldest_first = server.list(oldest_first).await.data["next_page_token"].as_str().expect("a token").to_owned();

    let mut refused = vec![
        with(&list, &of_oldest_first),
        with(&json!({}), &token),
        with(&json!({"life_cycle_state": "CANCELLED"}), &token),
        with(&json!({"life_cycle_state": "POSTED", "order": "OLDEST_FIRST"}), &token),
        with(&json!({"life_cycle_state": "POSTED", "external_system": "till"}), &token),
    ];
    let changed = format!("{}{}", if token.starts_with('1') { "2" } else { "1" }, &token[1..]);
    let lower = format!("{:016x}{}", 3, &token[16..]);
    for garbage in [
        "x",
        "0000000000000000",
        &changed,
        &lower,
        &token[..token.len() - 1],
        &format!("{token}0"),
        "ü".repeat(30).as_str(),
        "+000000000000001",
    ] {
        refused.push(with(&list, garbage));
    }
    let mut of_other = with(&list, &token);
    of_other["token"] = json!(server.login("other", "oscar").await);
    refused.push(of_other);
    for list in refused {
        let answer = server.list(list.clone()).await;
        assert_eq!(answer.code, "InvalidPageTokenException", "{list}");
    }
    // Another server takes it, and another user of the organisation.
    let replica = server.replica().await;
    let mut of_rita = with(&list, &token);
    of_rita["token"] = json!(server.login("acme", "rita").await);
    assert_eq!(replica.list(with(&list, &token)).await, server.list(of_rita).await);
}

async fn a_list_is_of_one_moment(setup: Setup) {
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    server.send(json!([event("1", "01", "20")])).await.assert_outcome(&["1"], &[]);
    let filter = json!({"referred_accounts_receivable_identifier": {"number": "ACR01"}});
    // Between the look-up of the account and that of its events.
    let held = server.hold_at("LIMIT $17");
    let rename = replica.import("acme", DirectoryKind::AccountsReceivable, "id,number\nACR01-ID,ACR99\n");
    let (page, ()) = tokio::join!(server.list(filter.clone()), held.meanwhile(rename));
    let events = page.data["customer_events_set"].as_array().expect("events");
    let names: Vec<&Value> = events.iter().map(|event| &event["referred_accounts_receivable"]["number"]).collect();
    assert_eq!(names, [&json!("ACR01")]);
    server.list(filter).await.assert_refused("AccountsReceivableNotFound");
}
