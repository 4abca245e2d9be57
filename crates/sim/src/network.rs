//! The wire between the machines: it loses, delays, doubles and reorders datagrams, and parts of it break.

use std::time::Duration;

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
    /// The same for the way between a machine and the router.
    gateway: Vec<u32>,
    /// How many datagrams the way loses next.
    drops: Vec<Vec<u32>>,
}

impl Network {
    pub(crate) fn new(machines: usize, manners: Manners) -> Self {
        let zeros = vec![vec![0; machines]; machines];
        Self { manners, cuts: zeros.clone(), gateway: vec![0; machines], drops: zeros }
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

    /// The next datagram on this way is lost.
    pub(crate) fn drop_next(&mut self, from: usize, to: usize) {
        self.drops[from][to] += 1;
    }

    /// Everything is repaired.
    pub(crate) fn heal(&mut self, manners: Manners) {
        *self = Self::new(self.gateway.len(), manners);
    }

    pub(crate) fn reaches(&self, from: usize, to: usize) -> bool {
        self.cuts[from][to] == 0
    }

    pub(crate) fn reaches_gateway(&self, machine: usize) -> bool {
        self.gateway[machine] == 0
    }

    /// After which time each copy of a datagram arrives; none where it is lost.
    pub(crate) fn carry(&mut self, random: &mut Random, from: usize, to: usize) -> Vec<Duration> {
        if !self.reaches(from, to) || random.per_million(self.manners.loss) {
            return Vec::new();
        }
        if self.drops[from][to] > 0 {
            self.drops[from][to] -= 1;
            return Vec::new();
        }
        let copies = 1 + usize::from(random.per_million(self.manners.double));
        (0..copies).map(|_| self.way(random)).collect()
    }

    /// After which time an answer to a frame is there; none where either is lost.
    pub(crate) fn round_trip(&mut self, random: &mut Random, from: usize, to: usize) -> Option<Duration> {
        let there = self.carry(random, from, to).into_iter().min()?;
        Some(there + self.carry(random, to, from).into_iter().min()?)
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
        (0..1_000).map(|_| network.carry(&mut random, from, to).len()).sum()
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
        let ways: Vec<_> = (0..100).flat_map(|_| network.carry(&mut random, 0, 1)).collect();
        let late = ways.iter().filter(|way| **way == longest).count();
        assert!((30..70).contains(&late), "{late}");
    }
}
