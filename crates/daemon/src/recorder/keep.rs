//! What the flight recorder had when an incident began, on the disk: `heartbeats/SINCE-UNTIL.jsonl` in the state directory,
//! times in milliseconds since 1970.
//!
//! A task follows the cluster's log. When something begins it waits [`AFTER`], and writes what there is from [`BEFORE`] on; at
//! most once in [`PAUSE`], so that a long row of incidents leaves several whole pictures and not one of each second. [`MOST`]
//! files are kept, the newest: some 40 MiB at most.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use chronicle::incident;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Heartbeat, Recorder};
use crate::cluster_log::{Log, wall_ms};

/// Where, below the state directory.
const DIRECTORY: &str = "heartbeats";
/// From so long before an incident was noted.
const BEFORE: Duration = Duration::from_secs(15);
/// Until so long after it.
const AFTER: Duration = Duration::from_secs(5);
/// Between two files.
const PAUSE: Duration = Duration::from_secs(30);
/// Files that are kept.
const MOST: usize = 32;
/// What was noted longer ago is of another time: a peer tells what this server has missed.
const NEWS_MS: u64 = 10_000;
/// Readings of one moment differ by less, in microseconds; a heartbeat does not come twice on one path in this time.
const CLOCKS_US: u64 = 5_000;
/// Heartbeats in one answer.
const LONGEST: usize = 40_000;

/// Where heartbeats are, and who may read them.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// What they are copied from.
    pub recorder: Recorder,
    directory: PathBuf,
}

impl Kept {
    /// Below this state directory.
    pub(crate) fn new(recorder: Recorder, state_dir: &Path) -> Self {
        Self { recorder, directory: state_dir.join(DIRECTORY) }
    }

    /// Follows the log until it is told to stop.
    pub(crate) async fn follow(self, log: Log, stop: CancellationToken) {
        let (mut news, mut seen) = (log.news(), log.arrived(u64::MAX).count);
        let mut next = host::clock::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = news.changed() => if changed.is_err() { return },
            }
            let arrived = log.arrived(seen);
            seen = arrived.count;
            let now = wall_ms();
            let begins = arrived.entries.iter().filter(|entry| incident::begins(entry));
            let times = begins.map(|entry| entry.stamp.wall_ms).filter(|at| now.abs_diff(*at) < NEWS_MS);
            let Some(began) = times.min() else { continue };
            let wait = AFTER.max(next.since(host::clock::now()));
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(wait) => {}
            }
            next = host::clock::now() + PAUSE;
            let kept = self.clone();
            let since = began.saturating_sub(u64::try_from(BEFORE.as_millis()).unwrap_or(u64::MAX));
            let written = tokio::task::spawn_blocking(move || kept.freeze(since, wall_ms())).await;
            if let Ok(Err(error)) = written {
                let path = self.directory.display();
                tracing::warn!(%error, %path, "the heartbeats around an incident cannot be kept");
            }
        }
    }

    /// Copies to the disk what the recorder has of this time, in milliseconds since 1970.
    fn freeze(&self, since_ms: u64, until_ms: u64) -> io::Result<()> {
        let heartbeats = self.live(since_ms, until_ms);
        let lines = heartbeats.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        host::store::make_private(&self.directory)?;
        let path = self.directory.join(format!("{since_ms}-{until_ms}.jsonl"));
        let unfinished = path.with_extension("new");
        let mut file = fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
        file.write_all((lines.join("\n") + "\n").as_bytes())?;
        fs::rename(&unfinished, &path)?;
        let files = self.files()?;
        files.iter().rev().skip(MOST).try_for_each(|(_, _, path)| fs::remove_file(path))
    }

    fn live(&self, since_ms: u64, until_ms: u64) -> Vec<Heartbeat> {
        let micros = |ms: u64| ms.saturating_mul(1_000);
        let both_clocks = (host::clock::now(), micros(wall_ms()));
        self.recorder.between(micros(since_ms), micros(until_ms), both_clocks)
    }

    /// What was kept, the oldest first: from when until when, and where.
    fn files(&self) -> io::Result<Vec<(u64, u64, PathBuf)>> {
        let mut files = Vec::new();
        let directory = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            directory => directory?,
        };
        for file in directory {
            let path = file?.path();
            let times = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jsonl")?.split_once('-'));
            if let Some((Ok(since), Ok(until))) = times.map(|(since, until)| (since.parse(), until.parse())) {
                files.push((since, until, path));
            }
        }
        files.sort();
        Ok(files)
    }

    /// What is known of this time, in milliseconds since 1970: from memory, and from what was kept. It reads files.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn read(&self, since_ms: u64, until_ms: u64) -> io::Result<Vec<Heartbeat>> {
        let mut all = self.live(since_ms, until_ms);
        let recorded = all.first().map_or(until_ms.saturating_mul(1_000), |first| first.at_us);
        let wanted = since_ms.saturating_mul(1_000)..recorded.min(until_ms.saturating_mul(1_000));
        for (since, until, path) in self.files()? {
            if until < since_ms || since >= until_ms {
                continue;
            }
            let text = fs::read_to_string(path)?;
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Heartbeat>(line).ok());
            all.extend(lines.filter(|heartbeat| wanted.contains(&heartbeat.at_us)));
        }
        // Two files may overlap, and two readings of the clocks differ a little.
        let same = |one: &Heartbeat, other: &Heartbeat| Heartbeat { at_us: other.at_us, ..one.clone() } == *other;
        let key = |one: &Heartbeat| (one.number, one.peer.clone(), one.path.clone(), one.at_us);
        all.sort_by_cached_key(key);
        all.dedup_by(|one, before| same(one, before) && one.at_us.abs_diff(before.at_us) < CLOCKS_US);
        all.sort_by_key(|heartbeat| heartbeat.at_us);
        all.truncate(LONGEST);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::heard, *};

    #[test]
    fn what_was_kept_is_read_when_the_ring_has_long_forgotten_it() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::new(heard(100), directory.path());
        let now = wall_ms() + 1;
        kept.freeze(now - 60_000, now).unwrap();
        let later = Kept::new(Recorder::default(), directory.path());
        let read = later.read(now - 60_000, now).unwrap();
        assert_eq!(read.len(), 100);
        assert_eq!(kept.read(now - 60_000, now).unwrap().len(), 100, "what both have is there once");
        assert_eq!(later.read(now - 120_000, now - 60_000).unwrap(), []);
    }

    #[test]
    fn only_the_newest_files_stay() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::new(heard(1), directory.path());
        for file in 0..40 {
            kept.freeze(1_000 + file, 2_000 + file).unwrap();
        }
        let files = kept.files().unwrap();
        assert_eq!((files.len(), files[0].0), (MOST, 1_008));
    }
}
