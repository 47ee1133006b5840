//! What is said where the database cannot be used: the true cause, and what mends it, at once.

use std::{
    fs,
    time::{Duration, Instant},
};

use migrations::{Migrator, MigratorTrait};
use referral_events::storage::{Database, schema};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::support::{
    Cluster, Setup, Workplace,
    examples::{blocks, document},
    tests,
};

tests! {
    Once:
        a_folder_that_does_not_exist_is_named,
        a_url_that_names_no_file_is_refused,
        a_sqlite_url_is_read_in_one_way_everywhere,
        a_file_that_is_no_database_is_named,
        the_tables_that_are_asked_for_are_those_that_there_are,
        the_status_says_what_migrate_would_do_and_does_nothing;
    OwnPostgres:
        what_keeps_postgresql_from_being_used_is_named_with_its_remedy,
        a_user_without_rights_is_told_which_are_missing;
}

/// How soon a refusal must come, on a machine that has much else to do: before a call that waits for a connection would
/// give up.
const SOON: Duration = Duration::from_secs(9);

/// What the last line of a refused command says.
#[track_caller]
fn refusal(workplace: &Workplace, arguments: &[&str]) -> String {
    let started = Instant::now();
    let ended = workplace.run(arguments);
    assert!(started.elapsed() < SOON, "{arguments:?} took {:?}", started.elapsed());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{arguments:?}: {ended:?}");
    ended.stderr
}

async fn a_folder_that_does_not_exist_is_named(_: Setup) {
    let workplace = Workplace::new();
    for command in [&["migrate"][..], &["serve", "--listen", "127.0.0.1:0"], &["organisation", "add", "acme"]] {
        let said = refusal(&workplace, &[command, &["--database-url", "sqlite:not/there/ref.db"]].concat());
        assert_eq!(
            said,
            "error: the database cannot be opened: the folder not/there does not exist: make it (mkdir -p 'not/there'), \
             or mend the path in the database URL\n"
        );
    }
    // What it says mends it.
    workplace.run_script("mkdir -p 'not/there'");
    workplace.run_well(&["migrate", "--database-url", "sqlite:not/there/ref.db"], "");
    let said = refusal(&workplace, &["migrate", "--database-url", "sqlite:not/there"]);
    assert_eq!(said, "error: the database cannot be opened: not/there is a folder: name a file in it\n");
}

async fn a_url_that_names_no_file_is_refused(_: Setup) {
    let workplace = Workplace::new();
    for url in
        ["sqlite::memory:", "sqlite:", "sqlite://", "sqlite:ref.db?mode=memory", "sqlite://:memory:", "sqlite:file:x"]
    {
        for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"], &["migrate", "--status"]] {
            let said = refusal(&workplace, &[command, &["--database-url", url]].concat());
            let expected = "error: the database URL names no file, and nothing would be kept: write sqlite:PATH, or try \
                            the service with serve --demo\n";
            assert_eq!(said, expected, "{url}");
        }
    }
    let said = refusal(&workplace, &["migrate", "--database-url", "sqlite:ref.db?mode=ro"]);
    assert!(said.starts_with("error: the database URL has a parameter, "), "{said}");
    for url in ["", "ref.db", "mysql://host/x"] {
        let said = refusal(&workplace, &["migrate", "--database-url", url]);
        assert!(said.starts_with("error: the database URL begins with sqlite:, postgres://"), "{said}");
    }
    assert_eq!(fs::read_dir(workplace.path(".")).expect("a folder").count(), 0);
}

async fn a_sqlite_url_is_read_in_one_way_everywhere(_: Setup) {
    for (url, name) in [
        ("sqlite:my%20data/ref.db", "ref.db"),
        ("sqlite://my%20data/ref.db?mode=rwc", "ref.db"),
        ("sqlite:my data/r%C3%A9f%3F.db", "réf?.db"),
    ] {
        let mut workplace = Workplace::new();
        workplace.set("DATABASE_URL", url);
        workplace.run_script("mkdir 'my data'");
        workplace.add_caller("seven green kettles");
        let mut server = workplace.serve(&[]);
        server.login("seven green kettles").await;
        server.terminate();
        assert!(server.ended().await.success());
        assert!(workplace.run_well(&["migrate", "--status"], "").stdout.contains("up to date"));
        let found = fs::read_dir(workplace.path("my data")).expect("a folder");
        let mut found: Vec<String> =
            found.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
        found.sort();
        assert_eq!(found, [name.to_owned(), format!("{name}.keys")], "{url}");
        assert_eq!(fs::read_dir(workplace.path(".")).expect("a folder").count(), 1, "{url}");
    }
}

