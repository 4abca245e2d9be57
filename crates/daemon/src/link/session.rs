//! One link, from the first word to the last.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use cluster::trust::{Start, Trust};
use model::{Instant, event::Event};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite, WriteHalf, split},
    sync::{mpsc, watch},
    time::{Instant as Moment, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{
    DEPTH, Live, Topic,
    frame::{self, Frame},
    keep::dial_topic,
};
use crate::circle::{Circle, server};

/// The first word comes within this time.
const GREETING: Duration = Duration::from_secs(5);
/// How often we ask whether the peer is there.
const ASK: Duration = Duration::from_secs(1);
/// After so much silence the link is over.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a link in use is watched for life when a second machine claims to be its peer.
const DOUBT: Duration = Duration::from_millis(2500);

/// What is said on a link.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
enum Control {
    /// The first word of each side.
    Hello {
        /// Who, by its entry.
        member: String,
        /// Which start.
        start: Start,
    },
    /// The last word: the peer is refused.
    Refused {
        /// Why.
        reason: String,
        /// And will be, as long as it is who it is.
        for_good: bool,
    },
    /// Everything that we trust.
    Trust {
        /// Our change.
        generation: u64,
        /// The store.
        trust: Trust,
    },
    /// We go by what the peer knew with this change.
    Confirmed {
        /// The peer's change.
        generation: u64,
    },
    /// Are you there?
    Ask,
    /// Yes.
    Here,
}

/// Who has dialled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// We have.
    Dialled,
    /// The peer has.
    Accepted,
}

/// Runs a link to a member whose key was shown, until it ends. Returns whether it came into use.
pub(crate) async fn run(
    circle: &Arc<Circle>,
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    from: SocketAddr,
    member: &str,
    name: &str,
    side: Side,
) -> bool {
    let (mut reader, writer) = split(stream);
    let mut link = Link { circle, writer, from, member, name };
    let hello = Control::Hello { member: circle.me(), start: circle.identity().start };
    if link.say(&hello).await.is_err() {
        return false;
    }
    let start = match timeout(GREETING, frame::read(&mut reader)).await {
        Ok(Ok(frame)) => match parse(&frame) {
            Some(Control::Hello { start, member: said }) if said == member => start,
            Some(Control::Refused { reason, for_good }) => {
                link.refused(&reason, for_good);
                return false;
            }
            Some(_) | None => return false,
        },
        Ok(Err(_)) | Err(_) => return false,
    };
    if !link.may_begin(&start, side).await {
        return false;
    }
    link.compare(&start);
    let close = CancellationToken::new();
    let live = Live { run: start.name, ours: side == Side::Dialled, from, heard: Arc::default(), close: close.clone() };
    live.heard.store(host::clock::now().as_nanos(), Ordering::Relaxed);
    circle.links.begin(member, live.clone());
    circle.audit.record(Event::Linked { server: server(name), from: from.to_string().into() });
    let (frames, incoming) = mpsc::channel(DEPTH);
    let reading = tokio::spawn(read(reader, frames));
    let dialled = Topic::ALL.iter().filter(|_| side == Side::Dialled);
    let beside: Vec<_> =
        dialled.map(|topic| tokio::spawn(dial_topic(circle.clone(), member.to_owned(), *topic))).collect();
    let reason = link.serve(incoming, &live).await;
    reading.abort();
    beside.iter().for_each(tokio::task::JoinHandle::abort);
    if circle.links.end(member, &close) {
        circle.audit.record(Event::Unlinked { server: server(name), reason: reason.into() });
    }
    true
}

/// Reads frames until the stream ends; its end is the queue's.
async fn read(mut reader: impl AsyncRead + Unpin, frames: mpsc::Sender<Frame>) {
    while let Ok(frame) = frame::read(&mut reader).await {
        if frames.send(frame).await.is_err() {
            return;
        }
    }
}

fn parse(frame: &Frame) -> Option<Control> {
    serde_json::from_slice(frame).ok()
}

