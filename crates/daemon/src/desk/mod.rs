//! The desk where edits are handed in: the document in this server's state directory, its disk, and what it puts in force.
//!
//! One thread, `standin-desk`, has it all; others `Handle::ask` it, through a queue of `DEPTH`. What is asked beyond that is
//! refused, and so is everything in file mode, where there is no desk.
//!
//! Invariants: nothing is acknowledged, to a person or to a peer, that is not on the disk; what cannot be kept is taken back;
//! what comes into force is announced whole, the newest alone (`Handle::force`).
//!
//! Deliberately not here: who may edit what (`admin`); the transport between servers (`link`), which brings a stream and a
//! name ([`converse`]).

pub mod api;
mod confirm;
pub mod converse;
mod edit;
mod newcomers;
pub(crate) mod plan;
pub(crate) mod suppose;

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::ArcSwap;
use dns::{CookieSecrets, Zones};
use document::{ChangeHash, Document, Incarnation, Ledger, Session, settle::Settled};
use host::store::{Directory, Store};
use model::{Instant, ServerName, event::Event};
use tokio::sync::{oneshot, watch};

use self::confirm::Pending;
pub(crate) use self::edit::EditError;

/// Requests that may wait.
const DEPTH: usize = 64;
/// The thread looks at its deadlines at least so often.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// What is new is compiled when nobody has asked for anything for so long, or after so many requests: peers ask what is new, and
/// have as much to do with it as this server has.
const GRACE: Duration = Duration::from_micros(500);
const AT_MOST: usize = 16;
/// After so long without a request there is time to write the log anew.
const QUIET: Duration = Duration::from_secs(2);

/// What the document puts in force, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Force {
    /// Configuration, objects, what is held.
    pub settled: Arc<Settled>,
    /// The zones.
    pub zones: Arc<Zones>,
}

/// What the status tells of the document.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Summary {
    /// Clashing objects.
    pub clashes: Vec<String>,
    /// Objects that are not in force as they are.
    pub held: Vec<String>,
    /// Whether an edit waits to be confirmed.
    pub unconfirmed: bool,
    /// The disk does not keep what it is given.
    pub failing: bool,
}

/// The document and everything that belongs to it.
pub struct Desk {
    this: ServerName,
    ledger: Ledger,
    store: Store<Directory>,
    state_dir: std::path::PathBuf,
    cookies: CookieSecrets,
    sessions: BTreeMap<u64, (ServerName, Session)>,
    next_session: u64,
    pending: Option<Pending>,
    force: watch::Sender<Force>,
    /// Counts what was edited or heard: whoever waits for news of either waits here.
    news: watch::Sender<u64>,
    summary: Arc<ArcSwap<Summary>>,
    tell: Tell,
}

/// Where events go.
pub(crate) type Tell = Arc<dyn Fn(Event) + Send + Sync>;
type Job = Box<dyn FnOnce(&mut Desk) + Send>;

/// For everybody who asks something of the desk.
#[derive(Clone)]
pub struct Handle {
    jobs: SyncSender<Job>,
    /// What is in force by the document, as it changes.
    pub(crate) force: watch::Receiver<Force>,
    /// What is edited or heard.
    pub(crate) news: watch::Receiver<u64>,
    /// For the status.
    pub(crate) summary: Arc<ArcSwap<Summary>>,
    /// The digest of the configuration that the driver was last given; whoever gives it tells.
    pub(crate) applied: Arc<watch::Sender<u64>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("this", &self.this).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// The desk did not take a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Busy {
    /// `DEPTH` wait already.
    #[error("too many requests about the configuration wait already: try again")]
    Full,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Ended,
}

impl Handle {
    /// Has the desk's thread do something, and gives what came of it.
    ///
    /// # Errors
    /// [`Busy`]; nothing was done then.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Desk) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |desk| {
            let _gone = reply.send(job(desk));
        });
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Busy::Full,
            TrySendError::Disconnected(_) => Busy::Ended,
        })?;
        answer.await.map_err(|_| Busy::Ended)
    }

    /// The same for what needs no answer, and may be left undone.
    fn tell(&self, job: impl FnOnce(&mut Desk) + Send + 'static) {
        let _full = self.jobs.try_send(Box::new(job));
    }
}

