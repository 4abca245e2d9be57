//! Calm, which elastic TTLs follow: it ends with any unrest, grows by doubling, and all servers agree on it.

use cluster::Command;
use model::{
    PoolName,
    config::{AllDown, ClusterConfig, Policy, Pool, PoolMember, Ttl, UnknownPolicy},
};

use super::stage::{Stage, config, host, ms, name};

fn elastic() -> ClusterConfig {
    let mut config = config("a b c", &["v1: a b c", "v2: b c a"]);
    let pool = Pool {
        members: ["v1", "v2"].map(|name| PoolMember::VirtualHost(host(name))).into(),
        policy: Policy::RoundRobin,
        ttl: Ttl { min: 1, max: 10 },
        max_answers: None,
        keep_doubled: false,
        degraded_weight: 100,
        all_down: AllDown::All,
        unknown: UnknownPolicy::Servfail,
    };
    config.pools.insert(PoolName::new("www"), pool.clone());
    config.pools.insert(PoolName::new("fixed"), Pool { ttl: Ttl::fixed(5), ..pool });
    config
}

fn calm(stage: &Stage, servers: &[&str]) -> Vec<u32> {
    servers.iter().map(|server| stage.node(server).health().calm[&PoolName::new("www")]).collect()
}

#[test]
fn calm_grows_to_the_longest_ttl_and_ends_while_something_sits_on_a_backup() {
    let mut stage = Stage::settled(elastic());
    stage.run(ms(20_000));
    assert_eq!(calm(&stage, &["a", "b", "c"]), [10; 3]);
    assert!(!stage.node("a").health().calm.contains_key(&PoolName::new("fixed")), "nothing to follow");
    stage.kill("a");
    stage.until(|stage| stage.holders("v1") == "b");
    stage.run(ms(60));
    assert_eq!(calm(&stage, &["b", "c"]), [0; 2]);
    stage.run(ms(20_000));
    assert_eq!(calm(&stage, &["b", "c"]), [0; 2], "still on a backup");
    stage.start("a");
    stage.until(|stage| stage.holders("v1") == "a");
    stage.run(ms(60));
    assert_eq!(calm(&stage, &["a", "b", "c"]), [0; 3]);
    let delay = stage.until(|stage| calm(stage, &["a", "b", "c"]) == [2; 3]);
    assert!(delay >= ms(1_900) && delay <= ms(2_500), "two seconds after the last unrest: {delay:?}");
}

#[test]
fn a_planned_move_ends_it() {
    let mut stage = Stage::settled(elastic());
    stage.run(ms(5_000));
    assert_eq!(calm(&stage, &["a", "b", "c"]), [4; 3]);
    stage.command("b", Command::Standby(name("b")));
    stage.run(ms(60));
    assert_eq!(calm(&stage, &["a", "b", "c"]), [0; 3]);
}

#[test]
fn who_has_just_started_knows_of_no_calm_and_all_follow_it() {
    let mut stage = Stage::settled(elastic());
    stage.run(ms(20_000));
    // It holds nothing, so that nothing else changes.
    stage.kill("c");
    stage.run(ms(1_000));
    assert_eq!(calm(&stage, &["a", "b"]), [10; 2]);
    stage.start("c");
    stage.run(ms(600));
    assert_eq!(calm(&stage, &["a", "b", "c"]), [0; 3]);
    stage.run(ms(5_000));
    assert_eq!(calm(&stage, &["a", "b", "c"]), [4; 3]);
}
