//! The frame of every page, and the pages that are nothing but it: login and failures.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use model::access::{Action, Role};

use super::session::Visitor;
use crate::{
    access::SOCKET,
    admin::{Admin, Failure},
};

/// What the frame tells of who looks, and at what.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Shell {
    /// The server that answers.
    pub this: String,
    /// The page's name among those of the frame; empty: none of them.
    pub here: &'static str,
    /// Who looks; empty: nobody who has logged in.
    pub user: String,
    /// Their role.
    pub role: &'static str,
    /// What their forms carry.
    pub token: String,
    /// Whether forms are shown at all.
    pub acts: bool,
    /// Whether what only an admin may is shown.
    pub rules: bool,
    /// Whether there is a session to end.
    pub leaves: bool,
    /// Whether there is a document to edit.
    pub document: bool,
    /// The file that rules otherwise.
    pub cluster_file: String,
}

impl Shell {
    /// For who looks.
    pub(super) fn of(admin: &Arc<Admin>, visitor: &Visitor, path: &str) -> Self {
        let who = visitor.who.as_ref();
        let role = who.map(|who| who.role);
        let here = [
            ("/console/do", "Do"),
            ("/console/servers", "Servers"),
            ("/console/people", "People"),
            ("/console/monitor", "Cluster"),
            ("/console/zones", "Zones"),
            ("/console/dns", "DNS"),
            ("/console/incidents", "Incidents"),
            ("/console/log", "Log"),
            ("/console/help", "Help"),
        ];
        let here = here.into_iter().find(|(begins, _)| path.starts_with(begins)).map(|(_, name)| name);
        Self {
            here: here.unwrap_or(if path == "/console" { "Cluster" } else { "" }),
            this: if who.is_some() { admin.this.to_string() } else { String::new() },
            user: who.map_or_else(String::new, |who| who.name.clone()),
            role: role.map_or("", Role::word),
            token: visitor.token.clone(),
            acts: role.is_some_and(|role| role.may(Action::EditConfiguration)),
            rules: role.is_some_and(|role| role.may(Action::SetUser)) && admin.access.circle.is_some(),
            leaves: who.is_some_and(|who| who.token.is_some() && who.from != SOCKET),
            document: admin.desk.is_some(),
            cluster_file: if who.is_some() { admin.cluster_file.display().to_string() } else { String::new() },
        }
    }
}

impl Shell {
    /// Whether this is the page of that name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.here == name
    }
}

/// A template as an answer.
///
/// # Errors
/// Where a page cannot be written, which is a defect.
pub(super) fn html(template: &impl Template) -> Result<Response, Failure> {
    let text = template.render().map_err(|error| Failure::Io(std::io::Error::other(error)))?;
    Ok(Html(text).into_response())
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'p> {
    shell: Shell,
    user: &'p str,
    wrong: String,
}

/// The form of login, and what was wrong with the last try.
pub(super) fn login(visitor: &Visitor, user: &str, wrong: Option<Failure>) -> Result<Response, Failure> {
    let shell = Shell { token: visitor.token.clone(), ..Shell::default() };
    let words = wrong.as_ref().map_or_else(String::new, ToString::to_string);
    let mut response = html(&Login { shell, user, wrong: words })?;
    match wrong {
        Some(Failure::TooMany { seconds }) => {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        Some(_) => *response.status_mut() = StatusCode::UNAUTHORIZED,
        None => {}
    }
    Ok(response)
}

#[derive(Template)]
#[template(path = "failure.html")]
struct Failed {
    shell: Shell,
    title: String,
    words: String,
}

/// Why something was not done.
pub(super) fn failure(shell: Shell, status: StatusCode, words: String) -> Response {
    let title = match status {
        StatusCode::FORBIDDEN => "You may not do that",
        StatusCode::NOT_FOUND => "There is nothing here",
        StatusCode::CONFLICT => "Not as things are",
        StatusCode::UNPROCESSABLE_ENTITY => "That does not check",
        StatusCode::TOO_MANY_REQUESTS => "Too many",
        _ if status.is_server_error() => "This server cannot do that now",
        _ => "That was not understood",
    };
    let page = Failed { shell, title: title.to_owned(), words }.render();
    // A page that cannot be written is a defect; the words alone are better than nothing, and plain.
    page.map_or_else(|_| (status, title).into_response(), |page| (status, Html(page)).into_response())
}

/// No page has this address.
pub(super) async fn nothing_there(uri: Uri, shell: Option<Extension<Shell>>) -> Response {
    let shell = shell.map(|Extension(shell)| shell).unwrap_or_default();
    failure(shell, StatusCode::NOT_FOUND, format!("The console has no page {}.", uri.path()))
}

/// A page has this address, and another method.
pub(super) async fn not_that_way(method: Method, uri: Uri) -> Response {
    let words = format!("{} does not take {method}.", uri.path());
    failure(Shell::default(), StatusCode::METHOD_NOT_ALLOWED, words)
}
