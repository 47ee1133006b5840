//! One key takes the place of another, and nobody notices.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};

use crate::support::{Answer, Engine, Process, Setup, Workplace, envelope, jwt, tests, until};

tests! {
    NoCalls:
        keys_are_replaced_on_two_replicas_under_calls_of_which_none_is_refused,
        a_hash_key_that_codes_need_is_not_left_out,
        a_code_is_hashed_anew_when_it_is_used,
        a_used_one_time_password_stays_used_under_a_new_key,
        a_code_is_of_one_access_token_under_whichever_key,
        repeats_and_pages_from_before_are_known_under_two_keys,
        a_token_names_its_key_and_is_accepted_by_it_alone;
}

const PASSWORD: &str = "seven green kettles";
const BULK: &str = "customer_events/bulk/referrals/create";
const ACCOUNTS: usize = 2000;

const TOKEN_KEY: &str = "REFERRAL_EVENTS_TOKEN_KEY";
const HASH_KEY: &str = "REFERRAL_EVENTS_HASH_KEY";

/// A key, by its number.
fn key(kind: &str, number: u8) -> String {
    let key = match (kind, number) {
        (TOKEN_KEY, 1) => "70",
        (TOKEN_KEY, _) => "71",
        (_, 1) => "4a",
        _ => "4b",
    };
    format!("{number}:{}", key.repeat(32))
}

/// Has what is run from now on use the keys of these numbers, the first one first.
fn set_keys(workplace: &mut Workplace, numbers: &[u8]) {
    for kind in [TOKEN_KEY, HASH_KEY] {
        let keys: Vec<String> = numbers.iter().map(|number| key(kind, *number)).collect();
        workplace.set(kind, &keys.join(","));
    }
}

const TOKENS: &str = "identifier,authentication_code,pass_code,one_time_password,rewards_participant_number\n\
                      T1,code-1,1111,100001,R1\nT2,code-2,2222,200002,R2\nT3,code-3,3333,300003,R3\n";

/// A place with a caller, many accounts to refer, and three participants with access tokens who refer.
fn workplace(engine: Engine) -> Workplace {
    let workplace = Workplace::over(engine.create_database());
    workplace.run_well(&["migrate"], "");
    workplace.add_caller(PASSWORD);
    let accounts: String = (0..ACCOUNTS).map(|n| format!("A{n:04}\n")).collect();
    import(&workplace, "units", "name,alternative_code\nAdmin Unit,U1\n");
    import(&workplace, "accounts_receivable", &format!("number\n{accounts}B1\nB2\nB3\n"));
    import(&workplace, "rewards_participants", "number,accounts_receivable_number\nR1,B1\nR2,B2\nR3,B3\n");
    import(&workplace, "access_tokens", TOKENS);
    workplace
}

#[track_caller]
fn import(workplace: &Workplace, kind: &str, rows: &str) -> String {
    workplace.run_well(&["import", "--organisation", "acme", kind, "-"], rows).stdout
}

