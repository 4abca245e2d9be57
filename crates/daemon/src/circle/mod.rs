//! This server among the others: its identity, what it trusts, its links, and what follows from a change of these.
//!
//! | task | does | wakes by |
//! |---|---|---|
//! | `apply` | keys to the core, certificates to TLS, farewell when removed | a change of the trust store, an hour |
//! | `rotate` | the next step of a rotation | a change, a confirmation |
//! | `link::keep`, one for each other member | a link, dialled again when it is lost | a change, the link's end |
//!
//! Invariants: a peer's state is confirmed only after the core and TLS go by it. A server that is not a member any more, or a
//! copy of one, hands everything over and stops.
//!
//! Deliberately not here: what states mean (`cluster::trust`); the configuration.

mod apply;
mod rotate;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use cluster::trust::{Item, KeyKind, Member, Standing};
use model::{ServerName, event::Event};
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::Audit,
    driver::Queue,
    link::{self, Links},
    trust::{
        Keeper,
        authority::{digest, public_key},
        identity::Identity,
        tls::Tls,
    },
};

pub(crate) use self::rotate::{RotateError, Rotating};

/// Streams at once that tell how far a rotation is.
const STREAMS: usize = 16;

/// Everything that makes this server a member.
#[derive(Debug)]
pub(crate) struct Circle {
    /// Whom to trust.
    pub keeper: Arc<Keeper>,
    /// What to show and whom to believe on connections made from now on.
    pub tls: ArcSwap<Tls>,
    /// Links to the others.
    pub links: Links,
    /// Who did what.
    pub audit: Arc<Audit>,
    /// Changes of the trust store up to this one are in force.
    pub applied: watch::Sender<u64>,
    /// Set when this server must stop, with the reason.
    pub expelled: watch::Sender<Option<String>>,
    /// This server is taking its leave: it stops by itself when that has been answered, and not before.
    pub leaving: AtomicBool,
    /// A peer has confirmed something.
    pub confirmed: Notify,
    /// Room for [`STREAMS`] that tell how far a rotation is.
    pub streams: Arc<Semaphore>,
    /// The heartbeat key in use has changed; what is derived from it must follow.
    pub rekeyed: watch::Sender<u64>,
    identity: Mutex<Identity>,
    state_dir: PathBuf,
    address: Option<IpAddr>,
    queue: Queue,
    stop: CancellationToken,
}

/// Why this machine cannot be a member.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CircleError {
    /// A file of the state directory.
    #[error("{0}: {1}")]
    File(String, io::Error),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] crate::trust::tls::TlsError),
}

