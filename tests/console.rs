//! The console: what it lets nobody do, against real daemons.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

mod console_support;
mod stage_support;
mod tls_support;

use std::{
    io::{BufRead, Read},
    net::IpAddr,
    time::Instant,
};

use console_support::{
    PASSWORD, cluster,
    http::{Answer, GATE, assert_dressed, get, log_in, next, open, post},
};
use daemon::{CONSOLE_POSTS, ConsoleDoes};
use host::lab::{ask::ask, stage::Stage};
use model::{
    access::Role,
    api::usage::{Counted, DnsUsage},
};
use stage_support::{PATIENCE, await_status, on_stage};

#[test]
fn nobody_gets_anything_and_every_answer_is_dressed() {
    on_stage("nobody_gets_anything_and_every_answer_is_dressed", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 2);
        let client = &stage.client;
        let session = log_in(client, "ann", PASSWORD).unwrap();
        let pages = [
            "/console",
            "/console/do",
            "/console/do/edit?kind=pool",
            "/console/do/edit?key=virtual-host/virtual1",
            "/console/do/edit?key=virtual-host/virtual1&monitor=%2B",
            "/console/do/server?server=web2&to=standby",
            "/console/do/monitor?monitor=virtual1/http-80&server=web1&to=down",
            "/console/zones",
            "/console/zones/new",
            "/console/zones/edit?zone=lb.example.test",
            "/console/dns?name=www.lb.example.test&type=A",
            "/console/log?about=web2",
            "/console/log?follow=on",
            "/console/servers",
            "/console/monitor?monitor=virtual1/http-80",
            "/console/help",
        ];
        for page in pages {
            let nobody = get(page, "").send(client);
            assert_eq!((nobody.code, nobody.header("location")), (303, "/console/login"), "{page}");
            assert_dressed(&nobody, page);
            let wrong = get(page, "__Secure-standin=standin_AAAA").send(client);
            assert_eq!((wrong.code, wrong.header("location")), (303, "/console/login"), "{page}");
            let ann = get(page, &session).send(client);
            assert_eq!(ann.code, 200, "{page}: {}", ann.body);
            assert_dressed(&ann, page);
        }
        for (path, _) in CONSOLE_POSTS.iter().filter(|(path, _)| *path != "/console/login") {
            let nobody = post(path, "", &[]).send(client);
            assert_eq!((nobody.code, nobody.header("location")), (303, "/console/login"), "{path}");
            assert_dressed(&nobody, path);
        }
        let redirect = get("/", "").send(client);
        assert_eq!((redirect.code, redirect.header("location")), (303, "/console"));
        // Failures, too: of the console, of the router, of what is too long.
        for (request, code) in [
            (get("/console/nothing", &session), 404),
            (get("/console/do/edit?kind=nothing&name=a", &session), 404),
            (get("/console/zones/edit?zone=nothing", &session), 404),
            (post("/console/help", &session, &[]), 404),
            (get("/console/do/confirm", &session), 405),
            (post("/console/login", "", &[("user", &"x".repeat(70_000))]), 413),
        ] {
            let answer = request.send(client);
            assert_eq!(answer.code, code, "{}", request.path);
            assert_dressed(&answer, &request.path);
        }
        for file in ["/console/console.css", "/console/console.js", "/console/icon.svg"] {
            let answer = get(file, "").send(client);
            assert_eq!(answer.code, 200);
            assert_dressed(&answer, file);
            let tag = answer.header("etag").to_owned();
            assert!(tag.starts_with('"') && tag.len() == 18, "a strong tag: {tag}");
            let mut again = get(file, "");
            again.headers.push(("if-none-match", tag));
            assert_eq!(again.send(client).code, 304);
        }
        // What is asked for comes back as text.
        let asked = get("/console/log?about=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", &session).send(client);
        assert!(asked.body.contains("&#34;&#62;&#60;script&#62;alert(1)"), "{}", asked.body);
        assert_dressed(&asked, "a script in the query");
        for stream in ["/console/live", "/console/servers/live", "/console/log/live"] {
            assert_eq!(get(stream, "").send(client).code, 303, "{stream}");
        }
        // The cookie is no key to the API, which knows nothing of cookies.
        assert_eq!(get("/v1/status", &session).send(client).code, 401);
    });
}

