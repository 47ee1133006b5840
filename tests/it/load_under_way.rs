//! Loads from end to end: by TLS, on a terminal, and by somebody whose token ends on the way.

use std::{
    fs::{self, File},
    io::Read,
    os::fd::OwnedFd,
    process::{Child, Stdio},
    time::Duration,
};

use nix::pty::{Winsize, openpty};

use crate::support::{Loader, Setup, referrals, signal, tests, tls::Authority};

tests! {
    Sqlite:
        a_load_by_tls_trusts_the_authority_that_is_named,
        on_a_terminal_a_bar_tells_how_far_a_load_has_come,
        a_terminal_that_can_show_no_bar_is_told_in_lines,
        the_bar_is_as_far_as_the_answers_are,
        until_a_load_has_ended_nobody_is_told_to_mend_its_failed_rows,
        a_token_that_ends_on_the_way_stops_a_load_which_goes_on_with_another,
        who_logs_in_with_a_password_does_so_again_where_the_token_ends;
}

const ROWS: usize = 12_000;
const PASSWORD: &str = "seven green kettles";

fn all_created(already_there: usize) -> String {
    format!("created {}, already there {already_there}, failed 0: {ROWS} rows\n", ROWS - already_there)
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
    let ended = loader.load_into(&url, &["load.csv", "--authority", "none.crt"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("none.crt"), "{ended:?}");
    let ended = loader.load_into(&url, &["load.csv", "--authority", "ca.crt"]);
    let expected = "created 3, already there 0, failed 0: 3 rows\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), expected), "{ended:?}");
}

/// All that a terminal of 100 columns gets to show of a command.
fn shown_on_terminal(loader: &Loader, arguments: &[&str]) -> (Option<i32>, String) {
    let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(Some(&size), None).expect("a terminal");
    let side = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a descriptor"));
    let sides = [Stdio::null(), side(&terminal.slave), side(&terminal.slave)];
    let mut child = loader.workplace.spawn_on(arguments, sides);
    drop(terminal.slave);
    let (mut master, mut shown, mut buffer) = (File::from(terminal.master), Vec::new(), [0; 4096]);
    // Where nobody is on the other side any more, reading fails.
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..length]);
    }
    (child.wait().expect("an end").code(), String::from_utf8(shown).expect("UTF-8"))
}

async fn on_a_terminal_a_bar_tells_how_far_a_load_has_come(setup: Setup) {
    let mut loader = Loader::new(setup, ROWS);
    loader.workplace.set("TERM", "xterm");
    loader.write("load.csv", referrals(1..=ROWS));
    let url = loader.url();
    let user = ["load", "load.csv", "--server", &url, "--username", "carla", "--organisation", "acme"];
    let (code, shown) = shown_on_terminal(&loader, &user);
    assert_eq!(code, Some(0), "{shown}");
    let (bars, end) = shown.rsplit_once("\u{1b}[2K").unwrap_or_else(|| panic!("no bar was wiped away: {shown:?}"));
    assert_eq!(end.trim_start_matches('\r'), all_created(0).replace('\n', "\r\n"));
    let percents: Vec<u32> = bars.split("%, ").filter_map(|before| before.rsplit(' ').next()?.parse().ok()).collect();
    assert!(percents.len() > 2 && percents.is_sorted(), "{percents:?}");
    assert!(bars.contains(" rows, ") && bars.contains("/s: ") && bars.contains(" left: "), "{bars}");
    assert!(bars.contains(" created, 0 failed, 0 already there"), "{bars}");
}

async fn a_terminal_that_can_show_no_bar_is_told_in_lines(setup: Setup) {
    let mut loader = Loader::new(setup, 1);
    loader.write("load.csv", referrals(1..=1));
    let user = ["--username", "carla", "--organisation", "acme", "--attempts", "2"];
    for terminal in ["", "dumb"] {
        loader.workplace.set("TERM", terminal);
        let load = [&["load", "load.csv", "--server", "http://127.0.0.1:1"], &user[..]].concat();
        let (code, shown) = shown_on_terminal(&loader, &load);
        assert_eq!(code, Some(1), "{shown}");
        assert!(shown.contains("attempt 1 failed"), "{terminal}: {shown}");
    }
}

