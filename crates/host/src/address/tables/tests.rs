use netlink_packet_route::route::RouteNextHop;

use super::*;
use crate::address::message::{add, delete};

const ETH0: InterfaceIndex = InterfaceIndex(7);

fn nobody(_: IpAddr, _: InterfaceIndex) -> bool {
    false
}

fn link(layer: LinkLayerType, flags: LinkFlags, state: State) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = ETH0.0;
    link.header.link_layer_type = layer;
    link.header.flags = flags;
    link.attributes = vec![
        LinkAttribute::IfName("eth0".into()),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
        LinkAttribute::OperState(state),
    ];
    link
}

fn ethernet_up() -> LinkMessage {
    link(LinkLayerType::Ether, LinkFlags::Up | LinkFlags::LowerUp, State::Up)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn own_address(text: &str, length: u8) -> AddressMessage {
    let mut message = delete(ip(text), ETH0);
    message.header.prefix_len = length;
    message
}

#[test]
fn an_interface_is_up_only_with_carrier() {
    let up = |flags, state| {
        let mut tables = Tables::default();
        tables.apply(&RouteNetlinkMessage::NewLink(link(LinkLayerType::Ether, flags, state)), &nobody);
        tables.interfaces()[0].up
    };
    assert!(up(LinkFlags::Up | LinkFlags::LowerUp, State::Up));
    assert!(up(LinkFlags::Up | LinkFlags::LowerUp, State::Unknown));
    assert!(!up(LinkFlags::Up, State::Unknown));
    assert!(!up(LinkFlags::Up, State::Down));
    assert!(!up(LinkFlags::Up | LinkFlags::LowerUp, State::Dormant));
    assert!(!up(LinkFlags::LowerUp, State::Up), "taken down by an administrator");
}

#[test]
fn only_ethernet_interfaces_are_told() {
    let mut tables = Tables::default();
    let loopback = link(LinkLayerType::Loopback, LinkFlags::Up | LinkFlags::Loopback, State::Unknown);
    assert_eq!(tables.apply(&RouteNetlinkMessage::NewLink(loopback), &nobody), Notice::Nothing);
    assert!(tables.interfaces().is_empty());
}

#[test]
fn what_a_bridge_says_about_its_port_changes_nothing() {
    let mut tables = Tables::default();
    tables.apply(&RouteNetlinkMessage::NewLink(ethernet_up()), &nobody);
    let mut of_bridge = ethernet_up();
    of_bridge.header.interface_family = AddressFamily::Bridge;
    assert_eq!(tables.apply(&RouteNetlinkMessage::DelLink(of_bridge), &nobody), Notice::Nothing);
    let mut wireless = ethernet_up();
    wireless.attributes.clear();
    assert_eq!(tables.apply(&RouteNetlinkMessage::NewLink(wireless), &nobody), Notice::Nothing);
    assert_eq!(tables.interfaces().len(), 1);
    assert_eq!(tables.apply(&RouteNetlinkMessage::DelLink(ethernet_up()), &nobody), Notice::Machine);
    assert!(tables.interfaces().is_empty());
}

#[test]
fn own_addresses_are_those_that_are_not_ours() {
    let mut tables = Tables::default();
    tables.apply(&RouteNetlinkMessage::NewLink(ethernet_up()), &nobody);
    let own = RouteNetlinkMessage::NewAddress(own_address("10.0.0.1", 24));
    assert_eq!(tables.apply(&own, &nobody), Notice::Machine);
    let ours = add(ip("10.0.0.9"), ETH0);
    assert_eq!(tables.apply(&RouteNetlinkMessage::NewAddress(ours.clone()), &nobody), Notice::Nothing);
    assert_eq!(tables.interfaces()[0].own, ["10.0.0.1/24".parse().unwrap()]);
    let lost = tables.apply(&RouteNetlinkMessage::DelAddress(ours), &nobody);
    assert_eq!(lost, Notice::Lost(ip("10.0.0.9"), ETH0));
    let gone = RouteNetlinkMessage::DelAddress(own_address("10.0.0.1", 24));
    assert_eq!(tables.apply(&gone, &nobody), Notice::Machine);
    assert!(tables.interfaces()[0].own.is_empty());
}

#[test]
fn where_the_kernel_keeps_no_protocol_the_wish_tells_ours() {
    let mut tables = Tables::default();
    tables.apply(&RouteNetlinkMessage::NewLink(ethernet_up()), &nobody);
    let wished = |address: IpAddr, interface| address == ip("fd00::9") && interface == ETH0;
    let bare = RouteNetlinkMessage::NewAddress(own_address("fd00::9", 128));
    assert_eq!(tables.apply(&bare, &wished), Notice::Nothing);
    let wide = RouteNetlinkMessage::NewAddress(own_address("fd00::9", 64));
    assert_eq!(tables.apply(&wide, &wished), Notice::Machine, "with a subnet it is the machine's own");
    assert_eq!(tables.interfaces()[0].own, ["fd00::9/64".parse().unwrap()]);
}

fn default_route(metric: u32, attributes: Vec<RouteAttribute>) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.kind = RouteType::Unicast;
    route.attributes = attributes;
    route.attributes.push(RouteAttribute::Priority(metric));
    route
}

fn via(text: &str) -> RouteAttribute {
    RouteAttribute::Gateway(ip(text).into())
}

#[test]
fn gateways_come_in_the_order_of_preference_and_once() {
    let mut elsewhere = default_route(1, vec![via("10.0.0.7")]);
    elsewhere.header.table = 100;
    let mut narrow = default_route(1, vec![via("10.0.0.8")]);
    narrow.header.destination_prefix_length = 8;
    let mut unreachable = default_route(0, vec![via("10.0.0.6")]);
    unreachable.header.kind = RouteType::Unreachable;
    let mut path = RouteNextHop::default();
    path.attributes = vec![via("10.0.0.3")];
    let mut dead = RouteNextHop::default();
    dead.flags = RouteNextHopFlags::Dead;
    dead.attributes = vec![via("10.0.0.4")];
    let routes = [
        default_route(200, vec![via("10.0.0.2")]),
        default_route(100, vec![via("10.0.0.1")]),
        default_route(300, vec![via("10.0.0.1")]),
        default_route(400, vec![RouteAttribute::MultiPath(vec![dead, path])]),
        default_route(500, vec![]),
        elsewhere,
        narrow,
        unreachable,
    ];
    assert_eq!(gateways(&routes), [ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.3")]);
}
