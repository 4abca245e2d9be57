//! What must move nothing.

use std::{sync::Arc, time::Duration};

use model::{config::ClusterConfig, net::Path};

use super::Fault;
use crate::{trace::What, world::World};

/// What must move nothing: drawn for the quiet times.
pub(crate) fn trifle(world: &mut World<'_>) {
    let machine = world.random.below(world.machines.len());
    let heartbeat = world.plan.config.heartbeat;
    if world.plan.hangs > 0 && world.added.percent(30) {
        world.trace.note(world.now, None, What::Phase("trifle: a guardian hangs for a while"));
        let guardian = world.added.below(world.machines.len());
        world.hang_guardian(guardian);
        world.schedule_over(heartbeat.detection() * 2, Fault::GuardianHangs(guardian));
    }
    match world.random.below(5) {
        0 => {
            // The same text with another comment.
            let digest = world.watch.next_digest();
            world.trace.note(world.now, None, What::Phase("trifle: a reload that changes nothing"));
            let config = Arc::new(ClusterConfig { digest, ..ClusterConfig::clone(&world.watch.newest) });
            world.watch.newest = config;
            world.reload_missed();
        }
        1 => {
            world.trace.note(world.now, None, What::Phase("trifle: one datagram is lost on every way"));
            for from in 0..world.machines.len() {
                for to in 0..world.machines.len() {
                    world.network.drop_next(from, to);
                }
            }
        }
        2 if world.has_two_paths() => {
            world.trace.note(world.now, None, What::Phase("trifle: one path is lost on every way"));
            let path = *world.random.pick(&Path::ALL);
            let refuses = path == Path::Udp && world.random.percent(50);
            let fault = Fault::Filter { path, ways: world.ways(), refuses };
            world.trace.note(world.now, None, What::Fault(fault.clone()));
            world.disturb_wire(&fault, true);
            world.schedule_over(heartbeat.detection() * 2, fault);
        }
        3 if world.machines[machine].kernel.is_empty() => {
            world.trace.note(world.now, None, What::Phase("trifle: a daemon that holds nothing is killed"));
            world.stop(machine);
            world.start(machine);
        }
        _ => {
            // Shorter than the detection time by the longest gap between a heartbeat and the next.
            let longest = heartbeat.detection().saturating_sub(heartbeat.interval + Duration::from_millis(5));
            if longest > Duration::ZERO {
                world.trace.note(world.now, None, What::Phase("trifle: a daemon is stopped for a moment"));
                let span = world.random.span(Duration::ZERO, longest.min(heartbeat.interval));
                world.pause(machine);
                world.schedule_over(span, Fault::Pause(machine));
            }
        }
    }
}
