//! What people do in the console, by forms alone, without a script.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

mod console_support;
mod stage_support;
mod tls_support;

use console_support::{
    PASSWORD, cluster,
    http::{Answer, assert_dressed, carried, get, log_in, post},
};
use host::lab::stage::Stage;
use stage_support::{await_status, on_stage};

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
