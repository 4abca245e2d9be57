//! What a server says of itself in each heartbeat.
//!
//! A statement is the whole truth of its sender at one instant. Its long part, the account, seldom changes: on the wire a
//! statement may name an account that all who listen have heard already (`wire`, `membership::told`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use model::{BootId, Term, health::Judgement};

/// One server's word. Names travel as their keys (see `model::digest`): `ServerName::key` and so on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Statement {
    /// An operator asks that this server holds nothing.
    pub standby: bool,
    /// A planned stop is under way: hand-overs first. Counts as standby.
    pub resigning: bool,
    /// The last word before the process ends; nothing is held any more.
    pub goodbye: bool,
    /// Start-up listening is still on (design R7).
    pub listening: bool,
    /// Digest of the configuration in force.
    pub configuration: u64,
    /// The highest zone serial that this server has seen or made.
    pub serial: u32,
    /// Whom it hears, by server key.
    pub heard: BTreeMap<u64, Vec<Heard>>,
    /// What it says of virtual hosts, monitors and pools.
    pub account: Arc<Account>,
}

/// The part of a statement that grows with the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Account {
    /// Its part in each virtual host whose list it is on, by virtual host key.
    pub stances: BTreeMap<u64, Stance>,
    /// Its monitors' verdicts, by monitor key.
    pub verdicts: BTreeMap<u64, Judgement>,
    /// Those of its monitors whose recovery program is at work, by monitor key: for people alone.
    pub recovering: BTreeSet<u64>,
    /// For how many seconds it has seen calm about each pool of elastic TTL, in steps, by pool key.
    pub calm: BTreeMap<u64, u32>,
}

impl Statement {
    /// Whether both say the same, but for whom they hear.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let Self { standby, resigning, goodbye, listening, configuration, serial, heard: _, account } = self;
        (*standby, *resigning, *goodbye, *listening) == (other.standby, other.resigning, other.goodbye, other.listening)
            && (*configuration, *serial) == (other.configuration, other.serial)
            && *account == other.account
    }
}

/// The last that a server heard of one run of a peer. Two at most for one peer: its run in force, and one that has not
/// yet proven to be fresh.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// The run.
    pub boot: BootId,
    /// The highest sequence number accepted from it.
    pub sequence: u64,
    /// Milliseconds since a datagram came straight from it, not relayed by another member; `u16::MAX`: longer, or never.
    pub direct_age_ms: u16,
    /// The number of the newest account of it that is known, 0: none yet. `None`: said by an early version, which knows no
    /// numbers and needs every account whole.
    pub learned: Option<u64>,
}

/// A server's part in one virtual host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stance {
    /// Whether, and how, it holds the virtual host.
    pub claim: Claim,
    /// The holding's number; of the last one known where nothing is held.
    pub term: Term,
    /// It could hold it: an interface of its on every address's subnet, and no recent refusal by kernel or wire.
    pub able: bool,
    /// It has been as healthy as now for the virtual host's failback delay.
    pub steady: bool,
    /// It sees itself as the target and waits only for the holder's release.
    pub ready: bool,
    /// It is not able because others could not reach what it held.
    pub unseen: bool,
}

/// Whether a server holds a virtual host. Anything but `None` means: its kernel may have the addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Claim {
    /// Confirmed absent.
    #[default]
    None,
    /// Decided: asked of the kernel and not yet confirmed, or to be asked as soon as a `before-take` hook is over.
    Taking,
    /// Confirmed present.
    Active,
    /// Removal asked of the kernel, not yet confirmed.
    Releasing,
}

impl Claim {
    /// Whether the addresses may be on that server.
    pub const fn is_held(self) -> bool {
        match self {
            Self::None => false,
            Self::Taking | Self::Active | Self::Releasing => true,
        }
    }
}
