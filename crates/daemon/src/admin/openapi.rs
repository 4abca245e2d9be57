//! This API as an OpenAPI 3.1 document: `GET /v1/openapi.json` and `standin openapi`.
//!
//! Schemas are made from the types that handlers read and write. [`OPERATIONS`] says which handler has which; a test compares it
//! with the routes, one way and the other.

use axum::Json;
use chronicle::incident::Summary;
use model::{
    access::{Action, Role},
    api::{Status, Why, access, doctor, notify, request, usage::DnsUsage},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{heartbeats, log, usage};
use crate::{desk::api as desk, journal::Entry};

/// Who may ask.
#[derive(Clone, Copy)]
enum May {
    /// Who may do that.
    Do(Action),
    /// Anybody.
    Anybody,
}

/// What is sent, or answered.
#[derive(Clone, Copy)]
enum Carries {
    Nothing,
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// It may be left out.
    MaybeJson(fn(&mut SchemaGenerator) -> Schema),
    Text(&'static str),
}

use Carries::{MaybeJson, Nothing, Text};
use May::{Anybody, Do};

/// One request: method, path, who may, what is sent, the code of success and what is answered.
type Operation = (&'static str, &'static str, May, Carries, u16, Carries);

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn of<T: JsonSchema>() -> Carries {
    Carries::Json(schema::<T>)
}

const OPERATIONS: &[Operation] = &[
    ("get", "/metrics", Do(Action::ReadMetrics), Nothing, 200, Text("text/plain")),
    ("get", "/v1/openapi.json", Anybody, Nothing, 200, of::<Map<String, Value>>()),
    ("get", "/v1/status", Do(Action::ReadStatus), Nothing, 200, of::<Status>()),
    ("get", "/v1/events", Do(Action::ReadEvents), Nothing, 200, Carries::Json(events)),
    ("get", "/v1/log", Do(Action::ReadEvents), Nothing, 200, of::<log::Page>()),
    ("get", "/v1/log/arrived", Do(Action::ReadEvents), Nothing, 200, of::<log::News>()),
    ("get", "/v1/incidents", Do(Action::ReadEvents), Nothing, 200, of::<log::Incidents>()),
    ("get", "/v1/incidents/summary", Do(Action::ReadEvents), Nothing, 200, of::<Summary>()),
    ("get", "/v1/heartbeats", Do(Action::ReadHeartbeats), Nothing, 200, of::<heartbeats::Heartbeats>()),
    ("get", "/v1/clock", Do(Action::Diagnose), Nothing, 200, of::<doctor::Clock>()),
    ("get", "/v1/doctor", Do(Action::Diagnose), Nothing, 200, of::<doctor::Diagnosis>()),
    ("post", "/v1/dns/why", Do(Action::AskDns), of::<request::Question>(), 200, of::<Why>()),
    ("get", "/v1/dns/top", Do(Action::AskDns), Nothing, 200, of::<DnsUsage>()),
    ("get", "/v1/dns/clients", Do(Action::ReadClients), Nothing, 200, of::<DnsUsage>()),
    ("post", "/v1/standby", Do(Action::Standby), of::<request::Target>(), 204, Nothing),
    ("post", "/v1/resume", Do(Action::Resume), of::<request::Target>(), 204, Nothing),
    ("post", "/v1/monitor/force", Do(Action::ForceMonitor), of::<request::ForceMonitor>(), 204, Nothing),
    ("post", "/v1/monitor/reset", Do(Action::ResetMonitor), of::<request::ResetMonitor>(), 204, Nothing),
    ("post", "/v1/push", Do(Action::Push), of::<request::Push>(), 204, Nothing),
    ("get", "/v1/notify", Do(Action::ReadStatus), Nothing, 200, of::<Vec<notify::ChannelStatus>>()),
    ("post", "/v1/notify/test", Do(Action::TestNotification), of::<notify::TestChannel>(), 200, of::<notify::Tested>()),
    ("get", "/v1/config", Do(Action::ReadConfiguration), Nothing, 200, of::<desk::Configuration>()),
    ("post", "/v1/config/plan", Do(Action::ReadConfiguration), of::<desk::EditRequest>(), 200, of::<desk::Plan>()),
    ("post", "/v1/config/edit", Do(Action::EditConfiguration), of::<desk::EditRequest>(), 200, of::<desk::Edited>()),
    ("post", "/v1/config/confirm", Do(Action::EditConfiguration), Nothing, 200, of::<request::Version>()),
    ("post", "/v1/config/at", Do(Action::ReadConfiguration), of::<request::Version>(), 200, of::<Map<String, Value>>()),
    (
        "post",
        "/v1/config/history",
        Do(Action::ReadConfiguration),
        of::<request::Limit>(),
        200,
        of::<Vec<desk::HistoryEntry>>(),
    ),
    ("post", "/v1/login", Anybody, of::<access::Login>(), 200, of::<access::Granted>()),
    ("post", "/v1/logout", Do(Action::LogOut), Nothing, 204, Nothing),
    ("post", "/v1/password", Do(Action::ChangeOwnPassword), of::<access::NewPassword>(), 204, Nothing),
    ("get", "/v1/users", Do(Action::ReadUsers), Nothing, 200, of::<access::People>()),
    ("put", "/v1/users/{name}", Do(Action::SetUser), of::<access::SetUser>(), 204, Nothing),
    ("delete", "/v1/users/{name}", Do(Action::RemoveUser), Nothing, 204, Nothing),
    ("post", "/v1/api-tokens", Do(Action::IssueToken), of::<access::IssueToken>(), 200, of::<access::Granted>()),
    ("delete", "/v1/api-tokens/{id}", Do(Action::RevokeToken), Nothing, 204, Nothing),
    ("post", "/v1/join-tokens", Do(Action::Invite), of::<access::Invite>(), 200, of::<access::Invited>()),
    ("post", "/v1/join", Anybody, of::<access::Join>(), 200, of::<access::Joined>()),
    ("get", "/v1/servers", Do(Action::ReadMembers), Nothing, 200, of::<access::Servers>()),
    ("get", "/v1/servers/progress", Do(Action::ReadMembers), Nothing, 200, Text(super::progress::LINES)),
    (
        "delete",
        "/v1/servers/{name}",
        Do(Action::RemoveServer),
        MaybeJson(schema::<access::RemoveServer>),
        200,
        of::<access::Removed>(),
    ),
    ("post", "/v1/leave", Do(Action::Leave), Nothing, 200, of::<access::Removed>()),
    ("post", "/v1/rotate", Do(Action::Rotate), of::<access::Rotate>(), 202, Nothing),
];

/// This server's entries, or with `cluster=true` all servers'.
fn events(generator: &mut SchemaGenerator) -> Schema {
    let (own, all) = (schema::<Vec<Entry>>(generator), schema::<access::ClusterEvents>(generator));
    let either = json!({ "anyOf": [own, all] });
    Schema::try_from(either).expect("an object is a schema")
}

pub(super) async fn get() -> Json<Value> {
    Json(openapi())
}

/// The whole document.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let (method, path, ..) = *operation;
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[method] = describe(operation, &mut generator);
    }
    let schemas = generator.take_definitions(true);
    let bearer =
        json!({ "type": "http", "scheme": "bearer", "description": "of `POST /v1/login`, or a program's token" });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Standin",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Any server of the cluster answers. Over the Unix socket nobody logs in.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": { "bearer": bearer } },
        "security": [{ "bearer": [] }],
    })
}

