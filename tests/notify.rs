//! Notifications with real daemons and receivers: one message when an incident begins and one when it is over, from one server, whoever
//! dies; each channel's way, with its refusals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

#[path = "monitor_support/certificates.rs"]
mod certificates;
mod console_support;
mod notify_support;
mod stage_support;
mod tls_support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use certificates::Authority;
use console_support::{
    PASSWORD, ask, cluster,
    http::{assert_dressed, get, log_in, post},
};
use host::{hook::examine, lab::stage::Stage};
use notify_support::{
    PATIENCE,
    mailbox::{self, Begins},
    tls,
    webhook::Webhook,
    write_secret,
};
use serde_json::Value;
use stage_support::{await_log, await_status, installed, log, on_stage, set};

const PROGRAM: &str = env!("CARGO_BIN_EXE_standin");
const SIGKILL: i32 = 9;
const NOBODY: u32 = 65_534;
const ALONE: [(&str, &str, &str); 1] = [("web1", "10.77.0.11", "fd00:77::11")];
/// One server, in file mode.
const FILE: &str = "[cluster]\nname = \"alone\"\n[server.web1]\naddress = \"10.77.0.11\"\n\
                    [virtual-host.virtual1]\naddresses = [\"10.77.0.101\"]\nservers = [\"web1\"]\n";

/// One server with channels, which has begun to tell.
fn alone(directory: &Path, channels: &str) -> Stage {
    let mut stage = set(directory, &format!("{FILE}{channels}"), &ALONE);
    stage.start("web1").unwrap();
    await_status(&stage, "web1", "holds", |status| status.virtual_hosts[0].active.as_deref() == Some("web1"));
    for channel in channels.lines().filter_map(|line| line.strip_prefix("[notify.")?.strip_suffix(']')) {
        await_log_long(&stage, "web1", &format!("channel {channel} is told what happens from now on"));
    }
    stage
}

fn await_log_long(stage: &Stage, server: &str, text: &str) {
    let begun = Instant::now();
    while !log(stage, server).contains(text) {
        assert!(begun.elapsed() < PATIENCE, "{server} never said: {text}\n{}", log(stage, server));
    }
}

