//! Reads everything that the daemon is told in files: node file, cluster file, zone templates with what they include,
//! cluster key. `run`, a reload, `check` and `zone render` all come through here. Where the state directory has a document,
//! that stands for the cluster file and its templates ([`Mode`]).
//!
//! Invariants: all or nothing, and *all* mistakes of all files at once. Nothing of the key file ever appears in a
//! message. Paths in a file are relative to the directory of that file, `$INCLUDE`s to that of the zone's template.

mod document_mode;
mod hooks;
mod import;

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use cluster::{Key, Keys};
use dns::{CookieSecrets, zone::Zone};
use model::{
    ZoneName,
    config::{ClusterConfig, NodeConfig, decode_key, locate, parse_cluster, parse_node, text_at},
    diagnostic::Diagnostic,
};

pub(crate) use document_mode::hooks_refused;
pub use import::import;

use crate::trust::{Keeper, identity};

/// Where the cluster's configuration comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// From `cluster-file`, the same on every server by the operator's care.
    File,
    /// From the document in the state directory, which the servers keep the same.
    Document,
}

/// No text that a person keeps in an editor is longer; a device file is.
const LONGEST_FILE: u64 = 256 << 20;
/// Where a node file without `cluster-file` looks; [`parse_node`] has the same default.
const CLUSTER_FILE: &str = "/etc/standin/cluster.toml";

/// Everything that the files say, checked.
pub struct Loaded {
    /// This machine's configuration; its paths are resolved.
    pub node: NodeConfig,
    /// The cluster's configuration. Its digest covers the zone templates and what they include.
    pub cluster: Arc<ClusterConfig>,
    /// Where that comes from.
    pub mode: Mode,
    /// The zones, in the order of their names.
    pub zones: Vec<Arc<Zone>>,
    /// The heartbeat keys: from the key file, or from what the cluster trusts.
    pub keys: Keys,
    /// This machine is a member of a cluster that was made: its keys are the cluster's, not the key file's.
    pub member: bool,
    /// What works and is probably not meant: for the log and for `check`.
    pub warnings: Vec<String>,
    /// Hooks that this machine refuses to run as they are: mistakes for `check`, and for the log.
    pub refused_hooks: Vec<Diagnostic>,
}

impl Loaded {
    /// What DNS cookies are made with, the same on every server.
    pub(crate) fn cookie_secrets(&self) -> CookieSecrets {
        let (current, accepted) = self.keys.cookie_secrets();
        CookieSecrets { current, accepted }
    }

    /// Says in the log what is amiss and does not keep anything from working.
    pub(crate) fn complain(&self) {
        self.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        for hook in &self.refused_hooks {
            tracing::error!("{}:{}:{}: {}; it will not be used", hook.file, hook.line, hook.column, hook.message);
        }
    }
}

/// Why nothing was loaded. `Display` draws every mistake.
#[derive(Debug)]
pub struct LoadError {
    /// All mistakes: file by file in the order of reading, and in each in the order of the text.
    pub mistakes: Vec<Diagnostic>,
}

impl LoadError {
    /// Every mistake drawn, with a blank line between two. Without a final newline.
    pub fn render(&self, colour: bool) -> String {
        self.mistakes.iter().map(|mistake| mistake.render(colour)).collect::<Vec<_>>().join("\n\n")
    }

