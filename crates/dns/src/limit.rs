//! Response rate limiting: an amplifier that is not worth using.
//!
//! UDP's source addresses can be forged, and a reply to a forged one hits whoever owns it. So the replies of one kind to one
//! network (IPv4 /24, IPv6 /56) are counted, and beyond the limit most are not sent. Some go out truncated (*slip*), so that
//! a true client in the same network comes by TCP, where addresses cannot be forged; whoever shows a valid DNS cookie
//! ([`crate::cookie`]) is no forger and is never limited.
//!
//! Each answering thread has a limiter of its own and counts its share of the limit. The kernel spreads clients over the
//! threads by address and port; a flood from a single port therefore meets the share of one thread only.
//!
//! Invariants: fixed memory, constant cost, no lock. Networks that meet in the table displace each other, the quieter one
//! first: a network may get more than its limit then, never less.

use std::{hash::BuildHasher, net::IpAddr};

use foldhash::quality::SeedableRandomState;
use model::config::RateLimit;

/// Buckets of a thread; 16 bytes each.
const BUCKETS: usize = 1 << 14;
/// A second, in microseconds. As much may come at once.
const BURST: u64 = 1_000_000;

/// What a reply says: each kind has a limit of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Records that were asked for.
    Answer,
    /// That there are none.
    Denial,
    /// Other name servers.
    Referral,
    /// That something is wrong with the query, or that the general server is to look at it.
    Error,
}

/// What to do with a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Send,
    /// Send a short one that makes a true client come back.
    Slip,
    Drop,
}

/// The replies to one network, of one kind.
#[derive(Clone, Copy, Default)]
struct Bucket {
    /// Whose it is: the other half of its hash. Zero is nobody's.
    tag: u32,
    /// Since when the limit has been exceeded, in replies.
    over: u32,
    /// Until when its replies have been used up, in microseconds (the "theoretical arrival time" of a leaky bucket).
    spent_until: u64,
}

/// One thread's counts.
pub struct Limiter {
    buckets: Box<[Bucket]>,
    hasher: SeedableRandomState,
    /// Threads that share the limit.
    threads: u32,
}

impl Limiter {
    /// Counts for one of `threads` threads. `seed` is random, so that nobody can make networks meet on purpose.
    pub fn new(threads: usize, seed: u64) -> Self {
        let hasher = SeedableRandomState::with_seed(seed, foldhash::SharedSeed::global_fixed());
        let threads = u32::try_from(threads).unwrap_or(u32::MAX).max(1);
        Self { buckets: vec![Bucket::default(); BUCKETS].into(), hasher, threads }
    }

    /// Counts a reply to `client` at `now`, in microseconds.
    pub(crate) fn count(&mut self, limit: &RateLimit, client: IpAddr, kind: Kind, now: u64) -> Verdict {
        if client.is_loopback() || limit.allow.iter().any(|network| network.contains(client)) {
            return Verdict::Send;
        }
        let cost = (BURST / u64::from((limit.per_second / self.threads).max(1))).max(1);
        let bucket = self.bucket(client, kind, now);
        // What was used up in a future that a clock has left again does not count.
        bucket.spent_until = bucket.spent_until.clamp(now, now + BURST);
        if bucket.spent_until + cost <= now + BURST {
            bucket.spent_until += cost;
            bucket.over = 0;
            return Verdict::Send;
        }
        bucket.over = bucket.over.wrapping_add(1);
        let slips = limit.slip > 0 && bucket.over.is_multiple_of(u32::from(limit.slip));
        if slips { Verdict::Slip } else { Verdict::Drop }
    }

