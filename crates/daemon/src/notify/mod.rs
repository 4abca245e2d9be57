//! Notifications: people outside the cluster are told of incidents, by webhook, mail or a program.
//!
//! What is told when is decided by `chronicle::notice`; here a task on `standin-io` gives it what it needs, once a second, and carries
//! out what it says. What was told is an event (`notified`, `notify-failed`), which the cluster's log keeps on every server: so a
//! restart, or another sender, tells nothing again. The driver is asked for its account as by everybody else, and waits for nothing.
//!
//! Bounds: [`window`] says how much of the log is read; each channel has one attempt under way, which ends at the channel's `timeout`.
//! Nothing is queued: what is not sent is what differs. Where this server's disk has no place for the log, it tells nobody.
//!
//! The end: what is under way is dropped, programs are killed; what was not recorded by then is told by the next sender.
//!
//! Deliberately not here: when something is an incident (`chronicle::incident`).

mod mail;
mod send;
mod webhook;
mod window;
mod words;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use chronicle::notice::{
    Effect, Input, LineState, Message, MessageKind, Notifier, Now, Outcome, Record, Subscription, World,
};
use jiff::{Timestamp, tz::TimeZone};
use model::{
    ChannelName, Health, ServerName,
    api::notify::{ChannelStatus, Tested},
    config::Channel,
    event::Event,
    health::Verdict,
    notice::Notification,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::window::Window;
use crate::{
    admin::{Admin, Failure, log::time},
    cluster_log::{Log, wall_ms},
    load::Loaded,
};

/// How often is looked whether something is to be sent.
const TICK: Duration = Duration::from_secs(1);

/// What sending needs to know.
#[derive(Debug)]
struct Settings {
    cluster: Arc<str>,
    this: ServerName,
    /// This machine's own address.
    address: Option<IpAddr>,
    /// Where this server's console is.
    console: Option<String>,
    secrets: PathBuf,
    channels: BTreeMap<ChannelName, Channel>,
}

impl Settings {
    fn of(loaded: &Loaded) -> Self {
        let (node, cluster) = (&loaded.node, &loaded.cluster);
        let address = cluster.servers.get(&node.name).map(|server| server.address);
        let console = node.admin_listen.and_then(|mut listen| {
            if listen.ip().is_unspecified() {
                listen.set_ip(address?);
            }
            Some(format!("{}://{listen}", if loaded.member { "https" } else { "http" }))
        });
        Self {
            cluster: cluster.name.clone(),
            this: node.name.clone(),
            address,
            console,
            secrets: node.secrets_dir.clone(),
            channels: cluster.channels.clone(),
        }
    }
}

/// What the task and everybody else share.
#[derive(Debug)]
pub(crate) struct Notify {
    settings: watch::Sender<Arc<Settings>>,
    states: ArcSwap<Vec<LineState>>,
}

impl Notify {
    /// For what was loaded.
    pub(crate) fn new(loaded: &Loaded) -> Self {
        Self { settings: watch::Sender::new(Arc::new(Settings::of(loaded))), states: ArcSwap::default() }
    }

    /// Something else was loaded.
    pub(crate) fn configure(&self, loaded: &Loaded) {
        self.settings.send_replace(Arc::new(Settings::of(loaded)));
    }

    /// How each channel is, in the order of their names.
    pub(crate) fn status(&self) -> Vec<ChannelStatus> {
        let (settings, states) = (self.settings.borrow().clone(), self.states.load());
        let status = |(name, channel): (&ChannelName, &Channel)| {
            let state = states.iter().find(|state| state.channel == *name);
            let last = state.and_then(|state| state.last.as_ref());
            ChannelStatus {
                name: name.to_string(),
                kind: channel.kind.word().to_owned(),
                sender: state.and_then(|state| state.sender.as_ref()).map(ToString::to_string),
                waiting: state.map_or(0, |state| state.waiting),
                failures: state.map_or(0, |state| state.failures),
                last_attempt: last.map(|(at, _)| time(*at)),
                last_result: last.map(|(_, outcome)| words::outcome(outcome)),
            }
        };
        settings.channels.iter().map(status).collect()
    }
}

impl Admin {
    /// Sends a message by a channel, from this server, whoever's turn it is.
    pub(crate) async fn try_channel(&self, name: &str) -> Result<Tested, Failure> {
        let settings = self.notify.settings.borrow().clone();
        let Some((channel, _)) = settings.channels.get_key_value(&ChannelName::new(name)) else {
            let there: Vec<&str> = settings.channels.keys().map(ChannelName::as_str).collect();
            let there =
                if there.is_empty() { "there is none".to_owned() } else { format!("there is: {}", there.join(", ")) };
            return Err(Failure::Missing(format!("there is no channel `{name}`; {there}")));
        };
        let delivery = host::entropy::bytes::<8>()?.map(|byte| format!("{byte:02x}")).concat();
        let (kind, channel) = (MessageKind::Test, channel.clone());
        let message = Message { delivery, channel, kind, attempt: 1, notices: Vec::new() };
        let outcome = Box::pin(send::send(&settings, &message)).await;
        self.count_attempt(&message.channel, &outcome);
        let said = words::outcome(&outcome);
        Ok(Tested { delivered: outcome == Outcome::Delivered, said, delivery: message.delivery })
    }

    fn count_attempt(&self, channel: &ChannelName, outcome: &Outcome) {
        let result = match outcome {
            Outcome::Delivered => "delivered",
            Outcome::Failed { .. } => "failed",
        };
        self.metrics.notifications.with_label_values(&[channel.as_str(), result]).inc();
    }
}

/// Tells until everything stops.
pub(crate) async fn run(admin: Arc<Admin>, stop: CancellationToken) {
    let Some(log) = admin.log.clone() else { return };
    let mut settings = admin.notify.settings.subscribe();
    let now = settings.borrow_and_update().clone();
    let notifier = Notifier::new(admin.this.clone());
    let mut clerk = Clerk {
        admin: admin.clone(),
        log,
        notifier,
        settings: now,
        zones: Vec::new(),
        window: None,
        attempts: JoinSet::new(),
    };
    clerk.subscribe();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = settings.changed() => {
                if changed.is_err() {
                    return;
                }
                clerk.settings = settings.borrow_and_update().clone();
                clerk.subscribe();
            }
            Some(Ok(input)) = clerk.attempts.join_next() => clerk.handle(input),
            _ = ticks.tick() => clerk.tick().await,
        }
    }
}

