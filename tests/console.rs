//! The console: what it lets nobody do, and what people do with it in a real Chromium, against real daemons.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

mod console_support;
mod stage_support;

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use console_support::{
    PASSWORD,
    browser::Browser,
    cluster,
    http::{Answer, GATE, get, log_in, post},
};
use daemon::CONSOLE_POSTS;
use host::lab::stage::Stage;
use stage_support::{PATIENCE, await_status, on_stage};

/// What every answer of the console must have, whatever it is.
fn assert_dressed(answer: &Answer, what: &str) {
    let policy = answer.header("content-security-policy");
    for part in
        ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"]
    {
        assert!(policy.contains(part), "{what}: {policy:?} lacks {part}");
    }
    assert!(!policy.contains("unsafe"), "{what}: {policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(answer.header("referrer-policy"), "same-origin", "{what}");
    let kept = answer.header("cache-control");
    let is_file = !answer.header("etag").is_empty();
    assert_eq!(kept, if is_file { "no-cache" } else { "no-store" }, "{what}");
    let html = answer.header("content-type").starts_with("text/html");
    assert!(html || is_file || answer.body.is_empty(), "{what}: not for people: {}", answer.body);
    for (inline, why) in [
        ("<style", "style"),
        (" style=", "style"),
        (" onclick", "script"),
        ("javascript:", "script"),
        ("<script>", "script"),
    ] {
        assert!(!answer.body.contains(inline) || is_file, "{what}: an inline {why}");
    }
    assert!(!answer.body.contains("://") || is_file || html_is_own(&answer.body), "{what}: something from elsewhere");
}

/// Whether nothing is loaded from elsewhere.
fn html_is_own(body: &str) -> bool {
    !["src=\"http", "href=\"http", "src=\"//", "href=\"//"].iter().any(|elsewhere| body.contains(elsewhere))
}

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
        assert_eq!(get("/console/live", "").send(client).code, 303);
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
            "/console/log",
        ] {
            let seen = get(page, &session).send(client);
            assert_eq!(seen.code, 200, "{page}");
            let posts = seen.body.matches("method=\"post\"").count();
            assert_eq!(posts, 1, "{page}: no form but that of logging out: {}", seen.body);
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
        ] {
            assert_eq!(get(page, &session).send(client).code, 403, "{page}");
        }
        assert_eq!(version(&stage), before);
        let after = await_status(&stage, "web1", "a status", |_| true);
        assert!(after.servers.iter().all(|server| !server.standby));
        assert_eq!(after.config.hash, status.config.hash);
        // Whoever may, may: the same requests are not refused for another reason.
        let session = log_in(client, "ann", PASSWORD).unwrap();
        let token = get("/console/do", &session).send(client).token();
        let fields = [&[("token", token.as_str())], DEEDS].concat();
        assert_eq!(post("/console/do/apply", &session, &fields).send(client).code, 422, "www is used by the zone");
        let object = [("token", token.as_str()), ("do", "set"), ("kind", "pool"), ("name", "new"), ("members", "web1")];
        assert_eq!(post("/console/do/plan", &session, &object).send(client).code, 200);
    });
}

