//! Pictures kept fresh by server-sent events: of the cluster, and of its servers.
//!
//! One task draws ([`draw`]): once for each generation of the state, for all who look, and not what nobody looks at. It draws
//! no oftener than every [`PACE`], and every [`AFRESH`] for what only grows older.
//!
//! Invariants: no more than [`STREAMS`] at once, others are told to come back; a stream ends within [`LOOK`] of its session's
//! end. What a slow reader misses is the older picture, never the last.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use futures_util::stream;
use model::access::Action;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{cluster, servers};
use crate::{
    access::Who,
    admin::{Admin, Failure},
    generation::Generation,
};

/// Streams at once.
const STREAMS: usize = 48;
/// The shortest time between two pictures.
const PACE: Duration = Duration::from_millis(50);
/// The longest, while somebody looks.
const AFRESH: Duration = Duration::from_secs(5);
/// How often a stream looks whether its session still counts, and tells the browser that it lives: after twice as long without
/// a word the script takes it for cut off.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// What is drawn.
#[derive(Clone, Copy, Debug)]
enum Subject {
    Cluster,
    Servers,
}

/// What the task and the streams share.
#[derive(Debug)]
pub(super) struct Live {
    generation: Generation,
    cluster: watch::Sender<Arc<str>>,
    servers: watch::Sender<Arc<str>>,
    wanted: Notify,
    places: Arc<Semaphore>,
}

impl Live {
    /// Nobody looks yet.
    pub(super) fn new(generation: Generation) -> Self {
        let nothing = || watch::Sender::new(Arc::from(""));
        let places = Arc::new(Semaphore::new(STREAMS));
        Self { generation, cluster: nothing(), servers: nothing(), wanted: Notify::new(), places }
    }

    const fn picture(&self, subject: Subject) -> &watch::Sender<Arc<str>> {
        match subject {
            Subject::Cluster => &self.cluster,
            Subject::Servers => &self.servers,
        }
    }

    /// A place for one more stream, of whatever kind.
    ///
    /// # Errors
    /// [`Failure::Busy`].
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.places.clone().try_acquire_owned().map_err(|_| Failure::Busy)
    }
}

/// Draws until everything stops.
pub(crate) async fn draw(admin: Arc<Admin>, stop: CancellationToken) {
    let live = &admin.console.live;
    let mut generation = live.generation.subscribe();
    loop {
        let new = tokio::select! {
            () = stop.cancelled() => return,
            changed = generation.changed() => if changed.is_ok() { false } else { return },
            () = live.wanted.notified() => true,
            () = sleep(AFRESH) => false,
        };
        for subject in [Subject::Cluster, Subject::Servers] {
            let picture = live.picture(subject);
            if picture.receiver_count() == 0 {
                continue;
            }
            let drawn = match subject {
                Subject::Cluster => cluster::picture(&admin).await,
                Subject::Servers => servers::picture(&admin).await,
            };
            match drawn {
                Ok(drawn) if new || **picture.borrow() != *drawn => drop(picture.send_replace(drawn.into())),
                Ok(_) => {}
                // A driver that is stopping or overloaded: the next picture tells.
                Err(why) => tracing::debug!(%why, "no picture for the console"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(PACE) => {}
        }
    }
}

/// One browser's stream.
struct Stream {
    admin: Arc<Admin>,
    who: Who,
    pictures: watch::Receiver<Arc<str>>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

/// `GET /console/live`.
pub(super) async fn stream(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadStatus)?;
    begin(&admin, who, Subject::Cluster)
}

/// `GET /console/servers/live`.
pub(super) async fn servers(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadMembers)?;
    begin(&admin, who, Subject::Servers)
}

fn begin(admin: &Arc<Admin>, who: Who, subject: Subject) -> Result<Response, Failure> {
    let live = &admin.console.live;
    let place = live.place()?;
    let pictures = live.picture(subject).subscribe();
    live.wanted.notify_one();
    let begun = Stream { admin: admin.clone(), who, pictures, over: false, _place: place };
    let events = stream::unfold(begun, |mut stream| async {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    Ok(Sse::new(events).into_response())
}

impl Stream {
    async fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        let changed = timeout(LOOK, self.pictures.changed()).await;
        if let Some(over) = over(&self.admin, &self.who) {
            self.over = true;
            return Some(over);
        }
        match changed {
            Ok(Ok(())) => Some(Event::default().event("picture").data(&**self.pictures.borrow_and_update())),
            Ok(Err(_)) => None,
            Err(_) => Some(alive()),
        }
    }
}

/// The last event of a stream whose session has ended.
pub(super) fn over(admin: &Admin, who: &Who) -> Option<Event> {
    let ended = who.token.as_ref().is_some_and(|id| !admin.access.counts(id));
    ended.then(|| Event::default().event("over").data("the session has ended"))
}

/// The event that says nothing but that the stream lives.
pub(super) fn alive() -> Event {
    Event::default().event("alive").data("")
}
