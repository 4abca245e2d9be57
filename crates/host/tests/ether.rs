//! Heartbeat frames between real kernels.

mod support;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use host::{
    bell::Bell,
    ether::Ether,
    heartbeat::{Heard, Heartbeats},
    lab::{Host, Lab},
    peer::PeerSocket,
};
use model::net::{InterfaceIndex, MacAddress, Origin};
use rtnetlink::LinkUnspec;
use support::*;

struct Station {
    host: Host,
    bell: Bell,
    heartbeats: Heartbeats,
    eth0: InterfaceIndex,
    mac: MacAddress,
}

impl Station {
    fn new(host: Host) -> Self {
        let ether = host.run(Ether::start).expect("a thread").expect("a descriptor");
        let anywhere = "0.0.0.0:0".parse().expect("an address");
        let socket = host.run(move || PeerSocket::bind(anywhere)).expect("a thread").expect("a socket");
        let (eth0, mac) = interface(&host, "eth0");
        let bell = Bell::new().expect("a descriptor");
        let mut station = Self { host, bell, heartbeats: Heartbeats::new(socket, Some(ether)), eth0, mac };
        station.listen(true);
        station
    }

    fn ether(&self) -> &Ether {
        self.heartbeats.ether().expect("it was given one")
    }

    /// On its interface, or on none; waits until it is so.
    fn listen(&mut self, on: bool) {
        let wanted = on.then_some(self.eth0);
        self.ether().set(wanted.into_iter().collect::<BTreeSet<_>>());
        self.until_open(on);
    }

    fn until_open(&mut self, open: bool) {
        let begun = Instant::now();
        while self.ether().view().state().open.is_empty() == open {
            assert!(begun.elapsed() < PATIENCE, "open: {open}; {:?}", self.ether().view().state());
            // That a link has failed is found by who listens.
            self.listens(Duration::from_millis(1));
        }
    }

    /// What is heard within that time, of the first wait that finds something.
    fn listens(&mut self, patience: Duration) -> Option<Heard> {
        self.heartbeats.wait(&self.bell, patience);
        self.heartbeats.hear()
    }

    fn heard(&mut self) -> (Origin, Vec<u8>) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(Heard::Datagram { from, bytes }) = self.listens(PATIENCE) {
                return (from, bytes);
            }
        }
        unreachable!("nothing is heard");
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
        let (mut one, mut two) = stations(&mut lab);
        for datagram in [&b"x"[..], &[7; 1200]] {
            one.ether().broadcast(datagram).unwrap();
            assert_eq!(two.heard(), (Origin::Ethernet { interface: two.eth0, mac: one.mac }, datagram.to_vec()));
        }
        two.ether().broadcast(b"back").unwrap();
        assert_eq!(one.heard().1, b"back", "it has not heard itself before");
        assert_eq!(one.ether().view().state().open, ["eth0"]);
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
        let (one, mut two) = stations(&mut lab);
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
        let (mut one, mut two) = stations(&mut lab);
        one.listen(false);
        one.ether().broadcast(b"lost").unwrap();
        one.listen(true);
        one.ether().broadcast(b"one").unwrap();
        assert_eq!(two.heard().1, b"one");

        // Its failure is noticed, told, and mended when the link is back, whoever forgets to say so.
        two.set_link(false);
        two.until_open(false);
        assert_eq!(two.ether().view().state().failed.len(), 1);
        two.set_link(true);
        two.until_open(true);
        assert!(two.ether().view().state().failed.is_empty());
        let begun = Instant::now();
        // The switch may take a while until it forwards to that port again.
        while two.listens(Duration::from_millis(1)).is_none() {
            assert!(begun.elapsed() < PATIENCE, "nothing is heard");
            one.ether().broadcast(b"two").unwrap();
        }
    });
}

#[test]
fn a_flood_on_one_path_does_not_keep_the_other_from_being_heard() {
    in_lab("a_flood_on_one_path_does_not_keep_the_other_from_being_heard", |mut lab| {
        let (one, mut two) = stations(&mut lab);
        let port = two.heartbeats.socket().local_addr().unwrap().port();
        let to = std::net::SocketAddr::new(ip("10.77.0.12"), port);
        // The first one finds out by ARP where to go.
        one.heartbeats.socket().send(to, b"first").unwrap();
        assert_eq!(two.heard().1, b"first");
        for _ in 0..200 {
            one.heartbeats.socket().send(to, b"by UDP").unwrap();
            one.ether().broadcast(b"by Ethernet").unwrap();
        }
        let by_udp = (0..100).filter(|_| matches!(two.heard().0, Origin::Udp(_))).count();
        assert!((25..=75).contains(&by_udp), "{by_udp} of 100 by UDP");
        assert_eq!(two.heartbeats.dropped(), 0);
    });
}