#[test]
fn in_file_mode_anybody_looks_and_the_socket_acts() {
    on_stage("in_file_mode_anybody_looks_and_the_socket_acts", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = stage_support::three(directory.path(), stage_support::CLUSTER);
        let socket = stage.socket("web1");
        for page in ["/console", "/console/do", "/console/zones", "/console/dns", "/console/log", "/console/help"] {
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

/// Every page as a person with or without sight, on a desk or a phone, by day or night, may have it.
const LOOKS: [(u32, &str); 4] = [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")];

/// Looks at the page that is open: findings, and pictures for who wants to see them (`STANDIN_PICTURES` names a directory).
fn look(browser: &Browser, name: &str) {
    for (width, scheme) in LOOKS {
        browser.look(width, scheme);
        let found = browser.run(include_str!("console_support/accessible.js"));
        assert_eq!(found.as_array().map(Vec::len), Some(0), "{name} at {width}, {scheme}: {found:#}");
        if let Some(pictures) = std::env::var_os("STANDIN_PICTURES") {
            let file = Path::new(&pictures).join(format!("{name}-{width}-{scheme}.png"));
            let picture = data_encoding::BASE64.decode(browser.picture().as_bytes()).unwrap();
            std::fs::write(file, picture).unwrap();
        }
    }
    browser.look(1280, "light");
}

#[test]
fn people_do_it_in_a_browser() {
    on_stage("people_do_it_in_a_browser", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 3);
        let Some(browser) = Browser::start(&stage.client, directory.path()) else { return };
        let at = |path: &str| browser.go(&format!("https://{GATE}{path}"));

        // Log in, by keyboard alone.
        at("/");
        look(&browser, "login");
        browser.click("#user");
        browser.press(&format!("ann\u{e004}{PASSWORD}\u{e007}"));
        let sits = |host: &str, server: &str| {
            format!("return document.querySelector('[data-lane=\"{server}\"] [data-chip=\"{host}\"]')")
        };
        browser.wait("virtual3 at home", &sits("virtual3", "web3"));
        keyboard(&browser);
        look(&browser, "cluster");
        ask_a_few_names(&stage);
        for (name, page) in [
            ("do", "/console/do"),
            ("zones", "/console/zones"),
            ("zone-new", "/console/zones/new"),
            ("dns", "/console/dns?name=www.lb.example.test&type=A"),
            ("log", "/console/log"),
            ("help", "/console/help"),
            ("nothing", "/console/nothing"),
            ("standby", "/console/do/server?server=web2&to=standby"),
            ("monitor", "/console/do/edit?key=virtual-host/virtual1&monitor=http-80"),
        ] {
            at(page);
            look(&browser, name);
            if name == "dns" {
                let counted = browser.text();
                assert!(counted.contains("NXDOMAIN") && counted.contains("Share of new clients"), "{counted}");
            }
        }
        assert_eq!(browser.run("return document.querySelector('#f-path').value"), "/health", "the monitor as it is");
        add_a_virtual_host(&browser, &stage);

        // A server dies, and the picture changes, on the page as it is.
        at("/console");
        browser.wait("virtual4 where it belongs", &sits("virtual4", "web3"));
        browser.run(
            "window.same = true; new MutationObserver(() => { \
             if (!window.moved && document.querySelector('[data-lane=web1] [data-chip=virtual3]')) window.moved = Date.now(); \
             }).observe(document.getElementById('live'), { subtree: true, childList: true })",
        );
        stage.lab.unplug("web3").unwrap();
        browser.wait("virtual3 elsewhere", &sits("virtual3", "web1"));
        browser.wait("it is told", "return document.querySelector('#complaints').innerText.includes('web3 is dead')");
        browser.wait("the pool knows", "return document.querySelector('#host-virtual3 .role.away')");
        // Told, not asserted: how long a busy machine takes is no property of the code.
        let events = console_support::ask(&stage, "web1", &["events", "--json"], "");
        let active =
            events.lines().rfind(|line| line.contains("\"active\"") && line.contains("virtual3")).unwrap_or_default();
        let moved = browser.run("return [window.moved, new Date(window.moved).toISOString()]");
        eprintln!("virtual3 was seen on web1 at {}; the event: {active}", moved[1]);
        assert_eq!(browser.run("return window.same"), true, "without loading the page anew");
        look(&browser, "dead");
        stage.lab.plug("web3").unwrap();
        browser.wait("virtual3 at home again", &sits("virtual3", "web3"));

        edit_a_zone(&browser, &stage);
        // The server that shows it is cut off without a word, and comes back.
        at("/console");
        browser.wait("a live picture", "return document.querySelector('#connection').hidden");
        stage.lab.unplug("web1").unwrap();
        let notice = "const notice = document.querySelector('#connection'); return";
        browser.wait(
            "it is told",
            &format!("{notice} !notice.hidden && notice.innerText.includes('web2 at 10.77.0.12:8053')"),
        );
        look(&browser, "interrupted");
        stage.lab.plug("web1").unwrap();
        browser.wait("it goes on", &format!("{notice} notice.hidden"));
        let complaints = browser.complaints();
        assert!(
            complaints.iter().all(|line| line.contains("status of 4") || line.contains("net::ERR_")),
            "{complaints:#?}"
        );
    });
}

/// A form with a mistake, then without; the plan; the deed; and back again, and again.
fn add_a_virtual_host(browser: &Browser, stage: &Stage) {
    browser.go(&format!("https://{GATE}/console/do"));
    browser.click("a[href='/console/do/edit?kind=virtual-host']");
    browser.fill("#name", "virtual4");
    browser.fill("#f-addresses", "10.77.0.101");
    browser.fill("#f-servers", "web3, web1");
    browser.click("#plan");
    browser.wait("the mistake", "return document.querySelector('#mistakes').innerText.includes('10.77.0.101')");
    look(browser, "mistake");
    assert_eq!(browser.run("return document.querySelector('#f-servers').value"), "web3, web1", "what was typed stays");
    assert_eq!(browser.run("return document.querySelector('#name').value"), "virtual4");
    browser.fill("#f-addresses", "10.77.0.104");
    browser.click("#plan");
    browser.wait("the plan", "return document.querySelector('.steps').innerText.includes('nobody → web3')");
    look(browser, "plan");
    let planned = await_status(stage, "web1", "a status", |_| true);
    assert!(planned.virtual_hosts.iter().all(|host| host.name != "virtual4"), "a plan changes nothing");
    browser.fill("#why", "more guests");
    browser.click("#do-it");
    browser.wait("done", "return document.querySelector('#undo')");
    look(browser, "done");
    await_status(stage, "web2", "virtual4 is active", |status| {
        status.virtual_hosts.iter().any(|host| host.name == "virtual4" && host.active.as_deref() == Some("web3"))
    });
}

/// A mistake is told at its line; what checks is planned, done and undone.
fn edit_a_zone(browser: &Browser, stage: &Stage) {
    browser.go(&format!("https://{GATE}/console/zones"));
    browser.click("a[href='/console/zones/edit?zone=lb.example.test']");
    look(browser, "zone");
    let before = browser.run("return document.querySelector('#text').value");
    let line = before.as_str().unwrap().lines().count() + 1;
    browser.run("document.querySelector('#text').value += 'new\\tA\\t10.77.0.999\\n'");
    browser.click("#plan");
    browser.wait(
        "the mistake",
        &format!("return document.querySelector('#mistakes').innerText.includes('line {line}, column ')"),
    );
    look(browser, "zone-mistake");
    // The place can be gone to.
    browser.click("#mistakes a");
    let marked = browser.run(
        "const text = document.querySelector('#text'); return text.value.slice(text.selectionStart, text.selectionEnd)",
    );
    assert_eq!(marked, "new\tA\t10.77.0.999");
    browser.run(
        "const text = document.querySelector('#text'); text.value = text.value.replace('10.77.0.999', '10.77.0.99')",
    );
    browser.click("#plan");
    browser
        .wait("the plan", "return document.querySelector('#records').parentElement.innerText.includes('10.77.0.99')");
    look(browser, "zone-plan");
    browser.click("#do-it");
    browser.wait("done", "return document.querySelector('#undo')");
    let answered = |stage: &Stage| {
        let answer = console_support::ask(stage, "web2", &["dns", "why", "new.lb.example.test", "A"], "");
        answer.contains("10.77.0.99")
    };
    assert!(answered(stage));
    browser.click("#undo");
    browser.wait("the plan of undoing", "return document.querySelector('h1').innerText.startsWith('Undo ')");
    browser.click("#do-it");
    browser.wait("undone", "return document.querySelector('h1').innerText.startsWith('✓ Done')");
    browser.go(&format!("https://{GATE}/console/zones/edit?zone=lb.example.test"));
    assert_eq!(browser.run("return document.querySelector('#text').value"), before);
    assert!(!answered(stage));
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
            let (code, stream) = open(&socket);
            if code != 200 {
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

/// One more stream, by the socket, and its code.
fn open(socket: &Path) -> (u16, BufReader<UnixStream>) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /console/live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    (line.split(' ').nth(1).unwrap().parse().unwrap(), reader)
}

/// The next event of a kind.
fn next(stream: &mut BufReader<UnixStream>, kind: &str) -> String {
    let mut event = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "the stream ends: {event}");
        event += &line;
        if line.trim().is_empty() {
            if event.contains(&format!("event: {kind}\n")) {
                return event;
            }
            event.clear();
        }
    }
}

/// So that there is something to count.
fn ask_a_few_names(stage: &Stage) {
    let Some(dig) = stage_support::installed("dig") else { return };
    for (name, kind) in [("www", "A"), ("www", "AAAA"), ("mail", "MX"), ("www", "A"), ("nothing", "A")] {
        let question = ["@10.77.0.11", "+norec", &format!("{name}.lb.example.test"), kind];
        assert!(stage.client.command(&dig).args(question).output().unwrap().status.success());
    }
}

/// What a form carries, as a browser would read it.
fn carried(answer: &Answer, field: &str) -> String {
    let text = answer.between(&format!("name=\"{field}\" value=\""), "\"");
    [("&#34;", "\""), ("&#60;", "<"), ("&#62;", ">"), ("&#39;", "'"), ("&#38;", "&")]
        .iter()
        .fold(text, |text, (escaped, plain)| text.replace(escaped, plain))
}

#[test]
fn everything_is_done_without_a_script_and_undone() {
    on_stage("everything_is_done_without_a_script_and_undone", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 2);
        let client = &stage.client;
        let session = log_in(client, "ann", PASSWORD).unwrap();
        let form = get("/console/do/edit?key=pool/mail", &session).send(client);
        let (token, was) = (form.token(), carried(&form, "was"));
        assert_eq!(carried(&form, "members"), "virtual1, virtual2");
        let change = |members: &str| {
            let fields = [
                ("token", token.as_str()),
                ("do", "set"),
                ("kind", "pool"),
                ("name", "mail"),
                ("known", "yes"),
                ("was", &was),
                ("members", members),
                ("ttl", "10"),
            ];
            post("/console/do/plan", &session, &fields).send(client)
        };
        let plan = change("virtual2");
        assert_eq!(plan.code, 200, "{}", plan.body);
        assert!(plan.body.contains("mail.lb.example.test. A") && plan.body.contains("10.77.0.101"), "{}", plan.body);
        let other = change("virtual1");
        // The one that is planned first is done, and waits to be confirmed.
        let apply = |plan: &Answer, why: &str, confirm: &str| {
            let edit = carried(plan, "edit");
            let fields = [("token", token.as_str()), ("edit", &edit), ("why", why), ("confirm", confirm)];
            post("/console/do/apply", &session, &fields).send(client)
        };
        let done = apply(&plan, "<b>a reason</b>", "600");
        assert_eq!(done.code, 303, "{}", done.body);
        let page = get(done.header("location"), &session).send(client);
        assert!(
            page.body.contains("&#60;b&#62;a reason&#60;/b&#62;") && page.body.contains("unless somebody confirms it")
        );
        assert!(page.between("id=\"kept\">", "<").contains("web1, web2: all servers have it"), "{}", page.body);
        // The other one knew nothing of it.
        let late = apply(&other, "", "");
        assert_eq!(late.code, 409, "{}", late.body);
        assert!(late.body.contains("has been changed by somebody else meanwhile"), "{}", late.body);
        assert_dressed(&late, "an edit that came late");
        assert!(get("/console/do", &session).send(client).body.contains("An edit waits to be confirmed."));
        assert_eq!(post("/console/do/confirm", &session, &[("token", &token)]).send(client).code, 303);
        assert!(!get("/console/do", &session).send(client).body.contains("An edit waits to be confirmed."));
        let fields = [("token", token.as_str()), ("do", "undo"), ("version", &carried(&page, "version"))];
        let back = post("/console/do/plan", &session, &fields).send(client);
        assert_eq!(back.code, 200, "{}", back.body);
        assert_eq!(apply(&back, "", "").code, 303);
        assert_eq!(
            carried(&get("/console/do/edit?key=pool/mail", &session).send(client), "members"),
            "virtual1, virtual2"
        );
        monitors(&stage, &session, &token);
        a_zone_comes_and_goes(&stage, &session, &token);
    });
}

