//! The connections to the database: how many there are and for how long, how they are secured, and that nothing secret
//! of the URL is shown.

use std::{
    fs,
    time::{Duration, Instant},
};

use futures_util::future::{join_all, select_all};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use referral_events::{
    id::OrganisationId,
    storage::{Database, PoolOptions},
};
use sea_orm::{ConnectionTrait, QueryResult, Statement};
use serde_json::{Value, json};

use crate::support::{Cluster, Server, Setup, TestDatabase, Workplace, event, tests, until, until_waiting_for_a_lock};

tests! {
    NoCalls:
        a_call_that_gets_no_connection_in_time_finds_the_service_unavailable,
        one_connection_is_enough;
    Sqlite:
        what_was_committed_comes_from_the_log_into_the_file_while_the_server_runs;
    Postgres:
        no_more_connections_are_open_than_are_set,
        connections_that_nobody_uses_are_closed,
        calls_that_wait_for_their_turn_leave_a_connection_to_those_that_look_up,
        a_rehearsal_with_a_wrong_code_takes_one_connection_at_a_time,
        after_an_import_look_ups_read_the_indexes_alone,
        sessions_look_things_up_by_key_whatever_the_planner_believes;
    OwnPostgres:
        the_url_says_how_the_server_is_verified,
        the_url_names_a_unix_socket;
    Once:
        settings_that_make_no_sense_are_refused,
        nothing_secret_of_a_url_is_shown;
}

const BULK: &str = "customer_events/bulk/referrals/create";
const PASSWORD: &str = "opensesame";

/// A workplace with a caller and participants RP01 to RP20.
fn workplace(database: TestDatabase) -> Workplace {
    let workplace = Workplace::over(database);
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
    let participants = (1..=20).map(|n| format!("RP{n:02},ACR{n:02}\n")).collect::<String>();
    let accounts = (1..=20).map(|n| format!("ACR{n:02}\n")).collect::<String>();
    for (kind, rows) in [
        ("units", "name,alternative_code\nAdmin Unit,U1\n".to_owned()),
        ("accounts_receivable", format!("number\n{accounts}")),
        ("rewards_participants", format!("number,accounts_receivable_number\n{participants}")),
    ] {
        workplace.run_well(&["import", "--organisation", "acme", kind, "-"], &rows);
    }
    workplace
}

/// A call by which participant 20 refers another.
fn request(token: &str, referred: usize) -> Value {
    let event = event("1", &format!("{referred:02}"), "20");
    json!({"token": token, "referral_customer_events_set": [event]})
}

async fn query(database: &Database, sql: &str) -> QueryResult {
    let connection = database.reader();
    let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await;
    row.expect("a query").expect("a row")
}

/// How many connections the server under test has open; its name is in its URL.
async fn connections(observer: &Database) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'under test' \
               AND datname = current_database()";
    query(observer, sql).await.try_get_by_index(0).expect("a number")
}

async fn what_was_committed_comes_from_the_log_into_the_file_while_the_server_runs(setup: Setup) {
    let server = Server::start(setup).await;
    let mut event = event("1", "02", "03");
    event["description"] = "written into the file itself".into();
    server.send(json!([event])).await.assert_outcome(&["1"], &[]);
    let is_in_the_file = || {
        let file = &server.file_contents()[0];
        file.windows(28).any(|bytes| bytes == b"written into the file itself")
    };
    until("it is in the file", async || is_in_the_file()).await;
}

async fn sessions_look_things_up_by_key_whatever_the_planner_believes(setup: Setup) {
    let files = setup.engine.create_database();
    let database = Database::connect(&files.url).await.expect("a database");
    for setting in ["enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan", "jit"] {
        let value: String = query(&database, &format!("SHOW {setting}")).await.try_get_by_index(0).expect("a value");
        assert_eq!(value, "off", "{setting}");
    }
    let kept: String = query(&database, "SHOW plan_cache_mode").await.try_get_by_index(0).expect("a value");
    assert_eq!(kept, "force_generic_plan");
    database.close().await.expect("a close");
}

/// A PostgreSQL database, its connections told from those of the test.
fn named(setup: Setup) -> (Workplace, String) {
    let url = setup.engine.create_database().url;
    (workplace(TestDatabase::at(format!("{url}?application_name=under%20test"))), url)
}

