//! The document in the state directory in place of the cluster file. Read only: the daemon that has it open writes it.

use std::sync::Arc;

use document::{
    Checker, Document, Incarnation, Kind,
    object::Assembly,
    settle::{Settled, settle},
};
use host::store::Recovered;
use model::{config::NodeConfig, diagnostic::Diagnostic};

use super::{Loaded, Loader, Mode, Text, hooks, read};

impl Loader {
    /// The document's chunks; none where there is no document: file mode.
    pub(super) fn document(&mut self, node: &NodeConfig, node_text: &Text) -> Option<Recovered> {
        host::store::peek(&node.state_dir).unwrap_or_else(|error| {
            let message = format!("the document in {} cannot be read: {error}", node.state_dir.display());
            self.mistakes.push(node_text.mistake(&["state-dir"], message, "run it as the daemon's user"));
            None
        })
    }

    pub(super) fn document_mode(&mut self, node: NodeConfig, node_text: &Text, found: Recovered) -> Option<Loaded> {
        let keys = self.keys(&node, node_text);
        let place = node.state_dir.join("document.log").display().to_string();
        if found.cut > 0 {
            self.warnings.push(format!("{place}: {} bytes behind the last whole change are torn", found.cut));
        }
        // Nobody writes with it.
        let document = Document::load(Incarnation([0; 16]), found.chunks.iter().map(Vec::as_slice));
        let settled =
            match document {
                Ok(document) => settle(&document, &mut Checker::default()).map(|settled| (document.digest(), settled)),
                Err(error) => {
                    let file = Arc::from(place);
                    self.mistakes.push(Diagnostic::at(&file, "", 0..0, error.to_string()).help(
                        "this is damage to the disk: move the file away, and take the document from another server",
                    ));
                    return None;
                }
            };
        let (digest, settled) = settled
            .map_err(|mistakes| self.mistakes.extend(mistakes.into_iter().map(|mistake| mistake.diagnostic)))
            .ok()?;
        let settled = self.with_draft(settled)?;
        let mut cluster = settled.checked.config;
        Arc::make_mut(&mut cluster).digest = digest;
        let assembly = Assembly::of(&settled.objects);
        let text = Text { name: "the document".into(), text: assembly.text.clone() };
        self.check_node(&node, node_text, &cluster, &text);
        let found = hooks::look(&cluster, &text, &node);
        self.warnings.extend(found.warnings);
        self.refused_hooks = carried(&assembly, found.mistakes);
        let (warnings, refused_hooks) = (std::mem::take(&mut self.warnings), self.refused_hooks.clone());
        let zones = settled.checked.zones;
        let (keys, member) = keys?;
        Some(Loaded { node, cluster, mode: Mode::Document, zones, keys, member, warnings, refused_hooks })
    }
}

impl Loader {
    /// The same with a draft in the place of a zone's template, where one is tried out.
    fn with_draft(&mut self, mut settled: Settled) -> Option<Settled> {
        let Some((zone, file)) = self.draft.clone() else { return Some(settled) };
        let text = read(&file).map_err(|refusal| self.mistakes.push(refusal.in_itself(&file))).ok()?;
        // A zone that is not there is told by whoever looks for it.
        let Some(settings) = settled.checked.config.zones.get(&zone) else { return Some(settled) };
        let key = document::Key::new(Kind::Template, &settings.template.to_string_lossy())?;
        settled.objects.insert(key.clone(), text.text.into());
        match Checker::default().check(&settled.objects) {
            Ok(checked) => Some(Settled { checked, ..settled }),
            Err(mistakes) => {
                self.mistakes.extend(mistakes.into_iter().map(|mistake| match mistake.key == key {
                    true => Diagnostic { file: text.name.clone(), ..mistake.diagnostic },
                    false => mistake.diagnostic,
                }));
                None
            }
        }
    }
}

/// Hooks of a document that this machine refuses to run as they are.
pub(crate) fn hooks_refused(settled: &Settled, node: &NodeConfig) -> Vec<Diagnostic> {
    let config = &settled.checked.config;
    if config.virtual_hosts.values().all(|host| host.hooks.is_empty()) && config.channels.is_empty() {
        return Vec::new();
    }
    let assembly = Assembly::of(&settled.objects);
    let text = Text { name: "the document".into(), text: assembly.text.clone() };
    carried(&assembly, hooks::look(config, &text, node).mistakes)
}

fn carried(assembly: &Assembly, mistakes: Vec<Diagnostic>) -> Vec<Diagnostic> {
    mistakes.into_iter().map(|mistake| assembly.carry(mistake).1).collect()
}