impl Circle {
    /// This machine's membership from its state directory; none where it has none. A start is counted.
    ///
    /// # Errors
    /// Files that cannot be read or are open to others; certificates that cannot be made.
    pub(crate) fn open(
        state_dir: &Path,
        reach: Option<SocketAddr>,
        audit: Arc<Audit>,
        queue: Queue,
        stop: &CancellationToken,
    ) -> Result<Option<Arc<Self>>, CircleError> {
        let failed = |what: &str| {
            let what = state_dir.join(what).display().to_string();
            move |error| CircleError::File(what, error)
        };
        let Some(mut identity) = Identity::read(state_dir).map_err(failed("identity.json"))? else { return Ok(None) };
        let keeper = Keeper::open(state_dir).map_err(failed("trust.json"))?;
        identity.begin(0).map_err(failed("identity.json"))?;
        identity.write(state_dir).map_err(failed("identity.json"))?;
        keeper.change(|trust| announce(trust, &identity, reach)).map_err(failed("trust.json"))?;
        let address = reach.map(|reach| reach.ip()).filter(|ip| !ip.is_unspecified());
        let tls = Tls::new(&keeper.known().trust, &identity, address)?;
        Ok(Some(Arc::new(Self {
            keeper: Arc::new(keeper),
            tls: ArcSwap::from_pointee(tls),
            links: Links::default(),
            audit,
            applied: watch::Sender::new(0),
            expelled: watch::Sender::new(None),
            leaving: AtomicBool::new(false),
            confirmed: Notify::new(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            rekeyed: watch::Sender::new(0),
            identity: Mutex::new(identity),
            state_dir: state_dir.to_owned(),
            address,
            queue,
            stop: stop.clone(),
        })))
    }

    /// Begins all tasks.
    pub(crate) fn start(self: &Arc<Self>, runtime: &Handle) {
        runtime.spawn(until(self.stop.clone(), apply::run(self.clone())));
        runtime.spawn(until(self.stop.clone(), rotate::run(self.clone())));
        runtime.spawn(until(self.stop.clone(), link::keep::run(self.clone())));
    }

    /// When everything stops.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Who this machine is.
    pub(crate) fn identity(&self) -> Identity {
        self.lock().clone()
    }

    /// This member's entry.
    pub(crate) fn me(&self) -> String {
        self.lock().member.clone()
    }

    /// This server's name.
    pub(crate) fn name(&self) -> String {
        self.lock().name.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the identity, on disk first. Waits for the disk.
    fn rewrite(&self, edit: impl FnOnce(&mut Identity) -> io::Result<()>) -> io::Result<()> {
        let mut identity = self.lock();
        let mut next = identity.clone();
        edit(&mut next)?;
        next.write(&self.state_dir)?;
        *identity = next;
        Ok(())
    }

    /// This server stops: it is told, kept, and done.
    pub(crate) fn expel(&self, reason: &str) {
        if self.leaving.load(Ordering::Relaxed) {
            return;
        }
        let first = self.expelled.send_if_modified(|expelled| {
            let first = expelled.is_none();
            expelled.get_or_insert_with(|| reason.to_owned());
            first
        });
        if first {
            self.audit.record(Event::Expelled { reason: reason.into() });
        }
    }

    /// The same for good: this identity is refused everywhere, and is not tried again.
    pub(crate) fn expel_for_good(&self, reason: &str) {
        if let Err(error) = self.rewrite(|identity| {
            identity.expelled = Some(reason.to_owned());
            Ok(())
        }) {
            tracing::warn!(%error, "the end of this server's membership cannot be kept");
        }
        self.expel(reason);
    }

    /// The other members.
    pub(crate) fn others(&self) -> Vec<(String, Member)> {
        let (me, known) = (self.me(), self.keeper.known());
        let others = known.trust.members().filter(|(id, _)| *id != me);
        others.map(|(id, member)| (id.to_owned(), member.clone())).collect()
    }

    /// Returns when a member is none any more.
    pub(crate) async fn removed(&self, member: &str) {
        let mut changes = self.keeper.watch();
        while self.keeper.known().trust.members().any(|(id, _)| id == member) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether every other member goes by an entry as it is now.
    pub(crate) fn confirmed(&self, entry: &str) -> bool {
        let known = self.keeper.known();
        let Some(since) = known.changed.get(entry).copied() else { return false };
        *self.applied.borrow() >= since && self.others().iter().all(|(id, _)| self.links.confirmed(id) >= since)
    }

    /// The members that hold a rotation up: not linked.
    pub(crate) fn awaited(&self) -> Vec<String> {
        let others = self.others().into_iter();
        others.filter(|(id, _)| !self.links.is_up(id)).map(|(_, member)| member.name).collect()
    }

    /// The state of the keys.
    pub(crate) fn rotating(&self) -> Vec<Rotating> {
        let known = self.keeper.known();
        let kinds = KeyKind::ALL.into_iter().filter(|kind| known.trust.is_rotating(*kind));
        let mut all: Vec<Rotating> =
            kinds.map(|kind| Rotating { key: kind.word().to_owned(), awaited: self.awaited() }).collect();
        if self.lock().next_key.is_some() {
            all.push(Rotating { key: "server key".to_owned(), awaited: self.awaited() });
        }
        all
    }
}

/// A member's entry says what its machine says.
fn announce(trust: &mut cluster::trust::Trust, identity: &Identity, reach: Option<SocketAddr>) {
    let Some(Item::Member(member)) = trust.entry(&identity.member).map(|entry| entry.item.clone()) else { return };
    let reach = reach.filter(|reach| !reach.ip().is_unspecified()).unwrap_or(member.reach);
    let keys: Vec<_> = std::iter::once(&identity.key)
        .chain(&identity.next_key)
        .filter_map(|key| public_key(key).ok())
        .map(|key| digest(&key))
        .collect();
    let member = Member { reach, start: identity.start.clone(), keys, ..member };
    // A member that was removed stays so.
    let _gone = trust.put(&identity.member, &identity.name, Item::Member(member));
}

/// Runs `work` until everything stops.
async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// A member as events name it.
pub(crate) fn server(name: &str) -> ServerName {
    ServerName::new(name)
}

/// What a key stands for, as owned values.
pub(crate) enum Shown {
    /// A member, by id and name.
    Member(String, String),
    /// Removed.
    Removed(String),
    /// Nobody's.
    Unknown,
}

impl Circle {
    /// Whose key was shown.
    pub(crate) fn shown(&self, key: &model::access::Fingerprint) -> Shown {
        match self.keeper.known().trust.standing(key) {
            Standing::Member(id, member) => Shown::Member(id.to_owned(), member.name.clone()),
            Standing::Removed(gone) => Shown::Removed(gone.name.clone()),
            Standing::Unknown => Shown::Unknown,
        }
    }
}
