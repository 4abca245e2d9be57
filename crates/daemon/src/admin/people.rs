//! Logging in, people, and programs' tokens.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use cluster::trust::{Item, Token, Trust, User};
use model::{
    access::{Action, Role},
    api::access::{Granted, IssueToken, Login, NewPassword, People, Person, SetUser, TokenStatus},
    id::is_valid_name,
};

use super::{Admin, Body, Failure};
use crate::{
    access::{From, LENGTHS, Who, hash, new_bearer},
    trust::{identity::random_name, tls::fingerprints},
};

/// How long a session lasts.
pub(crate) const SESSION: u64 = 12 * 3600;
/// A person's sessions at once; the one that ends first makes room.
const SESSIONS: usize = 16;
/// The longest life of a program's token.
const LONGEST_TOKEN: u64 = 2 * 366 * 86_400;

/// A session for who knows the password.
pub(super) async fn login(
    State(admin): State<Arc<Admin>>,
    From(from): From,
    Body(login): Body<Login>,
) -> Result<Json<Granted>, Failure> {
    log_in(&admin, from, &login).await.map(Json)
}

/// A new session, if name and password are right and not too many were wrong.
pub(crate) async fn log_in(admin: &Admin, from: IpAddr, login: &Login) -> Result<Granted, Failure> {
    let access = &admin.access;
    let circle = access.circle()?;
    access.may_try(from, &login.user, "login")?;
    let fits = access.is_password(&login.user, login.password.clone()).await?;
    access.tried(from, &login.user, fits);
    let known = circle.keeper.known();
    let user = known.trust.user_named(&login.user).filter(|_| fits);
    let Some((id, user)) = user else {
        access.audit.denied(&login.user, &from.to_string(), "login", "name or password is wrong");
        return Err(Failure::Unauthorized("name or password is wrong".into()));
    };
    let granted = grant(admin, Some(id), &user.name, user.role, SESSION).await?;
    access.audit.done(&user.name, &from.to_string(), "login", &format!("session {}", granted.id));
    Ok(granted)
}

/// A token that counts from now on, on every server.
async fn grant(admin: &Admin, user: Option<&str>, name: &str, role: Role, seconds: u64) -> Result<Granted, Failure> {
    let circle = admin.access.circle()?;
    let (text, digest) = new_bearer()?;
    let (id, expires) = (random_name()?, host::clock::wall_seconds() + seconds);
    let token = Token { digest, user: user.map(str::to_owned), name: name.to_owned(), role, expires };
    let (by, entry) = (circle.name(), id.clone());
    circle
        .keeper
        .edit(move |trust| {
            make_room(trust, &token, &by);
            trust.put(&entry, &by, Item::Token(token))
        })
        .await??;
    let authorities = fingerprints(&circle.keeper.known().trust);
    Ok(Granted { id, token: text, role, expires, authorities })
}

/// Ends the oldest of too many sessions of one person.
fn make_room(trust: &mut Trust, token: &Token, by: &str) {
    let Some(user) = &token.user else { return };
    let mut sessions: Vec<(u64, String)> = trust
        .tokens()
        .filter(|(_, other)| other.user.as_ref() == Some(user))
        .map(|(id, other)| (other.expires, id.to_owned()))
        .collect();
    sessions.sort();
    let over = (sessions.len() + 1).saturating_sub(SESSIONS);
    for (_, id) in sessions.into_iter().take(over) {
        trust.remove(&id, by, host::clock::wall_seconds());
    }
}

/// The session shown ends.
pub(super) async fn logout(State(admin): State<Arc<Admin>>, who: Who) -> Result<StatusCode, Failure> {
    who.may(&admin, Action::LogOut)?;
    let Some(id) = who.token.clone() else { return Ok(StatusCode::NO_CONTENT) };
    revoke(&admin, &id).await?;
    who.did(&admin, Action::LogOut, &format!("session {id}"));
    Ok(StatusCode::NO_CONTENT)
}

