//! Clusters that somebody on this machine has logged in to: `clusters.json` in the user's configuration directory, 0600.
//! It holds sessions and the fingerprints of authorities, never a password.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use daemon::remote::Remote;
use model::access::{Fingerprint, SecretText};
use serde::{Deserialize, Serialize};

/// What is known of one host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Its authorities.
    pub authorities: Vec<Fingerprint>,
    /// The session, while one lasts.
    pub token: Option<SecretText>,
}

type Sessions = BTreeMap<String, Session>;

fn path() -> Result<PathBuf> {
    let directory = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let directory = directory.or_else(home).context("neither XDG_CONFIG_HOME nor HOME says where sessions are kept")?;
    Ok(directory.join("standin/clusters.json"))
}

fn read() -> Result<Sessions> {
    let path = path()?;
    if !path.exists() {
        return Ok(Sessions::new());
    }
    let mode = fs::metadata(&path)?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("{}: others may read it: `chmod 600` it", path.display());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not understood: remove it", path.display()))
}

/// What is known of a host.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn known(host: &str) -> Result<Option<Session>> {
    Ok(read()?.remove(host))
}

/// Keeps what is known of a host.
///
/// # Errors
/// The disk's.
pub(crate) fn keep(host: &str, session: Session) -> Result<()> {
    let (path, mut sessions) = (path()?, read()?);
    sessions.insert(host.to_owned(), session);
    let directory = path.parent().context("the path has a directory")?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let draft = path.with_extension("new");
    let _leftover = fs::remove_file(&draft);
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(serde_json::to_string_pretty(&sessions)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(draft, path)?;
    Ok(())
}

/// How a host is reached by who has logged in there.
///
/// # Errors
/// When nobody has.
pub(crate) fn remote(host: &str) -> Result<Remote> {
    match known(host)? {
        Some(session) => Ok(Remote { host: host.to_owned(), authorities: session.authorities, token: session.token }),
        None => bail!("nobody is logged in at {host}: `standin login --connect {host} --user NAME`"),
    }
}
