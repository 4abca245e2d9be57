//! The monitors of type `systemd` against a real manager: systemd as the first process of process, mount and control group
//! namespaces of its own. The test's body runs in a second run of this test program, inside of them, where systemctl(1)
//! finds that manager and no other.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

mod monitor_support;

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use monitor_support::{PATIENCE, probe};

/// What systemctl(1) goes through for everybody but root, as whom no monitor runs.
const BUS: &str = "/usr/bin/dbus-daemon";
const SYSTEMD: &str = "/lib/systemd/systemd";
/// Names the folder with the units to the run inside.
const INSIDE: &str = "STANDIN_TEST_UNITS";

/// Nothing but these units, and no devices, logs or logins.
const BEGIN: &str = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mount -t cgroup2 cgroup2 /sys/fs/cgroup && \
                     exec /lib/systemd/systemd --system --unit=lab.target";

const UNITS: [(&str, &str); 6] = [
    ("lab.target", "[Unit]\nDefaultDependencies=no\nWants=dbus.service up.service failed.service\n"),
    ("dbus.socket", "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n"),
    (
        "dbus.service",
        "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nType=notify\nNotifyAccess=main\n\
         ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation --syslog-only\n",
    ),
    ("up.service", "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep infinity\n"),
    ("failed.service", "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/false\n"),
    ("stopped.service", "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep infinity\n"),
];

struct Manager(Child);

impl Drop for Manager {
    fn drop(&mut self) {
        // unshare(1) takes the manager with it, and the manager all of its namespace.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// systemd itself, below unshare(1).
fn first_process(manager: &Manager) -> Option<u32> {
    let below = fs::read_to_string(format!("/proc/{0}/task/{0}/children", manager.0.id())).ok()?;
    below.split_whitespace().next()?.parse().ok()
}

fn skip(why: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("skipped: {why}");
}

#[test]
fn units_are_judged_as_their_manager_says() {
    if env::var_os(INSIDE).is_some() {
        return judge();
    }
    let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !Path::new(SYSTEMD).is_file() || !Path::new(BUS).is_file() || !root {
        return skip("a manager of one's own needs systemd, dbus, and root");
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in UNITS {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let log = folder.path().join("log");
    let output = fs::File::create(&log).unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--cgroup", "--uts", "--ipc"]);
    unshare.args(["sh", "-c", BEGIN]).env("container", "lab").env("SYSTEMD_UNIT_PATH", folder.path());
    unshare.env("SYSTEMD_LOG_TARGET", "console").stdin(Stdio::null());
    unshare.stdout(output.try_clone().unwrap()).stderr(output);
    let manager = Manager(unshare.spawn().unwrap());
    let begun = Instant::now();
    let inside = loop {
        let inside = first_process(&manager);
        let answers = |pid: &u32| Path::new(&format!("/proc/{pid}/root/run/systemd/private")).exists();
        if let Some(pid) = inside.filter(answers) {
            break pid;
        }
        assert!(begun.elapsed() < PATIENCE, "no manager: {}", fs::read_to_string(&log).unwrap());
        thread::sleep(Duration::from_millis(10));
    };
    let mut again = Command::new("nsenter");
    again.args(["--target", &inside.to_string(), "--mount", "--pid"]).arg(env::current_exe().unwrap());
    again.args(["--exact", "units_are_judged_as_their_manager_says", "--nocapture"]).env(INSIDE, folder.path());
    assert!(again.status().unwrap().success(), "inside: {}", fs::read_to_string(&log).unwrap());
}

fn judge() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tried = |unit: &str| runtime.block_on(probe(&format!("type = \"systemd\"\nunit = \"{unit}\""), 0, PATIENCE));
    let until = |unit: &str, verdict: &str| {
        let begun = Instant::now();
        loop {
            let found = tried(unit);
            if found.0 == verdict {
                return found.1;
            }
            assert!(begun.elapsed() < PATIENCE, "{unit} is never {verdict}: {found:?}");
        }
    };
    assert_eq!(until("up.service", "up"), "");
    until("failed.service", "down");
    // It may have been on its way at first, and the bus, too.
    let begun = Instant::now();
    while tried("failed.service").1 != "failed.service is failed (failed)" {
        assert!(begun.elapsed() < PATIENCE, "{:?}", tried("failed.service"));
    }
    assert_eq!(tried("stopped.service"), ("down", "stopped.service is inactive (dead)".to_owned()));
    assert_eq!(tried("none.service"), ("down", "there is no unit none.service".to_owned()));
    let systemctl = |verb: &str, unit: &str| {
        assert!(Command::new("systemctl").args([verb, unit]).status().unwrap().success(), "{verb} {unit}");
    };
    systemctl("start", "stopped.service");
    assert_eq!(tried("stopped.service").0, "up");
    let mut show = Command::new("systemctl");
    let main = show.args(["show", "--property=MainPID", "--value", "up.service"]).output().unwrap().stdout;
    let main = String::from_utf8(main).unwrap();
    assert!(Command::new("kill").args(["-KILL", main.trim()]).status().unwrap().success(), "{main}");
    assert_eq!(until("up.service", "down"), "up.service is failed (failed)");
}
