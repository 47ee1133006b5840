//! Who guesses at passwords waits longer and longer, and nobody else does for long.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use referral_events::{config::Config, guessing::Limits};
use serde_json::{Value, json};

use crate::support::{Answer, Server, Setup, Workplace, event, guessing::strict, method, tests, until};

tests! {
    Both:
        after_a_few_wrong_passwords_even_the_right_one_has_to_wait,
        a_name_that_does_not_exist_is_guarded_like_one_that_does,
        after_the_wait_that_was_told_the_right_password_is_accepted_and_the_count_begins_anew,
        replicas_and_restarts_count_together,
        guesses_at_once_do_not_run_ahead_of_the_count,
        who_has_had_a_token_does_not_wait_for_others_guesses;
    Grpc: waits_grow_up_to_the_longest_and_coming_early_makes_none_longer;
    Rest: who_comes_from_elsewhere_does_not_wait_for_others_guesses, calls_are_served_while_others_log_in_without_end;
    // On SQLite what is held has the one connection that writes.
    Postgres: a_guess_beside_a_right_login_does_not_bring_back_what_was_forgotten;
    NoCalls:
        whatever_is_wrong_takes_the_same_look_ups_and_time,
        logins_whose_callers_left_are_hashed_one_after_another;
}

fn credentials(organisation: &str, name: &str, password: &str) -> Value {
    json!({"organisation": organisation, "username": name, "password": password})
}

async fn log_in(server: &Server, credentials: Value) -> (Answer, Option<Duration>) {
    server.call_for_wait(&method("CreateToken"), credentials, &[]).await
}

/// Guesses until one has to wait; answers how many guesses were looked at, and the wait.
async fn guess_until_told_to_wait(server: &Server, organisation: &str, name: &str) -> (usize, Duration) {
    for guesses in 0..1000 {
        let (answer, wait) = log_in(server, credentials(organisation, name, "wrong")).await;
        match answer.code.as_str() {
            "InvalidCredentialsException" => assert_eq!(wait, None),
            _ => {
                answer.assert_refused("TooManyRequests");
                return (guesses, wait.expect("a time to wait"));
            }
        }
    }
    panic!("a thousand guesses at {name} of {organisation}");
}

async fn after_a_few_wrong_passwords_even_the_right_one_has_to_wait(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let (guesses, wait) = guess_until_told_to_wait(&server, "acme", "carla").await;
    assert_eq!(guesses, 3);
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(60), "{wait:?}");
    let (answer, wait) = log_in(&server, credentials("acme", "carla", "carla")).await;
    answer.assert_refused("TooManyRequests");
    assert!(wait.is_some());
    // Another user of the organisation, and the same name in another one.
    server.login("acme", "adam").await;
    server.login("other", "carla").await;
    // What was issued goes on.
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
}

async fn a_name_that_does_not_exist_is_guarded_like_one_that_does(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    for (organisation, name) in [("acme", "carla"), ("acme", "nobody"), ("nowhere", "carla"), ("ac\0me", "carla")] {
        let (guesses, wait) = guess_until_told_to_wait(&server, organisation, name).await;
        assert_eq!(guesses, 3, "{name} of {organisation}");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(60), "{wait:?}");
    }
    server.login("acme", "adam").await;
    // Nothing says who was guessed at.
    let counted = server.dump("failed_guesses").await.join(" ");
    assert!(!["carla", "nobody", "acme", "nowhere"].iter().any(|name| counted.contains(name)), "{counted}");
}

async fn whatever_is_wrong_takes_the_same_look_ups_and_time(setup: Setup) {
    let lenient = Limits { wrong_passwords: 1000, ..Limits::default() };
    let server = Server::start_with(setup, Config { guessing: lenient, ..Config::default() }).await;
    let cases = [("acme", "carla", "wrong"), ("acme", "nobody", "carla"), ("nowhere", "carla", "carla")];
    let mut look_ups = cases.map(|_| Vec::new());
    let mut fastest = cases.map(|_| Duration::MAX);
    // The hash is nearly all of it: without it an answer takes a fraction of the time, always.
    let are_alike =
        |fastest: [Duration; 3]| *fastest.iter().max().expect("a time") < 3 * *fastest.iter().min().expect("a time");
    // In turn, and as often as it takes, for the machine may have other things to do.
    for round in 0..100 {
        if round >= 8 && are_alike(fastest) {
            break;
        }
        for (n, (organisation, name, password)) in cases.into_iter().enumerate() {
            server.take_statements();
            let started = Instant::now();
            let (answer, _) = log_in(&server, credentials(organisation, name, password)).await;
            fastest[n] = fastest[n].min(started.elapsed());
            answer.assert_refused("InvalidCredentials");
            look_ups[n] = server.take_statements();
        }
    }
    assert!(look_ups.iter().all(|of_case| *of_case == look_ups[0]), "{look_ups:?}");
    assert!(are_alike(fastest), "{fastest:?}");
}

