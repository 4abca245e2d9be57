//! DNS cookies (RFC 7873) as all servers of a cluster make them (RFC 9018): a client that shows one has got a reply at the
//! address that it asks from.
//!
//! The secret is the cluster's, so a cookie of one server is good at every other one; their clocks decide how long, and may
//! differ by minutes. A wrong clock costs clients the exemption from rate limiting, never an answer.
//!
//! Deliberately not here: asking for a cookie before answering. Only who is over the limit is told BADCOOKIE.

use std::{hash::Hasher, net::IpAddr};

use siphasher::sip::SipHasher24;

/// Bytes of the server's part that we make.
pub(crate) const SERVER: usize = 16;
/// Bytes of the whole option's data: the client's eight, and ours.
pub(crate) const WHOLE: usize = 8 + SERVER;

/// Our cookies' version, and three reserved bytes (RFC 9018 section 4.2).
const VERSION: [u8; 4] = [1, 0, 0, 0];
/// Seconds for which a cookie is good (RFC 9018 section 4.3).
const LIFETIME: u32 = 3600;
/// Seconds after which a client gets a new one.
const FRESH: u32 = 1800;
/// Seconds that another server's clock may be ahead.
const AHEAD: u32 = 300;

/// What a query's COOKIE option says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cookie {
    pub(crate) client: [u8; 8],
    /// What may be one of ours.
    pub(crate) server: Option<[u8; SERVER]>,
}

/// The option's data; none where its length is none of those allowed (RFC 7873 section 4).
pub(crate) fn read(data: &[u8]) -> Option<Cookie> {
    let (client, server) = data.split_first_chunk::<8>()?;
    let well_formed = server.is_empty() || (8..=32).contains(&server.len());
    well_formed.then_some(Cookie { client: *client, server: server.try_into().ok() })
}

/// What the cookies of a cluster are made with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CookieSecrets {
    /// Makes them.
    pub current: [u8; 16],
    /// While the cluster's key changes: the other one, by which servers make cookies that have it already, or still.
    pub accepted: Option<[u8; 16]>,
}

impl From<[u8; 16]> for CookieSecrets {
    fn from(current: [u8; 16]) -> Self {
        Self { current, accepted: None }
    }
}

impl std::fmt::Debug for CookieSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CookieSecrets")
    }
}

impl CookieSecrets {
    /// The cookie to send to a client, and whether it has shown a good one. `now` is in seconds since 1970; it wraps around
    /// in 2106, and so do the comparisons (RFC 1982).
    pub(crate) fn answer(&self, cookie: &Cookie, client: IpAddr, now: u32) -> ([u8; WHOLE], bool) {
        let shown = cookie.server.filter(|server| {
            let made = time_of(server);
            let in_time = now.wrapping_sub(made) <= LIFETIME || made.wrapping_sub(now) <= AHEAD;
            let mut secrets = [Some(self.current), self.accepted].into_iter().flatten();
            in_time && secrets.any(|secret| *server == make(&secret, cookie, client, made))
        });
        // One that the other secret has made lasts as long as that; the client gets its own.
        let current = |server: &[u8; SERVER]| *server == make(&self.current, cookie, client, time_of(server));
        let fresh = shown.filter(|server| now.wrapping_sub(time_of(server)) <= FRESH && current(server));
        let mut whole = [0; WHOLE];
        whole[..8].copy_from_slice(&cookie.client);
        whole[8..].copy_from_slice(&fresh.unwrap_or_else(|| make(&self.current, cookie, client, now)));
        (whole, shown.is_some())
    }
}

fn make(secret: &[u8; 16], cookie: &Cookie, client: IpAddr, time: u32) -> [u8; SERVER] {
    let mut server = [0; SERVER];
    server[..4].copy_from_slice(&VERSION);
    server[4..8].copy_from_slice(&time.to_be_bytes());
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(&cookie.client);
    hasher.write(&server[..8]);
    match client {
        IpAddr::V4(address) => hasher.write(&address.octets()),
        IpAddr::V6(address) => hasher.write(&address.octets()),
    }
    server[8..].copy_from_slice(&hasher.finish().to_le_bytes());
    server
}

fn time_of(server: &[u8; SERVER]) -> u32 {
    u32::from_be_bytes([server[4], server[5], server[6], server[7]])
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn secret() -> CookieSecrets {
        CookieSecrets::from(*b"\xe5\xe9\x73\xe5\xa6\xb2\xa4\x3f\x48\xe7\xdc\x84\x9e\x37\xbf\xcf")
    }

    /// RFC 9018 appendix A.1.
    #[test]
    fn the_cookie_of_the_rfc() {
        let cookie = read(&HEXLOWER.decode(b"2464c4abcf10c957").unwrap()).unwrap();
        let (whole, shown) = secret().answer(&cookie, "198.51.100.100".parse().unwrap(), 1_559_731_985);
        assert_eq!(HEXLOWER.encode(&whole), "2464c4abcf10c957010000005cf79f111f8130c3eee29480");
        assert!(!shown);
    }

    #[test]
    fn a_cookie_is_good_for_its_client_and_an_hour() {
        let (secret, client, made) = (secret(), "192.0.2.1".parse().unwrap(), u32::MAX - 100);
        let plain = Cookie { client: [7; 8], server: None };
        let (whole, _) = secret.answer(&plain, client, made);
        let cookie = read(&whole).unwrap();
        let good = |after: u32| secret.answer(&cookie, client, made.wrapping_add(after));
        assert_eq!(good(0), (whole, true));
        assert_eq!(good(1_800), (whole, true));
        let (renewed, shown) = good(1_801);
        assert!(shown && renewed != whole);
        assert!(good(3_600).1 && !good(3_601).1);
        assert!(good(0_u32.wrapping_sub(300)).1 && !good(0_u32.wrapping_sub(301)).1);
        assert!(!secret.answer(&cookie, "192.0.2.2".parse().unwrap(), made).1);
        assert!(!secret.answer(&Cookie { client: [8; 8], ..cookie }, client, made).1);
        assert!(!CookieSecrets::from([0; 16]).answer(&cookie, client, made).1);
    }

    #[test]
    fn while_the_secret_changes_both_are_known_and_the_current_one_makes() {
        let (old, new, client) = ([1; 16], [2; 16], "192.0.2.1".parse().unwrap());
        let ask = |secrets: CookieSecrets, cookie: &Cookie| secrets.answer(cookie, client, 1000);
        let plain = Cookie { client: [7; 8], server: None };
        let [by_old, by_new] = [old, new].map(|secret| read(&ask(secret.into(), &plain).0).unwrap());
        let before = CookieSecrets { current: old, accepted: Some(new) };
        let after = CookieSecrets { current: new, accepted: Some(old) };
        for cookie in [&by_old, &by_new] {
            for secrets in [before, after] {
                let (whole, shown) = ask(secrets, cookie);
                assert!(shown);
                assert_eq!(whole, ask(secrets.current.into(), &plain).0, "what comes next is made by the current one");
            }
        }
        assert!(!ask(new.into(), &by_old).1, "the old one is gone");
    }

    #[test]
    fn lengths_are_those_of_rfc_7873() {
        for length in 0..60 {
            let allowed = length == 8 || (16..=40).contains(&length);
            assert_eq!(read(&vec![1; length]).is_some(), allowed, "{length}");
        }
    }
}
