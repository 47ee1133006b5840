//! Users and organisations: who may log in, whose tokens have ended, and what is kept of who did what.

use referral_events::storage::Database;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Engine, Process, Server, Setup, TestDatabase, Workplace, jwt, method, tests};

tests! {
    NoCalls:
        whatever_ends_tokens_ends_them_at_once_on_every_replica,
        who_is_disabled_is_refused_like_who_gives_a_wrong_password,
        what_changes_nothing_ends_no_tokens,
        users_and_organisations_are_listed_without_their_passwords,
        the_audit_tells_who_did_what_to_whom_and_no_secret,
        what_cannot_be_audited_is_not_done,
        users_and_tokens_of_the_version_before_are_accepted;
    // On SQLite what is held has the one connection that writes.
    Postgres: a_login_that_a_new_password_overtakes_gives_no_token;
}

const PASSWORD: &str = "seven green kettles";
const OTHER_PASSWORD: &str = "nine purple ladles";
const BULK: &str = "customer_events/bulk/referrals/create";

/// A place with carla, a caller of acme, and carla, another one of other.
fn workplace(engine: Engine) -> Workplace {
    let workplace = Workplace::over(engine.create_database());
    workplace.run_well(&["migrate"], "");
    workplace.add_caller(PASSWORD);
    workplace.run_well(&["organisation", "add", "other"], "");
    add_user(&workplace, "other", "carla");
    workplace
}

fn add_user(workplace: &Workplace, organisation: &str, name: &str) {
    let arguments = ["user", "add", name, "--organisation", organisation, "--role", "caller"];
    workplace.run_well(&arguments, &format!("{PASSWORD}\n"));
}

/// Runs a command of one line, which must succeed, and answers what it says.
#[track_caller]
fn run(workplace: &Workplace, line: &str, input: &str) -> String {
    let arguments: Vec<&str> = line.split(' ').collect();
    let ended = workplace.run_well(&arguments, input);
    assert_eq!(ended.stderr, "", "{line}");
    ended.stdout
}

async fn call(server: &Process, token: &str) -> Answer {
    server.post(BULK, &json!({"token": token, "referral_customer_events_set": [{}]})).await
}

async fn assert_accepted(servers: &[Process], token: &str) {
    for server in servers {
        assert_eq!(call(server, token).await.code, "OK");
    }
}

async fn assert_ended(servers: &[Process], token: &str, why: &str) {
    for server in servers {
        let answer = call(server, token).await;
        assert_eq!(answer.code, "InvalidTokenException", "{why}");
        let message = "The token was released, or its user was disabled, changed or removed; log in again.";
        assert_eq!(answer.message, message);
    }
}

async fn log_in(server: &Process, organisation: &str, password: &str) -> Answer {
    let credentials = json!({"organisation": organisation, "username": "carla", "password": password});
    server.post("authentication/token", &credentials).await
}

async fn whatever_ends_tokens_ends_them_at_once_on_every_replica(setup: Setup) {
    let workplace = workplace(setup.engine);
    add_user(&workplace, "acme", "dora");
    let servers = [workplace.serve(&[]), workplace.serve(&[])];
    let others =
        [servers[0].login_as("acme", "dora", PASSWORD).await, servers[1].login_as("other", "carla", PASSWORD).await];
    let cases = [
        ("user password carla --organisation acme", "", OTHER_PASSWORD),
        ("user role carla --organisation acme --role reader", "", OTHER_PASSWORD),
        ("user role carla --organisation acme --role administrator", "", OTHER_PASSWORD),
        ("token release --user carla --organisation acme", "", OTHER_PASSWORD),
        ("user disable carla --organisation acme", "user enable carla --organisation acme", OTHER_PASSWORD),
        ("organisation disable acme", "organisation enable acme", OTHER_PASSWORD),
    ];
    let mut password = PASSWORD;
    for (command, back, next_password) in cases {
        let tokens = [servers[0].login(password).await, servers[1].login(password).await];
        for token in &tokens {
            assert_ne!(call(&servers[0], token).await.code, "InvalidTokenException");
            assert_ne!(call(&servers[1], token).await.code, "InvalidTokenException");
        }
        let said = run(&workplace, command, &format!("{OTHER_PASSWORD}\n"));
        assert!(said.contains("have ended"), "{said}");
        for token in &tokens {
            assert_ended(&servers, token, command).await;
        }
        if !back.is_empty() {
            run(&workplace, back, "");
        }
        password = next_password;
        // Who may log in again gets a token that is valid everywhere; the ones from before stay ended.
        let token = servers[1].login(password).await;
        for server in &servers {
            assert_ne!(call(server, &token).await.code, "InvalidTokenException", "{command}");
        }
        for token in &tokens {
            assert_ended(&servers, token, back).await;
        }
        // Nobody else has noticed, but for the others of an organisation that was disabled.
        let is_of_all = command.starts_with("organisation");
        for (n, token) in others.iter().enumerate() {
            match is_of_all && n == 0 {
                true => assert_ended(&servers, token, command).await,
                false => assert_accepted(&servers, token).await,
            }
        }
    }
    // The password from before is not accepted any more, and the last role counts.
    log_in(&servers[0], "acme", PASSWORD).await.assert_refused("InvalidCredentials");
    run(&workplace, "user role carla --organisation acme --role reader", "");
    call(&servers[0], &servers[0].login(password).await).await.assert_refused("AccessDenied");
}

