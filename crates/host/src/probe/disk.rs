//! Free space of a file system, as df(1) counts it: what ordinary users may still use.

use std::{ffi::CString, io, mem::MaybeUninit, os::unix::ffi::OsStrExt, path::Path};

use model::config::probe::{DiskProbe, Space};

use super::{
    attempt::{Deadline, Failed, Warning, reason},
    kept::Kept,
};

pub(super) async fn attempt(probe: &DiskProbe, deadline: Deadline, kept: &Kept) -> Result<Option<Warning>, Failed> {
    let path = probe.path.clone();
    let usage = kept.apart(deadline, "looking at the disk", move || usage(&path)).await?;
    let usage = usage.map_err(|error| Failed::lost(format!("{}: {}", probe.path.display(), reason(&error))))?;
    let less = |than: Space| usage.is_below(than).then(|| format!("{}, less than {}", usage.text(than), spell(than)));
    match (less(probe.min_free), probe.warn_free.and_then(less)) {
        (Some(reason), _) => Err(Failed::lost(reason)),
        (None, warning) => Ok(warning),
    }
}

struct Usage {
    free: u64,
    used: u64,
}

fn usage(path: &Path) -> io::Result<Usage> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut found = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends in NUL and outlives the call, which writes one statvfs.
    if unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it was written.
    let found = unsafe { found.assume_init() };
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Usage { free: bytes(found.f_bavail), used: bytes(found.f_blocks.saturating_sub(found.f_bfree)) })
}

impl Usage {
    fn is_below(&self, than: Space) -> bool {
        match than {
            Space::Percent(part) => u128::from(self.free) * 100 < u128::from(self.free + self.used) * u128::from(part),
            Space::Bytes(bytes) => self.free < bytes,
        }
    }

    /// In the unit of a limit.
    fn text(&self, than: Space) -> String {
        match than {
            Space::Percent(_) => {
                format!("{}% free", u128::from(self.free) * 100 / u128::from((self.free + self.used).max(1)))
            }
            Space::Bytes(_) => format!("{} free", bytes(self.free)),
        }
    }
}

fn spell(space: Space) -> String {
    match space {
        Space::Percent(part) => format!("{part}%"),
        Space::Bytes(size) => bytes(size),
    }
}

/// In the largest unit of which there is one.
fn bytes(size: u64) -> String {
    let (unit, word) = match size {
        0..0x4000_0000 => (1 << 20, "MiB"),
        0x4000_0000..0x100_0000_0000 => (1 << 30, "GiB"),
        0x100_0000_0000.. => (1_u64 << 40, "TiB"),
    };
    format!("{}{word}", size / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_parts_or_sizes() {
        let usage = Usage { free: 4 << 30, used: 96 << 30 };
        assert!(usage.is_below(Space::Percent(5)) && !usage.is_below(Space::Percent(4)));
        assert!(usage.is_below(Space::Bytes(5 << 30)) && !usage.is_below(Space::Bytes(4 << 30)));
        assert_eq!((usage.text(Space::Percent(5)), spell(Space::Percent(5))), ("4% free".into(), "5%".into()));
        assert_eq!(
            (usage.text(Space::Bytes(5 << 30)), spell(Space::Bytes(1 << 40))),
            ("4GiB free".into(), "1TiB".into())
        );
        assert_eq!(Usage { free: 0, used: 0 }.text(Space::Percent(1)), "0% free");
    }
}
