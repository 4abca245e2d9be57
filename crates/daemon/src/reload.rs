//! Configuration read again while the daemon runs: all or nothing. A mistake anywhere leaves everything as it is, and is
//! told in the log, in the status and by a metric.
//!
//! Files are read, and zones compiled, on a thread of their own, however long that takes. Who asks again meanwhile is
//! served afterwards, once: the files may have changed since. In document mode the cluster's part comes from the desk instead,
//! whenever the document changes ([`adopt`]), and a reload is about the node file alone.

use std::{
    future::pending,
    path::{Path, PathBuf},
    sync::Arc,
};

use dns::Zones;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    desk::{Busy, Force},
    driver::Message,
    load::{self, Loaded, Mode},
    roles::Running,
};

/// What was read: everything, or every mistake as text.
pub(crate) type Read = Result<(Loaded, Arc<Zones>), String>;

/// Reading that is under way.
#[derive(Default)]
pub(crate) struct Reload {
    reading: Option<JoinHandle<Read>>,
    again: Option<PathBuf>,
}

impl Reload {
    /// Begins to read, or remembers to do so.
    pub(crate) fn ask(&mut self, config: &Path) {
        if self.reading.is_some() {
            self.again = Some(config.to_owned());
        } else {
            let config = config.to_owned();
            self.reading = Some(spawn_blocking(move || read(&config)));
        }
    }

    /// What was read, when it is; never, while nothing is being read. Safe to drop and call again.
    pub(crate) async fn read(&mut self) -> Read {
        let Some(reading) = &mut self.reading else { return pending().await };
        let read = reading.await;
        self.reading = None;
        if let Some(config) = self.again.take() {
            self.ask(&config);
        }
        read.unwrap_or_else(|_| Err("reading the configuration panicked: this is a defect".to_owned()))
    }
}

fn read(config: &Path) -> Read {
    let mut loaded = load::load(config).map_err(|error| error.to_string())?;
    let zones = Zones::compile(std::mem::take(&mut loaded.zones), &loaded.cluster);
    let zones = Arc::new(zones.with_cookies(loaded.cookie_secrets()));
    Ok((loaded, zones))
}

/// Brings into force what was read, or records why not.
pub(crate) async fn apply(running: &mut Running, read: Read) {
    let accepted = match read {
        Ok((loaded, _)) if loaded.mode != running.loaded.mode => {
            Err("there is a document in the state directory now: restart the daemon, and it rules".to_owned())
        }
        Ok((loaded, zones)) => match newest(running, loaded, zones).await {
            Ok((loaded, zones)) => accept(running, loaded, zones).await,
            Err(busy) => Err(busy.to_string()),
        },
        Err(errors) => Err(errors),
    };
    tell(running, accepted).await;
}

/// In document mode an edit may have come in while the files were read: the desk knows the newest.
async fn newest(running: &Running, mut loaded: Loaded, zones: Arc<Zones>) -> Result<(Loaded, Arc<Zones>), Busy> {
    let Some(desk) = &running.admin.desk else { return Ok((loaded, zones)) };
    let cookies = loaded.cookie_secrets();
    let force = desk.ask(move |desk| desk.with_cookies(cookies)).await?;
    loaded.cluster = force.settled.checked.config.clone();
    Ok((loaded, force.zones))
}

/// Brings into force what the document says, or records why not.
pub(crate) async fn adopt(running: &mut Running, force: Force) {
    let old = &running.loaded;
    let config = &force.settled.checked.config;
    let accepted = if config.servers.contains_key(&old.node.name) {
        let loaded = Loaded {
            node: old.node.clone(),
            cluster: config.clone(),
            mode: Mode::Document,
            zones: Vec::new(),
            keys: old.keys.clone(),
            member: old.member,
            warnings: Vec::new(),
            refused_hooks: load::hooks_refused(&force.settled, &old.node),
        };
        accept(running, loaded, force.zones).await
    } else {
        Err(format!("the document has no server `{}` any more: what was in force stays", old.node.name))
    };
    tell(running, accepted).await;
}

async fn tell(running: &Running, accepted: Result<Message, String>) {
    let message = accepted.unwrap_or_else(|errors| Message::Refused(errors.into()));
    let queue = running.queue.clone();
    // Waits for room, and not for long: a driver that takes nothing is the watchdog's business.
    drop(spawn_blocking(move || queue.send(message)).await);
    if let Some(desk) = &running.admin.desk {
        desk.applied.send_replace(running.loaded.cluster.digest);
    }
}

/// Opens what has to be opened, and returns what the driver is to be told.
async fn accept(running: &mut Running, new: Loaded, zones: Arc<Zones>) -> Result<Message, String> {
    let old = &running.loaded.node;
    if new.node.name != old.name {
        let (was, is) = (&old.name, &new.node.name);
        return Err(format!("the name of this server has changed from {was} to {is}: restart the daemon for that"));
    }
    new.complain();
    for setting in needs_restart(&running.loaded, &new) {
        tracing::warn!(setting, "has changed; that takes effect when the daemon is restarted");
    }
    let service = running.name_service.clone();
    let new = spawn_blocking(move || service.configure(&new).map(|()| new))
        .await
        .map_err(|_| "opening the DNS sockets panicked: this is a defect".to_owned())?
        .map_err(|error| error.to_string())?;
    let config = new.cluster.clone();
    running.admin.notify.configure(&new);
    running.loaded = new;
    Ok(Message::Configure { config, zones })
}

/// Settings that differ and are read at start alone.
fn needs_restart(old: &Loaded, new: &Loaded) -> Vec<&'static str> {
    let (a, b) = (&old.node, &new.node);
    let settings = [
        ("membership of a cluster", old.member != new.member),
        ("state-dir", a.state_dir != b.state_dir),
        ("socket", a.socket != b.socket),
        ("[heartbeat] listen", a.heartbeat_listen != b.heartbeat_listen),
        ("[heartbeat] ethernet", a.heartbeat_ethernet != b.heartbeat_ethernet),
        ("[heartbeat] key-file", !new.member && (a.key_file != b.key_file || old.keys != new.keys)),
        ("[admin] listen", a.admin_listen != b.admin_listen),
        ("[metrics] listen", a.metrics_listen != b.metrics_listen),
        ("[dns] identity", old.cluster.dns.identity != new.cluster.dns.identity),
    ];
    settings.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}
