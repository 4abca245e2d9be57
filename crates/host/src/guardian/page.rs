//! The memory that guardian and daemon share: the daemon's pulse, and what the guardian needs when the daemon is gone.
//!
//! One memfd, mapped by both. The daemon alone writes; the guardian reads, and clears the page between two runs.
//!
//! *No half-written page is ever used.* What has more than one word lies in a [`Cell`]: two slots and a word that tells
//! which one counts. The writer fills the slot that does not count, then turns that word over with release ordering; a
//! writer that is killed anywhere in between leaves the older slot in force, whole. A cell has one writer at a time, and
//! the guardian reads a cell only when the writer runs no more.
//!
//! Invariants: every access is to an atomic word inside the mapping, whatever the other side writes; what cannot be
//! decoded reads as nothing. What does not fit is left out: the guardian finds addresses by their mark as well.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use model::{event::Ending, net::InterfaceIndex};

/// Words of the mapping: 96 KiB, of which pages that are never written cost nothing.
const WORDS: usize = 12 * 1024;
/// When the driver last went round its loop, in nanoseconds of CLOCK_MONOTONIC.
const BEAT: usize = 0;
/// The detection time in nanoseconds; zero while the driver does not ask to be watched.
const DETECTION: usize = 1;
/// Not zero once the driver of this run has begun to beat.
const BEGUN: usize = 2;
/// How the run before this one ended: 0 not at all, 1 it died, 2 it hung.
const BEFORE: usize = 3;
/// When, by how much that may be wrong, and when its addresses were gone (zero: they were not), in nanoseconds of CLOCK_MONOTONIC.
const BEFORE_ENDED: usize = 4;
const BEFORE_WITHIN: usize = 5;
const BEFORE_RELEASED: usize = 6;
/// The virtual addresses that the kernel may have.
const ADDRESSES: Cell = Cell { at: 8, words: 4 * 1024 };
/// The sealed farewell, and where to send it.
const FAREWELL: Cell = Cell { at: ADDRESSES.end(), words: 1024 };
const _: () = assert!(FAREWELL.end() <= WORDS);

/// A value of several words: which slot counts, then two slots of a length in bytes and the bytes.
#[derive(Clone, Copy, Debug)]
struct Cell {
    at: usize,
    /// Of one slot, the length included.
    words: usize,
}

impl Cell {
    const fn end(self) -> usize {
        self.at + 1 + 2 * self.words
    }

    const fn slot(self, which: u64) -> usize {
        self.at + 1 + if which == 0 { 0 } else { self.words }
    }

    /// The most bytes that a slot takes.
    const fn room(self) -> usize {
        (self.words - 1) * 8
    }
}

/// The last word of a daemon, ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Farewell {
    /// Sealed; every peer gets each.
    pub(super) datagrams: Vec<Vec<u8>>,
    /// The peers' heartbeat addresses.
    pub(super) peers: Vec<SocketAddr>,
    /// Where it goes as an Ethernet broadcast, too.
    pub(super) interfaces: Vec<InterfaceIndex>,
}

/// How the run before this one ended, without having been told to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Before {
    pub(super) how: Ending,
    /// When, by CLOCK_MONOTONIC.
    pub(super) ended: Duration,
    /// By how much that may be wrong.
    pub(super) within: Duration,
    /// When the kernel confirmed that its addresses were gone.
    pub(super) released: Option<Duration>,
}

/// The mapping.
#[derive(Debug)]
pub(super) struct Page {
    words: NonNull<AtomicU64>,
    memory: OwnedFd,
}

