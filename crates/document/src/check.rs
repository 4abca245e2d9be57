//! Objects to a checked configuration and zones, with every mistake at its object, line and column.
//!
//! One change must not cost the whole document: a zone is read again only if its settings, its templates, or what these refer
//! to (pools, addresses of name servers) have changed, and of a template that has, only the lines that differ, where that will do.
//! The rest is one pass over the cluster file, if that has changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use dns::{Zone, zone::load_again};
use model::{
    PoolName, ServerName, VirtualHostName, ZoneName,
    config::{ClusterConfig, Pool, Ttl, ZoneSettings, locate, parse_cluster},
    diagnostic::Diagnostic,
};

use crate::{Key, Kind, Objects, object::Assembly};

/// A mistake, and the object that it is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The object.
    pub key: Key,
    /// What is wrong; its file is the object's key.
    pub diagnostic: Diagnostic,
}

/// What checks.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The configuration. Its digest is that of the texts.
    pub config: Arc<ClusterConfig>,
    /// Its zones, in the order of their names.
    pub zones: Vec<Arc<Zone>>,
}

/// Checks objects, and remembers the cluster file and the zones that it has read.
#[derive(Debug, Default)]
pub struct Checker {
    /// The last one that was right, with what it says.
    file: Option<(String, Arc<ClusterConfig>)>,
    zones: BTreeMap<ZoneName, Known>,
}

/// A zone that was read.
#[derive(Debug)]
struct Known {
    settings: ZoneSettings,
    texts: Vec<(Key, Arc<str>)>,
    basis: Basis,
    zone: Arc<Zone>,
}

/// What a zone's templates refer to, as it was when they were read.
#[derive(PartialEq, Eq, Debug)]
struct Basis {
    cluster: Arc<str>,
    /// Addresses of name servers: as a virtual host, and as a server.
    hosts: Vec<(Vec<IpAddr>, Vec<IpAddr>)>,
    every_server: BTreeMap<ServerName, Vec<IpAddr>>,
    /// The TTL counts for all; of pools that records follow, everything does.
    pools: Vec<(Option<Ttl>, Option<Followed>)>,
}

/// A pool that records follow, with its members' addresses.
type Followed = (Pool, Vec<Vec<IpAddr>>);

impl Basis {
    fn of(zone: &Zone, config: &ClusterConfig) -> Self {
        let host = |name: &String| {
            let host = config.virtual_hosts.get(&VirtualHostName::new(name)).map(|host| host.addresses.clone());
            let server = config.servers.get(&ServerName::new(name)).map(|server| server.addresses().collect());
            (host.unwrap_or_default(), server.unwrap_or_default())
        };
        let every = config.servers.iter().filter(|_| zone.refers.every_server);
        let followed: BTreeSet<&PoolName> = zone.followers.iter().map(|follower| &follower.pool).collect();
        let pool = |name: &PoolName| {
            let pool = config.pools.get(name);
            let addresses = |pool: &Pool| pool.members.iter().map(|member| config.addresses_of(member)).collect();
            let whole = pool.filter(|_| followed.contains(name)).map(|pool| (pool.clone(), addresses(pool)));
            (pool.map(|pool| pool.ttl), whole)
        };
        Self {
            cluster: config.name.clone(),
            hosts: zone.refers.hosts.iter().map(host).collect(),
            every_server: every.map(|(name, server)| (name.clone(), server.addresses().collect())).collect(),
            pools: zone.refers.pools.iter().map(pool).collect(),
        }
    }
}

impl Checker {
    /// Checks all objects together.
    ///
    /// # Errors
    /// All mistakes, in the order of the objects.
    pub fn check(&mut self, objects: &Objects) -> Result<Checked, Vec<Mistake>> {
        let config = self.config(Assembly::of(objects))?;
        let (mut zones, mut mistakes) = (Vec::new(), Vec::new());
        for (name, settings) in &config.zones {
            match self.zone(name, settings, &config, objects) {
                Ok(zone) => zones.push(zone),
                Err(mut found) => mistakes.append(&mut found),
            }
        }
        self.zones.retain(|name, _| config.zones.contains_key(name));
        if mistakes.is_empty() { Ok(Checked { config, zones }) } else { Err(mistakes) }
    }

