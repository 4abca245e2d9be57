//! Large pieces of memory are made of huge pages. A process of its own: what is tested is the allocator of its whole.

use std::{fs, hint::black_box};

#[global_allocator]
static ALLOCATOR: host::memory::Allocator = host::memory::Allocator;

const MIB: usize = 1 << 20;

/// The kernel's flags of the memory that `piece` lies in.
fn flags(piece: &[u8]) -> String {
    let (maps, at) = (fs::read_to_string("/proc/self/smaps").expect("procfs"), piece.as_ptr().addr());
    let range = |line: &str| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let parse = |text| usize::from_str_radix(text, 16).ok();
        Some(parse(start)?..parse(end)?)
    };
    let inside = maps.lines().skip_while(|line| !range(line).is_some_and(|range| range.contains(&at)));
    inside.map(str::to_owned).find(|line| line.starts_with("VmFlags:")).expect("the kernel tells them")
}

#[test]
fn large_pieces_are_made_of_huge_pages_and_keep_what_is_in_them() {
    let mut piece: Vec<u8> = Vec::with_capacity(5 * MIB);
    assert_eq!(piece.as_ptr().addr() % (2 * MIB), 0);
    piece.extend((0..5 * MIB).map(|n| n as u8));
    assert!(flags(&piece).contains(" hg"), "{}", flags(&piece));
    piece.reserve_exact(20 * MIB);
    piece.resize(20 * MIB, 7);
    assert!(flags(&piece[10 * MIB..]).contains(" hg"));
    piece.truncate(3 * MIB);
    piece.shrink_to_fit();
    assert!(piece.iter().zip(0_usize..).all(|(byte, n)| *byte == n as u8));
    let small = black_box(vec![1_u8; MIB]);
    assert!(!flags(&small).contains(" hg"), "{}", flags(&small));
}
