//! Counters of DNS: one set per answering thread, read and summed when somebody wants to see them.
//!
//! Invariants: on the fast path a counter has one writer and is a plain load and store of its own cache line's memory;
//! nothing waits for a reader. Label values come from closed lists, so that no client can make new ones.
//!
//! Deliberately not here: names of metrics (`daemon::metrics`).

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a datagram or connection got no reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// A response, or too short to be a query.
    NotAQuery,
    /// Longer than any query that is answered over UDP.
    TooLong,
    /// From a port or address that cannot be replied to.
    Source,
    /// It had to be deferred, and the queue was full.
    QueueFull,
    /// The kernel did not take the reply.
    Send,
    /// Answering it went wrong inside the program.
    Fault,
    /// A TCP connection over the limit in total or of its client.
    Connections,
    /// Too many replies of its kind to its network.
    Limited,
}

impl Dropped {
    const ALL: [Self; 8] = [
        Self::NotAQuery,
        Self::TooLong,
        Self::Source,
        Self::QueueFull,
        Self::Send,
        Self::Fault,
        Self::Connections,
        Self::Limited,
    ];

    /// The reason as a label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotAQuery => "not-a-query",
            Self::TooLong => "too-long",
            Self::Source => "source",
            Self::QueueFull => "queue-full",
            Self::Send => "send",
            Self::Fault => "fault",
            Self::Connections => "connections",
            Self::Limited => "rate-limit",
        }
    }
}

/// Record types that are counted by name (RFC 6895 registry); all others together.
const TYPES: [(u16, &str); 15] = [
    (1, "A"),
    (28, "AAAA"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (15, "MX"),
    (16, "TXT"),
    (33, "SRV"),
    (43, "DS"),
    (48, "DNSKEY"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (255, "ANY"),
    (257, "CAA"),
];
const OTHER: &str = "other";

/// Response codes by number (RFC 6895 section 2.3), as far as a header can say them.
const RCODES: [&str; 16] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE", "11", "12", "13", "14", "15",
];

/// Upper bounds of the classes of answering times, in microseconds; there is one more class for what took longer.
pub const ANSWER_BOUNDS: [u64; 9] = [10, 25, 50, 100, 250, 500, 1_000, 5_000, 25_000];

/// The counters of one thread, or of one part that several threads share.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Cell {
    types: [AtomicU64; TYPES.len() + 1],
    rcodes: [AtomicU64; RCODES.len()],
    truncated: AtomicU64,
    deferred: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
    /// Replies by how long they took, and all their microseconds.
    answered: [AtomicU64; ANSWER_BOUNDS.len() + 1],
    answering: AtomicU64,
}

/// How a [`Cell`] is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Writers {
    /// Only this thread writes: no locked instruction is needed.
    One,
    /// Several threads write.
    Many,
}

impl Writers {
    fn count(self, counter: &AtomicU64) {
        self.add(counter, 1);
    }

    fn add(self, counter: &AtomicU64, more: u64) {
        match self {
            Self::One => counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed),
            Self::Many => drop(counter.fetch_add(more, Ordering::Relaxed)),
        }
    }
}

impl Cell {
    /// A reply, by its own bytes: the type of its question and its response code.
    pub(crate) fn reply(&self, writers: Writers, reply: &[u8]) {
        let Some(&[_, _, flags, code, ..]) = reply.first_chunk::<12>() else { return };
        writers.count(&self.rcodes[usize::from(code & 0x0F)]);
        if flags & 0x02 != 0 {
            writers.count(&self.truncated);
        }
        let place = question_type(reply).and_then(|rtype| TYPES.iter().position(|(number, _)| *number == rtype));
        writers.count(&self.types[place.unwrap_or(TYPES.len())]);
    }

    /// So many replies were handed to the kernel, all of them `micros` after their queries had been taken from it.
    pub(crate) fn answered(&self, writers: Writers, replies: u64, micros: u64) {
        let class = ANSWER_BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(ANSWER_BOUNDS.len());
        writers.add(&self.answered[class], replies);
        writers.add(&self.answering, replies * micros);
    }

    /// A query that was handed to the general server.
    pub(crate) fn deferred(&self, writers: Writers) {
        writers.count(&self.deferred);
    }

    /// Something that got no reply.
    pub(crate) fn dropped(&self, writers: Writers, reason: Dropped) {
        writers.count(&self.dropped[reason as usize]);
    }
}

/// The type of the first question, where there is one.
fn question_type(message: &[u8]) -> Option<u16> {
    if message.get(4..6)? == [0, 0] {
        return None;
    }
    let mut at = 12;
    loop {
        let label = usize::from(*message.get(at)?);
        at += 1 + label;
        if label == 0 {
            let rtype = message.get(at..at + 2)?;
            return Some(u16::from_be_bytes([rtype[0], rtype[1]]));
        }
        if label > 63 {
            return None;
        }
    }
}