/// Referred account `n`, by the access token.
fn event(n: usize, access_token: Value) -> Value {
    json!({
        "request_unique_identifier": "1",
        "performed_by_unit_identifier": {"name": "Admin Unit"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_accounts_receivable_identifier": {"number": format!("A{n:04}")},
        "referred_by_accounts_receivable_identifier": {"access_token_identifier": access_token},
    })
}

async fn create(server: &Process, token: &str, n: usize, access_token: Value) -> Answer {
    server.post(BULK, &json!({"token": token, "referral_customer_events_set": [event(n, access_token)]})).await
}

/// The codes that `key check` counts of each key, as `6 of 1`.
fn counted(workplace: &Workplace) -> Vec<String> {
    let checked = workplace.run(&["key", "check"]).stdout;
    let lines = checked.lines().filter_map(|line| line.split_once(" codes are hashed with the hash key "));
    lines.map(|(count, number)| format!("{count} of {number}")).collect()
}

/// The replicas that callers may call at present.
struct Replicas {
    addresses: Mutex<Vec<SocketAddr>>,
    /// Counted up when callers are to log in again.
    logins: AtomicUsize,
    next: AtomicUsize,
}

/// Calls until it is told to stop; each answer must be good. Answers how many calls it was.
async fn call_without_end(replicas: Arc<Replicas>, stop: Arc<AtomicUsize>, logged_in: Arc<AtomicUsize>) -> usize {
    let client = reqwest::Client::new();
    let post = async |path: &str, body: &Value| {
        let address = {
            let addresses = replicas.addresses.lock().expect("a lock");
            addresses[replicas.next.fetch_add(1, Ordering::Relaxed) % addresses.len()]
        };
        let response = client.post(format!("http://{address}/{path}")).json(body).send().await;
        envelope(response.unwrap_or_else(|error| panic!("{path}: {error:?}"))).await.1
    };
    let (mut token, mut epoch, mut calls) = (String::new(), usize::MAX, 0);
    while stop.load(Ordering::SeqCst) == 0 {
        let current = replicas.logins.load(Ordering::SeqCst);
        if epoch != current {
            let credentials = json!({"organisation": "acme", "username": "carla", "password": PASSWORD});
            let answer = post("authentication/token", &credentials).await;
            token = answer.data["token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
            epoch = current;
            logged_in.fetch_add(1, Ordering::SeqCst);
        }
        let n = replicas.next.fetch_add(1, Ordering::Relaxed) % ACCOUNTS;
        let access_token = match n % 3 {
            0 => json!({"authentication_code": "code-1"}),
            1 => json!({"authentication_code": "code-2"}),
            _ => json!({"identifier": "T3", "pass_code": "3333"}),
        };
        // Some are referred again, by another.
        let answer =
            post(BULK, &json!({"token": token, "referral_customer_events_set": [event(n, access_token)]})).await;
        assert_eq!(answer.code, "OK", "{answer:?}");
        let failures = answer.failures();
        let is_fine = |code: &String| code == "ReferralAlreadyExists" || code == "ReferredByAnotherParticipant";
        assert!(failures.iter().all(|(_, code)| is_fine(code)), "{failures:?}");
        calls += 1;
    }
    calls
}

async fn keys_are_replaced_on_two_replicas_under_calls_of_which_none_is_refused(setup: Setup) {
    const CALLERS: usize = 3;
    // On SQLite two processes share the file here.
    let mut workplace = workplace(setup.engine);
    let mut servers = vec![workplace.serve(&[]), workplace.serve(&[])];
    let replicas = Arc::new(Replicas {
        addresses: Mutex::new(servers.iter().map(|server| server.address).collect()),
        logins: AtomicUsize::new(0),
        next: AtomicUsize::new(0),
    });
    let (stop, logged_in) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| tokio::spawn(call_without_end(replicas.clone(), stop.clone(), logged_in.clone())))
        .collect();
    let all_logged_in = |times: usize| {
        let logged_in = logged_in.clone();
        until("all have logged in", async move || logged_in.load(Ordering::SeqCst) >= times * CALLERS)
    };
    let mut times = 1;
    let all_logged_in = &all_logged_in;
    all_logged_in(times).await;
    for keys in [&[1, 2][..], &[2, 1], &[2]] {
        if keys.len() == 1 {
            // What is not used by and by is imported again, and the tokens of the old key are no longer used.
            import(&workplace, "access_tokens", TOKENS);
            assert_eq!(counted(&workplace), ["9 of 2"]);
            replicas.logins.fetch_add(1, Ordering::SeqCst);
            times += 1;
            all_logged_in(times).await;
        }
        set_keys(&mut workplace, keys);
        for server in &mut servers {
            replicas.addresses.lock().expect("a lock").retain(|address| *address != server.address);
            server.terminate();
            assert!(server.ended().await.success());
            *server = workplace.serve(&[]);
            replicas.addresses.lock().expect("a lock").push(server.address);
            // Tokens of either replica are used at both meanwhile.
            replicas.logins.fetch_add(1, Ordering::SeqCst);
            times += 1;
            all_logged_in(times).await;
        }
    }
    stop.store(1, Ordering::SeqCst);
    let mut calls = 0;
    for caller in callers {
        calls += caller.await.expect("calls that are answered well");
    }
    assert!(calls > 20, "{calls}");
    let checked = workplace.run_well(&["key", "check"], "").stdout;
    assert!(checked.ends_with("9 codes are hashed with the hash key 2\nthe keys fit the database\n"), "{checked}");
}

async fn a_hash_key_that_codes_need_is_not_left_out(setup: Setup) {
    let mut workplace = workplace(setup.engine);
    let fit = "the keys fit the database\n";
    assert!(workplace.run_well(&["key", "check"], "").stdout.ends_with(fit));
    set_keys(&mut workplace, &[2]);
    let sentence = "error: 9 codes in the database are hashed with the hash key 1, which is not set, and would match \
                    nothing: set it after the one that is, as `key check` shows, until these codes are used or imported \
                    again\n";
    for command in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["import", "--organisation", "acme", "access_tokens", "-"],
        &["key", "check"],
    ] {
        let ended = workplace.run_with_input(command, TOKENS);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), sentence), "{command:?}");
    }
    // Under both, an import hashes anew what is in the file.
    set_keys(&mut workplace, &[2, 1]);
    let checked = workplace.run_well(&["key", "check"], "").stdout;
    assert!(checked.contains("the hash key 2 is new to the database"), "{checked}");
    let ended = workplace.run_with_input(&["import", "--organisation", "acme", "access_tokens", "-"], TOKENS);
    let sentence =
        "error: the hash key 2 is not in use yet: start `serve` again for it to take effect, and import after that\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), sentence));
    drop(workplace.serve(&[]));
    let two_of_them: String = TOKENS.split_inclusive('\n').take(3).collect();
    assert!(import(&workplace, "access_tokens", &two_of_them).starts_with("inserted 0, updated 2, unchanged 0"));
    assert_eq!(counted(&workplace), ["3 of 1", "6 of 2"]);
    assert!(import(&workplace, "access_tokens", TOKENS).starts_with("inserted 0, updated 1, unchanged 2"));
    assert_eq!(counted(&workplace), ["9 of 2"]);
    let checked = workplace.run_well(&["key", "check"], "").stdout;
    assert!(checked.contains("no code is hashed with the hash key 1 any more\n"), "{checked}");
    set_keys(&mut workplace, &[2]);
    let server = workplace.serve(&[]);
    let token = server.login(PASSWORD).await;
    create(&server, &token, 1, json!({"authentication_code": "code-1"})).await.assert_outcome(&["1"], &[]);
    // Another key of a number that the database knows is another key.
    workplace.set(HASH_KEY, &format!("2:{}", "5c".repeat(32)));
    let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0"]);
    let sentence = "error: the codes in the database were hashed with another key and would match nothing: set \
                    REFERRAL_EVENTS_HASH_KEY to the key that was used so far\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), sentence));
}