async fn a_file_that_is_no_database_is_named(_: Setup) {
    let workplace = Workplace::new();
    fs::write(workplace.path("letter.txt"), "Dear reader, this is not a database.".repeat(100)).expect("a file");
    let said = refusal(&workplace, &["migrate", "--database-url", "sqlite:letter.txt"]);
    assert!(said.starts_with("error: the database cannot be opened: the file letter.txt: "), "{said}");
    assert!(said.contains("file is not a database"), "{said}");
}

async fn the_tables_that_are_asked_for_are_those_that_there_are(_: Setup) {
    let workplace = Workplace::new();
    workplace.run_well(&["migrate"], "");
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name";
    let rows = database.reader().query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.expect("rows");
    let names: Vec<String> = rows.iter().map(|row| row.try_get("", "name").expect("a name")).collect();
    assert_eq!(names, schema::TABLES);
    database.close().await.expect("a close");
}

async fn the_status_says_what_migrate_would_do_and_does_nothing(_: Setup) {
    let workplace = Workplace::new();
    let status = || workplace.run_well(&["migrate", "--status"], "").stdout;
    let steps = Migrator::migrations().len();
    let names: String = Migrator::migrations().iter().map(|step| format!("would apply {}\n", step.name())).collect();
    let expected = format!(
        "there is no file referral-events.db yet: migrate makes it\n{names}would apply {steps} steps; nothing was changed\n"
    );
    assert_eq!(status(), expected);
    assert!(!workplace.path("referral-events.db").exists());

    let connection = sea_orm::Database::connect(format!("{}?mode=rwc", workplace.database_url())).await;
    let connection = connection.expect("a connection");
    Migrator::up(&connection, Some(steps as u32 - 1)).await.expect("steps");
    connection.close().await.expect("a close");
    let last = Migrator::migrations().last().expect("a step").name().to_owned();
    let expected = format!("would apply {last}\nwould apply 1 steps; nothing was changed\n");
    assert_eq!((status(), status()), (expected.clone(), expected));
    assert_eq!(
        workplace.run_well(&["migrate"], "").stdout,
        format!("applied {last}\napplied 1 steps; the schema is up to date\n")
    );
    assert_eq!(status(), "the schema is up to date\n");
}

