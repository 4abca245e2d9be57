//! Who takes an address has the kernel ask anew for neighbours that it has asked for in vain.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use host::lab::Host;
use model::report::AddressOutcome;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use support::*;

/// The kernel asks again after a second; with so many questions it would not give up while the test runs.
const QUESTIONS: &str = "100";
/// Hundredths of a second, as the kernel counts: longer than a question is left alone.
const OLD: u32 = 10;
/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The rows of the kernel's table about a neighbour.
fn known(host: &Host, neighbour: IpAddr) -> Vec<NeighbourMessage> {
    let rows: Vec<_> =
        netlink(host, |handle| async move { handle.neighbours().get().execute().try_collect().await }).expect("a dump");
    let wanted = NeighbourAttribute::Destination(match neighbour {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    });
    rows.into_iter().filter(|row: &NeighbourMessage| row.attributes.contains(&wanted)).collect()
}

fn is_old_question(row: &NeighbourMessage) -> bool {
    let old = |attribute: &NeighbourAttribute| matches!(attribute, NeighbourAttribute::CacheInfo(info) if info.updated >= OLD);
    row.header.state == NeighbourState::Incomplete && row.attributes.iter().any(old)
}

fn until(what: &str, happens: impl Fn() -> bool) {
    let begun = Instant::now();
    while !happens() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn say(host: &Host, from: &str, to: IpAddr) {
    let socket = host.run(|| UdpSocket::bind((from, 0))).expect("a thread").expect("a socket");
    socket.send_to(b"anybody there?", (to, 9)).expect("the kernel takes it");
}

#[test]
fn questions_asked_in_vain_are_asked_anew() {
    in_lab("questions_asked_in_vain_are_asked_anew", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        for family in ["ipv4", "ipv6"] {
            let setting = format!("/proc/sys/net/{family}/neigh/eth0/mcast_solicit");
            host.run(|| fs::write(&setting, QUESTIONS)).expect("a thread").expect("a setting");
        }
        let nobody = [ip("10.77.0.77"), ip("fd00:77::77")];
        let well = ip("10.77.0.12");
        say(&host, "10.77.0.11", nobody[0]);
        say(&host, "fd00:77::11", nobody[1]);
        until("both questions are old", || nobody.iter().all(|one| known(&host, *one).iter().any(is_old_question)));
        say(&host, "10.77.0.11", well);
        until("a neighbour answers", || {
            let has_mac = |attribute: &NeighbourAttribute| matches!(attribute, NeighbourAttribute::LinkLayerAddress(_));
            known(&host, well).iter().any(|row| row.attributes.iter().any(has_mac))
        });

        let (sink, reports) = reports();
        let addresses = host.run(|| Fed::start(sink)).expect("a thread");
        assert!(
            nobody.iter().all(|one| known(&host, *one).iter().any(is_old_question)),
            "a start alone changes nothing"
        );
        addresses.set(BTreeMap::from([(ip("10.77.0.101"), eth0)]));
        assert_eq!(reports.outcome(), (ip("10.77.0.101"), AddressOutcome::Present));
        until("the questions are forgotten", || {
            nobody.iter().all(|one| !known(&host, *one).iter().any(is_old_question))
        });
        assert_eq!(known(&host, well).len(), 1, "who answers is not asked again");
    });
}
