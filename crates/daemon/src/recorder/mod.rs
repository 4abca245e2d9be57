//! The flight recorder: the last heartbeats that this server sent and received, in memory, for whoever wants to know
//! afterwards what went over the wire in the second in which something happened.
//!
//! A ring for what was sent and received, and a smaller one for what was refused, so that a stranger's flood does not push
//! out the members' heartbeats. Each is allocated once. Writing one down is four stores: no lock, no allocation, no system
//! call. The newest [`HEARTBEATS`] are there: of three servers with two paths and 50 ms about 40 seconds. When an incident
//! begins they are copied to the disk (`keep`).
//!
//! Invariants: one thread writes, the driver's. What a reader may have caught half overwritten is left out.
//!
//! Deliberately not here: the datagrams' content, which is sealed; deciding anything by it.

pub(crate) mod keep;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering, fence},
    },
    time::Duration,
};

use model::{BootId, Instant, ServerName, net::Path};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Heartbeats that are remembered, sent and received together: 256 KiB.
pub const HEARTBEATS: usize = 8192;
/// The same for what was refused.
const REFUSED: usize = 512;
/// Runs whose server is remembered.
const RUNS: usize = 256;
/// The oldest of a ring that a reader leaves out: the writer may be at them.
const MARGIN: u64 = 8;
/// Magic, version and key's id, then the run (16), then the number (8); see `cluster::wire`.
const RUN: usize = 6;
const NUMBER: usize = 22;
const RELAYED: u8 = b'R';

/// What became of a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Sent.
    Sent,
    /// The kernel did not take it.
    NotSent,
    /// Received, and news: the first copy of it.
    Fresh,
    /// Received, and known already: over another path, or relayed. Or the echo of an own broadcast.
    Repeated,
    /// Received, and not believed.
    Refused,
}

/// One heartbeat, sent or received.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// When, in microseconds since 1970.
    pub at_us: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Which way it went, or came.
    pub path: String,
    /// To whom, or from whom; none: to everybody on the link, or it is not known.
    pub peer: Option<String>,
    /// Its number in its sender's run.
    pub number: u64,
    /// Another server forwarded it.
    pub relayed: bool,
    /// So many microseconds after its time was it sent, or handled the deadline before it.
    pub late_us: u32,
}

/// Cheap to share.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    heartbeats: Ring,
    refused: Ring,
    names: Mutex<Names>,
}

/// Who is who, for readers.
#[derive(Clone, Debug, Default)]
struct Names {
    peers: BTreeMap<u64, ServerName>,
    runs: VecDeque<(u64, ServerName)>,
}

/// Time, number, who, and the rest: lateness in the upper half, then path, relayed, outcome.
type Slot = [u64; 4];

#[derive(Debug)]
struct Ring {
    /// How many were ever written.
    count: AtomicU64,
    slots: Box<[[AtomicU64; 4]]>,
}

impl Ring {
    fn new(length: usize) -> Self {
        let slots = std::iter::repeat_with(<[AtomicU64; 4]>::default).take(length).collect();
        Self { count: AtomicU64::new(0), slots }
    }

    fn push(&self, slot: Slot) {
        let count = self.count.load(Ordering::Relaxed);
        for (word, value) in self.slots[count as usize % self.slots.len()].iter().zip(slot) {
            word.store(value, Ordering::Relaxed);
        }
        self.count.store(count + 1, Ordering::Release);
    }

    fn read(&self) -> Vec<Slot> {
        let length = self.slots.len() as u64;
        let end = self.count.load(Ordering::Acquire);
        let slot = |at: u64| {
            let words = &self.slots[(at % length) as usize];
            (at, [0, 1, 2, 3].map(|word: usize| words[word].load(Ordering::Relaxed)))
        };
        let read: Vec<_> = (end.saturating_sub(length)..end).map(slot).collect();
        fence(Ordering::Acquire);
        let safe = (self.count.load(Ordering::Relaxed) + MARGIN).saturating_sub(length);
        read.into_iter().filter(|(at, _)| *at >= safe).map(|(_, slot)| slot).collect()
    }
}

/// What is known of a datagram without opening it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    run: u64,
    number: u64,
    relayed: bool,
    path: Path,
}

impl Seen {
    /// A datagram that came from somewhere, or goes somewhere.
    pub(crate) fn of(path: Path, datagram: &[u8]) -> Self {
        let relayed = datagram.first() == Some(&RELAYED);
        let header = if relayed { &datagram[1..] } else { datagram };
        let word =
            |at: usize| header.get(at..).and_then(|bytes| bytes.first_chunk().copied()).map_or(0, u64::from_be_bytes);
        Self { run: word(RUN), number: word(NUMBER), relayed, path }
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self(Arc::new(Inside {
            heartbeats: Ring::new(HEARTBEATS),
            refused: Ring::new(REFUSED),
            names: Mutex::default(),
        }))
    }
}

impl Recorder {
    /// A datagram was received, and judged.
    pub(crate) fn received(&self, now: Instant, seen: Seen, outcome: Outcome, late: Duration) {
        let ring = if outcome == Outcome::Refused { &self.0.refused } else { &self.0.heartbeats };
        ring.push(slot(now, seen, seen.run, outcome, late));
    }