/// Why there is no desk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The disk's.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// What is on it is no document, or no document that checks.
    #[error("{0}")]
    Document(String),
}

impl Desk {
    /// Opens the document in `state_dir`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(this: &ServerName, state_dir: &Path, cookies: CookieSecrets) -> Result<Self, OpenError> {
        let (store, recovered) = Store::open(Directory::open(state_dir)?)?;
        if recovered.cut > 0 {
            tracing::warn!(
                bytes = recovered.cut,
                "the document's log had a torn end, of a change that nobody was told of; it is cut, and kept as document.cut"
            );
        }
        let incarnation = Incarnation(host::entropy::boot_id()?.0);
        let document = Document::load(incarnation, recovered.chunks.iter().map(Vec::as_slice))
            .map_err(|error| OpenError::Document(error.to_string()))?;
        let ledger = Ledger::new(document).map_err(|mistakes| drawn(&mistakes))?;
        let force = compile(&ledger, cookies);
        let mut desk = Self {
            this: this.clone(),
            ledger,
            store,
            state_dir: state_dir.to_owned(),
            cookies,
            sessions: BTreeMap::new(),
            next_session: 0,
            pending: None,
            force: watch::Sender::new(force),
            news: watch::Sender::new(0),
            summary: Arc::default(),
            tell: Arc::new(|_| {}),
        };
        desk.resume_pending();
        desk.summarize();
        Ok(desk)
    }

    /// Starts its thread, which ends when the last handle is gone. Events go to `tell`, which may wait for room.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub(crate) fn start(mut self, tell: Tell) -> io::Result<(Handle, JoinHandle<()>)> {
        self.tell = tell;
        let (jobs, waiting) = sync_channel(DEPTH);
        let handle = Handle {
            jobs,
            force: self.force.subscribe(),
            news: self.news.subscribe(),
            summary: self.summary.clone(),
            applied: Arc::new(watch::Sender::new(self.digest())),
        };
        let thread = thread::Builder::new().name("standin-desk".into()).spawn(move || self.run(&waiting))?;
        Ok((handle, thread))
    }

    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let now = host::clock::now();
            let due = self.pending_due().map_or(LONGEST_WAIT, |due| due.since(now));
            let wait = due.min(if self.store.has_grown() { QUIET } else { LONGEST_WAIT });
            match jobs.recv_timeout(wait) {
                Ok(job) => {
                    job(&mut self);
                    self.serve_first(jobs);
                    self.bring_into_force();
                    if self.store.needs_whole() || self.store.has_outgrown() {
                        self.compact();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.rest(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.undo_overdue(host::clock::now());
            self.bring_into_force();
        }
    }

    /// Whoever asks while there is something to compile is served before that.
    fn serve_first(&mut self, jobs: &Receiver<Job>) {
        for _ in 0..AT_MOST {
            let next = if self.is_in_force() { None } else { jobs.recv_timeout(GRACE).ok() };
            let Some(job) = next else { return };
            job(self);
        }
    }

    /// Nobody asks for anything. To write the log anew takes long where its texts are: whoever waits for an edit does not wait
    /// for that.
    fn rest(&mut self) {
        if self.store.has_grown() || self.store.needs_whole() {
            self.compact();
        }
    }

    /// Tells that something was edited or heard. What it puts in force is compiled after that.
    fn announce(&mut self) {
        self.news.send_modify(|count| *count += 1);
        self.summarize();
    }

    fn is_in_force(&self) -> bool {
        Arc::ptr_eq(self.ledger.in_force(), &self.force.borrow().settled)
    }

    fn bring_into_force(&self) {
        if !self.is_in_force() {
            self.force.send_replace(self.compile(self.cookies));
        }
    }

    /// What the document puts in force now: what has stayed of it is not compiled again.
    fn compile(&self, cookies: CookieSecrets) -> Force {
        let before = self.force.borrow().clone();
        let settled = self.ledger.in_force().clone();
        let checked = &settled.checked;
        let zones = before.zones.compile_again(&before.settled.checked.zones, &checked.zones, &checked.config);
        Force { zones: Arc::new(zones.with_cookies(cookies)), settled }
    }

    fn summarize(&self) {
        let in_force = self.ledger.in_force();
        let summary = Arc::new(Summary {
            clashes: self.ledger.clashes().iter().map(|clash| clash.key.to_string()).collect(),
            held: in_force.held.iter().map(|held| held.key.to_string()).collect(),
            unconfirmed: self.pending.is_some(),
            failing: self.store.needs_whole(),
        });
        let before = self.summary.swap(summary.clone());
        let all = |summary: &Summary| [&summary.clashes[..], &summary.held].concat();
        let (old, new) = (all(&before), all(&summary));
        if new.iter().any(|object| !old.contains(object)) {
            let objects = new.iter().map(|object| Arc::from(object.as_str())).collect();
            (self.tell)(Event::ConfigurationClashes { objects });
        }
    }

    /// Keeps what came after `heads` on the disk, or takes it back.
    fn keep(&mut self, heads: &[ChangeHash]) -> io::Result<()> {
        let document = self.ledger.document();
        let kept = if self.store.needs_whole() {
            self.store.replace(&document.save())
        } else {
            self.store.append(&document.save_after(heads))
        };
        if let Err(error) = &kept {
            tracing::error!(%error, "the configuration cannot be kept on the disk: what came in is taken back");
            // The document was there a moment ago.
            if let Err(error) = self.ledger.revert(heads) {
                tracing::error!(%error, "and cannot be taken back: this is a defect");
            }
            // What peers were promised in these sessions may have been taken back.
            self.sessions.clear();
        }
        kept
    }

    /// Writes the log anew: it has grown long, or must be after a failure.
    fn compact(&mut self) {
        if let Err(error) = self.store.replace(&self.ledger.document().save()) {
            tracing::error!(%error, "the document's log cannot be written anew: edits are refused until it can");
        }
    }

    /// What is in force, with DNS cookies by this secret from now on: it follows the heartbeat key.
    pub(crate) fn with_cookies(&mut self, cookies: CookieSecrets) -> Force {
        if self.cookies != cookies {
            self.cookies = cookies;
            let force = self.compile(cookies);
            // Whoever asks brings it into force; nobody else need be told.
            self.force.send_if_modified(|old| {
                *old = force;
                false
            });
        }
        self.force.borrow().clone()
    }

    /// A new conversation with a peer, in the place of one before.
    fn session(&mut self, peer: &ServerName) -> u64 {
        self.sessions.retain(|_, (other, _)| other != peer);
        self.next_session += 1;
        self.sessions.insert(self.next_session, (peer.clone(), Session::new()));
        self.next_session
    }

    /// What to tell the peer of a session; an error where the session has ended.
    fn speak(&mut self, session: u64) -> Result<Option<Vec<u8>>, converse::Ended> {
        let (_, session) = self.sessions.get_mut(&session).ok_or(converse::Ended)?;
        Ok(session.speak(self.ledger.document()))
    }

    /// What a peer told.
    fn hear(&mut self, number: u64, bytes: &[u8]) -> Result<(), converse::HearError> {
        let heads = self.ledger.document().heads();
        let (peer, mut session) = self.sessions.remove(&number).ok_or(converse::Ended)?;
        let new = self.ledger.hear(&mut session, bytes)?;
        if new {
            self.keep(&heads)?;
            let version = edit::version(&self.ledger.document().heads()).into();
            (self.tell)(Event::ConfigurationReceived { server: peer.clone(), version });
        }
        self.sessions.insert(number, (peer, session));
        self.announce();
        Ok(())
    }

    fn hang_up(&mut self, session: u64) {
        self.sessions.remove(&session);
    }

    /// What the configuration of this document is known by.
    pub(crate) fn digest(&self) -> u64 {
        self.ledger.document().digest()
    }

    /// Who is known to have a change on disk: this server, and peers that said so.
    pub(crate) fn accepted_on(&self, change: &ChangeHash) -> Vec<String> {
        let document = self.ledger.document();
        let peers = self.sessions.values().filter(|(_, session)| session.has(document, change));
        let mut names: Vec<String> = peers.map(|(name, _)| name.to_string()).collect();
        names.push(self.this.to_string());
        names.sort();
        names.dedup();
        names
    }

    /// Whether every peer that is in conversation has a change.
    pub(crate) fn is_everywhere(&self, change: &ChangeHash) -> bool {
        let document = self.ledger.document();
        self.sessions.values().all(|(_, session)| session.has(document, change))
    }

    fn pending_due(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.due)
    }
}

