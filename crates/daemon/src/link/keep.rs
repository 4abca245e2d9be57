//! Keeps a link to every other member: dials, and dials again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cluster::trust::Member;
use rustls::ClientConfig;
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Topic,
    session::{self, Side},
};
use crate::{
    circle::{Circle, Shown, server},
    trust::tls::{any_server, shown_key},
};

/// A connection and its handshake take no longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause after the first failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often a link that somebody else has dialled is looked at.
const GLANCE: Duration = Duration::from_millis(500);

/// A task for each other member, as they come and go.
pub(crate) async fn run(circle: Arc<Circle>) {
    let mut changes = circle.keeper.watch();
    let mut tasks: BTreeMap<String, JoinHandle<()>> = BTreeMap::new();
    loop {
        let others = circle.others();
        tasks.retain(|id, task| {
            let stays = others.iter().any(|(other, _)| other == id);
            if !stays {
                task.abort();
            }
            stays
        });
        for (id, _) in others {
            let circle = circle.clone();
            tasks.entry(id.clone()).or_insert_with(|| tokio::spawn(keep(circle, id)));
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn keep(circle: Arc<Circle>, member: String) {
    let stop = circle.stop().clone();
    let work = async {
        let mut pause = FIRST_PAUSE;
        loop {
            if circle.links.is_up(&member) {
                pause = FIRST_PAUSE;
                sleep(GLANCE).await;
            } else if dial(&circle, &member).await {
                pause = FIRST_PAUSE;
                sleep(pause).await;
            } else {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// One attempt, and the link that comes of it. Returns whether there was one.
async fn dial(circle: &Arc<Circle>, member: &str) -> bool {
    let Some((_, other)) = circle.others().into_iter().find(|(id, _)| id == member) else { return false };
    let config = circle.tls.load().link.clone();
    match connect(circle, member, &other, config).await {
        Some(stream) => session::run(circle, stream, other.reach, member, &other.name, Side::Dialled).await,
        None => false,
    }
}

/// A stream to a member that has shown its key; whoever else answers there is in the journal.
async fn connect(
    circle: &Arc<Circle>,
    member: &str,
    other: &Member,
    config: Arc<ClientConfig>,
) -> Option<TlsStream<TcpStream>> {
    let connect = async {
        let stream = TcpStream::connect(other.reach).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(config).connect(any_server(), stream).await
    };
    let stream = match timeout(PATIENCE, connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(server = %other.name, to = %other.reach, %error, "no link");
            return None;
        }
        Err(_) => return None,
    };
    let shown = shown_key(stream.get_ref().1.peer_certificates()).map(|key| circle.shown(&key));
    let (who, reason) = match shown {
        Some(Shown::Member(id, _)) if id == *member => return Some(stream),
        Some(Shown::Member(_, name) | Shown::Removed(name)) => {
            let reason = format!("{name} answers where {} should", other.name);
            (name, reason)
        }
        Some(Shown::Unknown) | None => {
            ("?".to_owned(), format!("whoever answers where {} should shows no member's key", other.name))
        }
    };
    circle.audit.denied(&who, &other.reach.to_string(), "link", &reason);
    None
}

/// Keeps a stream about a topic beside a link that we have dialled, until it is aborted with the link.
pub(super) async fn dial_topic(circle: Arc<Circle>, member: String, topic: Topic) {
    loop {
        let other = circle.others().into_iter().find(|(id, _)| *id == member);
        if let (Some(converse), Some((_, other))) = (circle.links.converse(topic).cloned(), other) {
            let tls = circle.tls.load_full();
            let config = match topic {
                Topic::Document => tls.document.clone(),
                Topic::Log => tls.log.clone(),
            };
            if let Some(stream) = connect(&circle, &member, &other, config).await {
                converse(server(&other.name), Box::new(stream)).await;
            }
        }
        sleep(GLANCE).await;
    }
}