/// A session, a program's token or a join token counts no more; whether it did.
pub(crate) async fn revoke(admin: &Admin, id: &str) -> Result<bool, Failure> {
    let circle = admin.access.circle()?;
    let (id, by, now) = (id.to_owned(), circle.name(), host::clock::wall_seconds());
    let known = circle.keeper.known();
    let is_token = known.trust.tokens().any(|(token, _)| token == id) || known.trust.invitation(&id, now).is_some();
    Ok(is_token && circle.keeper.edit(move |trust| trust.remove(&id, &by, now)).await?)
}

/// One's own password; the old one is asked for.
pub(super) async fn password(
    State(admin): State<Arc<Admin>>,
    From(from): From,
    who: Who,
    Body(passwords): Body<NewPassword>,
) -> Result<StatusCode, Failure> {
    who.may(&admin, Action::ChangeOwnPassword)?;
    admin.access.may_try(from, &who.name, "change-own-password")?;
    let fits = admin.access.is_password(&who.name, passwords.old.clone()).await?;
    admin.access.tried(from, &who.name, fits);
    if !fits {
        admin.access.audit.denied(&who.name, &who.from, "change-own-password", "the old password is wrong");
        return Err(Failure::Unauthorized("the old password is wrong".into()));
    }
    let new = SetUser { role: None, password: Some(passwords.new.clone()) };
    write_user(&admin, &who, &who.name, new, who.token.clone()).await?;
    who.did(&admin, Action::ChangeOwnPassword, &who.name);
    Ok(StatusCode::NO_CONTENT)
}

