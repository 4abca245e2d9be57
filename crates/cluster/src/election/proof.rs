//! Does an address belong to somebody else? Asked on the wire before it is taken for the first time (design R10).
//!
//! Not asked where a peer's claim has been seen in this run, and since this server last overslept: then the address is the
//! cluster's, and a take-over from a dead or leaving holder must not wait for it. What the wire says of a holder that has
//! fallen silent (design R3) is another matter: `evidence`.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use model::{Instant, net::MacAddress, report::DuplicateCheck};

/// How long the wire may owe an answer. The asking itself takes less than half of it.
const PATIENCE: Duration = Duration::from_secs(3);
/// An address in use is asked about again so often.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Proof {
    Needed,
    Asked { until: Instant },
    InUse { mac: MacAddress, again: Instant },
    Given,
}

/// The state of each of a virtual host's addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Proofs(BTreeMap<IpAddr, Proof>);

impl Proofs {
    /// Takes over a list of addresses. New ones need proof.
    pub(crate) fn reconfigure(&mut self, addresses: &[IpAddr]) {
        self.0.retain(|address, _| addresses.contains(address));
        for address in addresses {
            self.0.entry(*address).or_insert(Proof::Needed);
        }
    }

    /// A peer claims the virtual host: nothing needs to be asked any more.
    pub(crate) fn give_all(&mut self) {
        self.0.values_mut().for_each(|proof| *proof = Proof::Given);
    }

    /// What was proven, or claimed by a peer, may not be so any more.
    pub(crate) fn doubt(&mut self) {
        self.0.values_mut().filter(|proof| **proof == Proof::Given).for_each(|proof| *proof = Proof::Needed);
    }

    /// Whether an address may be taken.
    pub(crate) fn is_given(&self, address: IpAddr) -> bool {
        self.0.get(&address) == Some(&Proof::Given)
    }

    /// Whether all may be taken.
    pub(crate) fn are_all_given(&self) -> bool {
        self.0.values().all(|proof| *proof == Proof::Given)
    }

    /// An address that belongs to somebody else, and to whom.
    pub(crate) fn in_use(&self) -> Option<(IpAddr, MacAddress)> {
        self.0.iter().find_map(|(address, proof)| match proof {
            Proof::InUse { mac, .. } => Some((*address, *mac)),
            Proof::Needed | Proof::Asked { .. } | Proof::Given => None,
        })
    }

    /// The addresses to ask about now: those that have not been asked about where `wanted`, and those in use, now and then.
    pub(crate) fn ask(&mut self, now: Instant, wanted: bool) -> Vec<IpAddr> {
        let mut asked = Vec::new();
        for (address, proof) in &mut self.0 {
            match proof {
                Proof::Needed if wanted => *proof = Proof::Asked { until: now + PATIENCE },
                Proof::InUse { again, .. } if now >= *again => *again = now + AGAIN,
                Proof::Needed | Proof::Asked { .. } | Proof::InUse { .. } | Proof::Given => continue,
            }
            asked.push(*address);
        }
        asked
    }

    /// The wire has answered. Returns who has the address, if that is news.
    pub(crate) fn answer(&mut self, now: Instant, address: IpAddr, check: DuplicateCheck) -> Option<MacAddress> {
        let proof = self.0.get_mut(&address)?;
        match (*proof, check) {
            (Proof::Given, DuplicateCheck::Free | DuplicateCheck::InUse(_)) => None,
            (Proof::Needed | Proof::Asked { .. } | Proof::InUse { .. }, DuplicateCheck::Free) => {
                *proof = Proof::Given;
                None
            }
            (Proof::InUse { mac, again }, DuplicateCheck::InUse(now_mac)) => {
                *proof = Proof::InUse { mac: now_mac, again };
                (now_mac != mac).then_some(now_mac)
            }
            (Proof::Needed | Proof::Asked { .. }, DuplicateCheck::InUse(mac)) => {
                *proof = Proof::InUse { mac, again: now + AGAIN };
                Some(mac)
            }
        }
    }

    /// Time has passed: what was not answered has to be asked anew.
    pub(crate) fn expire(&mut self, now: Instant) {
        for proof in self.0.values_mut() {
            match proof {
                Proof::Asked { until } if now >= *until => *proof = Proof::Needed,
                Proof::Needed | Proof::Asked { .. } | Proof::InUse { .. } | Proof::Given => {}
            }
        }
    }

    /// When the next answer is overdue, or the next question due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let due = |proof: &Proof| match proof {
            Proof::Asked { until } => Some(*until),
            Proof::InUse { again, .. } => Some(*again),
            Proof::Needed | Proof::Given => None,
        };
        self.0.values().filter_map(due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

    #[test]
    fn an_address_in_use_is_told_once_and_asked_about_every_second() {
        let address: IpAddr = "10.77.0.101".parse().unwrap();
        let mut proofs = Proofs::default();
        proofs.reconfigure(&[address]);
        assert_eq!(proofs.ask(at(0), false), Vec::<IpAddr>::new());
        assert_eq!(proofs.ask(at(0), true), [address]);
        assert_eq!(proofs.ask(at(1), true), Vec::<IpAddr>::new(), "the answer is awaited");
        assert_eq!(proofs.answer(at(200), address, DuplicateCheck::InUse(MAC)), Some(MAC));
        assert_eq!(proofs.in_use(), Some((address, MAC)));
        assert_eq!(proofs.next_deadline(), Some(at(1_200)));
        assert_eq!(proofs.ask(at(1_200), false), [address]);
        assert_eq!(proofs.answer(at(1_400), address, DuplicateCheck::InUse(MAC)), None, "no news");
        proofs.answer(at(2_400), address, DuplicateCheck::Free);
        assert!(proofs.are_all_given());
        assert_eq!(proofs.next_deadline(), None);
    }

    #[test]
    fn a_silent_wire_is_asked_anew_and_a_peers_claim_ends_it() {
        let [old, new]: [IpAddr; 2] = ["10.77.0.101", "10.77.0.102"].map(|text| text.parse().unwrap());
        let mut proofs = Proofs::default();
        proofs.reconfigure(&[old]);
        proofs.ask(at(0), true);
        proofs.expire(at(3_000));
        assert_eq!(proofs.ask(at(3_000), true), [old]);
        proofs.give_all();
        assert!(proofs.is_given(old));
        proofs.reconfigure(&[old, new]);
        assert!(proofs.is_given(old) && !proofs.is_given(new), "what comes new needs proof");
    }
}
