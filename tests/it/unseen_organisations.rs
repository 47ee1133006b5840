//! An organisation that came after PostgreSQL last made statistics is looked up like any other: what is read for it
//! grows with what is asked, not with what is there.

use std::{fmt::Write, time::Duration};

use referral_events::storage::Database;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};

use crate::support::{Setup, TestDatabase, Workplace, event, tests};

tests! {
    Postgres: an_import_goes_through_its_rows_a_few_times_at_most_for_each_of_them, a_call_reads_a_few_entries_of_indexes_for_each_event;
}

const ACCOUNTS: &str = "accounts_receivable";
const PARTICIPANTS: &str = "rewards_participants";
const ROWS: usize = 600;

/// Organisation acme, that nobody has seen, beside a large one.
struct Unseen {
    workplace: Workplace,
    observer: Database,
}

impl Unseen {
    async fn new(setup: Setup) -> Self {
        let url = setup.engine.create_database().url;
        let workplace = Workplace::over(TestDatabase::at(format!("{url}?application_name=under%20test")));
        workplace.run_well(&["migrate"], "");
        workplace.add_caller("pw");
        workplace.run_well(&["organisation", "add", "large"], "");
        let unseen = Self { workplace, observer: Database::connect(&url).await.expect("a database") };
        unseen.import("large", 8000);
        unseen
    }

    fn import(&self, organisation: &str, rows: usize) {
        let mut accounts = "number\n".to_owned();
        let mut participants = "number,accounts_receivable_number\n".to_owned();
        for n in 0..rows {
            writeln!(accounts, "ACR{n}").expect("a line");
            writeln!(participants, "RP{n},ACR{n}").expect("a line");
        }
        for (kind, rows) in [(ACCOUNTS, accounts), (PARTICIPANTS, participants)] {
            self.workplace.run_well(&["import", "--organisation", organisation, kind, "-"], &rows);
        }
    }

    async fn number(&self, sql: &str) -> i64 {
        let row = self.observer.write().query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
        row.expect("a query").expect("a row").try_get_by_index(0).expect("a number")
    }

    /// How many entries of the tables' indexes were read so far. A session tells when it ends, which those of a program
    /// do soon after it.
    async fn read(&self, tables: &[&str]) -> i64 {
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'under test' \
                        AND datname = current_database()";
        while self.number(sessions).await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let tables = tables.join("', '");
        self.number(&format!(
            "SELECT CAST(sum(idx_tup_read) AS BIGINT) FROM pg_stat_user_indexes WHERE relname IN ('{tables}')"
        ))
        .await
    }
}

async fn an_import_goes_through_its_rows_a_few_times_at_most_for_each_of_them(setup: Setup) {
    let unseen = Unseen::new(setup).await;
    let before = unseen.read(&[ACCOUNTS, PARTICIPANTS]).await;
    unseen.import("acme", ROWS);
    let each = (unseen.read(&[ACCOUNTS, PARTICIPANTS]).await - before) / ROWS as i64;
    // Until the first rows are counted, keys are looked for among all of them, but in a few statements alone.
    assert!((1..6 * ROWS as i64).contains(&each), "{each} for each row");
}

async fn a_call_reads_a_few_entries_of_indexes_for_each_event(setup: Setup) {
    let unseen = Unseen::new(setup).await;
    unseen.import("acme", ROWS);
    unseen
        .workplace
        .run_well(&["import", "--organisation", "acme", "units", "-"], "name,alternative_code\nAdmin Unit,U1\n");
    for sql in [
        "INSERT INTO referral_events (organisation_id, id, number, in_force, performed_on, referred_account_key, \
         referred_by_account_key, external_system, created_on) \
         SELECT o.id, gen_random_uuid(), n, TRUE, now(), n, n % 500, '', now() \
         FROM organisations o CROSS JOIN generate_series(1, 20000) AS n WHERE o.name = 'large'",
        "ANALYZE referral_events",
    ] {
        unseen.observer.write().execute_unprepared(sql).await.expect("a statement");
    }
    let tables = ["referral_events", ACCOUNTS, PARTICIPANTS];
    let before = unseen.read(&tables).await;
    let mut server = unseen.workplace.serve(&[]);
    let token = server.login("pw").await;
    let half = ROWS / 2;
    let call = async |first: usize| {
        let events: Vec<Value> = (first..first + half).map(|n| event(&n.to_string(), &n.to_string(), "0")).collect();
        let request = json!({"token": token, "referral_customer_events_set": events});
        server.post("customer_events/bulk/referrals/create", &request).await
    };
    assert_eq!(call(1).await.processed().len(), half);
    assert_eq!(call(half + 1).await.processed().len(), half - 1);
    // All that they refer is referred already, which the first attempt does not know.
    assert_eq!(call(1).await.processed().len(), 0);
    server.kill();
    let each = (unseen.read(&tables).await - before) / (3 * half) as i64;
    assert!((1..30).contains(&each), "{each} for each event");
}
