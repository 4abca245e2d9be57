//! The corpora of zone templates: every one in `zones/valid` gives exactly its `.plain` master file, every one in
//! `zones/invalid` exactly its `.expect` diagnostics. `UPDATE=1` writes what is given now.

mod zone_support;

use std::{env, fs, path::Path};

use zone_support::{cluster, load, members, path, templates};

const CLUSTER: &str = "zones/test-cluster.toml";

/// Compares `given` with the file at `expected`, or writes it there; what differs, for people.
fn compare(expected: &Path, given: &str) -> Option<String> {
    if env::var_os("UPDATE").is_some() {
        fs::write(expected, given).expect("the expectation can be written");
        return None;
    }
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    (wanted != given).then(|| format!("{}\n--- expected\n{wanted}\n--- given\n{given}", expected.display()))
}

#[test]
fn every_valid_template_gives_its_plain_master_file() {
    let config = cluster(CLUSTER);
    let templates = templates("zones/valid");
    assert!(templates.len() >= 20, "only {} templates were found", templates.len());
    let mut wrong = Vec::new();
    for template in &templates {
        let given = match load(&config, template) {
            Ok(zone) => zone.render(&|pool| members(&config, pool), 7),
            Err(mistakes) => {
                wrong.extend(mistakes.iter().map(ToString::to_string));
                continue;
            }
        };
        wrong.extend(compare(&path(template).with_extension("plain"), &given));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_invalid_template_gives_exactly_its_diagnostics() {
    let config = cluster(CLUSTER);
    let templates = templates("zones/invalid");
    assert!(templates.len() >= 100, "only {} templates were found", templates.len());
    let mut wrong = Vec::new();
    for template in &templates {
        match load(&config, template) {
            Ok(_) => wrong.push(format!("{template} was accepted")),
            Err(mistakes) => {
                let given: String = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect();
                wrong.extend(compare(&path(template).with_extension("expect"), &given));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_example_is_valid() {
    let config = cluster("zones/example/cluster.toml");
    let zone = load(&config, "zones/example/lb.zone").map_err(|mistakes| mistakes[0].to_string());
    let zone = zone.expect("the example is valid");
    let given = zone.render(&|pool| members(&config, pool), 7);
    let wrong = compare(&path("zones/example/lb.plain"), &given);
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

#[test]
fn the_examples_node_file_is_valid_and_names_a_server_of_its_cluster() {
    let text = fs::read_to_string(path("zones/example/standin.toml")).expect("the node file can be read");
    let node = model::config::parse_node("zones/example/standin.toml", &text);
    let node = node.map_err(|mistakes| mistakes[0].to_string()).expect("the node file is valid");
    let config = cluster("zones/example/cluster.toml");
    let server = config.servers.get(&node.name).expect("the node is a server of the cluster");
    assert_eq!(server.heartbeat, node.heartbeat_listen);
}
