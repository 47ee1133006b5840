//! What the database is asked, word for word, and how PostgreSQL goes about it, so that a change of either is seen in
//! review: `cargo insta review`, or `INSTA_UPDATE=always cargo test plans` and a look at the differences.

use std::{collections::BTreeSet, fmt::Write};

use referral_events::{config::Config, directory::DirectoryKind, storage::Database};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};

use crate::support::{Engine, Server, Setup, StatementLog, event, tests};

tests! {
    NoCalls: statements_and_their_plans_are_the_known_ones;
}

/// Statements that look up or change nothing.
const WITHOUT_A_PLAN: [&str; 7] = ["BEGIN", "COMMIT", "ROLLBACK", "COPY", "SET", "INSERT INTO calls", "Rows"];

/// The statements of calls of all kinds, each once. Some are sent at once, so their order says nothing.
async fn statements(server: &Server, take: impl Fn() -> Vec<String>) -> Vec<String> {
    take();
    let mut first = event("1", "01", "60");
    first["external_system_reference_number"] = json!("R1");
    let mut by_codes = event("2", "02", "60");
    by_codes["referred_rewards_participant_identifier"] =
        json!({"access_token_identifier": {"one_time_password": "123456"}});
    server.send(json!([first, by_codes])).await.assert_outcome(&["1", "2"], &[]);
    // All the ways to name something, which the look-ups of names have a part for each.
    server.send(named_in_all_ways()).await;
    // A repeat, and what would close a circle: all is looked up.
    server.send(json!([first])).await.assert_outcome(&["1"], &[]);
    server.send(json!([event("3", "60", "01")])).await.assert_outcome(&[], &[("3", "CircularReferral")]);
    // A repeat beside a new one takes its number once all is looked up.
    server.send(json!([first, event("5", "05", "60")])).await.assert_outcome(&["1", "5"], &[]);
    let request = json!({"token": server.token, "referral_customer_events_set": [event("4", "04", "60")]});
    server.bulk_under("key", request).await;
    let account = |number: &str| json!({"number": number});
    server.get(json!({"number": "1"})).await;
    server.get(json!({"external_system_reference_number": "R1"})).await;
    for list in [
        json!({"created_on_from": "2020-01-01T00:00:00Z"}),
        json!({"performed_by_unit_identifier": {"alternative_code": "U1"}}),
        json!({"referred_by_rewards_participant_identifier": account("RP60"), "life_cycle_state": "POSTED"}),
        json!({"referred_rewards_participant_identifier": account("RP01")}),
        json!({"referred_or_referred_by_rewards_participant_identifier": account("RP60"), "life_cycle_state": "POSTED"}),
        json!({"external_system_reference_number": "R1"}),
        json!({"request_id": "1"}),
        json!({"created_by": "carla", "cancelled_by": "carla"}),
    ] {
        for order in ["NEWEST_FIRST", "OLDEST_FIRST"] {
            let mut list = list.clone();
            list["order"] = json!(order);
            server.list(list).await;
        }
    }
    the_directory(server).await;
    server.cancel(json!({"number": "1"})).await;
    server.import("acme", DirectoryKind::RewardsParticipants, "number,state\nRP59,NOT_EFFECTIVE\n").await;
    server.import("acme", DirectoryKind::AccountsReceivable, "number,state\nACR59,SUSPENDED\n").await;
    let texts: BTreeSet<String> = take().into_iter().collect();
    texts.into_iter().filter(|sql| !WITHOUT_A_PLAN.iter().any(|word| sql.starts_with(word))).collect()
}

