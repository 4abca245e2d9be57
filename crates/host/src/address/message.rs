//! A virtual address as the kernel knows it: the netlink messages that add and delete it, and how it is recognised.
//!
//! Always /32 or /128 without a prefix route, so that deleting one never takes others along; IPv6 without duplicate address
//! detection (we ask the wire ourselves, and DAD would keep the address unusable for a second) and never preferred as a source.

use std::{
    ffi::CStr,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use model::net::InterfaceIndex;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo};
use rtnetlink::AddressMessageBuilder;

use super::LEASE;

/// `IFA_PROTO` of every address that Standin adds: `ip address show proto 83`. The kernel keeps it since 5.18.
pub const PROTOCOL: u8 = 83;

/// The end of an IPv4 address's label, and what tells our own on kernels that don't keep [`PROTOCOL`].
const LABEL: &str = ":vip";

/// A label has 16 bytes in the kernel, the last of them zero.
const LABEL_LENGTH: usize = 15;

/// [`LEASE`] in the kernel's unit.
const LIFETIME: u32 = 2;
const _: () = assert!(LEASE.as_secs() == LIFETIME as u64 && LEASE.subsec_nanos() == 0);

/// Adds the address, on lease.
pub(super) fn add(address: IpAddr, interface: InterfaceIndex) -> AddressMessage {
    let mut message = renew(address, interface);
    if let (IpAddr::V4(_), Some(label)) = (address, interface_name(interface).and_then(|name| label(&name))) {
        message.attributes.push(AddressAttribute::Label(label));
    }
    message
}

/// Begins the lease of an address anew. Finds no name of the interface, for which it would have to ask the kernel.
pub(super) fn renew(address: IpAddr, interface: InterfaceIndex) -> AddressMessage {
    let mut message = delete(address, interface);
    let mut life = CacheInfo::default();
    life.ifa_valid = LIFETIME;
    let flags = match address {
        IpAddr::V4(_) => {
            life.ifa_preferred = LIFETIME;
            AddressFlags::Noprefixroute
        }
        IpAddr::V6(_) => {
            // Deprecated from the start: the machine's own connections keep its own address.
            life.ifa_preferred = 0;
            AddressFlags::Noprefixroute | AddressFlags::Nodad
        }
    };
    message.attributes.push(AddressAttribute::Flags(flags));
    message.attributes.push(AddressAttribute::CacheInfo(life));
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)));
    message
}

/// Deletes exactly this address with exactly our prefix on exactly this interface.
pub(super) fn delete(address: IpAddr, interface: InterfaceIndex) -> AddressMessage {
    match address {
        IpAddr::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new().index(interface.0).address(address, 32).build(),
        IpAddr::V6(address) => {
            AddressMessageBuilder::<Ipv6Addr>::new().index(interface.0).address(address, 128).build()
        }
    }
}

/// The machine's end of an address; the other end of a point-to-point link is not ours.
pub(super) fn local(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

/// Whether Standin added it, in this run or an earlier one.
pub(super) fn is_ours(message: &AddressMessage) -> bool {
    message.attributes.iter().any(|attribute| match attribute {
        AddressAttribute::Protocol(protocol) => u8::from(*protocol) == PROTOCOL,
        AddressAttribute::Label(label) => message.header.prefix_len == 32 && label.ends_with(LABEL),
        _ => false,
    })
}

fn label(interface: &str) -> Option<String> {
    let label = format!("{interface}{LABEL}");
    (label.len() <= LABEL_LENGTH).then_some(label)
}

fn interface_name(interface: InterfaceIndex) -> Option<String> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the kernel writes at most IF_NAMESIZE bytes, the last of them zero, into `name`.
    let found = unsafe { libc::if_indextoname(interface.0, name.as_mut_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: `found` points to `name`, which holds a terminated string.
    unsafe { CStr::from_ptr(found) }.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_do_not_fit_are_left_out() {
        assert_eq!(label("eth0").as_deref(), Some("eth0:vip"));
        assert_eq!(label("enp0s31f6.4").as_deref(), Some("enp0s31f6.4:vip"));
        assert_eq!(label("enp0s31f6.40"), None);
    }

    #[test]
    fn our_own_is_recognised_by_protocol_or_label() {
        let address = "10.0.0.1".parse().unwrap();
        let ours = add(address, InterfaceIndex(7));
        assert!(is_ours(&ours));
        assert_eq!(local(&ours), Some(address));
        let mut other = delete(address, InterfaceIndex(7));
        assert!(!is_ours(&other));
        other.attributes.push(AddressAttribute::Label("eth0:vip".into()));
        assert!(is_ours(&other));
        other.header.prefix_len = 24;
        assert!(!is_ours(&other), "an operator's address that happens to have such a label");
    }
}
