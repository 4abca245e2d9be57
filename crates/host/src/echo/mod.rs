//! Witnesses beyond a router, asked by ICMP echo.
//!
//! One thread has a raw socket for each address that it asks from, opened when it is first needed, and waits on them and on
//! [`Echo`]'s mailbox at the same time. Raw, not the kernel's ping sockets: those are refused by default
//! (`net.ipv4.ping_group_range`), and who may use ARP may use these.
//!
//! Invariants: no call waits. Each question is answered by one [`Report::Witness`] within its patience; what cannot be sent
//! is silence, which means unreachable. It is sent three times, so that one lost packet is not taken for an outage. A reply
//! counts only from the address that was asked, with the identifier of this run, a sequence number that was sent and is still
//! waited for, and the question's random token. The mailbox is bounded by the witnesses that are configured: one who is
//! asked for twice before the thread gets to it is asked once. Open questions are bounded by `OPEN`, the oldest of which
//! end as silence. A filter in the kernel lets nothing but replies with our identifier through.
//!
//! Deliberately not here: which witness is asked so, and what its silence means (`cluster`); witnesses on the link (`wire`).

mod packet;
mod size;

use std::{
    collections::BTreeMap,
    io, mem,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use model::Instant;
use socket2::{Domain, Protocol, Socket, Type};

use self::packet::LENGTH;
pub use self::size::size_passes;
use crate::{
    Report, Sink, clock, confine, entropy, schedule,
    wake::{Wake, poll, readable},
};

/// Requests for one question.
const REQUESTS: u16 = 3;
/// Questions open at a time.
const OPEN: usize = 64;
/// Sockets open at a time; before another one all are closed.
const SOCKETS: usize = 8;
/// Packets taken at a time.
const AT_A_TIME: usize = 64;

/// The thread. It ends when this is dropped; open questions stay unanswered then.
#[derive(Debug)]
pub struct Echo {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    mailbox: Mutex<Mailbox>,
    wake: Wake,
}

#[derive(Default, Debug)]
struct Mailbox {
    /// From where, and for how long.
    ask: BTreeMap<IpAddr, (Option<IpAddr>, Duration)>,
    stop: bool,
}

impl Echo {
    /// Starts the thread; no socket is open yet.
    ///
    /// # Errors
    ///
    /// The kernel gives no thread, descriptor or random number.
    pub fn start(sink: Sink) -> io::Result<Self> {
        let shared = Arc::new(Shared { mailbox: Mutex::default(), wake: Wake::new()? });
        let [a, b, ..] = entropy::boot_id()?.0;
        let engine = Engine {
            shared: Arc::clone(&shared),
            sink,
            identifier: u16::from_be_bytes([a, b]),
            sequence: 0,
            sockets: BTreeMap::new(),
            open: Vec::new(),
            complained: false,
        };
        let thread = Builder::new().name("standin-echo".into()).spawn(move || engine.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks a witness from this address of ours, else from one of the kernel's choice; [`Report::Witness`] within
    /// `patience`.
    pub fn ask_witness(&self, witness: IpAddr, from: Option<IpAddr>, patience: Duration) {
        self.shared.lock().ask.insert(witness, (from, patience));
        self.shared.wake.ring();
    }

    /// Ends the thread. Nothing is reported after this returns.
    pub fn stop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.ring();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told so already; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is IPv4, and the address asked from.
type Asker = (bool, Option<IpAddr>);

/// A witness that is being asked.
#[derive(Debug)]
struct Question {
    witness: IpAddr,
    from: Asker,
    token: [u8; 8],
    /// The sequence numbers sent so far.
    sent: Vec<u16>,
    next: Instant,
    spacing: Duration,
    until: Instant,
}

/// What the thread owns.
struct Engine {
    shared: Arc<Shared>,
    sink: Sink,
    identifier: u16,
    sequence: u16,
    sockets: BTreeMap<Asker, Socket>,
    open: Vec<Question>,
    /// That nothing can be sent has been told.
    complained: bool,
}

impl Engine {
    fn run(mut self) {
        confine::this_thread();
        // An answer that waits behind a busy machine's work looks like a dead witness. Refused without the privilege, harmlessly.
        let _ = schedule::prefer_this_thread();
        loop {
            let mail = mem::take(&mut *self.shared.lock());
            if mail.stop {
                return;
            }
            for (witness, (from, patience)) in mail.ask {
                self.begin(witness, from, patience);
            }
            self.send_due();
            if let Err(error) = self.wait() {
                tracing::error!(%error, "the thread that asks witnesses cannot wait and ends");
                return;
            }
            let now = clock::now();
            let silent = self.open.extract_if(.., |question| question.until <= now);
            silent.for_each(|question| (self.sink)(Report::Witness { address: question.witness, reachable: false }));
        }
    }

    fn begin(&mut self, witness: IpAddr, from: Option<IpAddr>, patience: Duration) {
        if self.open.len() == OPEN {
            let address = self.open.remove(0).witness;
            (self.sink)(Report::Witness { address, reachable: false });
        }
        let now = clock::now();
        let token = entropy::spread().to_ne_bytes();
        let from = (witness.is_ipv4(), from);
        let spacing = patience / u32::from(REQUESTS);
        self.open.push(Question { witness, from, token, sent: Vec::new(), next: now, spacing, until: now + patience });
    }

    fn send_due(&mut self) {
        let now = clock::now();
        let (identifier, mut open) = (self.identifier, mem::take(&mut self.open));
        let due = |question: &&mut Question| question.next <= now && question.sent.len() < usize::from(REQUESTS);
        for question in open.iter_mut().filter(due) {
            self.sequence = self.sequence.wrapping_add(1);
            let sequence = self.sequence;
            question.next = now + question.spacing;
            question.sent.push(sequence);
            let request =
                packet::request(question.witness, packet::Echo { identifier, sequence, token: question.token });
            if let Err(error) = self.send(question, &request) {
                // It may have been opened for an address that is gone.
                self.sockets.remove(&question.from);
                if !mem::replace(&mut self.complained, true) {
                    tracing::warn!(witness = %question.witness, %error, "a witness beyond the link cannot be asked");
                }
            } else {
                self.complained = false;
            }
        }
        self.open = open;
    }

    fn send(&mut self, question: &Question, request: &[u8]) -> io::Result<()> {
        if !self.sockets.contains_key(&question.from) {
            if self.sockets.len() == SOCKETS {
                self.sockets.clear();
            }
            self.sockets.insert(question.from, socket(question.from, self.identifier)?);
        }
        let socket = self.sockets.get(&question.from).expect("just opened");
        socket.send_to(request, &SocketAddr::new(question.witness, 0).into()).map(drop)
    }

    /// Waits for mail, replies, or the next deadline; takes the replies in.
    fn wait(&mut self) -> io::Result<()> {
        let mut fds: Vec<_> = self.sockets.values().map(|socket| readable(socket.as_raw_fd())).collect();
        fds.push(readable(self.shared.wake.fd()));
        let timeout = self.open.iter().map(Question::deadline).min().map_or(-1, |deadline| {
            let span = deadline.since(clock::now()).as_nanos().div_ceil(1_000_000);
            libc::c_int::try_from(span).unwrap_or(libc::c_int::MAX)
        });
        poll(&mut fds, timeout)?;
        self.shared.wake.hush();
        let ready = self.sockets.values().zip(&fds).filter(|(_, fd)| fd.revents != 0);
        let replies: Vec<_> = ready.flat_map(|(socket, _)| receive(socket)).collect();
        replies.into_iter().for_each(|(from, echo)| self.take(from, echo));
        Ok(())
    }

    fn take(&mut self, from: IpAddr, echo: packet::Echo) {
        let identifier = self.identifier;
        let answers = |question: &mut Question| {
            question.witness == from
                && echo.identifier == identifier
                && echo.token == question.token
                && question.sent.contains(&echo.sequence)
        };
        let answered = self.open.extract_if(.., answers);
        answered.for_each(|question| (self.sink)(Report::Witness { address: question.witness, reachable: true }));
    }
}

impl Question {
    fn deadline(&self) -> Instant {
        if self.sent.len() < usize::from(REQUESTS) { self.next.min(self.until) } else { self.until }
    }
}

/// Bound before anything is sent, so that replies to others are not kept either.
fn socket((v4, from): Asker, identifier: u16) -> io::Result<Socket> {
    let (domain, protocol) = if v4 { (Domain::IPV4, Protocol::ICMPV4) } else { (Domain::IPV6, Protocol::ICMPV6) };
    let socket = Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(protocol))?;
    socket.attach_filter(&packet::filter(v4, identifier))?;
    if let Some(from) = from {
        // The kernel reads an address of the other family as none at all.
        if from.is_ipv4() != v4 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    Ok(socket)
}

/// The replies that have arrived. Whatever else a read says, such as a refusal on the way, is silence.
fn receive(socket: &Socket) -> Vec<(IpAddr, packet::Echo)> {
    // Of a longer packet the rest is cut off, and it is no reply to us then.
    let mut replies = Vec::new();
    for _ in 0..AT_A_TIME {
        let mut buffer = [mem::MaybeUninit::uninit(); 60 + LENGTH + 1];
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { break };
        // SAFETY: the kernel has filled so many bytes.
        let packet: Vec<u8> = buffer[..length].iter().map(|byte| unsafe { byte.assume_init() }).collect();
        let from = from.as_socket().map(|from| from.ip());
        replies.extend(from.and_then(|from| Some((from, packet::reply(from, &packet)?))));
    }
    replies
}