async fn after_the_wait_that_was_told_the_right_password_is_accepted_and_the_count_begins_anew(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    for _ in 0..2 {
        let (guesses, wait) = guess_until_told_to_wait(&server, "acme", "carla").await;
        assert!(guesses >= 3, "{guesses}");
        server.advance(wait);
        server.login("acme", "carla").await;
    }
}

async fn waits_grow_up_to_the_longest_and_coming_early_makes_none_longer(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let longest = strict().guessing.longest_wait;
    for _ in 0..50 {
        let (_, wait) = guess_until_told_to_wait(&server, "acme", "carla").await;
        assert!(wait <= longest, "{wait:?}");
        let (answer, early) = log_in(&server, credentials("acme", "carla", "wrong")).await;
        answer.assert_refused("TooManyRequests");
        assert!(early.is_some_and(|early| early <= wait), "{early:?} after {wait:?}");
        if wait > longest / 2 {
            server.login("acme", "adam").await;
            return;
        }
        server.advance(wait);
    }
    panic!("the waits do not grow");
}

async fn replicas_and_restarts_count_together(setup: Setup) {
    let mut server = Server::start_with(setup, strict()).await;
    let replica = server.replica().await;
    for server in [&server, &replica, &server] {
        log_in(server, credentials("acme", "carla", "wrong")).await.0.assert_refused("InvalidCredentials");
    }
    for server in [&replica, &server] {
        log_in(server, credentials("acme", "carla", "carla")).await.0.assert_refused("TooManyRequests");
        server.login("acme", "adam").await;
    }
    server.restart_with(strict()).await;
    log_in(&server, credentials("acme", "carla", "carla")).await.0.assert_refused("TooManyRequests");
    server.login("acme", "adam").await;
}

async fn guesses_at_once_do_not_run_ahead_of_the_count(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let replica = server.replica().await;
    let guesses = (0..15).flat_map(|_| [&server, &replica]);
    let guesses = guesses.map(|server| log_in(server, credentials("acme", "carla", "wrong")));
    let innocent = async {
        for referred in ["01", "03", "04"] {
            server.send(json!([event("1", referred, "02")])).await.assert_outcome(&["1"], &[]);
        }
    };
    let (answers, ()) = tokio::join!(join_all(guesses), innocent);
    let looked_at = answers.iter().filter(|(answer, _)| answer.code == "InvalidCredentialsException").count();
    assert_eq!(looked_at, 3);
    for (answer, wait) in answers.iter().filter(|(answer, _)| answer.code != "InvalidCredentialsException") {
        answer.assert_refused("TooManyRequests");
        assert!(wait.is_some());
    }
}

async fn who_has_had_a_token_does_not_wait_for_others_guesses(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    guess_until_told_to_wait(&server, "acme", "carla").await;
    let with = async |token: &str, name: &str, password: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        server.call(&method("CreateToken"), credentials("acme", name, password), &headers).await
    };
    // One that was released says as much.
    assert_eq!(server.release_token(json!({"token": server.token})).await.code, "OK");
    assert_eq!(with(&server.token, "carla", "carla").await.code, "OK");
    // Another's token is none of hers, nor is one that we did not sign.
    guess_until_told_to_wait(&server, "acme", "carla").await;
    let others = server.login("acme", "adam").await;
    let forged = format!("{}x", server.token);
    for token in [others.as_str(), forged.as_str()] {
        with(token, "carla", "carla").await.assert_refused("TooManyRequests");
    }
    // With her token too one can guess only so often.
    for _ in 0..3 {
        with(&server.token, "carla", "wrong").await.assert_refused("InvalidCredentials");
    }
    with(&server.token, "carla", "carla").await.assert_refused("TooManyRequests");
    server.login("acme", "adam").await;
}

