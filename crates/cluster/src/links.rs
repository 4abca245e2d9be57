//! The machine's interfaces as the kernel last reported them: where an address can go, and who vouches for the link.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use model::net::{Interface, InterfaceIndex, WitnessWay};

/// Interfaces and gateways; nothing is known before the first report.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Links {
    interfaces: Option<Vec<Interface>>,
    gateways: Option<Vec<IpAddr>>,
    /// The gateways on our links when there last were any: with a link, the kernel may drop its route.
    proven: BTreeSet<IpAddr>,
    /// The link that each peer was last seen to be on.
    neighbours: BTreeMap<IpAddr, InterfaceIndex>,
    /// The link that each configured witness was last seen to be on.
    near: BTreeMap<IpAddr, InterfaceIndex>,
}

/// Who can vouch that this server is not cut off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Witnesses {
    /// The machine has not reported its interfaces or gateways yet.
    NotYetKnown,
    /// None is configured, and no link has, or had before it went down, a gateway.
    Nobody,
    /// These, each by its way. Empty where they are on no link of ours that is up: none can be reached.
    These(BTreeMap<IpAddr, WitnessWay>),
}

impl Links {
    /// Takes a report of all interfaces. Returns those that came up, or changed their Ethernet address, since the last.
    pub(crate) fn take_interfaces(&mut self, interfaces: Vec<Interface>) -> BTreeSet<InterfaceIndex> {
        let before = self.interfaces.replace(interfaces);
        let was = |index| before.iter().flatten().find(|interface: &&Interface| interface.index == index);
        let is_new = |now: &&Interface| now.up && was(now.index).is_none_or(|old| !old.up || old.mac != now.mac);
        let new = self.interfaces.iter().flatten().filter(is_new).map(|interface| interface.index).collect();
        self.remember_gateways();
        new
    }

    /// Whether the interfaces have been reported.
    pub(crate) fn are_known(&self) -> bool {
        self.interfaces.is_some()
    }

    /// Takes a report of all default gateways.
    pub(crate) fn take_gateways(&mut self, gateways: Vec<IpAddr>) {
        self.gateways = Some(gateways);
        self.remember_gateways();
    }

    fn remember_gateways(&mut self) {
        let placed = self.placed(self.gateways.as_deref().unwrap_or_default());
        if !placed.is_empty() {
            self.proven = placed.into_keys().collect();
        }
    }

    /// Those of `witnesses` that are on a link of ours which is up. Our own addresses can't vouch for us.
    fn placed(&self, witnesses: &[IpAddr]) -> BTreeMap<IpAddr, InterfaceIndex> {
        let others = witnesses.iter().filter(|address| self.owner(**address).is_none());
        others.filter_map(|address| Some((*address, self.place(*address)?))).collect()
    }

    /// Whether a gateway is out of reach because its link is down, not because there is none any more.
    fn is_cut_off_from_gateways(&self, gateways: &[IpAddr]) -> bool {
        let down = |address: &IpAddr| {
            let mut dead = self.interfaces.iter().flatten().filter(|interface| !interface.up);
            dead.any(|interface| interface.own.iter().any(|prefix| prefix.contains(*address)))
        };
        let strange = |address: &&IpAddr| self.owner(**address).is_none() && self.place(**address).is_none();
        gateways.iter().filter(strange).any(down) || self.proven.iter().any(|address| strange(&address))
    }

    /// The interface on whose subnet `address` lies: the longest prefix, then the lowest number. Only one that is up.
    pub(crate) fn place(&self, address: IpAddr) -> Option<InterfaceIndex> {
        let up = self.interfaces.iter().flatten().filter(|interface| interface.up);
        let prefixes = up.flat_map(|interface| interface.own.iter().map(move |prefix| (interface.index, prefix)));
        let matching = prefixes.filter(|(_, prefix)| prefix.contains(address));
        matching.min_by_key(|(index, prefix)| (u8::MAX - prefix.length, *index)).map(|(index, _)| index)
    }