#[test]
fn a_session_begins_anew_ends_and_is_guessed_slowly() {
    on_stage("a_session_begins_anew_ends_and_is_guessed_slowly", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 2);
        let client = &stage.client;
        // Whatever an attacker has planted, the session after the login is another one, and the planted one is worth nothing.
        let planted = format!("__Secure-standin=standin_{}", "A".repeat(52));
        let form = get("/console/login", &planted).send(client);
        let before = form.cookies()[0].split(';').next().unwrap().to_owned();
        let token = form.token();
        let both = format!("{planted}; {before}");
        let fields = [("token", token.as_str()), ("user", "ann"), ("password", PASSWORD)];
        let answer = post("/console/login", &both, &fields).send(client);
        assert_eq!((answer.code, answer.header("location")), (303, "/console"), "{}", answer.body);
        let cookies = answer.cookies();
        let cookie = cookies.iter().find(|cookie| cookie.starts_with("__Secure-standin=")).unwrap();
        for part in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/console"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let session = cookie.split(';').next().unwrap().to_owned();
        assert_ne!(session, planted);
        assert_eq!(get("/console", &planted).send(client).code, 303);
        let second = log_in(client, "ann", PASSWORD).unwrap();
        assert_ne!(session, second);
        // Its forms are of no other session.
        let [own, other] = [&session, &second].map(|cookie| get("/console/do", cookie).send(client).token());
        assert_ne!(own, other);
        assert_eq!(post("/console/logout", &session, &[("token", &other)]).send(client).code, 400);
        let out = post("/console/logout", &session, &[("token", &own)]).send(client);
        assert_eq!(out.code, 303);
        assert!(
            out.cookies().iter().any(|cookie| cookie.starts_with("__Secure-standin=;") && cookie.contains("Max-Age=0"))
        );
        assert_eq!(get("/console", &session).send(client).code, 303, "it has ended, whoever kept the cookie");
        assert_eq!(get("/console", &second).send(client).code, 200);
        // Guesses are told nothing, and wait.
        let wrong = log_in(client, "ann", "wrong").unwrap_err();
        assert_eq!(wrong.code, 401);
        assert_dressed(&wrong, "a wrong password");
        let nobody = log_in(client, "nobody", "wrong").unwrap_err();
        assert_eq!(
            (wrong.between("role=\"alert\">", "</p>"), nobody.code),
            (nobody.between("role=\"alert\">", "</p>"), 401)
        );
        log_in(client, "ann", "wrong").unwrap_err();
        let slowed = log_in(client, "ann", PASSWORD).unwrap_err();
        assert_eq!(slowed.code, 429, "{}", slowed.body);
        assert!(!slowed.header("retry-after").is_empty());
        assert_dressed(&slowed, "too many");
    });
}

#[test]
fn a_form_of_somebody_else_does_nothing() {
    on_stage("a_form_of_somebody_else_does_nothing", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 2);
        let client = &stage.client;
        let session = log_in(client, "ann", PASSWORD).unwrap();
        let token = get("/console/do", &session).send(client).token();
        let fields = [("token", token.as_str()), ("server", "web2")];
        let sites = [
            "origin: https://evil.example\r\nsec-fetch-site: cross-site\r\n",
            "sec-fetch-site: same-site\r\n",
            "origin: null\r\n",
            "origin: https://10.77.0.12:8053\r\n",
        ];
        for site in sites {
            let mut forged = post("/console/do/standby", &session, &fields);
            forged.site = Some(site);
            let answer = forged.send(client);
            assert_eq!(answer.code, 400, "{site}");
            assert_dressed(&answer, site);
        }
        for forged in
            [&[("server", "web2")][..], &[("token", ""), ("server", "web2")], &[("token", "AAAA"), ("server", "web2")]]
        {
            assert_eq!(post("/console/do/standby", &session, forged).send(client).code, 400);
        }
        // Nor a login that somebody else wants: without the cookie of its form, or with another's token.
        let login = [("token", token.as_str()), ("user", "ann"), ("password", PASSWORD)];
        assert_eq!(post("/console/login", "", &login).send(client).code, 400);
        let status = await_status(&stage, "web1", "a status", |_| true);
        assert!(status.servers.iter().all(|server| !server.standby));
        // The same from the page itself is done.
        assert_eq!(post("/console/do/standby", &session, &fields).send(client).code, 303);
        await_status(&stage, "web1", "web2 stands by", |status| status.servers[1].standby);
    });
}