/// Sums of counters, each list complete and in a fixed order, for metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsCounts {
    /// Replies by the type of the question.
    pub types: Vec<(&'static str, u64)>,
    /// Replies by response code.
    pub rcodes: Vec<(&'static str, u64)>,
    /// Replies with TC set.
    pub truncated: u64,
    /// Datagrams handed to the general server.
    pub deferred: u64,
    /// What got no reply, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Datagrams that the kernel dropped because the socket's queue was full.
    pub overflowed: u64,
    /// Replies of the UDP threads, those of one batch in sixteen, by how long they took, class by class of [`ANSWER_BOUNDS`].
    pub answered: [u64; ANSWER_BOUNDS.len() + 1],
    /// What all of those took together, in microseconds.
    pub answering_micros: u64,
}

impl Default for DnsCounts {
    /// Nothing yet.
    fn default() -> Self {
        Self::new()
    }
}

impl DnsCounts {
    pub(crate) fn new() -> Self {
        Self {
            types: TYPES.iter().map(|(_, name)| *name).chain([OTHER]).map(|name| (name, 0)).collect(),
            rcodes: RCODES.iter().map(|name| (*name, 0)).collect(),
            truncated: 0,
            deferred: 0,
            dropped: Dropped::ALL.iter().map(|reason| (reason.label(), 0)).collect(),
            overflowed: 0,
            answered: [0; ANSWER_BOUNDS.len() + 1],
            answering_micros: 0,
        }
    }

    /// Adds what a cell has counted so far.
    pub(crate) fn add_cell(&mut self, cell: &Cell) {
        fn add(sums: &mut [(&str, u64)], counters: &[AtomicU64]) {
            for ((_, sum), counter) in sums.iter_mut().zip(counters) {
                *sum += counter.load(Ordering::Relaxed);
            }
        }
        add(&mut self.types, &cell.types);
        add(&mut self.rcodes, &cell.rcodes);
        add(&mut self.dropped, &cell.dropped);
        self.truncated += cell.truncated.load(Ordering::Relaxed);
        self.deferred += cell.deferred.load(Ordering::Relaxed);
        for (sum, counter) in self.answered.iter_mut().zip(&cell.answered) {
            *sum += counter.load(Ordering::Relaxed);
        }
        self.answering_micros += cell.answering.load(Ordering::Relaxed);
    }

    /// Adds other sums.
    pub fn add(&mut self, other: &Self) {
        fn add(sums: &mut [(&str, u64)], others: &[(&str, u64)]) {
            for ((_, sum), (_, other)) in sums.iter_mut().zip(others) {
                *sum += other;
            }
        }
        add(&mut self.types, &other.types);
        add(&mut self.rcodes, &other.rcodes);
        add(&mut self.dropped, &other.dropped);
        self.truncated += other.truncated;
        self.deferred += other.deferred;
        self.overflowed += other.overflowed;
        self.answered.iter_mut().zip(other.answered).for_each(|(sum, other)| *sum += other);
        self.answering_micros += other.answering_micros;
    }

    /// Replies sent, all together.
    pub fn replies(&self) -> u64 {
        self.rcodes.iter().map(|(_, count)| count).sum()
    }

    /// What was dropped for `reason`.
    pub fn dropped_for(&self, reason: Dropped) -> u64 {
        self.dropped[reason as usize].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_counts_once_by_type_and_code() {
        let cell = Cell::default();
        let mut reply = vec![0, 1, 0x86, 0x03, 0, 1, 0, 0, 0, 0, 0, 0, 3, b'w', b'w', b'w', 0, 0, 28, 0, 1];
        cell.reply(Writers::One, &reply);
        cell.reply(Writers::Many, &reply[..12]);
        reply[17] = 77;
        cell.reply(Writers::Many, &reply);
        let mut counts = DnsCounts::new();
        counts.add_cell(&cell);
        let counted = |list: &[(&'static str, u64)]| -> Vec<(&'static str, u64)> {
            list.iter().copied().filter(|(_, count)| *count > 0).collect()
        };
        assert_eq!(counted(&counts.types), [("AAAA", 1), ("other", 2)]);
        assert_eq!(counted(&counts.rcodes), [("NXDOMAIN", 3)]);
        assert_eq!((counts.truncated, counts.replies()), (3, 3));
    }

    #[test]
    fn replies_are_sorted_by_what_they_took() {
        let cell = Cell::default();
        cell.answered(Writers::One, 3, 10);
        cell.answered(Writers::One, 2, 11);
        cell.answered(Writers::Many, 1, 1_000_000);
        let mut counts = DnsCounts::new();
        counts.add_cell(&cell);
        let mut twice = counts.clone();
        twice.add(&counts);
        assert_eq!(counts.answered, [3, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((twice.answered[0], twice.answering_micros), (6, 2 * (30 + 22 + 1_000_000)));
    }

    #[test]
    fn every_reason_has_its_own_place() {
        let cell = Cell::default();
        for (place, reason) in Dropped::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            cell.dropped(Writers::One, reason);
        }
        let mut counts = DnsCounts::new();
        counts.add_cell(&cell);
        assert!(counts.dropped.iter().all(|(_, count)| *count == 1), "{:?}", counts.dropped);
        assert_eq!(counts.dropped_for(Dropped::Send), 1);
    }
}
