//! The picture of the cluster, kept fresh by server-sent events.
//!
//! One task draws ([`draw`]): once for each generation of the state, for all who look, and not at all while nobody does. It draws
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

use super::cluster;
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
const LOOK: Duration = Duration::from_secs(5);

/// What the task and the streams share.
#[derive(Debug)]
pub(super) struct Live {
    generation: Generation,
    picture: watch::Sender<Arc<str>>,
    wanted: Notify,
    places: Arc<Semaphore>,
}

impl Live {
    /// Nobody looks yet.
    pub(super) fn new(generation: Generation) -> Self {
        let (picture, places) = (watch::Sender::new(Arc::from("")), Arc::new(Semaphore::new(STREAMS)));
        Self { generation, picture, wanted: Notify::new(), places }
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
        if live.picture.receiver_count() == 0 {
            continue;
        }
        match cluster::picture(&admin).await {
            Ok(drawn) if new || **live.picture.borrow() != *drawn => drop(live.picture.send_replace(drawn.into())),
            Ok(_) => {}
            // A driver that is stopping or overloaded: the next picture tells.
            Err(why) => tracing::debug!(%why, "no picture for the console"),
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
    let live = &admin.console.live;
    let place = live.places.clone().try_acquire_owned().map_err(|_| Failure::Busy)?;
    let pictures = live.picture.subscribe();
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
        if self.who.token.as_ref().is_some_and(|id| !self.admin.access.counts(id)) {
            self.over = true;
            return Some(Event::default().event("over").data("the session has ended"));
        }
        match changed {
            Ok(Ok(())) => Some(Event::default().event("picture").data(&**self.pictures.borrow_and_update())),
            Ok(Err(_)) => None,
            Err(_) => Some(Event::default().event("alive").data("")),
        }
    }
}