    /// A datagram was sent to an address, or on the links.
    pub(crate) fn sent(&self, now: Instant, to: Option<SocketAddr>, datagram: &[u8], well: bool, late: Duration) {
        let path = if to.is_some() { Path::Udp } else { Path::Ethernet };
        let outcome = if well { Outcome::Sent } else { Outcome::NotSent };
        self.0.heartbeats.push(slot(now, Seen::of(path, datagram), to.map_or(0, brief), outcome, late));
    }

    /// Where each server receives heartbeats.
    pub(crate) fn know_peers(&self, peers: &BTreeMap<ServerName, SocketAddr>) {
        self.names().peers = peers.iter().map(|(name, address)| (brief(*address), name.clone())).collect();
    }

    /// Whose run it is.
    pub(crate) fn know_run(&self, boot: &BootId, server: &ServerName) {
        let mut names = self.names();
        if names.runs.len() == RUNS {
            names.runs.pop_front();
        }
        names.runs.push_back((run(boot), server.clone()));
    }

    fn names(&self) -> std::sync::MutexGuard<'_, Names> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is from `since_us` on and before `until_us`, in microseconds since 1970, the oldest first. `now` and
    /// `wall_us` are one moment by both clocks.
    pub(crate) fn between(&self, since_us: u64, until_us: u64, (now, wall_us): (Instant, u64)) -> Vec<Heartbeat> {
        let names = self.names().clone();
        let mut all = self.0.heartbeats.read();
        all.extend(self.0.refused.read());
        let mut heartbeats: Vec<Heartbeat> = all
            .into_iter()
            .map(|slot| {
                let ago = now.since(Instant::from_nanos(slot[0])).as_micros();
                read(slot, wall_us.saturating_sub(u64::try_from(ago).unwrap_or(u64::MAX)), &names)
            })
            .filter(|heartbeat| (since_us..until_us).contains(&heartbeat.at_us))
            .collect();
        heartbeats.sort_by_key(|heartbeat| heartbeat.at_us);
        heartbeats
    }

    /// Writes down `count` heartbeats as the driver does: for the bench alone.
    #[doc(hidden)]
    pub fn exercise(&self, count: u64) {
        let datagram = [0_u8; 200];
        for number in 0..count {
            let seen = Seen::of(Path::Udp, &datagram);
            self.received(Instant::from_nanos(number), seen, Outcome::Fresh, Duration::ZERO);
        }
    }
}

fn slot(now: Instant, seen: Seen, who: u64, outcome: Outcome, late: Duration) -> Slot {
    let late = u64::from(u32::try_from(late.as_micros()).unwrap_or(u32::MAX));
    let path = match seen.path {
        Path::Udp => 0,
        Path::Ethernet => 1,
    };
    let outcome = match outcome {
        Outcome::Sent => 0,
        Outcome::NotSent => 1,
        Outcome::Fresh => 2,
        Outcome::Repeated => 3,
        Outcome::Refused => 4,
    };
    [now.as_nanos(), seen.number, who, late << 32 | path << 16 | u64::from(seen.relayed) << 8 | outcome]
}

fn read([_, number, who, rest]: Slot, at_us: u64, names: &Names) -> Heartbeat {
    let outcome = match rest & 0xff {
        0 => Outcome::Sent,
        1 => Outcome::NotSent,
        2 => Outcome::Fresh,
        3 => Outcome::Repeated,
        _ => Outcome::Refused,
    };
    let peer = match outcome {
        Outcome::Sent | Outcome::NotSent => names.peers.get(&who),
        Outcome::Fresh | Outcome::Repeated | Outcome::Refused => {
            names.runs.iter().rev().find(|(run, _)| *run == who).map(|(_, server)| server)
        }
    };
    let path = if rest >> 16 & 1 == 0 { Path::Udp } else { Path::Ethernet };
    Heartbeat {
        at_us,
        outcome,
        path: path.word().to_owned(),
        peer: peer.map(ServerName::to_string),
        number,
        relayed: rest >> 8 & 1 == 1,
        late_us: u32::try_from(rest >> 32).unwrap_or(u32::MAX),
    }
}

/// The first half of a run's id tells it apart from others here.
fn run(boot: &BootId) -> u64 {
    boot.0.first_chunk().copied().map_or(0, u64::from_be_bytes)
}

/// An address in 64 bits: two of one cluster are never alike in what is left out.
fn brief(address: SocketAddr) -> u64 {
    let host = match address.ip() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() as u64) ^ (ip.to_bits() >> 64) as u64,
    };
    host.rotate_left(16) ^ u64::from(address.port())
}

/// How a received datagram was judged, from what the core has counted: whose it was is the core's secret.
pub(crate) const fn judged(before: (u64, u64), after: (u64, u64)) -> Outcome {
    match (after.0 > before.0, after.1 > before.1) {
        (true, false) => Outcome::Fresh,
        (true, true) => Outcome::Repeated,
        (false, _) => Outcome::Refused,
    }
}
