//! Keeps from the listener what would be no news to it: each renewal of a lease is a notification, for every address.
//!
//! A classic BPF program in the kernel drops the message "this address is there" where it carries our mark. Nobody misses it:
//! what we add is acknowledged to whom it concerns. Kernels before 5.18 tell no mark; there such messages come through, and
//! `tables` passes them over.

use std::{io, os::fd::AsRawFd};

use super::message::PROTOCOL;

/// `RTM_NEWADDR`, as a load in network order finds it in a field that has this machine's.
const NEW_ADDRESS: u32 = 20_u16.to_be() as u32;
/// Where a netlink message has its type.
const TYPE: u32 = 4;
/// Where the attributes of an address begin: behind the headers of 16 and 8 bytes.
const ATTRIBUTES: u32 = 24;
/// The attribute `IFA_PROTO`.
const IFA_PROTO: u32 = 11;
/// `SKF_AD_OFF + SKF_AD_NLATTR`: a load from there finds the attribute X behind offset A; 0 where there is none.
const FIND_ATTRIBUTE: u32 = (-0x1000_i32 + 12) as u32;
/// An attribute's value is behind its length and its type.
const VALUE: u32 = 4;

const DROP: u32 = 0;
const KEEP: u32 = u32::MAX;

const PROGRAM: [libc::sock_filter; 10] = [
    step(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, TYPE),
    unless_equal(NEW_ADDRESS, 7),
    step(libc::BPF_LD | libc::BPF_IMM, ATTRIBUTES),
    step(libc::BPF_LDX | libc::BPF_IMM, IFA_PROTO),
    step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, FIND_ATTRIBUTE),
    step(libc::BPF_MISC | libc::BPF_TAX, 0),
    step(libc::BPF_LD | libc::BPF_B | libc::BPF_IND, VALUE),
    unless_equal(PROTOCOL as u32, 1),
    step(libc::BPF_RET | libc::BPF_K, DROP),
    step(libc::BPF_RET | libc::BPF_K, KEEP),
];

const fn step(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Skips so many steps unless the loaded value is `k`.
const fn unless_equal(k: u32, skip: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: 0, jf: skip, k }
}

/// From now on the socket does not hear of addresses of ours that are there.
pub(super) fn without_our_own(socket: &impl AsRawFd) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(PROGRAM.len()).expect("a handful of steps"),
        // The kernel reads the program and copies it.
        filter: PROGRAM.as_ptr().cast_mut(),
    };
    let length = size_of::<libc::sock_fprog>() as libc::socklen_t;
    let (fd, option) = (socket.as_raw_fd(), libc::SO_ATTACH_FILTER);
    // SAFETY: `program` describes `PROGRAM`; both outlive the call, which only reads them.
    let failed = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const program).cast(), length) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
