//! `standin init`: the cluster's first document, made from its cluster file. No daemon is asked, and none may have the state
//! directory open.
//!
//! Deliberately not here: the cluster's certificate authority and keys.

use std::path::{Path, PathBuf};

use document::{Author, Objects};
use model::{config::parse_node, diagnostic::Diagnostic};

use crate::{
    desk,
    load::{self, LoadError},
};

/// Why there is no document now.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The files have mistakes.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The state directory.
    #[error("{0}: {1}")]
    Store(PathBuf, String),
}

impl InitError {
    /// What the command line exits with: 2 for bad configuration, as everywhere; else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Load(_) => 2,
            Self::Store(..) => 1,
        }
    }
}

/// What was made.
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

/// Makes the document from `from`, else from the node file's `cluster-file`.
///
/// # Errors
/// [`InitError`]; nothing was made then.
pub fn init(node_file: &Path, from: Option<&Path>, author: Author) -> Result<Founded, InitError> {
    let name = node_file.display().to_string();
    let text = std::fs::read_to_string(node_file).map_err(|error| {
        let mistake = Diagnostic::at(&name.as_str().into(), "", 0..0, format!("cannot be read: {error}"));
        LoadError { mistakes: vec![mistake] }
    })?;
    let node = parse_node(&name, &text).map_err(|mistakes| LoadError { mistakes })?;
    let beside = node_file.parent().unwrap_or(Path::new(""));
    let from = from.map_or_else(|| beside.join(&node.cluster_file), Path::to_owned);
    let objects = load::import(&from)?;
    let state_dir = beside.join(&node.state_dir);
    let version = desk::found(&state_dir, &objects, author)
        .map_err(|error| InitError::Store(state_dir.clone(), error.to_string()))?;
    Ok(Founded { state_dir, from, version, objects })
}
