//! Clients that go away.

use std::time::Duration;

use crate::actor::Actor;
use crate::http::NoAnswer;
use crate::question::Question;

pub(crate) fn step(actor: &mut Actor<'_>) {
    let pool = &actor.world.pool;
    let way = actor.random.below(7);
    let question = match way {
        4 => Question::long_answer(pool, &mut actor.random),
        _ if actor.random.one_in(6) => Question::of_texts(pool, &mut actor.random, 60),
        _ => Question::any(pool, &mut actor.random),
    };
    let bytes = question.request.bytes();
    let head = question.request.head().len();
    let has_body = bytes.len() > head;
    match way {
        0 => {
            let cut = actor.random.below(head);
            go_away(actor, &bytes[..cut]);
        }
        1 if has_body => {
            let most = actor.random.within(head..bytes.len());
            go_away(actor, &bytes[..most]);
        }
        2 => go_away(actor, &bytes),
        3 => go_away_after(actor, &bytes, 1),
        4 => {
            let most = actor.random.within(1..200_000);
            go_away_after(actor, &bytes, most);
        }
        5 if has_body => {
            let most = actor.random.within(head..bytes.len());
            says_the_end_early(actor, &question, &bytes[..most]);
        }
        _ => says_the_end(actor, &question, &bytes),
    }
    if actor.random.one_in(4) {
        let question = Question::about_the_server(&actor.world.pool, &mut actor.random);
        actor.ask(&question);
    }
    actor.pause(0..100);
}

/// The connection is closed when these bytes are sent, or a bit later.
fn go_away(actor: &mut Actor<'_>, bytes: &[u8]) {
    let Some(mut connection) = actor.open() else { return };
    actor.tally.requests += 1;
    actor.tally.unanswered += 1;
    let _ = connection.send(bytes);
    if actor.random.one_in(2) {
        std::thread::sleep(Duration::from_millis(actor.random.within(0..60) as u64));
    }
}

/// The connection is closed when some of the answer is there.
fn go_away_after(actor: &mut Actor<'_>, bytes: &[u8], most: usize) {
    let Some(mut connection) = actor.open() else { return };
    actor.tally.requests += 1;
    actor.tally.unanswered += 1;
    let _ = connection.send(bytes);
    let _ = connection.read_some(most);
}

/// All of a request, and then the end of what the client sends: the server may take it for gone, but what it says is right.
fn says_the_end(actor: &mut Actor<'_>, question: &Question<'_>, bytes: &[u8]) {
    let Some(mut connection) = actor.open() else { return };
    actor.begin();
    let _ = connection.send(bytes);
    let _ = connection.end_of_requests();
    match connection.answer() {
        Err(NoAnswer::Closed(..)) => actor.tally.unanswered += 1,
        outcome => {
            let Some(answer) = actor.due(&question.request, outcome) else { return };
            actor.judge_unless_refused(question, &answer);
        }
    }
}

/// The same in the middle of a body: nobody can answer that but with an error.
fn says_the_end_early(actor: &mut Actor<'_>, question: &Question<'_>, bytes: &[u8]) {
    let Some(mut connection) = actor.open() else { return };
    actor.begin();
    let _ = connection.send(bytes);
    let _ = connection.end_of_requests();
    match connection.answer() {
        Err(NoAnswer::Closed(came, _)) if came.is_empty() => actor.tally.unanswered += 1,
        outcome => {
            let Some(answer) = actor.due(&question.request, outcome) else { return };
            if !actor.is_refusal(question, &answer) {
                actor.judge_error(&question.request, &answer, 400);
            }
        }
    }
}