async fn a_code_is_hashed_anew_when_it_is_used(setup: Setup) {
    let mut workplace = workplace(setup.engine);
    set_keys(&mut workplace, &[1, 2]);
    let server = workplace.serve(&[]);
    let token = server.login(PASSWORD).await;
    let code = || json!({"authentication_code": "code-1"});
    create(&server, &token, 1, code()).await.assert_outcome(&["1"], &[]);
    assert_eq!(counted(&workplace), ["9 of 1"]);

    set_keys(&mut workplace, &[2, 1]);
    let server = workplace.serve(&[]);
    // A rehearsal writes nothing, and a wrong code is none.
    let request = json!({"token": token, "validate_only": true, "referral_customer_events_set": [event(2, code())]});
    server.post(BULK, &request).await.assert_outcome(&["1"], &[]);
    for wrong in [json!({"authentication_code": "code-9"}), json!({"identifier": "T1", "pass_code": "9999"})] {
        create(&server, &token, 2, wrong).await.assert_outcome(&[], &[("1", "InvalidAccessToken")]);
    }
    assert_eq!(counted(&workplace), ["9 of 1"]);
    let uses = [code(), json!({"identifier": "T2", "pass_code": "2222"}), json!({"one_time_password": "300003"})];
    for (n, access_token) in (10..).zip(uses) {
        create(&server, &token, n, access_token.clone()).await.assert_outcome(&["1"], &[]);
        let of_new = n - 9;
        let expected = [format!("{} of 1", 9 - of_new), format!("{of_new} of 2")];
        until("the code is hashed anew", async || counted(&workplace) == expected).await;
        // Used again, it is found by its new hash; a one-time password is used up.
        let again = create(&server, &token, n + 10, access_token.clone()).await;
        match access_token.get("one_time_password") {
            None => again.assert_outcome(&["1"], &[]),
            Some(_) => again.assert_outcome(&[], &[("1", "InvalidAccessToken")]),
        }
        assert_eq!(counted(&workplace), expected);
    }
    // Lists find by both, too.
    for code in ["code-1", "code-2"] {
        let party = json!({"access_token_identifier": {"authentication_code": code}});
        let request = json!({"token": token, "referred_by_accounts_receivable_identifier": party});
        assert_eq!(server.post("customer_events/referrals/list", &request).await.code, "OK", "{code}");
    }
}

