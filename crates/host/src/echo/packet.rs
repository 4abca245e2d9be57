//! Echo requests and replies, and the filter that lets our replies through. Pure: bytes in, bytes out.
//!
//! RFC 792 and RFC 4443 section 4: type, code, checksum, identifier, sequence number, data.

use std::net::IpAddr;

use socket2::SockFilter;

/// Bytes of a request: header, token.
pub(super) const LENGTH: usize = 8 + 8;

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// What a reply gives back as it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Echo {
    pub(super) identifier: u16,
    pub(super) sequence: u16,
    /// Nobody can answer who has not seen the question.
    pub(super) token: [u8; 8],
}

/// The request to `target`. The kernel makes the IP header, and for IPv6 the checksum (RFC 3542 section 3.1).
pub(super) fn request(target: IpAddr, echo: Echo) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[0] = if target.is_ipv4() { REQUEST_V4 } else { REQUEST_V6 };
    packet[4..6].copy_from_slice(&echo.identifier.to_be_bytes());
    packet[6..8].copy_from_slice(&echo.sequence.to_be_bytes());
    packet[8..].copy_from_slice(&echo.token);
    if target.is_ipv4() {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// A request of `length` bytes, at least a header's, all of whose data is zeros.
pub(super) fn long_request(target: IpAddr, identifier: u16, length: usize) -> Vec<u8> {
    let mut packet = vec![0; length.max(8)];
    packet[0] = if target.is_ipv4() { REQUEST_V4 } else { REQUEST_V6 };
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    if target.is_ipv4() {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// What a raw socket has received from `from`, if it is a reply. IPv4 shows its header, IPv6 does not.
pub(super) fn reply(from: IpAddr, packet: &[u8]) -> Option<Echo> {
    let (message, kind) = match from {
        IpAddr::V4(_) => (packet.get(usize::from(packet.first()? & 0xf) * 4..)?, REPLY_V4),
        IpAddr::V6(_) => (packet, REPLY_V6),
    };
    // The kernel has checked the IPv6 one.
    let sound = from.is_ipv6() || checksum(message) == 0;
    let word = |at: usize| Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?));
    let token = *message.get(8..)?.first_chunk()?;
    let echo = Echo { identifier: word(4)?, sequence: word(6)?, token };
    (sound && message.len() == LENGTH && message[..2] == [kind, 0]).then_some(echo)
}

/// RFC 1071. Zero for what carries its own.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum = words.fold(0_u32, u32::saturating_add);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}

/// Lets through replies with this identifier alone: a raw socket is shown every ICMP message of the machine.
pub(super) fn filter(v4: bool, identifier: u16) -> Vec<SockFilter> {
    const HEADER: u16 = 0xb1; // BPF_LDX | BPF_B | BPF_MSH: x = 4 * (P[k] & 0xf)
    const ZERO: u16 = 0x01; // BPF_LDX | BPF_W | BPF_IMM
    const LOAD_BYTE: u16 = 0x50; // BPF_LD | BPF_B | BPF_IND
    const LOAD_HALF: u16 = 0x48; // BPF_LD | BPF_H | BPF_IND
    const EQUALS: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    vec![
        SockFilter::new(if v4 { HEADER } else { ZERO }, 0, 0, 0),
        SockFilter::new(LOAD_BYTE, 0, 0, 0),
        SockFilter::new(EQUALS, 0, 3, u32::from(if v4 { REPLY_V4 } else { REPLY_V6 })),
        SockFilter::new(LOAD_HALF, 0, 0, 4),
        SockFilter::new(EQUALS, 0, 1, u32::from(identifier)),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ECHO: Echo = Echo { identifier: 0x1234, sequence: 7, token: *b"standin!" };

    fn v4() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    fn v6() -> IpAddr {
        "2001:db8::1".parse().unwrap()
    }

    /// What comes back for a request.
    fn answered(target: IpAddr) -> Vec<u8> {
        let mut message = request(target, ECHO).to_vec();
        message[0] = if target.is_ipv4() { REPLY_V4 } else { REPLY_V6 };
        if target.is_ipv6() {
            return message;
        }
        message[2..4].fill(0);
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        // With options: the header tells its length.
        [&[0x46; 24][..], &message].concat()
    }

    #[test]
    fn a_reply_gives_back_what_was_asked() {
        for target in [v4(), v6()] {
            assert_eq!(reply(target, &answered(target)), Some(ECHO));
        }
        assert_eq!(checksum(&request(v4(), ECHO)), 0);
    }

    #[test]
    fn what_is_no_reply_is_nothing() {
        for target in [v4(), v6()] {
            let good = answered(target);
            let start = good.len() - LENGTH;
            assert_eq!(reply(target, &request(target, ECHO)), None, "a request");
            for end in 0..good.len() {
                assert_eq!(reply(target, &good[..end]), None, "cut short");
            }
            let mut code = good.clone();
            code[start + 1] = 1;
            assert_eq!(reply(target, &code), None, "another code");
        }
        let mut damaged = answered(v4());
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(reply(v4(), &damaged), None);
    }

    proptest! {
        #[test]
        fn whatever_arrives_is_read_within_its_bounds(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            for target in [v4(), v6()] {
                if reply(target, &bytes).is_some() {
                    prop_assert!(bytes.len() >= LENGTH);
                }
            }
        }
    }
}
