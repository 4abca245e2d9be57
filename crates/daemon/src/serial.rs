//! The zone serial that a run begins with: never below one that this server has told before.
//!
//! Kept as a number in `serial` in the state directory, once a second if it has grown: a disk that hangs must not delay
//! an answer. Where there is none (a new machine, a lost disk) the seconds since 1970 stand in: whatever an earlier life
//! of the cluster counted to, one change a second at most, lies below them. From then on the core only counts up, and
//! takes over what peers have seen.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// More than a server can tell within the second before a crash.
const UNKEPT: u32 = 1000;

const FILE: &str = "serial";

/// The serial to begin with.
pub(crate) fn at_start(state_dir: &Path) -> u32 {
    let clock = host::clock::wall().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let clock = u32::try_from(clock).unwrap_or(1);
    match fs::read_to_string(file(state_dir)) {
        Ok(text) => text.trim().parse::<u32>().map_or(clock, |told| told.wrapping_add(UNKEPT)),
        Err(_) => clock,
    }
}

/// Keeps a serial.
///
/// # Errors
/// The disk's; the serial is then not kept.
pub(crate) fn keep(state_dir: &Path, serial: u32) -> io::Result<()> {
    host::store::replace(state_dir, FILE, format!("{serial}\n").as_bytes())
}

fn file(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_never_goes_backwards_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert!(at_start(&state) > 1_700_000_000);
        keep(&state, 4_000_000_000).unwrap();
        assert_eq!(at_start(&state), 4_000_001_000);
        fs::write(file(&state), "garbage").unwrap();
        assert!(at_start(&state) > 1_700_000_000);
    }
}
