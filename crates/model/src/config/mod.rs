//! Checked configuration. Two files: `standin.toml` describes this machine ([`NodeConfig`]), `cluster.toml` the whole
//! cluster ([`ClusterConfig`]).
//!
//! [`parse_node`] and [`parse_cluster`] walk the TOML tree (`read`) and make checked values of it (`check`) in one step
//! that returns *all* mistakes with their places. Reading files is the caller's business: nothing here touches a disk.

mod check;
pub mod cluster;
pub mod handling;
pub mod key;
pub mod node;
pub mod notify;
pub mod probe;
mod read;

pub use check::{parse_cluster, parse_node};
pub use cluster::{
    AllDown, ClusterConfig, DnsSettings, Endpoint, Failback, HeartbeatSettings, Hook, Monitor, PartitionPolicy, Policy,
    Pool, PoolMember, RateLimit, Server, SharedCause, Ttl, UnknownPolicy, VirtualHost, ZoneSettings,
};
pub use handling::{Damping, Handling, Recovery, Severity};
pub use key::decode_key;
pub use node::NodeConfig;
pub use notify::{Channel, ChannelKind};
pub use probe::ProbeKind;
pub use read::{locate, parse_duration, text_at};
