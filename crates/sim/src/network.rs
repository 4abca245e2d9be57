//! The wire between the machines: it loses, delays, doubles and reorders datagrams, and parts of it break. Something may
//! stand in the way of one path's datagrams alone.

use std::{collections::BTreeMap, time::Duration};

use model::net::Path;

use crate::random::Random;

/// How the wire treats datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Manners {
    /// Lost, of a million.
    pub(crate) loss: u32,
    /// Doubled, of a million.
    pub(crate) double: u32,
    /// Held up by `longest`, so that others overtake, of a million.
    pub(crate) hold: u32,
    /// Shortest way.
    pub(crate) shortest: Duration,
    /// Usual longest way.
    pub(crate) usual: Duration,
    /// Longest way of all.
    pub(crate) longest: Duration,
}

impl Manners {
    /// A good switch.
    pub(crate) const GOOD: Self = Self {
        loss: 0,
        double: 0,
        hold: 0,
        shortest: Duration::from_micros(50),
        usual: Duration::from_micros(400),
        longest: Duration::from_micros(400),
    };

    /// Anything from a good switch to a sick one.
    pub(crate) fn draw(random: &mut Random, interval: Duration) -> Self {
        if random.percent(30) {
            return Self::GOOD;
        }
        Self {
            loss: *random.pick(&[0, 1_000, 10_000, 50_000, 150_000]),
            double: *random.pick(&[0, 10_000, 100_000]),
            hold: *random.pick(&[0, 10_000, 100_000]),
            shortest: Duration::from_micros(50),
            usual: *random.pick(&[Duration::from_millis(1), interval / 10]),
            longest: interval / 2,
        }
    }
}

/// The state of the wire.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    manners: Manners,
    /// How many troubles cut the way from one machine to another at present.
    cuts: Vec<Vec<u32>>,
    /// The same for the datagrams of one path.
    filters: BTreeMap<(Path, usize, usize), u32>,
    /// The same for filters that refuse what they don't let through.
    refusals: BTreeMap<(usize, usize), u32>,
    /// The same for the way between a machine and the router.
    gateway: Vec<u32>,
    /// How many datagrams of a path the way loses next.
    drops: BTreeMap<(Path, usize, usize), u32>,
}

impl Network {
    pub(crate) fn new(machines: usize, manners: Manners) -> Self {
        let zeros = vec![vec![0; machines]; machines];
        Self {
            manners,
            cuts: zeros,
            filters: BTreeMap::new(),
            refusals: BTreeMap::new(),
            gateway: vec![0; machines],
            drops: BTreeMap::new(),
        }
    }

    pub(crate) fn set_manners(&mut self, manners: Manners) {
        self.manners = manners;
    }

    /// Whether it delivers everything soon, on the ways that are not cut.
    pub(crate) fn is_good(&self) -> bool {
        self.manners == Manners::GOOD
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize, on: bool) {
        count(&mut self.cuts[from][to], on);
    }

    pub(crate) fn cut_gateway(&mut self, machine: usize, on: bool) {
        count(&mut self.gateway[machine], on);
    }

    /// Datagrams of one path get no further on this way.
    pub(crate) fn filter(&mut self, path: Path, from: usize, to: usize, on: bool) {
        count(self.filters.entry((path, from, to)).or_default(), on);
    }

    /// UDP on this way is answered with a refusal while a filter holds it up.
    pub(crate) fn refuse(&mut self, from: usize, to: usize, on: bool) {
        count(self.refusals.entry((from, to)).or_default(), on);
    }

    /// The next datagram of each path on this way is lost.
    pub(crate) fn drop_next(&mut self, from: usize, to: usize) {
        for path in Path::ALL {
            *self.drops.entry((path, from, to)).or_default() += 1;
        }
    }

    /// Everything is repaired.
    pub(crate) fn heal(&mut self, manners: Manners) {
        *self = Self::new(self.gateway.len(), manners);
    }

    pub(crate) fn reaches(&self, from: usize, to: usize) -> bool {
        self.cuts[from][to] == 0
    }

    /// Whether the path's datagrams get through as far as wire and filters are concerned.
    pub(crate) fn passes(&self, path: Path, from: usize, to: usize) -> bool {
        self.reaches(from, to) && self.filters.get(&(path, from, to)).is_none_or(|filters| *filters == 0)
    }

    /// Whether a filter on the way answers UDP with a refusal, and the answer arrives.
    pub(crate) fn refuses(&self, from: usize, to: usize) -> bool {
        let refuses = self.refusals.get(&(from, to)).is_some_and(|filters| *filters > 0);
        refuses && self.reaches(from, to) && self.reaches(to, from)
    }

