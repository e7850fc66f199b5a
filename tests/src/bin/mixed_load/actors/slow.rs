//! Clients that take their time: those that are in time get what the others get.

use std::time::Duration;

use crate::actor::Actor;
use crate::http::{NoAnswer, PATIENCE, Pace};
use crate::question::Question;
use crate::server::{IDLE_TIMEOUT, READ_TIMEOUT, WRITE_TIMEOUT};

/// What a process that was held up itself cannot tell from a server that was.
const MARGIN: Duration = Duration::from_millis(1500);

/// How much later than said something may be noticed.
const LATE: Duration = Duration::from_secs(15);

pub(crate) fn step(actor: &mut Actor<'_>) {
    match actor.random.below(6) {
        0 => in_drips(actor, true),
        1 => in_drips(actor, false),
        2 => too_slow(actor),
        3 => reads_slowly(actor),
        4 => reads_nothing(actor),
        _ => is_idle_for_a_while(actor),
    }
    actor.pause(0..300);
}

/// A head, or a body, in small pieces, but in time.
fn in_drips(actor: &mut Actor<'_>, head: bool) {
    let mut question = Question::any(&actor.world.pool, &mut actor.random);
    let length = question.request.body.len();
    if length > 0 && actor.random.one_in(2) {
        question.request.chunk = Some(actor.random.within(1..length + 1));
    }
    let (first, second) = (question.request.head(), question.request.sent_body());
    let (before, drips, after) = match head {
        true => (Vec::new(), first, second),
        false => (first, second, Vec::new()),
    };
    let Some(mut connection) = actor.kept() else { return };
    actor.begin();
    let mut sent = connection.send(&before);
    let pieces = actor.random.within(2..30);
    for drip in drips.chunks(drips.len().div_ceil(pieces).max(1)) {
        // As one that has too much to do may refuse it before the body is there.
        if connection.has_news() {
            break;
        }
        sent = sent.and(connection.send(drip));
        std::thread::sleep(Duration::from_millis(actor.random.within(10..70) as u64));
    }
    let took = actor.began.elapsed();
    if sent.is_ok() && !connection.has_news() {
        let _ = connection.send(&after);
    }
    let outcome = connection.answer();
    let Some(answer) = actor.due(&question.request, outcome) else { return };
    // After a refusal the rest of the body is nobody's.
    if !answer.is_last() && answer.status == 200 {
        actor.keep(connection);
    }
    let is_excused = answer.status == 408 && took + MARGIN > READ_TIMEOUT;
    if !is_excused {
        actor.judge_unless_refused(&question, &answer);
    }
}

/// A body whose last piece does not come.
fn too_slow(actor: &mut Actor<'_>) {
    let question = Question::of_texts(&actor.world.pool, &mut actor.random, 2);
    let request = &question.request;
    let bytes = request.bytes();
    let (first, last) = bytes.split_at(bytes.len() - actor.random.within(1..10));
    let Some(mut connection) = actor.open() else { return };
    actor.begin();
    let (start, drips) = first.split_at(request.head().len());
    let mut sent = connection.send(start);
    for drip in drips.chunks(drips.len().div_ceil(10).max(1)) {
        if connection.has_news() || sent.is_err() {
            break;
        }
        sent = connection.send(drip);
        std::thread::sleep(Duration::from_millis(actor.random.within(10..200) as u64));
    }
    let outcome = connection.answer();
    let Some(answer) = actor.due(request, outcome) else { return };
    let (took, awake) = (actor.began.elapsed(), actor.began.awake());
    let is_early = took < READ_TIMEOUT - Duration::from_millis(100);
    if answer.status == 408 && (is_early || awake > READ_TIMEOUT + LATE) {
        actor.wrong(request, &answer, &format!("after {took:?}, and bodies have {READ_TIMEOUT:?}"));
    } else {
        actor.judge_error(request, &answer, 408);
    }
    // It may be too late for it, but not a reason for anything worse.
    let _ = connection.send(last);
}

/// A long answer, a bit at a time.
fn reads_slowly(actor: &mut Actor<'_>) {
    let question = Question::long_answer(&actor.world.pool, &mut actor.random);
    let Some(mut connection) = actor.open() else { return };
    actor.begin();
    let _ = connection.send(&question.request.bytes());
    let pace = Pace {
        bytes: actor.random.within(100 << 10..400 << 10),
        pause: Duration::from_millis(actor.random.within(10..60) as u64),
    };
    let outcome = connection.answer_at(pace);
    let Some(answer) = actor.due(&question.request, outcome) else { return };
    actor.judge_unless_refused(&question, &answer);
}

/// Nothing of a long answer, for longer than the server waits.
fn reads_nothing(actor: &mut Actor<'_>) {
    let question = Question::long_answer(&actor.world.pool, &mut actor.random);
    let Some(mut connection) = actor.open() else { return };
    actor.begin();
    let _ = connection.send(&question.request.bytes());
    match connection.read_some(1) {
        Ok(()) => std::thread::sleep(WRITE_TIMEOUT + MARGIN),
        Err(error) => {
            actor.due(&question.request, Err(error));
            return;
        }
    }
    match connection.answer() {
        // It was let go, in the middle of the answer.
        Err(NoAnswer::Closed(..)) => actor.tally.unanswered += 1,
        // The system has kept all of it.
        outcome => {
            let Some(answer) = actor.due(&question.request, outcome) else { return };
            actor.judge_unless_refused(&question, &answer);
        }
    }
}

/// A connection may be without a request for longer than a body may take.
fn is_idle_for_a_while(actor: &mut Actor<'_>) {
    let Some(connection) = actor.kept() else { return };
    std::thread::sleep(READ_TIMEOUT + Duration::from_millis(actor.random.within(0..2000) as u64));
    actor.keep(connection);
    let question = Question::any(&actor.world.pool, &mut actor.random);
    actor.ask(&question);
}

/// A connection without the whole head of a request is closed, and nothing said, when its time is over.
pub(crate) fn idle(actor: &mut Actor<'_>) {
    if actor.world.time_left() < IDLE_TIMEOUT + LATE {
        return actor.pause(1000..1001);
    }
    let Some(mut connection) = actor.open() else { return };
    actor.begin();
    let what = actor.random.below(3);
    match what {
        0 => (),
        1 => {
            let _ = connection.send(b"POST /embed HTTP/1.1\r\nhost: he");
        }
        _ => {
            for byte in b"POST /embed HTTP/1.1\r\nhost: here\r\n" {
                if connection.has_news() {
                    break;
                }
                let _ = connection.send(&[*byte]);
                std::thread::sleep(Duration::from_secs(2));
            }
        }
    }
    let end = connection.rest(PATIENCE + IDLE_TIMEOUT);
    let (took, awake) = (actor.began.elapsed(), actor.began.awake());
    let is_in_time = took > IDLE_TIMEOUT - Duration::from_secs(1) && awake < IDLE_TIMEOUT + LATE;
    match end {
        NoAnswer::Closed(came, _) if came.is_empty() && is_in_time => actor.tally.unanswered += 1,
        other => {
            actor.tally.lost += 1;
            actor.fail(&format!("half of a head at most (way {what}): {other}, after {took:?}"));
        }
    }
}
