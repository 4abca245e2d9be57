//! The cluster's log as it comes in, by server-sent events: rows of the page of the log, ready to stand above the others.
//!
//! Invariants: a stream takes one of the places that all streams share, and ends with its session. It has no queue of its own: a
//! slow reader asks later, what has gone out of the log's last arrivals meanwhile it misses, and is told so. One event has
//! [`MOST`] rows at most.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use chronicle::Query;
use futures_util::stream;
use model::access::Action;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::sleep,
};

use super::{
    forms::Asked,
    journal::{Row, Wanted},
    live::{LOOK, alive, over},
};
use crate::{
    access::Who,
    admin::{Admin, Failure},
    cluster_log::Log,
};

/// Rows of one event: the newest.
const MOST: usize = 200;
/// What comes in within this time is told at once.
const PACE: Duration = Duration::from_millis(100);

#[derive(Template)]
#[template(path = "log_rows.html")]
struct Rows {
    rows: Vec<Row>,
}

struct Stream {
    admin: Arc<Admin>,
    log: Log,
    who: Who,
    query: Query,
    news: watch::Receiver<u64>,
    /// Arrivals that were looked at.
    count: u64,
    /// What is told after this.
    later: Option<Event>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

/// `GET /console/log/live`: from the arrival that is asked for on, or that was told last before an interruption.
pub(super) async fn stream(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadEvents)?;
    let Some(log) = admin.log.clone() else {
        return Err(Failure::Conflict("this server keeps no log of the cluster that could be followed".into()));
    };
    let query = Wanted::of(&asked)?.query();
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_else(|| asked.get("from"));
    let count = last.parse().unwrap_or_else(|_| log.arrived(u64::MAX).count);
    let (place, news) = (admin.console.live.place()?, log.news());
    let begun = Stream { admin, log, who, query, news, count, later: None, over: false, _place: place };
    let events = stream::unfold(begun, |mut stream| async {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    Ok(Sse::new(events).into_response())
}

impl Stream {
    async fn next(&mut self) -> Option<Event> {
        if let Some(later) = self.later.take() {
            return Some(later);
        }
        let mut silent = pin!(sleep(LOOK));
        loop {
            if self.over {
                return None;
            }
            if let Some(over) = over(&self.admin, &self.who) {
                self.over = true;
                return Some(over);
            }
            if let Some(event) = self.arrived() {
                return Some(event);
            }
            let (news, count) = (&mut self.news, self.count);
            let ended = tokio::select! {
                () = &mut silent => return Some(alive()),
                ended = async { news.wait_for(|now| *now != count).await.is_err() } => ended,
            };
            if ended {
                return None;
            }
            sleep(PACE).await;
        }
    }

    /// What has come in since, of what is wanted.
    fn arrived(&mut self) -> Option<Event> {
        let arrived = self.log.arrived(self.count);
        self.count = arrived.count;
        let mut wanted = arrived.entries.iter().rev().filter(|entry| self.query.matches(entry));
        let rows: Vec<Row> = wanted.by_ref().take(MOST).map(|entry| Row::of(entry)).collect();
        let missed = arrived.missed || wanted.next().is_some();
        let id = self.count.to_string();
        let told = if rows.is_empty() {
            None
        } else {
            Rows { rows }.render().ok().map(|rows| Event::default().event("rows").id(&id).data(rows))
        };
        if !missed {
            return told;
        }
        self.later = told;
        Some(Event::default().event("missed").id(id).data("some entries came and went"))
    }
}
