//! A soak test of the server: `minilm serve` under mixed load, for as long as one likes.
//!
//! ```text
//! mixed_load --server target/release/minilm --seconds 3600 [--seed S] [--model NAME_OR_DIR]
//! ```
//!
//! It starts the server with small limits, and clients that share nothing but its address: valid requests in all their forms,
//! large ones, invalid ones, slow clients and idle ones, some that go away, requests that are too large, and bursts of more than
//! there may be. What is to be answered is known beforehand, because the library encodes the same texts in this process. It
//! prints a table and `ok`, or what has gone wrong, with what was asked and what came; then its exit status is 1.
//!
//! The rules:
//!
//! - Each request that is sent as a whole, by a client that waits, gets one answer within a minute: the vectors, bit by bit, or
//!   the error that is its own, in the shape of its API. 429 with `Retry-After` is proper wherever a body would be read; both that
//!   and 200 have to come in the bursts.
//! - Slow clients get what others get as long as they are in time; then they get 408, or their connection is closed, as idle ones
//!   are. Of those that read nothing of a long answer some have to be let go: all, but where the system has room for it.
//! - Who goes away, or ends its side of the connection, may get nothing, but nothing that is wrong.
//! - When all clients are done, no request waits or has a place, and the counters at `/metrics` agree with what clients have.
//! - SIGTERM while requests are computed: they are answered, and the process ends with the status 0. Its log has no panic and no
//!   error.
//! - Memory that is no file's: when all is done it is at most 5 % above what it was after a warm-up of a sixth of the run, at most 5
//!   minutes; both times nobody asks, so that no answers are in it. Before the run all places are taken by the longest answers there
//!   can be, whose clients read them late, so that the server has seen the most that it can have to keep. With glibc, runs of a
//!   few minutes need `MALLOC_MMAP_THRESHOLD_=131072`: it keeps the memory of long answers for others, and takes longer than that
//!   to have enough.
//!
//! What clients choose depends on the seed, their number, and the number of their step alone; how it is mixed depends on time.
//! Time in which this program was stopped does not count: [`awake`].

mod actor;
mod actors;
mod awake;
mod end;
mod http;
mod memory;
mod pool;
mod question;
mod random;
mod server;
mod tally;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;

use actor::{Actor, World};
use actors::{KINDS, SLOW, TOO_MANY};
use memory::Memory;
use pool::Pool;
use server::Server;
use tally::{Failures, HEADINGS, Tally};

/// Puts a server under mixed load, and tells whether it has done all as it should
#[derive(Parser)]
struct Arguments {
    /// The program: what has `serve`
    #[arg(long, value_name = "PROGRAM")]
    server: PathBuf,

    /// How long to ask
    #[arg(long, value_name = "N")]
    seconds: u64,