    /// The interfaces that are up and have one of these peers on their link. Where our own address, and with it the subnet,
    /// is gone, the link still is the one that it was: frames need no address.
    pub(crate) fn shared_with(&mut self, peers: impl Iterator<Item = IpAddr>) -> BTreeSet<InterfaceIndex> {
        let is_up = |index| self.interfaces.iter().flatten().any(|interface| interface.index == index && interface.up);
        let known = |address| self.place(address).or_else(|| self.neighbours.get(&address).copied());
        let near: BTreeMap<_, _> = peers.filter_map(|address| Some((address, known(address)?))).collect();
        let shared = near.values().copied().filter(|index| is_up(*index)).collect();
        self.neighbours = near;
        shared
    }

    /// What an interface is called.
    pub(crate) fn name(&self, index: InterfaceIndex) -> Option<Arc<str>> {
        let interface = self.interfaces.iter().flatten().find(|interface| interface.index == index);
        interface.map(|interface| interface.name.clone())
    }

    /// The interface that has `address` as the machine's own.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<Arc<str>> {
        let owns = |interface: &&Interface| interface.own.iter().any(|prefix| prefix.address == address);
        self.interfaces.iter().flatten().find(owns).map(|interface| interface.name.clone())
    }

    /// The witnesses: those configured, else the gateways on our links. One whose link is down still is one, but can't be
    /// reached: a server without carrier is not sound for want of somebody to ask. One configured that is on no link of ours
    /// is beyond a router, and asked from one of `own`, this server's configured addresses.
    pub(crate) fn witnesses(&mut self, configured: &[IpAddr], own: &[IpAddr]) -> Witnesses {
        let (Some(_), Some(gateways)) = (&self.interfaces, &self.gateways) else {
            return Witnesses::NotYetKnown;
        };
        if !configured.is_empty() {
            let near = self.placed(configured);
            self.near.retain(|address, _| configured.contains(address));
            self.near.extend(near);
            let way = |address: &IpAddr| Some((*address, self.way(*address, own)?));
            return Witnesses::These(configured.iter().filter_map(way).collect());
        }
        let placed = self.placed(gateways);
        if placed.is_empty() && !self.is_cut_off_from_gateways(gateways) {
            return Witnesses::Nobody;
        }
        let on_link = |(address, index)| (address, WitnessWay::OnLink(index));
        Witnesses::These(placed.into_iter().map(on_link).collect())
    }

    /// How a configured witness is asked; none where it is ourselves, or on a link of ours that is down: by whatever way a
    /// router then reached it, it would say nothing of the link that clients are on.
    fn way(&self, address: IpAddr, own: &[IpAddr]) -> Option<WitnessWay> {
        if self.owner(address).is_some() {
            return None;
        }
        if let Some(index) = self.place(address) {
            return Some(WitnessWay::OnLink(index));
        }
        // With its link, the kernel may drop an address of ours, and the subnet with it.
        let was_near = self.near.get(&address);
        let is_its_link = |interface: &Interface| {
            was_near == Some(&interface.index) || interface.own.iter().any(|prefix| prefix.contains(address))
        };
        if self.interfaces.iter().flatten().any(|interface| !interface.up && is_its_link(interface)) {
            return None;
        }
        let ours = |from: &&IpAddr| from.is_ipv4() == address.is_ipv4() && self.owner(**from).is_some();
        Some(WitnessWay::Routed { from: own.iter().find(ours).copied() })
    }
}

#[cfg(test)]
mod tests {
    use model::net::MacAddress;

    use super::*;

