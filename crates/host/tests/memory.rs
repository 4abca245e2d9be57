//! Large pieces of memory go back to the kernel when they are dropped. A process of its own: what is tested is one of its whole.

use std::{fs, hint::black_box};

const MIB: usize = 1 << 20;
const PIECES: usize = 64;

/// Resident memory in MiB.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has it");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
}

/// Makes large pieces with small ones between them, drops the large ones, and says what is still resident of them in MiB.
fn left() -> usize {
    let before = resident();
    // The first one that is dropped raises the allocator's bound, where that is not fixed.
    drop(black_box(vec![1_u8; 2 * MIB]));
    let (large, small): (Vec<_>, Vec<_>) = (0..PIECES).map(|_| (vec![1_u8; MIB], vec![1_u8; 64])).unzip();
    assert!(resident() >= before + PIECES / 2);
    drop(black_box(large));
    let left = resident().saturating_sub(before);
    drop(black_box(small));
    left
}

#[test]
fn large_pieces_leave_nothing_behind() {
    assert!(left() > PIECES / 2, "the allocator gives them back by itself: return_large is not needed any more");
    host::memory::return_large().unwrap();
    let left = left();
    assert!(left < PIECES / 4, "{left} MiB of {PIECES} stay");
}
