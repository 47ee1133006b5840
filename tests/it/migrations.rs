//! The schema is brought up to date once, however many programs do it at once, and nobody serves on an old one.

use std::thread;

use chrono::{DateTime, Utc};
use migrations::{COMPATIBLE, Migrator, MigratorTrait};
use referral_events::{
    id::OrganisationId,
    storage::{Database, number_ranges::find_number_range},
};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement};
use uuid::Uuid;

use crate::support::{Engine, Setup, Workplace, tests};

tests! {
    NoCalls: of_programs_that_migrate_at_once_one_does_it_and_all_succeed, a_schema_that_is_behind_is_brought_up_to_date,
        states_that_were_stored_before_are_known_to_accounts_and_participants,
        organisations_from_before_have_their_counters,
        lists_by_creation_are_complete_of_events_from_before,
        a_program_starts_on_a_newer_schema_whose_steps_are_compatible,
        a_newer_schema_that_is_not_compatible_is_refused,
        a_step_that_fails_is_named_with_its_statement;
    Once: steps_that_are_marked_compatible_need_earlier_ones;
    Postgres: nothing_but_migrate_touches_a_schema_that_is_behind, indexes_compare_texts_by_their_bytes;
}

const ROUNDS: usize = 6;
const PROGRAMS: usize = 4;

/// Every column, key and index of a database, and the steps that are recorded.
async fn schema(workplace: &Workplace) -> Vec<String> {
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let sql = if database.is_sqlite() {
        "SELECT name || ': ' || coalesce(sql, '') AS line FROM sqlite_master \
         UNION ALL SELECT version FROM seaql_migrations ORDER BY 1"
    } else {
        "SELECT c.table_name || '.' || c.column_name || ': ' || c.data_type || ' ' || c.is_nullable AS line \
         FROM information_schema.columns c WHERE c.table_schema = 'public' \
         UNION ALL SELECT conrelid::regclass || ': ' || pg_get_constraintdef(oid) FROM pg_constraint \
         WHERE connamespace = 'public'::regnamespace \
         UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
         UNION ALL SELECT version FROM seaql_migrations ORDER BY 1"
    };
    let connection = database.reader();
    let rows = connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await;
    let lines = rows.expect("rows").iter().map(|row| row.try_get("", "line").expect("a line")).collect();
    database.close().await.expect("a close");
    lines
}

/// How many steps a run of `migrate` says that it has applied.
fn migrate(workplace: &Workplace) -> usize {
    let ended = workplace.run_well(&["migrate"], "");
    assert_eq!(ended.stderr, "", "it has nothing else to say");
    let (names, last) = ended.stdout.trim_end().rsplit_once('\n').unwrap_or(("", ended.stdout.trim_end()));
    let steps = last.strip_prefix("applied ").and_then(|rest| rest.strip_suffix(" steps; the schema is up to date"));
    let steps = steps.expect("a number of steps").parse().expect("a number");
    let all: Vec<String> = Migrator::migrations().iter().map(|step| format!("applied {}", step.name())).collect();
    assert_eq!(names, all[all.len() - steps..].join("\n"));
    steps
}

/// A database that has the first `steps`; its file, where it is one, is there.
pub async fn with_steps(engine: Engine, steps: u32) -> Workplace {
    let workplace = Workplace::over(engine.create_database());
    let url = workplace.database_url();
    Database::connect(&url).await.expect("a database").close().await.expect("a close");
    let connection = sea_orm::Database::connect(url).await.expect("a connection");
    Migrator::up(&connection, Some(steps)).await.expect("steps");
    connection.close().await.expect("a close");
    workplace
}

async fn of_programs_that_migrate_at_once_one_does_it_and_all_succeed(setup: Setup) {
    let steps = Migrator::migrations().len();
    let alone = Workplace::over(setup.engine.create_database());
    assert_eq!(migrate(&alone), steps);
    let expected = schema(&alone).await;
    assert!(expected.iter().any(|line| line.contains("referral_events_by_referrer")), "{expected:#?}");
    for round in 0..ROUNDS {
        // On an empty database, and on one that has been there for long.
        let done = round % 2;
        let workplace = match (setup.engine, done) {
            // Not even the table of the steps.
            (Engine::Postgres, 0) => Workplace::over(setup.engine.create_database()),
            _ => with_steps(setup.engine, done as u32).await,
        };
        let mut applied: Vec<usize> = thread::scope(|scope| {
            let programs: Vec<_> = (0..PROGRAMS).map(|_| scope.spawn(|| migrate(&workplace))).collect();
            programs.into_iter().map(|program| program.join().expect("a program that succeeds")).collect()
        });
        applied.sort_unstable();
        assert_eq!(applied, [vec![0; PROGRAMS - 1], vec![steps - done]].concat());
        assert_eq!(schema(&workplace).await, expected);
        workplace.add_caller("seven green kettles");
        workplace.serve(&[]).login("seven green kettles").await;
    }
}