/// What the directory is asked, and changes of states.
async fn the_directory(server: &Server) {
    let (unit, business_unit) = (json!({"alternative_code": "U1"}), json!({"code": "BU1"}));
    for (one, list, attribute, names, filter) in [
        ("GetBusinessUnit", "ListBusinessUnits", "business_unit", vec!["id", "code", "name"], json!({})),
        (
            "GetUnit",
            "ListUnits",
            "unit",
            vec!["id", "alternative_code", "name"],
            json!({"business_unit_identifier": business_unit}),
        ),
        (
            "GetTransactionAcquiringPoint",
            "ListTransactionAcquiringPoints",
            "tap",
            vec!["id", "code", "name"],
            json!({"unit_identifier": unit}),
        ),
        ("GetDevice", "ListDevices", "device", vec!["id", "code"], json!({"unit_identifier": unit})),
        (
            "GetClassification",
            "ListClassifications",
            "classification",
            vec!["id", "alternative_code", "name"],
            json!({}),
        ),
        (
            "GetAccountsReceivable",
            "ListAccountsReceivable",
            "accounts_receivable",
            vec!["number"],
            json!({"state": "ACTIVE"}),
        ),
        ("GetParticipant", "ListParticipants", "rewards_participant", vec!["number"], json!({"state": "EFFECTIVE"})),
        (
            "GetAccessToken",
            "ListAccessTokens",
            "access_token",
            vec!["id", "identifier"],
            json!({"rewards_participant_identifier": {"number": "RP01"}}),
        ),
    ] {
        let named = if attribute == "accounts_receivable" { "ACR01" } else { "RP01" };
        for name in names {
            server.show(one, json!({format!("{attribute}_identifier"): {name: named}})).await;
        }
        server.page(list, filter).await;
    }
    for direction in ["UP", "DOWN"] {
        let request =
            json!({"rewards_participant_identifier": {"number": "RP60"}, "direction": direction, "levels": 3});
        let mut request = request.clone();
        request["number_of_results"] = json!(1);
        server.pages("ListReferralTree", &request).await;
    }
    for state in ["SUSPENDED", "ACTIVE"] {
        let request = json!({"accounts_receivable_identifier": {"number": "ACR58"}, "state": state});
        server.administer("SetAccountsReceivableState", request).await;
    }
    for state in ["NOT_EFFECTIVE", "EFFECTIVE"] {
        let request = json!({"rewards_participant_identifier": {"number": "RP58"}, "state": state});
        server.administer("SetParticipantState", request).await;
        let request = json!({"access_token_identifier": {"id": "T20"}, "state": state});
        server.administer("SetAccessTokenState", request).await;
    }
}

/// Events of which each names a place and a referrer in another way.
fn named_in_all_ways() -> Value {
    let places = [
        ("business_unit", "id"),
        ("business_unit", "name"),
        ("business_unit", "code"),
        ("unit", "id"),
        ("unit", "name"),
        ("unit", "alternative_code"),
        ("tap", "id"),
        ("tap", "name"),
        ("tap", "code"),
        ("device", "id"),
        ("device", "code"),
    ];
    let classifications = ["id", "name", "alternative_code"];
    let referrers = [
        ("accounts_receivable", json!({"id": "x"})),
        ("accounts_receivable", json!({"number": "x"})),
        ("rewards_participant", json!({"id": "x"})),
        ("rewards_participant", json!({"number": "x"})),
        ("rewards_participant", json!({"access_token_identifier": {"authentication_code": "x"}})),
        ("rewards_participant", json!({"access_token_identifier": {"identifier": "x", "pass_code": "x"}})),
        ("rewards_participant", json!({"access_token_identifier": {"one_time_password": "x"}})),
    ];
    let mut events = Vec::new();
    let others = classifications.iter().cycle().zip(referrers.iter().cycle());
    for ((place, field), (classification, (party, referrer))) in places.into_iter().zip(others) {
        events.push(json!({
            "request_unique_identifier": "1",
            "performed_on": "2016-06-22T15:00:00",
            format!("performed_by_{place}_identifier"): {field: "x"},
            "classification_identifier": {*classification: "x"},
            "referred_rewards_participant_identifier": {"number": "RP10"},
            format!("referred_by_{party}_identifier"): referrer,
        }));
    }
    events.into()
}

async fn statements_and_their_plans_are_the_known_ones(setup: Setup) {
    let mut files = setup.engine.create_world();
    if setup.engine == Engine::Sqlite {
        let server = Server::start_over(setup, files, Config::default()).await;
        let texts = statements(&server, || server.take_statements()).await;
        return assert_known("statements_of_sqlite", &texts.join("\n\n"));
    }
    let Some((log, url)) = StatementLog::of(&files.url).await else { return };
    files.url = url;
    let empty = setup.engine.create_schema();
    let small = files.url.clone();
    let server = Server::start_over(setup, files, Config::default()).await;
    let texts = statements(&server, || log.take()).await;
    let unseen = beside_a_large_one(setup).await;
    let databases = [("empty", empty.url.as_str()), ("small", &small), ("beside a large one", &unseen)];
    let mut plans = String::new();
    let mut of_databases = Vec::new();
    for (name, url) in databases {
        of_databases.push((name, plans_of(url, &texts).await));
    }
    for (index, text) in texts.iter().enumerate() {
        writeln!(plans, "{text}").expect("a line");
        let mut told: Option<&String> = None;
        for (name, of_database) in &of_databases {
            let plan = &of_database[index];
            assert!(!plan.contains("Seq Scan"), "{name}: {text}\n{plan}");
            match told {
                Some(told) if told == plan => writeln!(plans, "-- {name}: the same"),
                _ => write!(plans, "-- {name}:\n{plan}"),
            }
            .expect("a line");
            told = Some(plan);
        }
        plans.push('\n');
    }
    // Others may go about it in other ways.
    if version_of(&small).await == KNOWN_VERSION {
        assert_known("statements_of_postgresql", &plans);
    }
}

