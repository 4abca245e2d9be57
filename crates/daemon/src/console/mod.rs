//! The console: pages for people, made on the server, below `/console` on the admin port and the Unix socket.
//!
//! | page | what |
//! |---|---|
//! | `/console` | the cluster, live: who holds what, who lives, monitors, pools (`cluster`, `live`) |
//! | `/console/do` | standby, monitors, objects: each with its plan, then the deed, then undo (`act`, `edit`) |
//! | `/console/servers`, `/console/people` | who belongs to the cluster, and who may log in (`servers`, `people`) |
//! | `/console/monitor` | what a monitor finds on each server, and what the log says of it (`monitor`) |
//! | `/console/zones` | templates: mistakes by line, what is served, differences, history (`zones`) |
//! | `/console/dns` | what is asked and answered, and why (`names`) |
//! | `/console/incidents` | what belongs together, as stories (`incidents`) |
//! | `/console/log`, `/console/help` | what happened, followed live; what the words mean (`journal`, `follow`) |
//!
//! Invariants: every answer, failures included, forbids what is not from here (`dress`); every POST is in [`POSTS`] with what it
//! does, so that a viewer is refused before a handler runs, and carries a token that only this session's pages have (`guard`);
//! everything works without the script, which only keeps the picture fresh. All text in a page is escaped by its template.
//!
//! Deliberately not here: what is decided or kept; the API, which takes no cookies.

mod act;
mod cluster;
mod difference;
mod dress;
mod edit;
mod files;
mod follow;
mod forms;
mod guard;
mod incidents;
mod journal;
mod live;
mod monitor;
mod names;
mod page;
mod people;
mod plan;
mod servers;
mod session;
mod zones;

use std::{io, sync::Arc};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    response::Redirect,
    routing::{any, get, post},
};
use model::access::Action;

pub(crate) use self::live::draw;
use crate::{
    admin::{Admin, receive::receive},
    generation::Generation,
};

/// What a POST does, for the one check of who may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Does {
    /// It begins or ends a session: for anybody.
    Session,
    /// It shows what would happen, or does it: for who may do that.
    Act(Action),
}

/// Every POST of the console.
pub const POSTS: &[(&str, Does)] = &[
    ("/console/login", Does::Session),
    ("/console/logout", Does::Session),
    ("/console/do/plan", Does::Act(Action::EditConfiguration)),
    ("/console/do/apply", Does::Act(Action::EditConfiguration)),
    ("/console/do/confirm", Does::Act(Action::EditConfiguration)),
    ("/console/do/standby", Does::Act(Action::Standby)),
    ("/console/do/resume", Does::Act(Action::Resume)),
    ("/console/do/force", Does::Act(Action::ForceMonitor)),
    ("/console/do/reset", Does::Act(Action::ResetMonitor)),
    ("/console/do/notify", Does::Act(Action::TestNotification)),
    ("/console/servers/invite", Does::Act(Action::Invite)),
    ("/console/servers/withdraw", Does::Act(Action::RevokeToken)),
    ("/console/servers/remove", Does::Act(Action::RemoveServer)),
    ("/console/people/add", Does::Act(Action::SetUser)),
    ("/console/people/role", Does::Act(Action::SetUser)),
    ("/console/people/password", Does::Act(Action::SetUser)),
    ("/console/people/remove", Does::Act(Action::RemoveUser)),
    ("/console/people/issue", Does::Act(Action::IssueToken)),
    ("/console/people/revoke", Does::Act(Action::RevokeToken)),
    ("/console/zones/add", Does::Act(Action::EditConfiguration)),
    ("/console/zones/remove", Does::Act(Action::EditConfiguration)),
    ("/console/zones/plan", Does::Act(Action::EditConfiguration)),
];

/// What the pages share.
#[derive(Debug)]
pub(crate) struct Console {
    live: live::Live,
    /// Binds the forms of who has no session: on the Unix socket.
    secret: [u8; 32],
}

impl Console {
    /// For this run of the daemon.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub(crate) fn new(generation: Generation) -> io::Result<Self> {
        Ok(Self { live: live::Live::new(generation), secret: host::entropy::bytes()? })
    }
}

/// The pages, with everything that they need to know who asks.
pub(crate) fn router(admin: &Arc<Admin>) -> Router {
    let pages = Router::new()
        .route("/", get(async || Redirect::to("/console")))
        .route("/console", get(cluster::show))
        .route("/console/live", get(live::stream))
        .route("/console/login", get(session::form).post(session::login))
        .route("/console/logout", post(session::logout))
        .route("/console/do", get(act::show))
        .route("/console/do/server", get(act::server))
        .route("/console/do/monitor", get(act::monitor))
        .route("/console/do/standby", post(act::standby))
        .route("/console/do/resume", post(act::resume))
        .route("/console/do/force", post(act::force))
        .route("/console/do/reset", post(act::reset))
        .route("/console/do/notify", post(act::notify))
        .route("/console/do/edit", get(edit::form))
        .route("/console/do/plan", post(edit::plan))
        .route("/console/do/apply", post(edit::apply))
        .route("/console/do/done", get(edit::done))
        .route("/console/do/confirm", post(edit::confirm))
        .route("/console/servers", get(servers::show))
        .route("/console/servers/live", get(live::servers))
        .route("/console/servers/invite", post(servers::invite))
        .route("/console/servers/withdraw", post(servers::withdraw))
        .route("/console/servers/remove", get(servers::plan).post(servers::remove))
        .route("/console/people", get(people::show))
        .route("/console/people/person", get(people::person))
        .route("/console/people/add", post(people::add))
        .route("/console/people/role", post(people::set_role))
        .route("/console/people/password", post(people::set_password))
        .route("/console/people/remove", post(people::remove))
        .route("/console/people/issue", post(people::issue))
        .route("/console/people/revoke", post(people::revoke))
        .route("/console/monitor", get(monitor::show))
        .route("/console/zones", get(zones::list))
        .route("/console/zones/edit", get(zones::edit))
        .route("/console/zones/new", get(zones::whole::form))
        .route("/console/zones/add", post(zones::whole::add))
        .route("/console/zones/remove", post(zones::whole::remove))
        .route("/console/zones/plan", post(zones::plan))
        .route("/console/dns", get(names::show))
        .route("/console/log", get(journal::log))
        .route("/console/log/live", get(follow::stream))
        .route("/console/incidents", get(incidents::show))
        .route("/console/help", get(journal::help))
        .route("/console/console.css", get(files::style))
        .route("/console/console.js", get(files::script))
        .route("/console/icon.svg", get(files::icon))
        .route("/console/{*rest}", any(page::nothing_there))
        .method_not_allowed_fallback(page::not_that_way);
    // The last one comes first.
    pages
        .layer(from_fn_with_state(admin.clone(), guard::guard))
        .layer(from_fn_with_state(admin.clone(), receive))
        .layer(from_fn_with_state(admin.clone(), session::identify))
        .layer(from_fn(dress::dress))
        .with_state(admin.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_post_is_in_the_table() {
        let source = include_str!("mod.rs");
        let routes = source.split(".route(\"").skip(1).filter_map(|route| {
            let (path, rest) = route.split_once('"')?;
            let handler = rest.split(".route(").next().unwrap_or_default().split(".method_not").next()?;
            handler.contains("post(").then_some(path)
        });
        let routes: BTreeSet<&str> = routes.collect();
        let table: BTreeSet<&str> = POSTS.iter().map(|(path, _)| *path).collect();
        assert_eq!(routes, table);
    }
}
