//! Samples of what DNS is asked: a sheet for each answering thread, which another thread takes away once in a while.
//!
//! Invariants: the thread that answers never waits: where its sheet is just being taken it notes nothing. A quiet thread notes every
//! reply, a busy one those of one batch in [`SAMPLED`], each of which stands for as many; which it is was decided when its sheet was
//! last taken. So counts are estimates once there is much to count.
//!
//! Deliberately not here: what is counted (`dns::usage`), and for how long it counts (`daemon::usage`).

use std::{
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU32, Ordering},
    },
};

use dns::usage::Sheet;

use crate::entropy;

/// Of a busy thread one batch in so many is noted.
pub const SAMPLED: u32 = 16;
/// A thread is busy that has sent more replies since its sheet was taken.
pub const QUIET: u64 = 1000;

/// One thread's sheet.
#[derive(Debug)]
pub(crate) struct Samples {
    sheet: Mutex<Box<Sheet>>,
    stride: AtomicU32,
}

impl Samples {
    pub(crate) fn new() -> Self {
        Self { sheet: Mutex::new(spare()), stride: AtomicU32::new(1) }
    }

    /// Notes the replies of a batch by its number, if its turn has come.
    pub(crate) fn note<'r>(&self, batch: u32, replies: impl Iterator<Item = (IpAddr, &'r [u8])>) {
        let stride = self.stride.load(Ordering::Relaxed).max(1);
        if batch.is_multiple_of(stride)
            && let Some(mut sheet) = self.sheet()
        {
            replies.for_each(|(client, reply)| sheet.note(client, reply, stride.into()));
        }
    }

    /// Notes a reply in any case, unless somebody else has the sheet.
    pub(crate) fn note_one(&self, client: IpAddr, reply: &[u8]) {
        if let Some(mut sheet) = self.sheet() {
            sheet.note(client, reply, 1);
        }
    }

    /// The sheet, unless somebody else has it.
    fn sheet(&self) -> Option<MutexGuard<'_, Box<Sheet>>> {
        match self.sheet.try_lock() {
            Ok(sheet) => Some(sheet),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Takes the sheet away and leaves an empty one.
    pub(crate) fn take(&self, empty: &mut Box<Sheet>) {
        std::mem::swap(&mut *self.sheet.lock().unwrap_or_else(PoisonError::into_inner), empty);
        self.stride.store(if empty.replies > QUIET { SAMPLED } else { 1 }, Ordering::Relaxed);
    }
}

/// An empty sheet.
pub fn spare() -> Box<Sheet> {
    Box::new(Sheet::new(entropy::spread()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply to `a`.
    const REPLY: &[u8] = &[0, 1, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];

    fn batch() -> impl Iterator<Item = (IpAddr, &'static [u8])> {
        (0..64).map(|_| ("192.0.2.1".parse().unwrap(), REPLY))
    }

    #[test]
    fn a_busy_thread_notes_one_batch_in_sixteen_for_all_of_them() {
        let (samples, mut sheet) = (Samples::new(), spare());
        for taken in 0..3 {
            (0..1600).for_each(|number| samples.note(number, batch()));
            samples.take(&mut sheet);
            assert_eq!(sheet.replies, 1600 * 64, "the {taken}th sheet: exact, or an estimate of the same");
            assert_eq!(sheet.names.iter().map(|(_, count)| count).sum::<u64>(), 1600 * 64);
            sheet.clear();
        }
        // Quiet again: from the sheet after next on, every reply.
        samples.take(&mut sheet);
        samples.note(1, batch());
        samples.take(&mut sheet);
        assert_eq!(sheet.replies, 64);
    }

    #[test]
    fn nobody_waits_for_a_sheet_that_is_being_taken() {
        let samples = Samples::new();
        let taking = samples.sheet.lock().unwrap();
        samples.note(0, batch());
        drop(taking);
        let mut sheet = spare();
        samples.take(&mut sheet);
        assert_eq!(sheet.replies, 0);
    }
}
