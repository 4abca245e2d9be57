//! The configuration as members come and go: what a newcomer is given, and what is left of one that is gone.
//!
//! While files are the configuration, the operator writes them: a newcomer must be in the cluster file before it comes.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use model::config::parse_cluster;

/// What a newcomer is given for longer than this is not sent: zones of millions of names are copied otherwise.
const LONGEST: usize = 4 << 20;

/// The configuration in its texts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Texts {
    /// The cluster file.
    pub cluster: String,
    /// Zone templates, by the paths in it.
    pub templates: BTreeMap<String, String>,
}

/// What joining and leaving need of the configuration. Both may wait for the disk.
pub(crate) trait Configuration: fmt::Debug + Send + Sync {
    /// A newcomer is to take part; what it must know for that.
    ///
    /// # Errors
    /// Why it cannot, and what to do.
    fn welcome(&self, name: &str, address: IpAddr, heartbeat: SocketAddr) -> Result<Texts, String>;

    /// A server is gone; what the operator still has to do.
    ///
    /// # Errors
    /// Why the configuration still has it.
    fn dismiss(&self, name: &str) -> Result<Vec<String>, String>;
}

/// The configuration is files.
#[derive(Debug)]
pub(crate) struct Files {
    /// The cluster file.
    pub cluster: PathBuf,
}

impl Configuration for Files {
    fn welcome(&self, name: &str, address: IpAddr, heartbeat: SocketAddr) -> Result<Texts, String> {
        let path = self.cluster.display();
        let text = fs::read_to_string(&self.cluster).map_err(|error| format!("{path} cannot be read: {error}"))?;
        let config = parse_cluster(&path.to_string(), &text).map_err(|_| format!("{path} has mistakes"))?;
        let known = config.servers.iter().find(|(server, _)| server.as_str() == name).map(|(_, server)| server);
        let advice = format!("write [server.{name}] into the cluster file on every server and reload, then join");
        let server = known.ok_or_else(|| format!("there is no server {name} in {path}: {advice}"))?;
        if server.address != address || server.heartbeat != heartbeat {
            let (is, at) = (server.address, server.heartbeat);
            return Err(format!(
                "{path} says that {name} is at {is} and hears at {at}, not at {address} and {heartbeat}: correct one of the two"
            ));
        }
        let directory = self.cluster.parent().unwrap_or(Path::new(""));
        let mut templates = BTreeMap::new();
        for (zone, settings) in &config.zones {
            let told = settings.template.display().to_string();
            let template = fs::read_to_string(directory.join(&settings.template))
                .map_err(|error| format!("the template {told} of {zone} cannot be read: {error}"))?;
            templates.insert(told, template);
        }
        let length = text.len() + templates.values().map(String::len).sum::<usize>();
        if length > LONGEST {
            templates.clear();
        }
        Ok(Texts { cluster: text, templates })
    }

    fn dismiss(&self, name: &str) -> Result<Vec<String>, String> {
        Ok(vec![format!("take [server.{name}] out of the cluster file on every server, and reload")])
    }
}
