//! One fuzz input for `Membership::receive`, with what must hold whatever the bytes. Shared by the fuzz target and by
//! the test that replays the corpus.
//!
//! The first byte chooses: even, and the rest is a datagram as a stranger would send it; odd, and the rest is sealed
//! under the cluster's key first, so that the fuzzer reaches what lies behind the seal. The sealing here is written
//! from the description of the format and not with the product's own code.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use aws_lc_rs::{aead, hkdf};
use cluster::{Effect, Effects, Key, Keys, Membership, statement::Statement};
use model::{
    BootId, Instant, ServerName,
    config::{ClusterConfig, DnsSettings, HeartbeatSettings, PartitionPolicy, Server, SharedCause},
    event::{Event, Refusal},
    health::ServerState,
};

const SECRET: [u8; 32] = [1; 32];
const OUR_BOOT: BootId = BootId([0; 16]);
const PEER_BOOT: [u8; 16] = [1; 16];

/// Feeds one input to a server that has just begun and spoken once.
pub(crate) fn run(input: &[u8]) {
    let now = Instant::from_nanos(1_000_000_000);
    let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7946).into();
    let keys = Keys::new(Key::from_bytes(&SECRET).expect("32 bytes"));
    let mut membership = Membership::new(ServerName::new("a"), OUR_BOOT, keys, config(), now);
    let mut effects = Effects::new();
    membership.send(now, &Statement::default(), &mut effects);
    effects.drain().for_each(drop);

    let Some((mode, rest)) = input.split_first() else { return };
    let authentic = mode % 2 == 1;
    let datagram = if authentic { seal(rest) } else { rest.to_vec() };
    // Twice: the second copy is never news.
    membership.receive(now, from, &datagram, &mut effects);
    let received = membership.counters().received;
    let again = membership.receive(now, from, &datagram, &mut effects);

    let counters = membership.counters();
    let refused: u64 = counters.refused.values().sum();
    assert_eq!(counters.received + refused, 2, "each datagram is counted once");
    assert_eq!(counters.received, received, "a second copy is refused");
    assert_eq!(again, None);
    if !authentic {
        assert_eq!(received, 0, "nobody guesses a seal");
        assert!(membership.peers().all(|(_, peer)| peer.state() == ServerState::Unknown));
    }
    if refused == 2 {
        let replayed = counters.refused.contains_key(&Refusal::Replayed);
        assert!(!replayed, "what was refused once is not remembered");
        assert!(!membership.prompts_wanted());
    }
    for effect in effects.drain() {
        assert!(
            matches!(effect, Effect::Record(Event::DatagramsRefused { .. } | Event::PeerAlive { .. })),
            "{effect:?}"
        );
    }
    membership.expire(now + HeartbeatSettings::default().detection() * 2, &mut effects);
    assert!(membership.peers().all(|(_, peer)| !peer.state().is_alive()));
}

/// `plain` as the peer's datagram number 1.
fn seal(plain: &[u8]) -> Vec<u8> {
    struct One;
    impl hkdf::KeyType for One {
        fn len(&self) -> usize {
            1
        }
    }
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"standin heartbeat v1").extract(&SECRET);
    let mut id = [0];
    secret.expand(&[b"standin key id v1"], One).and_then(|okm| okm.fill(&mut id)).expect("one byte");
    let info: [&[u8]; 2] = [b"standin heartbeat v1", &PEER_BOOT];
    let key = secret.expand(&info, &aead::CHACHA20_POLY1305).expect("32 bytes");
    let key = aead::LessSafeKey::new(aead::UnboundKey::from(key));

    let mut header = b"STDN\x01".to_vec();
    header.push(id[0]);
    header.extend_from_slice(&PEER_BOOT);
    header.extend_from_slice(&1u64.to_be_bytes());
    let mut nonce = [0; 12];
    nonce[11] = 1;
    let mut body = plain.to_vec();
    key.seal_in_place_append_tag(aead::Nonce::assume_unique_for_key(nonce), aead::Aad::from(&header), &mut body)
        .expect("short");
    [header, body].concat()
}

fn config() -> Arc<ClusterConfig> {
    let server = |last: u8| {
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        Server { address, also: Vec::new(), heartbeat: SocketAddr::new(address, 7946) }
    };
    Arc::new(ClusterConfig {
        name: "fuzz".into(),
        digest: 1,
        heartbeat: HeartbeatSettings::default(),
        partition: PartitionPolicy::Availability,
        shared_cause: SharedCause::default(),
        servers: [("a", 1), ("b", 2), ("c", 3)]
            .into_iter()
            .map(|(name, last)| (ServerName::new(name), server(last)))
            .collect(),
        virtual_hosts: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        pools: BTreeMap::new(),
        zones: BTreeMap::new(),
        dns: DnsSettings::default(),
        channels: BTreeMap::new(),
    })
}
