//! Who probes an endpoint: three at most of the living servers that may, so that a large cluster does not ask it as often as
//! it has members.
//!
//! Every server reckons for itself, by rendezvous hashing (Thaler and Ravishankar, 1998): each endpoint ranks the servers in
//! an order of its own, and the first of the living observe. So the work is spread, and when an observer dies the next in
//! the order takes its place, and nobody else changes. Servers that see the living differently may both observe, or for a
//! moment one too few does: a vote more or less, never a wrong one.

use model::{EndpointName, ServerName, config::Endpoint, digest::digest64};

/// An odd number, so that a majority is one; and it outlives one death and one broken path.
const OBSERVERS: usize = 3;

/// The observers of an endpoint among those who live.
pub(crate) fn observers<'e>(
    name: &EndpointName,
    spec: &'e Endpoint,
    lives: impl Fn(&ServerName) -> bool,
) -> Vec<&'e ServerName> {
    let mut living: Vec<&ServerName> = spec.probed_by.iter().filter(|server| lives(server)).collect();
    living.sort_by_cached_key(|server| rank(&["observer", name.as_str(), server.as_str()]));
    living.truncate(OBSERVERS);
    living
}

/// A number that has nothing to do with how alike names are: the digest of names that differ in one letter needs the finish
/// of MurmurHash3 for that.
pub(crate) fn rank(words: &[&str]) -> u64 {
    let mut rank = digest64(words);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        rank = (rank ^ (rank >> 33)).wrapping_mul(factor);
    }
    rank ^ (rank >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn endpoint(servers: usize) -> Endpoint {
        let probed_by = (1..=servers).map(|number| ServerName::new(&format!("web{number}"))).collect();
        Endpoint { addresses: vec!["10.77.0.40".parse().unwrap()], probed_by, monitors: Vec::new() }
    }

    #[test]
    fn a_death_moves_one_place_and_no_other() {
        let (name, spec) = (EndpointName::new("nt1"), endpoint(8));
        let before = observers(&name, &spec, |_| true);
        assert_eq!(before.len(), 3);
        for dead in &before {
            let after = observers(&name, &spec, |server| server != *dead);
            assert_eq!(after.len(), 3);
            let stay = before.iter().filter(|server| *server != dead).all(|server| after.contains(server));
            assert!(stay && !after.contains(dead));
        }
        let idle = spec.probed_by.iter().find(|server| !before.contains(server)).unwrap();
        assert_eq!(observers(&name, &spec, |server| server != idle), before);
    }

    #[test]
    fn few_servers_all_observe_and_the_work_of_many_is_spread() {
        let name = EndpointName::new("nt1");
        assert_eq!(observers(&name, &endpoint(2), |_| true).len(), 2);
        assert!(observers(&name, &endpoint(2), |_| false).is_empty());
        let spec = endpoint(10);
        let mut work: BTreeMap<&ServerName, usize> = BTreeMap::new();
        for number in 0..1_000 {
            let name = EndpointName::new(&format!("nt{number}"));
            observers(&name, &spec, |_| true).into_iter().for_each(|server| *work.entry(server).or_default() += 1);
        }
        assert!(work.len() == 10 && work.values().all(|count| (230..370).contains(count)), "{work:?}");
    }
}