async fn a_used_one_time_password_stays_used_under_a_new_key(setup: Setup) {
    let mut workplace = workplace(setup.engine);
    let password = |password: &str| json!({"one_time_password": password});
    {
        let server = workplace.serve(&[]);
        let token = server.login(PASSWORD).await;
        create(&server, &token, 1, password("100001")).await.assert_outcome(&["1"], &[]);
    }
    set_keys(&mut workplace, &[2, 1]);
    let server = workplace.serve(&[]);
    let token = server.login(PASSWORD).await;
    let invalid = [("1", "InvalidAccessToken")];
    create(&server, &token, 2, password("100001")).await.assert_outcome(&[], &invalid);
    // The same file again has the same passwords: what was used stays so, and what was not can be.
    import(&workplace, "access_tokens", TOKENS);
    create(&server, &token, 3, password("100001")).await.assert_outcome(&[], &invalid);
    create(&server, &token, 4, password("200002")).await.assert_outcome(&["1"], &[]);
    create(&server, &token, 5, password("200002")).await.assert_outcome(&[], &invalid);
    import(&workplace, "access_tokens", TOKENS);
    create(&server, &token, 6, password("200002")).await.assert_outcome(&[], &invalid);
    // Another one in its place is live.
    import(&workplace, "access_tokens", "identifier,one_time_password,rewards_participant_number\nT3,333333,R3\n");
    create(&server, &token, 7, password("300003")).await.assert_outcome(&[], &invalid);
    create(&server, &token, 8, password("333333")).await.assert_outcome(&["1"], &[]);
}

async fn a_code_is_of_one_access_token_under_whichever_key(setup: Setup) {
    let mut workplace = workplace(setup.engine);
    set_keys(&mut workplace, &[2, 1]);
    drop(workplace.serve(&[]));
    let rows = "identifier,authentication_code,one_time_password,rewards_participant_number\n\
                T4,code-1,,R1\nT5,,200002,R2\nT6,code-6,600006,R3\n";
    let ended = workplace.run_with_input(&["import", "--organisation", "acme", "access_tokens", "-"], rows);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.starts_with("inserted 1, updated 0, unchanged 0, rejected 2"), "{ended:?}");
    for line in ["line 2: authentication_code", "line 3: one_time_password"] {
        assert!(ended.stderr.contains(line), "{ended:?}");
    }
    assert!(ended.stderr.contains("another access token has the same"), "{ended:?}");
}

