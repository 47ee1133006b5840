//! Clocks of servers differ, are set back and jump; a list of what was created in a period is right all the same.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};
use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value as Parameter};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::support::{Server, Setup, event, numbers, tests};

tests! {
    Rest:
        a_list_by_creation_is_complete_whatever_the_clock_did,
        a_period_is_found_at_once_before_and_after_the_clock_was_wrong,
        a_call_by_a_clock_that_is_behind_is_found;
}

fn start() -> DateTime<Utc> {
    "2026-11-26T12:00:00.000001Z".parse().expect("a date")
}

/// What the clock does before a call, in microseconds.
fn moves() -> impl Strategy<Value = i64> {
    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3600 * SECOND;
    const DAY: i64 = 24 * HOUR;
    prop_oneof![
        6 => 0..20 * SECOND,
        2 => -40 * SECOND..0,
        2 => select(vec![-HOUR, HOUR, -11 * 60 * SECOND, 10 * 60 * SECOND, 5 * HOUR]),
        1 => select(vec![-DAY, DAY, -DAY - 1, 1 - DAY, -3 * DAY, 3 * DAY]),
        1 => select(vec![-70 * 365 * DAY, 70 * 365 * DAY]),
    ]
}

/// Moves of the clock, each with the number of events created then; and periods, each end that of an event, give or take.
type Case = (Vec<(i64, usize)>, Vec<[Option<(Index, i64)>; 2]>);

fn case() -> impl Strategy<Value = Case> {
    let end = || proptest::option::weighted(0.8, (any::<Index>(), -1..=1_i64));
    let period = (end(), end()).prop_map(|(from, to)| [from, to]);
    (vec((moves(), 1..4_usize), 1..40), vec(period, 6))
}

async fn a_list_by_creation_is_complete_whatever_the_clock_did(setup: Setup) {
    let server = Server::start(setup).await;
    let organisation_id = server.acme().await;
    let runtime = Handle::current();
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    let try_case = async |(moves, periods): Case| {
        for sql in [
            "DELETE FROM referral_events WHERE organisation_id = $1",
            "UPDATE counters SET last_value = 0, steady_from = 0, latest_creation = 0, greatest_lag = 0, \
             greatest_lag_before = 0 WHERE organisation_id = $1 AND name = 'event_number'",
        ] {
            execute(&server, sql, vec![organisation_id.into()]).await;
        }
        let mut now = start();
        let mut calls = Vec::new();
        for (microseconds, count) in moves {
            now += TimeDelta::microseconds(microseconds);
            calls.push((now, count));
        }
        let created = server.create_at(&calls).await;
        for ends in periods {
            let [from, to] = ends.map(|end| {
                let (index, microseconds) = end?;
                Some(index.get(&created).1 + TimeDelta::microseconds(microseconds))
            });
            let expected = created
                .iter()
                .rev()
                .filter(|(_, date)| from.is_none_or(|from| from <= *date) && to.is_none_or(|to| *date <= to));
            let expected: Vec<i64> = expected.map(|(number, _)| *number).collect();
            let (listed, _) = server.list_all(&period(from, to)).await;
            prop_assert_eq!(listed, expected, "from {:?} to {:?}", from, to);
        }
        Ok(())
    };
    tokio::task::block_in_place(|| {
        let outcome = TestRunner::new(config).run(&case(), |case| runtime.block_on(try_case(case)));
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

fn period(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Value {
    let mut list = json!({"number_of_results": 1000, "fields_set": ["number"]});
    for (name, date) in [("created_on_from", from), ("created_on_to", to)] {
        if let Some(date) = date {
            list[name] = json!(date.to_rfc3339());
        }
    }
    list
}

async fn a_period_is_found_at_once_before_and_after_the_clock_was_wrong(setup: Setup) {
    let server = Server::start(setup).await;
    // 22,000 events before and after, more than a page reads; once in between the clock is 70 years ahead, and later it
    // is set back by two hours.
    let at = |n: i64| start() + TimeDelta::hours(n);
    let mut calls: Vec<(DateTime<Utc>, usize)> = (0..220).map(|n| (at(n), 100)).collect();
    calls.push((at(70 * 365 * 24), 1));
    calls.extend((220..340).map(|n| (at(n), 100)));
    calls.extend((338..440).map(|n| (at(n), 100)));
    let created = server.create_at(&calls).await;
    for (from, to) in [(0, 1), (10, 12), (218, 221), (339, 339), (340, 341), (438, 440)] {
        let page = server.list(period(Some(at(from)), Some(at(to)))).await;
        let met = created.iter().rev().filter(|(_, date)| (at(from)..=at(to)).contains(date));
        assert_eq!(numbers(&page), met.map(|(number, _)| *number).collect::<Vec<_>>(), "{from} to {to}");
        assert_eq!(page.data.get("next_page_token"), None, "{from} to {to}");
    }
    let page = server.list(period(Some(at(1000)), None)).await;
    assert_eq!((numbers(&page), page.data.get("next_page_token")), (vec![22_001], None));
}

async fn a_call_by_a_clock_that_is_behind_is_found(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
    // As if the clock of the server that created it were three hours ahead.
    let organisation_id = server.acme().await;
    let ahead = (Utc::now() + TimeDelta::hours(3)).trunc_subsecs(6);
    let sql = "UPDATE referral_events SET created_on = $2 WHERE organisation_id = $1";
    execute(&server, sql, vec![organisation_id.into(), ahead.into()]).await;
    let sql = "UPDATE counters SET latest_creation = $2 WHERE organisation_id = $1 AND name = 'event_number'";
    execute(&server, sql, vec![organisation_id.into(), ahead.timestamp_micros().into()]).await;

    let created = server.send(json!([event("2", "03", "04")])).await.processed().remove(0);
    let number: i64 = created["number"].as_str().and_then(|number| number.parse().ok()).expect("a number");
    let an_hour = TimeDelta::hours(1);
    let page = server.list(period(Some(Utc::now() - an_hour), Some(Utc::now() + an_hour))).await;
    assert_eq!(numbers(&page), [number]);
    let page = server.list(period(Some(ahead), Some(ahead))).await;
    assert_eq!(numbers(&page).len(), 1);

    #[derive(FromQueryResult)]
    struct Lag {
        greatest_lag: i64,
    }
    let sql = "SELECT greatest_lag FROM counters WHERE organisation_id = $1 AND name = 'event_number'";
    let connection = server.database.reader();
    let sql = Statement::from_sql_and_values(connection.get_database_backend(), sql, [organisation_id.into()]);
    let lag = Lag::find_by_statement(sql).one(connection).await.expect("a query").expect("a row").greatest_lag;
    let hours = TimeDelta::microseconds(lag).num_minutes();
    assert!((170..=180).contains(&hours), "{hours} minutes");
}

async fn execute(server: &Server, sql: &str, values: Vec<Parameter>) {
    let connection = server.database.writer();
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
    connection.execute_raw(statement).await.expect("a statement");
}