    /// What the clients' choices depend on
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// The model's name, or its directory
    #[arg(long, value_name = "NAME_OR_DIR", default_value = minilm::DEFAULT_MODEL)]
    model: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(failures) if failures.number() == 0 => {
            println!("ok");
            ExitCode::SUCCESS
        }
        Ok(failures) => {
            let first = failures.first();
            println!("{} failures, of which the first {}:", failures.number(), first.len());
            first.iter().for_each(|failure| println!("- {failure}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("mixed_load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Failures, Box<dyn Error>> {
    awake::start();
    let pool = Pool::new(&arguments.model, arguments.seed)?;
    let mut server = Server::start(&arguments.server, &arguments.model)?;
    let mut world = World {
        address: server.address,
        pool,
        seed: arguments.seed,
        end: Duration::ZERO,
        failures: Failures::default(),
        answers: AtomicU64::new(0),
    };
    let mut memory = Memory::new();
    memory.sample(server.id());
    let mut tallies = BTreeMap::from([("warm-up", actors::warm_up(&world))]);

    let seconds = Duration::from_secs(arguments.seconds);
    let warm_up = memory::warm_up(seconds);
    for (part, time) in [warm_up, seconds - warm_up].into_iter().enumerate() {
        world.end = awake::time() + time;
        for (kind, tally) in load(&world, part as u64, &server, &mut memory) {
            tallies.entry(kind).or_default().add(tally);
        }
        match end::is_quiet(&world) {
            Ok(()) => end::counts_agree(&world, &tallies),
            Err(error) => world.failures.add(error),
        }
        memory.at_rest(server.id());
    }
    tallies.insert("last", end::last_pass(&world));
    #[cfg(unix)]
    tallies.insert("SIGTERM", end::terminate(&world, &mut server));
    server.kill();
    let log = server.log();
    for line in log.lines().filter(|line| line.contains("panicked") || line.contains("ERROR")) {
        world.failures.add(format!("the server's log: {line}"));
    }
    report(&world, &tallies, &memory);
    Ok(world.failures)
}

/// All actors at once, until time is up; in each part of the run they choose otherwise.
fn load(world: &World, part: u64, server: &Server, memory: &mut Memory) -> BTreeMap<&'static str, Tally> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (kind, n, step) in KINDS {
            for _ in 0..n {
                let actor = Actor::new(world, kind, 1000 * part + threads.len() as u64 + 1);
                threads.push((kind, scope.spawn(move || actor.run(step))));
            }
        }
        let is_over = &is_over;
        let watch = scope.spawn(move || watch(world, server, memory, is_over));
        let mut tallies = BTreeMap::<_, Tally>::new();
        for (kind, thread) in threads {
            match thread.join() {
                Ok(tally) => tallies.entry(kind).or_default().add(tally),
                Err(_) => world.failures.add(format!("{kind}: a thread of this program has panicked")),
            }
        }
        is_over.store(true, Ordering::Relaxed);
        if watch.join().is_err() {
            world.failures.add("the thread that watches memory has panicked".to_owned());
        }
        tallies
    })
}

/// Samples memory, and says once a minute how it goes.
fn watch(world: &World, server: &Server, memory: &mut Memory, is_over: &AtomicBool) {
    let pause = (world.time_left() / 240).clamp(Duration::from_millis(250), Duration::from_secs(5));
    let mut minutes = memory.elapsed().as_secs() / 60;
    while !is_over.load(Ordering::Relaxed) {
        if !world.time_left().is_zero() {
            memory.sample(server.id());
        }
        let now = memory.elapsed().as_secs() / 60;
        if now > minutes {
            minutes = now;
            let (answers, failures) = (world.answers.load(Ordering::Relaxed), world.failures.number());
            println!("{minutes} min: {answers} answers, {failures} failures, {} MiB", memory.last() >> 20);
        }
        std::thread::sleep(pause);
    }
}

/// The table, and what it must have in it.
fn report(world: &World, tallies: &BTreeMap<&str, Tally>, memory: &Memory) {
    println!("\n{HEADINGS}");
    let mut all = Tally::default();
    for (kind, tally) in tallies {
        println!("{}", tally.line(kind));
        if !tally.adds_up() {
            world.failures.add(format!("{kind}: requests are neither answered nor lost"));
        }
        all.add(tally.clone());
    }
    println!("{}\n", all.line("all"));
    let too_many = tallies.get(TOO_MANY);
    for status in [200, 429] {
        if too_many.is_none_or(|tally| tally.with_status(status) == 0) {
            world.failures.add(format!("no burst of too many requests has had an answer with {status}"));
        }
    }
    // Of some the system keeps all of the answer.
    if tallies.get(SLOW).is_none_or(|tally| tally.unanswered == 0) {
        world.failures.add("no client that reads nothing of its answer has been let go".to_owned());
    }
    match memory.growth() {
        Some(growth) => {
            println!("memory: {growth}");
            growth.failure().into_iter().for_each(|failure| world.failures.add(failure));
        }
        None => println!("memory: unknown on this system"),
    }
}