async fn who_is_disabled_is_refused_like_who_gives_a_wrong_password(setup: Setup) {
    let workplace = workplace(setup.engine);
    let server = workplace.serve(&[]);
    for (off, on) in [
        ("user disable carla --organisation acme", "user enable carla --organisation acme"),
        ("organisation disable acme", "organisation enable acme"),
    ] {
        run(&workplace, off, "");
        let wrong = log_in(&server, "acme", "wrong").await;
        wrong.assert_refused("InvalidCredentials");
        assert_eq!(log_in(&server, "acme", PASSWORD).await, wrong, "{off}");
        // Her namesake of another organisation is not concerned.
        assert_eq!(log_in(&server, "other", PASSWORD).await.code, "OK");
        run(&workplace, on, "");
        assert_eq!(log_in(&server, "acme", PASSWORD).await.code, "OK", "{on}");
    }
    // In an organisation that is disabled, a user can be added and changed, and cannot log in.
    run(&workplace, "organisation disable acme", "");
    run(&workplace, "user password carla --organisation acme", &format!("{OTHER_PASSWORD}\n"));
    log_in(&server, "acme", OTHER_PASSWORD).await.assert_refused("InvalidCredentials");
    run(&workplace, "organisation enable acme", "");
    assert_eq!(log_in(&server, "acme", OTHER_PASSWORD).await.code, "OK");
}

async fn what_changes_nothing_ends_no_tokens(setup: Setup) {
    let workplace = workplace(setup.engine);
    let servers = [workplace.serve(&[])];
    let token = servers[0].login(PASSWORD).await;
    let before = run(&workplace, "audit list", "");
    for (command, said) in [
        (
            "user role carla --organisation acme --role caller",
            "the user carla of acme has the role caller already; nothing was changed\n",
        ),
        ("user enable carla --organisation acme", "the user carla of acme is not disabled; nothing was changed\n"),
        ("organisation enable acme", "the organisation acme is not disabled; nothing was changed\n"),
    ] {
        assert_eq!(run(&workplace, command, ""), said);
    }
    let refused = [
        ("user password carla --organisation acme", "short\n"),
        ("user add carla --organisation acme --role reader", "nine purple ladles\n"),
        ("organisation add acme", ""),
    ];
    for (command, input) in refused {
        let arguments: Vec<&str> = command.split(' ').collect();
        assert_eq!(workplace.run_with_input(&arguments, input).code, Some(1), "{command}");
    }
    assert_eq!(run(&workplace, "audit list", ""), before);
    assert_accepted(&servers, &token).await;
    for (command, again) in [
        ("user disable carla --organisation acme", "the user carla of acme is disabled already; nothing was changed\n"),
        ("organisation disable acme", "the organisation acme is disabled already; nothing was changed\n"),
    ] {
        run(&workplace, command, "");
        assert_eq!(run(&workplace, command, ""), again);
    }
}

fn json_of(workplace: &Workplace, line: &str) -> Value {
    serde_json::from_str(&run(workplace, line, "")).expect("JSON")
}

