//! The frames that we send, and what the frames of others tell. Pure: bytes in, bytes out.
//!
//! ARP as in RFC 826 and RFC 5227, neighbour discovery as in RFC 4861 (section 7.2.6 for unsolicited advertisements,
//! RFC 4862 section 5.4 for the solicitation that asks for duplicates).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::net::MacAddress;
use pnet::{
    packet::{
        Packet,
        arp::{ArpHardwareTypes, ArpOperation, ArpOperations, ArpPacket, MutableArpPacket},
        ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket},
        icmpv6::{Icmpv6Packet, Icmpv6Types, MutableIcmpv6Packet, checksum, ndp::NeighborAdvertFlags},
        ip::IpNextHeaderProtocols,
        ipv6::{Ipv6Packet, MutableIpv6Packet},
    },
    util::MacAddr,
};

const ETHERNET: usize = EthernetPacket::minimum_packet_size();
const IPV6: usize = Ipv6Packet::minimum_packet_size();
/// A neighbour message without options: type, code, checksum, flags, target.
const NEIGHBOUR: usize = 24;
/// A link-layer address option: type, length in units of eight bytes, address.
const OPTION: usize = 8;

const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;

/// All of this link: only a packet that no router has passed on can have it (RFC 4861 section 7.1).
const HOP_LIMIT: u8 = 255;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Somebody said that this address is at this MAC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Heard {
    pub(super) address: IpAddr,
    pub(super) mac: MacAddress,
}

/// What tells everybody on the link that `address` is at `mac` now, in the order in which to send it.
///
/// IPv4: exactly these two forms pass the locktime of Linux (an entry younger than a second ignores other replies): the
/// request, and the reply whose target MAC is the sender's. IPv6: with the override flag, without which the old MAC stays.
pub(super) fn announcement(mac: MacAddress, address: IpAddr) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => vec![
            arp(ArpOperations::Request, (mac, address), (MacAddress::default(), address)),
            arp(ArpOperations::Reply, (mac, address), (mac, address)),
        ],
        IpAddr::V6(address) => {
            let mut message = neighbour_message(Some((TARGET_ADDRESS, mac)), address);
            message[0] = Icmpv6Types::NeighborAdvert.0;
            message[4] = NeighborAdvertFlags::Override;
            vec![icmpv6(mac, address, ALL_NODES, message)]
        }
    }
}