/// What each POST would do if it were let.
const DEEDS: &[(&str, &str)] = &[
    ("server", "web2"),
    ("monitor", "virtual1/http-80"),
    ("to", "down"),
    ("do", "set"),
    ("kind", "pool"),
    ("name", "evil"),
    ("members", "web1"),
    ("zone", "lb.example.test"),
    ("text", "; nothing"),
    ("seconds", "600"),
    ("id", "nothing"),
    ("role", "admin"),
    ("password", "a password of an attacker"),
    ("again", "a password of an attacker"),
    ("days", "30"),
    ("edit", "{\"changes\":[{\"key\":\"pool/www\",\"text\":null}]}"),
];

fn version(stage: &Stage) -> String {
    console_support::ask(stage, "web1", &["history", "--json"], "")
}

#[test]
fn a_viewer_sees_no_form_and_changes_nothing() {
    on_stage("a_viewer_sees_no_form_and_changes_nothing", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 2);
        let client = &stage.client;
        let session = log_in(client, "vic", PASSWORD).unwrap();
        for page in [
            "/console",
            "/console/do",
            "/console/zones",
            "/console/zones/edit?zone=lb.example.test",
            "/console/dns",
            "/console/incidents",
            "/console/log",
            "/console/log?follow=on",
            "/console/servers",
            "/console/monitor?monitor=virtual1/http-80",
        ] {
            let seen = get(page, &session).send(client);
            assert_eq!(seen.code, 200, "{page}");
            let posts = seen.body.matches("method=\"post\"").count();
            assert_eq!(posts, 1, "{page}: no form but that of logging out: {}", seen.body);
            assert!(!seen.body.contains("Who asks most"), "{page}: clients' addresses are for operators");
        }
        let token = get("/console", &session).send(client).token();
        let (before, status) = (version(&stage), await_status(&stage, "web1", "a status", |_| true));
        let fields = [&[("token", token.as_str())], DEEDS].concat();
        let mut tried = 0;
        for (path, _) in CONSOLE_POSTS.iter().filter(|(path, _)| !matches!(*path, "/console/login" | "/console/logout"))
        {
            let answer = post(path, &session, &fields).send(client);
            assert_eq!(answer.code, 403, "{path}: {}", answer.body);
            assert!(answer.body.contains("the role viewer may not do that"), "{path}: {}", answer.body);
            assert_dressed(&answer, path);
            tried += 1;
        }
        assert!(tried >= 8, "{tried} routes");
        for page in [
            "/console/do/edit?kind=pool",
            "/console/do/server?server=web2&to=standby",
            "/console/do/monitor?monitor=virtual1/http-80&server=web1&to=down",
            "/console/servers/remove?server=web2",
            "/console/people",
            "/console/people/person?name=ann",
        ] {
            assert_eq!(get(page, &session).send(client).code, 403, "{page}");
        }
        assert_eq!(version(&stage), before);
        let after = await_status(&stage, "web1", "a status", |_| true);
        assert!(after.servers.iter().all(|server| !server.standby));
        assert_eq!(after.config.hash, status.config.hash);
        // Whoever may, may: the same requests are not refused for another reason.
        let session = log_in(client, "ann", PASSWORD).unwrap();
        assert!(get("/console/dns", &session).send(client).body.contains("Who asks most"));
        let token = get("/console/do", &session).send(client).token();
        let fields = [&[("token", token.as_str())], DEEDS].concat();
        assert_eq!(post("/console/do/apply", &session, &fields).send(client).code, 422, "www is used by the zone");
        let object = [("token", token.as_str()), ("do", "set"), ("kind", "pool"), ("name", "new"), ("members", "web1")];
        assert_eq!(post("/console/do/plan", &session, &object).send(client).code, 200);
    });
}