    /// Whether a filter holds up the path's datagrams anywhere.
    pub(crate) fn holds_up(&self, path: Path) -> bool {
        self.filters.iter().any(|((of, ..), filters)| *of == path && *filters > 0)
    }

    pub(crate) fn reaches_gateway(&self, machine: usize) -> bool {
        self.gateway[machine] == 0
    }

    /// After which time each copy of a datagram arrives; none where it is lost.
    pub(crate) fn carry(&mut self, random: &mut Random, path: Path, from: usize, to: usize) -> Vec<Duration> {
        if !self.passes(path, from, to) {
            return Vec::new();
        }
        if let Some(drops) = self.drops.get_mut(&(path, from, to)).filter(|drops| **drops > 0) {
            *drops -= 1;
            return Vec::new();
        }
        self.copies(random, from, to)
    }

    /// The same for a frame that no filter looks for.
    pub(crate) fn copies(&self, random: &mut Random, from: usize, to: usize) -> Vec<Duration> {
        if !self.reaches(from, to) || random.per_million(self.manners.loss) {
            return Vec::new();
        }
        let copies = 1 + usize::from(random.per_million(self.manners.double));
        (0..copies).map(|_| self.way(random)).collect()
    }

    /// After which time an answer to a frame is there; none where either is lost.
    pub(crate) fn round_trip(&mut self, random: &mut Random, from: usize, to: usize) -> Option<Duration> {
        let there = self.copies(random, from, to).into_iter().min()?;
        Some(there + self.copies(random, to, from).into_iter().min()?)
    }

    fn way(&self, random: &mut Random) -> Duration {
        let Manners { hold, shortest, usual, longest, .. } = self.manners;
        if random.per_million(hold) { longest } else { random.span(shortest, usual) }
    }
}

fn count(cuts: &mut u32, on: bool) {
    *cuts = if on { *cuts + 1 } else { cuts.saturating_sub(1) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(network: &mut Network, from: usize, to: usize) -> usize {
        let mut random = Random::new(1);
        (0..1_000).map(|_| network.carry(&mut random, Path::Udp, from, to).len()).sum()
    }

    #[test]
    fn a_cut_is_one_way_and_two_cuts_need_two_repairs() {
        let mut network = Network::new(2, Manners::GOOD);
        network.cut(0, 1, true);
        network.cut(0, 1, true);
        assert_eq!((arrivals(&mut network, 0, 1), arrivals(&mut network, 1, 0)), (0, 1_000));
        network.cut(0, 1, false);
        assert!(!network.reaches(0, 1));
        network.cut(0, 1, false);
        assert_eq!(arrivals(&mut network, 0, 1), 1_000);
        network.cut(0, 1, false);
        assert!(network.reaches(0, 1), "one repair too many does no harm");
    }

    #[test]
    fn a_filter_holds_up_one_path_and_refuses_while_it_does() {
        let mut network = Network::new(2, Manners::GOOD);
        network.filter(Path::Udp, 0, 1, true);
        network.refuse(0, 1, true);
        assert_eq!((arrivals(&mut network, 0, 1), arrivals(&mut network, 1, 0)), (0, 1_000));
        assert!(network.passes(Path::Ethernet, 0, 1) && network.reaches(0, 1));
        assert!(network.refuses(0, 1) && !network.refuses(1, 0));
        network.cut(1, 0, true);
        assert!(!network.refuses(0, 1), "the answer does not arrive");
        network.heal(Manners::GOOD);
        assert!(!network.refuses(0, 1) && network.passes(Path::Udp, 0, 1));
    }

    #[test]
    fn losses_and_copies_come_out_about_right() {
        let sick = Manners { loss: 200_000, double: 500_000, ..Manners::GOOD };
        let count = arrivals(&mut Network::new(2, sick), 0, 1);
        assert!((1_100..1_300).contains(&count), "{count}");
        let mut network = Network::new(2, Manners::GOOD);
        network.drop_next(0, 1);
        assert_eq!(arrivals(&mut network, 0, 1), 999);
    }

    #[test]
    fn who_is_held_up_is_overtaken() {
        let longest = Duration::from_millis(25);
        let mut network = Network::new(2, Manners { hold: 500_000, longest, ..Manners::GOOD });
        let mut random = Random::new(1);
        let ways: Vec<_> = (0..100).flat_map(|_| network.carry(&mut random, Path::Udp, 0, 1)).collect();
        let late = ways.iter().filter(|way| **way == longest).count();
        assert!((30..70).contains(&late), "{late}");
    }
}
