//! How the allocator treats large pieces of memory.
//!
//! An edit of a large zone makes and drops some pieces of megabytes: its text, its change, its message. glibc raises the size
//! from which a piece gets pages of its own with every such piece that is freed, up to 32 MiB; from then on they are cut out of a
//! heap that never shrinks again. With a fixed size they go back to the kernel as soon as they are dropped.

use std::io;

/// Pieces of this size and more, in bytes, get pages of their own. Making them costs a page fault for each page.
const LARGE: libc::c_int = 512 << 10;

/// Has large pieces go back to the kernel when they are dropped, in the whole process. Best effort.
///
/// # Errors
/// When the allocator does not know the setting.
pub fn return_large() -> io::Result<()> {
    // SAFETY: mallopt takes numbers alone; it is called before there are threads, as mallopt(3) asks for.
    match unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) } {
        1 => Ok(()),
        _ => Err(io::Error::other("the allocator has no M_MMAP_THRESHOLD")),
    }
}