async fn the_bar_is_as_far_as_the_answers_are(setup: Setup) {
    let mut loader = Loader::new(setup, 4000);
    loader.workplace.set("TERM", "xterm");
    loader.write("load.csv", referrals(1..=4000));
    let url = loader.url();
    let user = ["load", "load.csv", "--server", &url, "--username", "carla", "--organisation", "acme"];
    let (code, shown) = shown_on_terminal(&loader, &user);
    assert_eq!(code, Some(0), "{shown}");
    // What was read and is not answered yet is no progress.
    let of_nothing = shown.split('\r').find(|bar| bar.contains(" 0 rows, ")).expect("the first bar");
    assert!(of_nothing.contains(" 0%, "), "{of_nothing}");
}

async fn until_a_load_has_ended_nobody_is_told_to_mend_its_failed_rows(setup: Setup) {
    let loader = Loader::new(setup, ROWS);
    loader.write("load.csv", format!("{}U,2016-06-22T15:00:00,X,REF\n", referrals(2..=2)) + &rows(3..=ROWS));
    let mut child = loader.begin(&["load.csv"]);
    is_under_way(&loader, &mut child).await;
    signal("INT", &[child.id()]);
    let output = child.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the failed rows are in load.csv.failed.csv\n"), "{said}");
    let ended = loader.load(&["load.csv"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("the failed rows are in load.csv.failed.csv: mend it"), "{ended:?}");
}

/// The lines of a file without its header.
fn rows(numbers: impl IntoIterator<Item = usize>) -> String {
    referrals(numbers).split_once('\n').expect("a header").1.to_owned()
}

/// Waits until some rows of the file are answered, and not all.
async fn is_under_way(loader: &Loader, child: &mut Child) {
    let journal = loader.workplace.path("load.csv.load.json");
    while !fs::read_to_string(&journal).is_ok_and(|text| text.contains("000,")) {
        assert!(child.try_wait().expect("a status").is_none(), "it has ended");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn a_token_that_ends_on_the_way_stops_a_load_which_goes_on_with_another(setup: Setup) {
    let loader = Loader::new(setup, ROWS);
    loader.write("load.csv", referrals(1..=ROWS));
    loader.write("token", loader.server.login(PASSWORD).await);
    let url = loader.url();
    let load = ["load", "load.csv", "--server", &url, "--token-file", "token"];
    let mut child = loader.workplace.spawn(&load, Stdio::null(), Stdio::piped());
    is_under_way(&loader, &mut child).await;
    let user = ["carla", "--organisation", "acme"];
    loader.workplace.run_well(&[&["user", "password"], &user[..]].concat(), "eight green kettles\n");
    let output = child.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Give a token that is valid in REFERRAL_EVENTS_TOKEN or --token-file"), "{said}");
    assert!(said.contains("the same command goes on after "), "{said}");

    loader.write("token", loader.server.login("eight green kettles").await);
    let ended = loader.workplace.run(&load);
    assert_eq!((ended.code, ended.stdout), (Some(0), all_created(0)), "{}", ended.stderr);
    assert_eq!(loader.events().await.len(), ROWS);
}

async fn who_logs_in_with_a_password_does_so_again_where_the_token_ends(setup: Setup) {
    let loader = Loader::new(setup, ROWS);
    loader.write("load.csv", referrals(1..=ROWS));
    let mut child = loader.begin(&["load.csv"]);
    is_under_way(&loader, &mut child).await;
    let role = ["user", "role", "carla", "--organisation", "acme", "--role", "administrator"];
    loader.workplace.run_well(&role, "");
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(loader.events().await.len(), ROWS);
}
