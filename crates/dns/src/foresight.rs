//! Looking ahead: what a batch of queries will need of a large zone is fetched all at once.
//!
//! In a zone larger than the processor's caches an answer waits for memory three times, one after the other: for the
//! table's slot, for the name's node, for the name and its records. Here every query of a batch waits its first time
//! together with the others, and so on. Nothing is decided or answered here: a wrong guess costs a fetch.
//!
//! Deliberately not here: how memory is fetched (`host`, for it is the processor's), which batch that is.

use crate::{
    compile::NONE,
    view::View,
    wire::{HEADER, NameBuf},
};

/// So many queries are looked up ahead at most.
pub const AHEAD: usize = 64;
/// Zones of fewer names stay in the processor's caches by themselves, and looking ahead would only cost.
const VAST: usize = 20_000;
/// A line of the processor's cache, in bytes.
const LINE: usize = 64;
/// So much of a name and its records is fetched at most, in bytes: longer ones are rare, and read in order.
const LONGEST: usize = 4 * LINE;

impl View {
    /// Whether the zones are so large that [`View::foresee`] pays.
    pub fn is_vast(&self) -> bool {
        self.zones.len() >= VAST
    }

    /// Names to `fetch` the addresses of the memory that the answers to these queries will be read from. The address is
    /// for a hint to the processor; nothing must be read from it.
    pub fn foresee<'q>(&self, queries: impl Iterator<Item = &'q [u8]>, fetch: impl Fn(*const u8)) {
        let zones = &*self.zones;
        let mut hashes = [0; AHEAD];
        let mut count = 0;
        for name in queries.filter_map(|query| NameBuf::read(query, HEADER)).take(AHEAD) {
            let hash = zones.hash_of(&name);
            fetch(zones.slot_address(hash));
            hashes[count] = hash;
            count += 1;
        }
        let mut nodes = [NONE; AHEAD];
        for (node, hash) in nodes.iter_mut().zip(&hashes[..count]) {
            if let Some(likely) = zones.likely(*hash) {
                fetch((&raw const *zones.node(likely)).cast());
                *node = likely;
            }
        }
        for node in nodes[..count].iter().filter(|node| **node != NONE) {
            let entry = zones.entry(zones.node(*node));
            entry[..entry.len().min(LONGEST)].chunks(LINE).for_each(|line| fetch(line.as_ptr()));
            // The last byte may lie in one line more.
            entry.last().into_iter().for_each(|last| fetch(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        collections::{BTreeMap, BTreeSet},
        sync::Arc,
    };

    use model::{Health, ZoneName, config::parse_cluster};
    use proptest::prelude::*;

    use super::*;
    use crate::{Zones, compile::Found, zone};

    fn view() -> View {
        let cluster = "[cluster]\nname = \"x\"\n[server.a]\naddress = \"10.0.0.1\"\n";
        let config = parse_cluster("cluster.toml", cluster).unwrap();
        let mut text = "$TTL 5\n@ SOA ns h 1 1h 15m 1w 5\n@ NS ns\nns A 10.0.0.1\n".to_owned();
        for n in 0..200 {
            text += &format!("h{n} A 10.1.0.{n}\nh{n} A 10.2.0.{n}\n");
        }
        let name = ZoneName::new("lb.test");
        let zone = zone::load(&name, "lb.zone", &text, &BTreeMap::new(), &config, &mut |_| Err(String::new())).unwrap();
        View::build(&Arc::new(Zones::compile(vec![zone], &config)), &Health::default(), "a")
    }

    fn query(label: &str) -> Vec<u8> {
        let name = [&[label.len() as u8], label.as_bytes(), b"\x02lb\x04TEST\0\0\x01\0\x01"].concat();
        [&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &name].concat()
    }

    /// The lines of memory that were fetched.
    fn lines(view: &View, queries: &[Vec<u8>]) -> BTreeSet<usize> {
        let fetched = RefCell::new(BTreeSet::new());
        view.foresee(queries.iter().map(Vec::as_slice), |address| {
            fetched.borrow_mut().insert(address.addr() / LINE);
        });
        fetched.into_inner()
    }

    #[test]
    fn all_that_an_answer_reads_is_fetched() {
        let view = view();
        let queries: Vec<_> = (0..AHEAD).map(|n| query(&format!("H{}", 3 * n))).collect();
        let fetched = lines(&view, &queries);
        for query in &queries {
            let name = NameBuf::read(query, HEADER).unwrap();
            let exact = if let Found::Exact(index) = view.zones.find(&name, 1) { Some(index) } else { None };
            let node = view.zones.node(exact.expect("the name exists"));
            let slot = view.zones.slot_address(view.zones.hash_of(&name)).addr();
            let read = [view.zones.name(node), view.zones.bytes(&view.zones.sets(node)[0].block)];
            let bytes = read.iter().flat_map(|bytes| bytes.iter().map(|byte| (&raw const *byte).addr()));
            for address in bytes.chain([slot, (&raw const *node).addr()]) {
                assert!(fetched.contains(&(address / LINE)));
            }
        }
    }

    #[test]
    fn a_name_that_does_not_exist_costs_one_line() {
        let view = view();
        assert_eq!(lines(&view, &[query("nobody")]).len(), 1);
    }

    proptest! {
        /// Whatever is asked, and however much: looking ahead ends well.
        #[test]
        fn nonsense_is_foreseen_without_harm(queries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..100)) {
            lines(&view(), &queries);
        }
    }
}
