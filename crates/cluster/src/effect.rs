//! Everything that a [`Node`](crate::Node) can want done. Plain values that tests compare.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use model::{
    Health, MonitorId, ServerName,
    event::Event,
    health::LastingHold,
    hook::{HookOrder, RecoveryOrder},
    net::{InterfaceIndex, WitnessWay},
    report::ProbeOrder,
};

/// One thing to do. Executed in the order given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a sealed datagram to a peer's heartbeat address. May be lost.
    Send {
        /// To whom.
        to: ServerName,
        /// What.
        datagram: Vec<u8>,
    },
    /// The interfaces on which heartbeats are sent and heard as Ethernet broadcasts, whole. Newest wins.
    Ethernet(BTreeSet<InterfaceIndex>),
    /// Send a sealed datagram once as a broadcast on each interface of the newest [`Effect::Ethernet`]. May be lost.
    Broadcast(Vec<u8>),
    /// Keep these sealed datagrams for the guardian, in the place of those before: each tells every peer that this run is
    /// over and holds nothing; there are several because one may be lost. They are sent only when this process lives no
    /// more and the kernel has none of its addresses.
    Farewell(Vec<Vec<u8>>),
    /// The virtual addresses that this machine should have, whole, and on which interface. Newest wins. Every address
    /// whose wish changed is answered by [`Input::Address`](crate::Input::Address), even where nothing had to be done.
    Addresses(BTreeMap<IpAddr, InterfaceIndex>),
    /// Tell the link once where these addresses are now: ARP request and reply forms, unsolicited NA with override.
    Announce(BTreeMap<IpAddr, InterfaceIndex>),
    /// Ask the wire whether somebody has the address; answered by [`Input::Duplicate`](crate::Input::Duplicate).
    CheckDuplicate {
        /// Which address.
        address: IpAddr,
        /// Where to ask.
        interface: InterfaceIndex,
    },
    /// Ask the wire, once, who has the addresses of a holder that has fallen silent; each is answered by
    /// [`Input::Holder`](crate::Input::Holder) within `patience`.
    AskHolder {
        /// Which address, on which interface.
        addresses: BTreeMap<IpAddr, InterfaceIndex>,
        /// After which silence means nobody.
        patience: Duration,
    },
    /// Ask the witnesses, once; each answers by [`Input::Witness`](crate::Input::Witness) within `patience`.
    AskWitnesses {
        /// Which address, and how.
        witnesses: BTreeMap<IpAddr, WitnessWay>,
        /// After which silence means unreachable.
        patience: Duration,
    },
    /// The probes that should be running, whole. Newest wins; a probe whose order is unchanged goes on undisturbed.
    Probes(BTreeMap<MonitorId, ProbeOrder>),
    /// Probe at once, whatever the interval says; answered by [`Input::Probe`](crate::Input::Probe). One that is under way
    /// began before the reason for this one, so its result should be dropped.
    ProbeNow(MonitorId),
    /// The holds of monitors that must outlive this daemon, whole: they come back by [`Settings`](crate::Settings). Newest
    /// wins. Nobody waits for it: a power loss a moment later may undo it.
    Keep(BTreeMap<MonitorId, LastingHold>),
    /// Run a hook beside everything else; answered, once, by [`Input::HookDone`](crate::Input::HookDone).
    RunHook(HookOrder),
    /// Run a monitor's recovery program beside everything else; answered, once, by
    /// [`Input::RecoveryDone`](crate::Input::RecoveryDone).
    RunRecovery(RecoveryOrder),
    /// What DNS and status should say from now on. Newest wins.
    Health(Arc<Health>),
    /// A decision or an observation, for the journal.
    Record(Event),
    /// The planned stop is complete: nothing is held, everybody has been told.
    Goodbye,
}

/// Effects in order, as `handle` appends them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one.
    pub fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    /// Appends an event for the journal.
    pub fn record(&mut self, event: Event) {
        self.push(Effect::Record(event));
    }

    /// Takes all, in order, leaving it empty for reuse.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.0.drain(..)
    }

    /// All, in order.
    pub fn as_slice(&self) -> &[Effect] {
        &self.0
    }

    /// The addresses of the newest [`Effect::Addresses`], if there is one.
    pub fn desired_addresses(&self) -> Option<BTreeSet<IpAddr>> {
        self.0.iter().rev().find_map(|effect| match effect {
            Effect::Addresses(set) => Some(set.keys().copied().collect()),
            Effect::Send { .. }
            | Effect::Ethernet(_)
            | Effect::Broadcast(_)
            | Effect::Farewell(_)
            | Effect::Announce(_)
            | Effect::CheckDuplicate { .. }
            | Effect::AskHolder { .. }
            | Effect::AskWitnesses { .. }
            | Effect::Probes(_)
            | Effect::ProbeNow(_)
            | Effect::Keep(_)
            | Effect::RunHook(_)
            | Effect::RunRecovery(_)
            | Effect::Health(_)
            | Effect::Record(_)
            | Effect::Goodbye => None,
        })
    }
}