struct Link<'a, S> {
    circle: &'a Arc<Circle>,
    writer: WriteHalf<S>,
    from: SocketAddr,
    member: &'a str,
    name: &'a str,
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Link<'_, S> {
    async fn say(&mut self, control: &Control) -> Result<(), String> {
        let frame = Zeroizing::new(serde_json::to_vec(control).map_err(|error| error.to_string())?);
        match timeout(SILENCE, frame::write(&mut self.writer, &frame)).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err("it takes nothing any more".to_owned()),
        }
    }

    /// The peer has refused us.
    fn refused(&self, reason: &str, for_good: bool) {
        if for_good {
            self.circle.expel_for_good(&format!("{} says: {reason}", self.name));
        } else {
            self.circle.expel(&format!("{} says: {reason}", self.name));
        }
    }

    /// A start that is not after the last one we know of: the peer's disk is an old one.
    fn compare(&self, start: &Start) {
        let known = self.circle.keeper.known();
        let last = known.trust.members().find(|(id, _)| *id == self.member).map(|(_, member)| &member.start);
        if let Some(last) = last.filter(|last| *last != start && last.number >= start.number) {
            self.circle.audit.record(Event::Restored { server: server(self.name), known: last.number });
        }
    }

    /// Whether this link may be used, beside or in the place of the one that there is.
    async fn may_begin(&mut self, start: &Start, side: Side) -> bool {
        let Some(live) = self.circle.links.live(self.member) else { return true };
        if live.run == start.name {
            // Both have dialled at once: the one of the smaller name stays. One dialled anew by the same side is better.
            let ours_stays = *self.circle.name() < *self.name;
            return live.ours == (side == Side::Dialled) || (side == Side::Dialled) == ours_stays;
        }
        // Another run: the peer has started again, or there are two of it. The one in use is watched for life.
        let before = live.heard.load(Ordering::Relaxed);
        let until = Moment::now() + DOUBT;
        tokio::select! {
            () = sleep_until(until) => {}
            () = live.close.cancelled() => return true,
        }
        if live.close.is_cancelled() || live.heard.load(Ordering::Relaxed) == before {
            return true;
        }
        let from = self.from.to_string();
        self.circle.audit.record(Event::Cloned { server: server(self.name), from: from.into() });
        let reason = format!("another machine runs as {}, at {}: one of the two is a copy", self.name, live.from);
        // It ends as it likes if it does not hear this.
        let _said = self.say(&Control::Refused { reason, for_good: false }).await;
        false
    }

    /// Until the link ends; returns why it did.
    async fn serve(&mut self, mut incoming: mpsc::Receiver<Frame>, live: &Live) -> String {
        let circle = self.circle.clone();
        let mut changes: watch::Receiver<u64> = circle.keeper.watch();
        changes.mark_changed();
        let mut ask = interval(ASK);
        loop {
            let said = tokio::select! {
                () = live.close.cancelled() => return "another link takes its place".to_owned(),
                () = circle.stop().cancelled() => return "this server stops".to_owned(),
                frame = incoming.recv() => match frame {
                    None => return "it ended".to_owned(),
                    Some(frame) => {
                        live.heard.store(host::clock::now().as_nanos(), Ordering::Relaxed);
                        self.take(&frame).await
                    }
                },
                changed = changes.changed() => match changed {
                    Err(_) => return "this server stops".to_owned(),
                    Ok(()) => self.tell().await,
                },
                _ = ask.tick() => {
                    let heard = Instant::from_nanos(live.heard.load(Ordering::Relaxed));
                    if host::clock::now().since(heard) > SILENCE {
                        return "it is silent".to_owned();
                    }
                    self.say(&Control::Ask).await
                }
            };
            if let Err(reason) = said {
                return reason;
            }
        }
    }

    /// Tells the peer what we trust; one that is no member any more is told so.
    async fn tell(&mut self) -> Result<(), String> {
        let known = self.circle.keeper.known();
        if !known.trust.members().any(|(id, _)| id == self.member) {
            let reason = "it was removed from the cluster".to_owned();
            self.say(&Control::Refused { reason: reason.clone(), for_good: true }).await?;
            return Err(reason);
        }
        self.say(&Control::Trust { generation: known.generation, trust: known.trust.clone() }).await
    }

    async fn take(&mut self, frame: &Frame) -> Result<(), String> {
        match parse(frame).ok_or("it says what this version does not know")? {
            Control::Hello { .. } | Control::Here => Ok(()),
            Control::Ask => self.say(&Control::Here).await,
            Control::Refused { reason, for_good } => {
                self.refused(&reason, for_good);
                Err(reason)
            }
            Control::Confirmed { generation } => {
                self.circle.links.confirm(self.member, generation);
                self.circle.confirmed.notify_one();
                Ok(())
            }
            Control::Trust { generation, trust } => {
                self.adopt(trust).await?;
                self.say(&Control::Confirmed { generation }).await
            }
        }
    }

    /// Takes in what the peer trusts, and returns when this server goes by it.
    async fn adopt(&self, theirs: Trust) -> Result<(), String> {
        let merged = self.circle.keeper.edit(move |trust| trust.merge(&theirs)).await;
        merged.map_err(|error| format!("what it knows cannot be kept: {error}"))?;
        let wanted = self.circle.keeper.known().generation;
        let mut applied = self.circle.applied.subscribe();
        match timeout(SILENCE, applied.wait_for(|applied| *applied >= wanted)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err("what it knows does not come into force".to_owned()),
        }
    }
}

/// Tells a server that was removed, in place of a link.
pub(crate) async fn turn_away(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let refused = Control::Refused { reason: "it was removed from the cluster".to_owned(), for_good: true };
    if let Ok(content) = serde_json::to_vec(&refused) {
        // It asks again if it has not heard this.
        let _told = frame::write(&mut stream, &content).await;
        // Until it closes, so that the word is not lost with the connection.
        let _hello = frame::read(&mut stream).await;
        let _end = frame::read(&mut stream).await;
    }
}
