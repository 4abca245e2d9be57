//! How the allocator treats large pieces of memory.
//!
//! An edit of a large zone makes and drops some pieces of megabytes: its text, its change, its message. glibc raises the size
//! from which a piece gets pages of its own with every such piece that is freed, up to 32 MiB; from then on they are cut out of a
//! heap that never shrinks again. With a fixed size they go back to the kernel as soon as they are dropped.
//!
//! Their pages then are made and freed with every edit, one fault each: more than half of what an edit costs, and milliseconds
//! for whoever drops the last of a zone. So the [`Allocator`] has the kernel make huge pages of what is larger still.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io,
};

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

/// A huge page, in bytes, on the machines that we know.
const HUGE: usize = 2 << 20;

/// The system's allocator; pieces of a huge page and more begin at the beginning of one, and are made of such as far as
/// they are whole. Where the kernel has none to give, they are made of small ones as ever.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: everything is handed on to the system's allocator, which gives a piece back whatever its alignment was, and a
// larger alignment than asked for is one that was asked for. What is done beside it is advice about whole pages of the piece.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let aligned = layout.align_to(HUGE).ok().filter(|_| layout.size() >= HUGE);
        // SAFETY: the size is the caller's, who says that it is not zero.
        let piece = unsafe { System.alloc(aligned.unwrap_or(layout)) };
        advise(piece, layout.size());
        piece
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        // SAFETY: the caller's word for piece and layout; the system asks nothing of the layout but that.
        unsafe { System.dealloc(piece, layout) }
    }

    /// Not advised: who asks for zeros may never touch them.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's word.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's word. The system moves pages and keeps to the alignment of `layout`.
        let piece = unsafe { System.realloc(piece, layout, size) };
        advise(piece, size);
        piece
    }
}

fn advise(piece: *mut u8, size: usize) {
    let (start, end) = (piece.addr().next_multiple_of(HUGE), (piece.addr() + size) / HUGE * HUGE);
    if !piece.is_null() && start < end {
        // SAFETY: these pages are of the piece alone, and the advice changes nothing of what is in them.
        let _refused = unsafe { libc::madvise(piece.with_addr(start).cast(), end - start, libc::MADV_HUGEPAGE) };
    }
}
