//! `GET /v1/servers/progress`: how far is what takes long, told line by line until nothing is under way.
//!
//! Each line is a `model::api::access::Progress` in JSON; one comes whenever it is news, and now and then to show that the
//! stream lives. The last line has nothing under way.
//!
//! Bounds: `circle::STREAMS` at once, others are told to come back; a stream ends with the session that asked for it, and after
//! [`LONGEST`]. What a slow reader misses is the older state, never the last.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use model::{
    Instant,
    access::Action,
    api::access::{Progress, RotationStatus},
};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::sleep,
};

use super::{Admin, Failure, servers::rotating};
use crate::{access::Who, circle::Circle};

/// What a stream of lines is called.
pub(super) const LINES: &str = "application/x-ndjson";
/// Links come and go without telling: it is looked so often.
const LOOK: Duration = Duration::from_millis(200);
/// A line comes at least so often.
const ALIVE: Duration = Duration::from_secs(10);
/// Who waits longer asks again: a server that is away for days holds a rotation up.
const LONGEST: Duration = Duration::from_secs(3600);

struct Stream {
    admin: Arc<Admin>,
    circle: Arc<Circle>,
    who: Who,
    changes: watch::Receiver<u64>,
    told: Option<Vec<RotationStatus>>,
    told_at: Instant,
    ends: Instant,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn get(State(admin): State<Arc<Admin>>, who: Who) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadMembers)?;
    let circle = admin.access.circle()?.clone();
    let place = circle.streams.clone().try_acquire_owned().map_err(|_| Failure::Busy)?;
    let (changes, now) = (circle.keeper.watch(), host::clock::now());
    let begun = Stream { admin, circle, who, changes, told: None, told_at: now, ends: now + LONGEST, _place: place };
    let lines = stream::unfold(begun, |mut stream| async {
        let line = stream.next().await?;
        Some((Ok::<_, Infallible>(line), stream))
    });
    Ok(([(CONTENT_TYPE, LINES)], Body::from_stream(lines)).into_response())
}

impl Stream {
    /// The next line; none once it has been told that nothing is under way.
    async fn next(&mut self) -> Option<String> {
        if self.told.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        loop {
            let (now, rotating) = (host::clock::now(), rotating(&self.circle));
            let ended = self.who.token.as_ref().is_some_and(|id| !self.admin.access.counts(id));
            if ended || now >= self.ends {
                return None;
            }
            if self.told.as_ref() != Some(&rotating) || now >= self.told_at + ALIVE {
                let line = serde_json::to_string(&Progress { rotating: rotating.clone() }).ok()?;
                (self.told, self.told_at) = (Some(rotating), now);
                return Some(line + "\n");
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = sleep(LOOK) => {}
            }
        }
    }
}