async fn a_schema_that_is_behind_is_brought_up_to_date(setup: Setup) {
    let workplace = with_steps(setup.engine, 1).await;
    assert_eq!(migrate(&workplace), Migrator::migrations().len() - 1);
    workplace.add_caller("seven green kettles");
    workplace.serve(&[]).login("seven green kettles").await;
}

async fn states_that_were_stored_before_are_known_to_accounts_and_participants(setup: Setup) {
    let workplace = with_steps(setup.engine, 5).await;
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let connection = database.writer();
    let execute = async |sql: &str| connection.execute_unprepared(sql).await.expect("a statement");
    execute("INSERT INTO organisations (id, name, created_on) VALUES (1, 'acme', CURRENT_TIMESTAMP)").await;
    execute("INSERT INTO organisations (id, name, created_on) VALUES (2, 'other', CURRENT_TIMESTAMP)").await;
    for organisation in [1, 2] {
        for (key, state, of_participant) in
            [(1, "ACTIVE", "EFFECTIVE"), (2, "SUSPENDED", "EFFECTIVE"), (3, "ACTIVE", "NOT_EFFECTIVE")]
        {
            // The keys of one organisation are no keys of the other.
            let (key, owner) = (key * organisation, key * organisation + 100);
            execute(&format!(
                "INSERT INTO accounts_receivable (organisation_id, key, id, number, state) \
                 VALUES ({organisation}, {key}, 'A{key}', 'A{key}', '{state}')"
            ))
            .await;
            execute(&format!(
                "INSERT INTO rewards_participants (organisation_id, key, id, number, account_key, state) \
                 VALUES ({organisation}, {owner}, 'P{owner}', 'P{owner}', {key}, '{of_participant}')"
            ))
            .await;
        }
    }
    migrate(&workplace);
    let numbers = async |sql: &str| -> Vec<String> {
        let rows = connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await;
        rows.expect("rows").iter().map(|row| row.try_get("", "number").expect("a number")).collect()
    };
    let sql = "SELECT number FROM accounts_receivable WHERE has_ineffective_participant ORDER BY key";
    assert_eq!(numbers(sql).await, ["A3", "A6"]);
    let sql = "SELECT number FROM rewards_participants WHERE has_inactive_account ORDER BY key";
    assert_eq!(numbers(sql).await, ["P102", "P104"]);
    database.close().await.expect("a close");
}

async fn organisations_from_before_have_their_counters(setup: Setup) {
    let workplace = with_steps(setup.engine, 8).await;
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let connection = database.writer();
    for sql in [
        "INSERT INTO organisations (id, name, created_on) VALUES (7, 'early', CURRENT_TIMESTAMP)",
        "INSERT INTO counters (organisation_id, name, last_value) VALUES (7, 'event_number', 41)",
    ] {
        connection.execute_unprepared(sql).await.expect("a row");
    }
    migrate(&workplace);
    workplace.run_well(&["organisation", "add", "late"], "");
    let counters = async |name: &str| -> Vec<(String, i64)> {
        let sql = format!(
            "SELECT c.name, c.last_value FROM counters c JOIN organisations o ON o.id = c.organisation_id \
             WHERE o.name = '{name}' ORDER BY c.name"
        );
        let rows = connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await;
        let row = |row: &QueryResult| {
            (row.try_get("", "name").expect("a name"), row.try_get("", "last_value").expect("a value"))
        };
        rows.expect("rows").iter().map(row).collect()
    };
    let expected = |number| {
        [("directory_key", 0), ("directory_version", 0), ("event_number", number), ("turn", 0)]
            .map(|(name, value)| (name.to_owned(), value))
    };
    assert_eq!(counters("early").await, expected(41));
    assert_eq!(counters("late").await, expected(0));
    database.close().await.expect("a close");
}

/// A database that has all steps before the one whose name ends so.
async fn before_step(engine: Engine, name: &str) -> Workplace {
    let steps = Migrator::migrations().iter().position(|step| step.name().ends_with(name)).expect("a step");
    with_steps(engine, steps as u32).await
}

