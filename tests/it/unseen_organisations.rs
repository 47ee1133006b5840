//! An organisation that came after PostgreSQL last made statistics is looked up like any other: what is read for it
//! grows with what is asked, not with what is there.

use std::fmt::Write;

use referral_events::storage::Database;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};

use crate::support::{Setup, TestDatabase, Workplace, event, tests, until};

tests! {
    Postgres: an_import_goes_through_its_rows_a_few_times_at_most_for_each_of_them, a_call_reads_a_few_entries_of_indexes_for_each_event,
        an_idempotency_key_is_looked_up_by_itself;
}

const ACCOUNTS: &str = "accounts_receivable";
const PARTICIPANTS: &str = "rewards_participants";
const BULK: &str = "customer_events/bulk/referrals/create";
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
        workplace.add_caller("seven green kettles");
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

    fn add_unit(&self) {
        let unit = "name,alternative_code\nAdmin Unit,U1\n";
        self.workplace.run_well(&["import", "--organisation", "acme", "units", "-"], unit);
    }

    /// Stores 20,000 rows, and has PostgreSQL see them: of `columns_and_values` for each number `n`.
    async fn store_for_the_large_one(&self, table: &str, columns_and_values: &str) {
        let insert = format!(
            "INSERT INTO {table} {columns_and_values} \
             FROM organisations o CROSS JOIN generate_series(1, 20000) AS n WHERE o.name = 'large'"
        );
        for sql in [insert, format!("ANALYZE {table}")] {
            self.observer.writer().execute_unprepared(&sql).await.expect("a statement");
        }
    }

    async fn number(&self, sql: &str) -> i64 {
        let row = self.observer.writer().query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
        row.expect("a query").expect("a row").try_get_by_index(0).expect("a number")
    }

    /// How many entries of the tables' indexes were read so far. A session tells when it ends, which those of a program
    /// do soon after it.
    async fn read(&self, tables: &[&str]) -> i64 {
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'under test' \
                        AND datname = current_database()";
        until("the sessions have ended", async || self.number(sessions).await == 0).await;
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
    unseen.add_unit();
    unseen
        .store_for_the_large_one(
            "referral_events",
            "(organisation_id, id, number, in_force, performed_on, referred_account_key, referred_by_account_key, \
             external_system, created_on) SELECT o.id, gen_random_uuid(), n, TRUE, now(), n, n % 500, '', now()",
        )
        .await;
    let tables = ["referral_events", ACCOUNTS, PARTICIPANTS];
    let before = unseen.read(&tables).await;
    let mut server = unseen.workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    let half = ROWS / 2 - 1;
    let call = async |first: usize| {
        let events: Vec<Value> = (first..first + half).map(|n| event(&n.to_string(), &n.to_string(), "0")).collect();
        let request = json!({"token": token, "referral_customer_events_set": events});
        server.post(BULK, &request).await
    };
    assert_eq!(call(1).await.processed().len(), half);
    assert_eq!(call(half + 1).await.processed().len(), half);
    // All that they refer is referred already, which the first attempt does not know.
    assert_eq!(call(1).await.processed().len(), 0);
    server.kill();
    let each = (unseen.read(&tables).await - before) / (3 * half) as i64;
    assert!((1..30).contains(&each), "{each} for each event");
}

async fn an_idempotency_key_is_looked_up_by_itself(setup: Setup) {
    const KEYS: usize = 100;
    let unseen = Unseen::new(setup).await;
    unseen.import("acme", 2);
    unseen.add_unit();
    unseen
        .store_for_the_large_one(
            "idempotency_keys",
            "(organisation_id, method, idempotency_key, fingerprint, answer, created_on) \
             SELECT o.id, 'bulk', 'key ' || n, '', '', now()",
        )
        .await;
    let before = unseen.read(&["idempotency_keys"]).await;
    let mut server = unseen.workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    let request = json!({"token": token, "referral_customer_events_set": [event("1", "1", "0")]});
    // The first time there is no such key; the second time it is found.
    for key in (0..KEYS).chain(0..KEYS) {
        let call = reqwest::Client::new().post(format!("http://{}/{BULK}", server.address)).json(&request);
        let answer = call.header("idempotency-key", format!("key {key}")).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
    server.kill();
    let each = (unseen.read(&["idempotency_keys"]).await - before) / KEYS as i64;
    assert!((1..10).contains(&each), "{each} for each key");
}
