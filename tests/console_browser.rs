//! What people see of the console in a real Chromium, and do there, against a cluster of three servers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

mod console_support;
mod stage_support;
mod tls_support;

use std::path::Path;

use console_support::{PASSWORD, browser::Browser, cluster, cluster_beside, http::GATE, join};
use host::lab::stage::Stage;
use stage_support::{await_status, on_stage};

const SIGKILL: i32 = 9;

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
        let mut stage = cluster(directory.path(), 3);
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
            if name == "dns" {
                await_counts(&browser, page);
            }
            look(&browser, name);
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
        read_the_incident(&browser);
        a_server_is_killed(&browser, &mut stage);

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

#[test]
fn admins_do_it_in_a_browser() {
    on_stage("admins_do_it_in_a_browser", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = cluster_beside(directory.path(), 2, 1);
        let Some(browser) = Browser::start(&stage.client, directory.path()) else { return };
        let at = |path: &str| browser.go(&format!("https://{GATE}{path}"));
        at("/console/login");
        browser.fill("#user", "ada");
        browser.fill("#password", PASSWORD);
        browser.click("button.main");
        browser.wait("logged in", "return document.querySelector('#live')");
        add_a_server(&browser, &mut stage);
        let_people_in(&browser);
        at("/console/monitor?monitor=virtual1/http-80");
        look(&browser, "monitor");
        follow_the_log(&browser, &stage);
        at("/console/servers");
        browser.run("document.querySelector('#server').value = 'web3'");
        browser.click("#plan-removal");
        browser.wait("the plan", "return document.querySelector('#do-it')");
        look(&browser, "removal");
        browser.fill("#why", "it is sold");
        browser.click("#do-it");
        browser.wait("it is gone", "return document.querySelector('#removed')?.innerText.includes('web3 was removed')");
        browser.wait("it is seen to be gone", "return !document.querySelector('#server-web3')");
        look(&browser, "removed");
        let complaints = browser.complaints();
        assert!(complaints.iter().all(|line| line.contains("favicon")), "{complaints:#?}");
    });
}

/// The command that is shown is run on a machine that is no server yet, and the server appears on the page as it is.
fn add_a_server(browser: &Browser, stage: &mut Stage) {
    browser.go(&format!("https://{GATE}/console/servers"));
    look(browser, "servers");
    browser.click("#invite");
    browser.wait("a token", "return document.querySelector('#join-token')");
    look(browser, "invited");
    browser.run("window.same = true");
    let text = |css: &str| {
        let text = browser.run(&format!("return document.querySelector('{css}').innerText"));
        text.as_str().unwrap_or_default().to_owned()
    };
    let (command, token) = (text("#command"), text("#join-token"));
    let joined = join(stage, "web3", &command, &token);
    assert!(joined.status.success(), "{joined:?}");
    stage.start("web3").unwrap();
    browser.wait(
        "web3 comes",
        "const row = document.querySelector('#server-web3')?.innerText; return row?.includes('alive') && !row.includes('not linked')",
    );
    assert_eq!(browser.run("return window.same"), true, "without loading the page anew");
    assert_eq!(text("#join-token"), token, "it stays for who still needs it");
    let address = browser.run("return window.location.href");
    assert_eq!(address, format!("https://{GATE}/console/servers/invite"), "no token in the address");
    browser.go(&format!("https://{GATE}/console/servers"));
    assert!(!browser.text().contains(&token));
    look(browser, "servers-three");
}

/// A person, and a program.
fn let_people_in(browser: &Browser) {
    browser.go(&format!("https://{GATE}/console/people"));
    browser.fill("#name", "ben");
    for field in ["#password", "#again"] {
        browser.fill(field, "ben's own password");
    }
    browser.click("#add-person");
    browser.wait("ben", "return document.querySelector('#person-ben')");
    browser.fill("#program", "prometheus");
    browser.click("#issue-token");
    browser.wait("a token", "return document.querySelector('#api-token')");
    look(browser, "granted");
    browser.go(&format!("https://{GATE}/console/people"));
    look(browser, "people");
    for (name, page) in [("person", "ben"), ("last-admin", "ada")] {
        browser.go(&format!("https://{GATE}/console/people/person?name={page}"));
        look(browser, name);
    }
}

