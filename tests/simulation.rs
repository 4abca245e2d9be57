//! The shipped core through two hundred simulated lives, and through every life that ever broke an invariant.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

/// Seeds that failed once, one per line, with what they found.
const FAILED_ONCE: &str = include_str!("seeds.txt");

fn seeds() -> Vec<u64> {
    let number = |line: &str| line.split_whitespace().next().map(|word| word.parse().expect("a number"));
    let lines = FAILED_ONCE.lines().map(|line| line.split('#').next().unwrap_or(""));
    lines.filter_map(number).chain(0..200).collect()
}

#[test]
fn all_invariants_hold() {
    let seeds = seeds();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(failure) = sim::run(*seed, None) {
                failures.lock().unwrap().push(failure.to_string());
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn a_seed_is_the_same_life_each_time() {
    let live = |seed| {
        let mut lines = Vec::new();
        let mut listen = |line: &str| lines.push(line.to_owned());
        let summary = sim::run(seed, Some(&mut listen)).unwrap_or_else(|failure| panic!("{failure}"));
        (lines, summary)
    };
    let (lines, summary) = live(5);
    assert!(lines.len() > 50, "{}", lines.len());
    assert_eq!(live(5), (lines.clone(), summary));
    assert_ne!(live(6).0, lines);
}
