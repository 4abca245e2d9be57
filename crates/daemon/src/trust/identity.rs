//! Who this machine is in its cluster: `identity.json` in the state directory.
//!
//! Each start has a number and a random name, which peers keep. So a machine that was restored from an old snapshot, or
//! copied, is recognised by what they know of it.

use std::{
    io,
    path::{Path, PathBuf},
};

use cluster::trust::Start;
use data_encoding::HEXLOWER;
use model::access::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::files;

/// This machine's membership.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The member's entry in the trust store.
    pub member: String,
    /// The server's name.
    pub name: String,
    /// Its private key, PKCS #8, DER.
    pub key: Secret,
    /// The next one, while a rotation is under way.
    #[serde(default)]
    pub next_key: Option<Secret>,
    /// The last start.
    pub start: Start,
    /// Why this machine may not take part any more.
    #[serde(default)]
    pub expelled: Option<String>,
}

/// Its file.
pub(crate) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("identity.json")
}

/// The trust store's file.
pub(crate) fn trust_path(state_dir: &Path) -> PathBuf {
    state_dir.join("trust.json")
}

/// A random name.
///
/// # Errors
/// Where the kernel gives no random numbers.
pub(crate) fn random_name() -> io::Result<String> {
    Ok(HEXLOWER.encode(&host::entropy::bytes::<8>()?))
}

impl Identity {
    /// What the file says; none where there is none.
    ///
    /// # Errors
    /// The file's, also where others may read it; `InvalidData` where it is no identity.
    pub(crate) fn read(state_dir: &Path) -> io::Result<Option<Self>> {
        match files::read(&path(state_dir)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn write(&self, state_dir: &Path) -> io::Result<()> {
        let text = Zeroizing::new(serde_json::to_vec_pretty(self)?);
        files::write(&path(state_dir), &text)
    }

    /// A start after `known`, the last one that anybody knows of.
    ///
    /// # Errors
    /// Where the kernel gives no random numbers.
    pub(crate) fn begin(&mut self, known: u64) -> io::Result<()> {
        self.start = Start { number: self.start.number.max(known) + 1, name: random_name()? };
        Ok(())
    }
}
