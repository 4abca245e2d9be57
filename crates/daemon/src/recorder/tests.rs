use super::*;

const BOOT: BootId = BootId([7; 16]);

/// A datagram of the run [`BOOT`], as it stands on the wire.
fn datagram(number: u64, relayed: bool) -> Vec<u8> {
    let mark = if relayed { &b"R"[..] } else { b"" };
    [mark, b"STDN\x01\x01", &BOOT.0, &number.to_be_bytes(), b"sealed"].concat()
}

/// A recorder that has just heard so many heartbeats of web2.
pub(super) fn heard(count: u64) -> Recorder {
    let recorder = Recorder::default();
    recorder.know_run(&BOOT, &ServerName::new("web2"));
    for number in 0..count {
        let seen = Seen::of(Path::Udp, &datagram(number, false));
        recorder.received(host::clock::now(), seen, Outcome::Fresh, Duration::ZERO);
    }
    recorder
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

/// Everything, where the wall clock shows a second when 1,000 ms have passed since boot.
fn all(recorder: &Recorder) -> Vec<Heartbeat> {
    recorder.between(0, u64::MAX, (at(1_000), 1_000_000))
}

#[test]
fn a_heartbeat_is_told_with_its_peer_number_path_and_outcome() {
    let recorder = Recorder::default();
    let to: SocketAddr = "10.77.0.12:7946".parse().unwrap();
    recorder.know_peers(&BTreeMap::from([(ServerName::new("web2"), to)]));
    recorder.know_run(&BOOT, &ServerName::new("web2"));
    recorder.sent(at(100), Some(to), &datagram(5, false), true, Duration::from_micros(80));
    recorder.sent(at(101), None, &datagram(5, false), false, Duration::ZERO);
    recorder.received(at(120), Seen::of(Path::Ethernet, &datagram(9, true)), Outcome::Repeated, Duration::ZERO);
    let all = all(&recorder);
    let expected = |at_us, outcome, path: &str, peer: Option<&str>, number, relayed, late_us| Heartbeat {
        at_us,
        outcome,
        path: path.into(),
        peer: peer.map(str::to_owned),
        number,
        relayed,
        late_us,
    };
    assert_eq!(
        all,
        [
            expected(100_000, Outcome::Sent, "udp", Some("web2"), 5, false, 80),
            expected(101_000, Outcome::NotSent, "ethernet", None, 5, false, 0),
            expected(120_000, Outcome::Repeated, "ethernet", Some("web2"), 9, true, 0),
        ]
    );
}

#[test]
fn the_newest_stay_and_refused_ones_push_out_nothing() {
    let recorder = Recorder::default();
    for number in 0..20_000 {
        let seen = Seen::of(Path::Udp, &datagram(number, false));
        let outcome = if number < 10_000 { Outcome::Fresh } else { Outcome::Refused };
        recorder.received(at(number / 100), seen, outcome, Duration::ZERO);
    }
    let all = all(&recorder);
    let fresh: Vec<u64> = all.iter().filter(|one| one.outcome == Outcome::Fresh).map(|one| one.number).collect();
    assert_eq!((fresh[0], fresh.len()), (10_000 - HEARTBEATS as u64 + MARGIN, HEARTBEATS - MARGIN as usize));
    assert_eq!(all.len() - fresh.len(), REFUSED - MARGIN as usize);
}

#[test]
fn whatever_is_no_heartbeat_is_recorded_as_nothing() {
    for bytes in [&b""[..], b"R", b"x", &[b'R'; 10], &[1; 29]] {
        let _any = Seen::of(Path::Udp, bytes);
    }
}