#[test]
fn who_runs_the_cluster_does_not_decide_who_belongs_to_it() {
    on_stage("who_runs_the_cluster_does_not_decide_who_belongs_to_it", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 2);
        let client = &stage.client;
        let session = log_in(client, "ann", PASSWORD).unwrap();
        let servers = get("/console/servers", &session).send(client);
        assert_eq!(servers.body.matches("method=\"post\"").count(), 1, "{}", servers.body);
        assert!(!servers.body.contains("/console/people"), "{}", servers.body);
        let token = servers.token();
        let fields = [&[("token", token.as_str())], DEEDS].concat();
        let ask = |what: &[&str]| console_support::ask(&stage, "web1", what, "");
        let known = || (ask(&["user", "list", "--json"]), ask(&["export"]));
        let before = known();
        let admins = CONSOLE_POSTS
            .iter()
            .filter(|(_, does)| matches!(does, ConsoleDoes::Act(action) if action.role() == Role::Admin));
        let mut tried = 0;
        for (path, _) in admins {
            let answer = post(path, &session, &fields).send(client);
            assert_eq!(answer.code, 403, "{path}: {}", answer.body);
            assert!(answer.body.contains("the role operator may not do that; admin may"), "{path}: {}", answer.body);
            assert_dressed(&answer, path);
            tried += 1;
        }
        assert_eq!(tried, 9, "routes for admins");
        for page in ["/console/servers/remove?server=web2", "/console/people", "/console/people/person?name=ada"] {
            assert_eq!(get(page, &session).send(client).code, 403, "{page}");
        }
        assert_eq!(known(), before);
    });
}