async fn a_call_that_gets_no_connection_in_time_finds_the_service_unavailable(setup: Setup) {
    let workplace = workplace(setup.engine.create_database());
    // They are not carried out together.
    let alone = ["--database-connections", "1", "--database-acquire-timeout", "1", "--maximum-group", "1"];
    let server = workplace.serve(&alone);
    let token = server.login("seven green kettles").await;
    let (first, second) = (request(&token, 1), request(&token, 2));
    let observer = Database::connect(&workplace.database_url()).await.expect("a database");
    let lock = observer.begin_turn(OrganisationId(1)).await.expect("a turn");
    // One of the two has the connection and waits for the lock, the other one waits for the connection.
    let started = Instant::now();
    let calls = [&first, &second].map(|request| Box::pin(server.post(BULK, request)));
    let (refused, _, waiting) = select_all(calls).await;
    refused.assert_refused("ServiceUnavailable");
    let waited = started.elapsed();
    assert!(waited > Duration::from_millis(900) && waited < Duration::from_secs(8), "{waited:?}");
    lock.rollback().await.expect("a rollback");
    join_all(waiting).await[0].assert_outcome(&["1"], &[]);
}

async fn a_rehearsal_with_a_wrong_code_takes_one_connection_at_a_time(setup: Setup) {
    let workplace = workplace(setup.engine.create_database());
    // Of four, one is for reading, and for counting wrong codes.
    let server = workplace.serve(&["--database-connections", "4", "--database-acquire-timeout", "1"]);
    let mut request = request(&server.login("seven green kettles").await, 1);
    request["validate_only"] = json!(true);
    request["referral_customer_events_set"][0]["referred_by_rewards_participant_identifier"] =
        json!({"access_token_identifier": {"authentication_code": "wrong"}});
    server.post(BULK, &request).await.assert_outcome(&[], &[("1", "InvalidAccessToken")]);
}

async fn one_connection_is_enough(setup: Setup) {
    let workplace = workplace(setup.engine.create_database());
    let server = workplace.serve(&["--database-connections", "1"]);
    let token = server.login("seven green kettles").await;
    let calls = (1..=12).map(|n| {
        let (server, request) = (&server, request(&token, n));
        async move { server.post(BULK, &request).await }
    });
    for answer in join_all(calls).await {
        answer.assert_outcome(&["1"], &[]);
    }
}

