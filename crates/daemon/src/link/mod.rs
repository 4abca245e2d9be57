//! Links between servers: one authenticated, framed, bounded stream to each other member, over the admin port.
//!
//! Trust travels here. For each [`Topic`] whoever has dialled the link opens a further stream beside it, and dials that again as
//! long as the link is up: what runs over it is [`Links::converse_by`]'s business.
//! Every server dials every other one; of two links at once the one that the server with the smaller name has dialled stays.
//!
//! Invariants: a link exists only between members that have shown their keys. What one peer sends can fill neither memory
//! nor another link. Heartbeats never depend on a link.

pub(crate) mod frame;
pub(crate) mod keep;
mod session;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicU64},
};

use model::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

pub(crate) use self::session::{Side, run as session, turn_away};

/// Frames that wait to be dealt with.
const DEPTH: usize = 64;

/// A stream to another member, which has shown its key.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What a stream beside a link is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Topic {
    /// The configuration.
    Document,
    /// The cluster's log.
    Log,
}

impl Topic {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Document, Self::Log];
}

/// What runs over the streams of a topic: given the member's name and a stream, until it ends.
pub(crate) type Converse =
    Arc<dyn Fn(ServerName, Box<dyn Stream>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A link that is up.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// The peer's start.
    run: String,
    /// Whether we have dialled it.
    ours: bool,
    /// The peer's address.
    from: SocketAddr,
    /// When it was last heard, in nanoseconds since boot.
    heard: Arc<AtomicU64>,
    /// Ends it.
    close: CancellationToken,
}

/// All links of this server, by the other member's id.
#[derive(Default)]
pub(crate) struct Links {
    inner: Mutex<Inner>,
    document: OnceLock<Converse>,
    log: OnceLock<Converse>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Inner {
    live: BTreeMap<String, Live>,
    /// Up to which of our changes each member goes by our trust store.
    confirmed: BTreeMap<String, u64>,
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn talk(&self, topic: Topic) -> &OnceLock<Converse> {
        match topic {
            Topic::Document => &self.document,
            Topic::Log => &self.log,
        }
    }

    /// Says, once, what runs over the streams of a topic. Before that none is opened.
    pub(crate) fn converse_by(&self, topic: Topic, converse: Converse) {
        let _second = self.talk(topic).set(converse);
    }

    /// What runs over the streams of a topic.
    pub(crate) fn converse(&self, topic: Topic) -> Option<&Converse> {
        self.talk(topic).get()
    }

    /// Whether there is a link to this member.
    pub(crate) fn is_up(&self, member: &str) -> bool {
        self.lock().live.contains_key(member)
    }

    /// Where a linked member is.
    pub(crate) fn address(&self, member: &str) -> Option<SocketAddr> {
        self.lock().live.get(member).map(|live| live.from)
    }

    /// The change up to which a member goes by our trust store.
    pub(crate) fn confirmed(&self, member: &str) -> u64 {
        self.lock().confirmed.get(member).copied().unwrap_or(0)
    }

    fn confirm(&self, member: &str, generation: u64) {
        let mut inner = self.lock();
        let known = inner.confirmed.entry(member.to_owned()).or_default();
        *known = generation.max(*known);
    }

    fn live(&self, member: &str) -> Option<Live> {
        self.lock().live.get(member).cloned()
    }

    /// A link begins, in the place of one before. What the peer's earlier run has confirmed is forgotten.
    fn begin(&self, member: &str, live: Live) {
        let mut inner = self.lock();
        inner.confirmed.remove(member);
        if let Some(before) = inner.live.insert(member.to_owned(), live) {
            before.close.cancel();
        }
    }

    /// A link has ended. Returns whether it was the one in use.
    fn end(&self, member: &str, close: &CancellationToken) -> bool {
        let mut inner = self.lock();
        // Tokens have no identity of their own: the one in use is not cancelled.
        close.cancel();
        let ended = inner.live.get(member).is_some_and(|live| live.close.is_cancelled());
        if ended {
            inner.live.remove(member);
        }
        ended
    }
}
