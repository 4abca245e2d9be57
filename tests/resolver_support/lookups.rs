//! A client that looks a fresh name up every few milliseconds, whether the lookups before have ended or not, so that
//! what waits delays no question that follows (no coordinated omission).

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use hickory_proto::{op::Message, rr::RData};
use host::lab::{Host, probe::Question};

/// Between two lookups.
const INTERVAL: Duration = Duration::from_millis(5);
/// How long the receiver sleeps at most before it looks whether to stop.
const GLANCE: Duration = Duration::from_millis(50);
const A: u16 = 1;

/// One lookup.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub name: String,
    pub asked: Instant,
    /// How long it took, the response code and the addresses, in order; nothing as long as there was no answer.
    pub answer: Option<(Duration, u16, Vec<IpAddr>)>,
}

#[derive(Default)]
struct Shared {
    /// Every lookup, in the order in which they were asked; a query's ID is the end of its place's number.
    lookups: Mutex<Vec<Lookup>>,
    answered: Condvar,
    stop_asking: AtomicBool,
    stop_hearing: AtomicBool,
}

impl Shared {
    fn lookups(&self) -> MutexGuard<'_, Vec<Lookup>> {
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running client; it stops when dropped.
pub(crate) struct Lookups {
    shared: Arc<Shared>,
    asking: Option<JoinHandle<()>>,
    hearing: Option<JoinHandle<()>>,
}

impl Lookups {
    /// Begins to ask `resolver` from `host` for the A records of `PREFIXnumber.SUFFIX`.
    pub(crate) fn start(host: &Host, resolver: IpAddr, prefix: &str, suffix: &str) -> Self {
        let open = || {
            let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("a socket");
            socket.connect(SocketAddr::new(resolver, 53)).expect("an address here");
            socket.set_read_timeout(Some(GLANCE)).expect("a valid timeout");
            socket
        };
        let hearing = host.run(open).expect("a thread");
        let asking = hearing.try_clone().expect("a descriptor");
        let shared = Arc::<Shared>::default();
        let (asker, hearer) = (Arc::clone(&shared), Arc::clone(&shared));
        let name = {
            let (prefix, suffix) = (prefix.to_owned(), suffix.to_owned());
            move |number| format!("{prefix}{number}.{suffix}")
        };
        let asking = thread::spawn(move || ask(&asking, name, &asker));
        let hearing = thread::spawn(move || hear(&hearing, &hearer));
        Self { shared, asking: Some(asking), hearing: Some(hearing) }
    }

    /// Waits until `count` lookups that begin from now on are answered, at most `patience`; whether they were.
    pub(crate) fn await_more(&self, count: usize, patience: Duration) -> bool {
        let begun = self.shared.lookups().len();
        self.await_that(patience, |lookups| {
            lookups.get(begun..).unwrap_or_default().iter().filter(|lookup| lookup.answer.is_some()).count() >= count
        })
    }

    /// Asks no more, waits for the answers that are still to come, at most `patience` long, and returns all lookups.
    pub(crate) fn stop(mut self, patience: Duration) -> Vec<Lookup> {
        self.stop_asking();
        self.await_that(patience, |lookups| lookups.iter().all(|lookup| lookup.answer.is_some()));
        std::mem::take(&mut *self.shared.lookups())
    }

    fn await_that(&self, patience: Duration, wanted: impl Fn(&[Lookup]) -> bool) -> bool {
        let guard = self.shared.lookups();
        let waited = self.shared.answered.wait_timeout_while(guard, patience, |lookups| !wanted(lookups));
        let (lookups, _) = waited.unwrap_or_else(PoisonError::into_inner);
        wanted(&lookups)
    }

    fn stop_asking(&mut self) {
        self.shared.stop_asking.store(true, Ordering::Relaxed);
        if let Some(asking) = self.asking.take() {
            // A panic there has been printed already.
            drop(asking.join());
        }
    }
}

impl Drop for Lookups {
    fn drop(&mut self) {
        self.stop_asking();
        self.shared.stop_hearing.store(true, Ordering::Relaxed);
        if let Some(hearing) = self.hearing.take() {
            drop(hearing.join());
        }
    }
}

fn ask(socket: &UdpSocket, name: impl Fn(usize) -> String, shared: &Shared) {
    let start = Instant::now();
    for number in 0.. {
        if shared.stop_asking.load(Ordering::Relaxed) {
            return;
        }
        let name = name(number);
        let Some(Question::Dns(mut query)) = Question::dns(&name, A) else { unreachable!("{name} is a name") };
        query[..2].copy_from_slice(&(number as u16).to_be_bytes());
        shared.lookups().push(Lookup { name, asked: Instant::now(), answer: None });
        socket.send(&query).expect("loopback loses nothing");
        let next = start + INTERVAL * u32::try_from(number + 1).expect("a test ends before");
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn hear(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 4096];
    while !shared.stop_hearing.load(Ordering::Relaxed) {
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let now = Instant::now();
        let message = Message::from_vec(&buffer[..length]).expect("a resolver sends DNS");
        let mut lookups = shared.lookups();
        // The newest lookup with this ID: IDs come again after 65,536, and by then the older one is answered or lost.
        let newest = lookups.len() - 1;
        let back = usize::from((newest as u16).wrapping_sub(message.metadata.id));
        let Some(place) = newest.checked_sub(back) else { continue };
        let addresses = message.answers.iter().filter_map(|record| match &record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            _ => None,
        });
        let mut addresses: Vec<IpAddr> = addresses.collect();
        addresses.sort();
        let code = u16::from(message.metadata.response_code);
        let lookup = &mut lookups[place];
        lookup.answer.get_or_insert((now - lookup.asked, code, addresses));
        shared.answered.notify_all();
    }
}
