//! Hooks with real daemons: a program that takes its time before a take delays its own virtual host, and no other; a
//! planned stop lets the last ones finish.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
#![allow(clippy::print_stdout)] // tells its reader why it is skipped

mod stage_support;

use std::{fs, net::UdpSocket, os::unix::fs::PermissionsExt, path::Path};

use host::{hook::examine, lab::stage::Stage};
use model::api::{Status, VirtualHostStatus};
use serde_json::Value;
use stage_support::{await_status, on_stage, set, v4};

const SERVERS: [(&str, &str, &str); 2] = [("web1", "10.77.0.11", "fd00:77::11"), ("web2", "10.77.0.12", "fd00:77::12")];

const CLUSTER: &str = r#"
[cluster]
name = "hooked"
[server.web1]
address = "10.77.0.11"
[server.web2]
address = "10.77.0.12"
[virtual-host.slow]
addresses = ["10.77.0.101"]
servers = ["web1", "web2"]
[[virtual-host.slow.hook]]
on = "before-take"
command = ["PLACE/slow", "PLACE"]
timeout = "10s"
[virtual-host.quick]
addresses = ["10.77.0.102"]
servers = ["web1", "web2"]
[[virtual-host.quick.hook]]
on = "after-release"
command = ["PLACE/late", "PLACE"]
"#;

/// On web1 it has nothing to wait for.
const SLOW: &str = "#!/bin/sh
cat > $1/told.$STANDIN_SERVER
[ $STANDIN_SERVER = web1 ] || until [ -e $1/gate ]; do sleep 0.01; done
echo \"mounted for $STANDIN_VIRTUAL_HOST\"
";

const LATE: &str = "#!/bin/sh
sleep 0.3
echo $STANDIN_CAUSE > $1/released.$STANDIN_SERVER
";

fn script(place: &Path, name: &str, text: &str) {
    let path = place.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn host<'s>(status: &'s Status, name: &str) -> &'s VirtualHostStatus {
    status.virtual_hosts.iter().find(|host| host.name == name).expect("a virtual host of the file")
}

fn is_on(status: &Status, name: &str, server: &str) -> bool {
    let host = host(status, name);
    host.state == "active" && host.active.as_deref() == Some(server)
}

/// Whether the server's kernel has the address: binding works only then.
fn has(stage: &Stage, server: &str, last: u8) -> bool {
    let server = stage.host(server).expect("a server");
    server.run(move || UdpSocket::bind((v4(last), 0)).is_ok()).expect("a thread")
}

#[test]
fn a_slow_hook_delays_its_own_virtual_host_and_a_stop_lets_the_last_one_finish() {
    on_stage("a_slow_hook_delays_its_own_virtual_host_and_a_stop_lets_the_last_one_finish", || {
        // Programs where only we can change them; what they write, where anybody may (they are nobody).
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("place");
        fs::create_dir(&place).unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, text) in [("slow", SLOW), ("late", LATE)] {
            script(home.path(), name, text);
        }
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
        if let Err(error) = examine(&home.path().join("slow")) {
            stage_support::untrusted(&error);
            return;
        }
        let cluster = CLUSTER.replace("PLACE/", &format!("{}/", home.path().display()));
        let cluster = cluster.replace("PLACE", &place.display().to_string());
        let directory = tempfile::tempdir().unwrap();
        let mut stage = set(directory.path(), &cluster, &SERVERS);
        for (server, ..) in SERVERS {
            stage.start(server).expect("a daemon");
        }
        for (server, ..) in SERVERS {
            await_status(&stage, server, "both on web1", |status| {
                is_on(status, "slow", "web1") && is_on(status, "quick", "web1")
            });
        }

        stage.lab.unplug("web1").unwrap();
        let seen = await_status(&stage, "web2", "quick is here", |status| is_on(status, "quick", "web2"));
        assert_eq!(host(&seen, "slow").state, "moving", "{:?}", host(&seen, "slow"));
        assert!(has(&stage, "web2", 102) && !has(&stage, "web2", 101));
        assert_eq!(host(&seen, "slow").hooks[0].running, 1);
        fs::write(place.join("gate"), "").unwrap();
        let seen = await_status(&stage, "web2", "slow is here", |status| is_on(status, "slow", "web2"));
        assert!(has(&stage, "web2", 101));
        let hook = &host(&seen, "slow").hooks[0];
        assert_eq!((hook.on.as_str(), hook.outcome.as_deref(), hook.running), ("before-take", Some("succeeded"), 0));
        let told: Value = serde_json::from_slice(&fs::read(place.join("told.web2")).unwrap()).unwrap();
        assert_eq!(
            (&told["peer"], &told["cause"], &told["server"]),
            (&"web1".into(), &"server-dead".into(), &"web2".into())
        );
        assert_eq!(told["addresses"][0]["address"], "10.77.0.101");
        assert!(!told["addresses"][0]["interface"].as_str().unwrap().is_empty());

        let exit = stage.stop("web2").unwrap();
        assert!(exit.success(), "{exit}");
        assert_eq!(fs::read_to_string(place.join("released.web2")).unwrap(), "standby\n");
    });
}
