//! Checked configuration. Two files: `standin.toml` describes this machine ([`NodeConfig`]), `cluster.toml` the whole
//! cluster ([`ClusterConfig`]).
//!
//! Text becomes a `Spec` (shape, spans, unknown fields refused), then a `Config` (every value checked, every reference
//! resolved) in one step that returns *all* errors. Reading files is the caller's business: nothing here touches a disk.

pub mod cluster;
pub mod node;

pub use cluster::{
    AllDown, ClusterConfig, DnsSettings, Failback, HeartbeatSettings, HttpProbe, Monitor, PartitionPolicy, Pool,
    PoolMember, ProbeKind, Server, UnknownPolicy, VirtualHost, ZoneSettings,
};
pub use node::NodeConfig;
