//! Rows that the service has not written.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

use crate::support::{Setup, Workplace, tests};

tests! {
    NoCalls:
        a_row_that_cannot_be_read_is_a_failure_and_the_log_names_it;
}

async fn a_row_that_cannot_be_read_is_a_failure_and_the_log_names_it(setup: Setup) {
    let workplace = Workplace::over(setup.engine.create_database());
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
    workplace.run_well(&["import", "--organisation", "acme", "units", "-"], "name,alternative_code\nAdmin Unit,U\n");
    let accounts = (1..=9).map(|n| format!("A{n}\n")).collect::<String>();
    workplace
        .run_well(&["import", "--organisation", "acme", "accounts_receivable", "-"], &format!("number\n{accounts}"));
    let server = workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    let events = (1..=3).map(|n| {
        json!({
            "request_unique_identifier": n.to_string(),
            "performed_by_unit_identifier": {"name": "Admin Unit"},
            "performed_on": "2016-06-22T15:00:00",
            "referred_accounts_receivable_identifier": {"number": format!("A{n}")},
            "referred_by_accounts_receivable_identifier": {"number": "A9"},
        })
    });
    let call = json!({"token": token, "referral_customer_events_set": events.collect::<Vec<_>>()});
    let created = server.post("customer_events/bulk/referrals/create", &call).await;
    let number = created.processed()[1]["number"].as_str().expect("a number").to_owned();
    spoil(&workplace.database_url(), &number).await;

    let answer = server.post("customer_events/referrals/list", &json!({"token": token})).await;
    answer.assert_refused("Internal");
    server.wait_for_output(&format!("the event of number {number} cannot be read")).await;
    let lines = server.log_lines();
    let line = lines.iter().find(|line| line["error"] == "InternalException").expect("the line of the call");
    assert_eq!((&line["level"], &line["code"]), (&json!("ERROR"), &json!("500")), "{line}");
    assert!(line["cause"].as_str().is_some_and(|cause| cause.contains("cannot be read")), "{line}");
    // The others can.
    let filtered = json!({"token": token, "referred_accounts_receivable_identifier": {"number": "A1"}});
    let answer = server.post("customer_events/referrals/list", &filtered).await;
    assert_eq!(answer.data["customer_events_set"].as_array().map(Vec::len), Some(1), "{answer:?}");
    let ready = reqwest::get(format!("http://{}/readyz", server.address)).await.expect("a response");
    assert_eq!(ready.status(), 200);
}

/// Makes the event of this number one that the service has not written.
async fn spoil(url: &str, number: &str) {
    if url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(url).await.expect("a connection");
        let spoil = format!("UPDATE referral_events SET performed_on = 'yesterday' WHERE number = {number}");
        connection.execute(AssertSqlSafe(spoil)).await.expect("a row");
        return;
    }
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let spoil = format!(
        "ALTER TABLE referral_events ALTER performed_on DROP NOT NULL; \
         UPDATE referral_events SET performed_on = NULL WHERE number = {number}"
    );
    connection.execute(AssertSqlSafe(spoil)).await.expect("a row");
}