async fn repeats_and_pages_from_before_are_known_under_two_keys(setup: Setup) {
    let mut workplace = workplace(setup.engine);
    let request = |token: &str, n: usize| {
        let event = event(n, json!({"authentication_code": "code-1"}));
        json!({"token": token, "referral_customer_events_set": [event]})
    };
    let list = |token: &str, page: Option<&str>| json!({"token": token, "number_of_results": 1, "order": "OLDEST_FIRST", "page_token": page});
    let server = workplace.serve(&[]);
    let token = server.login(PASSWORD).await;
    let first = server.post_once(BULK, &request(&token, 1), Some("key-1")).await;
    first.assert_outcome(&["1"], &[]);
    create(&server, &token, 2, json!({"authentication_code": "code-1"})).await.assert_outcome(&["1"], &[]);
    let path = "customer_events/referrals/list";
    let page =
        server.post(path, &list(&token, None)).await.data["next_page_token"].as_str().expect("a page").to_owned();
    drop(server);
    for (keys, is_known) in [(&[1, 2][..], true), (&[2, 1], true), (&[2], false)] {
        if !is_known {
            // Until then the key would be missed.
            import(&workplace, "access_tokens", TOKENS);
        }
        set_keys(&mut workplace, keys);
        let server = workplace.serve(&[]);
        let token = server.login(PASSWORD).await;
        let again = server.post_once(BULK, &request(&token, 1), Some("key-1")).await;
        let other = server.post_once(BULK, &request(&token, 3), Some("key-1")).await;
        other.assert_refused("IdempotencyKeyReused");
        let next = server.post(path, &list(&token, Some(&page))).await;
        if is_known {
            assert_eq!(again, first, "{keys:?}");
            assert_eq!(next.code, "OK", "{keys:?}");
        } else {
            again.assert_refused("IdempotencyKeyReused");
            next.assert_refused("InvalidPageToken");
        }
    }
}

async fn a_token_names_its_key_and_is_accepted_by_it_alone(setup: Setup) {
    let mut workplace = workplace(setup.engine);
    let accepted = async |server: &Process, token: &str| {
        let answer = server.post(BULK, &json!({"token": token, "referral_customer_events_set": [{}]})).await;
        match answer.code.as_str() {
            "OK" => true,
            "InvalidTokenException" => false,
            _ => panic!("{answer:?}"),
        }
    };
    let kid = |token: &str| jwt::part(token, 0)["kid"].clone();
    let with_one = workplace.serve(&[]);
    let of_one = with_one.login(PASSWORD).await;
    assert_eq!(kid(&of_one), "1");
    set_keys(&mut workplace, &[2, 1]);
    let with_both = workplace.serve(&[]);
    let of_two = with_both.login(PASSWORD).await;
    assert_eq!(kid(&of_two), "2");
    assert!(accepted(&with_both, &of_one).await && accepted(&with_both, &of_two).await);
    assert!(!accepted(&with_one, &of_two).await);

    let claims = jwt::part(&of_two, 1);
    let mut seen = HashSet::new();
    for (kid, secret, is_good) in [
        // As the version before signs.
        (None, 0x70, true),
        (None, 0x71, true),
        (None, 0x72, false),
        (Some("1"), 0x70, true),
        (Some("2"), 0x71, true),
        (Some("1"), 0x71, false),
        (Some("2"), 0x70, false),
        (Some("3"), 0x71, false),
        (Some(""), 0x71, false),
        (Some("../1"), 0x70, false),
    ] {
        let token = jwt::sign(kid, &claims, &[secret; 32]);
        assert!(seen.insert(token.clone()));
        assert_eq!(accepted(&with_both, &token).await, is_good, "{kid:?} {secret:x}");
    }
}
