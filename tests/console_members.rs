//! What admins do in the console: servers come and go, people and programs are let in; and what anybody may read of a monitor and
//! of the log.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

mod console_support;
mod stage_support;
mod tls_support;

use std::{fs, time::Instant};

use console_support::{
    PASSWORD, cluster, cluster_beside,
    http::{Answer, assert_dressed, get, log_in, next, open, post},
    join,
};
use host::lab::stage::Stage;
use stage_support::{PATIENCE, await_log, await_status, on_stage};

const SIGKILL: i32 = 9;
/// The words that are shown of a token that does not count.
const REFUSED: &str = "this join token is unknown, used, revoked or expired";

/// Somebody's session, and what its forms carry.
struct Person<'s> {
    stage: &'s Stage,
    session: String,
    token: String,
}

impl<'s> Person<'s> {
    fn new(stage: &'s Stage, name: &str, password: &str) -> Self {
        let session = log_in(&stage.client, name, password).unwrap();
        let token = get("/console", &session).send(&stage.client).token();
        Self { stage, session, token }
    }

    fn sees(&self, page: &str) -> Answer {
        get(page, &self.session).send(&self.stage.client)
    }

    fn does(&self, path: &str, fields: &[(&'static str, &str)]) -> Answer {
        let fields = [&[("token", self.token.as_str())], fields].concat();
        let answer = post(path, &self.session, &fields).send(&self.stage.client);
        assert_dressed(&answer, path);
        answer
    }

    /// Makes a join token.
    fn invites(&self) -> (Answer, String) {
        let invited = self.does("/console/servers/invite", &[("seconds", "600")]);
        assert_eq!(invited.code, 200, "{}", invited.body);
        let token = invited.between("id=\"join-token\" tabindex=\"0\">", "</pre>");
        (invited, token)
    }
}

/// Everything that a server's log, the cluster's and the daemon's own, have.
fn noted(stage: &Stage, server: &str) -> String {
    let logged = console_support::ask(stage, server, &["log", "--json", "--level", "debug"], "");
    logged + &fs::read_to_string(stage.log(server)).unwrap()
}

#[test]
fn a_server_comes_by_a_token_that_is_shown_once() {
    on_stage("a_server_comes_by_a_token_that_is_shown_once", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = cluster_beside(directory.path(), 2, 1);
        let (_, mut pictures) = open(&stage.socket("web1"), "/console/servers/live");
        let mut told = next(&mut pictures, "picture");
        assert!(told.contains("server-web2") && !told.contains("server-web3"), "{told}");
        let (invited, token, withdrawn) = {
            let ada = Person::new(&stage, "ada", PASSWORD);
            for wrong in ["", "0", "604801", "-1", "an hour"] {
                assert_eq!(ada.does("/console/servers/invite", &[("seconds", wrong)]).code, 400, "{wrong:?}");
            }
            let (_, withdrawn) = ada.invites();
            let list = ada.sees("/console/servers");
            let id = list.between("name=\"id\" value=\"", "\"");
            assert!(!list.body.contains(&withdrawn), "{}", list.body);
            assert_eq!(ada.does("/console/servers/withdraw", &[("id", &id)]).code, 303);
            assert_eq!(ada.does("/console/servers/withdraw", &[("id", &id)]).code, 404, "it is withdrawn");
            assert!(!ada.sees("/console/servers").body.contains(&id));
            let (invited, token) = ada.invites();
            let list = ada.sees("/console/servers");
            assert!(list.body.contains("Tokens that nobody has used") && !list.body.contains(&token), "{}", list.body);
            (invited, token, withdrawn)
        };
        assert_eq!((invited.header("location"), invited.header("cache-control")), ("", "no-store"));
        let command = invited.between("id=\"command\" tabindex=\"0\">", "</pre>");
        assert_eq!(command, "standin join 10.77.0.11");
        let late = join(&stage, "web3", &command, &withdrawn);
        assert!(!late.status.success() && String::from_utf8_lossy(&late.stderr).contains(REFUSED), "{late:?}");
        let joined = join(&stage, "web3", &command, &token);
        assert!(joined.status.success(), "{joined:?}");
        stage.start("web3").unwrap();
        // It is seen to come, by whoever looks.
        let mut all = told.clone();
        while !told.split("server-web3").nth(1).is_some_and(|row| row.contains(">alive<") && row.contains(">linked<")) {
            told = next(&mut pictures, "picture");
            all += &told;
        }
        let again = join(&stage, "web2", &command, &token);
        assert!(!again.status.success());
        let ada = Person::new(&stage, "ada", PASSWORD);
        assert!(!ada.sees("/console/servers").body.contains("Tokens that nobody has used"), "it is used up");
        let noted = noted(&stage, "web1");
        assert!(noted.contains("ada from 10.77.0.200: invite token "), "{noted}");
        for secret in [token.as_str(), &withdrawn] {
            assert!(!noted.contains(secret) && !all.contains(secret), "it is told");
            let random = secret.rsplit(['-', '_', '.']).next().unwrap();
            assert!(!noted.contains(random) && !all.contains(random), "part of it is told");
        }
    });
}

#[test]
fn a_server_is_removed_dead_or_alive_and_never_the_last() {
    on_stage("a_server_is_removed_dead_or_alive_and_never_the_last", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = cluster(directory.path(), 3);
        stage.signal_all("web3", SIGKILL).unwrap();
        stage.wait("web3").unwrap();
        await_status(&stage, "web1", "web3 is dead", |status| {
            status.servers[2].state == "dead" && status.virtual_hosts[2].active.as_deref() == Some("web1")
        });
        let ada = Person::new(&stage, "ada", PASSWORD);
        let plan = ada.sees("/console/servers/remove?server=web3");
        assert_dressed(&plan, "a plan");
        assert_eq!(plan.code, 200, "{}", plan.body);
        for expected in ["This cannot be undone", "server/web3", "virtual-host/virtual3", "name=\"why\""] {
            assert!(plan.body.contains(expected), "{expected}: {}", plan.body);
        }
        assert!(
            !plan.body.contains("name=\"confirm\""),
            "a membership that has ended does not come back: {}",
            plan.body
        );
        await_status(&stage, "web1", "a plan does nothing", |status| status.servers.len() == 3);
        let itself = ada.sees("/console/servers/remove?server=web1");
        assert_eq!(itself.code, 409);
        assert!(itself.body.contains("this is web1 itself"), "{}", itself.body);
        assert_eq!(ada.does("/console/servers/remove", &[("server", "web1")]).code, 409);
        assert_eq!(ada.sees("/console/servers/remove?server=web9").code, 404);
        assert_eq!(ada.does("/console/servers/remove", &[("server", "web9")]).code, 404);
        let removed = ada.does("/console/servers/remove", &[("server", "web3"), ("why", "it burnt")]);
        assert_eq!(removed.code, 200, "{}", removed.body);
        assert!(removed.body.contains("web3 was removed") && removed.body.contains("standin rotate authority"));
        await_status(&stage, "web2", "web3 is gone", |status| status.servers.len() == 2);
        let history = console_support::ask(&stage, "web1", &["history"], "");
        assert!(history.contains("it burnt") && history.contains("ada"), "{history}");
        await_log(&stage, "web1", "ada from 10.77.0.200: remove-server web3");
        // One that lives hears it, and stops; then there is one left, which stays.
        assert_eq!(ada.does("/console/servers/remove", &[("server", "web2")]).code, 200);
        await_status(&stage, "web1", "alone", |status| status.servers.len() == 1);
        for refused in [
            ada.sees("/console/servers/remove?server=web1"),
            ada.does("/console/servers/remove", &[("server", "web1")]),
        ] {
            assert_eq!(refused.code, 409);
            assert!(refused.body.contains("the last server of the cluster"), "{}", refused.body);
        }
        assert!(ada.sees("/console/servers").body.contains("web1 is the last server of the cluster"));
    });
}

