//! The values of settings are taken as people mean them, or refused with a sentence that mends them.

use serde_json::json;

use crate::support::{Setup, Workplace, event, examples::document, tests};

tests! {
    Once:
        a_number_out_of_its_range_is_refused_with_the_range,
        the_ends_of_all_ranges_serve,
        a_log_setting_that_is_no_level_is_refused_with_the_levels,
        keys_that_are_no_secret_are_refused,
        an_address_is_taken_as_it_is_meant,
        an_address_without_a_meaning_is_refused_with_those_that_have_one;
}

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// The settings that are numbers, each with its range, as the help has them.
pub fn ranges() -> Vec<(String, u64, u64)> {
    let help = Workplace::new().run_well(&["serve", "--help"], "").stdout;
    let mut ranges = Vec::new();
    let mut flag = "";
    // A setting's text may be broken anywhere.
    let words: Vec<&str> = help.split_whitespace().collect();
    for window in words.windows(3) {
        if window[0].starts_with("--") {
            flag = window[0];
        }
        if let [from, "to", to] = window
            && let (Some(from), Some((to, _))) = (from.strip_prefix('('), to.split_once(')'))
            && let (Ok(from), Ok(to)) = (from.parse(), to.parse())
        {
            ranges.push((flag.to_owned(), from, to));
        }
    }
    ranges
}

async fn a_number_out_of_its_range_is_refused_with_the_range(_: Setup) {
    let workplace = Workplace::new();
    let ranges = ranges();
    let help = workplace.run_well(&["serve", "--help"], "").stdout;
    let numbers = ["<NUMBER>", "<SECONDS>", "<MILLISECONDS>", "<HOURS>", "<DAYS>", "<MIB>"];
    let of_numbers = help.lines().filter(|line| numbers.iter().any(|value| line.ends_with(value))).count();
    assert_eq!(ranges.len(), of_numbers, "each number has its range in the help: {ranges:?}");
    let readme = document("README.md");
    for (flag, from, to) in ranges {
        let row = readme.lines().find(|line| line.starts_with("| `") && line.contains(&format!("{flag}`")));
        let row = row.unwrap_or_else(|| panic!("{flag} is not in the README"));
        assert!(row.contains(&format!("| {from} to {to}: ")), "{row}");
        let beyond = [from.checked_sub(1).map(|below| below.to_string()), Some((to + 1).to_string())];
        let never = ["-1", "", "1.5", "many", "9999999999999999999", "18446744073709551616"].map(str::to_owned);
        for value in beyond.into_iter().flatten().chain(never) {
            let ended = workplace.run(&[&SERVE[..], &[&format!("{flag}={value}")]].concat());
            let sentence = format!("it takes a whole number from {from} to {to}");
            assert_eq!(ended.code, Some(2), "{flag}={value}: {ended:?}");
            assert!(ended.stderr.contains(&sentence) || value.is_empty(), "{flag}={value}: {ended:?}");
        }
    }
}

async fn the_ends_of_all_ranges_serve(_: Setup) {
    let ranges = ranges();
    let low: Vec<String> = ranges.iter().map(|(flag, from, _)| format!("{flag}={from}")).collect();
    // Of connections there are no more than the system has descriptors for.
    let high = ranges.iter().filter(|(flag, ..)| flag != "--maximum-connections");
    let high: Vec<String> = high.map(|(flag, _, to)| format!("{flag}={to}")).collect();
    for settings in [low, high] {
        let workplace = Workplace::new();
        workplace.add_caller("seven green kettles");
        let settings: Vec<&str> =
            settings.iter().map(String::as_str).filter(|setting| *setting != "--time-limit=1").collect();
        let mut server = workplace.serve(&settings);
        let token = server.login("seven green kettles").await;
        let body = json!({"token": token, "referral_customer_events_set": [event("1", "01", "02")]});
        let request = reqwest::Client::new()
            .post(format!("http://{}/customer_events/bulk/referrals/create", server.address))
            .header("idempotency-key", "1")
            .json(&body);
        let answer = request.send().await.expect("an answer").text().await.expect("a body");
        assert!(answer.contains("UnitNotFoundException"), "{settings:?}: {answer}");
        assert!(!server.output().contains("panicked"), "{}", server.output());
        server.terminate();
        // With no time to drain it ends at once, with all the time once its calls have ended; the pause is half of a day.
        if settings.contains(&"--drain-limit=0") {
            assert!(server.ended().await.success());
        }
    }
}