    /// In how many files the mistakes are.
    pub fn files(&self) -> usize {
        self.mistakes.iter().map(|mistake| &mistake.file).collect::<std::collections::BTreeSet<_>>().len()
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for LoadError {}

/// Reads and checks everything that belongs to the node file at `node_file`.
///
/// # Errors
/// All mistakes of all files, a file that cannot be read among them; nothing has changed anywhere.
pub fn load(node_file: &Path) -> Result<Loaded, LoadError> {
    load_with(node_file, Loader::default())
}

/// The same with the file `template` in the place of one zone's template: to try it out.
///
/// # Errors
/// As [`load`].
pub fn load_draft(node_file: &Path, zone: ZoneName, template: &Path) -> Result<Loaded, LoadError> {
    load_with(node_file, Loader { draft: Some((zone, template.to_owned())), ..Loader::default() })
}

fn load_with(node_file: &Path, mut loader: Loader) -> Result<Loaded, LoadError> {
    let loaded = loader.load(node_file);
    match loaded {
        Some(loaded) if loader.mistakes.is_empty() => Ok(loaded),
        Some(_) | None => {
            // Where nothing is loaded anyway, all is told at once.
            let hooks = std::mem::take(&mut loader.refused_hooks);
            loader.mistakes.extend(hooks);
            Err(LoadError { mistakes: loader.sorted() })
        }
    }
}

/// A text and the name by which messages call it.
struct Text {
    name: Arc<str>,
    text: String,
}

impl Text {
    /// A mistake that showed only when other files were read.
    fn mistake(&self, path: &[&str], message: String, help: &str) -> Diagnostic {
        Diagnostic::at(&self.name, &self.text, locate(&self.text, path), message).help(help)
    }

    /// `path`, from the directory of this file.
    fn resolve(&self, path: &Path) -> PathBuf {
        Path::new(&*self.name).parent().unwrap_or(Path::new("")).join(path)
    }
}

#[derive(Default)]
struct Loader {
    mistakes: Vec<Diagnostic>,
    warnings: Vec<String>,
    refused_hooks: Vec<Diagnostic>,
    /// A zone, and the file that is read for its template.
    draft: Option<(ZoneName, PathBuf)>,
}

impl Loader {
    fn load(&mut self, node_file: &Path) -> Option<Loaded> {
        let node_text = match read(node_file) {
            Ok(text) => text,
            Err(refusal) => {
                self.mistakes.push(refusal.in_itself(node_file));
                return None;
            }
        };
        let node = self.keep(parse_node(&node_text.name, &node_text.text)).map(|node| with_paths(node, &node_text));
        if let Some(node) = &node
            && let Some(found) = self.document(node, &node_text)
        {
            return self.document_mode(node.clone(), &node_text, found);
        }
        let cluster_text = self.cluster_text(&node_text);
        let keys = node.as_ref().and_then(|node| self.keys(node, &node_text));
        let cluster_text = cluster_text?;
        let mut cluster = self.keep(parse_cluster(&cluster_text.name, &cluster_text.text))?;
        if let Some(node) = &node {
            self.check_node(node, &node_text, &cluster, &cluster_text);
        }
        let zones = self.zones(&mut cluster, &cluster_text);
        let node = node?;
        let found = hooks::look(&cluster, &cluster_text, &node);
        self.warnings.extend(found.warnings);
        self.refused_hooks = found.mistakes;
        let (warnings, refused_hooks) = (std::mem::take(&mut self.warnings), self.refused_hooks.clone());
        let (keys, member) = keys?;
        let (cluster, zones) = (Arc::new(cluster), zones.into_iter().map(Arc::new).collect());
        Some(Loaded { node, cluster, mode: Mode::File, zones, keys, member, warnings, refused_hooks })
    }

    fn keep<T>(&mut self, parsed: Result<T, Vec<Diagnostic>>) -> Option<T> {
        parsed.map_err(|mistakes| self.mistakes.extend(mistakes)).ok()
    }

    /// The cluster file's text, also where the rest of the node file is wrong.
    fn cluster_text(&mut self, node_text: &Text) -> Option<Text> {
        let path = text_at(&node_text.text, "cluster-file").unwrap_or_else(|| CLUSTER_FILE.to_owned());
        let path = node_text.resolve(Path::new(&path));
        read(&path)
            .map_err(|refusal| {
                let help = "`cluster-file` names the cluster's configuration, the same on every server";
                self.mistakes.push(refusal.at(node_text, &["cluster-file"], "the cluster file", &path, help));
            })
            .ok()
    }

    /// The heartbeat keys, and whether they are those of a cluster that was made.
    fn keys(&mut self, node: &NodeConfig, node_text: &Text) -> Option<(Keys, bool)> {
        if !identity::path(&node.state_dir).exists() {
            return self.key(node, node_text).map(|key| (Keys::new(key), false));
        }
        let keys = Keeper::open(&node.state_dir).map_err(|error| error.to_string()).and_then(|keeper| {
            let keys = keeper.known().trust.heartbeat_keys().ok_or("there is no heartbeat key in it")?;
            keys.map_err(|error| error.to_string())
        });
        let keys = keys.map_err(|fault| {
            let path = identity::trust_path(&node.state_dir);
            let message = format!("{}: {fault}", path.display());
            let help = "it belongs to this server's membership; restore it, or `standin leave` and join again";
            self.mistakes.push(node_text.mistake(&["state-dir"], message, help));
        });
        if node.admin_listen.is_none() {
            let message = "servers of a cluster reach each other over the admin port, and this one has none".to_owned();
            let help = "add `[admin]` with `listen = \"10.77.0.11:8053\"`";
            self.mistakes.push(node_text.mistake(&["admin"], message, help));
        }
        keys.ok().map(|keys| (keys, true))
    }

    fn key(&mut self, node: &NodeConfig, node_text: &Text) -> Option<Key> {
        let path = &node.key_file;
        let mut refuse = |fault: String| {
            let message = format!("the key file {}: {fault}", path.display());
            let help = "make one with `head -c 32 /dev/urandom | base64`, the same on every server, mode 600";
            self.mistakes.push(node_text.mistake(&["heartbeat", "key-file"], message, help));
        };
        let key = match read(path) {
            Ok(text) => {
                let text = zeroize::Zeroizing::new(text.text);
                decode_key(&text)
                    .map_err(|error| error.to_string())
                    .and_then(|bytes| Key::from_bytes(&bytes).map_err(|error| error.to_string()))
            }
            Err(refusal) => Err(refusal.reason()),
        };
        let key = key.map_err(&mut refuse).ok()?;
        if let Some(mode) = std::fs::metadata(path).ok().map(|data| data.permissions().mode() & 0o777)
            && mode & 0o077 != 0
        {
            self.warnings.push(format!(
                "{}: the cluster key has mode {mode:o}: others than its owner may read it; `chmod 600` it",
                path.display()
            ));
        }
        Some(key)
    }

    /// What node file and cluster file must agree on.
    fn check_node(&mut self, node: &NodeConfig, node_text: &Text, cluster: &ClusterConfig, cluster_text: &Text) {
        let Some(server) = cluster.servers.get(&node.name) else {
            let there = cluster.servers.keys().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            let message = format!("there is no server `{}` in {}", node.name, cluster_text.name);
            let help = format!("write the name of this machine's [server.NAME] section; there is: {there}");
            self.mistakes.push(node_text.mistake(&["name"], message, &help));
            return;
        };
        let (listen, told) = (node.heartbeat_listen, server.heartbeat);
        let reached = listen == told || (listen.ip().is_unspecified() && listen.port() == told.port());
        if cluster.servers.len() > 1 && !reached {
            self.warnings.push(format!(
                "{}: [heartbeat] listens on {listen}, while the other servers send to {told}",
                node_text.name
            ));
        }
        let sockets = [("heartbeat", node.heartbeat_listen)]
            .into_iter()
            .chain(node.dns_listen.iter().map(|socket| ("dns", *socket)))
            .chain(node.admin_listen.map(|socket| ("admin", socket)))
            .chain(node.metrics_listen.map(|socket| ("metrics", socket)));
        for (section, socket) in sockets {
            let holder = cluster.virtual_hosts.iter().find(|(_, host)| host.addresses.contains(&socket.ip()));
            if let Some((host, _)) = holder {
                let message = format!("{} belongs to virtual host `{host}`: it is not always here", socket.ip());
                let help = "write this machine's own address; the DNS also listens on the virtual addresses it holds";
                self.mistakes.push(node_text.mistake(&[section, "listen"], message, help));
            }
        }
        if node.dns_listen.is_empty() && !cluster.zones.is_empty() {
            self.warnings.push(format!("{}: [dns] listens nowhere, so nobody can ask for the zones", node_text.name));
        }
    }

    /// All zones; the digest of `cluster` then covers their texts.
    fn zones(&mut self, cluster: &mut ClusterConfig, cluster_text: &Text) -> Vec<Zone> {
        let (mut zones, mut texts) = (Vec::new(), Vec::new());
        for (name, settings) in &cluster.zones {
            let draft = self.draft.as_ref().filter(|(zone, _)| zone == name);
            let path = draft.map_or_else(|| cluster_text.resolve(&settings.template), |(_, file)| file.clone());
            match read(&path) {
                Ok(template) => {
                    let zone = load_zone(name, &template, &settings.variables, cluster, &mut texts);
                    zones.extend(self.keep(zone));
                    texts.push(template.text);
                }
                Err(refusal) => {
                    let help = "`template` is relative to the directory of this file";
                    let place = ["zone", name.as_str(), "template"];
                    self.mistakes.push(refusal.at(cluster_text, &place, "the zone template", &path, help));
                }
            }
        }
        cluster.with_digest_of(texts.iter().map(String::as_str));
        zones
    }

    /// File by file in the order of reading, and in each in the order of the text.
    fn sorted(self) -> Vec<Diagnostic> {
        let mut mistakes = self.mistakes;
        let mut files: Vec<Arc<str>> = Vec::new();
        for mistake in &mistakes {
            if !files.contains(&mistake.file) {
                files.push(mistake.file.clone());
            }
        }
        let turn = |file: &Arc<str>| files.iter().position(|known| known == file);
        mistakes.sort_by_key(|mistake| (turn(&mistake.file), mistake.line, mistake.column));
        mistakes
    }
}

/// One zone. Included texts are added to `texts` as they are read.
fn load_zone(
    name: &ZoneName,
    template: &Text,
    variables: &BTreeMap<String, String>,
    cluster: &ClusterConfig,
    texts: &mut Vec<String>,
) -> Result<Zone, Vec<Diagnostic>> {
    load_zone_with(name, template, variables, cluster, &mut |_, text| texts.push(text.to_owned()))
}

/// One zone. `included` hears of each included file, as the `$INCLUDE` names it, and its text.
fn load_zone_with(
    name: &ZoneName,
    template: &Text,
    variables: &BTreeMap<String, String>,
    cluster: &ClusterConfig,
    included: &mut dyn FnMut(&str, &str),
) -> Result<Zone, Vec<Diagnostic>> {
    let mut include = |file: &str| {
        let text = read(&template.resolve(Path::new(file))).map_err(|refusal| refusal.reason())?.text;
        included(file, &text);
        Ok(text)
    };
    dns::zone::load(name, &template.name, &template.text, variables, cluster, &mut include)
}

fn with_paths(mut node: NodeConfig, text: &Text) -> NodeConfig {
    let NodeConfig { state_dir, cluster_file, secrets_dir, socket, key_file, .. } = &mut node;
    for path in [state_dir, cluster_file, secrets_dir, socket, key_file] {
        *path = text.resolve(path);
    }
    node
}

/// Why a file gave no text.
enum Refusal {
    Unreadable(io::Error),
    TooLong,
    /// Not UTF-8: the text with replacements, and the first bad byte.
    NotText(String, usize),
}

impl Refusal {
    fn reason(&self) -> String {
        match self {
            Self::Unreadable(error) => error.to_string(),
            Self::TooLong => format!("longer than {} MiB", LONGEST_FILE >> 20),
            Self::NotText(text, at) => {
                let line = text.as_bytes()[..*at].iter().filter(|byte| **byte == b'\n').count() + 1;
                format!("not UTF-8 text (line {line})")
            }
        }
    }

    /// A mistake in the file itself.
    fn in_itself(&self, path: &Path) -> Diagnostic {
        let file = Arc::from(path.display().to_string());
        match self {
            Self::Unreadable(_) | Self::TooLong => {
                Diagnostic::at(&file, "", 0..0, format!("cannot be read: {}", self.reason()))
            }
            Self::NotText(text, at) => {
                Diagnostic::at(&file, text, *at..*at + 1, "not UTF-8 text").help("save the file as UTF-8")
            }
        }
    }

    /// A mistake where `path` is named in another file; in the file itself where that is the better place.
    fn at(&self, from: &Text, place: &[&str], what: &str, path: &Path, help: &str) -> Diagnostic {
        match self {
            Self::Unreadable(_) | Self::TooLong => {
                from.mistake(place, format!("{what} {} cannot be read: {}", path.display(), self.reason()), help)
            }
            Self::NotText(..) => self.in_itself(path),
        }
    }
}

fn read(path: &Path) -> Result<Text, Refusal> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut bytes));
    read.map_err(Refusal::Unreadable)?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(Refusal::TooLong);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Text { name: path.display().to_string().into(), text }),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            Err(Refusal::NotText(String::from_utf8_lossy(error.as_bytes()).into_owned(), at))
        }
    }
}

#[cfg(test)]
mod tests;
