//! What of monitors' holds outlives the daemon, in the state directory: latches, which only an operator ends, and operators'
//! own words. So a restart of the daemon, be it planned, its guardian's, or after a power loss, forgets none of them.
//!
//! `holds` is one frame (`host::store::frame`) with JSON in it, replaced whole by a thread; what waits is a cell, not a queue.
//!
//! A word with an end is kept twice: as the time since this machine's boot at which it ends, and as what was left of it
//! when it was written. After a restart within the same boot the first counts, so that the time without a daemon counts,
//! too. After a reboot it is the second. That is written anew every minute, so a reboot prolongs it by a minute at most, and by the
//! time for which the machine was off: the wall clock is not asked.
//!
//! Invariants: a file that cannot be read is set aside as `holds.bad` and told; nothing but the holds is lost by it, and no
//! start fails for it.
//!
//! Deliberately not here: what a hold means (`cluster`). Nobody waits for the disk: an operator is answered before, so a power
//! loss within that moment loses the word.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use host::store::{frame, replace};
use model::{
    EndpointName, Instant, MonitorId, Subject, VirtualHostName,
    health::{Forced, LastingHold},
};
use serde::{Deserialize, Serialize};

const FILE: &str = "holds";
/// What a start could not read.
const BAD: &str = "holds.bad";
/// How often what is left is written anew, where something ends by itself.
const AGAIN: Duration = Duration::from_secs(60);

/// By monitor.
type All = BTreeMap<MonitorId, LastingHold>;

/// The newest-wins cell in front of the thread that writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holds(Arc<(Mutex<Cell>, Condvar)>);

#[derive(Debug, Default)]
struct Cell {
    holds: Option<All>,
    closed: bool,
}

impl Holds {
    /// What an earlier daemon has kept, and the thread that keeps it from now on.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub(crate) fn open(state_dir: &Path) -> io::Result<(All, (Self, JoinHandle<()>))> {
        let known = at_start(state_dir);
        let running = Self::start(state_dir, &known)?;
        Ok((known, running))
    }

    /// Starts the thread; it ends after [`Holds::close`]. What is `known` from before is written at once: what is left of it
    /// may count from another boot on.
    fn start(state_dir: &Path, known: &All) -> io::Result<(Self, JoinHandle<()>)> {
        let (holds, directory) = (Self::default(), state_dir.to_owned());
        if !known.is_empty() {
            holds.set(known.clone());
        }
        let worker = holds.clone();
        let thread = thread::Builder::new().name("standin-holds".into()).spawn(move || worker.run(&directory))?;
        Ok((holds, thread))
    }

    /// What is to be kept from now on.
    pub(crate) fn set(&self, holds: All) {
        self.lock().holds = Some(holds);
        self.0.1.notify_one();
    }

    /// Ends the thread when what waits is written.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.0.1.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Cell> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, directory: &Path) {
        let mut holds = All::new();
        while let Some(newer) = self.wait(&holds) {
            holds = newer;
            if let Err(error) = keep(directory, &holds, host::clock::now(), host::clock::boot()) {
                let directory = directory.display();
                tracing::warn!(%error, %directory, "latches and forced monitors are not kept: a restart forgets them");
            }
        }
    }

    /// What is to be written next: what is new, or `known` once more; none once closed.
    fn wait(&self, known: &All) -> Option<All> {
        let ends = known.values().any(|hold| hold.forced.is_some_and(|forced| forced.until.is_some()));
        let nothing = |cell: &mut Cell| cell.holds.is_none() && !cell.closed;
        let mut cell = match ends {
            true => self.0.1.wait_timeout_while(self.lock(), AGAIN, nothing).unwrap_or_else(PoisonError::into_inner).0,
            false => self.0.1.wait_while(self.lock(), nothing).unwrap_or_else(PoisonError::into_inner),
        };
        match cell.holds.take() {
            Some(newer) => Some(newer),
            None if cell.closed => None,
            None => Some(known.clone()),
        }
    }
}

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Which boot of this machine the times since boot belong to.
    boot: Option<String>,
    monitors: Vec<Line>,
}

/// One monitor: of a virtual host, or of an endpoint's address.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<(String, IpAddr)>,
    monitor: String,
    latched: bool,
    /// Up or down; until when in nanoseconds since boot, and what is left, in milliseconds.
    forced: Option<(bool, Option<(u64, u64)>)>,
}

/// Keeps `holds`, as they are `now`.
fn keep(directory: &Path, holds: &All, now: Instant, boot: Option<String>) -> io::Result<()> {
    let kept = Kept { boot, monitors: holds.iter().filter_map(|(id, hold)| Line::of(id, *hold, now)).collect() };
    replace(directory, FILE, &frame::write(&serde_json::to_vec(&kept).map_err(io::Error::other)?)?)
}

/// What an earlier daemon has kept.
fn at_start(state_dir: &Path) -> All {
    match read(&state_dir.join(FILE), host::clock::now(), host::clock::boot().as_deref()) {
        Ok(holds) => holds,
        Err(error) if error.kind() == ErrorKind::NotFound => All::new(),
        Err(error) => {
            let aside: PathBuf = state_dir.join(BAD);
            let kept = fs::rename(state_dir.join(FILE), &aside).is_ok().then(|| aside.display().to_string());
            tracing::error!(
                %error,
                set_aside = kept.as_deref().unwrap_or("nowhere"),
                "latches and forced monitors from before this start are lost: look which services must stay out, and force them down"
            );
            All::new()
        }
    }
}