/// A monitor is forced for a while, and counts again as it is found; on another server, too.
fn monitors(stage: &Stage, session: &str, token: &str) {
    let client = &stage.client;
    let says = |to: &str, path: &str| {
        let fields = [("token", token), ("monitor", "virtual2/http-80"), ("server", "web2"), ("to", to), ("for", "5")];
        let page = format!("/console/do/monitor?monitor=virtual2/http-80&server=web2&to={to}&for=5");
        let plan = get(&page, session).send(client);
        assert_eq!(post(path, session, &fields).send(client).code, 303);
        plan
    };
    let plan = says("down", "/console/do/force");
    assert!(plan.body.contains("web2 <span aria-label=\"to\">→</span> web1"), "{}", plan.body);
    await_status(stage, "web1", "virtual2 has moved as planned", |status| {
        status.virtual_hosts[1].active.as_deref() == Some("web1")
    });
    let plan = says("found", "/console/do/reset");
    assert!(plan.body.contains("web1 <span aria-label=\"to\">→</span> web2"), "{}", plan.body);
    await_status(stage, "web1", "virtual2 is at home", |status| {
        status.virtual_hosts[1].active.as_deref() == Some("web2")
    });
}

/// The first stop of the keyboard is a way past the navigation, and every stop is seen.
fn keyboard(browser: &Browser) {
    browser.press("\u{e004}");
    let first = browser
        .run("const one = document.activeElement; return [one.className, one.getBoundingClientRect().left >= 0]");
    assert_eq!(first, serde_json::json!(["skip", true]));
    let mut stops = 0;
    loop {
        browser.press("\u{e004}");
        let stop = browser.run(
            "const one = document.activeElement; const style = getComputedStyle(one); \
             return one === document.body || one.className === 'skip' ? null \
             : [one.outerHTML.slice(0, 80), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2]",
        );
        if stop.is_null() {
            break;
        }
        assert_eq!(stop[1], true, "the focus is not seen: {}", stop[0]);
        stops += 1;
        assert!(stops < 200, "the keyboard does not come round");
    }
    assert!(stops >= 12, "{stops} stops");
}

