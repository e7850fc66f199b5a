//! Several at once, and some that do not come to an end.

use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use minilm_tests::hub_server::Fault;

use super::*;

fn process(setup: &Setup) -> Child {
    Command::new(env!("CARGO_BIN_EXE_resolve_model"))
        .arg(NAME)
        .arg(setup.cache.path())
        .arg(setup.server.endpoint())
        .spawn()
        .unwrap()
}

fn assert_each_file_came_once(setup: &Setup) {
    for name in ["modules.json", "sentence_bert_config.json", WEIGHTS] {
        assert_eq!(setup.server.downloads_of(name).len(), 1, "{name}");
    }
    setup.assert_complete(&setup.resolve().unwrap());
}

#[test]
fn threads_download_each_file_once() {
    let setup = Setup::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| setup.resolve().unwrap());
        }
    });
    assert_each_file_came_once(&setup);
}

#[test]
fn processes_download_each_file_once() {
    let setup = Setup::new();
    let processes: Vec<Child> = (0..3).map(|_| process(&setup)).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    assert_each_file_came_once(&setup);
}

#[test]
fn a_killed_process_leaves_nothing_broken() {
    let setup = Setup::new();
    setup.server.misbehave("GET", WEIGHTS, Fault::Stall(5000), 1);
    let mut process = process(&setup);
    while fs::metadata(setup.incomplete(WEIGHTS)).map_or(0, |file| file.len()) < 5000 {
        assert!(process.try_wait().unwrap().is_none(), "it has ended");
        thread::sleep(Duration::from_millis(10));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    setup.assert_no_snapshot();
    setup.server.forget_requests();
    setup.assert_complete(&setup.resolve().unwrap());
    let downloads = setup.server.downloads_of(WEIGHTS);
    assert_eq!(downloads.len(), 1);
    assert_eq!(downloads[0].range.as_deref(), Some("bytes=5000-"));
}