fn describe((method, path, may, sent, code, answered): &Operation, generator: &mut SchemaGenerator) -> Value {
    let answer = match answered {
        Nothing => json!({ "description": "done" }),
        _ => json!({ "description": "done", "content": content(*answered, generator) }),
    };
    let refusal = schema::<request::Refusal>(generator);
    let refused = |why: &str| json!({ "description": why, "content": { "application/json": { "schema": refusal } } });
    let mut described = json!({
        "operationId": name(method, path),
        "responses": {
            code.to_string(): answer,
            "4XX": refused("refused, and why"),
            "5XX": refused("not possible now, and why"),
        },
    });
    match may {
        Anybody => described["security"] = json!([]),
        Do(action) => {
            described["summary"] = action.effect().into();
            described["description"] =
                format!("For the role {}: as `{}`.", least(action.role()), action.command()).into();
        }
    }
    if !matches!(sent, Nothing) {
        let required = !matches!(sent, MaybeJson(_));
        described["requestBody"] = json!({ "required": required, "content": content(*sent, generator) });
    }
    let parameters = parameters(path);
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    described
}

fn least(role: Role) -> String {
    let including: Vec<&str> = Role::ALL.iter().filter(|other| **other >= role).map(|role| role.word()).collect();
    including.join(", ")
}