async fn no_more_connections_are_open_than_are_set(setup: Setup) {
    let (workplace, url) = named(setup);
    let observer = Database::connect(&url).await.expect("a database");
    let server = workplace.serve(&["--database-connections", "3", "--maximum-group", "1"]);
    let token = server.login("seven green kettles").await;
    let requests: Vec<Value> = (1..=12).map(|n| request(&token, n)).collect();
    let lock = observer.begin_turn(OrganisationId(1)).await.expect("a turn");
    let calls = requests.iter().map(|request| server.post(BULK, request));
    let watch = async {
        until("three are open", async || connections(&observer).await >= 3).await;
        // All that may be are in use; the other calls have every reason to open more.
        for _ in 0..30 {
            assert_eq!(connections(&observer).await, 3);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        lock.rollback().await.expect("a rollback");
    };
    let (answers, ()) = tokio::join!(join_all(calls), watch);
    answers.iter().for_each(|answer| answer.assert_outcome(&["1"], &[]));
}

async fn calls_that_wait_for_their_turn_leave_a_connection_to_those_that_look_up(setup: Setup) {
    let (workplace, url) = named(setup);
    // It may hold a transaction open for as long as it takes.
    let patient = PoolOptions { time_limit: Duration::from_secs(3600), ..PoolOptions::DEFAULT };
    let observer = Database::connect_with(&url, patient).await.expect("a database");
    // Each takes a connection of its own.
    let alone = ["--database-connections", "4", "--database-acquire-timeout", "5", "--maximum-group", "1"];
    let server = workplace.serve(&alone);
    let token = server.login("seven green kettles").await;
    let requests: Vec<Value> = (1..=8).map(|n| request(&token, n)).collect();
    let lock = observer.begin_turn(OrganisationId(1)).await.expect("a turn");
    let calls = requests.iter().map(|request| server.post(BULK, request));
    let look_up = async {
        until_waiting_for_a_lock(&observer, 2).await;
        // The others come meanwhile, and wait in the queue of their organisation.
        for _ in 0..3 {
            server.login("seven green kettles").await;
        }
        lock.rollback().await.expect("a rollback");
    };
    let (answers, ()) = tokio::join!(join_all(calls), look_up);
    answers.iter().for_each(|answer| answer.assert_outcome(&["1"], &[]));
}

async fn after_an_import_look_ups_read_the_indexes_alone(setup: Setup) {
    let (workplace, url) = named(setup);
    let observer = Database::connect(&url).await.expect("a database");
    let accounts = (0..5000).map(|n| format!("A{n}\n")).collect::<String>();
    let import = ["import", "--organisation", "acme", "accounts_receivable", "-"];
    workplace.run_well(&import, &format!("number\n{accounts}"));
    let sql = "SELECT relpages = relallvisible AND relpages > 0 FROM pg_class WHERE relname = 'accounts_receivable'";
    assert!(query(&observer, sql).await.try_get_by_index::<bool>(0).expect("a flag"), "some pages have to be read");
}

async fn connections_that_nobody_uses_are_closed(setup: Setup) {
    let (mut workplace, url) = named(setup);
    let observer = Database::connect(&url).await.expect("a database");
    workplace.set("REFERRAL_EVENTS_DATABASE_IDLE_TIMEOUT", "1");
    let server = workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    assert!(connections(&observer).await > 0);
    until("none is open", async || connections(&observer).await == 0).await;
    // The next call opens one.
    server.post(BULK, &request(&token, 1)).await.assert_outcome(&["1"], &[]);
}

async fn settings_that_make_no_sense_are_refused(_: Setup) {
    let workplace = Workplace::new();
    for setting in ["--database-connections", "--database-acquire-timeout", "--database-idle-timeout"] {
        for value in ["0", "-1", "many", "99999999999"] {
            let ended = workplace.run(&["migrate", &format!("{setting}={value}")]);
            assert_eq!(ended.code, Some(2), "{setting}={value}: {ended:?}");
            assert!(ended.stderr.contains(&format!("'{value}' for '{setting}")), "{ended:?}");
        }
    }
    assert!(!workplace.path("referral-events.db").exists());
}

/// Runs `migrate`, which fails, logging all that there is, and answers the last line that it says.
fn refusal(workplace: &Workplace, url: &str) -> String {
    let ended = workplace.run(&["migrate", "--database-url", url, "--log", "trace", "--database-acquire-timeout", "1"]);
    assert_eq!(ended.code, Some(1), "{url}: {ended:?}");
    assert!(!ended.stderr.contains(PASSWORD) && !ended.stdout.contains(PASSWORD), "{url}: {ended:?}");
    ended.stderr.lines().last().expect("a message").to_owned()
}

async fn nothing_secret_of_a_url_is_shown(_: Setup) {
    let workplace = Workplace::new();
    let unreachable = "error: the database cannot be opened: ";
    let unreadable = "error: the database URL cannot be read: ";
    let unknown = "error: the database URL has a parameter that is none of sslmode, ";
    for (url, message) in [
        (format!("postgres://user:{PASSWORD}@127.0.0.1:1/events"), unreachable),
        (format!("postgres://user@127.0.0.1:1/events?password={PASSWORD}"), unreachable),
        (format!("postgres://user@127.0.0.1:1/events?host=/nowhere&password={PASSWORD}"), unreachable),
        // Signs of a password that a URL must spell otherwise, and that cut it in pieces.
        (format!("postgres://user:{PASSWORD}/x@127.0.0.1/events"), unreadable),
        (format!("postgres://user:{PASSWORD}#x@127.0.0.1/events"), unreadable),
        (format!("postgres://user:1?{PASSWORD}@127.0.0.1/events"), unknown),
        (format!("postgres://user:{PASSWORD}@[127.0.0.1/events"), unreadable),
        (format!("postgres://user:{PASSWORD}@127.0.0.1:port/events"), unreadable),
        // A parameter that is not known, so that nobody believes in what has no effect.
        (format!("postgres://user@127.0.0.1:1/events?pasword={PASSWORD}"), unknown),
        (format!("postgres://user:{PASSWORD}@127.0.0.1:1/events?sslmod=verify-full"), unknown),
        (format!("postgres://user:{PASSWORD}@127.0.0.1:1/events?sslmode=verify-all"), unreadable),
        (format!("postgres://user:{PASSWORD}@127.0.0.1:1/events?statement-cache-capacity=few"), unreadable),
    ] {
        let last = refusal(&workplace, &url);
        assert!(last.starts_with(message), "{url}: {last}");
    }
}

/// A certificate authority, and what a server on 127.0.0.1 shows by it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::new([]).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(parameters, key).expect("a certificate") }
    }

    /// The certificate and its key.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(["127.0.0.1".to_owned()]).expect("parameters");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// Has a server take connections by TLS from now on; those that it has stay as they are.
