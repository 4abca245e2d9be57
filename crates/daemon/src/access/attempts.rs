//! How fast somebody may guess: a few tries are free, then each failure doubles the wait, for the address it comes from
//! and for the name that is tried.
//!
//! Bounded: the entry that was quiet for the longest makes room. Deliberately not here: any lock-out for ever, by which a
//! stranger could keep somebody else out; and the Unix socket, which asks for no password.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use model::Instant;

/// Failures without a wait.
const FREE: u32 = 3;
/// The wait after the next one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest, for an address.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest, for a name: its owner may be waiting, too.
const LONGEST_NAME_WAIT: Duration = Duration::from_secs(5);
/// A quiet time after which all is forgotten.
const FORGIVEN: Duration = Duration::from_secs(15 * 60);
/// Addresses and names remembered.
const REMEMBERED: usize = 4096;

/// Who guesses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Guesser {
    Address(IpAddr),
    Name(String),
}

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    last: Instant,
}

/// Failures by address and name.
#[derive(Debug, Default)]
pub(crate) struct Attempts(BTreeMap<Guesser, Record>);

impl Attempts {
    /// Whether one more attempt is allowed now; else how long to wait.
    pub(crate) fn allow(&self, now: Instant, address: IpAddr, name: &str) -> Result<(), Duration> {
        let wait = guessers(address, name).iter().map(|(who, longest)| self.wait(now, who, *longest)).max();
        match wait {
            Some(wait) if wait > Duration::ZERO => Err(wait),
            Some(_) | None => Ok(()),
        }
    }

    fn wait(&self, now: Instant, who: &Guesser, longest: Duration) -> Duration {
        let Some(record) = self.0.get(who) else { return Duration::ZERO };
        if now.since(record.last) > FORGIVEN || record.failures < FREE {
            return Duration::ZERO;
        }
        let doublings = (record.failures - FREE).min(16);
        let pause = (FIRST_WAIT * 2_u32.pow(doublings)).min(longest);
        pause.saturating_sub(now.since(record.last))
    }

    /// An attempt has failed.
    pub(crate) fn failed(&mut self, now: Instant, address: IpAddr, name: &str) {
        for (who, _) in guessers(address, name) {
            if self.0.len() >= REMEMBERED
                && !self.0.contains_key(&who)
                && let Some(quiet) = self.0.iter().min_by_key(|(_, record)| record.last).map(|(who, _)| who.clone())
            {
                self.0.remove(&quiet);
            }
            let record = self.0.entry(who).or_insert(Record { failures: 0, last: now });
            let failures = if now.since(record.last) > FORGIVEN { 0 } else { record.failures };
            *record = Record { failures: failures.saturating_add(1), last: now };
        }
    }

    /// An attempt has succeeded: its address and name are forgiven.
    pub(crate) fn succeeded(&mut self, address: IpAddr, name: &str) {
        for (who, _) in guessers(address, name) {
            self.0.remove(&who);
        }
    }
}

/// An IPv6 /64 is one guesser: it is what one machine has.
fn guessers(address: IpAddr, name: &str) -> [(Guesser, Duration); 2] {
    let address = match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX))),
    };
    let name = name.chars().take(64).collect();
    [(Guesser::Address(address), LONGEST_WAIT), (Guesser::Name(name), LONGEST_NAME_WAIT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::BOOT + Duration::from_secs(1000 + seconds)
    }

    #[test]
    fn guessing_slows_down_and_the_true_one_is_forgiven() {
        let mut attempts = Attempts::default();
        let (evil, good) = (IpAddr::from([10, 0, 0, 9]), IpAddr::from([10, 0, 0, 1]));
        let mut allowed = 0;
        for second in 0..3600 {
            if attempts.allow(at(second), evil, "ann").is_ok() {
                allowed += 1;
                attempts.failed(at(second), evil, "ann");
            }
        }
        assert!((60..80).contains(&allowed), "{allowed} guesses in an hour");
        let wait = attempts.allow(at(3600), good, "ann").err().unwrap_or_default();
        assert!(wait <= LONGEST_NAME_WAIT, "the owner waits {wait:?}");
        assert_eq!(attempts.allow(at(3600), good, "ben"), Ok(()));
        attempts.succeeded(good, "ann");
        assert_eq!(attempts.allow(at(3600), good, "ann"), Ok(()));
        assert!(attempts.allow(at(3600), evil, "ben").is_err());
        assert_eq!(attempts.allow(at(3600) + FORGIVEN + Duration::from_secs(1), evil, "ben"), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut attempts = Attempts::default();
        for number in 0..20_000_u32 {
            attempts.failed(at(u64::from(number)), IpAddr::from(number.to_be_bytes()), &number.to_string());
        }
        assert!(attempts.0.len() <= REMEMBERED);
    }
}
