//! A cluster file with its templates, and what they include, as objects of a document: for `init`, `plan`, `apply` and `diff`.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
    sync::Arc,
};

use document::{Key, Kind, Objects, beside, object::split};
use model::config::parse_cluster;

use super::{LoadError, Loader, Text, load_zone_with, read};

/// Reads and checks the cluster file at `path`.
///
/// # Errors
/// All mistakes of all files.
pub fn import(path: &Path) -> Result<Objects, LoadError> {
    let mut loader = Loader::default();
    match loader.import(path) {
        Some(objects) if loader.mistakes.is_empty() => Ok(objects),
        Some(_) | None => Err(LoadError { mistakes: loader.sorted() }),
    }
}

impl Loader {
    fn import(&mut self, path: &Path) -> Option<Objects> {
        let text = read(path).map_err(|refusal| self.mistakes.push(refusal.in_itself(path))).ok()?;
        let cluster = self.keep(parse_cluster(&text.name, &text.text))?;
        let mut templates = BTreeMap::new();
        for (name, settings) in &cluster.zones {
            let file = text.resolve(&settings.template);
            let place = ["zone", name.as_str(), "template"];
            let template = match read(&file) {
                Ok(template) => template,
                Err(refusal) => {
                    let help = "`template` is relative to the directory of this file";
                    self.mistakes.push(refusal.at(&text, &place, "the zone template", &file, help));
                    continue;
                }
            };
            let Some(key) = Key::new(Kind::Template, &called(&settings.template)) else {
                let message =
                    format!("{} cannot be the name of a template in the document", settings.template.display());
                self.mistakes.push(text.mistake(&place, message, "write a plain path such as `zones/lb.zone`"));
                continue;
            };
            let mut included = Vec::new();
            let zone = load_zone_with(name, &template, &settings.variables, &cluster, &mut |file, text| {
                included.push((file.to_owned(), Arc::<str>::from(text)));
            });
            let _checked = self.keep(zone);
            let mut all = vec![(Some(key.clone()), Arc::from(template.text.as_str()))];
            all.extend(included.into_iter().map(|(file, text)| (beside(&key, &file), text)));
            for (key, content) in all {
                self.template(&text, &place, &mut templates, key, content);
            }
        }
        let objects = split(&text.text, &|template| called(Path::new(template)));
        if objects.is_none() {
            self.mistakes.push(text.mistake(
                &[],
                "this file cannot be taken into the document".into(),
                "rename what is odd",
            ));
        }
        let mut objects = objects?;
        objects.extend(templates);
        Some(objects)
    }

    fn template(&mut self, text: &Text, place: &[&str], templates: &mut Objects, key: Option<Key>, content: Arc<str>) {
        let help = "keep the files that templates include in the directory of the templates, each under its own name";
        match key {
            None => {
                let message = "this template includes a file from outside its directory".to_owned();
                self.mistakes.push(text.mistake(place, message, help));
            }
            Some(key) => {
                if templates.get(&key).is_some_and(|other| *other != content) {
                    let message = format!("two different files would both be called {key} in the document");
                    self.mistakes.push(text.mistake(place, message, help));
                }
                templates.insert(key, content);
            }
        }
    }
}

/// What a template is called in the document: its path as written, where that leads nowhere else; else its file's name.
fn called(template: &Path) -> String {
    let plain = template.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let parts = template.components().filter(|part| matches!(part, Component::Normal(_)));
    let parts: Vec<_> = parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if plain { parts.join("/") } else { parts.last().cloned().unwrap_or_default() }
}
