//! Zones straight from the configuration files, without a daemon: as a plain master file, and what would be answered.

use std::{net::IpAddr, path::Path, sync::Arc};

use dns::{View, Zone, Zones};
use model::{Health, PoolName, ZoneName, api::Why, config::ClusterConfig};

use crate::load::{self, LoadError, Loaded};

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
    /// Nothing is called so.
    #[error("`--down {0}`: there is no server, virtual host or endpoint of that name")]
    Nobody(String),
    /// The name or the type is none.
    #[error("{0}")]
    Question(String),
}

impl ZoneTextError {
    /// What the command line exits with: 2 for bad configuration, as everywhere; else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Load(_) => 2,
            Self::Unknown { .. } | Self::Nobody(_) | Self::Question(_) => 1,
        }
    }
}

/// The zone `name` as if every pool member were up, with `serial` where the cluster's serial stands.
///
/// # Errors
/// [`ZoneTextError`].
pub fn zone_text(config: &Path, name: &str, serial: u32) -> Result<String, ZoneTextError> {
    let loaded = load::load(config)?;
    let zone = zone_of(&loaded, name)?;
    Ok(zone.render(&|pool| members(&loaded.cluster, pool), serial))
}

/// All addresses of a pool's members.
fn members(config: &ClusterConfig, pool: &PoolName) -> Vec<IpAddr> {
    let members = config.pools.get(pool).into_iter().flat_map(|pool| &pool.members);
    members.flat_map(|member| config.addresses_of(member)).collect()
}

/// What would be answered for `name` and `kind` if everything were up but what `down` names. `zone` is a zone's name, or
/// the file of its template; a name without a dot is taken to be in the zone, `@` to be its apex. Another `draft` of the
/// zone's template can be tried, which the configuration need not know.
///
/// # Errors
/// [`ZoneTextError`].
pub fn zone_query(
    config: &Path,
    draft: Option<&Path>,
    zone: &str,
    (name, kind): (&str, &str),
    down: &[String],
) -> Result<Why, ZoneTextError> {
    let loaded = match draft {
        Some(template) => {
            load::load_draft(config, ZoneName::new(&zone.trim_end_matches('.').to_ascii_lowercase()), template)?
        }
        None => load::load(config)?,
    };
    let zone = zone_of(&loaded, zone)?;
    let name = match name {
        "@" => zone.name.to_string(),
        relative if !relative.contains('.') => format!("{relative}.{}", zone.name),
        absolute => absolute.to_owned(),
    };
    let mut health = Health::all_well(&loaded.cluster, 1);
    for one in down {
        if !health.take_down(&loaded.cluster, one) {
            return Err(ZoneTextError::Nobody(one.clone()));
        }
    }
    let zones = Arc::new(Zones::compile(loaded.zones, &loaded.cluster));
    View::build(&zones, &health, loaded.node.name.as_str()).why(&name, kind).map_err(ZoneTextError::Question)
}

/// The zone of that name, or whose template is that file.
fn zone_of<'l>(loaded: &'l Loaded, asked: &str) -> Result<&'l Arc<Zone>, ZoneTextError> {
    let wanted = asked.trim_end_matches('.').to_ascii_lowercase();
    let template = |zone: &&Arc<Zone>| {
        let settings = loaded.cluster.zones.get(&zone.name);
        settings.is_some_and(|settings| {
            settings.template == Path::new(asked) || is_same(&loaded.node.cluster_file, &settings.template, asked)
        })
    };
    let named = loaded.zones.iter().find(|zone| zone.name.as_str() == wanted);
    named.or_else(|| loaded.zones.iter().find(template)).ok_or_else(|| ZoneTextError::Unknown {
        asked: asked.to_owned(),
        known: loaded.zones.iter().map(|zone| zone.name.to_string()).collect(),
    })
}

/// Whether a template, named from the cluster file's directory, is the file that somebody named from here.
fn is_same(cluster_file: &Path, template: &Path, asked: &str) -> bool {
    let template = cluster_file.parent().unwrap_or(Path::new("")).join(template);
    matches!((template.canonicalize(), Path::new(asked).canonicalize()), (Ok(one), Ok(other)) if one == other)
}
