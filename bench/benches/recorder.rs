//! What the flight recorder costs the driver for each heartbeat.

use daemon::recorder::Recorder;

fn main() {
    divan::main();
}

#[divan::bench]
fn a_heartbeat_is_written_down(bencher: divan::Bencher) {
    let recorder = Recorder::default();
    bencher.bench_local(|| recorder.exercise(1));
}
