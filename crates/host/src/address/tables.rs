//! The kernel's links and addresses as notifications build them up. Pure: messages in, interfaces out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use model::net::{Interface, InterfaceIndex, MacAddress, Prefix};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::AddressMessage,
    link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage, State},
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHopFlags, RouteType, RouteVia},
};

use super::message;

/// What a notification means to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Notice {
    /// Nothing that we keep.
    Nothing,
    /// A link or an address changed; routes may have gone with it, for which IPv4 sends no notification.
    Machine,
    /// A default route came or went.
    DefaultRoute,
    /// One of our own addresses went.
    Lost(IpAddr, InterfaceIndex),
}

#[derive(Default, Debug)]
pub(super) struct Tables {
    links: BTreeMap<u32, Link>,
    /// By interface: the addresses that are not ours.
    own: BTreeMap<u32, BTreeSet<(IpAddr, u8)>>,
}

#[derive(Debug)]
struct Link {
    name: Arc<str>,
    mac: MacAddress,
    up: bool,
}

impl Tables {
    /// Takes in one row of a dump or one notification. `desired` tells our own addresses where the kernel does not.
    pub(super) fn apply(
        &mut self,
        message: &RouteNetlinkMessage,
        desired: &dyn Fn(IpAddr, InterfaceIndex) -> bool,
    ) -> Notice {
        match message {
            // Bridges and wireless cards send link messages of their own about something else.
            RouteNetlinkMessage::NewLink(link) if link.header.interface_family == AddressFamily::Unspec => {
                let Some(known) = ethernet(link) else { return Notice::Nothing };
                self.links.insert(link.header.index, known);
                Notice::Machine
            }
            RouteNetlinkMessage::DelLink(link) if link.header.interface_family == AddressFamily::Unspec => {
                self.links.remove(&link.header.index);
                self.own.remove(&link.header.index);
                Notice::Machine
            }
            RouteNetlinkMessage::NewAddress(address) => self.address(address, true, desired),
            RouteNetlinkMessage::DelAddress(address) => self.address(address, false, desired),
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route)
                if is_default(&route.header) =>
            {
                Notice::DefaultRoute
            }
            _ => Notice::Nothing,
        }
    }

    fn address(
        &mut self,
        row: &AddressMessage,
        there: bool,
        desired: &dyn Fn(IpAddr, InterfaceIndex) -> bool,
    ) -> Notice {
        let Some(address) = message::local(row) else { return Notice::Nothing };
        let (index, length) = (row.header.index, row.header.prefix_len);
        let own = self.own.entry(index).or_default();
        let interface = InterfaceIndex(index);
        let ours = message::is_ours(row) || is_host(address, length) && desired(address, interface);
        match (ours, there) {
            (true, true) => Notice::Nothing,
            (true, false) => Notice::Lost(address, interface),
            (false, true) => {
                own.insert((address, length));
                Notice::Machine
            }
            (false, false) => {
                own.remove(&(address, length));
                Notice::Machine
            }
        }
    }

    /// All Ethernet interfaces, by index.
    pub(super) fn interfaces(&self) -> Vec<Interface> {
        let own = |index: &u32| {
            let own = self.own.get(index).into_iter().flatten();
            own.map(|&(address, length)| Prefix { address, length }).collect()
        };
        self.links
            .iter()
            .map(|(index, link)| Interface {
                index: InterfaceIndex(*index),
                name: Arc::clone(&link.name),
                mac: link.mac,
                up: link.up,
                own: own(index),
            })
            .collect()
    }
}

fn is_host(address: IpAddr, length: u8) -> bool {
    match address {
        IpAddr::V4(_) => length == 32,
        IpAddr::V6(_) => length == 128,
    }
}

/// The link, if it is Ethernet and the message is about the whole of it.
fn ethernet(link: &LinkMessage) -> Option<Link> {
    let flags = link.header.flags;
    if link.header.link_layer_type != LinkLayerType::Ether || flags.contains(LinkFlags::Loopback) {
        return None;
    }
    let (mut name, mut mac, mut state) = (None, None, State::Unknown);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(Arc::from(text.as_str())),
            LinkAttribute::Address(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddress),
            LinkAttribute::OperState(operational) => state = *operational,
            _ => {}
        }
    }
    let carrier = match state {
        State::Up => true,
        // Drivers that don't say, such as dummy and some tunnels, have at least the flag.
        State::Unknown => flags.contains(LinkFlags::LowerUp),
        _ => false,
    };
    Some(Link { name: name?, mac: mac?, up: flags.contains(LinkFlags::Up) && carrier })
}

fn is_default(header: &RouteHeader) -> bool {
    header.destination_prefix_length == 0 && header.table == RouteHeader::RT_TABLE_MAIN
}

/// The gateways of the default routes in a dump of routes: the preferred first, each once.
pub(super) fn gateways<'a>(routes: impl IntoIterator<Item = &'a RouteMessage>) -> Vec<IpAddr> {
    let mut found: Vec<(u32, IpAddr)> = routes
        .into_iter()
        .filter(|route| is_default(&route.header) && route.header.kind == RouteType::Unicast)
        .flat_map(|route| {
            let metric = route.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Priority(metric) => Some(*metric),
                _ => None,
            });
            hops(&route.attributes).into_iter().map(move |gateway| (metric.unwrap_or(0), gateway))
        })
        .collect();
    found.sort();
    let mut gateways = Vec::new();
    for (_, gateway) in found {
        if !gateways.contains(&gateway) {
            gateways.push(gateway);
        }
    }
    gateways
}

fn hops(attributes: &[RouteAttribute]) -> Vec<IpAddr> {
    let mut gateways = Vec::new();
    for attribute in attributes {
        match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(address)) | RouteAttribute::Via(RouteVia::Inet(address)) => {
                gateways.push(IpAddr::V4(*address))
            }
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) | RouteAttribute::Via(RouteVia::Inet6(address)) => {
                gateways.push(IpAddr::V6(*address))
            }
            RouteAttribute::MultiPath(paths) => {
                let living = paths.iter().filter(|path| !path.flags.contains(RouteNextHopFlags::Dead));
                gateways.extend(living.flat_map(|path| hops(&path.attributes)));
            }
            _ => {}
        }
    }
    gateways
}

#[cfg(test)]
mod tests;
