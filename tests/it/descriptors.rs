//! The descriptors of the server: as many as it may have, and what happens where there are none.

use std::{fs, time::Duration};

use futures_util::future::join_all;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::support::{Engine, Process, Setup, Workplace, raw::connect, tests};

tests! {
    Once:
        the_limit_of_descriptors_is_raised_as_far_as_it_goes,
        more_connections_than_descriptors_are_refused_as_a_setting,
        a_server_out_of_descriptors_says_so_and_goes_on;
}

fn workplace() -> Workplace {
    let workplace = Workplace::over(Engine::Sqlite.create_database());
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
    workplace
}

/// Connects anew and is answered.
async fn assert_serving(server: &Process) {
    let request = reqwest::get(format!("http://{}/nothing", server.address));
    let answer = tokio::time::timeout(Duration::from_secs(60), request).await.expect("an answer in time");
    assert_eq!(answer.expect("an answer").status(), 404);
}

async fn the_limit_of_descriptors_is_raised_as_far_as_it_goes(_: Setup) {
    let mut workplace = workplace();
    workplace.descriptors = Some(64);
    let server = workplace.serve(&[]);
    let open = join_all((0..200).map(|_| connect(server.address))).await;
    assert_serving(&server).await;
    drop(open);
}

async fn more_connections_than_descriptors_are_refused_as_a_setting(_: Setup) {
    let workplace = workplace();
    for (value, message) in [
        ("4000000000", " descriptors and the system allows "),
        ("0", "invalid value '0' for '--maximum-connections"),
        ("some", "invalid value 'some' for '--maximum-connections"),
    ] {
        let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0", "--maximum-connections", value]);
        assert_ne!(ended.code, Some(0));
        assert!(ended.stderr.contains(message), "{ended:?}");
    }
    for setting in ["--stall-timeout", "--idle-timeout", "--connection-age"] {
        let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0", setting, "0"]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
}

async fn a_server_out_of_descriptors_says_so_and_goes_on(_: Setup) {
    let workplace = workplace();
    let server = workplace.serve(&[]);
    server.login("seven green kettles").await;
    let open = fs::read_dir(format!("/proc/{}/fd", server.id())).expect("descriptors").count();
    let process = i32::try_from(server.id()).ok().and_then(Pid::from_raw);
    let set = |limit| prlimit(process, Resource::Nofile, limit).expect("a limit");
    let before = set(Rlimit { current: Some(open as u64 + 4), ..getrlimit(Resource::Nofile) });
    // They take what is left, and wait for more.
    let silent = join_all((0..20).map(|_| connect(server.address))).await;
    server.wait_for_output("no connection can be accepted").await;
    // A quiet one makes room.
    assert_serving(&server).await;
    set(before);
    server.login("seven green kettles").await;
    for _ in 0..3 {
        assert_serving(&server).await;
    }
    let complaints = server.output().matches("no connection can be accepted").count();
    assert!(complaints < 10, "{complaints} lines say it");
    drop(silent);
}
