//! Frames on a link: length (4 bytes, big-endian), content. Bounded, so that no peer fills our memory.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// Longest content, in bytes.
pub(crate) const LONGEST: usize = 8 << 20;

/// One frame. Erased when dropped: it may hold keys.
pub(crate) type Frame = Zeroizing<Vec<u8>>;

/// Reads one frame.
///
/// # Errors
/// The stream's; `InvalidData` for a frame that is too long.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let length = stream.read_u32().await? as usize;
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut frame = Zeroizing::new(vec![0; length]);
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

/// Writes one frame.
///
/// # Errors
/// The stream's; `InvalidData` for one that is too long.
pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).ok().filter(|length| *length as usize <= LONGEST);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a frame too long to send"))?;
    stream.write_u32(length).await?;
    stream.write_all(frame).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_read_as_written_and_bounded() {
        let (mut one, mut other) = tokio::io::duplex(64);
        for frame in [Vec::new(), vec![7; 1000]] {
            let (written, read) = tokio::join!(write(&mut one, &frame), read(&mut other));
            written.unwrap();
            assert_eq!(*read.unwrap(), frame);
        }
        one.write_all(&[0xff, 0xff, 0xff, 0xff, 0]).await.unwrap();
        assert_eq!(read(&mut other).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
