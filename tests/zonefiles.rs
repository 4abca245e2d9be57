//! What we print is a master file for everybody: BIND's, Knot's and NSD's checkers accept the example and every valid
//! template as rendered, and the parent's snippet delegates to what the example serves.
//!
//! Debian packages: bind9-utils, knot-dnssecutils, nsd. Where a checker is not installed its part is skipped and says so;
//! with `CI=true` that is a failure.

mod zone_support;

use std::{env, fs, path::Path, process::Command};

use dns::Zone;
use hickory_proto::rr::{LowerName, RData, RecordType};
use model::ZoneName;
use zone_support::{ZONE, cluster, load, members, path, templates};

/// A checker: its program, where Debian puts it, and its arguments before the file.
struct Checker {
    program: &'static str,
    arguments: fn(&str) -> Vec<String>,
}

const CHECKERS: [Checker; 3] = [
    Checker {
        program: "named-checkzone",
        // Local: names in other zones are not looked up.
        arguments: |zone| vec!["-i".into(), "local".into(), zone.into()],
    },
    Checker { program: "kzonecheck", arguments: |zone| vec!["-o".into(), zone.into()] },
    Checker { program: "nsd-checkzone", arguments: |zone| vec![zone.into()] },
];

impl Checker {
    fn path(&self) -> Option<std::path::PathBuf> {
        let found = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
        let from_path = env::var("PATH").unwrap_or_default();
        let mut folders = from_path.split(':').chain(found).filter(|folder| !folder.is_empty());
        folders.find_map(|folder| Some(Path::new(folder).join(self.program)).filter(|path| path.is_file()))
    }

    /// What the checker has against the file; nothing if it accepts it.
    fn refuses(&self, program: &Path, zone: &str, file: &Path) -> Option<String> {
        let output = Command::new(program).args((self.arguments)(zone)).arg(file).output().expect("it can be started");
        let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (!output.status.success()).then(|| format!("{} of {}: {words}", self.program, file.display()))
    }
}

/// The checkers that are installed.
fn installed() -> Vec<(&'static Checker, std::path::PathBuf)> {
    let found: Vec<_> = CHECKERS.iter().filter_map(|checker| Some((checker, checker.path()?))).collect();
    for missing in CHECKERS.iter().filter(|checker| checker.path().is_none()) {
        assert!(env::var("CI").as_deref() != Ok("true"), "{} is not installed", missing.program);
        eprintln!("skipped: {} is not installed", missing.program);
    }
    found
}

/// Every rendered zone, by name.
fn rendered() -> Vec<(String, String)> {
    let mut sources = vec![("zones/example/cluster.toml", "zones/example/lb.zone".to_owned())];
    sources.extend(templates("zones/valid").into_iter().map(|template| ("zones/test-cluster.toml", template)));
    let render = |(file, template): (&str, String)| {
        let config = cluster(file);
        let zone = load(&config, &template).map_err(|mistakes| mistakes[0].to_string()).expect("a valid template");
        let name = template.replace('/', "-");
        (name, zone.render(&|pool| members(&config, pool), 2_026_112_301))
    };
    sources.into_iter().map(render).collect()
}

#[test]
fn other_servers_accept_what_is_rendered() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let zones = rendered();
    let checkers = installed();
    let mut refused = Vec::new();
    for (name, text) in &zones {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("the zone can be written");
        refused.extend(checkers.iter().filter_map(|(checker, program)| checker.refuses(program, ZONE, &file)));
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));

    // The same checkers do refuse a zone without its SOA.
    let file = folder.path().join("broken");
    let broken: Vec<&str> = zones[0].1.lines().filter(|line| !line.contains("\tSOA\t")).collect();
    fs::write(&file, broken.join("\n") + "\n").expect("the zone can be written");
    for (checker, program) in &checkers {
        assert!(checker.refuses(program, ZONE, &file).is_some(), "{} accepts anything", checker.program);
    }
}

#[test]
fn the_parents_snippet_delegates_to_what_the_example_serves() {
    let config = cluster("zones/example/cluster.toml");
    let zone = load(&config, "zones/example/lb.zone").expect("the example is valid");
    let file = path("zones/example/parent.zone");
    let text = fs::read_to_string(&file).expect("the snippet can be read");
    let name = ZoneName::new("example.test");
    let parent =
        dns::zone::load(&name, "parent.zone", &text, &Default::default(), &config, &mut |_| Err(String::new()))
            .map_err(|mistakes| mistakes[0].to_string())
            .expect("the snippet is a valid zone");
    for (checker, program) in installed() {
        assert_eq!(checker.refuses(&program, "example.test", &file), None);
    }

    let apex = LowerName::new(&zone.origin);
    let data = |zone: &Zone, owner: &LowerName, rtype| Some(zone.owners.get(owner)?.set(rtype)?.data());
    let servers = data(&zone, &apex, RecordType::NS).expect("name servers");
    assert_eq!(data(&parent, &apex, RecordType::NS).as_ref(), Some(&servers), "the delegation names other servers");
    for server in &servers {
        let RData::NS(target) = server else { unreachable!("an NS set holds NS records") };
        let target = LowerName::new(&target.0);
        for rtype in [RecordType::A, RecordType::AAAA] {
            assert_eq!(data(&parent, &target, rtype), data(&zone, &target, rtype), "{target} {rtype}");
        }
    }
}

/// A template without pseudo-records and variables is a master file already: BIND reads the same records from it as we.
#[test]
fn plain_templates_mean_what_bind_takes_them_for() {
    let compile = Checker { program: "named-compilezone", arguments: |_| Vec::new() };
    let Some(program) = compile.path() else {
        assert!(env::var("CI").as_deref() != Ok("true"), "named-compilezone is not installed");
        eprintln!("skipped: named-compilezone is not installed");
        return;
    };
    let compiled = |file: &Path| {
        let arguments = ["-i", "local", "-k", "ignore", "-s", "full", "-o", "-", ZONE];
        let mut command = Command::new(&program);
        let output = command.args(arguments).arg(file).current_dir(path("zones/valid")).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines: Vec<String> =
            text.lines().filter(|line| line.contains("\tIN ") || line.contains(" IN ")).map(str::to_owned).collect();
        lines.sort();
        assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
        lines
    };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
    let config = cluster("zones/test-cluster.toml");
    let mut compared = 0;
    for template in templates("zones/valid") {
        let text = fs::read_to_string(path(&template)).expect("the template can be read");
        let glue = "@ NS ns1\nns1 A 10.77.0.101\nns1 AAAA fd00:77::101\n";
        let text = text.replace("@\tNAMESERVERS ns1=virtual1\n", glue);
        let has_variables = text.match_indices("${").any(|(at, _)| text[at + 2..].starts_with(char::is_alphabetic));
        if text.contains("POOL") || text.contains("NAMESERVERS") || has_variables {
            continue;
        }
        let zone = load(&config, &template).map_err(|mistakes| mistakes[0].to_string()).expect("a valid template");
        fs::write(&theirs, text).expect("the zone can be written");
        fs::write(&ours, zone.render(&|_| Vec::new(), 0)).expect("the zone can be written");
        assert_eq!(compiled(&theirs), compiled(&ours), "{template}");
        compared += 1;
    }
    assert!(compared >= 18, "only {compared} templates were compared");
}
