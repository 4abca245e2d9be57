//! Two documents becoming one, over any reliable stream that keeps messages apart and in order: Automerge's sync protocol.
//!
//! One [`Session`] a connection and side; a new connection is a new session. After every message heard, and after every edit,
//! whoever has the stream sends what [`Session::speak`] gives, until it gives nothing. A server keeps what it has heard
//! on disk before it speaks again, for what it says counts as "I have that".
//!
//! Invariant: every message heard is answered before the next one is taken in, whenever the answer is sent. Automerge takes
//! a message that says what we have just learned for proof that the peer knows we have it; without an answer in between the
//! peer would wait for that word for ever.
//!
//! Deliberately not here: transport, who the peer is, and how long a message may be.

use std::collections::VecDeque;

use automerge::{
    ChangeHash,
    sync::{Message, State, SyncDoc},
};

use crate::{Document, DocumentError};

/// Who lets so many answers wait is not listening, and gets no more.
const UNSENT: usize = 16;

/// One side of a connection.
#[derive(Debug, Default)]
pub struct Session {
    state: State,
    /// Answers that wait to be sent, oldest first.
    answers: VecDeque<Vec<u8>>,
}

impl Session {
    /// A new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to send now; none: nothing, until something is heard or edited.
    pub fn speak(&mut self, document: &Document) -> Option<Vec<u8>> {
        self.answers.pop_front().or_else(|| self.message(document))
    }

    /// Takes a message in; whether it brought anything new.
    ///
    /// # Errors
    /// When it is not a message of such a session; the document is as it was.
    pub fn hear(&mut self, document: &mut Document, bytes: &[u8]) -> Result<bool, DocumentError> {
        let message = Message::decode(bytes).map_err(|error| DocumentError::message(&error))?;
        let heads = document.heads();
        document.automerge.receive_sync_message(&mut self.state, message)?;
        let new = document.heads() != heads;
        if new {
            document.arrived(&heads);
        }
        if self.answers.len() < UNSENT {
            let answer = self.message(document);
            self.answers.extend(answer);
        }
        Ok(new)
    }

    fn message(&mut self, document: &Document) -> Option<Vec<u8>> {
        document.automerge.generate_sync_message(&mut self.state).map(Message::encode)
    }

    /// Whether the peer has said that it has a change.
    pub fn has(&self, document: &Document, change: &ChangeHash) -> bool {
        document.includes(&self.state.shared_heads, change)
    }
}
