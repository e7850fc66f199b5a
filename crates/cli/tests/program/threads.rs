//! How many threads there are: as many as the process may use cores, which are not all that the machine has.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;

use serde_json::Value;

use super::{embed, minilm, stdout, tiny_bert};

fn cores() -> usize {
    available_parallelism().unwrap().get()
}

/// The same command with the first core alone that this process may use, by the `taskset` of util-linux.
fn on_one_core(command: &Command) -> Command {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let first = allowed.trim().split(['-', ',']).next().unwrap();
    let mut confined = Command::new("taskset");
    confined.args(["--cpu-list", first]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => confined.env(name, value),
            None => confined.env_remove(name),
        };
    }
    confined
}

/// How many threads the process has, by `/proc`, after the first texts and before the last.
fn threads_at_work(mut command: Command) -> usize {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let (mut stdin, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    // A window of four threads.
    stdin.write_all("a line\n".repeat(4 * 512).as_bytes()).unwrap();
    let mut records = String::new();
    output.read_line(&mut records).unwrap();
    let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().count();
    drop(stdin);
    output.read_to_string(&mut records).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(records.lines().count(), 4 * 512);
    threads
}

#[test]
fn a_process_says_how_many_cores_it_may_use() {
    let tiny = tiny_bert();
    let info = minilm(&["info", "--json"]);
    let bench = minilm(&["bench", "--json", "--rounds", "1", "--model", tiny.to_str().unwrap()]);
    for command in [info, bench] {
        let threads = |command| -> Value {
            let report: Value = serde_json::from_str(&stdout(command)).expect("one JSON object");
            report["threads"].clone()
        };
        let confined = on_one_core(&command);
        assert_eq!(threads(command), cores());
        assert_eq!(threads(confined), 1);
    }
}

#[test]
fn a_process_with_one_core_starts_no_threads_of_its_own_accord() {
    assert_eq!(threads_at_work(on_one_core(&embed(&["-i", "-"]))), 1);
}

/// Four threads for bulk work if so many are asked for, beside the caller's. Those that share a text wait for each
/// other, so they are at most as many as cores, with the caller as one of them.
#[test]
fn more_threads_than_cores_do_not_share_a_text() {
    let command = embed(&["-i", "-", "--threads", "4"]);
    assert_eq!(threads_at_work(on_one_core(&command)), 1 + 4);
    assert_eq!(threads_at_work(command), 1 + 4 + (cores().min(4) - 1));
}