#[test]
fn people_come_change_and_go() {
    on_stage("people_come_change_and_go", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 2);
        let ada = Person::new(&stage, "ada", PASSWORD);
        let (first, second) = ("the first password", "the second password");
        let add = |role: &str, password: &str, again: &str| {
            let fields = [("name", "ben"), ("role", role), ("password", password), ("again", again)];
            ada.does("/console/people/add", &fields)
        };
        assert!(add("viewer", first, second).body.contains("the two passwords differ"));
        assert_eq!(add("viewer", "short", "short").code, 400);
        assert_eq!(add("emperor", first, first).code, 400);
        assert!(!ada.sees("/console/people").body.contains("person-ben"), "nothing of that was done");
        assert_eq!(add("viewer", first, first).code, 303);
        let twice = add("admin", second, second);
        assert_eq!(twice.code, 409, "nobody is changed by adding: {}", twice.body);
        let page = ada.sees("/console/people");
        assert!(page.between("id=\"person-ben\"", "</tr>").contains("<td>viewer</td>"), "{}", page.body);
        // Another role, another password: each ends the sessions.
        let ben = Person::new(&stage, "ben", first);
        assert_eq!(ada.does("/console/people/role", &[("name", "ben"), ("role", "operator")]).code, 303);
        assert_eq!(ben.sees("/console").code, 303, "the session has ended");
        let ben = Person::new(&stage, "ben", first);
        assert!(ben.sees("/console/do").body.contains("Put web1 on standby"), "an operator now");
        let fields = [("name", "ben"), ("password", second), ("again", second)];
        assert_eq!(ada.does("/console/people/password", &fields).code, 303);
        assert_eq!(ben.sees("/console").code, 303);
        assert_eq!(log_in(&stage.client, "ben", first).unwrap_err().code, 401);
        let ben = Person::new(&stage, "ben", second);
        assert!(ada.sees("/console/people/person?name=ben").body.contains("and 1 session ends"));
        assert_eq!(ada.does("/console/people/remove", &[("name", "ben")]).code, 303);
        assert_eq!(ben.sees("/console").code, 303);
        assert_eq!(log_in(&stage.client, "ben", second).unwrap_err().code, 401);
        for path in ["/console/people/remove", "/console/people/role", "/console/people/password"] {
            let fields = [("name", "ben"), ("role", "viewer"), ("password", second), ("again", second)];
            assert_eq!(ada.does(path, &fields).code, 404, "{path}: nobody is made by changing");
        }
        let noted = noted(&stage, "web1");
        for line in ["set-user ben (viewer)", "set-user ben (operator)", "remove-user ben"] {
            assert!(noted.contains(&format!("ada from 10.77.0.200: {line}")), "{line}: {noted}");
        }
        assert!(![first, second].iter().any(|password| noted.contains(password)), "a password is told");
    });
}

