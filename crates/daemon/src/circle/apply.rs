//! What is known comes into force: heartbeat keys in the core, certificates in TLS, and the end of this membership.

use std::{sync::Arc, time::Duration};

use cluster::{
    Keys,
    trust::{Item, Trust},
};
use tokio::{sync::oneshot, task::spawn_blocking, time::interval};

use super::{Circle, announce};
use crate::{
    driver::Message,
    trust::{
        authority::{DAY, SERVER_DAYS},
        identity::Identity,
        tls::{Tls, fingerprints},
    },
};

/// How often what depends on the wall clock is looked at.
const GLANCE: Duration = Duration::from_secs(60);

/// What is in force.
struct InForce {
    keys: Option<Keys>,
    authorities: Vec<model::access::Fingerprint>,
    signs: u64,
    key: model::access::Secret,
    /// When the certificate was made.
    certified: u64,
    /// How often others have known of a later start than ours.
    overtaken: u32,
}

/// A machine that was restored is overtaken once. One that is overtaken time and again has a double somewhere.
const OVERTAKEN: u32 = 3;

pub(super) async fn run(circle: Arc<Circle>) {
    let mut changes = circle.keeper.watch();
    let mut ticks = interval(GLANCE);
    let mut in_force = InForce {
        keys: None,
        authorities: Vec::new(),
        signs: 0,
        key: circle.identity().key,
        certified: host::clock::wall_seconds(),
        overtaken: 0,
    };
    loop {
        let known = circle.keeper.known();
        if recognise(&circle, &known.trust, &mut in_force.overtaken).await {
            keys(&circle, &known.trust, &mut in_force).await;
            certificates(&circle, &known.trust, &mut in_force);
            circle.applied.send_replace(known.generation);
            circle.confirmed.notify_one();
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = ticks.tick() => prune(&circle).await,
        }
    }
}

/// Looks at what is said of this server itself. Returns whether it still is a member.
async fn recognise(circle: &Arc<Circle>, trust: &Trust, overtaken: &mut u32) -> bool {
    let identity = circle.identity();
    match trust.entry(&identity.member).map(|entry| (&entry.by, &entry.item)) {
        Some((_, Item::Member(member))) => {
            if member.start != identity.start {
                // Others know of a start that this machine does not: it was restored, and goes on after that.
                let known = Some(member.start.number).filter(|known| *known >= identity.start.number);
                *overtaken += u32::from(known.is_some());
                if *overtaken > OVERTAKEN {
                    circle.expel("another machine runs with this server's identity: one of the two is a copy");
                    return false;
                }
                say_again(circle, known).await;
            }
            true
        }
        Some((by, _)) => {
            circle.expel_for_good(&format!(
                "it was removed from the cluster by {by}; `standin leave` forgets what it knows, then it may join again"
            ));
            false
        }
        None => {
            circle.expel_for_good("the cluster does not know it any more; `standin leave`, then join again");
            false
        }
    }
}

/// What others know of this server's start is old, or is of a start `known` to them alone.
async fn say_again(circle: &Arc<Circle>, known: Option<u64>) {
    if let Some(known) = known {
        circle.audit.record(model::event::Event::Restored { server: super::server(&circle.name()), known });
    }
    let this = circle.clone();
    let renewed = spawn_blocking(move || {
        if let Some(known) = known {
            this.rewrite(|identity| identity.begin(known))?;
        }
        let identity: Identity = this.identity();
        this.keeper.change(|trust| announce(trust, &identity, None))
    });
    if let Ok(Err(error)) = renewed.await {
        tracing::error!(%error, "cannot keep this server's new start");
    }
}

/// The core seals and opens by what is known.
async fn keys(circle: &Circle, trust: &Trust, in_force: &mut InForce) {
    let keys = match trust.heartbeat_keys() {
        Some(Ok(keys)) => keys,
        Some(Err(error)) => return tracing::error!(%error, "the cluster's heartbeat key is not used"),
        None => return,
    };
    if in_force.keys.as_ref() == Some(&keys) {
        return;
    }
    let (done, dealt_with) = oneshot::channel();
    let message = Message::Keys { keys: keys.clone(), done };
    let queue = circle.queue.clone();
    let sent = spawn_blocking(move || queue.send(message)).await;
    if matches!(sent, Ok(Ok(()))) && dealt_with.await.is_ok() {
        let before = in_force.keys.replace(keys);
        if before.is_some() {
            circle.rekeyed.send_modify(|count| *count += 1);
        }
    }
}

/// Connections made from now on show and believe what is known. Certificates are renewed when two thirds of their time
/// are left, and when the clock has jumped.
fn certificates(circle: &Circle, trust: &Trust, in_force: &mut InForce) {
    let (identity, now) = (circle.identity(), host::clock::wall_seconds());
    let (authorities, signs) = (fingerprints(trust), trust.authority().map_or(0, |authority| authority.number));
    let due = now.abs_diff(in_force.certified) > SERVER_DAYS * DAY / 3;
    if !due && authorities == in_force.authorities && signs == in_force.signs && identity.key == in_force.key {
        return;
    }
    match Tls::new(trust, &identity, circle.address) {
        Ok(tls) => {
            circle.tls.store(Arc::new(tls));
            in_force.authorities = authorities;
            (in_force.signs, in_force.key, in_force.certified) = (signs, identity.key, now);
        }
        Err(error) => tracing::error!(%error, "this server's certificate cannot be renewed"),
    }
}

async fn prune(circle: &Circle) {
    let now = host::clock::wall_seconds();
    if circle.keeper.known().trust.clone().prune(now)
        && let Err(error) = circle.keeper.edit(move |trust| trust.prune(now)).await
    {
        tracing::warn!(%error, "what has expired cannot be forgotten");
    }
}
