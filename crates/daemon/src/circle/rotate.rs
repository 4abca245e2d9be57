//! Rotations go on by themselves: whenever something is confirmed, the next step is looked for.

use std::{io, sync::Arc};

use cluster::trust::{HeartbeatKey, Item, KeyKind, Step, next_step};
use model::{
    access::{Fingerprint, Secret},
    event::Event,
};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{Circle, announce};
use crate::trust::{
    authority::{digest, found, new_key, public_key},
    identity::random_name,
};

/// A rotation under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Rotating {
    /// Which key.
    pub key: String,
    /// The members without a link, for whom it waits.
    pub awaited: Vec<String>,
}

/// Why a rotation does not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotateError {
    /// One is under way.
    #[error("a rotation of the {0} is under way")]
    UnderWay(&'static str),
    /// The disk, or randomness.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] crate::trust::authority::CertificateError),
    /// The trust store.
    #[error(transparent)]
    Trust(#[from] cluster::trust::TrustError),
}

pub(super) async fn run(circle: Arc<Circle>) {
    let mut changes = circle.keeper.watch();
    loop {
        let this = circle.clone();
        match spawn_blocking(move || step(&this)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a rotation cannot go on"),
            Err(_) => return,
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = circle.confirmed.notified() => {}
        }
    }
}

/// Takes the steps that may be taken now.
fn step(circle: &Circle) -> io::Result<()> {
    for kind in KeyKind::ALL {
        let (known, now) = (circle.keeper.known(), host::clock::wall_seconds());
        match next_step(&known.trust, kind, |entry| circle.confirmed(entry)) {
            Step::Rest | Step::Await => {}
            Step::Send(next) => {
                let put = circle.keeper.change(|trust| trust.put(kind.register(), "rotation", Item::Current(next)))?;
                put.map_err(io::Error::other)?;
                tell(circle, kind.word(), "every member receives the new one: it is used from now on");
            }
            Step::Drop(old) => {
                circle.keeper.change(|trust| trust.remove(&old, "rotation", now))?;
                tell(circle, kind.word(), "every member uses the new one: the old one is gone");
            }
        }
    }
    own_key(circle)
}

fn tell(circle: &Circle, key: &str, step: &str) {
    circle.audit.record(Event::Rotation { key: key.into(), step: step.into() });
}

fn fingerprint(key: &Secret) -> io::Result<Fingerprint> {
    Ok(digest(&public_key(key).map_err(io::Error::other)?))
}

/// This server's own key: the others know the next one before it is shown.
fn own_key(circle: &Circle) -> io::Result<()> {
    let identity = circle.identity();
    let Some(next) = identity.next_key.clone() else { return Ok(()) };
    let known = circle.keeper.known();
    let Some(Item::Member(member)) = known.trust.entry(&identity.member).map(|entry| &entry.item) else {
        return Ok(());
    };
    if member.keys.contains(&fingerprint(&next)?) && circle.confirmed(&identity.member) {
        circle.rewrite(|identity| {
            identity.key = next.clone();
            identity.next_key = None;
            Ok(())
        })?;
        let identity = circle.identity();
        circle.keeper.change(|trust| announce(trust, &identity, None))?;
        tell(circle, "server key", "every member knows the new one: it is used from now on");
    }
    Ok(())
}

impl Circle {
    /// Begins a rotation of the heartbeat key. Waits for the disk.
    ///
    /// # Errors
    /// [`RotateError`].
    pub(crate) fn rotate_heartbeat(&self) -> Result<(), RotateError> {
        let secret = Secret::new(host::entropy::bytes::<32>()?.to_vec());
        self.rotate(KeyKind::Heartbeat, |number| Ok(Item::HeartbeatKey(HeartbeatKey { number, secret })))
    }

    /// Begins a rotation of the authority. Waits for the disk.
    ///
    /// # Errors
    /// [`RotateError`].
    pub(crate) fn rotate_authority(&self, cluster: &str) -> Result<(), RotateError> {
        let (known, now) = (self.keeper.known(), host::clock::wall_seconds());
        let last = known.trust.authority();
        self.rotate(KeyKind::Authority, |number| Ok(Item::Authority(found(number, cluster, last, now)?)))
    }

    /// Begins a rotation of this server's own key. Waits for the disk.
    ///
    /// # Errors
    /// [`RotateError`].
    pub(crate) fn rotate_own_key(&self) -> Result<(), RotateError> {
        if self.identity().next_key.is_some() {
            return Err(RotateError::UnderWay("server key"));
        }
        let next = new_key()?;
        self.rewrite(|identity| {
            identity.next_key = Some(next);
            Ok(())
        })?;
        let identity = self.identity();
        self.keeper.change(|trust| announce(trust, &identity, None))?;
        Ok(())
    }

    fn rotate(&self, kind: KeyKind, new: impl FnOnce(u64) -> Result<Item, RotateError>) -> Result<(), RotateError> {
        let (by, id) = (self.name(), random_name()?);
        self.keeper.change(|trust| {
            if trust.is_rotating(kind) {
                return Err(RotateError::UnderWay(kind.word()));
            }
            let item = new(trust.next_number(kind))?;
            Ok(trust.put(&id, &by, item)?)
        })??;
        tell(self, kind.word(), "a new one is made; every member is to receive it first");
        Ok(())
    }
}