fn read(file: &Path, now: Instant, boot: Option<&str>) -> io::Result<All> {
    let bytes = fs::read(file)?;
    let damaged = |what: &str| io::Error::new(ErrorKind::InvalidData, format!("{}: {what}", file.display()));
    let chunk = match frame::read(&bytes) {
        (chunks, end) if end == bytes.len() && chunks.len() == 1 => chunks[0],
        _ => return Err(damaged("damaged")),
    };
    let kept: Kept = serde_json::from_slice(chunk).map_err(|error| damaged(&error.to_string()))?;
    let same_boot = kept.boot.is_some() && kept.boot.as_deref() == boot;
    Ok(kept.monitors.into_iter().filter_map(|line| line.hold(now, same_boot)).collect())
}

impl Line {
    /// None of what no operator can speak of.
    fn of(id: &MonitorId, hold: LastingHold, now: Instant) -> Option<Self> {
        let (virtual_host, endpoint) = match &id.subject {
            Subject::VirtualHost(name) => (Some(name.to_string()), None),
            Subject::Endpoint(name, address) => (None, Some((name.to_string(), *address))),
            Subject::Held(..) => return None,
        };
        let left = |until: Instant| u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX);
        let forced = hold.forced.map(|Forced { up, until }| (up, until.map(|until| (until.as_nanos(), left(until)))));
        Some(Self { virtual_host, endpoint, monitor: id.monitor.to_string(), latched: hold.latched, forced })
    }

    fn hold(self, now: Instant, same_boot: bool) -> Option<(MonitorId, LastingHold)> {
        let monitor = self.monitor.into();
        let id = match (self.virtual_host, self.endpoint) {
            (Some(name), _) => MonitorId::of_host(&VirtualHostName::new(&name), &monitor),
            (None, Some((name, address))) => MonitorId::of_endpoint(&EndpointName::new(&name), address, &monitor),
            (None, None) => return None,
        };
        let until = |(at, left): (u64, u64)| match same_boot {
            true => Instant::from_nanos(at),
            false => now + Duration::from_millis(left),
        };
        let forced = self.forced.map(|(up, ends)| Forced { up, until: ends.map(until) });
        Some((id, LastingHold { latched: self.latched, forced }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::BOOT + Duration::from_secs(seconds)
    }

    fn holds() -> All {
        let host = |name: &str| MonitorId::of_host(&VirtualHostName::new("v1"), &name.into());
        let far = MonitorId::of_endpoint(&EndpointName::new("e"), "fd00::1".parse().unwrap(), &"tcp-80".into());
        let word = |up, until| LastingHold { latched: false, forced: Some(Forced { up, until }) };
        All::from([
            (host("http-80"), LastingHold { latched: true, forced: None }),
            (host("tcp-25"), word(false, Some(at(1_000)))),
            (far, word(true, None)),
        ])
    }

    #[test]
    fn within_a_boot_time_goes_on_and_after_a_reboot_what_was_left_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        keep(directory.path(), &holds(), at(400), Some("one".into())).unwrap();
        assert_eq!(read(&file, at(900), Some("one")).unwrap(), holds());
        let until = |holds: All| holds.values().find_map(|hold| hold.forced?.until).unwrap();
        assert_eq!(until(read(&file, at(5), Some("two")).unwrap()), at(605));
        assert_eq!(until(read(&file, at(5), None).unwrap()), at(605), "a kernel that does not say");
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_costs_the_holds_alone() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(at_start(directory.path()), All::new(), "the first start");
        keep(directory.path(), &holds(), at(400), host::clock::boot()).unwrap();
        assert_eq!(at_start(directory.path()), holds());
        let whole = fs::read(directory.path().join(FILE)).unwrap();
        for broken in [&whole[..whole.len() - 1], &[], &[whole.as_slice(), b"x"].concat(), &flipped(&whole)] {
            fs::write(directory.path().join(FILE), broken).unwrap();
            assert_eq!(at_start(directory.path()), All::new());
            assert_eq!(fs::read(directory.path().join(BAD)).unwrap(), broken);
            assert_eq!(at_start(directory.path()), All::new(), "told once");
        }
    }

    fn flipped(bytes: &[u8]) -> Vec<u8> {
        let mut flipped = bytes.to_vec();
        flipped[bytes.len() / 2] ^= 1;
        flipped
    }

    #[test]
    fn what_waits_at_the_end_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let (keeper, thread) = Holds::start(directory.path(), &All::new()).unwrap();
        keeper.set(All::new());
        keeper.set(holds());
        keeper.close();
        thread.join().unwrap();
        assert_eq!(at_start(directory.path()), holds());
    }

    #[test]
    fn after_a_reboot_what_is_left_counts_from_then_on_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        keep(directory.path(), &holds(), at(400), Some("the boot before".into())).unwrap();
        let known = at_start(directory.path());
        let (keeper, thread) = Holds::start(directory.path(), &known).unwrap();
        keeper.close();
        thread.join().unwrap();
        let later = host::clock::now() + Duration::from_secs(100);
        assert_eq!(read(&file, later, host::clock::boot().as_deref()).unwrap(), known);
    }
}