    fn interface(index: u32, up: bool, own: &[&str]) -> Interface {
        Interface {
            index: InterfaceIndex(index),
            name: format!("eth{index}").into(),
            mac: MacAddress([2, 0, 0, 0, 0, index as u8]),
            up,
            own: own.iter().map(|prefix| prefix.parse().unwrap()).collect(),
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_goes_to_the_interface_with_the_longest_prefix_that_is_up() {
        let mut links = Links::default();
        assert_eq!(links.place(ip("10.77.0.101")), None);
        let wide = interface(1, true, &["10.0.0.1/8", "fd00:77::11/64"]);
        links.take_interfaces(vec![wide.clone(), interface(2, true, &["10.77.0.11/24"])]);
        assert_eq!(links.place(ip("10.77.0.101")), Some(InterfaceIndex(2)));
        assert_eq!(links.place(ip("10.78.0.101")), Some(InterfaceIndex(1)));
        assert_eq!(links.place(ip("fd00:77::101")), Some(InterfaceIndex(1)));
        assert_eq!(links.place(ip("192.0.2.1")), None);
        assert_eq!(links.owner(ip("10.77.0.11")), Some("eth2".into()));
        links.take_interfaces(vec![wide, interface(2, false, &["10.77.0.11/24"])]);
        assert_eq!(links.place(ip("10.77.0.101")), Some(InterfaceIndex(1)));
    }

    #[test]
    fn a_link_is_shared_with_peers_on_its_subnet_also_after_our_own_address_is_gone() {
        let mut links = Links::default();
        let mut shared = |interfaces: Vec<Interface>, peers: &[&str]| {
            links.take_interfaces(interfaces);
            let shared = links.shared_with(peers.iter().map(|text| ip(text)));
            shared.into_iter().map(|index| index.0).collect::<Vec<_>>()
        };
        let both = ["10.77.0.12", "10.78.0.12"];
        let (eth1, eth2) = (interface(1, true, &["10.77.0.11/24"]), interface(2, true, &["10.78.0.11/24"]));
        assert_eq!(shared(vec![], &both), [] as [u32; 0]);
        assert_eq!(shared(vec![eth1.clone(), eth2.clone()], &both), [1, 2]);
        assert_eq!(shared(vec![eth1, eth2.clone()], &["10.77.0.12", "192.0.2.1"]), [1]);
        assert_eq!(shared(vec![interface(1, true, &[]), eth2.clone()], &both), [1, 2], "the address is gone");
        assert_eq!(shared(vec![interface(1, false, &[]), eth2.clone()], &both), [2]);
        assert_eq!(shared(vec![interface(1, true, &[]), eth2.clone()], &both), [1, 2]);
        assert_eq!(shared(vec![eth2], &both), [2], "the interface is gone");
    }

    #[test]
    fn who_came_up_or_changed_is_told() {
        let mut links = Links::default();
        let first = interface(1, true, &[]);
        assert_eq!(links.take_interfaces(vec![first.clone()]).len(), 1);
        assert_eq!(links.take_interfaces(vec![first.clone()]).len(), 0);
        let other = Interface { mac: MacAddress([2; 6]), ..first.clone() };
        assert_eq!(links.take_interfaces(vec![other]).len(), 1);
        assert_eq!(links.take_interfaces(vec![Interface { up: false, ..first.clone() }]).len(), 0);
        assert_eq!(links.take_interfaces(vec![first]).len(), 1);
    }

    #[test]
    fn witnesses_are_those_configured_else_the_gateways_of_our_links() {
        let mut links = Links::default();
        links.take_interfaces(vec![interface(1, true, &["10.77.0.11/24"])]);
        assert_eq!(links.witnesses(&[], &[]), Witnesses::NotYetKnown);
        links.take_gateways(vec![ip("10.77.0.254"), ip("192.0.2.1")]);
        let these = |address| Witnesses::These(BTreeMap::from([(ip(address), WitnessWay::OnLink(InterfaceIndex(1)))]));
        assert_eq!(links.witnesses(&[], &[]), these("10.77.0.254"));
        assert_eq!(links.witnesses(&[ip("10.77.0.1")], &[]), these("10.77.0.1"));
        let routed = |from| Witnesses::These(BTreeMap::from([(ip("192.0.2.1"), WitnessWay::Routed { from })]));
        assert_eq!(links.witnesses(&[ip("192.0.2.1")], &[ip("10.77.0.11")]), routed(Some(ip("10.77.0.11"))));
        assert_eq!(
            links.witnesses(&[ip("192.0.2.1")], &[ip("fd00::1"), ip("10.77.0.12")]),
            routed(None),
            "none of ours"
        );
        assert_eq!(links.witnesses(&[ip("10.77.0.11")], &[]), Witnesses::These(BTreeMap::new()), "ourselves");
        links.take_gateways(vec![]);
        assert_eq!(links.witnesses(&[], &[]), Witnesses::Nobody);
        links.take_gateways(vec![ip("10.77.0.11")]);
        assert_eq!(links.witnesses(&[], &[]), Witnesses::Nobody, "we are the gateway ourselves");
    }

    #[test]
    fn the_way_to_a_witness_follows_the_links() {
        let witness = [ip("10.78.0.254")];
        let own = [ip("10.77.0.11")];
        let home = interface(1, true, &["10.77.0.11/24"]);
        let other = |up, own: &[&str]| interface(2, up, own);
        let mut links = Links::default();
        links.take_gateways(vec![]);
        let mut way = |interfaces: Vec<Interface>| {
            links.take_interfaces(interfaces);
            match links.witnesses(&witness, &own) {
                Witnesses::These(these) => these.get(&witness[0]).copied(),
                Witnesses::NotYetKnown | Witnesses::Nobody => panic!("one is configured"),
            }
        };
        let routed = Some(WitnessWay::Routed { from: Some(own[0]) });
        assert_eq!(way(vec![home.clone()]), routed);
        assert_eq!(way(vec![home.clone(), other(false, &["10.78.0.11/24"])]), None, "its link was down from the start");
        let near = vec![home.clone(), other(true, &["10.78.0.11/24"])];
        assert_eq!(way(near.clone()), Some(WitnessWay::OnLink(InterfaceIndex(2))));
        assert_eq!(way(vec![home.clone(), other(false, &[])]), None, "our address went with the link");
        assert_eq!(way(near), Some(WitnessWay::OnLink(InterfaceIndex(2))));
        assert_eq!(way(vec![home, other(true, &[])]), routed, "the link has another subnet now");
    }

    #[test]
    fn a_gateway_whose_link_is_down_is_a_witness_that_can_not_be_reached() {
        let [good, dead] = [true, false].map(|up| vec![interface(1, up, &["10.77.0.11/24"])]);
        let unreachable = Witnesses::These(BTreeMap::new());
        let mut links = Links::default();
        links.take_interfaces(dead.clone());
        links.take_gateways(vec![]);
        assert_eq!(links.witnesses(&[], &[]), Witnesses::Nobody, "there never was one");
        links.take_gateways(vec![ip("10.77.0.254")]);
        assert_eq!(links.witnesses(&[], &[]), unreachable, "down since the start");
        links.take_interfaces(good.clone());
        // The kernel may drop the route with the link, before or after it says that the link is down; the address, too.
        links.take_gateways(vec![]);
        assert_eq!(links.witnesses(&[], &[]), Witnesses::Nobody, "the route was deleted");
        links.take_interfaces(dead);
        assert_eq!(links.witnesses(&[], &[]), unreachable);
        links.take_interfaces(vec![interface(1, false, &[])]);
        assert_eq!(links.witnesses(&[], &[]), unreachable);
        links.take_interfaces(vec![]);
        assert_eq!(links.witnesses(&[], &[]), unreachable);
        links.take_interfaces(good);
        links.take_gateways(vec![ip("10.77.0.254")]);
        assert_ne!(links.witnesses(&[], &[]), unreachable);
    }
}