/// Asks who has `target`. An unspecified `source` makes it a probe, which leaves no trace in anybody's tables (RFC 5227
/// section 1.1, RFC 4862 section 5.4.2). The families of `source` and `target` must agree, else there is no such frame.
pub(super) fn question(mac: MacAddress, source: IpAddr, target: IpAddr) -> Option<Vec<u8>> {
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            Some(arp(ArpOperations::Request, (mac, source), (MacAddress::default(), target)))
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let option = (!source.is_unspecified()).then_some((SOURCE_ADDRESS, mac));
            let mut message = neighbour_message(option, target);
            message[0] = Icmpv6Types::NeighborSolicit.0;
            Some(icmpv6(mac, source, solicited_node(target), message))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

/// What a frame tells: the sender of an ARP packet, the target of a neighbour advertisement.
///
/// A probe names no sender and tells nothing, so that two servers that ask for the same free address don't each take the
/// other for its owner.
pub(super) fn parse(frame: &[u8]) -> Option<Heard> {
    let ethernet = EthernetPacket::new(frame)?;
    match ethernet.get_ethertype() {
        EtherTypes::Arp => parse_arp(&ArpPacket::new(ethernet.payload())?),
        EtherTypes::Ipv6 => parse_advertisement(&ethernet),
        _ => None,
    }
}

fn parse_arp(arp: &ArpPacket<'_>) -> Option<Heard> {
    let sender = arp.get_sender_proto_addr();
    let plain = arp.get_hardware_type() == ArpHardwareTypes::Ethernet
        && arp.get_protocol_type() == EtherTypes::Ipv4
        && (arp.get_hw_addr_len(), arp.get_proto_addr_len()) == (6, 4)
        && !sender.is_unspecified();
    plain.then(|| Heard { address: sender.into(), mac: MacAddress(arp.get_sender_hw_addr().octets()) })
}

fn parse_advertisement(ethernet: &EthernetPacket<'_>) -> Option<Heard> {
    let ip = Ipv6Packet::new(ethernet.payload())?;
    let length = usize::from(ip.get_payload_length());
    let message = ethernet.payload().get(IPV6..IPV6 + length)?;
    let icmp = Icmpv6Packet::new(message)?;
    let valid = ip.get_version() == 6
        && ip.get_next_header() == IpNextHeaderProtocols::Icmpv6
        && ip.get_hop_limit() == HOP_LIMIT
        && icmp.get_icmpv6_type() == Icmpv6Types::NeighborAdvert
        && icmp.get_icmpv6_code().0 == 0
        && icmp.get_checksum() == checksum(&icmp, &ip.get_source(), &ip.get_destination());
    let target: [u8; 16] = message.get(8..NEIGHBOUR)?.try_into().ok()?;
    valid.then(|| Heard {
        address: Ipv6Addr::from(target).into(),
        mac: target_option(message).unwrap_or(MacAddress(ethernet.get_source().octets())),
    })
}

/// The target link-layer address option of a neighbour message. By hand: pnet's own walk overflows on long options.
fn target_option(message: &[u8]) -> Option<MacAddress> {
    let mut options = message.get(NEIGHBOUR..)?;
    while let [kind, units, value @ ..] = options {
        if *kind == TARGET_ADDRESS {
            return value.first_chunk().copied().map(MacAddress);
        }
        // A length of zero is malformed (RFC 4861 section 4.6).
        options = options.get(usize::from(*units).max(1) * 8..)?;
    }
    None
}

fn arp(operation: ArpOperation, sender: (MacAddress, Ipv4Addr), target: (MacAddress, Ipv4Addr)) -> Vec<u8> {
    let mut frame = ethernet(sender.0, MacAddr::broadcast(), ArpPacket::minimum_packet_size());
    let mut arp = MutableArpPacket::new(&mut frame[ETHERNET..]).expect("the frame was made to fit");
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(operation);
    arp.set_sender_hw_addr(sender.0.0.into());
    arp.set_sender_proto_addr(sender.1);
    arp.set_target_hw_addr(target.0.0.into());
    arp.set_target_proto_addr(target.1);
    set_type(&mut frame, EtherTypes::Arp.0);
    frame
}

/// A neighbour message about `target`; type and flags are still zero.
fn neighbour_message(option: Option<(u8, MacAddress)>, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![0; NEIGHBOUR];
    message[8..].copy_from_slice(&target.octets());
    if let Some((kind, mac)) = option {
        message.extend([kind, (OPTION / 8) as u8]);
        message.extend(mac.0);
    }
    message
}

/// The message in a packet in a frame, to a multicast address.
fn icmpv6(mac: MacAddress, source: Ipv6Addr, destination: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let mut icmp = MutableIcmpv6Packet::new(&mut message).expect("the message was made to fit");
    let sum = checksum(&icmp.to_immutable(), &source, &destination);
    icmp.set_checksum(sum);
    let [.., a, b, c, d] = destination.octets();
    // RFC 2464 section 7.
    let mut frame = ethernet(mac, MacAddr::new(0x33, 0x33, a, b, c, d), IPV6 + message.len());
    let mut ip = MutableIpv6Packet::new(&mut frame[ETHERNET..]).expect("the frame was made to fit");
    ip.set_version(6);
    ip.set_payload_length(u16::try_from(message.len()).expect("at most 32 bytes"));
    ip.set_next_header(IpNextHeaderProtocols::Icmpv6);
    ip.set_hop_limit(HOP_LIMIT);
    ip.set_source(source);
    ip.set_destination(destination);
    ip.set_payload(&message);
    set_type(&mut frame, EtherTypes::Ipv6.0);
    frame
}

fn ethernet(source: MacAddress, destination: MacAddr, payload: usize) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET + payload];
    let mut ethernet = MutableEthernetPacket::new(&mut frame).expect("the frame was made to fit");
    ethernet.set_source(source.0.into());
    ethernet.set_destination(destination);
    frame
}

fn set_type(frame: &mut [u8], ether_type: u16) {
    frame[12..14].copy_from_slice(&ether_type.to_be_bytes());
}

/// RFC 4291 section 2.7.1.
fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

#[cfg(test)]
mod tests;
