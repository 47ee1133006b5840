//! Loads from end to end: by TLS, on a terminal, and by somebody whose token ends on the way.

use std::{
    io::Write,
    ops::RangeInclusive,
    process::{Child, ChildStdin, Stdio},
};

use crate::support::{Loader, Setup, referrals, signal, tests, tls::Authority, until};

tests! {
    Sqlite:
        a_load_by_tls_trusts_the_authority_that_is_named,
        on_a_terminal_a_bar_is_as_far_as_the_answers_are,
        a_terminal_that_can_show_no_bar_is_told_in_lines,
        who_stops_a_load_is_told_of_no_error_and_to_mend_nothing_yet,
        a_token_that_ends_on_the_way_stops_a_load_which_goes_on_with_another,
        who_logs_in_with_a_password_does_so_again_where_the_token_ends;
}

const ROWS: usize = 12_000;
const PASSWORD: &str = "seven green kettles";

fn all_created() -> String {
    format!("created {ROWS}, already there 0, failed 0: {ROWS} rows\n")
}

async fn a_load_by_tls_trusts_the_authority_that_is_named(setup: Setup) {
    let mut loader = Loader::new(setup, 3);
    let authority = Authority::new("ours");
    authority.issue("the server").write_to(&loader.workplace.path(""));
    loader.write("ca.crt", authority.pem());
    loader.write("other.crt", Authority::new("another").pem());
    loader.write("load.csv", referrals(1..=3));
    loader.server.kill();
    loader.server = loader.workplace.serve(&["--tls-certificate", "tls.crt", "--tls-key", "tls.key"]);
    let url = format!("https://{}", loader.server.address);

    let ended = loader.load_into(&url, &["load.csv", "--authority", "other.crt", "--attempts", "1"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("UnknownIssuer"), "{ended:?}");
    let ended = loader.load_into(&loader.url(), &["load.csv", "--attempts", "1"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("This port speaks TLS alone: call it by https"), "{ended:?}");
    let ended = loader.load_into(&url, &["load.csv", "--authority", "none.crt"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("none.crt"), "{ended:?}");
    let ended = loader.load_into(&url, &["load.csv", "--authority", "ca.crt"]);
    let expected = "created 3, already there 0, failed 0: 3 rows\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), expected), "{ended:?}");
}

async fn on_a_terminal_a_bar_is_as_far_as_the_answers_are(setup: Setup) {
    let mut loader = Loader::new(setup, ROWS);
    loader.workplace.set("TERM", "xterm");
    loader.write("load.csv", referrals(1..=ROWS));
    let (code, shown) = loader.begin_on_terminal(&loader.url(), &["load.csv"]).end();
    assert_eq!(code, Some(0), "{shown}");
    let (bars, end) = shown.rsplit_once(WIPED).unwrap_or_else(|| panic!("no bar was wiped away: {shown:?}"));
    assert_eq!(end.trim_start_matches('\r'), all_created().replace('\n', "\r\n"));
    let bars: Vec<(usize, usize)> =
        bars.split(WIPED).flat_map(|text| text.split('\r')).filter_map(percent_and_rows).collect();
    assert!(bars.len() > 2 && bars.is_sorted(), "{bars:?}");
    for (percent, rows) in &bars {
        // The file is read in blocks, of which one is a tenth of it.
        assert!(percent.abs_diff(rows * 100 / ROWS) <= 20, "{bars:?}");
    }
}

const WIPED: &str = "\u{1b}[2K";

/// Of the bar's line.
fn percent_and_rows(bar: &str) -> Option<(usize, usize)> {
    let (before, told) = bar.split_once("%, ")?;
    let (left, counts) = told.split_once(" left: ")?;
    let (rows, rest) = counts.split_once(" rows, ")?;
    assert!(left.ends_with('s') && rest.contains("/s: "), "{bar}");
    assert!(rest.contains(&format!("/s: {rows} created, 0 failed, 0 already there")), "{bar}");
    Some((before.rsplit(' ').next()?.parse().ok()?, rows.parse().ok()?))
}

async fn a_terminal_that_can_show_no_bar_is_told_in_lines(setup: Setup) {
    let mut loader = Loader::new(setup, 1);
    loader.write("load.csv", referrals(1..=1));
    for terminal in ["", "dumb"] {
        loader.workplace.set("TERM", terminal);
        let load = loader.begin_on_terminal("http://127.0.0.1:1", &["load.csv", "--attempts", "2"]);
        let (code, shown) = load.end();
        assert_eq!(code, Some(1), "{shown}");
        assert!(shown.contains("attempt 1 failed"), "{terminal}: {shown}");
    }
}

/// A load of an input of which the rest is still to come.
struct UnderWay {
    child: Child,
    input: ChildStdin,
}

impl UnderWay {
    /// Waits until as many events are created as a chunk has.
    async fn begin(loader: &Loader, mut child: Child, rows: &str) -> Self {
        let mut input = child.stdin.take().expect("an input");
        input.write_all(rows.as_bytes()).expect("a reader");
        until("a chunk is in", async || loader.events().await.len() >= CHUNK).await;
        Self { child, input }
    }

    /// Gives it the rest; answers how it ended, and what it said.
    fn end(mut self, rest: &str) -> (Option<i32>, String) {
        // Whoever has ended takes nothing more.
        _ = self.input.write_all(rest.as_bytes());
        drop(self.input);
        let output = self.child.wait_with_output().expect("an end");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    }
}

const CHUNK: usize = 1000;
const FROM_INPUT: [&str; 5] = ["-", "--failed", "failed.csv", "--journal", "journal.json"];

/// The lines of a file of referrals without its header.
fn rows(numbers: RangeInclusive<usize>) -> String {
    referrals(numbers).split_once('\n').expect("a header").1.to_owned()
}

async fn who_stops_a_load_is_told_of_no_error_and_to_mend_nothing_yet(setup: Setup) {
    let loader = Loader::new(setup, 3 * CHUNK);
    let file = referrals([9999]) + &rows(1..=2 * CHUNK);
    let load = UnderWay::begin(&loader, loader.begin_with_input(&FROM_INPUT), &file).await;
    signal("INT", &[load.child.id()]);
    let (code, said) = load.end("");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the failed rows are in failed.csv\n"), "{said}");
    assert!(said.contains("\nstopped\nthe same command goes on after ") && !said.contains("error"), "{said}");
    let ended = loader.load_input(&file, &FROM_INPUT);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(
        ended.stderr.contains("the failed rows are in failed.csv: mend it, and load it the same way\n"),
        "{ended:?}"
    );
}

async fn a_token_that_ends_on_the_way_stops_a_load_which_goes_on_with_another(setup: Setup) {
    let loader = Loader::new(setup, ROWS);
    loader.write("token", loader.server.login(PASSWORD).await);
    let url = loader.url();
    let load = [&["load", "--server", &url, "--token-file", "token"], &FROM_INPUT[..]].concat();
    let child = loader.workplace.spawn_with_input(&load, Stdio::null(), Stdio::piped());
    let under_way = UnderWay::begin(&loader, child, &referrals(1..=2 * CHUNK)).await;
    let change = ["user", "password", "carla", "--organisation", "acme"];
    loader.workplace.run_well(&change, "eight green kettles\n");
    let (code, said) = under_way.end(&rows(2 * CHUNK + 1..=ROWS));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Give a token that is valid in REFERRAL_EVENTS_TOKEN or --token-file"), "{said}");
    assert!(said.contains("the same command goes on after "), "{said}");
    let before = loader.events().await.len();
    assert!((CHUNK..ROWS).contains(&before), "{before}");

    loader.write("token", loader.server.login("eight green kettles").await);
    let ended = loader.workplace.run_with_input(&load, &referrals(1..=ROWS));
    assert_eq!((ended.code, ended.stdout), (Some(0), all_created()), "{}", ended.stderr);
    assert_eq!(loader.events().await.len(), ROWS);
}

async fn who_logs_in_with_a_password_does_so_again_where_the_token_ends(setup: Setup) {
    let loader = Loader::new(setup, ROWS);
    let under_way = UnderWay::begin(&loader, loader.begin_with_input(&FROM_INPUT), &referrals(1..=2 * CHUNK)).await;
    let role = ["user", "role", "carla", "--organisation", "acme", "--role", "administrator"];
    loader.workplace.run_well(&role, "");
    let (code, said) = under_way.end(&rows(2 * CHUNK + 1..=ROWS));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(loader.events().await.len(), ROWS);
}