#[test]
fn the_last_admin_stays_one() {
    on_stage("the_last_admin_stays_one", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 2);
        let ada = Person::new(&stage, "ada", PASSWORD);
        let demote = || ada.does("/console/people/role", &[("name", "ada"), ("role", "operator")]);
        for refused in [demote(), ada.does("/console/people/remove", &[("name", "ada")])] {
            assert_eq!(refused.code, 409, "{}", refused.body);
            assert!(refused.body.contains("ada is the last admin"), "{}", refused.body);
        }
        let page = ada.sees("/console/people/person?name=ada");
        assert!(page.body.contains("ada is the last admin") && !page.body.contains("id=\"remove-person\""));
        assert_eq!(ada.sees("/console/people").code, 200, "still");
        assert_eq!(ada.does("/console/people/role", &[("name", "ann"), ("role", "admin")]).code, 303);
        assert_eq!(demote().code, 303);
        let ann = Person::new(&stage, "ann", PASSWORD);
        assert!(ann.sees("/console/people").between("id=\"person-ada\"", "</tr>").contains("<td>operator</td>"));
        assert_eq!(ann.does("/console/people/remove", &[("name", "ann")]).code, 409, "she is the last one now");
    });
}

#[test]
fn a_programs_token_is_shown_once_and_revoked() {
    on_stage("a_programs_token_is_shown_once_and_revoked", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 2);
        let ada = Person::new(&stage, "ada", PASSWORD);
        for (name, role, days) in
            [("prom", "viewer", "0"), ("prom", "viewer", "9999"), ("prom", "", "30"), ("", "viewer", "30")]
        {
            let fields = [("name", name), ("role", role), ("days", days)];
            assert_eq!(ada.does("/console/people/issue", &fields).code, 400, "{fields:?}");
        }
        let issued = ada.does("/console/people/issue", &[("name", "prom"), ("role", "viewer"), ("days", "30")]);
        assert_eq!((issued.code, issued.header("location")), (200, ""), "{}", issued.body);
        let bearer = issued.between("Authorization: ", "</pre>");
        let asks = || {
            let mut request = get("/v1/status", "");
            request.headers.push(("authorization", bearer.clone()));
            request.send(&stage.client).code
        };
        assert_eq!(asks(), 200);
        let page = ada.sees("/console/people");
        let secret = bearer.rsplit('_').next().unwrap();
        assert!(page.body.contains("prom") && !page.body.contains(secret), "{}", page.body);
        let id = page.between("name=\"id\" value=\"", "\"");
        assert_eq!(ada.does("/console/people/revoke", &[("id", &id)]).code, 303);
        assert_eq!(asks(), 401);
        let noted = noted(&stage, "web1");
        assert!(noted.contains(&format!("ada from 10.77.0.200: revoke-token {id}")), "{noted}");
        assert!(noted.contains("issue-token") && !noted.contains(secret));
    });
}

