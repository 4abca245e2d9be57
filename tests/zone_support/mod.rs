//! Loads the zone templates under `zones/` as the daemon does, without a daemon.

#![allow(dead_code)] // each test uses its part

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use dns::Zone;
use model::{
    PoolName, ZoneName,
    config::{ClusterConfig, parse_cluster},
    diagnostic::Diagnostic,
};

/// The zone of every template under `zones/`.
pub(crate) const ZONE: &str = "lb.example.test";

/// A path below the root of the project.
pub(crate) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The cluster file at `relative`.
pub(crate) fn cluster(relative: &str) -> ClusterConfig {
    let text = fs::read_to_string(path(relative)).expect("the cluster file can be read");
    let drawn = |mistakes: Vec<Diagnostic>| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    parse_cluster(relative, &text).map_err(drawn).expect("the cluster file is valid")
}

/// The template at `relative`; included files are beside it.
pub(crate) fn load(cluster: &ClusterConfig, relative: &str) -> Result<Zone, Vec<Diagnostic>> {
    let file = path(relative);
    let text = fs::read_to_string(&file).expect("the template can be read");
    let name = ZoneName::new(ZONE);
    let variables = &cluster.zones[&name].variables;
    let mut include = |included: &str| {
        let path = file.parent().expect("a file is in a directory").join(included);
        fs::read_to_string(path).map_err(|error| error.kind().to_string())
    };
    dns::zone::load(&name, relative, &text, variables, cluster, &mut include)
}

/// The addresses of all of a pool's members.
pub(crate) fn members(cluster: &ClusterConfig, pool: &PoolName) -> Vec<IpAddr> {
    let members = cluster.pools[pool].members.iter();
    members.flat_map(|member| cluster.addresses_of(member)).collect()
}

/// The templates in a directory, as paths from the root of the project, in order.
pub(crate) fn templates(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(path(directory)).expect("the directory exists");
    let names = entries.map(|entry| entry.expect("a readable entry").file_name().into_string().expect("a UTF-8 name"));
    let mut templates: Vec<String> =
        names.filter(|name| name.ends_with(".zone")).map(|name| format!("{directory}/{name}")).collect();
    templates.sort();
    templates
}