async fn execute(url: &str, statements: &[&str]) {
    let database = Database::connect(url).await.expect("a database");
    for sql in statements {
        database.writer().execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    database.close().await.expect("a close");
}

const PASSWORD: &str = "open%40sesame";

async fn what_keeps_postgresql_from_being_used_is_named_with_its_remedy(_: Setup) {
    let mut cluster = Cluster::start();
    let workplace = Workplace::new();
    let address = format!("127.0.0.1:{}", cluster.port());
    let host = "host all guest 127.0.0.1/32 scram-sha-256\\nhost all postgres 127.0.0.1/32 trust\\n";
    let rules = format!("COPY (SELECT E'{host}') TO PROGRAM 'xargs -0 printf > pg_hba.conf'");
    execute(
        &format!("{}/postgres", cluster.url()),
        &[
            "CREATE ROLE guest LOGIN PASSWORD 'open@sesame'",
            "CREATE DATABASE events",
            &rules,
            "SELECT pg_reload_conf()",
        ],
    )
    .await;
    let spelling = "in its user name and password @ is written %40, : %3A, / %2F, ? %3F, # %23 and % %25";
    let cannot = "error: the database cannot be opened:";
    for (url, expected) in [
        (
            format!("postgres://guest:{PASSWORD}@{address}/evnets"),
            format!(
                "{cannot} PostgreSQL at {address} says: database \"evnets\" does not exist; make the database (createdb \
                 evnets), or mend its name in the database URL\n"
            ),
        ),
        (
            format!("postgres://guest:wrong@{address}/events"),
            format!(
                "{cannot} PostgreSQL at {address} says: password authentication failed for user \"guest\"; set the \
                 password of guest in the database URL; {spelling}\n"
            ),
        ),
        (
            format!("postgres://stranger:{PASSWORD}@{address}/events"),
            format!(
                "{cannot} PostgreSQL at {address} says: no pg_hba.conf entry for host \"127.0.0.1\", user \"stranger\", \
                 database \"events\", no encryption; check the user stranger of the database URL, and whom the server \
                 lets in (pg_hba.conf)\n"
            ),
        ),
        (
            format!("postgres://guest:open@se/same@{address}/events"),
            format!("error: the database URL cannot be read: {spelling}\n"),
        ),
        (
            format!("postgres://guest:{PASSWORD}@{address}/events?sslrootcert=nowhere/root.pem"),
            "error: the database cannot be opened: sslrootcert in its URL names nowhere/root.pem: No such file or \
             directory (os error 2)\n"
                .to_owned(),
        ),
    ] {
        for command in [&["migrate"][..], &["migrate", "--status"]] {
            assert_eq!(refusal(&workplace, &[command, &["--database-url", &url]].concat()), expected, "{url}");
        }
    }
    // An @ that stands as it is can be told from the one before the host.
    for password in [PASSWORD, "open@sesame"] {
        let url = format!("postgres://guest:{password}@{address}/events");
        assert!(workplace.run(&["migrate", "--status", "--database-url", &url]).stderr.contains("may not make tables"));
    }
    let said = refusal(&workplace, &["migrate", "--database-url", "postgres://guest:pw@nowhere.invalid/events"]);
    assert!(
        said.starts_with(&format!("{cannot} the host nowhere.invalid of the database URL cannot be found: ")),
        "{said}"
    );
    assert!(said.ends_with(&format!("{spelling}\n")), "{said}");

    cluster.end();
    let url = format!("postgres://guest:{PASSWORD}@{address}/events");
    let expected = format!(
        "{cannot} PostgreSQL at {address} is not there (Connection refused (os error 111)): start it, or mend the host \
         and port of the database URL\n"
    );
    assert_eq!(refusal(&workplace, &["migrate", "--database-url", &url]), expected);
    let said = refusal(&workplace, &["migrate", "--database-url", "postgres://guest@x/events?host=/nowhere"]);
    assert!(said.starts_with(&format!("{cannot} PostgreSQL's socket in /nowhere, port 5432 is not there (")), "{said}");
}

async fn a_user_without_rights_is_told_which_are_missing(_: Setup) {
    let cluster = Cluster::start();
    let owner = format!("{}/events", cluster.url());
    execute(&format!("{}/postgres", cluster.url()), &["CREATE DATABASE events", "CREATE ROLE service LOGIN"]).await;
    execute(&owner, &["REVOKE ALL ON SCHEMA public FROM PUBLIC"]).await;
    let mut workplace = Workplace::new();
    workplace.set("DATABASE_URL", &owner.replace("postgres@", "service@"));
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", &"70".repeat(32));
    workplace.set("REFERRAL_EVENTS_HASH_KEY", &"4a".repeat(32));
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let no_schema = "error: the database user service may use no schema: as its owner, run: GRANT USAGE ON SCHEMA public \
                     TO service\n";
    for command in [&serve[..], &["migrate"], &["migrate", "--status"]] {
        assert_eq!(refusal(&workplace, command), no_schema);
    }
    execute(&owner, &["GRANT USAGE ON SCHEMA public TO service"]).await;

    let no_tables = "error: the database user service may not make tables in the schema public: as its owner, run: GRANT \
                     CREATE ON SCHEMA public TO service; or run migrate as a user who may\n";
    for command in [&["migrate"][..], &["migrate", "--status"]] {
        assert_eq!(refusal(&workplace, command), no_tables);
    }
    let behind = "error: the database's schema is behind this version; run: referral-events migrate\n";
    assert_eq!(refusal(&workplace, &serve), behind);

    // Another user brings the schema up to date; its tables are not for this one.
    workplace.run_well(&["migrate", "--database-url", &owner], "");
    let unreadable = format!(
        "error: the database user service may not read {}: as the owner of the tables, run: GRANT SELECT, INSERT, UPDATE, \
         DELETE ON ALL TABLES IN SCHEMA public TO service; GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO service\n",
        schema::TABLES.join(", ")
    );
    for command in [&serve[..], &["migrate"], &["migrate", "--status"], &["organisation", "add", "acme"]] {
        assert_eq!(refusal(&workplace, command), unreadable);
    }
    // What it says mends it.
    let remedy = unreadable.split_once("run: ").expect("a remedy").1.trim();
    execute(&owner, &remedy.split("; ").collect::<Vec<_>>()).await;
    assert_eq!(workplace.run_well(&["migrate", "--status"], "").stdout, "the schema is up to date\n");
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
    workplace.serve(&[]).login("seven green kettles").await;
    // One table that came later.
    execute(&owner, &["REVOKE ALL ON taps FROM service"]).await;
    assert!(
        refusal(&workplace, &serve).starts_with("error: the database user service may not read taps: as the owner")
    );
    // The README has the same remedy.
    let readme = blocks(&document("README.md"));
    let grants = readme.iter().find(|block| block.language == "sql").expect("grants");
    execute(&owner, &grants.text.lines().collect::<Vec<_>>()).await;
    workplace.serve(&[]).login("seven green kettles").await;
}