/// The release of PostgreSQL whose plans are known.
const KNOWN_VERSION: i64 = 15;

async fn version_of(url: &str) -> i64 {
    let database = Database::connect(url).await.expect("a database");
    let sql = "SELECT CAST(current_setting('server_version_num') AS BIGINT) / 10000";
    let row = database.reader().query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
    row.expect("a query").expect("a row").try_get_by_index(0).expect("a number")
}

/// A database with a large organisation, of which statistics were made, and others of which PostgreSQL knows nothing.
async fn beside_a_large_one(setup: Setup) -> String {
    let url = setup.engine.create_schema().url;
    let database = Database::connect(&url).await.expect("a database");
    for sql in [
        "INSERT INTO organisations (name, created_on) VALUES ('large', now())",
        "INSERT INTO referral_events (organisation_id, id, number, in_force, performed_on, referred_account_key, \
         referred_by_account_key, external_system, created_on) \
         SELECT 1, gen_random_uuid(), n, TRUE, now(), n, n % 500, '', now() FROM generate_series(1, 20000) AS n",
        "INSERT INTO accounts_receivable (organisation_id, key, id, number, state) \
         SELECT 1, n, 'A' || n, 'A' || n, 'ACTIVE' FROM generate_series(1, 20000) AS n",
        "INSERT INTO rewards_participants (organisation_id, key, id, number, account_key, state) \
         SELECT 1, n, 'P' || n, 'P' || n, n, 'EFFECTIVE' FROM generate_series(1, 20000) AS n",
        "ANALYZE",
    ] {
        database.writer().execute_unprepared(sql).await.expect("a statement");
    }
    url
}

/// The parameters of a page, of which PostgreSQL cannot tell the types by itself, as little as those of names of which
/// nothing is asked; the program tells them.
const OF_A_PAGE: &str = "(bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, text, boolean, \
                         timestamptz, timestamptz, timestamptz, timestamptz, bigint, bigint, text, text, text, text)";

/// The nodes of each statement's plan, as it is made for all values of its parameters.
async fn plans_of(url: &str, texts: &[String]) -> Vec<String> {
    let database = Database::connect(url).await.expect("a database");
    database.writer().execute_unprepared("ANALYZE").await.expect("statistics");
    let transaction = database.begin().await.expect("a transaction");
    let run = async |sql: String| {
        transaction.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("a statement")
    };
    run("SET LOCAL plan_cache_mode = force_generic_plan".to_owned()).await;
    let mut plans = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let parameters = (1..=40).rev().find(|n| text.contains(&format!("${n}"))).unwrap_or_default();
        let values = match parameters {
            0 => String::new(),
            _ => format!("({})", vec!["NULL"; parameters].join(", ")),
        };
        let types = match () {
            () if text.contains("LIMIT $17") => OF_A_PAGE.to_owned(),
            () if text.contains("::text[]) WITH ORDINALITY") => {
                format!("(bigint{})", ", text[]".repeat(parameters - 1))
            }
            () => String::new(),
        };
        run(format!("PREPARE plan_{n}{types} AS {text}")).await;
        let rows = run(format!("EXPLAIN (COSTS OFF) EXECUTE plan_{n}{values}")).await;
        let lines = rows.iter().map(|row| row.try_get_by_index::<String>(0).expect("a line"));
        // What is compared with what says the text already.
        let is_node = |line: &str| ["->", "SubPlan", "InitPlan"].iter().any(|node| line.trim_start().starts_with(node));
        let nodes = lines.enumerate().filter(|(n, line)| *n == 0 || is_node(line));
        plans.push(nodes.map(|(_, line)| format!("--   {line}\n")).collect());
    }
    plans
}

fn assert_known(name: &str, told: &str) {
    insta::with_settings!({snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, told);
    });
}