async fn a_log_setting_that_is_no_level_is_refused_with_the_levels(_: Setup) {
    let workplace = Workplace::new();
    for value in ["verbose", "inof", "info,verbose", "referral_events", "referral_events=verbose", "", " "] {
        let ended = workplace.run(&["migrate", "--log", value]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{value:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: the log setting cannot be read: "), "{ended:?}");
        let levels = "it is a level (off, error, warn, info, debug or trace), or levels by module, as in \
                      info,referral_events=debug\n";
        assert!(ended.stderr.ends_with(levels), "{ended:?}");
    }
    for value in ["off", "WARN", "debug", "info,referral_events=debug", "info, sqlx=off", "[call]=debug"] {
        workplace.run_well(&["migrate", "--log", value], "");
    }
}

async fn keys_that_are_no_secret_are_refused(_: Setup) {
    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let workplace = Workplace::new();
    let zeros = "0".repeat(64);
    let run = |token: &str, hash: &str| {
        let ended = workplace.run(&[&SERVE[..], &["--token-key", token, "--hash-key", hash]].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        ended.stderr
    };
    let one = "is all zeros, which is no secret: openssl rand -hex 32 makes one\n";
    assert_eq!(run(&zeros, KEY), format!("error: REFERRAL_EVENTS_TOKEN_KEY {one}"));
    assert_eq!(run(KEY, &zeros), format!("error: REFERRAL_EVENTS_HASH_KEY {one}"));
    assert_eq!(
        run(KEY, &KEY.to_uppercase()),
        "error: REFERRAL_EVENTS_TOKEN_KEY and REFERRAL_EVENTS_HASH_KEY must be two keys, and are the same: openssl rand \
         -hex 32 makes one\n"
    );
}

async fn an_address_is_taken_as_it_is_meant(_: Setup) {
    let mut workplace = Workplace::new();
    workplace.add_caller("seven green kettles");
    let server = workplace.serve_on("localhost:0", &[]);
    assert!(server.address.ip().is_loopback());
    server.login("seven green kettles").await;
    drop(server);
    // All addresses of the machine, for which keys must be set.
    for (name, key) in [("REFERRAL_EVENTS_TOKEN_KEY", "70"), ("REFERRAL_EVENTS_HASH_KEY", "4a")] {
        workplace.set(name, &key.repeat(32));
    }
    workplace.set("DATABASE_URL", "sqlite:public.db");
    workplace.add_caller("seven green kettles");
    for listen in [":0", "*:0", "0.0.0.0:0", "[::]:0"] {
        let mut server = workplace.serve_on(listen, &["--plaintext"]);
        assert!(server.address.ip().is_unspecified(), "{}", server.address);
        server.address.set_ip([127, 0, 0, 1].into());
        server.login("seven green kettles").await;
    }
}

async fn an_address_without_a_meaning_is_refused_with_those_that_have_one(_: Setup) {
    let workplace = Workplace::new();
    for listen in ["50051", "localhost", "::1:50051", "http://127.0.0.1:50051", "localhost:99999", "localhost:", ""] {
        let ended = workplace.run(&["serve", "--listen", listen]);
        assert_eq!(ended.code, Some(2), "{listen}: {ended:?}");
        let sentence = "it takes HOST:PORT, as in 127.0.0.1:50051, localhost:50051, [::1]:50051, or :50051 for all \
                        addresses of this machine";
        assert!(ended.stderr.contains(sentence) || listen.is_empty(), "{listen}: {ended:?}");
    }
    let ended = workplace.run(&["serve", "--listen", "nowhere.invalid:50051"]);
    let sentence = "error: --listen names the host nowhere.invalid, which cannot be found: ";
    assert!(ended.stderr.starts_with(sentence), "{ended:?}");
}
