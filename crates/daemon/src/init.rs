//! `standin init`: the cluster's first document, made from its cluster file, and whom its servers trust. No daemon is asked, and
//! none may have the state directory open.
//!
//! Invariant: the document comes first and the identity last, so that whoever is a member has both. What was interrupted between
//! the two goes on with the next `init`.

use std::path::{Path, PathBuf};

use document::{Author, Key, Kind, Objects};
use model::{config::parse_node, diagnostic::Diagnostic};

use crate::{
    desk::{self, OpenError},
    enroll::{self, EnrollError, Enrolled},
    load::{self, LoadError},
};

/// Why there is no cluster now.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The files have mistakes.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The state directory.
    #[error("{0}: {1}")]
    Store(PathBuf, String),
    /// This machine is not in the file.
    #[error("there is no [server.{0}] in {1}: this machine's own must be there")]
    Missing(String, PathBuf),
    /// Trust.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
}

impl InitError {
    /// What the command line exits with: 2 for bad configuration, as everywhere; else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Load(_) => 2,
            Self::Store(..) | Self::Missing(..) | Self::Enroll(_) => 1,
        }
    }
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The document; none where there was one already.
    pub founded: Option<Founded>,
    /// Keys and trust; none where no admin port lets other servers in.
    pub enrolled: Option<Enrolled>,
}

/// The document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Founded {
    /// Where it is.
    pub state_dir: PathBuf,
    /// From which file.
    pub from: PathBuf,
    /// Its version.
    pub version: String,
    /// What is in it.
    pub objects: Objects,
}

/// Makes the document from `from`, else from the node file's `cluster-file`; then, where the node file has an admin port, the
/// cluster's authority and keys.
///
/// # Errors
/// [`InitError`].
pub fn init(node_file: &Path, from: Option<&Path>, author: Author) -> Result<Made, InitError> {
    let name = node_file.display().to_string();
    let text = std::fs::read_to_string(node_file).map_err(|error| {
        let mistake = Diagnostic::at(&name.as_str().into(), "", 0..0, format!("cannot be read: {error}"));
        LoadError { mistakes: vec![mistake] }
    })?;
    let node = parse_node(&name, &text).map_err(|mistakes| LoadError { mistakes })?;
    let beside = node_file.parent().unwrap_or(Path::new(""));
    let (state_dir, alone) = (beside.join(&node.state_dir), node.admin_listen.is_none());
    let store = |error: OpenError| InitError::Store(state_dir.clone(), error.to_string());
    let there = host::store::peek(&state_dir).map_err(|error| store(error.into()))?.is_some();
    let founded = if there {
        if alone {
            let message = "there is a document already".to_owned();
            return Err(InitError::Store(state_dir, message));
        }
        None
    } else {
        let from = from.map_or_else(|| beside.join(&node.cluster_file), Path::to_owned);
        let objects = load::import(&from)?;
        if Key::new(Kind::Server, node.name.as_str()).is_none_or(|key| !objects.contains_key(&key)) {
            return Err(InitError::Missing(node.name.to_string(), from));
        }
        let version = desk::found(&state_dir, &objects, author).map_err(store)?;
        Some(Founded { state_dir: state_dir.clone(), from, version, objects })
    };
    if alone {
        return Ok(Made { founded, enrolled: None });
    }
    let settled = desk::read(&state_dir).map_err(store)?;
    let enrolled = enroll::init(node_file, &settled.checked.config)?;
    Ok(Made { founded, enrolled: Some(enrolled) })
}
