//! How much of what is stored looking back reads, and in how many statements.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use referral_events::directory::DirectoryKind;
use serde_json::{Value, json};

use crate::support::{Engine, Server, Setup, method, numbers, tests};

tests! {
    Both:
        a_page_reads_a_bounded_number_of_events,
        a_period_long_ago_is_found_at_once,
        looking_back_takes_a_constant_number_of_statements;
}

async fn a_page_reads_a_bounded_number_of_events(setup: Setup) {
    let server = Server::start(setup).await;
    let classification = server.key(DirectoryKind::Classifications, "CL1").await;
    // With a gap of numbers that is wider than what a page reads.
    let number = |n: i64| if n <= 25_000 { n } else { n + 1_000_000 };
    let found = [1, 2, 24_000, 25_000, 45_000];
    let rows = (1..=45_000).map(|n| (number(n), Utc::now(), found.contains(&n).then_some(classification)));
    server.insert(rows.collect()).await;
    let expected: Vec<i64> = found.iter().rev().map(|n| number(*n)).collect();
    let friends = json!({"classification_identifier": {"name": "Friend"}});
    let mut of_referrer = friends.clone();
    of_referrer["referred_by_accounts_receivable_identifier"] = json!({"number": "ACR60"});
    let mut of_either = friends.clone();
    of_either["referred_or_referred_by_accounts_receivable_identifier"] = json!({"number": "ACR60"});
    for (mut list, order) in [friends, of_referrer, of_either]
        .into_iter()
        .flat_map(|list| ["NEWEST_FIRST", "OLDEST_FIRST"].map(|order| (list.clone(), order)))
    {
        list["order"] = json!(order);
        let mut expected = expected.clone();
        let mut in_first = vec![number(45_000)];
        if order == "OLDEST_FIRST" {
            expected.reverse();
            in_first = vec![1, 2];
        }
        let (listed, pages) = server.list_all(&list).await;
        assert_eq!(listed, expected, "{list}");
        // Three of 20,000 events, at least, for 45,000.
        assert!((3..=4).contains(&pages), "{pages} for {list}");
        let first = server.list(list.clone()).await;
        assert_eq!(numbers(&first), in_first, "{list}");
        assert!(first.data.get("next_page_token").is_some());
        let mut by_one = list.clone();
        by_one["number_of_results"] = json!(1);
        assert_eq!(server.list_all(&by_one).await.0, expected);
    }
    // Where all that is read is wanted, nothing but the page ends it.
    for (party, order) in [("referred_by", "NEWEST_FIRST"), ("referred_or_referred_by", "OLDEST_FIRST")] {
        let mut list = json!({"number_of_results": 1000, "fields_set": ["number"], "order": order});
        list[format!("{party}_accounts_receivable_identifier")] = json!({"number": "ACR60"});
        let (all, pages) = server.list_all(&list).await;
        assert_eq!((all.len(), pages), (45_000, 45));
    }
}

async fn a_period_long_ago_is_found_at_once(setup: Setup) {
    let server = Server::start(setup).await;
    // One an hour, some three years; what a page may read is less than that.
    let created_on = |n: i64| "2020-01-01T00:00:00Z".parse::<DateTime<Utc>>().expect("a date") + TimeDelta::hours(n);
    server.insert((1..=25_000).map(|n| (n, created_on(n), None)).collect()).await;
    for (list, expected) in [
        (json!({"created_on_from": created_on(10), "created_on_to": created_on(12)}), vec![12, 11, 10]),
        (json!({"created_on_to": created_on(2)}), vec![2, 1]),
        (json!({"created_on_to": created_on(2) - TimeDelta::nanoseconds(1)}), vec![1]),
        (
            json!({"created_on_from": created_on(2) + TimeDelta::nanoseconds(1), "created_on_to": created_on(3)}),
            vec![3],
        ),
        (json!({"created_on_from": created_on(24_999)}), vec![25_000, 24_999]),
        (json!({"created_on_to": "1969-01-01T00:00:00Z"}), vec![]),
        (json!({"created_on_from": "9999-12-31T23:59:59Z"}), vec![]),
        (json!({"created_on_from": created_on(9), "created_on_to": created_on(8)}), vec![]),
    ] {
        let page = server.list(list.clone()).await;
        assert_eq!(numbers(&page), expected, "{list}");
        assert_eq!(page.data.get("next_page_token"), None, "{list}");
        let mut oldest_first = list.clone();
        oldest_first["order"] = json!("OLDEST_FIRST");
        let page = server.list(oldest_first).await;
        assert_eq!(numbers(&page), expected.into_iter().rev().collect::<Vec<_>>(), "{list}");
        assert_eq!(page.data.get("next_page_token"), None, "{list}");
    }
    let (listed, _) = server
        .list_all(&json!({"created_on_from": created_on(100), "number_of_results": 1000, "fields_set": ["number"]}))
        .await;
    assert_eq!(listed, (100..=25_000).rev().collect::<Vec<_>>());
}

async fn looking_back_takes_a_constant_number_of_statements(setup: Setup) {
    let server = Server::start(setup).await;
    server.insert((1..=3000).map(|n| (n, Utc::now(), None)).collect()).await;
    let count = async |name: &str, request: Value| {
        server.take_statements();
        let answer =
            server.call(&method(name), request, &[("authorization", &format!("Bearer {}", server.token))]).await;
        assert_eq!(answer.code, "OK", "{answer:?}");
        server.take_statements().len()
    };
    for number in ["1", "2000"] {
        // Who calls; the beginning; the event; the names of what it refers to; its calls; the end.
        assert_eq!(count("GetReferralEvent", json!({"customer_event_identifier": {"number": number}})).await, 6);
    }
    // On PostgreSQL a cancelling call waits for its turn; the first time it changes the event, and keeps who did.
    let turn = usize::from(setup.engine == Engine::Postgres);
    let cancel = json!({"customer_event_identifier": {"number": "7"}});
    assert_eq!(count("CancelReferralEvent", cancel.clone()).await, 6 + turn);
    assert_eq!(count("CancelReferralEvent", cancel).await, 4 + turn);
    let of_lists: BTreeSet<usize> = [
        count("ListReferralEvents", json!({"number_of_results": 1})).await,
        count("ListReferralEvents", json!({"number_of_results": 10})).await,
        count("ListReferralEvents", json!({"number_of_results": 1000})).await,
    ]
    .into();
    assert_eq!(of_lists, BTreeSet::from([6]));
    for number_of_results in [1, 1000] {
        // And the places; the parties; what is known of the clock, and where the period begins; how far to read. None
        // is found, so no names are looked up.
        let list = json!({
            "number_of_results": number_of_results,
            "performed_by_unit_identifier": {"alternative_code": "U1"},
            "referred_by_accounts_receivable_identifier": {"number": "ACR60"},
            "created_on_from": "2020-01-01T00:00:00Z",
        });
        assert_eq!(count("ListReferralEvents", list.clone()).await, 9);
        // And the next of the user's calls.
        let mut of_user = list;
        of_user["created_by"] = json!("carla");
        assert_eq!(count("ListReferralEvents", of_user).await, 10);
        let unprocessed = json!({"number_of_results": number_of_results});
        // Who calls; how far to read; the events.
        assert_eq!(count("ListUnprocessedEvents", unprocessed).await, 3);
    }
}