async fn who_comes_from_elsewhere_does_not_wait_for_others_guesses(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let from = |last: u8| {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        let client = reqwest::Client::builder().local_address(address).build().expect("a client");
        let url = server.url("authentication/token");
        move |password: &str| client.post(&url).json(&credentials("acme", "carla", password)).send()
    };
    let status = async |sent: Result<reqwest::Response, reqwest::Error>| sent.expect("a response").status().as_u16();
    let (guesser, owner) = (from(2), from(3));
    let attacked = Arc::new(AtomicBool::new(true));
    let attack = tokio::spawn({
        let attacked = attacked.clone();
        async move {
            let mut statuses = Vec::new();
            while attacked.load(Ordering::Relaxed) {
                statuses.push(guesser("wrong").await.expect("a response").status().as_u16());
            }
            statuses
        }
    });
    for _ in 0..10 {
        assert_eq!(status(owner("carla").await).await, 200);
    }
    attacked.store(false, Ordering::Relaxed);
    let statuses = attack.await.expect("an attack");
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    // Many addresses together are slowed by the name.
    for address in 10..20 {
        let guesser = from(address);
        for _ in 0..3 {
            status(guesser("wrong").await).await;
        }
    }
    assert_eq!(status(from(30)("wrong").await).await, 429);
    server.login("acme", "adam").await;
}

async fn calls_are_served_while_others_log_in_without_end(setup: Setup) {
    const HAMMERS: usize = 100;
    let server = Server::start_with(setup, strict()).await;
    let over = Arc::new(AtomicBool::new(false));
    let refused = Arc::new(AtomicUsize::new(0));
    let hammers = (0..HAMMERS).map(|n| {
        let (over, refused, url) = (over.clone(), refused.clone(), server.url("authentication/token"));
        tokio::spawn(async move {
            let client = reqwest::Client::new();
            // Names that change, which no count of failures stops.
            for guess in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let body = credentials("acme", &format!("nobody {n} {guess}"), "wrong");
                let response = client.post(&url).json(&body).send().await.expect("a response");
                match response.status().as_u16() {
                    401 => {}
                    429 => {
                        assert_eq!(response.headers()["retry-after"], "1");
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    status => panic!("{status}"),
                }
            }
        })
    });
    let hammers: Vec<_> = hammers.collect();
    for call in 0..20 {
        let referred = format!("{:02}", call + 1);
        server.send(json!([event("1", &referred, "50")])).await.assert_outcome(&["1"], &[]);
    }
    over.store(true, Ordering::Relaxed);
    for hammer in hammers {
        hammer.await.expect("a hammer");
    }
    assert!(refused.load(Ordering::Relaxed) > 0);
    server.login("acme", "adam").await;
}

/// The most memory that the process has had, in KiB.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

async fn logins_whose_callers_left_are_hashed_one_after_another(setup: Setup) {
    /// Of one hash, in KiB.
    const HASH: u64 = 19 * 1024;
    let workplace = Workplace::over(setup.engine.create_database());
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
    let process = workplace.serve(&[]);
    process.login("seven green kettles").await;
    let before = peak(process.id());
    // On a busy machine some leave before the server has heard of them.
    until("forty have left in the middle", async || {
        let logins = (0..60).map(|n| {
            let url = format!("http://{}/authentication/token", process.address);
            let body = credentials("acme", &format!("nobody {n}"), "wrong");
            let client = reqwest::Client::builder().timeout(Duration::from_millis(20)).build().expect("a client");
            async move { client.post(url).json(&body).send().await }
        });
        join_all(logins).await;
        process.output().matches("the caller left before the answer").count() >= 40
    })
    .await;
    // Until the server has noticed, they wait still.
    let carla = credentials("acme", "carla", "seven green kettles");
    until("others can log in", async || process.post("authentication/token", &carla).await.code == "OK").await;
    let most = *referral_events::auth::password::HASHES as u64;
    let grown = peak(process.id()) - before;
    // Beside the hashes there are the connections; forty hashes at once would be 760 MiB.
    assert!(grown < (most + 3) * HASH, "{grown} KiB");
}

async fn a_guess_beside_a_right_login_does_not_bring_back_what_was_forgotten(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let replica = server.replica().await;
    for _ in 0..2 {
        let (answer, _) = log_in(&server, credentials("acme", "carla", "wrong")).await;
        answer.assert_refused("InvalidCredentials");
    }
    // Between the look-up of what was counted and the count.
    let held = server.hold_at("INSERT INTO failed_guesses");
    let owner = async { _ = replica.login("acme", "carla").await };
    let ((guess, _), ()) = tokio::join!(log_in(&server, credentials("acme", "carla", "wrong")), held.meanwhile(owner));
    guess.assert_refused("InvalidCredentials");
    // That guess is the first of three again.
    let (guesses, _) = guess_until_told_to_wait(&server, "acme", "carla").await;
    assert_eq!(guesses, 2);
}
