//! Two desks in conversation over a stream: any that is reliable, private, and whose other end is known by name.
//!
//! Each message is four bytes of length, the highest first, and so many bytes. Each side hears, keeps, and speaks; a
//! conversation lasts as long as the stream, so that an edit reaches the other side at once. It ends when either side hangs
//! up, says what is no message, or cannot keep what it hears.
//!
//! Deliberately not here: making the stream (TLS between servers), and who is spoken to when.

use std::io;

use document::DocumentError;
use model::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Busy, Handle};

/// No message is longer: a whole document of the largest size, and some.
const LONGEST: u32 = 256 << 20;

/// The session is over: its desk has taken something back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the conversation was ended by this server")]
pub struct Ended;

/// Why what was heard was not taken.
#[derive(Debug, thiserror::Error)]
pub enum HearError {
    /// It was no message.
    #[error(transparent)]
    Message(#[from] DocumentError),
    /// The disk.
    #[error("it cannot be kept: {0}")]
    Disk(#[from] io::Error),
    /// See there.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
pub enum ConverseError {
    /// The stream's end, or worse.
    #[error(transparent)]
    Stream(#[from] io::Error),
    /// What was heard was not taken.
    #[error(transparent)]
    Heard(#[from] HearError),
    /// This side has nobody to listen.
    #[error(transparent)]
    Busy(#[from] Busy),
}

/// Converses with `peer` until the stream ends.
///
/// # Errors
/// Why it ended; an end of the stream between two messages is none.
pub async fn converse<S>(desk: &Handle, peer: ServerName, stream: S) -> Result<(), ConverseError>
where
    S: AsyncRead + AsyncWrite + Send,
{
    let session = desk.ask(move |desk| desk.session(&peer)).await?;
    let end = exchange(desk, session, stream).await;
    let _stopping = desk.ask(move |desk| desk.hang_up(session)).await;
    end
}

async fn exchange<S>(desk: &Handle, session: u64, stream: S) -> Result<(), ConverseError>
where
    S: AsyncRead + AsyncWrite + Send,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let hear = async {
        while let Some(message) = read(&mut reader).await? {
            desk.ask(move |desk| desk.hear(session, &message)).await??;
        }
        Ok::<(), ConverseError>(())
    };
    let mut news = desk.news.clone();
    let speak = async {
        loop {
            let spoken = desk.ask(move |desk| desk.speak(session)).await?;
            match spoken.map_err(HearError::from)? {
                Some(message) => write(&mut writer, &message).await?,
                // The desk's end is noticed by the next question.
                None => drop(news.changed().await),
            }
        }
    };
    // Two halves at once: a side that only ever writes first would wait for one that does so too.
    tokio::select! {
        ended = hear => ended,
        ended = speak => ended,
    }
}

/// The next message; none at the stream's end.
async fn read(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match reader.read_u32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
    }
    // Not reserved before it is there: the length is only the other side's word.
    let mut message = Vec::new();
    reader.take(u64::from(length)).read_to_end(&mut message).await?;
    if message.len() < usize::try_from(length).unwrap_or(usize::MAX) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message))
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a message is too long"))?;
    writer.write_u32(length).await?;
    writer.write_all(message).await?;
    writer.flush().await
}
