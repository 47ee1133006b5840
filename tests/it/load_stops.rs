//! Loads that stop, each with a sentence that mends it, and go on by the same command.

use std::{fs, io::Read};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Loader, Setup, SmallDisk, Workplace, referrals, tests};

tests! {
    NoCalls:
        a_server_that_has_forgotten_the_load_is_noticed;
    SqliteOnSmallDisk:
        a_full_disk_under_the_files_of_a_load_loses_nothing;
    Sqlite:
        a_load_stops_without_a_valid_token_and_goes_on_with_one,
        a_server_that_is_not_there_or_knows_no_loads_is_named,
        a_file_that_is_written_to_while_it_is_loaded_is_noticed,
        a_file_that_is_cut_off_goes_on_once_it_is_whole,
        two_loads_of_one_file_do_not_meet;
}

async fn a_load_stops_without_a_valid_token_and_goes_on_with_one(setup: Setup) {
    let mut loader = Loader::new(setup, 3);
    loader.write("load.csv", referrals(1..=3));
    let url = loader.url();
    let load =
        |workplace: &Workplace, more: &[&str]| workplace.run(&[&["load", "load.csv", "--server", &url], more].concat());
    loader.workplace.set("REFERRAL_EVENTS_TOKEN", "nonsense");
    let ended = load(&loader.workplace, &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("Give a token that is valid in REFERRAL_EVENTS_TOKEN or --token-file"), "{ended:?}");
    assert!(!ended.stderr.contains("nonsense"), "{ended:?}");
    loader.write("token", format!("{}\n", loader.server.login("seven green kettles").await));
    let ended = load(&loader.workplace, &["--token-file", "token"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "created 3, already there 0, failed 0: 3 rows\n"));
    loader.workplace.unset("REFERRAL_EVENTS_PASSWORD");
    loader.workplace.set("REFERRAL_EVENTS_PASSWORD", "opensesame");
    loader.write("load.csv", referrals(1..=2));
    let ended = loader.load(&["load.csv", "--journal", "other.json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("InvalidCredentialsException") && !ended.stderr.contains("opensesame"), "{ended:?}");
    assert!(ended.stderr.contains("Look at --username, at --organisation, and at the password"), "{ended:?}");
}

async fn a_server_that_is_not_there_or_knows_no_loads_is_named(setup: Setup) {
    let loader = Loader::new(setup, 1);
    loader.write("load.csv", referrals([1]));
    let nobody = "http://127.0.0.1:1";
    let ended = loader.load_into(nobody, &["load.csv", "--attempts", "2"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("attempt 1 failed") && ended.stderr.contains("Connection refused"), "{ended:?}");
    assert!(ended.stderr.contains("the same command goes on after 0 rows, by load.csv.load.json"), "{ended:?}");
    let ended = loader.load_into("nonsense", &["load.csv"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");

    // A server that logs in and has no such method, as an older one.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (_, health) = tonic_health::server::health_reporter();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming));
    loader.write("token", "token");
    let url = format!("http://{address}");
    let arguments = ["load", "load.csv", "--server", &url, "--token-file", "token"];
    let ended = tokio::task::block_in_place(|| loader.workplace.run(&arguments));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("The server is older than this program, and takes no loads"), "{ended:?}");
    assert_eq!(loader.load(&["load.csv"]).code, Some(0));
}

async fn a_file_that_is_written_to_while_it_is_loaded_is_noticed(setup: Setup) {
    let mut loader = Loader::new(setup, 4000);
    loader.write("load.csv", referrals(1..=3500));
    let address = loader.server.address.to_string();
    loader.server.kill();
    let mut child = loader.begin(&["load.csv", "--attempts", "100"]);
    // It has read the file's beginning, and waits for the server.
    let mut said = Vec::new();
    let mut stderr = child.stderr.take().expect("an output");
    while !String::from_utf8_lossy(&said).contains("attempt 1 failed") {
        let mut byte = [0];
        assert_eq!(stderr.read(&mut byte).expect("an output"), 1);
        said.push(byte[0]);
    }
    loader.write("load.csv", referrals(1..=4000));
    loader.server = loader.workplace.serve_on(&address, &[]);
    let status = child.wait().expect("an end");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("an output");
    assert_eq!(status.code(), Some(1), "{rest}");
    assert!(rest.contains("the file was written to while it was loaded"), "{rest}");
    let ended = loader.load(&["load.csv"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "created 4000, already there 0, failed 0: 4000 rows\n"));
}

async fn a_file_that_is_cut_off_goes_on_once_it_is_whole(setup: Setup) {
    let loader = Loader::new(setup, 2500);
    let event = |n: usize| {
        json!({
            "performed_by_unit_identifier": {"alternative_code": "U"}, "performed_on": "2016-06-22T15:00:00",
            "referred_accounts_receivable_identifier": {"number": format!("A{n}")},
            "referred_by_accounts_receivable_identifier": {"number": "REF"},
        })
    };
    let events: Vec<Value> = (1..=2500).map(event).collect();
    let whole = format!("{:#}", json!({"referral_customer_events_set": events}));
    let (begin, _) = whole.split_once("\"A2301\"").expect("a number");
    loader.write("load.json", begin);
    for _ in 0..2 {
        let ended = loader.load(&["load.json"]);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(1), "created 2300, already there 0, failed 0: 2300 rows\n")
        );
        assert!(ended.stderr.contains("the file cannot be read on: EOF while parsing"), "{ended:?}");
    }
    loader.write("load.json", &whole);
    let ended = loader.load(&["load.json"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "created 2500, already there 0, failed 0: 2500 rows\n"));
    assert_eq!(loader.events().await.len(), 2500);
}

async fn two_loads_of_one_file_do_not_meet(setup: Setup) {
    let mut loader = Loader::new(setup, 1);
    loader.write("load.csv", referrals([1]));
    let address = loader.server.address.to_string();
    loader.server.kill();
    let mut child = loader.begin(&["load.csv", "--attempts", "100"]);
    let mut byte = [0];
    // It says that no server is there once it has the file.
    child.stderr.as_mut().expect("an output").read_exact(&mut byte).expect("an output");
    let ended = loader.load(&["load.csv"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("the file is being loaded already"), "{ended:?}");
    loader.server = loader.workplace.serve_on(&address, &[]);
    assert!(child.wait().expect("an end").success());
    assert_eq!(loader.events().await.len(), 1);
}

async fn a_full_disk_under_the_files_of_a_load_loses_nothing(setup: Setup) {
    const ROWS: usize = 3000;
    let loader = Loader::new(setup, ROWS);
    let rows: String = referrals((1..=ROWS).chain(ROWS * 2..ROWS * 2 + 500));
    loader.write("load.csv", rows);
    let disk = SmallDisk::new(1);
    let on_disk = |name: &str| disk.path().join(name).display().to_string();
    let [journal, failed, created] = ["journal.json", "failed.csv", "ids.csv"].map(on_disk);
    let arguments = ["load.csv", "--journal", &journal, "--failed", &failed, "--created", &created];
    disk.fill();
    let ended = loader.load(&arguments);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the journal") && ended.stderr.contains("No space left on device"), "{ended:?}");
    assert!(loader.events().await.is_empty());
    // Room for some of what is created, and for a journal.
    disk.free();
    fs::write(disk.path().join("filler"), vec![0; (1 << 20) - 100_000]).expect("a file");
    let ended = loader.load(&arguments);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("Nothing is lost: once there is room, run the same command again"), "{ended:?}");
    disk.free();
    let ended = loader.load(&arguments);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(3), "created 3000, already there 0, failed 500: 3500 rows\n"),
        "{ended:?}"
    );
    let ids = fs::read_to_string(&created).expect("a file");
    let lines: Vec<usize> =
        ids.lines().skip(1).map(|line| line.split(',').next().expect("a cell").parse().expect("a line")).collect();
    assert_eq!(lines, (2..ROWS + 2).collect::<Vec<_>>());
    assert_eq!(fs::read_to_string(&failed).expect("a file").lines().count(), 501);
    assert_eq!(loader.events().await.len(), ROWS);
}

async fn a_server_that_has_forgotten_the_load_is_noticed(setup: Setup) {
    let loader = Loader::new(setup, 6);
    loader.write("load.csv", referrals(1..=3));
    assert_eq!(loader.load(&["load.csv"]).code, Some(0));
    // A server over another database knows nothing of it, as one that has kept its answers for long enough.
    let other = Loader::new(setup, 6);
    loader.write("load.csv", referrals(1..=6));
    let ended = loader.load_into(&other.url(), &["load.csv"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the server knows 0 events of this load, and the journal 3: "), "{ended:?}");
    assert!(other.events().await.is_empty());
    let ended = loader.load_into(&other.url(), &["load.csv", "--renew"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "created 6, already there 0, failed 0: 6 rows\n"));
    assert_eq!(other.events().await.len(), 3);
}
