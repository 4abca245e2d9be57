//! A value that somebody else writes to a file: `up`, `degraded` or `down` with a reason behind it, or whatever the monitor
//! expects.

use std::{fs::OpenOptions, io::Read, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use model::config::probe::FileProbe;

use super::{
    attempt::{Deadline, Failed, Warning, quoted, reason},
    kept::Kept,
};
use crate::clock;

/// So much of it is read.
const LONGEST: u64 = 4096;

pub(super) async fn attempt(probe: &FileProbe, deadline: Deadline, kept: &Kept) -> Result<Option<Warning>, Failed> {
    let path = probe.path.clone();
    let (text, age) = kept.apart(deadline, "reading the file", move || read(&path)).await?.map_err(Failed::lost)?;
    if let Some(limit) = probe.max_age.filter(|limit| age > *limit) {
        return Err(Failed::lost(format!("written {} s ago, more than {} s", age.as_secs(), limit.as_secs())));
    }
    let said = quoted(text.lines().next().unwrap_or_default());
    if let Some(expect) = &probe.expect {
        return match expect.is_found_in(&text) {
            true => Ok(None),
            false => Err(Failed::lost(format!("no {:?} in {said:?}", expect.as_str()))),
        };
    }
    let (word, rest) = said.split_once(' ').unwrap_or((&said, ""));
    let why = if rest.is_empty() { format!("the file says {word}") } else { rest.to_owned() };
    match word {
        "up" => Ok(None),
        "degraded" => Ok(Some(why)),
        "down" => Err(Failed::lost(why)),
        _ => Err(Failed::lost(format!("up, degraded or down expected, {said:?} found"))),
    }
}

/// What is in it, and how long ago it was written; a time to come is now.
fn read(path: &Path) -> Result<(String, Duration), String> {
    let at = path.display();
    let wrong = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{at} does not exist"),
        _ => format!("{at} cannot be read: {}", reason(&error)),
    };
    // A pipe without a writer would be waited for.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(wrong)?;
    let found = file.metadata().map_err(wrong)?;
    if !found.is_file() {
        return Err(format!("{at} is not a plain file"));
    }
    let written = found.modified().map_err(wrong)?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).map_err(wrong)?;
    let age = clock::wall().duration_since(written).unwrap_or_default();
    Ok((String::from_utf8_lossy(&bytes).into_owned(), age))
}
