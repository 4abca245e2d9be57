//! Socket filters, classic BPF: which frames wake the wire's thread. Pure.
//!
//! Offsets count from the Ethernet header; a packet socket shows no VLAN tag. A load beyond the frame's end ends a program,
//! and the frame is dropped.

use std::{collections::BTreeSet, net::IpAddr};

/// Instructions, of eight bytes: longer programs find no room in what a socket may use besides its queues, 20 KiB on kernels before
/// 6.7 (net.core.optmem_max), and BPF_MAXINSNS is twice as many.
const LONGEST: usize = 2048;

/// ARP, and neighbour advertisements (ICMPv6 type 136 right behind the IPv6 header).
pub(super) const NEIGHBOURS: [libc::sock_filter; 9] = [
    load_half(12),
    equals(0x0806, 6, 0),
    equals(0x86dd, 0, 4),
    load_byte(20),
    equals(58, 0, 2),
    load_byte(54),
    equals(136, 1, 0),
    keep(0),
    KEEP,
];

/// What the sender of an ARP packet, or of a neighbour advertisement, says of itself in these addresses; nothing else.
/// Where they are too many for a program, what every neighbour says: the reader looks again anyway.
pub(super) fn watching(addresses: &BTreeSet<IpAddr>) -> Vec<libc::sock_filter> {
    let senders: Vec<u32> = addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(address) => Some(address.to_bits()),
            IpAddr::V6(_) => None,
        })
        .collect();
    let targets: Vec<[u32; 4]> = addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V6(address) => Some(words(address.octets())),
            IpAddr::V4(_) => None,
        })
        .collect();
    let mut program = vec![load_half(12), equals(0x0806, 1, 0), jump(1 + 2 * senders.len() + 1), load_word(28)];
    for sender in &senders {
        program.extend([equals(*sender, 0, 1), KEEP]);
    }
    program.push(keep(0));
    program.extend([equals(0x86dd, 1, 0), keep(0), load_byte(20), equals(58, 1, 0), keep(0)]);
    program.extend([load_byte(54), equals(136, 1, 0), keep(0)]);
    for [a, b, c, d] in &targets {
        // The last word differs the most often.
        program.extend([load_word(74), equals(*d, 0, 7), load_word(70), equals(*c, 0, 5)]);
        program.extend([load_word(66), equals(*b, 0, 3), load_word(62), equals(*a, 0, 1), KEEP]);
    }
    program.push(keep(0));
    match (addresses.is_empty(), program.len() > LONGEST) {
        (true, _) => vec![keep(0)],
        (false, true) => NEIGHBOURS.to_vec(),
        (false, false) => program,
    }
}

fn words(octets: [u8; 16]) -> [u32; 4] {
    let word = |index: usize| {
        let at = |offset: usize| u32::from(octets[index * 4 + offset]);
        at(0) << 24 | at(1) << 16 | at(2) << 8 | at(3)
    };
    [word(0), word(1), word(2), word(3)]
}

/// The whole frame, for frames of these kinds.
const KEEP: libc::sock_filter = keep(2048);

const fn load_word(offset: u32) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

const fn load_half(offset: u32) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

const fn load_byte(offset: u32) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

/// Skips `jt` instructions where the loaded value is `k`, else `jf`.
const fn equals(k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt, jf, k }
}

/// Ends the program: so many bytes of the frame are kept.
const fn keep(bytes: u32) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: bytes }
}

/// Skips so many instructions.
fn jump(over: usize) -> libc::sock_filter {
    let k = u32::try_from(over).expect("a program's length");
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JA) as u16, jt: 0, jf: 0, k }
}
