//! A zone as a plain master file, straight from the configuration files.

use std::{net::IpAddr, path::Path};

use model::{PoolName, config::ClusterConfig};

use crate::load::{self, LoadError};

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum ZoneTextError {
    /// The files have mistakes.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// No zone has that name.
    #[error("there is no zone {asked}; the configuration has: {}", .known.join(" "))]
    Unknown {
        /// The name asked for.
        asked: String,
        /// The names that there are.
        known: Vec<String>,
    },
}

impl ZoneTextError {
    /// What the command line exits with: 2 for bad configuration, as everywhere; else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Load(_) => 2,
            Self::Unknown { .. } => 1,
        }
    }
}

/// The zone `name` as if every pool member were up, with `serial` where the cluster's serial stands.
///
/// # Errors
/// [`ZoneTextError`].
pub fn zone_text(config: &Path, name: &str, serial: u32) -> Result<String, ZoneTextError> {
    let loaded = load::load(config)?;
    let wanted = name.trim_end_matches('.').to_ascii_lowercase();
    let zone = loaded.zones.iter().find(|zone| zone.name.as_str() == wanted);
    let zone = zone.ok_or_else(|| ZoneTextError::Unknown {
        asked: name.to_owned(),
        known: loaded.zones.iter().map(|zone| zone.name.to_string()).collect(),
    })?;
    Ok(zone.render(&|pool| members(&loaded.cluster, pool), serial))
}

/// All addresses of a pool's members.
fn members(config: &ClusterConfig, pool: &PoolName) -> Vec<IpAddr> {
    let members = config.pools.get(pool).into_iter().flat_map(|pool| &pool.members);
    members.flat_map(|member| config.addresses_of(member)).collect()
}
