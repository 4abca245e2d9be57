//! People and programs' tokens: for admins alone.
//!
//! Invariants: a program's token is in the one answer to the form that made it, and nowhere else; no password is ever sent back.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use model::{
    access::{Action, Role, SecretText},
    api::access::{IssueToken, Person, SetUser, TokenStatus},
};

use super::{
    forms::{Asked, Fields},
    page::{Shell, html},
    servers::moment,
};
use crate::{
    access::{LENGTHS, Who},
    admin::{Admin, Failure, people},
};

/// How long a program's token may count: days, and in words.
const LIVES: [(u64, &str); 4] = [(30, "30 days"), (90, "90 days"), (365, "a year"), (730, "two years")];
const HOME: &str = "/console/people";

/// A session or a program's token.
struct Token {
    id: String,
    name: String,
    role: Role,
    until: String,
}

impl Token {
    fn of(status: &TokenStatus) -> Self {
        let TokenStatus { id, name, role, expires, session: _ } = status;
        Self { id: id.clone(), name: name.clone(), role: *role, until: moment(*expires) }
    }
}

/// A person, and that person's sessions.
struct Row {
    name: String,
    role: Role,
    sessions: usize,
}

#[derive(Template)]
#[template(path = "people.html")]
struct People {
    shell: Shell,
    rows: Vec<Row>,
    tokens: Vec<Token>,
    lives: [(u64, &'static str); 4],
    /// The shortest password.
    shortest: usize,
}

/// `GET /console/people`.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
) -> Result<Response, Failure> {
    let known = people::list(&admin, &who)?;
    let sessions =
        |name: &str| known.tokens.iter().filter(|token| token.session && token.name == name).map(Token::of).count();
    let row = |one: &Person| Row { name: one.name.clone(), role: one.role, sessions: sessions(&one.name) };
    let mut rows: Vec<Row> = known.users.iter().map(row).collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let mut tokens: Vec<Token> = known.tokens.iter().filter(|token| !token.session).map(Token::of).collect();
    tokens.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    html(&People { shell, rows, tokens, lives: LIVES, shortest: *LENGTHS.start() })
}

#[derive(Template)]
#[template(path = "person.html")]
struct OnePerson {
    shell: Shell,
    person: Person,
    sessions: Vec<Token>,
    /// Nobody else is an admin: this person stays one.
    last: bool,
    shortest: usize,
}

/// `GET /console/people/person`: what can be done about one, and what follows.
pub(super) async fn person(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    let (known, name) = (people::list(&admin, &who)?, asked.get("name"));
    let person = known.users.iter().find(|one| one.name == name).cloned();
    let person = person.ok_or_else(|| Failure::Missing(format!("there is no person {name}")))?;
    let admins = known.users.iter().filter(|one| one.role == Role::Admin).count();
    let last = person.role == Role::Admin && admins == 1 && !who.is_local();
    let sessions = known.tokens.iter().filter(|token| token.session && token.name == name).map(Token::of);
    html(&OnePerson { shell, sessions: sessions.collect(), person, last, shortest: *LENGTHS.start() })
}

fn role(fields: &Fields) -> Result<Role, Failure> {
    let role = Role::from_word(fields.get("role"));
    role.ok_or_else(|| Failure::Request("choose a role: viewer, operator or admin".into()))
}

/// The password that was typed twice.
fn password(fields: &Fields) -> Result<SecretText, Failure> {
    if fields.get("password") != fields.get("again") {
        return Err(Failure::Request("the two passwords differ: nothing was changed".into()));
    }
    Ok(SecretText::new(fields.get("password").to_owned()))
}

/// `POST /console/people/add`.
pub(super) async fn add(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let name = fields.get("name").trim();
    if people::list(&admin, &who)?.users.iter().any(|one| one.name == name) {
        return Err(Failure::Conflict(format!("there is a person {name} already: change that one instead")));
    }
    let user = SetUser { role: Some(role(&fields)?), password: Some(password(&fields)?) };
    people::set(&admin, &who, name, user).await?;
    Ok(Redirect::to(HOME).into_response())
}

/// Changes somebody whom there is.
async fn change(admin: &Admin, who: &Who, fields: &Fields, user: SetUser) -> Result<Response, Failure> {
    let name = fields.get("name");
    if !people::list(admin, who)?.users.iter().any(|one| one.name == name) {
        return Err(Failure::Missing(format!("there is no person {name}")));
    }
    people::set(admin, who, name, user).await?;
    Ok(Redirect::to(HOME).into_response())
}

/// `POST /console/people/role`.
pub(super) async fn set_role(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::SetUser)?;
    let user = SetUser { role: Some(role(&fields)?), password: None };
    change(&admin, &who, &fields, user).await
}

/// `POST /console/people/password`.
pub(super) async fn set_password(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::SetUser)?;
    let user = SetUser { role: None, password: Some(password(&fields)?) };
    change(&admin, &who, &fields, user).await
}

/// `POST /console/people/remove`.
pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    people::remove(&admin, &who, fields.get("name")).await?;
    Ok(Redirect::to(HOME).into_response())
}

#[derive(Template)]
#[template(path = "granted.html")]
struct GrantedPage {
    shell: Shell,
    name: String,
    role: Role,
    until: String,
    token: SecretText,
}

/// `POST /console/people/issue`: the token is shown in this answer alone.
pub(super) async fn issue(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::IssueToken)?;
    let days = fields.get("days").parse::<u64>().ok().and_then(|days| days.checked_mul(86_400));
    let seconds = days.ok_or_else(|| Failure::Request("choose for how long the token counts".into()))?;
    let wanted = IssueToken { name: fields.get("name").trim().to_owned(), role: role(&fields)?, seconds };
    let granted = people::issue(&admin, &who, &wanted).await?;
    let until = moment(granted.expires);
    html(&GrantedPage { shell, name: wanted.name, role: granted.role, until, token: granted.token })
}

/// `POST /console/people/revoke`: a session, or a program's token.
pub(super) async fn revoke(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    people::refuse(&admin, &who, fields.get("id")).await?;
    Ok(Redirect::to(HOME).into_response())
}
