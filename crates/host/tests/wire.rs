//! Announcements and questions between real kernels.

mod support;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use futures_util::StreamExt;
use host::{Report, lab::Host, wire::Wire};
use model::{
    net::{InterfaceIndex, MacAddress},
    report::DuplicateCheck,
};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
};
use rtnetlink::MulticastGroup;
use support::*;

const STRANGER: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x66]);
const PATIENT: Duration = Duration::from_millis(500);

fn start(host: &Host) -> (Wire, Reports) {
    let (sink, reports) = reports();
    (host.run(|| Wire::start(sink)).expect("a thread").expect("a descriptor"), reports)
}

fn mac_of(neighbour: &NeighbourMessage, address: IpAddr) -> Option<MacAddress> {
    let about = neighbour.attributes.iter().any(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => IpAddr::V4(*found) == address,
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(found)) => IpAddr::V6(*found) == address,
        _ => false,
    });
    let mac = neighbour.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok().map(MacAddress),
        _ => None,
    });
    mac.filter(|_| about)
}

/// Has `host` believe that `address` is at a stranger's MAC, as of this moment, and returns the first other MAC that its
/// kernel comes to believe in after `act`.
fn believes(host: &Host, interface: InterfaceIndex, address: IpAddr, act: impl FnOnce() + Send) -> MacAddress {
    netlink(host, |handle| async move {
        let (connection, _, mut news) = rtnetlink::new_multicast_connection(&[MulticastGroup::Neigh]).expect("netlink");
        tokio::spawn(connection);
        let old = handle.neighbours().add(interface.0, address).state(NeighbourState::Reachable);
        old.link_layer_address(&STRANGER.0).replace().execute().await.expect("an entry");
        act();
        let changed = async {
            while let Some((message, _)) = news.next().await {
                if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(neighbour)) = message.payload
                    && let Some(mac) = mac_of(&neighbour, address)
                    && mac != STRANGER
                {
                    return mac;
                }
            }
            unreachable!("the stream goes on");
        };
        tokio::time::timeout(PATIENCE, changed).await.expect("the entry changes")
    })
}

#[test]
fn an_announcement_flips_the_entries_of_neighbours() {
    in_lab("an_announcement_flips_the_entries_of_neighbours", |mut lab| {
        let (server, client) = two_hosts(&mut lab);
        let (eth0, mac) = interface(&server, "eth0");
        let (its_eth0, _) = interface(&client, "eth0");
        let (wire, _reports) = start(&server);
        for address in [ip("10.77.0.101"), ip("fd00:77::101")] {
            add_address(&server, eth0, address, if address.is_ipv4() { 32 } else { 128 });
            // Twice, for the first entry has never been confirmed and the second one was, just now.
            for _ in 0..2 {
                let announce = || wire.announce(BTreeMap::from([(address, eth0)]));
                assert_eq!(believes(&client, its_eth0, address, announce), mac, "{address}");
            }
        }
    });
}

fn check(wire: &Wire, reports: &Reports, address: IpAddr, interface: InterfaceIndex) -> DuplicateCheck {
    wire.check_duplicate(address, interface);
    reports.until("a verdict", |report| match report {
        Report::Duplicate { address: about, check } if *about == address => Some(*check),
        _ => None,
    })
}

#[test]
fn an_address_in_use_is_found_with_its_owner() {
    in_lab("an_address_in_use_is_found_with_its_owner", |mut lab| {
        let (server, client) = two_hosts(&mut lab);
        let (eth0, _) = interface(&server, "eth0");
        let (_, its_mac) = interface(&client, "eth0");
        let (wire, reports) = start(&server);
        for address in [ip("10.77.0.12"), ip("fd00:77::12")] {
            assert_eq!(check(&wire, &reports, address, eth0), DuplicateCheck::InUse(its_mac), "{address}");
        }
        for address in [ip("10.77.0.101"), ip("fd00:77::101")] {
            assert_eq!(check(&wire, &reports, address, eth0), DuplicateCheck::Free, "{address}");
        }
        for address in [ip("10.77.0.11"), ip("fd00:77::11")] {
            assert_eq!(check(&wire, &reports, address, eth0), DuplicateCheck::Free, "we don't answer ourselves");
        }
        // The link has been silent and deaf meanwhile.
        assert_eq!(check(&wire, &reports, ip("10.77.0.12"), eth0), DuplicateCheck::InUse(its_mac));
    });
}

#[test]
fn a_silent_holder_is_asked_for_and_a_rival_is_heard_unasked() {
    in_lab("a_silent_holder_is_asked_for_and_a_rival_is_heard_unasked", |mut lab| {
        let (server, client) = two_hosts(&mut lab);
        let (eth0, _) = interface(&server, "eth0");
        let (its_eth0, its_mac) = interface(&client, "eth0");
        let (wire, reports) = start(&server);
        let (rival, _its_reports) = start(&client);
        let ours = [ip("10.77.0.101"), ip("10.77.0.102"), ip("fd00:77::101"), ip("fd00:77::102")];
        let answer = |address: IpAddr| {
            wire.ask_holder(BTreeMap::from([(address, eth0)]), Duration::from_millis(50));
            reports.until("an answer", |report| match report {
                Report::Holder { address: about, answer } if *about == address => Some(*answer),
                _ => None,
            })
        };
        let theirs = [ip("10.77.0.12"), ip("fd00:77::12")];
        assert_eq!(theirs.map(answer), [Some(its_mac); 2]);
        assert_eq!(ours.map(answer), [None; 4]);

        wire.watch(ours.map(|address| (address, eth0)).into());
        // The mailbox is read in order: once this is answered, the watch is on.
        assert_eq!(answer(ours[0]), None);
        for address in ours {
            // What nobody watches is not told, nor is what we announce ourselves.
            wire.announce(BTreeMap::from([(address, eth0)]));
            rival.announce(theirs.iter().chain([&address]).map(|address| (*address, its_eth0)).collect());
            let (about, mac) = reports.until("a rival", |report| match report {
                Report::Rival { address, mac } => Some((*address, *mac)),
                _ => None,
            });
            assert_eq!((about, mac), (address, its_mac));
        }
    });
}

