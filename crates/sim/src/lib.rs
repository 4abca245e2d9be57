//! The shipped core on simulated machines, in virtual time, with faults drawn from a seed.
//!
//! [`run`] lives one seed: a cluster of one to ten [`cluster::Node`]s on a wire that loses, delays, doubles and reorders,
//! through crashes, kills, hangs, stops, partitions in one and in both directions, dying services, operators' commands and
//! reloads; then everything is repaired, and everything must come to rest where it belongs. The invariants
//! ([`Invariant`]) are looked at all the time. The same seed is the same life, line by line.
//!
//! Read `plan` (what a seed is), `world` (the queue of what happens), `fault`, `invariant`.
//!
//! Deliberately not here: real time, sockets, kernels. Nothing in the product knows that it is simulated.

mod fault;
mod host;
mod invariant;
mod network;
mod plan;
mod random;
mod trace;
mod world;

use std::{fmt, time::Duration};

use invariant::Broken;
use model::Instant;
use plan::Plan;
use random::Random;
use trace::{Trace, What};
use world::World;

pub use invariant::Invariant;
pub use trace::Listener;

/// What a seed's life was like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// How many servers.
    pub servers: usize,
    /// How long it lasted, in virtual time.
    pub lasted: Duration,
    /// Events that the nodes recorded.
    pub events: u64,
    /// Takes and releases.
    pub moves: u64,
}

/// A seed in which an invariant did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What did not hold.
    pub invariant: Invariant,
    /// When, in virtual time since the beginning.
    pub at: Duration,
    /// Who, what, for how long.
    pub detail: String,
    /// The last lines of what happened.
    pub log: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {} broken after {:?}", self.seed, self.invariant.name(), self.at)?;
        writeln!(f, "  {}", self.invariant.sentence())?;
        writeln!(f, "  {}", self.detail)?;
        writeln!(f, "what happened last:")?;
        for line in &self.log {
            writeln!(f, "  {line}")?;
        }
        write!(f, "replay: cargo run -p standin-sim -- --seed {} --verbose", self.seed)
    }
}

/// Lives one seed. Each line of what happens is told to the listener, if there is one.
///
/// # Errors
///
/// The first invariant that does not hold.
pub fn run(seed: u64, listener: Option<Listener<'_>>) -> Result<Summary, Box<Failure>> {
    let mut random = Random::new(seed);
    // Dice of their own, so that a seed without hooks and hangs is the life that it was before there were any.
    let mut added = Random::new(!seed);
    let mut plan = Plan::draw(&mut random);
    plan.give_hooks(&mut added);
    plan.give_hangs(&mut added);
    plan.move_witness(&mut added);
    let mut newest = Random::new(seed.rotate_left(32) ^ 0x7368_6172_6564);
    plan.give_shared_causes(&mut newest);
    plan.give_recoveries(&mut newest);
    let last = Random::new(seed.rotate_left(16) ^ 0x6c61_7374);
    let mut world = World::new(plan, random, [added, newest], Trace::new(listener));
    let began = world.now;
    match live(&mut world).and_then(|()| end(&mut world, last)) {
        Ok(()) => Ok(Summary {
            servers: world.machines.len(),
            lasted: world.now.since(began),
            events: world.watch.events,
            moves: world.watch.moves,
        }),
        Err(Broken { invariant, detail }) => {
            let log = world.trace.last_lines();
            Err(Box::new(Failure { seed, invariant, at: world.now.since(began), detail, log }))
        }
    }
}

fn live(world: &mut World<'_>) -> Result<(), Broken> {
    let interval = world.plan.config.heartbeat.interval;
    world.trace.note(world.now, None, What::Phase("start"));
    for machine in 0..world.machines.len() {
        let pause = world.random.span(Duration::ZERO, interval * 4);
        world.run_for(pause)?;
        world.start(machine);
    }
    let settle = world.watch.bounds.cover;
    world.run_for(settle)?;
    for _ in 0..world.plan.rounds {
        world.trace.note(world.now, None, What::Phase("trouble"));
        world.unsettle();
        let end: Instant = world.now + world.plan.trouble;
        while world.now < end {
            let pause = fault::pause(&mut world.random, interval);
            world.run_for(pause)?;
            world.inject();
        }
        world.trace.note(world.now, None, What::Phase("repair"));
        world.heal();
        // The operator waits until the services are back before forgiving the monitors.
        world.run_for(Duration::from_secs(2))?;
        world.reset_monitors();
        let settle = world.watch.settling(world.now);
        world.run_for(settle)?;
        rest(world)?;
    }
    Ok(())
}

/// At last services die for good, and nothing else happens: what can be served is served.
fn end(world: &mut World<'_>, last: Random) -> Result<(), Broken> {
    world.trace.note(world.now, None, What::Phase("dead services"));
    world.let_services_die(last);
    let bounds = world.watch.bounds;
    world.run_for(bounds.shared.max(bounds.seen) + bounds.detection)
}

/// Once all is well nothing moves, whatever trifles happen.
fn rest(world: &mut World<'_>) -> Result<(), Broken> {
    world.trace.note(world.now, None, What::Phase("rest"));
    world.rest()?;
    let moves = world.watch.moves;
    let heartbeat = world.plan.config.heartbeat;
    for _ in 0..3 {
        fault::trifle(world);
        world.run_for(heartbeat.detection() * 2 + heartbeat.interval * 4)?;
        if world.watch.moves != moves {
            let detail = "something was taken or released although all was well".to_owned();
            return Err(Broken::new(Invariant::NoNeedlessMove, detail));
        }
    }
    // A daemon that has just begun is sure only after its first verdicts.
    world.run_for(world.watch.bounds.cover)?;
    world.rest()
}
