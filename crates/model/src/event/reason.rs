//! Why something happened, as events say it.

use std::sync::Arc;

use serde::Serialize;

use crate::net::MacAddress;

/// Why something moves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Nobody held it since the cluster, or the virtual host, began.
    Unheld,
    /// It is held there: this server has only just learnt of it.
    Held,
    /// Its holder is dead.
    ServerDead,
    /// Its holder said goodbye.
    ServerLeft,
    /// Its holder went on standby.
    Standby,
    /// A monitor of its holder is down, or less healthy than elsewhere.
    ServiceFailed,
    /// Its holder cannot hold it: no interface on its subnet, or the kernel refused.
    Unable,
    /// Its peers could not reach it where it was.
    Unseen,
    /// A better-listed server is as healthy again.
    Failback,
    /// Two claims at once; this one lost.
    RivalWon,
    /// The partition policy is not satisfied.
    Isolated,
    /// This process overslept.
    Overslept,
    /// Its lease in the kernel was not renewed in time.
    LeaseLost,
    /// The configuration changed.
    Configuration,
}

/// Why an address is refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum AddressRefusal {
    /// It is this machine's own address.
    OwnAddress {
        /// On this interface.
        interface: Arc<str>,
    },
    /// It answers on the wire.
    InUse {
        /// The owner's Ethernet address.
        mac: MacAddress,
    },
}

/// Why a datagram was refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Not a Standin datagram, or cut short.
    Malformed,
    /// Another protocol version.
    Version,
    /// Sealed under a key that we don't have.
    UnknownKey,
    /// The seal does not fit: forged, or damaged.
    Forged,
    /// From a server that is not in the configuration, or from ourselves.
    UnknownServer,
    /// Seen before, or older than the window.
    Replayed,
    /// From an earlier run of its sender.
    StaleBoot,
}

impl Refusal {
    /// Every reason, for counters.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::Version,
        Self::UnknownKey,
        Self::Forged,
        Self::UnknownServer,
        Self::Replayed,
        Self::StaleBoot,
    ];

    /// The word in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::UnknownKey => "unknown-key",
            Self::Forged => "forged",
            Self::UnknownServer => "unknown-server",
            Self::Replayed => "replayed",
            Self::StaleBoot => "stale-boot",
        }
    }
}
