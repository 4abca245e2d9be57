//! One answer of each kind, and one view.
//!
//! `cargo bench -p standin-bench --bench respond`. The counts of allocations are part of the result: answering makes
//! none. Figures and machine are in README.md.

use std::net::{IpAddr, Ipv4Addr};

use divan::{Bencher, black_box, counter::ItemsCount};
use dns::{Outcome, View, Zones};

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SIZES: &[usize] = &[1_000, 100_000];

fn main() {
    divan::main();
}

/// Answers queries in turn; `answers` is what the first reply must hold.
fn respond(bencher: Bencher<'_, '_>, names: usize, queries: &[Vec<u8>], answers: u8) {
    let view = standin_bench::view(names);
    let mut out = [0; 1232];
    let mut turn = 0;
    let reply = dns::respond(&view, CLIENT, &queries[0], &mut out, &mut turn);
    assert!(matches!(reply, Outcome::Reply(_)) && out[7] == answers, "{reply:?}, {} answers", out[7]);
    let mut next = 0;
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        next = if next + 1 < queries.len() { next + 1 } else { 0 };
        dns::respond(black_box(&view), CLIENT, black_box(&queries[next]), &mut out, &mut turn)
    });
}

#[divan::bench(args = SIZES)]
fn www_a_of_ten(bencher: Bencher<'_, '_>, names: usize) {
    respond(bencher, names, &[standin_bench::query("www.lb.example.test", 1)], 10);
}

#[divan::bench(args = SIZES)]
fn www_aaaa_of_ten(bencher: Bencher<'_, '_>, names: usize) {
    respond(bencher, names, &[standin_bench::query("www.lb.example.test", 28)], 10);
}

/// A static name of two addresses, another one each time.
#[divan::bench(args = SIZES, sample_size = 4096)]
fn static_a(bencher: Bencher<'_, '_>, names: usize) {
    let queries: Vec<_> =
        (0..4096).map(|n| standin_bench::query(&format!("h{}.lb.example.test", n * 7919 % names), 1)).collect();
    respond(bencher, names, &queries, 2);
}

/// The same, asked at random from all names of a large zone: each one waits for memory.
#[divan::bench(args = [1_000, 1_000_000], sample_size = 65_536)]
fn static_a_at_random(bencher: Bencher<'_, '_>, names: usize) {
    // Steps of a prime visit every name in no order that memory could guess.
    let name = |n: usize| format!("h{}.lb.example.test", n * 7_368_787 % names);
    let queries: Vec<_> = (0..65_536).map(|n| standin_bench::query(&name(n), 1)).collect();
    respond(bencher, names, &queries, 2);
}

/// Another name each time, as in a flood of random names.
#[divan::bench(args = SIZES, sample_size = 4096)]
fn nxdomain(bencher: Bencher<'_, '_>, names: usize) {
    let queries: Vec<_> =
        (0..4096).map(|n| standin_bench::query(&format!("x{}.lb.example.test", n * 7919), 1)).collect();
    respond(bencher, names, &queries, 0);
}

#[divan::bench]
fn refused(bencher: Bencher<'_, '_>) {
    respond(bencher, 1_000, &[standin_bench::query("www.elsewhere.test", 1)], 0);
}

/// Ten pools of ten members, both families.
#[divan::bench(args = SIZES)]
fn view_build(bencher: Bencher<'_, '_>, names: usize) {
    let zones = standin_bench::zones(names);
    let health = standin_bench::healthy();
    bencher.bench_local(|| View::build(black_box(&zones), black_box(&health), "web1"));
}

/// A hundred pools of ten members in a zone of a million names.
#[divan::bench]
fn view_build_of_a_hundred_pools(bencher: Bencher<'_, '_>) {
    let zones = standin_bench::zones_with(100, 1_000_000);
    let health = standin_bench::healthy();
    bencher.bench_local(|| View::build(black_box(&zones), black_box(&health), "web1"));
}

/// A zone read from its template.
#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn load(bencher: Bencher<'_, '_>, names: usize) {
    let text = standin_bench::template(names);
    bencher.bench_local(|| standin_bench::load(black_box(&text)));
}

/// A zone compiled.
#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn compile(bencher: Bencher<'_, '_>, names: usize) {
    let zone = standin_bench::load(&standin_bench::template(names));
    let config = standin_bench::config();
    bencher.with_inputs(|| vec![zone.clone()]).bench_local_values(|zones| Zones::compile(zones, &config));
}
