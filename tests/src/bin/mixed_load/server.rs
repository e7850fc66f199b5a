//! The server's process: `PROGRAM serve`, with limits that are reached.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

#[cfg(unix)]
use crate::awake;
use crate::http::KEY;

pub(crate) const MAX_CONCURRENT_REQUESTS: usize = 12;
pub(crate) const MAX_CLIENT_BATCH_SIZE: usize = 300;
pub(crate) const PAYLOAD_LIMIT: usize = 1_000_000;
/// Three times as much as JSON, which is more than the system keeps of what nobody reads.
pub(crate) const ANSWER_LIMIT: usize = 2 << 20;
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(4);
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(4);
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);
/// What the server has without being told, and cannot be told.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// The server, which is killed when this is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(program: &Path, model: &Path) -> Result<Server, Box<dyn Error>> {
        let mut command = Command::new(program);
        command
            .args(["serve", "--port", "0", "--offline", "--quiet", "--api-key", KEY])
            .arg("--model")
            .arg(model);
        for (option, value) in [
            ("--max-concurrent-requests", MAX_CONCURRENT_REQUESTS),
            ("--max-client-batch-size", MAX_CLIENT_BATCH_SIZE),
            ("--payload-limit", PAYLOAD_LIMIT),
            ("--answer-limit", ANSWER_LIMIT),
            ("--read-timeout", READ_TIMEOUT.as_secs() as usize),
            ("--write-timeout", WRITE_TIMEOUT.as_secs() as usize),
            ("--shutdown-timeout", SHUTDOWN_TIMEOUT.as_secs() as usize),
        ] {
            command.arg(option).arg(value.to_string());
        }
        // What the shell may have, and the command line does not say.
        for name in [
            "MINILM_HOSTNAME",
            "UNIX_SOCKET",
            "UNIX_SOCKET_MODE",
            "MODEL_ID",
            "DTYPE",
            "REVISION",
            "MAX_BATCH_TOKENS",
            "AUTO_TRUNCATE",
            "DEFAULT_PROMPT",
            "DEFAULT_PROMPT_NAME",
            "SERVED_MODEL_NAME",
            "CORS_ALLOW_ORIGIN",
            "ACCEPT_TOKEN_IDS",
            "JSON_OUTPUT",
            "LOG_LEVEL",
            "THREADS",
        ] {
            command.env_remove(name);
        }
        let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(process.stderr.take().ok_or("no log")?).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let place = loop {
            let Some(line) = lines.next().transpose()? else {
                let log = log.lock().unwrap_or_else(PoisonError::into_inner);
                return Err(format!("the server has ended: {log}").into());
            };
            add(&log, &line);
            if let Some((_, place)) = line.split_once("listening at http://") {
                break place.trim().to_owned();
            }
        };
        let rest = Arc::clone(&log);
        let reader =
            std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| add(&rest, &line)));
        Ok(Server { process, address: place.parse()?, log, reader: Some(reader) })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    #[cfg(unix)]
    pub(crate) fn terminate(&self) -> Result<(), Box<dyn Error>> {
        let kill = Command::new("kill").args(["-s", "TERM", &self.id().to_string()]).status()?;
        if kill.success() { Ok(()) } else { Err("kill has failed".into()) }
    }

    /// Waits for its end, which is to be a good one.
    #[cfg(unix)]
    pub(crate) fn ends_well(&mut self) -> Result<(), Box<dyn Error>> {
        let end = awake::time() + SHUTDOWN_TIMEOUT + Duration::from_secs(5);
        loop {
            match self.process.try_wait()? {
                Some(status) if status.code() == Some(0) => return Ok(()),
                Some(status) => return Err(format!("the server ended with {status}").into()),
                None if awake::time() > end => return Err("the server has not ended after SIGTERM".into()),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // The last of the log.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn add(log: &Mutex<String>, line: &str) {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.push_str(line);
    log.push('\n');
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
