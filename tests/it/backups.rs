//! A copy of a database has all that was acknowledged, and is served in its place.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::support::{
    Process, Setup, TestDatabase, Workplace,
    examples::{blocks, document},
    postgres, signal, tests,
};

tests! {
    Once:
        a_copy_made_under_load_has_what_was_acknowledged_before_and_is_served_with_its_keys,
        a_copy_takes_no_place_that_is_taken_and_leaves_nothing_where_it_fails,
        a_copy_that_is_told_to_stop_leaves_nothing,
        keys_that_do_not_fit_are_copied_and_told,
        a_copy_of_an_older_schema_stays_as_it_is,
        the_recipe_for_sqlite_leads_back_to_what_was_there;
    Postgres:
        of_postgresql_the_recipe_is_named,
        the_recipe_for_postgresql_leads_back_to_what_was_there;
}

const CREATE: &str = "customer_events/referrals/create";
const SHOW: &str = "customer_events/referrals/show?customer_event_identifier=number=";

/// A caller, a unit, and so many parties.
fn fill(workplace: &Workplace, parties: usize) {
    workplace.add_caller("seven green kettles");
    let accounts: String = (0..parties).map(|n| format!("A{n}\n")).collect();
    for (kind, rows) in [
        ("units", "name,alternative_code\nAdmin Unit,U1\n".to_owned()),
        ("accounts_receivable", format!("number\n{accounts}")),
    ] {
        workplace.run_well(&["import", "--organisation", "acme", kind, "-"], &rows);
    }
}

/// The call that has the account of this number referred by the first one.
fn referral(token: &str, referred: usize) -> Value {
    json!({
        "token": token,
        "performed_by_unit_identifier": {"alternative_code": "U1"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_accounts_receivable_identifier": {"number": format!("A{referred}")},
        "referred_by_accounts_receivable_identifier": {"number": "A0"},
        "description": format!("of A{referred}"),
    })
}

async fn create(server: &Process, token: &str, referred: usize) -> String {
    let answer = server.post(CREATE, &referral(token, referred)).await;
    answer.data["number"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// An event as it is looked back on.
async fn show(server: &Process, token: &str, number: &str) -> Value {
    let url = format!("http://{}/{SHOW}{number}", server.address);
    let response = reqwest::Client::new().get(url).bearer_auth(token).send().await.expect("an answer");
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["status"]["code"], "OK", "{body}");
    body["data"].clone()
}

fn check(copy: &Path) -> String {
    let connection = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database");
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check")
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).expect("a file").permissions().mode() & 0o777
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

async fn a_copy_made_under_load_has_what_was_acknowledged_before_and_is_served_with_its_keys(_: Setup) {
    const CALLERS: usize = 4;
    const PARTIES: usize = 4000;
    let workplace = Workplace::new();
    fill(&workplace, PARTIES);
    let server = Arc::new(workplace.serve(&[]));
    let token = server.login("seven green kettles").await;
    let acknowledged: Arc<Mutex<Vec<String>>> = Arc::default();
    let is_done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (server, token) = (server.clone(), token.clone());
            let (acknowledged, is_done) = (acknowledged.clone(), is_done.clone());
            tokio::spawn(async move {
                for referred in (1 + caller..PARTIES).step_by(CALLERS) {
                    if is_done.load(Ordering::Relaxed) {
                        break;
                    }
                    let number = create(&server, &token, referred).await;
                    acknowledged.lock().expect("a lock").push(number);
                }
            })
        })
        .collect();
    let mut before = Vec::new();
    for round in 1..=3 {
        // There is something to miss, and it goes on.
        let enough = before.len() + 30;
        while acknowledged.lock().expect("a lock").len() < enough {
            tokio::task::yield_now().await;
        }
        before = acknowledged.lock().expect("a lock").clone();
        let name = format!("copy-{round}.db");
        let said = workplace.run_well(&["backup", &name], "").stdout;
        assert!(said.starts_with(&format!("copied the database to {name} (")), "{said}");
        assert!(said.ends_with(&format!("copied its keys to {name}.keys\n")), "{said}");
        let copy = workplace.path(&name);
        assert_eq!((mode(&copy), mode(&workplace.path(&format!("{name}.keys")))), (0o600, 0o600));
        assert_eq!(check(&copy), "ok");
        let connection = Connection::open_with_flags(&copy, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database");
        let mut events = connection.prepare("SELECT CAST(number AS TEXT) FROM referral_events").expect("a statement");
        let copied: Vec<String> =
            events.query_map([], |row| row.get(0)).expect("events").collect::<Result<_, _>>().expect("numbers");
        let missing: Vec<&String> = before.iter().filter(|number| !copied.contains(number)).collect();
        assert!(missing.is_empty(), "{missing:?} were acknowledged and are not in the copy");
    }
    is_done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("a caller none of whose calls was refused");
    }
    assert!(acknowledged.lock().expect("a lock").len() > before.len(), "nothing was created while it was copied");
    assert_eq!(
        names(workplace.path("copy-1.db").parent().expect("a folder"))
            .iter()
            .filter(|name| name.starts_with('.'))
            .count(),
        0
    );

    // A token from before, a login, what was created before, and what is created now.
    let copy = workplace.serve(&["--database-url", "sqlite:copy-3.db"]);
    for number in [&before[0], before.last().expect("an event")] {
        assert_eq!(show(&copy, &token, number).await, show(&server, &token, number).await);
    }
    let token = copy.login("seven green kettles").await;
    create(&copy, &token, PARTIES - 1).await;
}