/// The task's own.
struct Clerk {
    admin: Arc<Admin>,
    log: Log,
    notifier: Notifier,
    settings: Arc<Settings>,
    /// Each channel's clock, and what it is ahead of UTC.
    zones: Vec<(TimeZone, i32)>,
    /// What of the log matters; none before it was read.
    window: Option<Window>,
    attempts: JoinSet<Input>,
}

impl Clerk {
    fn subscribe(&mut self) {
        let zone = |channel: &Channel| {
            let name = &*channel.rules.timezone;
            let zone = TimeZone::get(name).unwrap_or_else(|error| {
                tracing::warn!(%error, zone = name, "this machine does not know a time zone: UTC is used");
                TimeZone::UTC
            });
            (zone.clone(), offset(&zone))
        };
        self.zones = self.settings.channels.values().map(zone).collect();
        let subscription = |((name, channel), (_, offset_s)): ((&ChannelName, &Channel), &(TimeZone, i32))| {
            let Channel { sent_by, rules, .. } = channel.clone();
            Subscription { channel: name.clone(), sent_by, rules, offset_s: *offset_s }
        };
        let subscriptions = self.settings.channels.iter().zip(&self.zones).map(subscription).collect();
        self.handle(Input::Subscriptions(subscriptions));
    }

    async fn tick(&mut self) {
        if self.settings.channels.is_empty() {
            self.window = None;
            return;
        }
        if let Err(error) = self.read().await {
            tracing::warn!(%error, "the cluster's log cannot be read: nobody is told what it says");
            return;
        }
        // A clock may have been put forward or back for the summer.
        if self.zones.iter().any(|(zone, offset_s)| offset(zone) != *offset_s) {
            self.subscribe();
        }
        match self.admin.sample().await {
            Ok(sample) => {
                let shared = self.admin.access.circle.is_some();
                self.handle(Input::World(world(&self.admin.this, &sample.health, shared)));
            }
            // A driver that is stopping or overloaded: the next tick tells.
            Err(_) => self.handle(Input::Tick),
        }
    }

