//! Heartbeat frames between real kernels.

mod support;

use std::{collections::BTreeSet, time::Instant};

use host::{
    Report,
    ether::Ether,
    lab::{Host, Lab},
};
use model::net::{InterfaceIndex, MacAddress, Origin};
use rtnetlink::LinkUnspec;
use support::*;

struct Station {
    host: Host,
    ether: Ether,
    reports: Reports,
    eth0: InterfaceIndex,
    mac: MacAddress,
}

impl Station {
    fn new(host: Host) -> Self {
        let (sink, reports) = reports();
        let ether = host.run(|| Ether::start(sink)).expect("a thread").expect("a descriptor");
        let (eth0, mac) = interface(&host, "eth0");
        let station = Self { host, ether, reports, eth0, mac };
        station.listen(true);
        station
    }

    /// On its interface, or on none; waits until it is so.
    fn listen(&self, on: bool) {
        let wanted = on.then_some(self.eth0);
        self.ether.set(wanted.into_iter().collect::<BTreeSet<_>>());
        self.until_open(on);
    }

    fn until_open(&self, open: bool) {
        let begun = Instant::now();
        while self.ether.view().state().open.is_empty() == open {
            assert!(begun.elapsed() < PATIENCE, "open: {open}; {:?}", self.ether.view().state());
        }
    }

    fn heard(&self) -> (Origin, Vec<u8>) {
        self.reports.until("a datagram", |report| match report {
            Report::Datagram { from, bytes } => Some((*from, bytes.clone())),
            _ => None,
        })
    }

    fn set_link(&self, up: bool) {
        let eth0 = self.eth0.0;
        netlink(&self.host, |handle| async move {
            let link = LinkUnspec::new_with_index(eth0);
            let link = if up { link.up() } else { link.down() };
            handle.link().set(link.build()).execute().await.expect("the link");
        });
    }
}

fn stations(lab: &mut Lab) -> (Station, Station) {
    let (one, two) = two_hosts(lab);
    (Station::new(one), Station::new(two))
}

#[test]
fn a_broadcast_is_heard_with_its_sender_and_without_its_padding() {
    in_lab("a_broadcast_is_heard_with_its_sender_and_without_its_padding", |mut lab| {
        let (one, two) = stations(&mut lab);
        for datagram in [&b"x"[..], &[7; 1200]] {
            one.ether.broadcast(datagram).unwrap();
            assert_eq!(two.heard(), (Origin::Ethernet { interface: two.eth0, mac: one.mac }, datagram.to_vec()));
        }
        two.ether.broadcast(b"back").unwrap();
        assert_eq!(one.heard().1, b"back", "it has not heard itself before");
        assert_eq!(one.ether.view().state().open, ["eth0"]);
    });
}

/// Sends a frame that is not made by `Ether`.
fn send_raw(from: &Host, frame: &[u8]) {
    from.run(|| {
        let (_, mut sender) = raw(from);
        sender(frame);
    })
    .expect("a thread");
}

/// A packet socket on eth0.
fn raw(host: &Host) -> (InterfaceIndex, impl FnMut(&[u8])) {
    let (eth0, _) = interface(host, "eth0");
    let eth0_named = pnet::datalink::NetworkInterface {
        name: "eth0".into(),
        description: String::new(),
        index: eth0.0,
        mac: None,
        ips: Vec::new(),
        flags: 0,
    };
    let config = pnet::datalink::Config { promiscuous: false, ..pnet::datalink::Config::default() };
    let mut sender = match pnet::datalink::channel(&eth0_named, config) {
        Ok(pnet::datalink::Channel::Ethernet(sender, _)) => sender,
        Ok(_) => unreachable!("layer 2 was asked for"),
        Err(error) => unreachable!("a packet socket: {error}"),
    };
    (eth0, move |frame: &[u8]| sender.send_to(frame, None).expect("a try").expect("sent"))
}

#[test]
fn what_is_not_ours_is_not_heard() {
    in_lab("what_is_not_ours_is_not_heard", |mut lab| {
        let (one, two) = stations(&mut lab);
        let frame = |to: [u8; 6], ether_type: [u8; 2], payload: &[u8]| {
            let mut frame = [&to[..], &one.mac.0, &ether_type, payload].concat();
            frame.resize(frame.len().max(60), 0);
            frame
        };
        let (all, ours) = ([0xff; 6], [0x88, 0xb5]);
        // The last of each pair is one that is heard, so that the one before was met.
        for strange in [
            frame(all, ours, b"STDX\x00\x01x"),
            frame(all, [0x88, 0xb6], b"STDE\x00\x01x"),
            frame(two.mac.0, ours, b"STDE\x00\x01x"),
            frame(all, ours, b"STDE\xff\xffx"),
            frame(all, ours, b"STDE\x00\x00"),
        ] {
            send_raw(&one.host, &strange);
            send_raw(&one.host, &frame(all, ours, b"STDE\x00\x02ok"));
            assert_eq!(two.heard().1, b"ok", "{strange:?}");
        }
    });
}

#[test]
fn it_is_closed_opened_anew_and_survives_its_link() {
    in_lab("it_is_closed_opened_anew_and_survives_its_link", |mut lab| {
        let (one, two) = stations(&mut lab);
        one.listen(false);
        one.ether.broadcast(b"lost").unwrap();
        one.listen(true);
        one.ether.broadcast(b"one").unwrap();
        assert_eq!(two.heard().1, b"one");

        // Its failure is noticed, told, and mended when the link is back, whoever forgets to say so.
        two.set_link(false);
        two.until_open(false);
        assert_eq!(two.ether.view().state().failed.len(), 1);
        two.set_link(true);
        two.until_open(true);
        assert!(two.ether.view().state().failed.is_empty());
        let begun = Instant::now();
        // The switch may take a while until it forwards to that port again.
        while !two.reports.rest().iter().any(|report| matches!(report, Report::Datagram { .. })) {
            assert!(begun.elapsed() < PATIENCE, "nothing is heard");
            one.ether.broadcast(b"two").unwrap();
        }
    });
}
