//! A client that asks one thing after the other, and looks at what it gets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::awake::{self, Moment};
use crate::http::{Answer, Connection, NoAnswer, PATIENCE, Request};
use crate::pool::Pool;
use crate::question::Question;
use crate::random::Random;
use crate::server::IDLE_TIMEOUT;
use crate::tally::{Failures, Tally};

/// With more than these, the rest of the run tells nothing new.
const MOST_FAILURES: usize = 100;

/// What all actors share.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) pool: Pool,
    pub(crate) seed: u64,
    /// By [`awake::time`].
    pub(crate) end: Duration,
    pub(crate) failures: Failures,
    /// Answers so far.
    pub(crate) answers: AtomicU64,
}

impl World {
    pub(crate) fn time_left(&self) -> Duration {
        match self.failures.number() {
            0..MOST_FAILURES => self.end.saturating_sub(awake::time()),
            _ => Duration::ZERO,
        }
    }
}

pub(crate) struct Actor<'a> {
    pub(crate) world: &'a World,
    pub(crate) kind: &'static str,
    number: u64,
    pub(crate) step: u64,
    pub(crate) random: Random,
    pub(crate) tally: Tally,
    /// When the last request was begun.
    pub(crate) began: Moment,
    /// The one that is kept.
    connection: Option<Connection>,
}