async fn lists_by_creation_are_complete_of_events_from_before(setup: Setup) {
    let workplace = before_step(setup.engine, "watch_the_clock").await;
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let connection = database.writer();
    let date = |text: &str| text.parse::<DateTime<Utc>>().expect("a date");
    // One whose clock was set back by an hour and then by two minutes; one whose clock was years ahead; one without events.
    let organisations: [(i64, &[&str]); 3] = [
        (1, &["2026-11-26T12:00:00Z", "2026-11-26T11:00:00.5Z", "2026-11-26T11:30:00Z", "2026-11-26T11:28:00Z"]),
        (2, &["2026-11-26T12:00:00Z", "2099-01-01T00:00:00Z", "2026-11-26T12:00:01Z"]),
        (3, &[]),
    ];
    for (organisation_id, dates) in organisations {
        let statements = [
            format!(
                "INSERT INTO organisations (id, name, created_on) VALUES ({organisation_id}, 'o{organisation_id}', CURRENT_TIMESTAMP)"
            ),
            format!(
                "INSERT INTO counters (organisation_id, name, last_value) VALUES ({organisation_id}, 'event_number', {})",
                dates.len()
            ),
        ];
        for sql in statements {
            connection.execute_unprepared(&sql).await.expect("a row");
        }
        for (number, created_on) in (1_i64..).zip(dates) {
            let sql = "INSERT INTO referral_events (organisation_id, id, number, performed_on, referred_account_key, \
                       referred_by_account_key, external_system, created_on) VALUES ($1, $2, $3, $4, $3, 99, '', $4)";
            let id = Uuid::from_u128(number as u128);
            let values = [organisation_id.into(), id.into(), number.into(), date(created_on).into()];
            let row = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
            connection.execute_raw(row).await.expect("a row");
        }
    }
    migrate(&workplace);
    let periods = [
        ("2026-11-26T11:00:00Z", "2026-11-26T11:29:00Z"),
        ("2026-11-26T11:28:00Z", "2026-11-26T11:28:00Z"),
        ("2026-11-26T12:00:00Z", "2026-11-26T12:00:01Z"),
        ("2099-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
        ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"),
    ];
    for (organisation_id, dates) in organisations {
        for (from, to) in periods {
            let (from, to) = (date(from), date(to));
            let range = find_number_range(connection, OrganisationId(organisation_id), Some(from), Some(to))
                .await
                .expect("a range");
            for (number, created_on) in (1_i64..).zip(dates) {
                let within = range.above.0 < number && number < range.below.0;
                assert!(within || !(from..=to).contains(&date(created_on)), "{number} of {organisation_id} is missing");
            }
        }
    }
    database.close().await.expect("a close");
}

/// Makes the schema look as one that a newer program has brought up to date.
async fn plant(workplace: &Workplace, step: &str, needs: Option<&str>) {
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let mut statements = vec![format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{step}', 1)")];
    statements
        .extend(needs.map(|needs| format!("INSERT INTO compatible_steps (step, needs) VALUES ('{step}', '{needs}')")));
    for sql in statements {
        database.writer().execute_unprepared(&sql).await.expect("a row");
    }
    database.close().await.expect("a close");
}

const NEWER: [&str; 2] = ["m29990101_000001_add_a_column", "m29990102_000002_add_a_table"];

const COMMANDS: [&[&str]; 4] = [
    &["serve", "--listen", "127.0.0.1:0"],
    &["organisation", "add", "other"],
    &["user", "add", "carl", "--organisation", "acme", "--role", "caller"],
    &["import", "--organisation", "acme", "units", "-"],
];

async fn a_program_starts_on_a_newer_schema_whose_steps_are_compatible(setup: Setup) {
    let workplace = Workplace::over(setup.engine.create_database());
    migrate(&workplace);
    workplace.add_caller("seven green kettles");
    let replica = workplace.serve(&[]);
    let last = Migrator::migrations().last().expect("a step").name().to_owned();
    for step in NEWER {
        plant(&workplace, step, Some(&last)).await;
    }
    // The one that serves already, and one that is started now.
    replica.login("seven green kettles").await;
    workplace.serve(&[]).login("seven green kettles").await;
    for command in &COMMANDS[1..] {
        workplace.run_well(command, "name,alternative_code\nAdmin Unit,U1\n");
    }
    let expected = format!(
        "applied 0 steps; the schema is of a newer version, which this one can use: it has {} besides\n",
        NEWER.join(", ")
    );
    assert_eq!(workplace.run_well(&["migrate"], "").stdout, expected);
}

async fn a_newer_schema_that_is_not_compatible_is_refused(setup: Setup) {
    let last = Migrator::migrations().last().expect("a step").name().to_owned();
    // One that is not marked; one that only programs can do without which know another that this one does not.
    for (needs, unusable) in [([Some(last.as_str()), None], 1..2), ([None, Some(NEWER[0])], 0..2)] {
        let workplace = Workplace::over(setup.engine.create_database());
        migrate(&workplace);
        workplace.add_caller("seven green kettles");
        let before = schema(&workplace).await;
        for (step, needs) in NEWER.into_iter().zip(needs) {
            plant(&workplace, step, needs).await;
        }
        let message = format!(
            "error: the database's schema is newer than this program, version {}, which cannot use it: it does not know \
             {}; run the version that the schema was brought up to date with\n",
            env!("CARGO_PKG_VERSION"),
            NEWER[unusable].join(", ")
        );
        for command in COMMANDS.into_iter().chain([&["migrate"][..], &["migrate", "--status"]]) {
            let ended = workplace.run(command);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{command:?}: {ended:?}");
            assert_eq!(ended.stderr, message, "{command:?}");
        }
        let after: Vec<String> =
            schema(&workplace).await.into_iter().filter(|line| !NEWER.contains(&line.as_str())).collect();
        assert_eq!(after, before);
    }
}

async fn steps_that_are_marked_compatible_need_earlier_ones(_: Setup) {
    let steps: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    let position = |name: &str| steps.iter().position(|step| step == name).unwrap_or_else(|| panic!("no step {name}"));
    for (step, needs) in COMPATIBLE {
        assert!(position(needs) < position(step), "{step}");
    }
    // Migrating keeps the marks, for programs that do not have them.
    let workplace = Workplace::new();
    migrate(&workplace);
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let sql = "SELECT step, needs FROM compatible_steps ORDER BY step";
    let rows = database.reader().query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.expect("rows");
    let text = |row: &QueryResult, column| row.try_get::<String>("", column).expect("a text");
    let marked: Vec<(String, String)> = rows.iter().map(|row| (text(row, "step"), text(row, "needs"))).collect();
    assert_eq!(marked, COMPATIBLE.map(|(step, needs)| (step.to_owned(), needs.to_owned())));
    database.close().await.expect("a close");
}

async fn nothing_but_migrate_touches_a_schema_that_is_behind(setup: Setup) {
    let empty = Workplace::over(setup.engine.create_database());
    let behind = with_steps(setup.engine, 1).await;
    for workplace in [empty, behind] {
        let commands: [&[&str]; 4] = [
            &["serve", "--listen", "127.0.0.1:0"],
            &["organisation", "add", "acme"],
            &["user", "add", "carla", "--organisation", "acme", "--role", "caller"],
            &["import", "--organisation", "acme", "units", "-"],
        ];
        for command in commands {
            let ended = workplace.run(command);
            let message = "error: the database's schema is behind this version; run: referral-events migrate\n";
            assert_eq!(
                (ended.code, ended.stderr.as_str(), ended.stdout.as_str()),
                (Some(1), message, ""),
                "{command:?}"
            );
        }
        // The command that they name is the remedy.
        migrate(&workplace);
        workplace.add_caller("seven green kettles");
        workplace.serve(&[]).login("seven green kettles").await;
    }
}

async fn indexes_compare_texts_by_their_bytes(setup: Setup) {
    let workplace = Workplace::over(setup.engine.create_database());
    migrate(&workplace);
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let sql = "SELECT count(*) AS texts, count(*) FILTER (WHERE c.collname <> 'C') AS of_a_language \
               FROM pg_index i CROSS JOIN unnest(i.indcollation) AS k(id) JOIN pg_collation c ON c.oid = k.id \
               JOIN pg_class t ON t.oid = i.indrelid \
               WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> 'seaql_migrations'";
    let row = database.reader().query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
    let row = row.expect("a query").expect("a row");
    let number = |column| row.try_get::<i64>("", column).expect("a number");
    assert!(number("texts") > 0);
    assert_eq!(number("of_a_language"), 0);
    database.close().await.expect("a close");
}

async fn a_step_that_fails_is_named_with_its_statement(setup: Setup) {
    for (steps, in_the_way, step, statement) in [
        (4, "CREATE TABLE idempotency_keys (x INTEGER)", "m20261123_000005_create_idempotency_keys", "CREATE TABLE"),
        (8, "DROP TABLE counters", "m20261124_000009_make_counters", "INSERT INTO counters"),
    ] {
        let workplace = with_steps(setup.engine, steps).await;
        let before = schema(&workplace).await;
        let database = Database::connect(&workplace.database_url()).await.expect("a database");
        database.writer().execute_unprepared(in_the_way).await.expect("a statement");
        database.close().await.expect("a close");
        let ended = workplace.run(&["migrate"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        let named = format!("error: step {step} of the schema failed at {statement}");
        assert!(ended.stderr.lines().any(|line| line.starts_with(&named)), "{ended:?}");
        assert!(ended.stderr.contains("idempotency_keys") || ended.stderr.contains("counters"), "{ended:?}");
        // None of the steps is taken then.
        let steps = |lines: &[String]| lines.iter().filter(|line| line.starts_with("m2026")).count();
        assert_eq!(steps(&schema(&workplace).await), steps(&before));
    }
}
