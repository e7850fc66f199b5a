//! Running pip to download one wheel.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::error::ResolveError;

const TIME_LIMIT: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);
const LINES_SHOWN: usize = 4;
const CHARACTERS_SHOWN: usize = 600;

/// Downloads the wheel of `requirement` into `folder`, which should be empty: `python -m` looks
/// for modules in the current directory first, so pip is run there and not where the user is.
pub(super) fn download(
    requirement: &str,
    folder: &Path,
    command: Option<&[OsString]>,
) -> Result<(), ResolveError> {
    let deadline = Instant::now() + TIME_LIMIT;
    let commands = command.map_or_else(usual_commands, |command| vec![command.to_vec()]);
    let mut failures = Vec::new();
    for command in &commands {
        let shown = shown(command, requirement);
        let error = match run(command, requirement, folder, deadline) {
            Ok((status, _)) if status.success() => return Ok(()),
            Ok((status, output)) => {
                let reason = format!("{status}: {}", last_lines(&output));
                let error = ResolveError::Pip { command: shown, reason };
                // pip itself has spoken; another interpreter's pip would meet the same network.
                if output.lines().any(|line| line.trim_start().starts_with("ERROR:")) {
                    return Err(error);
                }
                error
            }
            Err(reason) => ResolveError::Pip { command: shown, reason },
        };
        failures.push(error);
        if Instant::now() >= deadline {
            break;
        }
    }
    Err(combined(failures, &commands, requirement))
}

fn usual_commands() -> Vec<Vec<OsString>> {
    let module = |python: &str| [python, "-m", "pip"].map(OsString::from).to_vec();
    let mut commands = vec![module("python3"), module("python")];
    if cfg!(windows) {
        commands.push(module("py"));
    }
    commands.extend(["pip3", "pip"].map(|pip| vec![OsString::from(pip)]));
    commands
}

/// Only one failure is worth a line if the others are that there is no such program.
fn combined(failures: Vec<ResolveError>, commands: &[Vec<OsString>], requirement: &str) -> ResolveError {
    let mut told: Vec<String> = Vec::new();
    for failure in failures {
        if let ResolveError::Pip { command, reason } = failure {
            if commands.len() == 1 {
                return ResolveError::Pip { command, reason };
            }
            if reason != NOT_FOUND {
                told.push(format!("`{command}`: {reason}"));
            }
        }
    }
    let names: Vec<String> = commands.iter().map(|command| joined(command)).collect();
    let reason = if told.is_empty() {
        format!("none of the commands {} can be run", names.join(", "))
    } else {
        told.join("; ")
    };
    ResolveError::Pip { command: format!("pip download {requirement}"), reason }
}

const NOT_FOUND: &str = "there is no such program";

fn run(
    command: &[OsString],
    requirement: &str,
    folder: &Path,
    deadline: Instant,
) -> Result<(ExitStatus, String), String> {
    let (program, arguments) = command.split_first().ok_or("the command is empty")?;
    let mut child = Command::new(program_from_here(program))
        .args(arguments)
        .args(["download", "--no-deps", "--no-input", "--disable-pip-version-check"])
        .args(["--only-binary=:all:", "--dest"])
        .arg(folder)
        .arg(requirement)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => NOT_FOUND.to_owned(),
            _ => format!("cannot be run: {error}"),
        })?;
    // Both are read while it runs: a full pipe would stop it.
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait(&mut child, deadline)?;
    let mut output = stdout.join().unwrap_or_default();
    output.push_str(&stderr.join().unwrap_or_default());
    Ok((status, output))
}

/// A relative program path means what it means where the user is, not where pip is run.
fn program_from_here(program: &OsStr) -> OsString {
    let path = Path::new(program);
    if path.components().count() < 2 {
        return program.to_owned();
    }
    std::path::absolute(path).map_or_else(|_| program.to_owned(), PathBuf::into_os_string)
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut output = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            let _ = pipe.read_to_end(&mut output);
        }
        String::from_utf8_lossy(&output).into_owned()
    })
}

fn wait(child: &mut Child, deadline: Instant) -> Result<ExitStatus, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            result => {
                // Ended already, perhaps.
                let _ = child.kill();
                let _ = child.wait();
                return Err(match result {
                    Err(error) => format!("cannot be waited for: {error}"),
                    Ok(_) => format!("ended after {} s without a result", TIME_LIMIT.as_secs()),
                });
            }
        }
    }
}

fn last_lines(output: &str) -> String {
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return "no output".to_owned();
    }
    let text = lines[lines.len().saturating_sub(LINES_SHOWN)..].join(" | ");
    let surplus = text.chars().count().saturating_sub(CHARACTERS_SHOWN);
    text.chars().skip(surplus).filter(|char| !char.is_control()).collect()
}

fn joined(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

fn shown(command: &[OsString], requirement: &str) -> String {
    format!("{} download {requirement}", joined(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_shown_on_one() {
        assert_eq!(last_lines("a\n\n b \nc\nd\ne\n"), "b | c | d | e");
        assert_eq!(last_lines(" \n"), "no output");
        assert_eq!(last_lines(&"x".repeat(2000)).len(), CHARACTERS_SHOWN);
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let command = [OsString::from("no-such-program-anywhere")];
        let error = download("x==1", folder.path(), Some(&command)).unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-anywhere download x==1`: there is no such program");
    }

    #[test]
    fn a_command_without_pip_is_passed_over() {
        let failures = ["a", "b"].map(|name| ResolveError::Pip {
            command: format!("{name} download x==1"),
            reason: if name == "a" { NOT_FOUND.to_owned() } else { "no pip here".to_owned() },
        });
        let commands = [vec![OsString::from("a")], vec![OsString::from("b")]];
        let error = combined(failures.into(), &commands, "x==1");
        assert_eq!(error.to_string(), "`pip download x==1`: `b download x==1`: no pip here");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_hangs_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let command = ["sh", "-c", "sleep 30"].map(OsString::from);
        let deadline = Instant::now() + Duration::from_millis(100);
        let error = run(&command, "x==1", folder.path(), deadline).unwrap_err();
        assert!(error.contains("ended after"), "{error}");
    }
}