impl<'a> Actor<'a> {
    pub(crate) fn new(world: &'a World, kind: &'static str, number: u64) -> Actor<'a> {
        let random = Random::new(world.seed, number, 0);
        Actor {
            world,
            kind,
            number,
            step: 0,
            random,
            tally: Tally::default(),
            began: Moment::now(),
            connection: None,
        }
    }

    /// Takes one step after the other until time is up. Each has random numbers of its own, which do not depend on answers
    /// before it.
    pub(crate) fn run(mut self, mut step: impl FnMut(&mut Actor<'a>)) -> Tally {
        while !self.world.time_left().is_zero() {
            self.step += 1;
            self.random = Random::new(self.world.seed, self.number, self.step);
            step(&mut self);
        }
        self.tally
    }

    pub(crate) fn pause(&mut self, milliseconds: std::ops::Range<usize>) {
        let pause = Duration::from_millis(self.random.within(milliseconds) as u64);
        std::thread::sleep(pause.min(self.world.time_left()));
    }

    pub(crate) fn open(&mut self) -> Option<Connection> {
        match Connection::open(self.world.address) {
            Ok(connection) => Some(connection),
            Err(error) => {
                self.fail(&format!("no connection: {error}"));
                None
            }
        }
    }

    /// A connection that is kept from one request to the next, if there is one still.
    pub(crate) fn kept(&mut self) -> Option<Connection> {
        let Some(mut connection) = self.connection.take() else { return self.open() };
        // It may have been that of a program that was stopped.
        if connection.idle() > IDLE_TIMEOUT / 2 {
            return self.open();
        }
        if let Some(what) = connection.unexpected() {
            self.fail(&format!("on a connection whose requests all had their answers: {what}"));
            return self.open();
        }
        Some(connection)
    }

    pub(crate) fn keep(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    /// Asks until it is answered with something else than that there is too much to do.
    pub(crate) fn ask(&mut self, question: &Question<'_>) {
        let began = awake::time();
        while awake::time() - began < PATIENCE {
            let Some(mut connection) = self.kept() else { return };
            let Some(answer) = self.exchange(&mut connection, &question.request) else { return };
            if !answer.is_last() {
                self.keep(connection);
            }
            if !self.is_refusal(question, &answer) {
                self.judge(question, &answer);
                return;
            }
            std::thread::sleep(Duration::from_millis(self.random.within(20..200) as u64));
        }
        self.fail(&format!("{}\n    is refused for as long as a client waits", question.request));
    }

    /// Sends a request, and waits for its answer; without one it is lost.
    pub(crate) fn exchange(&mut self, connection: &mut Connection, request: &Request) -> Option<Answer> {
        self.begin();
        // Who is answered before all is sent may find the connection closed; the answer tells.
        let _ = connection.send(&request.bytes());
        let outcome = connection.answer();
        self.due(request, outcome)
    }

    /// Counts a request that is to be sent.
    pub(crate) fn begin(&mut self) {
        self.tally.requests += 1;
        self.began = Moment::now();
    }

    /// Counts the answer that has to come.
    pub(crate) fn due(&mut self, request: &Request, outcome: Result<Answer, NoAnswer>) -> Option<Answer> {
        match outcome {
            Ok(answer) => {
                self.tally.answered(answer.status, self.began.taken());
                self.world.answers.fetch_add(1, Ordering::Relaxed);
                Some(answer)
            }
            Err(NoAnswer::Closed(..)) if self.began.was_held_up() => {
                self.tally.unanswered += 1;
                None
            }
            Err(error) => {
                self.lost(request, &error);
                None
            }
        }
    }

    /// Whether the answer is that there is too much to do, where that may be said; or that this program was too slow, if it was.
    pub(crate) fn is_refusal(&mut self, question: &Question<'_>, answer: &Answer) -> bool {
        if answer.status == 408 && self.began.was_held_up() {
            return true;
        }
        if answer.status != 429 || !question.may_be_refused() {
            return false;
        }
        if let Err(what) = refusal(&question.request.path, answer) {
            self.wrong(&question.request, answer, &what);
        }
        true
    }

    /// Whether the answer is right.
    pub(crate) fn judge(&mut self, question: &Question<'_>, answer: &Answer) {
        match question.check(answer) {
            Ok(()) => self.tally.texts += question.texts as u64,
            Err(what) => self.wrong(&question.request, answer, &what),
        }
    }

    /// The same, where it may be that there is too much to do.
    pub(crate) fn judge_unless_refused(&mut self, question: &Question<'_>, answer: &Answer) {
        if !self.is_refusal(question, answer) {
            self.judge(question, answer);
        }
    }

    /// Whether the answer is the error that is due, or that there is too much to do.
    pub(crate) fn judge_error(&mut self, request: &Request, answer: &Answer, status: u16) {
        let fault = match answer.status {
            found if found == status => error(&request.path, answer),
            429 => refusal(&request.path, answer),
            _ => Err(format!("expected {status}")),
        };
        if let Err(what) = fault {
            self.wrong(request, answer, &what);
        }
    }

    pub(crate) fn wrong(&mut self, request: &Request, answer: &Answer, what: &str) {
        self.tally.wrong += 1;
        self.fail(&format!("{request}\n    came: {answer}\n    {what}"));
    }

    pub(crate) fn lost(&mut self, request: &Request, came: &NoAnswer) {
        self.tally.lost += 1;
        self.fail(&format!("{request}\n    is lost: {came}"));
    }

    pub(crate) fn fail(&self, what: &str) {
        let Actor { kind, number, step, world, .. } = self;
        let seed = world.seed;
        world.failures.add(format!("{kind} (seed {seed}, actor {number}, step {step}): {what}"));
    }
}

/// What is wrong with an answer that says that there is too much to do.
pub(crate) fn refusal(path: &str, answer: &Answer) -> Result<(), String> {
    let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    if !seconds.is_some_and(|seconds| (1..=600).contains(&seconds)) {
        return Err(format!("Retry-After is {:?}", answer.header("retry-after")));
    }
    error(path, answer)
}

/// What is wrong with an error in the shape of the path's API.
pub(crate) fn error(path: &str, answer: &Answer) -> Result<(), String> {
    let body = answer.json()?;
    let is_openai = path.starts_with("/v1/") || path == "/embeddings";
    let said = if is_openai {
        [&body["error"]["message"], &body["error"]["type"]]
    } else {
        [&body["error"], &body["error_type"]]
    };
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    if said.into_iter().all(is_text) { Ok(()) } else { Err("no error in the shape of its API".to_owned()) }
}
