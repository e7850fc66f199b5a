//! How a run ends: the server gets quiet, is still right, has counted what was sent, and stops when it is told to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::actor::{Actor, World};
use crate::awake;
use crate::http::{Connection, Request};
use crate::question::Question;
#[cfg(unix)]
use crate::server::Server;
use crate::tally::Tally;

/// Until requests are over that nobody waits for any more.
const QUIET: Duration = Duration::from_secs(60);

/// The server's counters, as `/metrics` has them.
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) fn of(world: &World) -> Result<Metrics, String> {
        let mut connection = Connection::open(world.address).map_err(|error| error.to_string())?;
        connection.send(&Request::get("/metrics").bytes()).map_err(|error| error.to_string())?;
        let answer = connection.answer().map_err(|error| format!("/metrics: {error}"))?;
        Ok(Metrics(String::from_utf8_lossy(&answer.body).into_owned()))
    }

    /// All with that name, and that in their labels.
    fn sum(&self, name: &str, label: &str) -> u64 {
        let values = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            let is_it = (labels.is_empty() || labels.starts_with('{')) && labels.contains(label);
            if is_it { value.parse::<f64>().ok() } else { None }
        });
        values.sum::<f64>() as u64
    }
}

/// Waits until nothing is waiting or computed.
pub(crate) fn is_quiet(world: &World) -> Result<(), String> {
    let end = awake::time() + QUIET;
    loop {
        let metrics = Metrics::of(world)?;
        let [waiting, open] = ["te_queue_size", "minilm_open_requests"].map(|gauge| metrics.sum(gauge, ""));
        if (waiting, open) == (0, 0) {
            return Ok(());
        }
        if awake::time() > end {
            return Err(format!("nobody asks, but {waiting} requests wait and {open} are open still"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What the server has counted against what clients have, where it must be the same; in the end, as requests whose clients went away
/// in the middle of their bodies are counted before they are given up.
pub(crate) fn counts_agree(world: &World, tallies: &BTreeMap<&str, Tally>) {
    let end = awake::time() + QUIET;
    let found = loop {
        let found = Metrics::of(world).map(|metrics| disagreements(&metrics, tallies));
        match found {
            Ok(found) if !found.is_empty() && awake::time() < end => {
                std::thread::sleep(Duration::from_millis(100));
            }
            found => break found.unwrap_or_else(|error| vec![error]),
        }
    };
    found.into_iter().for_each(|failure| world.failures.add(failure));
}

fn disagreements(metrics: &Metrics, tallies: &BTreeMap<&str, Tally>) -> Vec<String> {
    let mut found = Vec::new();
    let status = |status: u16| tallies.values().map(|tally| tally.with_status(status)).sum::<u64>();
    let counted = |status: u16| metrics.sum("minilm_http_responses_total", &format!("status=\"{status}\""));
    // Only who waits for his answer gets them.
    for exact in [401, 404, 405, 408, 413, 422] {
        let (sent, came) = (counted(exact), status(exact));
        if sent != came {
            found.push(format!("the server counts {sent} answers with {exact}, and clients {came}"));
        }
    }
    // Who went away may have been answered, too.
    for at_least in [200, 429] {
        let (sent, came) = (counted(at_least), status(at_least));
        if sent < came {
            found.push(format!("the server counts {sent} answers with {at_least}, and clients {came}"));
        }
    }
    for unexpected in [424, 500, 503] {
        if counted(unexpected) > 0 {
            found.push(format!("the server counts {} answers with {unexpected}", counted(unexpected)));
        }
    }
    let [requests, successes, failures, cancelled] =
        ["te_request_count", "te_request_success", "te_request_failure", "minilm_cancelled_requests_total"]
            .map(|name| metrics.sum(name, ""));
    if requests != successes + failures + cancelled {
        let counts = format!("{successes} successes, {failures} failures and {cancelled} that were given up");
        found.push(format!("the server counts {requests} requests, but {counts}"));
    }
    let texts = tallies.values().map(|tally| tally.texts).sum::<u64>();
    let embedded = metrics.sum("te_embed_count", "");
    if embedded < texts {
        found.push(format!("the server counts {embedded} texts, and clients have {texts} vectors"));
    }
    found
}

/// A few requests of each kind, one after the other.
pub(crate) fn last_pass(world: &World) -> Tally {
    let mut actor = Actor::new(world, "last", 2_000_000);
    for _ in 0..60 {
        let question = Question::any(&world.pool, &mut actor.random);
        actor.ask(&question);
    }
    actor.tally
}

/// SIGTERM while large requests are being computed: they are answered, and then the process ends.
#[cfg(unix)]
pub(crate) fn terminate(world: &World, server: &mut Server) -> Tally {
    const REQUESTS: usize = 4;
    let mut actor = Actor::new(world, "SIGTERM", 2_000_001);
    let questions: Vec<Question<'_>> =
        (0..REQUESTS).map(|_| Question::of_texts(&world.pool, &mut actor.random, 120)).collect();
    let mut asked = Vec::new();
    for question in &questions {
        let Some(mut connection) = actor.open() else { return actor.tally };
        actor.begin();
        let _ = connection.send(&question.request.bytes());
        asked.push((question, connection));
    }
    // All of them have been read.
    let mut in_flight = 0;
    for _ in 0..200 {
        in_flight =
            in_flight.max(Metrics::of(world).map_or(0, |metrics| metrics.sum("minilm_open_requests", "")));
        if in_flight == REQUESTS as u64 {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if in_flight == 0 {
        actor.fail("no request was in flight");
    }
    if let Err(error) = server.terminate() {
        actor.fail(&error.to_string());
    }
    for (question, mut connection) in asked {
        let outcome = connection.answer();
        if let Some(answer) = actor.due(&question.request, outcome) {
            actor.judge(question, &answer);
        }
    }
    if let Err(error) = server.ends_well() {
        actor.fail(&error.to_string());
    }
    if Connection::open(world.address).is_ok() {
        actor.fail("somebody still listens");
    }
    actor.tally
}