/// What `standin notify test` says, and whether it was content.
fn try_channel(stage: &Stage, name: &str) -> (bool, String) {
    let mut command = stage.host("web1").unwrap().command(PROGRAM);
    let output = command.args(["notify", "test", name, "--socket"]).arg(stage.socket("web1")).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn kinds(stage: &Stage, server: &str, kind: &str) -> Vec<Value> {
    let text = ask(stage, server, &["log", "--json", "--since", "1h", "--kind", kind], "");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The program of the documentation that verifies a signature.
fn documented() -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/notifications.md")).unwrap();
    page.split("```python\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

/// What the documented program finds.
fn verified(secret: &str, signature: &str, body: &str) -> bool {
    let Some(python) = installed("python3") else { return true };
    let program =
        format!("{}\nimport sys\nsys.exit(0 if genuine(*[a.encode() for a in sys.argv[1:4]]) else 1)", documented());
    let mut command = Command::new(python);
    command.args(["-c", &program, secret, signature, body]).stderr(Stdio::inherit()).status().unwrap().success()
}

#[test]
fn each_incident_is_told_once_and_ended_once_whoever_dies() {
    on_stage("each_incident_is_told_once_and_ended_once_whoever_dies", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = cluster(directory.path(), 3);
        let webhook = Webhook::start(&stage.client, 8000, None);
        write_secret(directory.path(), "ops", "a secret");
        let fields = ["type=webhook", "url=http://10.77.0.200:8000/hook?from=standin", "secret=ops"];
        ask(&stage, "web2", &[&["notify", "add", "ops"], &fields[..]].concat(), "");
        await_log_long(&stage, "web1", "channel ops is told what happens from now on");

        // A server is cut off and comes back: it knows of it as well as the others, and one of these tells.
        stage.lab.unplug("web3").unwrap();
        let said = |count: usize| webhook.inbox.wait(&format!("{count} messages"), |all| all.len() >= count);
        let opened = said(1)[0].clone();
        assert_eq!(opened.said(), ("opened".into(), "web3".into(), 1), "{:#}", opened.json);
        assert_eq!((&opened.json["sent_by"], &opened.json["kind"]), (&"web1".into(), &"incident".into()));
        let incident = &opened.json["incidents"][0];
        assert_eq!(incident["moves"][0]["virtual_host"], "virtual3", "{incident:#}");
        assert!(incident["moves"][0]["gap_ms"].is_u64(), "{incident:#}");
        let link = incident["link"].as_str().unwrap();
        assert!(link.starts_with("https://10.77.0.11:8053/console/incidents?id="), "{link}");
        stage.lab.plug("web3").unwrap();
        let ended = said(2)[1].clone();
        assert_eq!(ended.said(), ("ended".into(), "web3".into(), 2), "{:#}", ended.json);
        assert_eq!(ended.json["incidents"][0]["id"], incident["id"]);

        // What a sender has sent and nobody knows of when it dies is sent again; here it is known.
        let noted = |server: &str, count: usize| {
            let begun = Instant::now();
            while kinds(&stage, server, "notified").len() < count {
                assert!(begun.elapsed() < PATIENCE, "{:#?}", kinds(&stage, server, "notified"));
            }
        };
        noted("web2", 3);
        // The sender dies: the next one tells of it.
        stage.signal_all("web1", SIGKILL).unwrap();
        stage.wait("web1").unwrap();
        let died = said(3)[2].clone();
        assert_eq!(died.said(), ("opened".into(), "web1".into(), 1), "{:#}", died.json);
        assert_eq!(died.json["sent_by"], "web2");
        assert_eq!(died.json["incidents"][0]["trouble"], "died");
        // It is back, and sends again: what the others have sent it knows, and nothing twice.
        stage.start("web1").unwrap();
        let back = said(4)[3].clone();
        assert_eq!(back.said(), ("ended".into(), "web1".into(), 2), "{:#}", back.json);
        assert_eq!(back.json["incidents"][0]["id"], died.json["incidents"][0]["id"]);
        // More incidents, of each virtual host's service there, which end: what should not have been sent would have been by then.
        stage.stop_web("web2").unwrap();
        let down = said(7)[4].clone();
        assert_eq!((down.said().0.as_str(), &down.json["sent_by"]), ("opened", &"web1".into()), "{:#}", down.json);
        assert_eq!(down.json["incidents"][0]["trouble"], "service-down");
        stage.start_web("web2").unwrap();
        let all = said(10);
        let mut told: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for got in &all {
            told.entry(got.json["incidents"][0]["id"].as_str().unwrap()).or_default().push(got.said().0);
        }
        assert_eq!(told.len(), 5, "{told:#?}");
        assert!(told.values().all(|states| *states == ["opened", "ended"]), "{told:#?}");
        assert!(all.iter().all(|got| verified("a secret", got.header("standin-signature"), &got.text)));
        assert_eq!(kinds(&stage, "web3", "notify-failed"), Vec::<Value>::new());
        let status: Value = serde_json::from_str(&ask(&stage, "web3", &["notify", "status", "--json"], "")).unwrap();
        assert_eq!((&status[0]["sender"], &status[0]["waiting"]), (&"web1".into(), &0.into()), "{status:#}");

        // The console shows who is told, and tries it.
        let session = log_in(&stage.client, "ann", PASSWORD).unwrap();
        let page = get("/console/do", &session).send(&stage.client);
        assert!(page.body.contains("Who is told") && page.body.contains("Send a test by ops"), "{}", page.body);
        let token = page.token();
        let fields = [("token", token.as_str()), ("channel", "ops")];
        let tested = post("/console/do/notify", &session, &fields).send(&stage.client);
        assert!(tested.code == 200 && tested.body.contains("delivered"), "{}", tested.body);
        assert_dressed(&tested, "a test of a channel");
        assert_eq!(said(11)[10].json["kind"], "test");
    });
}

#[test]
fn a_webhook_is_signed_tried_again_and_given_up_where_it_is_refused() {
    on_stage("a_webhook_is_signed_tried_again_and_given_up_where_it_is_refused", || {
        let directory = tempfile::tempdir().unwrap();
        let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
        let ca = directory.path().join("ca.pem");
        fs::write(&ca, &authority.certificate).unwrap();
        write_secret(directory.path(), "ops", "a secret");
        let channels = format!(
            "[notify.ops]\ntype = \"webhook\"\nurl = \"https://10.77.0.200:8443/hook\"\nsecret = \"ops\"\n\
             ca-file = \"{}\"\nplanned = true\n",
            ca.display()
        );
        let stage = alone(directory.path(), &channels);
        let webhook =
            Webhook::start(&stage.client, 8443, Some(tls(directory.path(), &authority.sign("10.77.0.200", 24))));
        webhook.answer(&["503 Service Unavailable", "429 Too Many Requests"]);
        ask(&stage, "web1", &["standby"], "");
        let tried = webhook.inbox.wait("delivered", |all| all.len() >= 3);
        let ids: Vec<&str> = tried.iter().map(|got| got.header("standin-delivery")).collect();
        assert!(!ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let attempts: Vec<u64> = tried.iter().map(|got| got.json["attempt"].as_u64().unwrap()).collect();
        assert_eq!(attempts, [1, 2, 3]);
        let got = &tried[2];
        assert_eq!((got.header("content-type"), got.said().0.as_str()), ("application/json", "opened"));
        let signature = got.header("standin-signature");
        assert!(verified("a secret", signature, &got.text));
        assert!(!verified("another", signature, &got.text));
        assert!(!verified("a secret", signature, &got.text.replace("opened", "ended")));
        let late = signature.replace("t=1", "t=2");
        assert!(!verified("a secret", &late, &got.text), "the time is signed, too");

        // Whoever refuses for good is not asked again, and the log says so.
        webhook.answer(&["410 Gone"]);
        ask(&stage, "web1", &["resume"], "");
        await_log_long(&stage, "web1", "could not tell ops, given up");
        // Its own log has it a moment before the cluster's.
        let begun = Instant::now();
        let failed = loop {
            if let Some(failed) = kinds(&stage, "web1", "notify-failed").pop() {
                break failed;
            }
            assert!(begun.elapsed() < PATIENCE, "never in the cluster's log");
        };
        assert!(failed["reason"].as_str().unwrap().contains("410"), "{failed:#}");
        webhook.answer(&["302 Found"]);
        assert!(try_channel(&stage, "ops").1.contains("redirections are not followed"));
        let (well, said) = try_channel(&stage, "ops");
        assert!(well && said.contains("ops: delivered"), "{said}");
        let test = webhook.inbox.all().last().unwrap().clone();
        assert_eq!((&test.json["kind"], &test.json["incidents"]), (&"test".into(), &Value::Array(Vec::new())));
        let begun = Instant::now();
        while !kinds(&stage, "web1", "done").iter().any(|done| done["action"] == "test-notification") {
            assert!(begun.elapsed() < PATIENCE, "no line of the audit");
        }

        // A stranger's certificate, and a secret that others may read.
        fs::write(&ca, &stranger.certificate).unwrap();
        let (well, said) = try_channel(&stage, "ops");
        assert!(!well && said.contains("cannot reach"), "{said}");
        fs::write(&ca, &authority.certificate).unwrap();
        let secret = directory.path().join("secrets/ops");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
        let (well, said) = try_channel(&stage, "ops");
        assert!(!well && said.contains("chmod 600"), "{said}");
        let page = Command::new("curl")
            .args(["--silent", "http://standin/metrics", "--unix-socket"])
            .arg(stage.socket("web1"))
            .output()
            .unwrap();
        let page = String::from_utf8(page.stdout).unwrap();
        assert!(page.contains("standin_notifications_total{channel=\"ops\",result=\"given-up\"} 1"), "{page}");
        assert!(page.contains("standin_notifications_waiting{channel=\"ops\"} 0"), "{page}");
        assert!(!log(&stage, "web1").contains("a secret") && !page.contains("a secret"));
    });
}

#[test]
fn mails_of_an_incident_are_a_thread_and_go_within_tls() {
    on_stage("mails_of_an_incident_are_a_thread_and_go_within_tls", || {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new("ours");
        let ca = directory.path().join("ca.pem");
        fs::write(&ca, &authority.certificate).unwrap();
        write_secret(directory.path(), "mail", "pass word");
        write_secret(directory.path(), "wrong", "guessed");
        let channel = |name: &str, way: &str, port: u16, secret: &str, planned: bool| {
            format!(
                "[notify.{name}]\ntype = \"mail\"\nserver = \"10.77.0.200\"\nport = {port}\ntls = \"{way}\"\n\
                 user = \"standin\"\nsecret = \"{secret}\"\nfrom = \"standin@example.org\"\n\
                 to = [\"ops@example.org\", \"boss@example.org\"]\nca-file = \"{}\"\nplanned = {planned}\n",
                ca.display()
            )
        };
        let channels = [
            channel("office", "starttls", 5870, "mail", true),
            channel("implicit", "implicit", 4650, "mail", false),
            channel("guesser", "starttls", 5870, "wrong", false),
        ];
        let stage = alone(directory.path(), &channels.concat());
        let config = tls(directory.path(), &authority.sign("10.77.0.200", 24));
        let who = ("standin", "pass word");
        let office = mailbox::start(&stage.client, 5870, config.clone(), Begins::WithStarttls, who);
        let implicit = mailbox::start(&stage.client, 4650, config, Begins::AtOnce, who);
        ask(&stage, "web1", &["standby"], "");
        office.wait("a mail", |all| all.len() == 1);
        ask(&stage, "web1", &["resume"], "");
        let letters = office.wait("two mails", |all| all.len() == 2);
        let [first, last] = &letters[..] else { panic!("{letters:#?}") };
        assert!(first.tls && last.tls);
        assert_eq!(
            first.envelope,
            ["MAIL FROM:<standin@example.org>", "RCPT TO:<ops@example.org>", "RCPT TO:<boss@example.org>"]
        );
        assert_eq!(first.header("Subject"), "[alone] info: web1 was put on standby");
        assert_eq!(last.header("Subject"), "[alone] over: web1 was put on standby");
        assert_eq!(first.header("Auto-Submitted"), "auto-generated");
        let id = first.header("Message-ID");
        assert!(id.starts_with('<') && id.ends_with("-web1.office@alone.standin.invalid>"), "{id}");
        assert_eq!((last.header("In-Reply-To"), last.header("References")), (id.clone(), id.clone()));
        assert!(first.header("In-Reply-To").is_empty() && last.header("Message-ID") != id, "{last:#?}");
        assert!(last.text.contains("ended"), "{last:#?}");

        let (well, said) = try_channel(&stage, "implicit");
        assert!(well, "{said}");
        assert!(
            implicit.all()[0].tls && implicit.all()[0].header("Subject").contains("a test of the channel implicit")
        );
        let (well, said) = try_channel(&stage, "guesser");
        assert!(!well && said.contains("nobody known") && !said.contains("guessed"), "{said}");
        assert!(!log(&stage, "web1").contains("pass word"));
    });
}

/// exim4 on the client, in the foreground, as nobody, who puts every mail into `box`. It delivers nothing as root, and who is no more than
/// root of a user namespace can become nobody else.
fn exim(stage: &Stage, folder: &Path) -> Option<Child> {
    let program = installed("exim4")?;
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    if !map.split_whitespace().eq(["0", "0", "4294967295"]) {
        eprintln!("skipped: nobody to deliver as");
        return None;
    }
    let at = folder.display();
    fs::create_dir_all(folder.join("spool")).unwrap();
    for path in [folder, &folder.join("spool")] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    fs::set_permissions(folder.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "daemon_smtp_ports = 2525\nspool_directory = {at}/spool\nlog_file_path = {at}/log-%s\npid_file_path = {at}/pid\n\
         primary_hostname = mail.test\nexim_user = nobody\nexim_group = nogroup\nnever_users =\ntls_advertise_hosts =\n\
         host_lookup =\nrfc1413_hosts =\nkeep_environment =\nacl_smtp_rcpt = accept\nacl_smtp_data = accept\n\
         begin acl\naccept:\n  accept\nbegin routers\nall:\n  driver = accept\n  transport = keep\nbegin transports\n\
         keep:\n  driver = appendfile\n  file = {at}/box\n  user = nobody\n  group = nogroup\n"
    );
    let file = folder.join("conf");
    fs::write(&file, config).unwrap();
    let mut command = stage.client.command(program);
    command.arg("-C").arg(&file).arg("-bdf").stdin(Stdio::null());
    Some(command.spawn().unwrap())
}

#[test]
fn a_real_mail_server_takes_it() {
    on_stage("a_real_mail_server_takes_it", || {
        let directory = tempfile::tempdir().unwrap();
        let channels = "[notify.office]\ntype = \"mail\"\nserver = \"10.77.0.200\"\nport = 2525\ntls = \"none\"\n\
                        from = \"standin@example.org\"\nto = [\"ops@example.org\"]\n";
        let stage = alone(directory.path(), channels);
        let folder = directory.path().join("exim");
        let Some(mut exim) = exim(&stage, &folder) else { return };
        let begun = Instant::now();
        let said = loop {
            let (well, said) = try_channel(&stage, "office");
            if well {
                break said;
            }
            let ended = exim.try_wait().unwrap();
            let log = fs::read_to_string(folder.join("log-main")).unwrap_or_default();
            let panic = fs::read_to_string(folder.join("log-panic")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE && ended.is_none(), "{said} {ended:?} {log}{panic}");
        };
        assert!(said.contains("delivered"), "{said}");
        let kept = loop {
            let kept = fs::read_to_string(folder.join("box")).unwrap_or_default();
            if kept.contains("sent by web1 for channel office") {
                break kept;
            }
            let log = fs::read_to_string(folder.join("log-main")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "{kept}{log}");
        };
        assert!(kept.contains("Subject: [alone] a test of the channel office"), "{kept}");
        exim.kill().unwrap();
        exim.wait().unwrap();
    });
}

#[test]
fn a_program_gets_the_document_and_is_killed_at_its_limit() {
    on_stage("a_program_gets_the_document_and_is_killed_at_its_limit", || {
        // Programs where only we can change them; what they write, where anybody may (they are nobody).
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("place");
        fs::create_dir(&place).unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
        let script = |name: &str, mode: u32, text: &str| {
            let path = home.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path.display().to_string()
        };
        let tell = script(
            "tell",
            0o755,
            "cat > $1/$STANDIN_KIND-$STANDIN_SEVERITY.part && mv $1/$STANDIN_KIND-$STANDIN_SEVERITY.part $1/$STANDIN_KIND-$STANDIN_SEVERITY",
        );
        let slow = script("slow", 0o755, "sleep 600");
        let open = script("open", 0o777, "true");
        if let Err(error) = examine(Path::new(&tell)) {
            stage_support::untrusted(&error);
            return;
        }
        let channel = |name: &str, program: &str, more: &str| {
            let place = place.display();
            format!("[notify.{name}]\ntype = \"exec\"\ncommand = [\"{program}\", \"{place}\"]\n{more}")
        };
        let channels = [
            channel("pager", &tell, "planned = true\n"),
            channel("slow", &slow, "timeout = \"1s\"\n"),
            channel("open", &open, ""),
        ];
        let directory = tempfile::tempdir().unwrap();
        let stage = alone(directory.path(), &channels.concat());
        await_log(&stage, "web1", "open has mode 777");
        ask(&stage, "web1", &["standby"], "");
        let begun = Instant::now();
        let file = place.join("incident-info");
        while !file.exists() {
            assert!(begun.elapsed() < PATIENCE, "{}", log(&stage, "web1"));
        }
        let told: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        assert_eq!((&told["version"], &told["channel"]), (&1.into(), &"pager".into()), "{told:#}");
        assert_eq!(told["incidents"][0]["state"], "opened");
        let (well, said) = try_channel(&stage, "slow");
        assert!(!well && said.contains("killed"), "{said}");
        let (well, said) = try_channel(&stage, "open");
        assert!(!well && said.contains("has mode 777"), "{said}");
    });
}
