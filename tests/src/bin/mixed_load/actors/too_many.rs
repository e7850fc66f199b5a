//! More requests at once than there may be: each is answered or refused, as if it were alone.

use std::sync::Barrier;
use std::time::Duration;

use crate::actor::{Actor, World};
use crate::question::Question;
use crate::server::{MAX_CONCURRENT_REQUESTS, WRITE_TIMEOUT};
use crate::tally::Tally;

pub(crate) fn step(actor: &mut Actor<'_>) {
    let n = actor.random.within(2 * MAX_CONCURRENT_REQUESTS..5 * MAX_CONCURRENT_REQUESTS) as u64;
    let most = actor.random.within(2..40);
    let first = 1000 * (actor.step + 1);
    let tally = burst(actor.world, actor.kind, first..first + n, Duration::ZERO, |one| {
        let texts = one.random.within(1..most);
        Question::of_texts(&one.world.pool, &mut one.random, texts)
    });
    actor.tally.add(tally);
    actor.pause(500..4000);
}

/// So many requests, each on a connection of its own, all at the same time. Answers are read a while after they have begun.
fn burst<'a>(
    world: &'a World,
    kind: &'static str,
    numbers: std::ops::Range<u64>,
    pause: Duration,
    question: impl Fn(&mut Actor<'a>) -> Question<'a> + Sync,
) -> Tally {
    let barrier = Barrier::new(numbers.clone().count());
    let one = |number: u64| {
        let mut actor = Actor::new(world, kind, number);
        let question = question(&mut actor);
        let connection = actor.open();
        barrier.wait();
        let Some(mut connection) = connection else { return actor.tally };
        actor.begin();
        let _ = connection.send(&question.request.bytes());
        if !pause.is_zero() && connection.read_some(1).is_ok() {
            std::thread::sleep(pause);
        }
        let outcome = connection.answer();
        let Some(answer) = actor.due(&question.request, outcome) else { return actor.tally };
        actor.judge_unless_refused(&question, &answer);
        actor.tally
    };
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = numbers.map(|number| scope.spawn(move || one(number))).collect();
        for thread in threads {
            match thread.join() {
                Ok(tally) => all.add(tally),
                Err(_) => world.failures.add(format!("{kind}: a thread of this program has panicked")),
            }
        }
    });
    all
}

/// The most that the server has to keep at once, a few times, among small requests whose memory lies between: from then on its
/// memory is nearly as large as it gets.
pub(crate) fn warm_up(world: &World) -> Tally {
    let mut all = Tally::default();
    for round in 0..6 {
        let first = 1_000_000 + 100 * round;
        let numbers = first..first + 2 * MAX_CONCURRENT_REQUESTS as u64;
        let pause = if round % 2 == 0 { WRITE_TIMEOUT / 2 } else { Duration::ZERO };
        all.add(burst(world, "warm-up", numbers, pause, |one| match one.random.below(3) {
            0 => Question::any(&one.world.pool, &mut one.random),
            _ => Question::long_answer(&one.world.pool, &mut one.random),
        }));
    }
    all
}
