//! While the daemon runs: signals, and the service manager's watchdog. Nothing here may keep the watchdog from being fed.

use std::{future::pending, path::PathBuf, time::Duration};

use host::guardian::Ward;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    circle::Circle,
    desk::Force,
    driver::{Message, Sample},
    reload::{self, Reload},
    roles::{End, Running},
    serial,
    start_error::StartError,
};

/// A driver that has not gone round its loop for so long hangs: it is woken four times a second.
const HANGS: Duration = Duration::from_secs(1);
/// How often the service manager hears, unless its watchdog wants it oftener.
const TICK: Duration = Duration::from_secs(1);

/// Serves until told to stop, then resigns.
///
/// # Errors
/// When the driver ended by itself.
pub(crate) async fn serve(running: &mut Running) -> Result<End, StartError> {
    let catch = |kind| signal(kind).map_err(|error| StartError::new("catch signals", error));
    let (mut terminate, mut interrupt, mut hangup) =
        (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?, catch(SignalKind::hangup())?);
    if sample(running).await.is_none() {
        return Err(ended("driver"));
    }
    tracing::info!(
        server = %running.loaded.node.name,
        cluster = %running.loaded.cluster.name,
        socket = %running.loaded.node.socket.display(),
        configuration = if running.admin.desk.is_some() { "document" } else { "file" },
        "ready"
    );
    let _no_manager = sd_notify::notify(&[NotifyState::Ready]);
    let mut watch = Watch::new();
    let mut goodbye = running.goodbye.clone();
    let mut reload = Reload::default();
    let circle = running.admin.access.circle.clone();
    // The keys of DNS cookies follow the heartbeat key, on every server.
    let mut cookies = 0;
    let mut configurations = running.admin.desk.as_ref().map(|desk| desk.force.clone());
    let end = loop {
        if let Some(thread) = running.broken() {
            break Err(ended(thread));
        }
        tokio::select! {
            _ = terminate.recv() => break Ok(End::Stopped),
            _ = interrupt.recv() => break Ok(End::Stopped),
            why = expelled(circle.as_deref()) => break Ok(End::Expelled(why)),
            () = rekeyed(circle.as_deref(), &mut cookies) => reload.ask(&running.config),
            _ = hangup.recv() => {
                if running.admin.desk.is_some() {
                    tracing::info!("document mode: SIGHUP reads the node file again; the cluster's configuration is edited");
                }
                reload.ask(&running.config);
            }
            force = documented(&mut configurations) => reload::adopt(running, force).await,
            read = reload.read() => reload::apply(running, read).await,
            _ = watch.ticks.tick() => watch.tick(running).await,
            // The sender goes with the driver.
            Err(_) = goodbye.changed() => break Err(ended("driver")),
        }
    };
    let _no_manager = sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("handing over")]);
    tracing::info!("stopping: handing everything over");
    // Whoever asks again wants it at once.
    tokio::select! {
        () = running.resign() => {}
        () = either(&mut terminate, &mut interrupt) => tracing::warn!("asked again: stopping without waiting"),
    }
    end
}

/// Why this server must stop; never, while it need not.
async fn expelled(circle: Option<&Circle>) -> String {
    let Some(circle) = circle else { return pending().await };
    let mut expelled = circle.expelled.subscribe();
    match expelled.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or_default(),
        Err(_) => pending().await,
    }
}

/// The heartbeat key in use is another one than when this was last called.
async fn rekeyed(circle: Option<&Circle>, seen: &mut u64) {
    let Some(circle) = circle else { return pending().await };
    let mut rekeyed = circle.rekeyed.subscribe();
    match rekeyed.wait_for(|count| *count != *seen).await {
        Ok(count) => *seen = *count,
        Err(_) => pending().await,
    }
}

/// What the document puts in force, when it is something else; never, in file mode. Safe to drop and call again.
async fn documented(configurations: &mut Option<watch::Receiver<Force>>) -> Force {
    let Some(configurations) = configurations else { return pending().await };
    match configurations.changed().await {
        Ok(()) => configurations.borrow_and_update().clone(),
        // The desk's thread has ended, which is noticed elsewhere.
        Err(_) => pending().await,
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn ended(thread: &str) -> StartError {
    StartError::new("go on", std::io::Error::other(format!("the {thread} thread ended by itself")))
        .advice("this is a defect: please report it with the log")
}

/// The core's account; none when the driver does not answer within a second.
async fn sample(running: &Running) -> Option<Sample> {
    let (reply, answer) = oneshot::channel();
    running.queue.offer(Message::Sample(reply)).ok()?;
    tokio::time::timeout(HANGS, answer).await.ok()?.ok()
}

/// What the service manager is told, and the serial on disk.
struct Watch {
    ticks: Interval,
    watchdog: bool,
    said: String,
    kept: u32,
    /// The guardian was there when last looked.
    guarded: bool,
}

impl Watch {
    fn new() -> Self {
        let watchdog = sd_notify::watchdog_enabled();
        // Twice as often as the watchdog wants it, as sd_watchdog_enabled(3) recommends.
        let mut ticks = interval(watchdog.map_or(TICK, |wanted| (wanted / 2).clamp(Duration::from_millis(50), TICK)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, watchdog: watchdog.is_some(), said: String::new(), kept: 0, guarded: true }
    }

    async fn tick(&mut self, running: &Running) {
        let age = running.pulse.age(host::clock::now());
        if age > HANGS {
            tracing::error!(age_ms = age.as_millis(), "the driver hangs: the watchdog hears nothing");
            return;
        }
        if self.watchdog {
            let _no_manager = sd_notify::notify(&[NotifyState::Watchdog]);
        }
        let guarded = running.ward.as_ref().is_none_or(Ward::is_guarded);
        if self.guarded && !guarded {
            tracing::error!(
                "the guardian is gone: this daemon runs on, and nobody cleans up if it dies; restart it soon"
            );
        }
        self.guarded = guarded;
        let Some(sample) = sample(running).await else { return };
        let said = summary(&sample);
        if said != self.said {
            let _no_manager = sd_notify::notify(&[NotifyState::Status(&said)]);
            self.said = said;
        }
        self.keep(running.loaded.node.state_dir.clone(), sample.health.serial);
    }

    fn keep(&mut self, state_dir: PathBuf, serial: u32) {
        if serial != self.kept {
            self.kept = serial;
            // Not awaited: a disk that hangs must not keep the watchdog from being fed.
            drop(tokio::task::spawn_blocking(move || {
                if let Err(error) = serial::keep(&state_dir, serial) {
                    tracing::warn!(%error, directory = %state_dir.display(), "cannot keep the zone serial");
                }
            }));
        }
    }
}

/// One line for `systemctl status`.
fn summary(sample: &Sample) -> String {
    let status = &sample.cluster;
    let alive = status.servers.iter().filter(|server| matches!(server.state.as_str(), "self" | "alive" | "suspect"));
    let this = sample.applied.this.as_str();
    let held = status.virtual_hosts.iter().filter(|host| host.active.as_deref() == Some(this));
    let held: Vec<&str> = held.map(|host| host.name.as_str()).collect();
    let holds = if held.is_empty() { "nothing".to_owned() } else { held.join(" ") };
    format!("{}: {} of {} servers alive; holds {holds}", status.state, alive.count(), status.servers.len())
}