#[test]
fn a_clash_is_shown_and_settled() {
    on_stage("a_clash_is_shown_and_settled", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = cluster(directory.path(), 2);
        stage.lab.partition(&[&["web1", "client", "router"], &["web2"]]).unwrap();
        await_status(&stage, "web1", "web2 is gone", |status| status.servers[1].state == "dead");
        for (server, ttl) in [("web1", "ttl=21"), ("web2", "ttl=22")] {
            console_support::ask(&stage, server, &["pool", "set", "www", ttl], "");
        }
        stage.lab.heal().unwrap();
        await_status(&stage, "web1", "a clash", |status| status.config.clashes == ["pool/www"]);
        let client = &stage.client;
        let session = log_in(client, "ann", PASSWORD).unwrap();
        let page = get("/console/do", &session).send(client);
        assert_dressed(&page, "a clash");
        assert!(page.body.contains("ttl = 21") && page.body.contains("ttl = 22"), "{}", page.body);
        // The second is the one that is not in force.
        let (_, second) = page.body.rsplit_once("name=\"do\" value=\"settle\"").unwrap();
        let version = carried(&Answer { body: second.to_owned(), ..page.clone() }, "version");
        let wanted = if page.body.find("ttl = 21") < page.body.find("ttl = 22") { "22" } else { "21" };
        let token = page.token();
        let fields = [("token", token.as_str()), ("do", "settle"), ("key", "pool/www"), ("version", &version)];
        let plan = post("/console/do/plan", &session, &fields).send(client);
        assert_eq!(plan.code, 200, "{}", plan.body);
        let edit = carried(&plan, "edit");
        let done = post("/console/do/apply", &session, &[("token", &token), ("edit", &edit)]).send(client);
        assert_eq!(done.code, 303, "{}", done.body);
        for server in ["web1", "web2"] {
            await_status(&stage, server, "settled", |status| status.config.clashes.is_empty());
        }
        assert_eq!(carried(&get("/console/do/edit?key=pool/www", &session).send(client), "ttl"), wanted);
    });
}

