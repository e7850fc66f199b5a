//! Requests as they should be, in all ways in which they may come.

use std::time::Duration;

use crate::actor::Actor;
use crate::http::NoAnswer;
use crate::question::Question;

pub(crate) fn step(actor: &mut Actor<'_>) {
    let mut question = Question::any(&actor.world.pool, &mut actor.random);
    vary(actor, &mut question);
    match actor.random.below(8) {
        0 => pipelined(actor),
        1 => alone(actor, &mut question),
        _ => actor.ask(&question),
    }
    actor.pause(0..40);
}

/// Many texts, or many vectors, at once.
pub(crate) fn large(actor: &mut Actor<'_>) {
    let pool = &actor.world.pool;
    let mut question = match actor.random.below(3) {
        0 => Question::long_answer(pool, &mut actor.random),
        _ => {
            let n = actor.random.within(80..crate::server::MAX_CLIENT_BATCH_SIZE);
            Question::of_texts(pool, &mut actor.random, n)
        }
    };
    vary(actor, &mut question);
    actor.ask(&question);
    actor.pause(0..400);
}

/// What changes nothing: chunks, and what the headers say besides.
fn vary(actor: &mut Actor<'_>, question: &mut Question<'_>) {
    let random = &mut actor.random;
    if question.request.method == "GET" {
        return;
    }
    let length = question.request.body.len();
    if random.one_in(3) {
        question.request.chunk = Some(random.within((length / 50).max(1)..length + 2));
    }
    if random.one_in(8) {
        question.request.headers = question.request.headers.replace("application/json", "text/plain");
    }
    if random.one_in(8) {
        question.request.headers += "expect: 100-continue\r\n";
    }
}

/// A connection for one request, which ends with its answer.
fn alone(actor: &mut Actor<'_>, question: &mut Question<'_>) {
    question.request.headers += "connection: close\r\n";
    let Some(mut connection) = actor.open() else { return };
    let Some(answer) = actor.exchange(&mut connection, &question.request) else { return };
    actor.judge_unless_refused(question, &answer);
    match connection.rest(Duration::from_secs(20)) {
        NoAnswer::Closed(came, _) if came.is_empty() => (),
        other => actor.fail(&format!("{}\n    after its last answer: {other}", question.request)),
    }
}

/// Several requests, and then their answers.
fn pipelined(actor: &mut Actor<'_>) {
    let pool = &actor.world.pool;
    let n = actor.random.within(2..7);
    let questions: Vec<Question<'_>> = (0..n).map(|_| Question::any(pool, &mut actor.random)).collect();
    let bytes: Vec<u8> = questions.iter().flat_map(|question| question.request.bytes()).collect();
    let Some(mut connection) = actor.kept() else { return };
    actor.begin();
    let _ = connection.send(&bytes);
    let mut is_last = false;
    actor.tally.requests += questions.len() as u64 - 1;
    for question in &questions {
        if is_last {
            actor.tally.unanswered += 1;
            continue;
        }
        let outcome = connection.answer();
        let Some(answer) = actor.due(&question.request, outcome) else {
            // The others are not there either.
            is_last = true;
            continue;
        };
        is_last = answer.is_last();
        actor.judge_unless_refused(question, &answer);
    }
    if !is_last {
        actor.keep(connection);
    }
}
