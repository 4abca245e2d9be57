//! A client that asks once a millisecond and measures how long there was no answer.
//!
//! A gap lasts from the last good answer before it to the first good answer after it, by the time they arrived. The
//! client knows nothing of what answers; it counts only answers to its own questions (RFC 5452 section 4: address, port
//! and ID; the question's name for DNS).

use std::{
    io,
    net::{Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::Host;

/// Time between two questions.
pub const INTERVAL: Duration = Duration::from_millis(1);
/// How long the receiver sleeps at most before it looks whether to stop.
const GLANCE: Duration = Duration::from_millis(50);
/// Longest answer that is looked at, in bytes.
const LONGEST_ANSWER: usize = 4096;
/// RD in the third byte of a query (RFC 1035 section 4.1.1).
const RECURSION_DESIRED: u8 = 1;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// A datagram that [`super::web::Web`] sends back with its name behind it.
    Echo,
    /// A DNS query, as bytes; its ID is replaced. Any answer with rcode NOERROR counts.
    Dns(Vec<u8>),
}

impl Question {
    /// A query for `name` (in ordinary notation, without escapes) and a record type's number, class IN, recursion desired
    /// as stub resolvers ask. `None` if that is no name (RFC 1035 section 2.3.4).
    pub fn dns(name: &str, record_type: u16) -> Option<Self> {
        let mut query = vec![0, 0, RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.trim_end_matches('.').split('.').filter(|_| name != ".") {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
            query.push(length);
            query.extend_from_slice(label.as_bytes());
        }
        query.push(0);
        if query.len() > 12 + 255 {
            return None;
        }
        query.extend_from_slice(&record_type.to_be_bytes());
        query.extend_from_slice(&[0, 1]);
        Some(Self::Dns(query))
    }

    /// The datagram with number `sequence`.
    fn datagram(&self, sequence: u64) -> Vec<u8> {
        match self {
            Self::Echo => sequence.to_be_bytes().to_vec(),
            Self::Dns(query) => {
                let mut query = query.clone();
                query[..2].copy_from_slice(&(sequence as u16).to_be_bytes());
                query
            }
        }
    }

    /// Who answered (nothing for DNS), if `answer` is a good one to a question up to number `asked`.
    fn check(&self, answer: &[u8], asked: u64) -> Option<String> {
        match self {
            Self::Echo => {
                let (sequence, name) = answer.split_first_chunk()?;
                let fits = u64::from_be_bytes(*sequence) < asked;
                fits.then(|| String::from_utf8_lossy(name).into_owned())
            }
            Self::Dns(query) => {
                let sequence = u16::from_be_bytes([*answer.first()?, *answer.get(1)?]);
                let response = answer.get(2)? & 0x80 != 0 && answer.get(3)? & 0x0f == 0;
                let same = answer.get(12..query.len())? == &query[12..];
                (response && same && (asked > u64::from(u16::MAX) || u64::from(sequence) < asked)).then(String::new)
            }
        }
    }
}

/// A time without answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The last answer before it.
    pub from: Instant,
    /// The first answer after it.
    pub to: Instant,
}

impl Gap {
    /// How long it was.
    pub fn length(&self) -> Duration {
        self.to.duration_since(self.from)
    }
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Questions sent.
    pub asked: u64,
    /// Good answers that arrived, each one with its time and who gave it, if that is known.
    pub answers: Vec<(Instant, Arc<str>)>,
}

impl Report {
    /// The longest gap that began or ended at `since` or later, `None` if fewer than two answers came.
    pub fn longest_gap(&self, since: Instant) -> Option<Gap> {
        let gaps = self.answers.windows(2).map(|pair| Gap { from: pair[0].0, to: pair[1].0 });
        gaps.filter(|gap| gap.to >= since).max_by_key(Gap::length)
    }
}

#[derive(Default)]
struct Shared {
    report: Mutex<Report>,
    answered: Condvar,
    stop: AtomicBool,
}

impl Shared {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A running client; it stops when dropped.
pub struct Probe {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Probe {
    /// Begins to ask `target` from `host`.
    pub fn start(host: &Host, target: SocketAddr, question: Question) -> io::Result<Self> {
        let open = || {
            let any = if target.is_ipv4() { SocketAddr::from(([0; 4], 0)) } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
            let socket = UdpSocket::bind(any)?;
            socket.connect(target)?;
            socket.set_read_timeout(Some(GLANCE))?;
            io::Result::Ok(socket)
        };
        let receiving = host.run(open).flatten()?;
        let sending = receiving.try_clone()?;
        let mut probe = Self { shared: Arc::default(), threads: Vec::new() };
        let (shared, asked) = (Arc::clone(&probe.shared), question.clone());
        let receive = thread::Builder::new().name("probe-receive".to_owned());
        probe.threads.push(receive.spawn(move || receive_answers(&receiving, &asked, &shared))?);
        let shared = Arc::clone(&probe.shared);
        let send = thread::Builder::new().name("probe-send".to_owned());
        probe.threads.push(send.spawn(move || send_questions(&sending, &question, &shared))?);
        Ok(probe)
    }

    /// Waits for the next answer that satisfies `wanted` (by who gave it) and came after `since`, at most `patience`.
    pub fn wait_for(&self, since: Instant, patience: Duration, wanted: impl Fn(&str) -> bool) -> Option<Instant> {
        let deadline = Instant::now() + patience;
        let mut report = self.shared.report();
        loop {
            let fresh = report.answers.iter().rev().take_while(|(time, _)| *time > since);
            if let Some((time, _)) = fresh.filter(|(_, who)| wanted(who)).last() {
                return Some(*time);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let woken = self.shared.answered.wait_timeout(report, left);
            report = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What was measured so far.
    pub fn report(&self) -> Report {
        self.shared.report().clone()
    }

    /// Ends it and returns what was measured.
    pub fn stop(mut self) -> Report {
        self.end();
        std::mem::take(&mut *self.shared.report())
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there has been printed already.
            drop(thread.join());
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.end();
    }
}

fn send_questions(socket: &UdpSocket, question: &Question, shared: &Shared) {
    let start = Instant::now();
    while !shared.stopping() {
        let sequence = {
            let mut report = shared.report();
            report.asked += 1;
            report.asked - 1
        };
        // Refused, unreachable, no room: what matters is the answer that does not come.
        let _ = socket.send(&question.datagram(sequence));
        // Against the start, so that a late question does not delay all that follow; after a long pause ask only once.
        let ticks = start.elapsed().as_nanos() / INTERVAL.as_nanos() + 1;
        let next = start + INTERVAL * u32::try_from(ticks).unwrap_or(u32::MAX);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn receive_answers(socket: &UdpSocket, question: &Question, shared: &Shared) {
    let mut buffer = [0; LONGEST_ANSWER];
    let mut last: Arc<str> = "".into();
    while !shared.stopping() {
        // Silence, or an ICMP error about a question.
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let now = Instant::now();
        let mut report = shared.report();
        if let Some(who) = question.check(&buffer[..length], report.asked) {
            if *last != *who {
                last = who.into();
            }
            report.answers.push((now, Arc::clone(&last)));
            shared.answered.notify_all();
        }
    }
}