    /// What came into the log since.
    async fn read(&mut self) -> std::io::Result<()> {
        let (log, window) = (self.log.clone(), self.window.take());
        let turn = self.log.searches.clone().acquire_owned().await.map_err(std::io::Error::other)?;
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            Window::follow(window, &log)
        });
        let (window, news) = read.await.map_err(std::io::Error::other)??;
        self.window = Some(window);
        for (record, wall_ms) in news.records {
            self.handle(Input::Recorded { record, wall_ms });
        }
        if let Some((stories, edge_ms)) = news.stories {
            self.handle(Input::Stories { stories, edge_ms });
        }
        Ok(())
    }

    fn handle(&mut self, input: Input) {
        if let Input::Attempted { channel, outcome, .. } = &input {
            self.admin.count_attempt(channel, outcome);
        }
        let now = Now { at: host::clock::now(), wall_ms: wall_ms() };
        let mut effects = Vec::new();
        self.notifier.handle(now, input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send(message) => self.send(message),
                Effect::Record(record) => self.record(record),
            }
        }
        let states: Vec<LineState> = self.notifier.states().collect();
        let waiting = &self.admin.metrics.notifications_waiting;
        waiting.reset();
        for state in &states {
            let number = i64::try_from(state.waiting).unwrap_or(i64::MAX);
            waiting.with_label_values(&[state.channel.as_str()]).set(number);
        }
        self.admin.notify.states.store(Arc::new(states));
    }

    fn send(&mut self, message: Message) {
        let settings = self.settings.clone();
        let (channel, delivery) = (message.channel.clone(), message.delivery.clone());
        // Within a task of its own, so that a defect there is a failure like others.
        let attempt = tokio::spawn(async move { Box::pin(send::send(&settings, &message)).await });
        let attempt = AbortOnDropHandle::new(attempt);
        self.attempts.spawn(async move {
            let defect = |_| Outcome::Failed { reason: "sending panicked: this is a defect".to_owned(), again: true };
            Input::Attempted { channel, delivery, outcome: attempt.await.unwrap_or_else(defect) }
        });
    }

    fn record(&self, record: Record) {
        let Record { channel, delivery, incidents, attempts, failed: reason } = record;
        let message = Notification { channel, delivery, incidents, attempts, reason };
        let event = if message.reason.is_some() {
            let given_up = [message.channel.as_str(), "given-up"];
            self.admin.metrics.notifications.with_label_values(&given_up).inc();
            Event::NotifyFailed(message)
        } else {
            Event::Notified(message)
        };
        self.admin.access.audit.record(event);
    }
}

/// What a zone's clock is ahead of UTC now, in seconds.
fn offset(zone: &TimeZone) -> i32 {
    Timestamp::try_from(host::clock::wall()).map_or(0, |now| zone.to_offset(now).seconds())
}

/// How the cluster is. Without a `shared` log, which files alone do not give, nobody knows what others notice and tell: each server tells
/// what it notices, as if it were alone.
fn world(this: &ServerName, health: &Health, shared: bool) -> World {
    let alive = health.servers.iter().filter(|(_, server)| shared && server.state.is_alive()).map(|(name, _)| name);
    let unserved =
        health.virtual_hosts.iter().filter(|(_, host)| host.active.is_none() || host.verdict == Verdict::Down);
    World {
        alive: alive.chain([this]).cloned().collect(),
        isolated: health.isolated,
        unserved: unserved.map(|(name, _)| name.to_string()).collect(),
    }
}