/// What comes in stands above, and the page does not grow beyond its bound.
fn follow_the_log(browser: &Browser, stage: &Stage) {
    browser.go(&format!("https://{GATE}/console/log?follow=on"));
    browser.run(
        "window.same = true; const rows = document.querySelector('#rows'); \
         for (let i = 0; i < 400; i++) rows.insertRow().insertCell().textContent = 'filler';",
    );
    console_support::ask(stage, "web1", &["standby", "web2"], "");
    browser.wait(
        "it comes in",
        "return [...document.querySelectorAll('#rows tr')].slice(0, 20).some(row => row.innerText.includes('standby'))",
    );
    let rows = browser.run("return document.querySelectorAll('#rows tr').length");
    assert_eq!(rows, 300, "no more than the page begins with");
    let twice = browser.run("const ids = [...document.querySelectorAll('#rows tr[id]')].map(row => row.id); return ids.length - new Set(ids).size");
    assert_eq!(twice, 0);
    console_support::ask(stage, "web1", &["resume", "web2"], "");
    assert_eq!(browser.run("return window.same"), true, "without loading the page anew");
    browser.go(&format!("https://{GATE}/console/log?follow=on"));
    look(browser, "log-follow");
}

/// Every process of a server is killed, and what it held moves on the page as it is; then it is started again.
fn a_server_is_killed(browser: &Browser, stage: &mut Stage) {
    let sits = |server: &str| format!("return document.querySelector('[data-lane={server}] [data-chip=virtual3]')");
    let told = "return document.querySelector('#complaints')?.innerText.includes('web3 is dead')";
    browser.go(&format!("https://{GATE}/console"));
    browser.wait("virtual3 at home", &sits("web3"));
    browser.run("window.same = true");
    stage.signal_all("web3", SIGKILL).unwrap();
    stage.wait("web3").unwrap();
    browser.wait("it is told", told);
    browser.wait("virtual3 elsewhere", &sits("web1"));
    look(browser, "killed");
    stage.start("web3").unwrap();
    browser.wait("virtual3 at home again", &sits("web3"));
    browser.wait("nothing is told", &told.replacen("return ", "return !", 1));
    assert_eq!(browser.run("return window.same"), true, "without loading the page anew");
}

/// What has just happened, as a story, and everything that was noted of it.
fn read_the_incident(browser: &Browser) {
    let story = "const story = [...document.querySelectorAll('section.card')].find(one => one.innerText.includes('web3 was cut off'));";
    let begun = std::time::Instant::now();
    // web3's own word comes with its log.
    loop {
        browser.go(&format!("https://{GATE}/console/incidents"));
        if browser.run(&format!("{story} return !!story && story.innerText.includes('over after')")) == true {
            break;
        }
        assert!(begun.elapsed() < stage_support::PATIENCE, "{}", browser.text());
    }
    let told = browser.run(&format!("{story} return story.innerText"));
    let told = told.as_str().unwrap_or_default().to_owned();
    assert!(told.contains("virtual3 from web3 to web1, unserved for "), "{told}");
    look(browser, "incidents");
    let link = browser.run(&format!("{story} return story.querySelector('a').getAttribute('href')"));
    browser.go(&format!("https://{GATE}{}", link.as_str().unwrap_or_default()));
    let whole = browser.text();
    for expected in ["web3 is dead: silent for", "isolated: the partition policy", "taking virtual3, term"] {
        assert!(whole.contains(expected), "{expected}: {whole}");
    }
    look(browser, "incident");
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

/// So that there is something to count.
fn ask_a_few_names(stage: &Stage) {
    let Some(dig) = stage_support::installed("dig") else { return };
    for (name, kind) in [("www", "A"), ("www", "AAAA"), ("mail", "MX"), ("www", "A"), ("nothing", "A")] {
        let question = ["@10.77.0.11", "+norec", &format!("{name}.lb.example.test"), kind];
        assert!(stage.client.command(&dig).args(question).output().unwrap().status.success());
    }
}

/// Opens the page until it shows what was asked, which is counted once a second.
fn await_counts(browser: &Browser, page: &str) {
    let begun = std::time::Instant::now();
    let expected = ["NXDOMAIN", "Share of new clients", "www.lb.example.test", "10.77.0.200", "Replies by server"];
    loop {
        let counted = browser.text();
        if expected.iter().all(|expected| counted.contains(expected)) {
            return;
        }
        assert!(begun.elapsed() < stage_support::PATIENCE, "{expected:?}: {counted}");
        browser.go(&format!("https://{GATE}{page}"));
    }
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
