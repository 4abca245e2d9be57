//! `standin-sim`: lives seeds, and tells about the first that breaks an invariant.

use std::{
    io::Write,
    ops::Range,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

const USAGE: &str = "\
usage: standin-sim --seed N [--verbose]
       standin-sim --seeds N | --seeds FROM..TO
  --seed N      one seed
  --seeds N     seeds 0 to N-1, on all processors
  --verbose     every line of what happens
Exit code: 0 all hold, 1 an invariant is broken, 2 wrong usage.";

struct Arguments {
    seeds: Range<u64>,
    verbose: bool,
}

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    match parse(std::env::args().skip(1)) {
        None => {
            // Nothing can be done about a closed terminal, here and below.
            let _ = writeln!(std::io::stderr(), "{USAGE}");
            ExitCode::from(2)
        }
        Some(Arguments { seeds, verbose }) if seeds.end - seeds.start == 1 => {
            let mut tell = |line: &str| drop(writeln!(out, "{line}"));
            let result = sim::run(seeds.start, if verbose { Some(&mut tell) } else { None });
            match result {
                Ok(summary) => {
                    let _ = writeln!(out, "seed {}: all invariants hold; {summary:?}", seeds.start);
                    ExitCode::SUCCESS
                }
                Err(failure) => {
                    let _ = writeln!(out, "{failure}");
                    ExitCode::FAILURE
                }
            }
        }
        Some(Arguments { seeds, .. }) => many(seeds, &mut out),
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Arguments> {
    let (mut seeds, mut verbose) = (None, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seed" => {
                let seed: u64 = arguments.next()?.parse().ok()?;
                seeds = Some(seed..seed.checked_add(1)?);
            }
            "--seeds" => {
                let range = arguments.next()?;
                let (from, to) = range.split_once("..").unwrap_or(("0", &range));
                seeds = Some(from.parse().ok()?..to.parse().ok()?);
            }
            "--verbose" => verbose = true,
            _ => return None,
        }
    }
    seeds.filter(|seeds| !seeds.is_empty()).map(|seeds| Arguments { seeds, verbose })
}

/// All seeds, on all processors; the lowest that fails is told.
fn many(seeds: Range<u64>, out: &mut impl Write) -> ExitCode {
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let failures = Mutex::new(Vec::new());
    let (moves, events) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            match sim::run(seed, None) {
                Ok(summary) => {
                    moves.fetch_add(summary.moves, Ordering::Relaxed);
                    events.fetch_add(summary.events, Ordering::Relaxed);
                }
                Err(failure) => {
                    stop.store(true, Ordering::Relaxed);
                    failures.lock().expect("no thread panics while it holds it").push(failure);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut failures = failures.into_inner().expect("the threads have ended");
    failures.sort_by_key(|failure| failure.seed);
    let Some(failure) = failures.first() else {
        let count = seeds.end - seeds.start;
        let (moves, events) = (moves.into_inner(), events.into_inner());
        let _ = writeln!(out, "{count} seeds: all invariants hold; {moves} moves, {events} events");
        return ExitCode::SUCCESS;
    };
    let _ = writeln!(out, "{failure}");
    ExitCode::FAILURE
}
