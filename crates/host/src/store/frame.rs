//! Frames: length and checksum (CRC-32 of length and chunk), each four bytes with the lowest first, then the chunk.
//!
//! A row of zeros, as file systems leave behind a file that grew before its data came, is no frame.

use std::io;

const HEAD: usize = 8;

/// A chunk's frame.
///
/// # Errors
/// When the chunk has 4 GiB.
pub fn write(chunk: &[u8]) -> io::Result<Vec<u8>> {
    let length =
        u32::try_from(chunk.len()).map_err(|_| io::Error::other("a chunk of 4 GiB does not fit into the log"))?;
    let mut frame = Vec::with_capacity(HEAD + chunk.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&checksum(length, chunk).to_le_bytes());
    frame.extend_from_slice(chunk);
    Ok(frame)
}

/// How long a chunk's frame is.
pub const fn length(chunk: &[u8]) -> u64 {
    (HEAD + chunk.len()) as u64
}

/// The chunks of the whole frames from the beginning on, and where the last of them ends.
pub fn read(bytes: &[u8]) -> (Vec<&[u8]>, usize) {
    let (mut chunks, mut end) = (Vec::new(), 0);
    while let Some(chunk) = first(&bytes[end..]) {
        chunks.push(chunk);
        end += HEAD + chunk.len();
    }
    (chunks, end)
}

fn first(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    let chunk = rest.get(..usize::try_from(length).ok()?)?;
    (checksum(length, chunk) == u32::from_le_bytes(*sum)).then_some(chunk)
}

fn checksum(length: u32, chunk: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(chunk);
    hasher.finalize()
}
