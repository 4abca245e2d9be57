//! `standin.toml`: what only this machine knows.

use std::{net::SocketAddr, path::PathBuf};

use crate::id::ServerName;

/// This machine's configuration, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeConfig {
    /// Which `[server.NAME]` of the cluster file this machine is.
    pub name: ServerName,
    /// Where the daemon keeps what must survive a restart.
    pub state_dir: PathBuf,
    /// The cluster file.
    pub cluster_file: PathBuf,
    /// The directory of secrets that the cluster's configuration only names, a file each. Default `secrets`, beside the node file.
    pub secrets_dir: PathBuf,
    /// The Unix socket of the local admin API.
    pub socket: PathBuf,
    /// Where heartbeats are received and sent from.
    pub heartbeat_listen: SocketAddr,
    /// Whether heartbeats also go as Ethernet broadcasts, on links that other servers are on. Default true.
    pub heartbeat_ethernet: bool,
    /// The file that holds the cluster key, base64 of at least 32 bytes.
    pub key_file: PathBuf,
    /// DNS listening sockets. A specific address also brings the virtual addresses of its family, as they come and go.
    pub dns_listen: Vec<SocketAddr>,
    /// Threads that answer DNS over UDP, at least 1.
    pub dns_threads: usize,
    /// Read-only HTTP API for other machines; none unless asked for.
    pub admin_listen: Option<SocketAddr>,
    /// Prometheus metrics over HTTP; none unless asked for.
    pub metrics_listen: Option<SocketAddr>,
}