async fn users_and_organisations_are_listed_without_their_passwords(setup: Setup) {
    let workplace = Workplace::over(setup.engine.create_database());
    workplace.run_well(&["migrate"], "");
    assert_eq!(run(&workplace, "organisation list", ""), "name  created_on  disabled_on\n");
    assert_eq!(json_of(&workplace, "user list --json"), json!([]));
    workplace.add_caller(PASSWORD);
    workplace.run_well(&["organisation", "add", "a second"], "");
    add_user(&workplace, "a second", "zoë");
    add_user(&workplace, "a second", "bert");
    run(&workplace, "user disable carla --organisation acme", "");

    let today = |value: &Value| {
        let date = value.as_str().expect("a date");
        assert!(date.starts_with("20") && date.ends_with('Z') && date.len() == 20, "{date}");
    };
    let users = json_of(&workplace, "user list --json");
    let users = users.as_array().expect("an array");
    let names: Vec<(&Value, &Value)> = users.iter().map(|user| (&user["organisation"], &user["name"])).collect();
    let expected = [("a second", "bert"), ("a second", "zoë"), ("acme", "carla")];
    assert_eq!(
        names,
        expected.map(|(organisation, name)| (json!(organisation), json!(name))).each_ref().map(|(o, n)| (o, n))
    );
    let carla = users[2].as_object().expect("an object");
    let mut keys: Vec<&str> = carla.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["created_on", "disabled_on", "name", "organisation", "role", "unit"]);
    today(&carla["created_on"]);
    today(&carla["disabled_on"]);
    assert_eq!((&carla["role"], &carla["unit"]), (&json!("caller"), &Value::Null));
    assert_eq!(users[0]["disabled_on"], Value::Null);

    // To be read: each column begins at one place.
    let list = run(&workplace, "user list", "");
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 4, "{list}");
    assert!(lines[0].starts_with("organisation  name   role    created_on"), "{list}");
    assert!(lines[2].starts_with("a second      zoë    caller  20"), "{list}");
    let places = |line: &str| line.find("20").map(|place| line[..place].chars().count());
    assert_eq!(places(lines[2]), places(lines[1]), "{list}");
    assert!(lines[2].ends_with("Z  -                     -"), "{list}");
    let of_acme = run(&workplace, "user list --organisation acme", "");
    assert!(of_acme.contains("carla") && !of_acme.contains("bert"), "{of_acme}");
    let organisations = json_of(&workplace, "organisation list --json");
    assert_eq!(organisations[1]["name"], "acme");
    today(&organisations[1]["created_on"]);
    for text in [&list, &of_acme, &users[0].to_string()] {
        assert!(!text.contains("argon2"), "{text}");
    }
}

async fn the_audit_tells_who_did_what_to_whom_and_no_secret(setup: Setup) {
    let workplace = workplace(setup.engine);
    let commands = [
        "user password carla --organisation acme",
        "user role carla --organisation acme --role reader",
        "user disable carla --organisation acme",
        "user enable carla --organisation acme",
        "token release --user carla --organisation acme",
        "organisation disable acme",
        "organisation enable acme",
    ];
    for command in commands {
        run(&workplace, command, &format!("{OTHER_PASSWORD}\n"));
    }
    let entries = json_of(&workplace, "audit list --organisation acme --json");
    let entries = entries.as_array().expect("an array");
    let told: Vec<[&Value; 3]> =
        entries.iter().map(|entry| [&entry["action"], &entry["user"], &entry["details"]]).collect();
    let carla = json!("carla");
    let (none, caller, reader) = (Value::Null, json!("caller"), json!("reader, before caller"));
    let actions = [
        "organisation add",
        "user add",
        "user password",
        "user role",
        "user disable",
        "user enable",
        "token release",
        "organisation disable",
        "organisation enable",
    ]
    .map(|action| json!(action));
    let expected: Vec<[&Value; 3]> = (0..)
        .zip(&actions)
        .map(|(n, action)| {
            let user =
                if action.as_str().is_some_and(|action| action.starts_with("organisation")) { &none } else { &carla };
            [action, user, [&none, &caller, &none, &reader, &none, &none, &none, &none, &none][n]]
        })
        .collect();
    assert_eq!(told, expected);
    let me = workplace.run_script("id -un").trim().to_owned();
    let here = workplace.run_script("uname -n").trim().to_owned();
    for entry in entries {
        assert_eq!((&entry["by"], &entry["host"], &entry["organisation"]), (&json!(me), &json!(here), &json!("acme")));
        assert!(entry["occurred_on"].as_str().is_some_and(|date| date.ends_with('Z')), "{entry}");
    }
    // That of all has the other organisation's, too.
    let all = run(&workplace, "audit list", "");
    assert_eq!(all.lines().count(), 1 + 9 + 2, "{all}");
    assert!(!all.contains("kettles") && !all.contains("ladles") && !all.contains("argon2"), "{all}");
}

