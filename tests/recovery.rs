//! Recovery with real daemons: a program that has a real service started again keeps its address where it is; one that does
//! not help lets the address move at once.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
#![allow(clippy::print_stdout)] // tells its reader why it is skipped

mod stage_support;

use std::{
    fs,
    net::UdpSocket,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use host::{hook::examine, lab::stage::Stage};
use model::api::{MonitorStatus, Status, VirtualHostStatus};
use stage_support::{PATIENCE, await_status, log, on_stage, set, v4};

const SERVERS: [(&str, &str, &str); 2] = [("web1", "10.77.0.11", "fd00:77::11"), ("web2", "10.77.0.12", "fd00:77::12")];

const CLUSTER: &str = r#"
[cluster]
name = "recovering"
[server.web1]
address = "10.77.0.11"
[server.web2]
address = "10.77.0.12"
[virtual-host.mended]
addresses = ["10.77.0.101"]
servers = ["web1", "web2"]
[[virtual-host.mended.monitor]]
type = "tcp"
port = 80
recovery = { command = ["PLACE/restart", "PLACE"], timeout = "20s", window = "20s", attempts = 2 }
[virtual-host.lost]
addresses = ["10.77.0.102"]
servers = ["web1", "web2"]
[[virtual-host.lost.monitor]]
type = "tcp"
port = 80
recovery = { command = ["PLACE/fail"], timeout = "20s", window = "20s" }
"#;

/// Asks the service manager, which is the test, and waits for it.
const RESTART: &str = "#!/bin/sh
echo $STANDIN_VIRTUAL_HOST/$STANDIN_MONITOR $STANDIN_ATTEMPT of $STANDIN_ATTEMPTS > $1/asked.new
cat > $1/told
mv $1/asked.new $1/asked
until [ -e $1/done ]; do sleep 0.01; done
";

fn host<'s>(status: &'s Status, name: &str) -> &'s VirtualHostStatus {
    status.virtual_hosts.iter().find(|host| host.name == name).expect("a virtual host of the file")
}

fn is_on(status: &Status, name: &str, server: &str) -> bool {
    let host = host(status, name);
    host.state == "active" && host.active.as_deref() == Some(server)
}

/// The monitor on web1.
fn monitor<'s>(status: &'s Status, name: &str) -> &'s MonitorStatus {
    &host(status, name).servers[0].monitors[0]
}

fn has(stage: &Stage, server: &str, last: u8) -> bool {
    let server = stage.host(server).expect("a server");
    server.run(move || UdpSocket::bind((v4(last), 0)).is_ok()).expect("a thread")
}

fn await_file(path: &Path) -> String {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < PATIENCE, "never: {}", path.display());
        thread::sleep(Duration::from_millis(5));
    }
    fs::read_to_string(path).unwrap()
}

#[test]
fn what_a_program_mends_stays_and_what_it_does_not_moves() {
    on_stage("what_a_program_mends_stays_and_what_it_does_not_moves", || {
        // Programs where only we can change them; what they write, where anybody may (they are nobody).
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("place");
        fs::create_dir(&place).unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, text) in [("restart", RESTART), ("fail", "#!/bin/sh\necho no such unit >&2\nexit 5\n")] {
            fs::write(home.path().join(name), text).unwrap();
            fs::set_permissions(home.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
        if let Err(error) = examine(&home.path().join("restart")) {
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
            await_status(&stage, server, "both on web1, and well", |status| {
                ["mended", "lost"].iter().all(|name| {
                    let well = |server: &model::api::CandidateStatus| server.monitors[0].verdict == "up";
                    is_on(status, name, "web1") && host(status, name).servers.iter().all(well)
                })
            });
        }

        stage.stop_web("web1").unwrap();
        let seen = await_status(&stage, "web2", "one has moved", |status| is_on(status, "lost", "web2"));
        assert!(is_on(&seen, "mended", "web1") && has(&stage, "web1", 101) && has(&stage, "web2", 102));
        assert_eq!(await_file(&place.join("asked")), "mended/tcp-80 1 of 2\n");
        let told = fs::read_to_string(place.join("told")).unwrap();
        assert!(told.contains("\"reason\":\"") && told.contains("\"server\":\"web1\""), "{told}");
        let seen = await_status(&stage, "web1", "it is recovering", |status| {
            monitor(status, "mended").own.as_ref().is_some_and(|own| own.recovering.is_some())
        });
        let reason = monitor(&seen, "mended").reason.clone().unwrap();
        assert!(reason.starts_with("recovering, attempt 1 of 2: "), "{reason}");
        assert_eq!(
            (monitor(&seen, "mended").verdict.as_str(), monitor(&seen, "lost").verdict.as_str()),
            ("up", "down")
        );

        await_status(&stage, "web2", "others know that it is", |status| monitor(status, "mended").recovering);

        stage.start_web("web1").unwrap();
        fs::write(place.join("done"), "").unwrap();
        let seen = await_status(&stage, "web1", "it has recovered", |status| {
            monitor(status, "mended").own.as_ref().is_some_and(|own| own.recovering.is_none() && own.flips == 0)
        });
        assert!(is_on(&seen, "mended", "web1") && has(&stage, "web1", 101));
        assert_eq!(host(&seen, "mended").term, 1, "it has never changed hands");
        let said = log(&stage, "web1");
        assert!(said.contains("mended/tcp-80 has recovered after "), "{said}");
        assert!(said.contains("recovery program of lost/tcp-80: exit code 5: no such unit"), "{said}");
        assert!(!said.contains("releasing mended"), "{said}");
        await_status(&stage, "web1", "the other is back", |status| is_on(status, "lost", "web1"));
    });
}