    /// The bucket of a network: one of two places, that of the quieter network if both are others'.
    fn bucket(&mut self, client: IpAddr, kind: Kind, now: u64) -> &mut Bucket {
        let network = match client.to_canonical() {
            IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
            // 56 bits, and one that says that it is IPv6.
            IpAddr::V6(address) => (address.to_bits() >> 72) as u64 | 1 << 63,
        };
        let hash = self.hasher.hash_one((network, kind as u8));
        let tag = ((hash >> 32) as u32).max(1);
        let place = hash as usize % BUCKETS;
        let places = [place, place ^ 1];
        let own = places.into_iter().find(|place| self.buckets[*place].tag == tag);
        let place = own.unwrap_or_else(|| {
            let quieter = usize::from(self.buckets[places[1]].spent_until < self.buckets[places[0]].spent_until);
            self.buckets[places[quieter]] = Bucket { tag, over: 0, spent_until: now };
            places[quieter]
        });
        &mut self.buckets[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_second: u32, slip: u8) -> RateLimit {
        RateLimit { per_second, slip, allow: vec!["10.9.0.0/16".parse().unwrap()] }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn sent(limiter: &mut Limiter, limit: &RateLimit, client: &str, kind: Kind, at: u64, count: usize) -> [usize; 3] {
        let mut verdicts = [0; 3];
        for _ in 0..count {
            verdicts[limiter.count(limit, address(client), kind, at) as usize] += 1;
        }
        verdicts
    }

    #[test]
    fn a_network_gets_its_limit_and_every_other_reply_slips() {
        let (mut limiter, limit) = (Limiter::new(1, 7), limit(100, 2));
        assert_eq!(sent(&mut limiter, &limit, "192.0.2.1", Kind::Answer, 5_000_000, 300), [100, 100, 100]);
        // The same network, another address.
        assert_eq!(sent(&mut limiter, &limit, "192.0.2.200", Kind::Answer, 5_000_000, 10)[0], 0);
        // Other kinds and other networks have their own.
        assert_eq!(sent(&mut limiter, &limit, "192.0.2.1", Kind::Denial, 5_000_000, 10)[0], 10);
        assert_eq!(sent(&mut limiter, &limit, "192.0.3.1", Kind::Answer, 5_000_000, 10)[0], 10);
        // A tenth of a second is worth a tenth of the limit; a long silence one second, no more.
        assert_eq!(sent(&mut limiter, &limit, "192.0.2.1", Kind::Answer, 5_100_000, 300)[0], 10);
        assert_eq!(sent(&mut limiter, &limit, "192.0.2.1", Kind::Answer, 95_000_000, 300)[0], 100);
        // A clock that goes back takes nothing away for longer than a second.
        assert_eq!(sent(&mut limiter, &limit, "192.0.2.1", Kind::Answer, 1_000, 300)[0], 0);
        assert_eq!(sent(&mut limiter, &limit, "192.0.2.1", Kind::Answer, 1_001_000, 300)[0], 100);
    }

    #[test]
    fn threads_share_the_limit_and_slip_zero_sends_nothing() {
        let (mut limiter, limit) = (Limiter::new(4, 7), limit(100, 0));
        assert_eq!(sent(&mut limiter, &limit, "2001:db8::1", Kind::Answer, 0, 100), [25, 0, 75]);
        assert_eq!(sent(&mut limiter, &limit, "2001:db8:0:ff::1", Kind::Answer, 0, 1)[0], 0, "the same /56");
        assert_eq!(sent(&mut limiter, &limit, "2001:db8:0:100::1", Kind::Answer, 0, 1)[0], 1, "another /56");
    }

    #[test]
    fn loopback_and_allowed_networks_have_no_limit() {
        let (mut limiter, limit) = (Limiter::new(1, 7), limit(1, 2));
        for client in ["127.0.0.1", "::1", "10.9.8.7"] {
            assert_eq!(sent(&mut limiter, &limit, client, Kind::Error, 0, 50), [50, 0, 0]);
        }
    }

    /// Twice as many networks as buckets: who keeps within the limit is never refused.
    #[test]
    fn a_crowd_costs_nobody_a_reply() {
        let (mut limiter, limit) = (Limiter::new(1, 7), limit(10, 2));
        for round in 0..10_u64 {
            for n in 0..2 * BUCKETS as u32 {
                let client = IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0B00_0000 + (n << 8)));
                assert_eq!(limiter.count(&limit, client, Kind::Answer, round * 100_000), Verdict::Send);
            }
        }
    }
}