/// A connection beside the program's.
async fn execute(workplace: &Workplace, sql: &str) {
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    database.writer().execute_unprepared(sql).await.expect("a statement");
    database.close().await.expect("a close");
}

async fn what_cannot_be_audited_is_not_done(setup: Setup) {
    let workplace = workplace(setup.engine);
    let servers = [workplace.serve(&[])];
    let token = servers[0].login(PASSWORD).await;
    let before = (run(&workplace, "user list", ""), run(&workplace, "organisation list", ""));
    execute(&workplace, "ALTER TABLE audit_entries RENAME TO audit_elsewhere").await;
    for command in [
        "user add dora --organisation acme --role caller",
        "user password carla --organisation acme",
        "user role carla --organisation acme --role reader",
        "user disable carla --organisation acme",
        "token release --user carla --organisation acme",
        "organisation add third",
        "organisation disable acme",
    ] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let ended = workplace.run_with_input(&arguments, "nine purple ladles\n");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{command}: {ended:?}");
    }
    assert_eq!((run(&workplace, "user list", ""), run(&workplace, "organisation list", "")), before);
    assert_accepted(&servers, &token).await;
    servers[0].login(PASSWORD).await;
}

/// What a token of the user said in the version before.
fn token_of_before(organisation: i64, user: &str) -> String {
    let now = chrono::Utc::now().timestamp();
    let claims = json!({"jti": Uuid::new_v4(), "usr": user, "org": organisation, "iat": now, "exp": now + 7200});
    jwt::sign(None, &claims, &[0x70; 32])
}

async fn users_and_tokens_of_the_version_before_are_accepted(setup: Setup) {
    let workplace = workplace(setup.engine);
    // As that version adds a user, whose password is shorter than one may be now.
    let hash = referral_events::auth::password::hash(referral_events::secret::Secret::new("short")).await;
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let connection = database.writer();
    let backend = connection.get_database_backend();
    let sql = "INSERT INTO users (organisation_id, id, name, password_hash, role, default_unit_id, created_on) \
               SELECT id, 'OLD', 'olga', $1, 'caller', NULL, created_on FROM organisations WHERE name = 'acme'";
    let row = Statement::from_sql_and_values(backend, sql, [hash.expect("a hash").into()]);
    connection.execute_raw(row).await.expect("a row");
    let sql = "SELECT id FROM organisations WHERE name = 'acme'";
    let found = connection.query_one_raw(Statement::from_string(backend, sql)).await.expect("a query").expect("a row");
    let organisation: i64 = found.try_get("", "id").expect("an id");
    database.close().await.expect("a close");

    let servers = [workplace.serve(&[])];
    let (new, old) = (servers[0].login_as("acme", "olga", "short").await, token_of_before(organisation, "OLD"));
    assert_accepted(&servers, &new).await;
    assert_accepted(&servers, &old).await;
    run(&workplace, "token release --user olga --organisation acme", "");
    assert_ended(&servers, &new, "a release").await;
    assert_ended(&servers, &old, "a release").await;
    assert_ended(&servers, &token_of_before(organisation, "OLD"), "a release").await;
    assert_accepted(&servers, &servers[0].login_as("acme", "olga", "short").await).await;
}

async fn a_login_that_a_new_password_overtakes_gives_no_token(setup: Setup) {
    let server = Server::start(setup).await;
    let mut workplace = Workplace::over(TestDatabase::at(server.database_url()));
    workplace.set("REFERRAL_EVENTS_LOG", "error");
    let held = server.hold_at("DELETE FROM \"failed_guesses\"");
    let logging_in = server.login("acme", "carla");
    let changing = held.meanwhile(async {
        run(&workplace, "user password carla --organisation acme", &format!("{OTHER_PASSWORD}\n"));
    });
    let (token, ()) = tokio::join!(logging_in, changing);
    let answer = server.call(&method("BulkCreateReferralEvents"), json!({"token": token}), &[]).await;
    answer.assert_refused("InvalidToken");
}