fn compile(ledger: &Ledger, cookies: CookieSecrets) -> Force {
    let settled = ledger.in_force().clone();
    let zones = Zones::compile(settled.checked.zones.clone(), &settled.checked.config).with_cookies(cookies);
    Force { settled, zones: Arc::new(zones) }
}

/// What the document in `state_dir` puts in force; no daemon may have it open.
///
/// # Errors
/// [`OpenError`].
pub(crate) fn read(state_dir: &Path) -> Result<Arc<Settled>, OpenError> {
    let (_store, recovered) = Store::open(Directory::open(state_dir)?)?;
    let incarnation = Incarnation(host::entropy::boot_id()?.0);
    let document = Document::load(incarnation, recovered.chunks.iter().map(Vec::as_slice))
        .map_err(|error| OpenError::Document(error.to_string()))?;
    Ledger::new(document).map(|ledger| ledger.in_force().clone()).map_err(|mistakes| drawn(&mistakes))
}

/// Takes over the document that a newcomer was given; one that was there is set aside.
///
/// # Errors
/// [`OpenError`].
pub(crate) fn receive(state_dir: &Path, bytes: &[u8]) -> Result<Arc<Settled>, OpenError> {
    let directory = Directory::open(state_dir)?;
    let incarnation = Incarnation(host::entropy::boot_id()?.0);
    let document = Document::load(incarnation, [bytes]).map_err(|error| OpenError::Document(error.to_string()))?;
    let ledger = Ledger::new(document).map_err(|mistakes| drawn(&mistakes))?;
    host::store::set_aside(state_dir, "before-join")?;
    let (mut store, _nothing) = Store::open(directory)?;
    store.replace(&ledger.document().save())?;
    Ok(ledger.in_force().clone())
}

fn drawn(mistakes: &[document::Mistake]) -> OpenError {
    let mistakes: Vec<String> = mistakes.iter().map(|mistake| mistake.diagnostic.to_string()).collect();
    OpenError::Document(mistakes.join("\n\n"))
}

/// Makes the first document of a cluster from objects, in a state directory that has none.
///
/// # Errors
/// [`OpenError`]; `AlreadyExists` where there is one.
pub(crate) fn found(
    state_dir: &Path,
    objects: &document::Objects,
    author: document::Author,
) -> Result<String, OpenError> {
    let (mut store, recovered) = Store::open(Directory::open(state_dir)?)?;
    if !recovered.chunks.is_empty() || recovered.cut > 0 {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a document already").into());
    }
    let document = Document::new(Incarnation(host::entropy::boot_id()?.0));
    let transaction = document::Transaction { author, time: edit::seconds(), changes: Vec::new() };
    let ledger = Ledger::found(document, transaction, objects).map_err(|mistakes| drawn(&mistakes))?;
    store.replace(&ledger.document().save())?;
    Ok(edit::version(&ledger.document().heads()))
}

#[cfg(test)]
mod tests;