    fn config(&mut self, assembly: Assembly) -> Result<Arc<ClusterConfig>, Vec<Mistake>> {
        if let Some((_, config)) = self.file.as_ref().filter(|(text, _)| *text == assembly.text) {
            return Ok(config.clone());
        }
        let config = parse_cluster("cluster", &assembly.text).map_err(|mistakes| {
            let carried = mistakes.into_iter().map(|mistake| assembly.carry(mistake));
            carried.map(|(key, diagnostic)| Mistake { key, diagnostic }).collect::<Vec<_>>()
        })?;
        let config = Arc::new(config);
        self.file = Some((assembly.text, config.clone()));
        Ok(config)
    }

    fn zone(
        &mut self,
        name: &ZoneName,
        settings: &ZoneSettings,
        config: &ClusterConfig,
        objects: &Objects,
    ) -> Result<Arc<Zone>, Vec<Mistake>> {
        if let Some(known) = self.zones.get(name) {
            let same = |(key, text): &(Key, Arc<str>)| objects.get(key) == Some(text);
            let unchanged = known.settings == *settings && known.texts.iter().all(same);
            if unchanged && known.basis == Basis::of(&known.zone, config) {
                return Ok(known.zone.clone());
            }
        }
        let path = settings.template.to_string_lossy();
        let template = Key::new(Kind::Template, &path).and_then(|key| objects.get_key_value(&key));
        let Some((key, text)) = template else { return Err(vec![missing(name, &path, objects)]) };
        if let Some(known) = self.zones.get_mut(name)
            && known.settings == *settings
            && known.basis == Basis::of(&known.zone, config)
            && let [(_, before)] = &known.texts[..]
            && let Some(zone) = load_again(&known.zone, before, text, &settings.variables, config)
        {
            known.texts = vec![(key.clone(), text.clone())];
            known.zone = Arc::new(zone);
            return Ok(known.zone.clone());
        }
        let mut texts = vec![(key.clone(), text.clone())];
        let mut files = BTreeMap::new();
        let mut include = |file: &str| {
            let key = beside(key, file).ok_or_else(|| format!("`{file}` leads out of the document"))?;
            let text = objects.get(&key).ok_or_else(|| format!("there is no {key} in the document"))?;
            texts.push((key.clone(), text.clone()));
            files.insert(file.to_owned(), key);
            Ok(text.to_string())
        };
        let zone = dns::zone::load(name, &key.to_string(), text, &settings.variables, config, &mut include);
        let zone =
            zone.map_err(|mistakes| mistakes.into_iter().map(|one| place(one, key, &files)).collect::<Vec<_>>())?;
        let zone = Arc::new(zone);
        let known = Known { settings: settings.clone(), texts, basis: Basis::of(&zone, config), zone: zone.clone() };
        self.zones.insert(name.clone(), known);
        Ok(zone)
    }
}

/// A mistake of a template, or of what it includes.
fn place(mut diagnostic: Diagnostic, template: &Key, files: &BTreeMap<String, Key>) -> Mistake {
    let key = files.get(&*diagnostic.file).unwrap_or(template).clone();
    diagnostic.file = key.to_string().into();
    Mistake { key, diagnostic }
}

/// A zone whose template is not in the document.
fn missing(name: &ZoneName, path: &str, objects: &Objects) -> Mistake {
    let found = Key::new(Kind::Zone, name.as_str()).and_then(|key| objects.get_key_value(&key));
    let (key, text) = found.map_or_else(|| (Key::cluster(), ""), |(key, text)| (key.clone(), &**text));
    let templates = objects.keys().filter(|key| key.kind == Kind::Template).map(|key| &*key.name);
    let there = templates.take(8).collect::<Vec<_>>().join(", ");
    let span = locate(text, &["zone", name.as_str(), "template"]);
    let message = format!("there is no template `{path}` in the document");
    let diagnostic = Diagnostic::at(&key.to_string().into(), text, span, message).help(if there.is_empty() {
        "add the template's text".to_owned()
    } else {
        format!("there is: {there}")
    });
    Mistake { key, diagnostic }
}

/// The template that another one includes as `file`: relative to its own directory.
pub fn beside(template: &Key, file: &str) -> Option<Key> {
    let mut parts: Vec<&str> = template.name.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Key::new(Kind::Template, &parts.join("/"))
}