async fn switch_tls_on(database: &Database, (certificate, key): (String, String)) {
    let connection = database.writer();
    let write = |file: &str, text: &str| {
        format!("COPY (SELECT unnest(string_to_array('{text}', E'\\n'))) TO PROGRAM 'umask 077; cat > {file}'")
    };
    for sql in [
        &write("server.crt", &certificate),
        &write("server.key", &key),
        "ALTER SYSTEM SET ssl = on",
        "SELECT pg_reload_conf()",
    ] {
        connection.execute_unprepared(sql).await.expect("a statement");
    }
    // The server reads its settings again when it comes to it.
    let ssl = async || query(database, "SHOW ssl").await.try_get_by_index::<String>(0).expect("a text");
    until("TLS is on", async || ssl().await == "on").await;
}

/// Whether a connection is encrypted, and whether it is one over TCP.
async fn kind_of_connection(url: &str) -> (bool, bool) {
    let database = Database::connect(url).await.unwrap_or_else(|error| panic!("{url}: {error:?}"));
    let sql = "SELECT ssl, inet_server_addr() IS NOT NULL FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = query(&database, sql).await;
    database.close().await.expect("a close");
    (row.try_get_by_index(0).expect("a truth"), row.try_get_by_index(1).expect("a truth"))
}

async fn the_url_says_how_the_server_is_verified(_: Setup) {
    let cluster = Cluster::start();
    let files = Workplace::new();
    let root = Authority::new("the right root");
    for (file, authority) in [("root.pem", &root), ("other.pem", &Authority::new("another root"))] {
        fs::write(files.path(file), authority.issuer.pem()).expect("a file");
    }
    let url = |parameters: &str| {
        let server = cluster.url().replace("postgres@", &format!("postgres:{PASSWORD}@"));
        format!("{server}/postgres?{parameters}")
    };
    let with_root =
        |parameters: &str, file: &str| url(&format!("{parameters}&sslrootcert={}", files.path(file).display()));
    // Before: nothing but plain text.
    let last = refusal(&files, &url("sslmode=require"));
    assert!(last.ends_with("server does not support TLS"), "{last}");
    assert_eq!(kind_of_connection(&url("sslmode=prefer")).await, (false, true));

    let administrator = Database::connect(&url("sslmode=disable")).await.expect("a database");
    switch_tls_on(&administrator, root.issue()).await;
    for (parameters, encrypted) in [
        (url("sslmode=disable"), false),
        (url("sslmode=prefer"), true),
        (url("sslmode=require"), true),
        (with_root("sslmode=verify-ca", "root.pem"), true),
        (with_root("sslmode=verify-full", "root.pem"), true),
        // Its certificate is for an address; by a name it is another's.
        (with_root("sslmode=verify-ca", "root.pem").replace("127.0.0.1", "localhost"), true),
    ] {
        assert_eq!(kind_of_connection(&parameters).await, (encrypted, true), "{parameters}");
    }
    for (url, reason) in [
        (with_root("sslmode=verify-full", "other.pem"), "invalid peer certificate: UnknownIssuer"),
        (with_root("sslmode=verify-ca", "other.pem"), "invalid peer certificate: UnknownIssuer"),
        (url("sslmode=verify-full"), "invalid peer certificate: UnknownIssuer"),
        (
            with_root("sslmode=verify-full", "root.pem").replace("127.0.0.1", "localhost"),
            "invalid peer certificate: certificate not valid for name \"localhost\"",
        ),
        (with_root("sslmode=verify-full", "nowhere.pem"), "No such file or directory"),
    ] {
        let last = refusal(&files, &url);
        assert!(last.starts_with("error: the database cannot be opened: ") && last.contains(reason), "{url}: {last}");
    }
    // The whole service goes that way, its bulk load too.
    let workplace = workplace(TestDatabase::at(with_root("sslmode=verify-full", "root.pem")));
    let server = workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    server.post(BULK, &request(&token, 1)).await.assert_outcome(&["1"], &[]);
}

async fn the_url_names_a_unix_socket(_: Setup) {
    let cluster = Cluster::start();
    let tcp = Database::connect(&format!("{}/postgres", cluster.url())).await.expect("a database");
    let folder: String = query(&tcp, "SHOW unix_socket_directories").await.try_get_by_index(0).expect("a folder");
    let url = format!("{}/postgres?host={folder}", cluster.url().replace("127.0.0.1", "nowhere.invalid"));
    assert_eq!(kind_of_connection(&url).await, (false, false));
    let workplace = workplace(TestDatabase::at(url));
    let server = workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    server.post(BULK, &request(&token, 1)).await.assert_outcome(&["1"], &[]);
}