async fn a_copy_takes_no_place_that_is_taken_and_leaves_nothing_where_it_fails(_: Setup) {
    let workplace = Workplace::new();
    let folder = workplace.path("");
    let refused = |arguments: &[&str], message: &str| {
        let ended = workplace.run(&[&["backup"], arguments].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stderr, format!("error: {message}\n"), "{arguments:?}");
    };
    refused(&["copy.db"], "there is no database referral-events.db: --database-url names it");
    assert_eq!(names(&folder), Vec::<String>::new(), "none is made");

    workplace.add_caller("seven green kettles");
    drop(workplace.serve(&[]));
    workplace.run_well(&["backup", "copy.db"], "");
    let first = fs::read(workplace.path("copy.db")).expect("a copy");
    workplace.run_well(&["organisation", "add", "late"], "");
    for (arguments, message) in [
        (&["copy.db"][..], "copy.db is there already: name another file, or give --overwrite"),
        (&["referral-events.db", "--overwrite"], "referral-events.db is the original: name another file for the copy"),
        (
            &["referral-events.db.keys", "--overwrite"],
            "referral-events.db.keys belongs to the database itself: name another file for the copy",
        ),
        (&["nowhere/copy.db"], "nowhere/copy.db cannot be written: No such file or directory (os error 2)"),
    ] {
        let before = names(&folder);
        let ended = workplace.run(&[&["backup"], arguments].concat());
        assert_eq!(ended.code, Some(1), "{arguments:?}: {ended:?}");
        assert!(
            ended.stderr.starts_with(&format!("error: {}", message.split(" (os").next().expect("a text"))),
            "{ended:?}"
        );
        assert_eq!(names(&folder), before, "{arguments:?}");
    }
    assert_eq!(fs::read(workplace.path("copy.db")).expect("a copy"), first);
    // Keys without a database may be those of another.
    fs::copy(workplace.path("copy.db.keys"), workplace.path("other.db.keys")).expect("a copy");
    refused(&["other.db"], "other.db.keys is there already: name another file, or give --overwrite");
    // SQLite would take what is in it into the copy.
    fs::write(workplace.path("third.db-wal"), "a log").expect("a file");
    refused(
        &["third.db", "--overwrite"],
        "there is third.db-wal, which belongs to a database that is in use, or was: name another file",
    );
    fs::write(workplace.path("damaged.db"), "no database at all, but long enough to be one").expect("a file");
    let before = names(&folder);
    let ended = workplace.run(&["backup", "fourth.db", "--database-url", "sqlite:damaged.db"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("error: the database damaged.db cannot be copied: "), "{ended:?}");
    assert_eq!(names(&folder), before);

    {
        let _server = workplace.serve(&[]);
        refused(
            &["referral-events.db-wal", "--overwrite"],
            "referral-events.db-wal belongs to the database itself: name another file for the copy",
        );
    }
    workplace.run_well(&["backup", "copy.db", "--overwrite"], "");
    assert_ne!(fs::read(workplace.path("copy.db")).expect("a copy"), first);
    assert_eq!(check(&workplace.path("copy.db")), "ok");

    // In a folder each has its time.
    fs::create_dir(workplace.path("copies")).expect("a folder");
    workplace.run_well(&["backup", "copies"], "");
    let copies = names(&workplace.path("copies"));
    assert_eq!(copies.len(), 2, "{copies:?}");
    assert!(copies[0].starts_with("referral-events-20") && copies[0].ends_with("Z.db"), "{copies:?}");
    assert_eq!(copies[1], format!("{}.keys", copies[0]));
    // Where keys are set there are none to copy.
    let mut with_set_keys = Workplace::new();
    with_set_keys.set("REFERRAL_EVENTS_HASH_KEY", &"4a".repeat(32));
    with_set_keys.run_well(&["migrate"], "");
    let said = with_set_keys.run_well(&["backup", "copy.db"], "").stdout;
    assert!(said.contains("keep REFERRAL_EVENTS_HASH_KEY with the copy"), "{said}");
}

async fn keys_that_do_not_fit_are_copied_and_told(_: Setup) {
    let workplace = Workplace::new();
    fill(&workplace, 1);
    drop(workplace.serve(&[]));
    let keys = workplace.path("referral-events.db.keys");
    let (own, other) = (fs::read_to_string(&keys).expect("keys"), workplace.run_well(&["key", "new"], "").stdout);
    let hash_key = own.lines().find_map(|line| line.strip_prefix("REFERRAL_EVENTS_HASH_KEY=")).expect("a key");
    for (text, message) in [
        (
            own.replace(hash_key, other.trim_end()),
            "the codes in the database were hashed with another key and would match nothing: put the key file \
             referral-events.db.keys back that was there",
        ),
        (
            format!("{own}\ngarbage\n"),
            "the key file referral-events.db.keys has to have a line REFERRAL_EVENTS_TOKEN_KEY=… and a line \
             REFERRAL_EVENTS_HASH_KEY=…, and nothing else: take line 4 out",
        ),
    ] {
        fs::write(&keys, &text).expect("other keys");
        let ended = workplace.run(&["backup", "copy.db", "--overwrite"]);
        assert_eq!((ended.code, ended.stderr), (Some(1), format!("error: {message}\n")));
        assert!(ended.stdout.ends_with("copied its keys to copy.db.keys\n"), "{}", ended.stdout);
        assert_eq!(fs::read_to_string(workplace.path("copy.db.keys")).expect("a copy"), text);
    }
    fs::write(&keys, own).expect("its own keys");
    workplace.run_well(&["backup", "copy.db", "--overwrite"], "");
}

async fn a_copy_that_is_told_to_stop_leaves_nothing(_: Setup) {
    let workplace = Workplace::new();
    workplace.run_well(&["migrate"], "");
    let much = "CREATE TABLE much (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) \
                INSERT INTO much SELECT randomblob(4000) FROM n;";
    Connection::open(workplace.path("referral-events.db")).expect("a database").execute_batch(much).expect("much");
    let folder = workplace.path("copies");
    fs::create_dir(&folder).expect("a folder");
    let mut child = workplace.spawn(&["backup", "copies/copy.db"], Stdio::piped(), Stdio::piped());
    while names(&folder).is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    signal("TERM", &[child.id()]);
    let code = child.wait().expect("an end").code();
    assert!(matches!(code, Some(0 | 130)), "{code:?}");
    // Where it was done before it heard of it, the copy is there.
    let expected: &[&str] = if code == Some(130) { &[] } else { &["copy.db"] };
    assert_eq!(names(&folder), expected, "{code:?}");
}

async fn a_copy_of_an_older_schema_stays_as_it_is(_: Setup) {
    let workplace = Workplace::new();
    workplace.run_well(&["migrate"], "");
    let open = |name: &str| Connection::open(workplace.path(name)).expect("a database");
    open("referral-events.db")
        .execute_batch("DELETE FROM seaql_migrations WHERE version > 'm20261126_000012'; VACUUM;")
        .expect("a schema of before");
    workplace.run_well(&["backup", "copy.db"], "");
    for name in ["referral-events.db", "copy.db"] {
        let steps: i64 =
            open(name).query_row("SELECT count(*) FROM seaql_migrations", [], |row| row.get(0)).expect("a number");
        assert_eq!(steps, 11, "{name}");
    }
}

/// The commands of a section of the document that are the `n`th block there.
fn recipe(section: &str, n: usize) -> String {
    let document = document("docs/backup.md");
    let blocks = blocks(&document).into_iter().filter(|block| block.section == section && block.language == "sh");
    blocks.map(|block| block.text).nth(n).expect("a recipe")
}

async fn the_recipe_for_sqlite_leads_back_to_what_was_there(_: Setup) {
    let workplace = Workplace::new();
    fill(&workplace, 4);
    let server = workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    let number = create(&server, &token, 1).await;
    let event = show(&server, &token, &number).await;
    workplace.run_script(&recipe("SQLite", 0));
    // There may be others, from before.
    fs::write(workplace.path("backups/referral-events-20200101T000000Z.db"), "an older one").expect("a file");
    fs::write(workplace.path("backups/referral-events-20200101T000000Z.db.keys"), "its keys").expect("a file");
    let lost = create(&server, &token, 2).await;
    drop(server);

    let status = workplace.run_script(&recipe("SQLite", 1));
    assert_eq!(status, "the schema is up to date\n");
    let server = workplace.serve(&[]);
    assert_eq!(show(&server, &token, &number).await, event);
    // As the document warns.
    assert_eq!(create(&server, &token, 3).await, lost);
    server.login("seven green kettles").await;
}

async fn of_postgresql_the_recipe_is_named(setup: Setup) {
    let workplace = Workplace::over(setup.engine.create_database());
    let ended = workplace.run(&["backup", "copy.db"]);
    let message = "error: backup is for SQLite; a database of PostgreSQL is copied with pg_dump --format=custom, as \
                   docs/backup.md says\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), message));
}

async fn the_recipe_for_postgresql_leads_back_to_what_was_there(setup: Setup) {
    let mut workplace = Workplace::over(setup.engine.create_database());
    workplace.run_well(&["migrate"], "");
    fill(&workplace, 4);
    let server = workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    let once = Some("a key");
    let created = server.post_once(CREATE, &referral(&token, 1), once).await;
    let number = created.data["number"].as_str().expect("a number");
    let event = show(&server, &token, number).await;

    let restored = setup.engine.create_database();
    let programs = postgres::programs().map_or_else(String::new, |folder| format!("{}:", folder.display()));
    let environment = format!(
        "export PATH=\"{programs}$PATH\" DATABASE_URL='{}' RESTORED_URL='{}'\n",
        workplace.database_url(),
        restored.url
    );
    workplace.run_script(&format!("{environment}{}", recipe("PostgreSQL", 0)));
    create(&server, &token, 2).await;
    let status = workplace.run_script(&format!("{environment}{}", recipe("PostgreSQL", 1)));
    assert_eq!(status, "the schema is up to date\n");

    workplace.set("DATABASE_URL", &TestDatabase::at(restored.url.clone()).url);
    let copy = workplace.serve(&[]);
    assert_eq!(show(&copy, &token, number).await, event);
    copy.login("seven green kettles").await;
    // The answers of idempotency keys are in it too, and what came after the dump is not.
    assert_eq!(copy.post_once(CREATE, &referral(&token, 1), once).await, created);
    create(&copy, &token, 2).await;
    // Another key is refused, as it is for the original.
    workplace.set("REFERRAL_EVENTS_HASH_KEY", &"5b".repeat(32));
    let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(ended.stderr.contains("were hashed with another key"), "{ended:?}");
}