#[test]
fn a_monitor_has_a_history() {
    on_stage("a_monitor_has_a_history", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = cluster(directory.path(), 2);
        let page = "/console/monitor?monitor=virtual2/http-80";
        stage.stop_web("web2").unwrap();
        await_status(&stage, "web1", "virtual2 has moved", |status| {
            status.virtual_hosts[1].active.as_deref() == Some("web1")
        });
        stage.start_web("web2").unwrap();
        await_status(&stage, "web1", "virtual2 is at home", |status| {
            status.virtual_hosts[1].active.as_deref() == Some("web2")
        });
        let vic = Person::new(&stage, "vic", PASSWORD);
        let begun = Instant::now();
        // web2's own word comes with its log.
        let seen = loop {
            let seen = vic.sees(page);
            assert_eq!(seen.code, 200, "{}", seen.body);
            let told = seen.between("What the log says of it</h2>", "</section>");
            if told.matches("<tr>").count() >= 3 && told.contains(" so far") {
                break seen;
            }
            assert!(begun.elapsed() < PATIENCE, "{told}");
        };
        assert_dressed(&seen, page);
        let [web1, web2] = ["On web1", "On web2"].map(|on| seen.between(on, "</section>"));
        assert!(web1.contains("results, the newest first") && web1.contains("0 since web1 began to probe"), "{web1}");
        assert!(web1.contains(" µs</td>") || web1.contains(" ms</td>"), "how long probes took: {web1}");
        // web2 was asked: its results and its two changes are known here.
        assert!(web2.contains("results, the newest first") && web2.contains("2 since web2 began to probe"), "{web2}");
        assert!(web2.contains("connection refused") || web2.contains(">down<"), "{web2}");
        let told = seen.between("What the log says of it</h2>", "</section>");
        let down = told.split("<tr>").find(|row| row.contains(" down")).unwrap();
        let lasted = down.rsplit("<td class=\"num\">").next().unwrap();
        assert!(!lasted.starts_with("</td>") && !lasted.contains("so far"), "{down}");
        // What counts instead.
        let ask = |what: &[&str]| console_support::ask(&stage, "web2", what, "");
        ask(&["monitor", "force", "virtual2/http-80", "down", "--for", "10m"]);
        await_status(&stage, "web1", "forced", |status| status.virtual_hosts[1].active.as_deref() == Some("web1"));
        let held = vic.sees(page).between("On web2", "</section>");
        assert!(held.contains("forced-down") && held.contains(" more"), "{held}");
        assert_eq!(vic.sees("/console/monitor?monitor=virtual2/nothing").code, 404);
        assert_eq!(vic.sees("/console/monitor").code, 404);
        assert!(vic.sees("/console").body.contains("/console/monitor?monitor=virtual2/http-80"));
        // Who cannot be asked is no obstacle.
        stage.stop("web2").unwrap();
        let alone = Person::new(&stage, "vic", PASSWORD).sees(page);
        assert!(
            alone.code == 200 && alone.body.contains("web2 itself knows its probes: ")
                || !alone.body.contains("On web2")
        );
    });
}

#[test]
fn the_log_is_followed() {
    on_stage("the_log_is_followed", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 2);
        let socket = stage.socket("web1");
        let vic = Person::new(&stage, "vic", PASSWORD);
        let page = vic.sees("/console/log?follow=on&about=&text=denied");
        let address = page.between("data-follow=\"", "\"").replace("&amp;", "&").replace("&#38;", "&");
        assert!(address.starts_with("/console/log/live?"), "{address}");
        assert!(page.body.contains(">Refresh</a>"), "without a script: {}", page.body);
        assert!(!vic.sees("/console/log").body.contains("data-follow"), "not asked for");
        let (code, mut stream) = open(&socket, &address);
        assert_eq!(code, 200);
        // What is not wanted is not told; what is wanted is text.
        console_support::ask(&stage, "web1", &["standby", "web2"], "");
        log_in(&stage.client, "<script>alert(1)</script>", "wrong").unwrap_err();
        let told = next(&mut stream, "rows");
        assert!(told.contains("&#60;script&#62;alert(1)") && !told.contains("<script>"), "{told}");
        assert_eq!(told.matches("<tr ").count(), 1, "{told}");
        let id = told.between_lines("id: ");
        // Whoever was cut off goes on where it was, and what comes from the other server comes, too.
        drop(stream);
        log_in(&stage.client, "eve", "wrong").unwrap_err();
        let (_, mut stream) = open(&socket, &format!("/console/log/live?text=denied&from={id}"));
        let told = next(&mut stream, "rows");
        assert!(told.contains("denied to eve") && !told.contains("script"), "{told}");
        let (_, mut stream) = open(&socket, "/console/log/live?about=web2");
        console_support::ask(&stage, "web2", &["resume", "web2"], "");
        assert!(next(&mut stream, "rows").contains("<td>web2</td>"));
        // Who counts from another run is told that it has missed something.
        let (_, mut stream) = open(&socket, "/console/log/live?from=99999999");
        next(&mut stream, "missed");
    });
}

trait Lines {
    fn between_lines(&self, before: &str) -> String;
}

impl Lines for String {
    /// The rest of the line that begins so.
    fn between_lines(&self, before: &str) -> String {
        self.lines().find_map(|line| line.strip_prefix(before)).unwrap().to_owned()
    }
}