/// Four hundred IPv6 addresses make a filter that the kernel would take, and finds no room for.
#[test]
fn a_rival_is_heard_among_any_number_of_addresses() {
    in_lab("a_rival_is_heard_among_any_number_of_addresses", |mut lab| {
        let (server, client) = two_hosts(&mut lab);
        let (eth0, _) = interface(&server, "eth0");
        let (its_eth0, its_mac) = interface(&client, "eth0");
        let (wire, reports) = start(&server);
        let (rival, _its_reports) = start(&client);
        for count in [200, 400, 1_000] {
            let address = |number: usize| ip(&format!("fd00:77::{count}:{number:x}"));
            wire.watch((0..count).map(|number| (address(number), eth0)).collect());
            // The mailbox is read in order: once this is answered, the watch is on.
            assert_eq!(check(&wire, &reports, ip("10.77.0.77"), eth0), DuplicateCheck::Free);
            rival.announce(BTreeMap::from([(address(count - 1), its_eth0)]));
            let found = reports.until("a rival", |report| match report {
                Report::Rival { address, mac } => Some((*address, *mac)),
                _ => None,
            });
            assert_eq!(found, (address(count - 1), its_mac));
        }
    });
}

#[test]
fn a_probe_leaves_no_trace_in_the_owners_tables() {
    in_lab("a_probe_leaves_no_trace_in_the_owners_tables", |mut lab| {
        let (server, client) = two_hosts(&mut lab);
        let (eth0, mac) = interface(&server, "eth0");
        let (_, its_mac) = interface(&client, "eth0");
        let (wire, reports) = start(&server);
        assert_eq!(check(&wire, &reports, ip("10.77.0.12"), eth0), DuplicateCheck::InUse(its_mac));
        let neighbours: Vec<NeighbourMessage> = netlink(&client, |handle| async move {
            handle.neighbours().get().execute().map(|row| row.expect("a row")).collect().await
        });
        let of_us = |neighbour: &NeighbourMessage| {
            neighbour.attributes.contains(&NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()))
                && matches!(neighbour.header.family, netlink_packet_route::AddressFamily::Inet)
        };
        assert!(!neighbours.iter().any(of_us), "{neighbours:?}");
    });
}

fn witness(reports: &Reports, address: IpAddr) -> bool {
    reports.until("a witness", |report| match report {
        Report::Witness { address: about, reachable } if *about == address => Some(*reachable),
        _ => None,
    })
}

#[test]
fn witnesses_answer_or_do_not() {
    in_lab("witnesses_answer_or_do_not", |mut lab| {
        let (server, _client) = two_hosts(&mut lab);
        let (eth0, _) = interface(&server, "eth0");
        let (wire, reports) = start(&server);
        let living = [ip("10.77.0.12"), ip("fd00:77::12")];
        for address in living {
            wire.ask_witness(address, eth0, PATIENT);
            assert!(witness(&reports, address), "{address}");
        }
        for address in [ip("10.77.0.99"), ip("fd00:77::99")] {
            wire.ask_witness(address, eth0, Duration::from_millis(50));
            assert!(!witness(&reports, address), "{address}");
        }
        lab.unplug("web2").expect("a cable");
        for address in living {
            wire.ask_witness(address, eth0, Duration::from_millis(50));
        }
        for address in living {
            assert!(!witness(&reports, address), "{address}");
        }
    });
}

#[test]
fn a_link_that_cannot_be_used_is_silence_and_is_opened_again() {
    in_lab("a_link_that_cannot_be_used_is_silence_and_is_opened_again", |mut lab| {
        let (server, client) = two_hosts(&mut lab);
        let (eth0, _) = interface(&server, "eth0");
        let (_, its_mac) = interface(&client, "eth0");
        let (wire, reports) = start(&server);
        assert_eq!(check(&wire, &reports, ip("10.77.0.12"), eth0), DuplicateCheck::InUse(its_mac));
        set_up(&server, eth0, false);
        assert_eq!(check(&wire, &reports, ip("10.77.0.12"), eth0), DuplicateCheck::Free);
        wire.announce(BTreeMap::from([(ip("10.77.0.101"), eth0)]));
        set_up(&server, eth0, true);
        assert_eq!(check(&wire, &reports, ip("10.77.0.12"), eth0), DuplicateCheck::InUse(its_mac));

        let nowhere = InterfaceIndex(4321);
        assert_eq!(check(&wire, &reports, ip("10.77.0.12"), nowhere), DuplicateCheck::Free);
        wire.ask_witness(ip("10.77.0.12"), nowhere, Duration::from_millis(50));
        assert!(!witness(&reports, ip("10.77.0.12")));
    });
}