#[test]
fn what_dns_is_asked_is_told_of_all_servers() {
    on_stage("what_dns_is_asked_is_told_of_all_servers", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = cluster(directory.path(), 2);
        let question = |server: &str, name: &str| {
            let name = format!("{name}.lb.example.test");
            ask(&stage.client, (server.parse::<IpAddr>().unwrap(), 53).into(), &name, 1).unwrap();
        };
        (0..30).for_each(|_| question("10.77.0.11", "www"));
        (0..10).for_each(|_| question("10.77.0.12", "nothing"));
        let told = |stage: &Stage, by: &str| -> DnsUsage {
            let arguments = ["dns", "top", "--cluster", "--json", "--by", by];
            serde_json::from_str(&console_support::ask(stage, "web2", &arguments, "")).unwrap()
        };
        let near = |counted: &[Counted], wanted: [(&str, f64); 2]| {
            counted.len() == 2
                && counted
                    .iter()
                    .zip(wanted)
                    .all(|(one, (what, percent))| one.what.starts_with(what) && (one.percent - percent).abs() < 2.0)
        };
        let begun = Instant::now();
        loop {
            let usage = told(&stage, "name");
            assert_eq!(usage.unreachable, []);
            if near(&usage.servers, [("web1", 75.0), ("web2", 25.0)])
                && near(&usage.tables[0].entries, [("www.", 75.0), ("nothing.", 25.0)])
            {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{usage:#?}");
        }
        let clients = told(&stage, "client");
        assert_eq!(clients.tables[0].entries[0].what, "10.77.0.200");
        stage.stop("web1").unwrap();
        let alone = told(&stage, "name");
        assert_eq!(alone.unreachable.iter().map(|one| one.server.as_str()).collect::<Vec<_>>(), ["web1"]);
        assert_eq!(alone.tables[0].entries[0].what, "nothing.lb.example.test");
    });
}

#[test]
fn in_file_mode_anybody_looks_and_the_socket_acts() {
    on_stage("in_file_mode_anybody_looks_and_the_socket_acts", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = stage_support::three(directory.path(), stage_support::CLUSTER);
        let socket = stage.socket("web1");
        for page in [
            "/console",
            "/console/do",
            "/console/zones",
            "/console/dns",
            "/console/incidents",
            "/console/log",
            "/console/help",
        ] {
            let answer = get(page, "").send_locally(&socket, "localhost");
            assert_eq!(answer.code, 200, "{page}: {}", answer.body);
            assert_dressed(&answer, page);
        }
        let page = get("/console/do", "").send_locally(&socket, "localhost");
        assert!(page.body.contains("File mode") && page.body.contains("standin init"), "{}", page.body);
        let edit = get("/console/do/edit?kind=pool", "").send_locally(&socket, "localhost");
        assert_eq!(edit.code, 409);
        assert_dressed(&edit, "an edit in file mode");
        // Over the port, without TLS and without people, everybody looks and nobody acts.
        let seen = get("/console", "").send_plainly(&stage.client);
        assert_eq!(seen.code, 200, "{}", seen.body);
        assert_dressed(&seen, "the cluster in file mode");
        assert_eq!(get("/console/do", "").send_plainly(&stage.client).body.matches("<form").count(), 0);
        for (path, _) in CONSOLE_POSTS.iter().filter(|(path, _)| path.starts_with("/console/do")) {
            let mut deed = post(path, "", DEEDS);
            deed.site = Some("");
            assert_eq!(deed.send_plainly(&stage.client).code, 403, "{path}");
        }
        // Another name for this machine is a page that a stranger made lead here.
        assert_eq!(get("/console", "").send_locally(&socket, "evil.example").code, 400);
        let plan = get("/console/do/server?server=web1&to=standby", "").send_locally(&socket, "localhost");
        let token = plan.token();
        let mut deed = post("/console/do/standby", "", &[("token", &token), ("server", "web1")]);
        deed.site = Some("origin: http://localhost\r\nsec-fetch-site: same-origin\r\n");
        assert_eq!(deed.send_locally(&socket, "localhost").code, 303);
        await_status(&stage, "web2", "web1 stands by", |status| status.servers[0].standby);
        assert!(GATE.starts_with("10.77.0.11"));
    });
}

#[test]
fn streams_are_few_and_end_with_their_session() {
    on_stage("streams_are_few_and_end_with_their_session", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 2);
        // By the socket, where one program may have many connections.
        let socket = stage.socket("web1");
        let mut streams = Vec::new();
        let refused = loop {
            let (code, mut stream) = open(&socket, "/console/live");
            if code != 200 {
                assert!(
                    stream.by_ref().lines().any(|line| line.unwrap() == "retry-after: 1"),
                    "it is told when to come again"
                );
                break code;
            }
            streams.push(stream);
            assert!(streams.len() <= 60, "no end of streams");
        };
        assert_eq!(refused, 503);
        assert!(streams.len() >= 32, "{} streams", streams.len());
        // Each is told, and the same.
        let told: Vec<String> = streams.iter_mut().map(|stream| next(stream, "picture")).collect();
        assert!(told.iter().all(|one| one.contains("data-chip=\"virtual1\"")), "{}", told[0]);
        drop(streams);
        // A person's stream ends when the session does.
        let client = &stage.client;
        let session = log_in(client, "ann", PASSWORD).unwrap();
        let token = get("/console", &session).send(client).token();
        let ended = std::thread::scope(|scope| {
            let (begins, begun) = std::sync::mpsc::sync_channel(1);
            let request = get("/console/live", &session);
            let stream = scope.spawn(move || request.send_then(client, move || begins.send(()).unwrap()));
            begun.recv_timeout(PATIENCE).unwrap();
            assert_eq!(post("/console/logout", &session, &[("token", &token)]).send(client).code, 303);
            stream.join().unwrap()
        });
        assert_eq!(ended.code, 200);
        assert_dressed(&Answer { body: String::new(), ..ended.clone() }, "a stream");
        assert!(ended.body.contains("event: over"), "{}", ended.body);
    });
}