// SAFETY: the mapping is reached through atomics alone and lives until `drop`.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// A new page, all zero.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: the name is a terminated string; the call returns a new descriptor or -1.
        let fd = unsafe { libc::memfd_create(c"standin-guardian".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and nobody else owns it.
        let memory = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: takes numbers only.
        if unsafe { libc::ftruncate(memory.as_raw_fd(), libc::off_t::try_from(WORDS * 8).expect("small")) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Self::map(memory)
    }

    /// The page behind an inherited descriptor.
    pub(super) fn map(memory: OwnedFd) -> io::Result<Self> {
        // A shorter file would make reading fatal.
        let file = std::fs::File::from(memory);
        if file.metadata()?.len() != (WORDS * 8) as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not the guardian's page"));
        }
        let memory = OwnedFd::from(file);
        // SAFETY: a fresh shared mapping of a file that is as long; the kernel chooses where.
        let start = unsafe {
            let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            libc::mmap(std::ptr::null_mut(), WORDS * 8, protection, flags, memory.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let words = NonNull::new(start.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { words, memory })
    }

    /// The descriptor behind it, to be inherited.
    pub(super) fn memory(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.memory.as_fd()
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has so many words, is aligned to a page, lives as long as `self`, and both processes use
        // atomics alone on it.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), WORDS) }
    }

    /// As new: before a run begins.
    pub(super) fn clear(&self) {
        for word in [BEAT, DETECTION, BEGUN, ADDRESSES.slot(0), ADDRESSES.slot(1), FAREWELL.slot(0), FAREWELL.slot(1)] {
            self.words()[word].store(0, Ordering::Release);
        }
    }

    /// How the run before ended: for the one that begins.
    pub(super) fn set_before(&self, before: Before) {
        let how = match before.how {
            Ending::Died => 1,
            Ending::Hung => 2,
        };
        let values = [
            (BEFORE_ENDED, nanos(before.ended)),
            (BEFORE_WITHIN, nanos(before.within)),
            (BEFORE_RELEASED, before.released.map_or(0, nanos)),
            (BEFORE, how),
        ];
        values.iter().for_each(|(word, value)| self.words()[*word].store(*value, Ordering::Release));
    }

    /// That; none where there was none, or where it ended as it should.
    pub(super) fn before(&self) -> Option<Before> {
        let word = |word: usize| self.words()[word].load(Ordering::Acquire);
        let how = match word(BEFORE) {
            1 => Ending::Died,
            2 => Ending::Hung,
            _ => return None,
        };
        let span = |at: usize| Duration::from_nanos(word(at));
        let released = Some(span(BEFORE_RELEASED)).filter(|released| !released.is_zero());
        Some(Before { how, ended: span(BEFORE_ENDED), within: span(BEFORE_WITHIN), released })
    }

    /// The driver lives at `now`, and is to be watched.
    pub(super) fn beat(&self, now: Duration, detection: Duration) {
        self.words()[BEAT].store(nanos(now), Ordering::Relaxed);
        self.words()[DETECTION].store(nanos(detection), Ordering::Release);
        self.words()[BEGUN].store(1, Ordering::Relaxed);
    }

    /// The driver ends as planned: its silence means nothing any more.
    pub(super) fn rest(&self) {
        self.words()[DETECTION].store(0, Ordering::Release);
    }

    /// The last beat and the detection time; none while nobody asks to be watched.
    pub(super) fn pulse(&self) -> Option<(Duration, Duration)> {
        let detection = self.words()[DETECTION].load(Ordering::Acquire);
        let beat = self.words()[BEAT].load(Ordering::Relaxed);
        (detection > 0).then(|| (Duration::from_nanos(beat), Duration::from_nanos(detection)))
    }

    /// Whether the driver of this run has ever beaten.
    pub(super) fn has_begun(&self) -> bool {
        self.words()[BEGUN].load(Ordering::Acquire) != 0
    }

    /// The virtual addresses that the kernel may have from now on.
    pub(super) fn set_addresses(&self, addresses: &BTreeSet<(IpAddr, InterfaceIndex)>) {
        let fit = addresses.iter().take(ADDRESSES.room() / 21);
        let bytes = fit.flat_map(|(address, interface)| [&ip(*address)[..], &interface.0.to_be_bytes()].concat());
        self.write(ADDRESSES, &bytes.collect::<Vec<_>>());
    }

    /// Those addresses.
    pub(super) fn addresses(&self) -> Vec<(IpAddr, InterfaceIndex)> {
        let bytes = self.read(ADDRESSES);
        let entries = bytes.chunks_exact(21).filter_map(|entry| {
            let index = entry[17..].first_chunk().copied().map(u32::from_be_bytes)?;
            Some((ip_of(entry)?, InterfaceIndex(index)))
        });
        entries.collect()
    }

    /// What the guardian will send from now on.
    pub(super) fn set_farewell(&self, farewell: &Farewell) {
        let mut bytes = Vec::new();
        for datagram in farewell.datagrams.iter().filter(|datagram| !datagram.is_empty()) {
            let Ok(length) = u16::try_from(datagram.len()) else { return };
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(datagram);
        }
        bytes.extend_from_slice(&[0, 0]);
        let Ok(interfaces) = u16::try_from(farewell.interfaces.len()) else { return };
        bytes.extend_from_slice(&interfaces.to_be_bytes());
        bytes.extend(farewell.interfaces.iter().flat_map(|interface| interface.0.to_be_bytes()));
        for peer in &farewell.peers {
            let scope = match peer {
                SocketAddr::V4(_) => 0,
                SocketAddr::V6(six) => six.scope_id(),
            };
            bytes.extend_from_slice(&ip(peer.ip()));
            bytes.extend_from_slice(&peer.port().to_be_bytes());
            bytes.extend_from_slice(&scope.to_be_bytes());
        }
        self.write(FAREWELL, &bytes);
    }

    /// What the guardian has to send; nothing before the daemon has said so.
    pub(super) fn farewell(&self) -> Farewell {
        let decode = |bytes: &[u8]| -> Option<Farewell> {
            let (mut rest, mut datagrams) = (bytes, Vec::new());
            let places = loop {
                let (length, after) = rest.split_first_chunk()?;
                let (datagram, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
                if datagram.is_empty() {
                    break after;
                }
                datagrams.push(datagram.to_vec());
                rest = after;
            };
            let (count, places) = places.split_first_chunk()?;
            let (interfaces, peers) = places.split_at_checked(usize::from(u16::from_be_bytes(*count)) * 4)?;
            let index = |entry: &[u8]| entry.first_chunk().copied().map(u32::from_be_bytes).map(InterfaceIndex);
            let interfaces = interfaces.chunks_exact(4).filter_map(index).collect();
            let peers = peers.chunks_exact(23).filter_map(|entry| {
                let port = u16::from_be_bytes(*entry[17..].first_chunk()?);
                let scope = u32::from_be_bytes(*entry[19..].first_chunk()?);
                Some(match ip_of(entry)? {
                    IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
                    IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
                })
            });
            Some(Farewell { datagrams, peers: peers.collect(), interfaces })
        };
        decode(&self.read(FAREWELL)).unwrap_or_default()
    }

    /// Replaces a cell's value. What has no room leaves the old one in force.
    fn write(&self, cell: Cell, bytes: &[u8]) {
        if bytes.len() > cell.room() {
            return;
        }
        let words = self.words();
        let other = 1 - (words[cell.at].load(Ordering::Relaxed) & 1);
        self.fill(cell.slot(other), bytes);
        words[cell.at].store(other, Ordering::Release);
    }

    fn fill(&self, slot: usize, bytes: &[u8]) {
        let words = self.words();
        words[slot].store(bytes.len() as u64, Ordering::Relaxed);
        for (word, chunk) in words[slot + 1..].iter().zip(bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_ne_bytes(whole), Ordering::Relaxed);
        }
    }

    fn read(&self, cell: Cell) -> Vec<u8> {
        let words = self.words();
        let slot = cell.slot(words[cell.at].load(Ordering::Acquire) & 1);
        let length = usize::try_from(words[slot].load(Ordering::Relaxed)).unwrap_or(usize::MAX).min(cell.room());
        let whole = words[slot + 1..].iter().take(length.div_ceil(8));
        let mut bytes: Vec<u8> = whole.flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
        bytes.truncate(length);
        bytes
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `map`, unmapped once; nothing borrows it any more.
        unsafe { libc::munmap(self.words.as_ptr().cast(), WORDS * 8) };
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A family and sixteen bytes.
fn ip(address: IpAddr) -> [u8; 17] {
    let mut bytes = [0; 17];
    match address {
        IpAddr::V4(four) => {
            bytes[0] = 4;
            bytes[1..5].copy_from_slice(&four.octets());
        }
        IpAddr::V6(six) => {
            bytes[0] = 6;
            bytes[1..].copy_from_slice(&six.octets());
        }
    }
    bytes
}

fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    let (family, rest) = bytes.split_first()?;
    match family {
        4 => rest.first_chunk::<4>().map(|four| Ipv4Addr::from(*four).into()),
        6 => rest.first_chunk::<16>().map(|six| Ipv6Addr::from(*six).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(last: &[u8]) -> BTreeSet<(IpAddr, InterfaceIndex)> {
        let both = |last: &u8| {
            let six: IpAddr = format!("fd00:77::{last:x}").parse().unwrap();
            [(IpAddr::from([10, 77, 0, *last]), InterfaceIndex(2)), (six, InterfaceIndex(70_000))]
        };
        last.iter().flat_map(both).collect()
    }

    /// The same memory, as the other process has it.
    fn other(page: &Page) -> Page {
        Page::map(page.memory().try_clone_to_owned().unwrap()).unwrap()
    }

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let daemon = Page::new().unwrap();
        let guardian = other(&daemon);
        assert_eq!((guardian.pulse(), guardian.addresses(), guardian.farewell()), (None, vec![], Farewell::default()));
        let peers = vec!["10.77.0.12:7946".parse().unwrap(), "[fe80::1%3]:7946".parse().unwrap()];
        let farewell = Farewell {
            datagrams: vec![(0..=255).cycle().take(1_200).collect(), vec![7]],
            peers,
            interfaces: vec![InterfaceIndex(2), InterfaceIndex(70_000)],
        };
        for last in [&[1, 2, 3][..], &[9], &[]] {
            daemon.set_addresses(&addresses(last));
            assert_eq!(guardian.addresses(), Vec::from_iter(addresses(last)));
        }
        daemon.set_farewell(&farewell);
        assert_eq!(guardian.farewell(), farewell);
        let (now, detection) = (Duration::from_millis(77), Duration::from_millis(150));
        assert!(!guardian.has_begun());
        daemon.beat(now, detection);
        assert_eq!(guardian.pulse(), Some((now, detection)));
        daemon.rest();
        assert!(guardian.pulse().is_none() && guardian.has_begun());
        guardian.clear();
        assert_eq!((daemon.has_begun(), daemon.addresses(), daemon.farewell()), (false, vec![], Farewell::default()));
    }

    #[test]
    fn a_writer_killed_halfway_leaves_the_older_value() {
        let page = Page::new().unwrap();
        page.set_addresses(&addresses(&[1]));
        // All of a write but its last step.
        let other = 1 - page.words()[ADDRESSES.at].load(Ordering::Relaxed);
        page.fill(ADDRESSES.slot(other), &[0xff; 4_000]);
        assert_eq!(page.addresses(), Vec::from_iter(addresses(&[1])));
    }

    #[test]
    fn addresses_that_have_no_room_are_left_out() {
        let page = Page::new().unwrap();
        let many = |index: u32| (IpAddr::from([10, 77, 0, 1]), InterfaceIndex(index));
        page.set_addresses(&(0..100_000).map(many).collect());
        let kept = page.addresses().len();
        assert!(kept > 1_000, "{kept}");
    }

    #[test]
    fn another_file_is_no_page() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Page::map(file.into()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    proptest! {
        /// Whatever the other side has written: reading ends, inside the mapping.
        #[test]
        fn nonsense_is_read_without_harm(words in prop::collection::vec(any::<u64>(), 64), length in any::<u64>()) {
            let page = Page::new().unwrap();
            for cell in [ADDRESSES, FAREWELL] {
                for (at, word) in words.iter().enumerate() {
                    page.words()[cell.slot(1) + 1 + at].store(*word, Ordering::Relaxed);
                }
                page.words()[cell.slot(1)].store(length, Ordering::Relaxed);
                page.words()[cell.at].store(words[0] | 1, Ordering::Relaxed);
            }
            prop_assert!(page.addresses().len() <= ADDRESSES.room());
            prop_assert!(page.farewell().datagrams.len() <= FAREWELL.room());
        }
    }
}