/// A zone of what the form proposes checks, is answered, and goes again.
fn a_zone_comes_and_goes(stage: &Stage, session: &str, token: &str) {
    let client = &stage.client;
    let form = get("/console/zones/new", session).send(client);
    let text = form.between("wrap=\"off\">\n", "</textarea>");
    let add = |text: &str| {
        let fields = [("token", token), ("zone", "new.example.test"), ("text", text)];
        post("/console/zones/add", session, &fields).send(client)
    };
    let wrong = add(&format!("{text}oops\n"));
    assert_eq!(wrong.code, 422);
    assert!(wrong.body.contains(&format!("line {}, column ", text.lines().count() + 1)), "{}", wrong.body);
    assert_dressed(&wrong, "a zone with a mistake");
    let apply = |plan: &Answer| {
        assert_eq!(plan.code, 200, "{}", plan.body);
        let edit = carried(plan, "edit");
        assert_eq!(post("/console/do/apply", session, &[("token", token), ("edit", &edit)]).send(client).code, 303);
    };
    apply(&add(&text));
    let zones = || await_status(stage, "web1", "a status", |_| true).dns.zones;
    assert_eq!(zones(), ["lb.example.test", "new.example.test"]);
    apply(&post("/console/zones/remove", session, &[("token", token), ("zone", "new.example.test")]).send(client));
    assert_eq!(zones(), ["lb.example.test"]);
    let objects = console_support::ask(stage, "web1", &["export"], "");
    assert!(!objects.contains("new.example.test"), "{objects}");
}
