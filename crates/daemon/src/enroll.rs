//! How a machine becomes a member, before its daemon runs: the cluster's first server makes everything, every further one is
//! given it for a join token.
//!
//! Invariants: `identity.json` is written last, so that a machine is a member with all that belongs to it, or not at all. A
//! private key never leaves its machine.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use cluster::trust::{Current, HeartbeatKey, Item, KeyKind, Member, Start, Trust};
use hyper::Method;
use model::{
    access::{Fingerprint, JoinToken, Secret},
    api::access::{Join, Joined},
    config::{ClusterConfig, NodeConfig, decode_key, parse_node},
};

use crate::{
    desk,
    remote::{Remote, RemoteError},
    trust::{
        self,
        authority::{self, CertificateError, digest},
        identity::{self, Identity, random_name},
        tls::fingerprints,
    },
};

/// Why it did not come to that. Nothing was changed then, unless it is said.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// A file.
    #[error("{0}: {1}")]
    File(String, io::Error),
    /// The configuration: every mistake drawn.
    #[error("{0}")]
    Configuration(String),
    /// As things are.
    #[error("{0}")]
    State(String),
    /// The cluster.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The cluster said no.
    #[error("the cluster refused: {0}")]
    Refused(String),
    /// Keys.
    #[error("{0}")]
    Keys(String),
}

impl From<CertificateError> for EnrollError {
    fn from(error: CertificateError) -> Self {
        Self::Keys(error.to_string())
    }
}

fn file(path: &Path) -> impl Fn(io::Error) -> EnrollError {
    let path = path.display().to_string();
    move |error| EnrollError::File(path.clone(), error)
}

/// What was made, for the operator.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// This server.
    pub server: String,
    /// The cluster.
    pub cluster: String,
    /// The fingerprint of the cluster's authority, by which people know it.
    pub authorities: Vec<Fingerprint>,
    /// What else is to be done.
    pub advice: Vec<String>,
}

/// This machine as its node file says, with the paths resolved.
struct Machine {
    node: NodeConfig,
    reach: SocketAddr,
}

impl Machine {
    fn read(config: &Path) -> Result<Self, EnrollError> {
        let text = fs::read_to_string(config).map_err(file(config))?;
        let node = parse_node(&config.display().to_string(), &text).map_err(drawn)?;
        let beside = |path: &PathBuf| config.parent().unwrap_or(Path::new("")).join(path);
        let node = NodeConfig { state_dir: beside(&node.state_dir), key_file: beside(&node.key_file), ..node };
        let Some(reach) = node.admin_listen else {
            return Err(EnrollError::State(format!(
                "{}: servers of a cluster reach each other over the admin port: add `[admin]` with `listen = \"{}:8053\"`",
                config.display(),
                node.heartbeat_listen.ip()
            )));
        };
        if Identity::read(&node.state_dir).map_err(file(&identity::path(&node.state_dir)))?.is_some() {
            return Err(EnrollError::State(format!(
                "{} is a member of a cluster already: `standin leave` ends that",
                node.name
            )));
        }
        Ok(Self { node, reach })
    }

    /// Where the others reach it: a wildcard becomes its own address.
    fn reach(&self, address: IpAddr) -> SocketAddr {
        if self.reach.ip().is_unspecified() { SocketAddr::new(address, self.reach.port()) } else { self.reach }
    }
}

fn drawn(mistakes: Vec<model::diagnostic::Diagnostic>) -> EnrollError {
    EnrollError::Configuration(mistakes.iter().map(|mistake| mistake.render(false)).collect::<Vec<_>>().join("\n\n"))
}

/// The heartbeat key in use, so that servers that run already go on understanding each other; else a new one.
fn heartbeat_secret(node: &NodeConfig) -> Result<Secret, EnrollError> {
    match trust::files::read(&node.key_file) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let decoded = decode_key(&text).map_err(|error| EnrollError::Keys(error.to_string()))?;
            let secret = Secret::new(decoded.to_vec());
            let checked = cluster::Key::from_bytes(secret.expose());
            checked.map(|_| secret).map_err(|error| EnrollError::Keys(error.to_string()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let random = host::entropy::bytes::<32>();
            random.map(|bytes| Secret::new(bytes.to_vec())).map_err(|error| EnrollError::Keys(error.to_string()))
        }
        Err(error) => Err(file(&node.key_file)(error)),
    }
}

