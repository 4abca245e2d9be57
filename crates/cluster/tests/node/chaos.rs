//! Whatever happened: once it is quiet, every virtual host is held by exactly one server, the right one, and its
//! announcement was the last.

use cluster::Command;
use model::config::{ClusterConfig, PartitionPolicy};
use proptest::prelude::*;

use crate::stage::{Stage, config, ip, monitored, ms, name};

const SERVERS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Kill(usize),
    Start(usize),
    Freeze(usize, u64),
    Cut(usize, usize),
    Isolate(usize),
    Heal,
    Service(usize, bool),
    Kernel(usize, bool, bool),
    Standby(usize, bool),
    Resign(usize),
    Reload(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let server = 0usize..3;
    prop_oneof![
        server.clone().prop_map(Step::Kill),
        server.clone().prop_map(Step::Start),
        (server.clone(), 1u64..400).prop_map(|(server, span)| Step::Freeze(server, span)),
        (server.clone(), server.clone()).prop_map(|(from, to)| Step::Cut(from, to)),
        server.clone().prop_map(Step::Isolate),
        Just(Step::Heal),
        (server.clone(), any::<bool>()).prop_map(|(server, up)| Step::Service(server, up)),
        (server.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(server, add, remove)| Step::Kernel(server, add, remove)),
        (server.clone(), any::<bool>()).prop_map(|(server, on)| Step::Standby(server, on)),
        server.clone().prop_map(Step::Resign),
        server.prop_map(Step::Reload),
    ]
}

fn perform(stage: &mut Stage, step: &Step) {
    match step {
        Step::Kill(server) => stage.kill(SERVERS[*server]),
        Step::Start(server) => {
            stage.kill(SERVERS[*server]);
            stage.start(SERVERS[*server]);
        }
        Step::Freeze(server, span) => stage.freeze(SERVERS[*server], ms(*span)),
        Step::Cut(from, to) => stage.cut(SERVERS[*from], SERVERS[*to]),
        Step::Isolate(server) => stage.isolate(SERVERS[*server]),
        Step::Heal => {
            stage.heal();
            SERVERS.iter().for_each(|server| stage.machine(server).hears_witness = true);
        }
        Step::Service(server, up) => stage.machine(SERVERS[*server]).service = Some(*up),
        Step::Kernel(server, add, remove) => {
            let machine = stage.machine(SERVERS[*server]);
            (machine.refuses_to_add, machine.refuses_to_remove) = (*add, *remove);
        }
        Step::Standby(server, on) => {
            let server = SERVERS[*server];
            let command = if *on { Command::Standby(name(server)) } else { Command::Resume(name(server)) };
            stage.command(server, command);
        }
        Step::Resign(server) => stage.command(SERVERS[*server], Command::Resign),
        Step::Reload(server) => {
            let other = if stage.config.digest == 1 { other(&stage.config) } else { first(&stage.config) };
            stage.reload(SERVERS[*server], other);
        }
    }
}

/// The configuration of the beginning.
fn first(now: &ClusterConfig) -> ClusterConfig {
    let config = monitored(config("a b c", &["v1: a b c", "v2: b c a", "v3: c b"]), "v2");
    ClusterConfig { partition: now.partition.clone(), ..config }
}

/// A configuration with other lists and other monitors.
fn other(now: &ClusterConfig) -> ClusterConfig {
    let config = monitored(config("a b c", &["v1: c b a", "v2: b c a", "v3: a c"]), "v1");
    ClusterConfig { partition: now.partition.clone(), digest: 2, ..config }
}

/// Everybody is well again, and time passes.
fn calm(stage: &mut Stage) {
    stage.heal();
    let config = first(&stage.config);
    SERVERS.iter().for_each(|server| stage.reload(server, config.clone()));
    for server in SERVERS {
        let machine = stage.machine(server);
        (machine.refuses_to_add, machine.refuses_to_remove) = (false, false);
        machine.hears_witness = true;
        machine.service = Some(true);
    }
    // Planned stops come to their end.
    stage.run(ms(6_000));
    for server in SERVERS {
        let machine = stage.machine(server);
        let stopped = machine.node.is_none() || machine.said_goodbye;
        if stopped {
            stage.kill(server);
            stage.start(server);
        }
        stage.command(server, Command::Resume(name(server)));
    }
    // The longest back-off, a failback, and some.
    stage.run(ms(40_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn after_any_trouble_there_is_one_holder_and_it_has_the_last_word(
        policy in 0usize..3,
        steps in prop::collection::vec((step(), 0u64..600), 1..25),
    ) {
        let mut configuration = first(&config("a", &[]));
        configuration.partition = [
            PartitionPolicy::Gateway { witness: vec![ip("10.77.0.254")] },
            PartitionPolicy::Majority,
            PartitionPolicy::Availability,
        ][policy].clone();
        let mut stage = Stage::settled(configuration);
        for (step, pause) in &steps {
            perform(&mut stage, step);
            stage.run(ms(*pause));
        }
        calm(&mut stage);
        let changes = stage.changes();
        for (virtual_host, holder, address) in [("v1", "a", "10.77.0.101"), ("v2", "b", "10.77.0.102"), ("v3", "c", "10.77.0.103")] {
            prop_assert_eq!(stage.holders(virtual_host), holder, "{}", virtual_host);
            if let Some(last) = stage.last_word(ip(address)) {
                prop_assert_eq!(last, holder, "the last word about {}", virtual_host);
            }
            for server in SERVERS {
                let status = stage.node(server).status(stage.now);
                let state = status.virtual_hosts.iter().find(|it| it.name == virtual_host).unwrap();
                prop_assert_eq!(&state.state, "active", "{} sees {}", server, virtual_host);
                prop_assert_eq!(state.active.as_deref(), Some(holder));
            }
        }
        stage.run(ms(10_000));
        prop_assert_eq!(stage.changes(), changes, "it is quiet");
    }
}
