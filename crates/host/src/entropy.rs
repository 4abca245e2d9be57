//! The kernel's random numbers: the one place that asks for them.
//!
//! Deliberately not here: a generator of our own. Nothing needs numbers fast enough.

use std::io;

use model::BootId;

/// The name of this run of the daemon. Fails only where the kernel has no getrandom(2).
pub fn boot_id() -> io::Result<BootId> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    Ok(BootId(bytes))
}

/// A number for spreading things in time. Zero where the kernel gives none: spread is a courtesy.
pub fn spread() -> u64 {
    let mut bytes = [0; 8];
    match fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}

/// Fills `bytes`, at most 256 of them: up to that length getrandom(2) is never interrupted and never short.
fn fill(bytes: &mut [u8]) -> io::Result<()> {
    debug_assert!(bytes.len() <= 256);
    // SAFETY: the pointer and the length describe `bytes`, which is writable and outlives the call.
    let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match usize::try_from(filled) {
        Ok(filled) if filled == bytes.len() => Ok(()),
        Ok(_) => Err(io::Error::other("getrandom gave too little")),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_have_two_names() {
        assert_ne!(boot_id().expect("getrandom"), boot_id().expect("getrandom"));
    }
}