/// Adds a person, or changes one.
pub(super) async fn set_user(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Path(name): Path<String>,
    Body(user): Body<SetUser>,
) -> Result<StatusCode, Failure> {
    set(&admin, &who, &name, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds a person, or changes one; all sessions of that person end.
pub(crate) async fn set(admin: &Admin, who: &Who, name: &str, user: SetUser) -> Result<(), Failure> {
    who.may(admin, Action::SetUser)?;
    let role = write_user(admin, who, name, user, None).await?;
    who.did(admin, Action::SetUser, &format!("{name} ({role})"));
    Ok(())
}

/// Whether somebody who is an admin may be one no longer: over the network there is always one left who could undo it. Root,
/// by the socket, needs nobody.
fn may_cease(trust: &Trust, id: &str, user: &User, who: &Who) -> Result<(), Failure> {
    let others = || trust.users().any(|(other, one)| other != id && one.role == Role::Admin);
    if user.role != Role::Admin || who.is_local() || others() {
        return Ok(());
    }
    Err(Failure::Conflict(format!("{} is the last admin: make somebody else one first", user.name)))
}

/// Writes a person; all sessions of that person but `keep` end.
async fn write_user(admin: &Admin, who: &Who, name: &str, set: SetUser, keep: Option<String>) -> Result<Role, Failure> {
    if !is_valid_name(name) {
        return Err(Failure::Request("a name has 1 to 63 letters, digits, '-', '_' or '.'".into()));
    }
    let circle = admin.access.circle()?;
    let password = match &set.password {
        None => None,
        Some(password) if !LENGTHS.contains(&password.expose().len()) => {
            let (shortest, longest) = (LENGTHS.start(), LENGTHS.end());
            return Err(Failure::Request(format!("a password has {shortest} to {longest} bytes")));
        }
        Some(password) => {
            let password = password.clone();
            Some(admin.access.in_turn(move || hash(&password)).await??)
        }
    };
    let (by, name, fresh, now) = (circle.name(), name.to_owned(), random_name()?, host::clock::wall_seconds());
    let who = who.clone();
    circle
        .keeper
        .edit(move |trust| {
            let known = trust.user_named(&name).map(|(id, user)| (id.to_owned(), user.clone()));
            let (id, user) = match (known, password) {
                (Some((id, user)), password) => {
                    if set.role.is_some_and(|role| role != Role::Admin) {
                        may_cease(trust, &id, &user, &who)?;
                    }
                    let password = password.unwrap_or(user.password);
                    (id, User { name, role: set.role.unwrap_or(user.role), password })
                }
                (None, Some(password)) => {
                    let role = set.role.ok_or_else(|| Failure::Request("a new person needs a role".into()))?;
                    (fresh, User { name, role, password })
                }
                (None, None) => return Err(Failure::Request("a new person needs a password".into())),
            };
            let role = user.role;
            end_sessions(trust, &id, keep.as_deref(), &by, now);
            trust.put(&id, &by, Item::User(user))?;
            Ok(role)
        })
        .await?
}

fn end_sessions(trust: &mut Trust, user: &str, keep: Option<&str>, by: &str, now: u64) {
    let theirs =
        |(id, token): (&str, &Token)| (token.user.as_deref() == Some(user) && Some(id) != keep).then(|| id.to_owned());
    let sessions: Vec<String> = trust.tokens().filter_map(theirs).collect();
    for id in sessions {
        trust.remove(&id, by, now);
    }
}

/// A person is none any more.
pub(super) async fn remove_user(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    remove(&admin, &who, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a person, and ends that person's sessions.
pub(crate) async fn remove(admin: &Admin, who: &Who, name: &str) -> Result<(), Failure> {
    who.may(admin, Action::RemoveUser)?;
    let circle = admin.access.circle()?;
    let (by, wanted, asks) = (circle.name(), name.to_owned(), who.clone());
    let (now, missing) = (host::clock::wall_seconds(), Failure::Missing(format!("there is no person {name}")));
    let removed = circle.keeper.edit(move |trust| {
        let known = trust.user_named(&wanted).map(|(id, user)| (id.to_owned(), user.clone()));
        let Some((id, user)) = known else { return Err(missing) };
        may_cease(trust, &id, &user, &asks)?;
        end_sessions(trust, &id, None, &by, now);
        trust.remove(&id, &by, now);
        Ok(())
    });
    removed.await??;
    who.did(admin, Action::RemoveUser, name);
    Ok(())
}

/// Who there is.
pub(super) async fn people(State(admin): State<Arc<Admin>>, who: Who) -> Result<Json<People>, Failure> {
    list(&admin, &who).map(Json)
}

/// People, sessions and programs' tokens.
pub(crate) fn list(admin: &Admin, who: &Who) -> Result<People, Failure> {
    who.may(admin, Action::ReadUsers)?;
    let known = admin.access.circle()?.keeper.known();
    let (trust, now) = (&known.trust, host::clock::wall_seconds());
    let person = |(_, user): (&str, &User)| Person { name: user.name.clone(), role: user.role };
    let token = |(id, token): (&str, &Token)| TokenStatus {
        id: id.to_owned(),
        name: token.name.clone(),
        role: token.role,
        expires: token.expires,
        session: token.user.is_some(),
    };
    let tokens = trust.tokens().filter(|(_, token)| token.expires > now).map(token).collect();
    Ok(People { users: trust.users().map(person).collect(), tokens })
}

/// A token for a program.
pub(super) async fn issue_token(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Body(wanted): Body<IssueToken>,
) -> Result<Json<Granted>, Failure> {
    issue(&admin, &who, &wanted).await.map(Json)
}

/// A new token for a program, which is shown once.
pub(crate) async fn issue(admin: &Admin, who: &Who, wanted: &IssueToken) -> Result<Granted, Failure> {
    who.may(admin, Action::IssueToken)?;
    if !is_valid_name(&wanted.name) || !(1..=LONGEST_TOKEN).contains(&wanted.seconds) {
        return Err(Failure::Request("a token has a name, and lasts for a second to two years".into()));
    }
    let granted = grant(admin, None, &wanted.name, wanted.role, wanted.seconds).await?;
    who.did(admin, Action::IssueToken, &format!("{} ({}, {})", granted.id, wanted.name, wanted.role));
    Ok(granted)
}

/// A token counts no more.
pub(super) async fn revoke_token(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    refuse(&admin, &who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes a session, a program's token or a join token, by its public name.
pub(crate) async fn refuse(admin: &Admin, who: &Who, id: &str) -> Result<(), Failure> {
    who.may(admin, Action::RevokeToken)?;
    if !revoke(admin, id).await? {
        return Err(Failure::Missing(format!("there is no token {id}")));
    }
    who.did(admin, Action::RevokeToken, id);
    Ok(())
}