fn content(what: Carries, generator: &mut SchemaGenerator) -> Value {
    match what {
        Nothing => json!({}),
        Text(kind) => json!({ kind: { "schema": { "type": "string" } } }),
        Carries::Json(schema) | MaybeJson(schema) => json!({ "application/json": { "schema": schema(generator) } }),
    }
}

/// What stands in braces in the path; and the one query that there is.
fn parameters(path: &str) -> Vec<Value> {
    let in_braces = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> = in_braces
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }))
        .collect();
    if path == "/v1/events" {
        let what = "all servers' events, not this one's alone";
        all.push(json!({ "name": "cluster", "in": "query", "description": what, "schema": { "type": "boolean" } }));
    }
    if ["/v1/log", "/v1/log/arrived", "/v1/incidents", "/v1/incidents/summary"].contains(&path) {
        all.extend(of_query::<log::Wanted>());
    }
    match path {
        "/v1/dns/top" => all.extend(of_query::<usage::Top>()),
        "/v1/dns/clients" => all.extend(of_query::<usage::Clients>()),
        "/v1/heartbeats" => all.extend(of_query::<heartbeats::Wanted>()),
        _ => {}
    }
    all
}

/// What a query may say, from its type.
fn of_query<T: JsonSchema>() -> Vec<Value> {
    let schema = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = schema.into_generator().into_root_schema_for::<T>();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        // What may be left out is left out, and never `null`.
        if let Some(kind) = schema.get("type").and_then(Value::as_array).and_then(|kinds| kinds.first()).cloned() {
            schema["type"] = kind;
        }
        if let Some(kind) = schema.get("anyOf").and_then(Value::as_array).and_then(|kinds| kinds.first()).cloned() {
            schema = kind;
        }
        schema.as_object_mut().map(|schema| schema.remove("default"));
        json!({ "name": name, "in": "query", "schema": schema })
    };
    properties.map(parameter).collect()
}

/// `get-v1-config`.
fn name(method: &str, path: &str) -> String {
    let parts = path.split(['/', '.']).filter(|part| !part.is_empty()).map(|part| part.trim_matches(['{', '}']));
    [method].into_iter().chain(parts).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Every route below `/v1` that the sources have, and of which handler methods.
    fn routes() -> BTreeSet<(String, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin");
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let Ok(source) = fs::read_to_string(&path) else { continue };
            let source = source.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            for route in source.split(".route(\"").skip(1) {
                let (path, rest) = route.split_once('"').unwrap();
                // Up to the next route, or the end of the expression.
                let rest = rest.split([';', '}']).next().unwrap_or_default();
                let rest = rest.split(".merge(").next().unwrap_or_default().split(".layer(").next().unwrap_or_default();
                for method in ["get", "post", "put", "delete"] {
                    if rest.contains(&format!("{method}(")) {
                        found.insert((method.to_owned(), path.to_owned()));
                    }
                }
            }
        }
        found
    }

    #[test]
    fn every_route_is_an_operation_and_every_operation_a_route() {
        let described: BTreeSet<(String, String)> =
            OPERATIONS.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(described.len(), OPERATIONS.len(), "no operation twice");
        let routes = routes();
        let lacking: Vec<_> = routes.difference(&described).collect();
        assert!(lacking.is_empty(), "routes that OPERATIONS lacks: {lacking:?}");
        let invented: Vec<_> = described.difference(&routes).collect();
        assert!(invented.is_empty(), "operations without a route: {invented:?}");
    }

    #[test]
    fn every_action_is_somebodys_and_every_reference_leads_somewhere() {
        let document = openapi();
        let text = document.to_string();
        for action in Action::ALL {
            assert!(text.contains(action.effect()), "no operation does {}", action.word());
        }
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name} is missing");
        }
        assert!(schemas.contains_key("Status") && schemas.contains_key("EditRequest"));
        let users = &document["paths"]["/v1/users/{name}"];
        assert_eq!(users["put"]["parameters"][0]["name"], "name");
        assert_eq!(document["paths"]["/v1/login"]["post"]["security"], json!([]));
    }
}