/// Makes a cluster of this server and its document: authority, keys, trust. Its daemon must be started anew for that.
///
/// # Errors
/// [`EnrollError`].
pub(crate) fn init(config: &Path, cluster: &ClusterConfig) -> Result<Enrolled, EnrollError> {
    let machine = Machine::read(config)?;
    let node = &machine.node;
    let Some(server) = cluster.servers.get(&node.name) else {
        return Err(EnrollError::State(format!("there is no server {} in the document", node.name)));
    };
    let random = || random_name().map_err(|error| EnrollError::Keys(error.to_string()));
    let (key, member) = (authority::new_key()?, random()?);
    let authority = authority::found(1, &cluster.name, None, host::clock::wall_seconds())?;
    let entry = Member {
        name: node.name.to_string(),
        keys: vec![digest(&authority::public_key(&key)?)],
        reach: machine.reach(server.address),
        start: Start::default(),
    };
    let (authority_id, heartbeat_id) = (random()?, random()?);
    let current = |key: &str| Item::Current(Current { number: 1, key: key.to_owned() });
    let items = [
        (member.clone(), Item::Member(entry)),
        (authority_id.clone(), Item::Authority(authority)),
        (KeyKind::Authority.register().to_owned(), current(&authority_id)),
        (heartbeat_id.clone(), Item::HeartbeatKey(HeartbeatKey { number: 1, secret: heartbeat_secret(node)? })),
        (KeyKind::Heartbeat.register().to_owned(), current(&heartbeat_id)),
    ];
    let mut trust = Trust::default();
    for (id, item) in items {
        trust.put(&id, node.name.as_str(), item).expect("an empty store has room, and nothing is gone");
    }
    keep(node, key, member, &trust)?;
    let advice = vec![
        "start the daemon (anew): `systemctl restart standin`".to_owned(),
        "then `standin token` invites the next server, `standin user add NAME --role admin` a person".to_owned(),
    ];
    let authorities = fingerprints(&trust);
    Ok(Enrolled { server: node.name.to_string(), cluster: cluster.name.to_string(), authorities, advice })
}

fn keep(node: &NodeConfig, key: Secret, member: String, trust: &Trust) -> Result<(), EnrollError> {
    let (path, name) = (identity::trust_path(&node.state_dir), node.name.to_string());
    trust::write(&path, trust).map_err(file(&path))?;
    let identity = Identity { member, name, key, next_key: None, start: Start::default(), expelled: None };
    identity.write(&node.state_dir).map_err(file(&identity::path(&node.state_dir)))
}

/// Makes this machine a member of the cluster that `host` is a server of. Its daemon must not run yet.
///
/// # Errors
/// [`EnrollError`].
pub fn join(config: &Path, host: &str, token: &JoinToken, address: Option<IpAddr>) -> Result<Enrolled, EnrollError> {
    let machine = Machine::read(config)?;
    let node = &machine.node;
    let address = address.or(Some(node.heartbeat_listen.ip()).filter(|ip| !ip.is_unspecified()));
    let address = address.ok_or_else(|| {
        EnrollError::State(
            "[heartbeat] listens on every address: say by --address which one is this server's own".into(),
        )
    })?;
    let key = authority::new_key()?;
    let heartbeat = node.heartbeat_listen;
    let ip = if heartbeat.ip().is_unspecified() { address } else { heartbeat.ip() };
    let ask = Join {
        token: token.id.clone(),
        secret: token.secret.clone(),
        name: node.name.to_string(),
        address,
        heartbeat: SocketAddr::new(ip, heartbeat.port()),
        reach: machine.reach(address),
        key: Secret::new(authority::public_key(&key)?),
    };
    let body = serde_json::to_string(&ask).map_err(|error| EnrollError::Keys(error.to_string()))?;
    let remote = Remote { host: host.to_owned(), authorities: vec![token.authority], token: None };
    let (code, answer) = remote.request(Method::POST, "/v1/join", body)?;
    if code != 200 {
        let said = serde_json::from_slice::<serde_json::Value>(&answer).ok();
        let said = said.and_then(|said| said.get("error")?.as_str().map(str::to_owned));
        return Err(EnrollError::Refused(said.unwrap_or_else(|| format!("status {code}"))));
    }
    let unfit = |error: serde_json::Error| EnrollError::Refused(format!("its answer is not understood: {error}"));
    let joined: Joined = serde_json::from_slice(&answer).map_err(unfit)?;
    let trust: Trust = serde_json::from_value(joined.trust.clone()).map_err(unfit)?;
    let settled = desk::receive(&node.state_dir, joined.document.expose())
        .map_err(|error| EnrollError::State(format!("the cluster's document: {error}")))?;
    keep(node, key, joined.member, &trust)?;
    let advice = vec!["start the daemon: `systemctl enable --now standin`".to_owned()];
    let cluster = settled.checked.config.name.to_string();
    Ok(Enrolled { server: node.name.to_string(), cluster, authorities: fingerprints(&trust), advice })
}

/// Why this machine may not take part any more; none where it may, or is no member at all.
///
/// # Errors
/// A file that cannot be read, or is open to others.
pub fn expelled(state_dir: &Path) -> Result<Option<String>, EnrollError> {
    let identity = Identity::read(state_dir).map_err(file(&identity::path(state_dir)))?;
    Ok(identity.and_then(|identity| identity.expelled))
}

/// Forgets identity and trust; the document is set aside, as `document.left`. The daemon must not run any more.
///
/// # Errors
/// The disk's.
pub fn forget(state_dir: &Path) -> Result<bool, EnrollError> {
    let mut forgotten = false;
    // The identity first: without it the rest is nobody's.
    for path in [identity::path(state_dir), identity::trust_path(state_dir)] {
        match fs::remove_file(&path) {
            Ok(()) => forgotten = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file(&path)(error)),
        }
    }
    if forgotten {
        host::store::set_aside(state_dir, "left").map_err(file(state_dir))?;
    }
    Ok(forgotten)
}
