use std::collections::BTreeMap;

use model::config::{
    Failback, Handling, VirtualHost,
    probe::{ProbeKind, TcpProbe},
};

use super::*;
use crate::Effect;

fn at(ms: u64) -> Instant {
    Instant::BOOT + Duration::from_secs(1_000) + Duration::from_millis(ms)
}

/// As many virtual hosts on as many servers, each watched by a monitor with this interval.
fn config(hosts: usize, servers: usize, interval: Duration) -> ClusterConfig {
    let monitor = Monitor {
        name: "tcp-80".into(),
        kind: ProbeKind::Tcp(TcpProbe::default()),
        port: Some(80),
        interval,
        recheck: Duration::from_millis(100),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 2,
        priority: 0,
        note: None,
        handling: Handling::default(),
    };
    let host = VirtualHost {
        addresses: Vec::new(),
        servers: (0..servers).map(|server| ServerName::new(&format!("s{server}"))).collect(),
        failback: Failback::Auto,
        failback_delay: Duration::ZERO,
        always_active: true,
        monitors: vec![monitor],
        groups: BTreeMap::new(),
        hooks: BTreeMap::new(),
    };
    let virtual_hosts = (0..hosts).map(|name| (VirtualHostName::new(&format!("v{name}")), host.clone())).collect();
    ClusterConfig { virtual_hosts, ..ClusterConfig::empty() }
}

struct Watched {
    shared: SharedFault,
    hosts: usize,
    effects: Effects,
}

impl Watched {
    fn new(hosts: usize, servers: usize) -> Self {
        let mut shared = SharedFault::default();
        shared.reconfigure(&config(hosts, servers, Duration::from_secs(1)), |_| 1);
        Self { shared, hosts, effects: Effects::new() }
    }

    /// What is found: a word for each virtual host, a letter for each server. Returns whether everything stays.
    fn see(&mut self, ms: u64, words: &str) -> bool {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        assert_eq!(words.len(), self.hosts);
        let index = |name: &str| name[1..].parse::<usize>().unwrap();
        let found = |host: &VirtualHostName, server: &ServerName, _| match words[index(host.as_str())]
            [index(server.as_str())]
        {
            b'u' => Verdict::Up,
            b'g' => Verdict::Degraded,
            b'd' => Verdict::Down,
            _ => Verdict::Unknown,
        };
        self.shared.observe(at(ms), found, &mut self.effects);
        self.shared.stays()
    }

    fn events(&mut self) -> Vec<Event> {
        let event = |effect| match effect {
            Effect::Record(event) => Some(event),
            _ => None,
        };
        self.effects.drain().filter_map(event).collect()
    }
}

#[test]
fn one_failure_after_the_other_is_a_shared_cause_once_most_have_failed() {
    let mut it = Watched::new(2, 3);
    assert!(!it.see(0, "uuu uuu"));
    assert!(!it.see(100, "duu uuu"), "the first acts at once");
    assert!(!it.see(300, "duu duu"), "one server alone has failed");
    assert!(!it.see(600, "ddu duu"), "half");
    assert!(it.see(900, "ddu ddu"));
    assert_eq!(it.events(), [Event::SharedFault { failed: 4, watched: 6, servers: 2 }]);
    assert!(it.see(1_200, "ddd ddd"));
    assert!(!it.see(4_200, "ddd ddd"), "quiet: all are down, which is for `always-active` to settle");
    assert!(it.shared.fault().is_some() && it.shared.next_deadline().is_none());
    assert!(it.see(60_000, "udd ddd"), "the first that is back is not run to");
    assert!(it.see(61_000, "uud udd"));
    assert!(it.see(62_000, "uuu udd"), "not yet enough");
    assert_eq!(it.shared.next_deadline(), Some(at(63_000)), "a span from the first one on");
    assert!(!it.see(62_500, "uuu uud"));
    assert_eq!(it.events(), [Event::SharedFaultOver { failed: 1, watched: 6, lasted_ms: 61_600 }]);
}

#[test]
fn whoever_is_well_when_all_is_quiet_is_used() {
    let mut it = Watched::new(2, 3);
    it.see(0, "uuu uuu");
    assert!(it.see(100, "ddu ddu"));
    assert_eq!(it.shared.next_deadline(), Some(at(3_100)));
    assert!(it.see(3_099, "ddu ddu"));
    assert!(!it.see(3_100, "ddu ddu"));
    assert_eq!(it.events().last(), Some(&Event::SharedFaultOver { failed: 4, watched: 6, lasted_ms: 3_000 }));
    assert!(!it.see(3_200, "ddd ddu"), "what has failed before is no evidence any more");
    assert!(it.shared.fault().is_none());
}

