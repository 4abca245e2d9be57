use proptest::prelude::*;

use super::*;

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 7]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn hex(frame: &[u8]) -> String {
    frame.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_ipv4_announcement_is_a_request_and_a_reply_that_pass_the_locktime() {
    let frames = announcement(MAC, ip("10.0.0.9"));
    let head = "ffffffffffff0200000000070806".to_owned() + "0001080006040";
    assert_eq!(hex(&frames[0]), head.clone() + "001" + "0200000000070a000009" + "0000000000000a000009");
    assert_eq!(hex(&frames[1]), head + "002" + "0200000000070a000009" + "0200000000070a000009");
    assert_eq!(frames.len(), 2);
}

#[test]
fn an_ipv6_announcement_overrides() {
    let frames = announcement(MAC, ip("fd00::9"));
    let head = "333300000001020000000007".to_owned() + "86dd" + "6000000000203aff";
    let addresses = "fd000000000000000000000000000009".to_owned() + "ff020000000000000000000000000001";
    let message = "8800".to_owned() + "f6b8" + "20000000" + "fd000000000000000000000000000009" + "0201020000000007";
    // The checksum by hand: the ones' complement sum of pseudo-header and message must be all ones.
    let sum: u32 = frames[0][22..].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    let sum = sum + 32 + 58;
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    assert_eq!(hex(&frames[0])[..108 + 4], (head + &addresses + &message[..4]).as_str()[..112]);
    assert_eq!(hex(&frames[0])[116..], message[8..]);
    assert_eq!(frames.len(), 1);
}

#[test]
fn probes_name_no_sender() {
    let four = question(MAC, ip("0.0.0.0"), ip("10.0.0.9")).unwrap();
    assert_eq!(hex(&four[14..]), "0001080006040001".to_owned() + "02000000000700000000" + "0000000000000a000009");
    assert_eq!(parse(&four), None);
    let six = question(MAC, ip("::"), ip("fd00::1:2:3")).unwrap();
    assert_eq!(hex(&six[..6]), "3333ff020003", "the solicited-node group's");
    assert_eq!(hex(&six[38..54]), "ff0200000000000000000001ff020003");
    assert_eq!(six.len(), ETHERNET + IPV6 + NEIGHBOUR, "without the source option (RFC 4861 section 4.3)");
    assert_eq!(six[54], 135);
}

#[test]
fn a_question_with_a_sender_says_where_to_answer() {
    let six = question(MAC, ip("fd00::7"), ip("fd00::9")).unwrap();
    assert_eq!(hex(&six[78..]), "0101020000000007");
    assert_eq!(question(MAC, ip("fd00::7"), ip("10.0.0.9")), None);
}

#[test]
fn an_announcement_tells_its_address_and_mac() {
    for address in [ip("10.0.0.9"), ip("fd00::9")] {
        for frame in announcement(MAC, address) {
            assert_eq!(parse(&frame), Some(Heard { address, mac: MAC }));
        }
    }
}

#[test]
fn an_advertisement_from_beyond_a_router_or_with_a_bad_checksum_tells_nothing() {
    let good = announcement(MAC, ip("fd00::9")).remove(0);
    let mut routed = good.clone();
    routed[21] = 254;
    assert_eq!(parse(&routed), None);
    let mut broken = good.clone();
    broken[60] ^= 1;
    assert_eq!(parse(&broken), None);
    let mut padded = good;
    padded.extend([0; 20]);
    assert!(parse(&padded).is_some(), "short frames are padded on the wire");
}

#[test]
fn an_advertisement_without_the_option_tells_the_frames_mac() {
    let mut message = neighbour_message(None, "fd00::9".parse().unwrap());
    message[0] = 136;
    let frame = icmpv6(MAC, "fd00::9".parse().unwrap(), ALL_NODES, message);
    assert_eq!(parse(&frame), Some(Heard { address: ip("fd00::9"), mac: MAC }));
}

proptest! {
    #[test]
    fn no_frame_is_too_strange(frame in prop::collection::vec(any::<u8>(), 0..120)) {
        parse(&frame);
    }

    #[test]
    fn no_option_is_too_strange(options in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut message = neighbour_message(None, "fd00::9".parse().unwrap());
        message[0] = 136;
        message.extend(options);
        prop_assert!(parse(&icmpv6(MAC, "fd00::9".parse().unwrap(), ALL_NODES, message)).is_some());
    }

    #[test]
    fn no_cut_is_too_short(cut in 0..86_usize) {
        let frame = announcement(MAC, ip("fd00::9")).remove(0);
        prop_assert_eq!(frame.len(), 86);
        prop_assert_eq!(parse(&frame[..cut]), None);
    }
}