#[test]
fn who_goes_up_and_down_all_the_time_is_not_waited_for() {
    let mut it = Watched::new(2, 3);
    it.see(0, "uuu uuu");
    assert!(it.see(100, "ddu ddu"));
    for step in 0..6 {
        assert!(it.see(1_100 + step * 2_000, "ddd ddu"), "{step}");
        it.see(2_100 + step * 2_000, "ddu ddu");
    }
    assert!(!it.see(100 + 12_000, "ddd ddu"), "four spans");
}

#[test]
fn few_are_never_everything() {
    for (hosts, servers, before, after) in [
        (1, 1, "u", "d"),
        (1, 2, "uu", "dd"),
        (1, 3, "uuu", "ddu"),
        (3, 1, "u u u", "d d d"),
        (3, 2, "uu uu uu", "du du du"),
        (2, 3, "u?? u??", "d?? d??"),
        (2, 3, "uuu uuu", "duu duu"),
    ] {
        let mut it = Watched::new(hosts, servers);
        it.see(0, before);
        assert!(!it.see(100, after), "{before} {after}");
        assert_eq!(it.events(), []);
    }
}

#[test]
fn what_failed_long_before_or_never_worked_is_no_evidence() {
    let mut it = Watched::new(2, 3);
    it.see(0, "??? ???");
    assert!(!it.see(100, "ddd ddd"), "they may only come up");
    let mut it = Watched::new(2, 4);
    it.see(0, "uuuu uuuu");
    assert!(!it.see(100, "dduu dduu"), "half");
    assert!(!it.see(10_000, "dddu dddu"), "the third long after them: half of those that were well");
    assert!(!it.see(10_100, "dddd dddu"), "most of them, and most on one server only");
    assert!(it.see(10_200, "dddd dddd"));
}

#[test]
fn degraded_is_not_failed() {
    let mut it = Watched::new(2, 3);
    it.see(0, "uuu uuu");
    assert!(!it.see(100, "ggg ggg"));
    assert!(it.see(200, "ddd ddd"));
}

#[test]
fn slow_monitors_are_given_time_and_the_same_configuration_keeps_what_is_known() {
    let mut it = Watched::new(2, 3);
    it.shared.reconfigure(&config(2, 3, Duration::from_secs(10)), |_| 1);
    it.see(0, "uuu uuu");
    it.see(100, "duu duu");
    assert!(it.see(9_000, "ddu ddu"), "within what their monitors take");
    it.shared.reconfigure(&config(2, 3, Duration::from_secs(20)), |_| 1);
    assert!(it.see(9_100, "ddu ddu"));
    it.shared.reconfigure(&config(2, 2, Duration::from_secs(20)), |_| 1);
    assert!(!it.see(9_200, "dd dd"), "others are watched");
}

#[test]
fn the_rule_can_be_tuned_and_switched_off() {
    let with = |shared_cause| ClusterConfig { shared_cause, ..config(2, 3, Duration::from_secs(1)) };
    let mut it = Watched::new(2, 3);
    it.shared.reconfigure(&with(SharedCause::Within(Duration::from_secs(10))), |_| 1);
    it.see(0, "uuu uuu");
    it.see(100, "duu duu");
    assert!(it.see(9_000, "ddu ddu"), "within ten seconds");
    assert_eq!(it.shared.next_deadline(), Some(at(19_000)));
    it.shared.reconfigure(&with(SharedCause::Off), |_| 1);
    assert_eq!((it.shared.stays(), it.shared.next_deadline(), it.shared.fault()), (false, None, None));
    it.events();
    it.see(20_000, "uuu uuu");
    assert!(!it.see(20_100, "ddd ddd"), "each failure counts for itself");
    assert_eq!(it.events(), []);
    it.shared.reconfigure(&with(SharedCause::Automatic), |_| 1);
    it.see(30_000, "uuu uuu");
    assert!(it.see(30_100, "ddd ddd"));
}

#[test]
fn a_virtual_host_of_which_one_monitor_of_two_fails_everywhere_works_still() {
    let mut shared = SharedFault::default();
    shared.reconfigure(&config(1, 3, Duration::from_secs(1)), |_| 2);
    let mut effects = Effects::new();
    shared.observe(at(0), |_, _, _| Verdict::Up, &mut effects);
    shared.observe(at(100), |_, _, line| if line == 1 { Verdict::Down } else { Verdict::Up }, &mut effects);
    assert!(!shared.stays(), "half");
    shared.observe(at(200), |_, _, _| Verdict::Down, &mut effects);
    assert!(shared.stays());
}
