//! From an image's derivation to the components in it.
//!
//! The derivations behind an image form a graph that ends at the seed. Walking all of it once says which
//! derivation makes which store path; after that only paths that are in the image matter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use picnix_store::Store;
use picnix_store_core::{Derivation, DerivationOutput, StorePath};
use serde_json::Value;

use super::{Bill, Component, Descriptions, Kind, Presence, Source};
use crate::Error;

/// The builder of images.
const IMAGE_BUILDER: &[u8] = b"builtin:image";
/// The builder that unpacks Debian packages, which then are the source.
const DEBS_BUILDER: &[u8] = b"builtin:debs";
/// The first bytes of a program or library.
const ELF_MAGIC: [u8; 4] = *b"\x7fELF";

/// What an image that was built consists of.
pub(crate) fn contents(
    store: &Store,
    format: String,
    drv_path: &StorePath,
    image: &StorePath,
    known: &Descriptions,
) -> Result<Bill, Error> {
    let walk = Walk::new(store, drv_path)?;
    let mut paths = BTreeSet::new();
    walk.add_image(drv_path, &mut paths)?;
    let mut parts =
        Parts { walk: &walk, known, components: Vec::new(), places: BTreeMap::new() };
    for path in &paths {
        parts.add(path, Presence::Installed)?;
    }
    parts.link()?;
    parts.refer()?;
    let components = in_order(parts.components);
    let nar_hash = store.path_info(image)?.nar_hash;
    Ok(Bill { format, image: image.clone(), nar_hash, components })
}

/// The derivations behind an image.
struct Walk<'a> {
    store: &'a Store,
    /// Which derivation makes a path.
    makers: BTreeMap<StorePath, StorePath>,
}

impl<'a> Walk<'a> {
    fn new(store: &'a Store, from: &StorePath) -> Result<Self, Error> {
        let mut makers = BTreeMap::new();
        let (mut seen, mut todo) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(drv_path) = todo.pop() {
            if !seen.insert(drv_path.clone()) {
                continue;
            }
            let drv = store.read_derivation(&drv_path)?;
            for path in outputs(store, &drv)? {
                makers.insert(path, drv_path.clone());
            }
            todo.extend(drv.input_drvs.keys().cloned());
        }
        Ok(Self { store, makers })
    }

    fn read(&self, drv_path: &StorePath) -> Result<Arc<Derivation>, Error> {
        Ok(self.store.read_derivation(drv_path)?)
    }

    /// The derivation that makes a path, if it is not a file of the user's.
    fn maker(
        &self,
        path: &StorePath,
    ) -> Result<Option<(StorePath, Arc<Derivation>)>, Error> {
        let Some(drv_path) = self.makers.get(path) else { return Ok(None) };
        Ok(Some((drv_path.clone(), self.read(drv_path)?)))
    }

    /// Adds the store paths that an image has in it. All inputs of an image are contents; an image in it, such
    /// as the file system on a disk, has contents of its own.
    fn add_image(
        &self,
        drv_path: &StorePath,
        found: &mut BTreeSet<StorePath>,
    ) -> Result<(), Error> {
        let drv = self.read(drv_path)?;
        let roots = copied_closures(&drv, self.store);
        found.extend(self.store.closure(&roots)?);
        found.extend(drv.input_srcs.iter().cloned());
        for (input_path, wanted) in &drv.input_drvs {
            let input = self.read(input_path)?;
            if input.builder == IMAGE_BUILDER {
                self.add_image(input_path, found)?;
                continue;
            }
            for name in &wanted.outputs {
                let path = input.output_path(self.store.store_dir(), name.as_str());
                found.extend(path.map_err(picnix_store::Error::from)?);
            }
        }
        Ok(())
    }

    /// The store paths that a variable of a derivation lists.
    fn listed(&self, drv: &Derivation, name: &str) -> Vec<StorePath> {
        words(drv, name).iter().filter_map(|word| named(self.store, word)).collect()
    }

    /// The libraries that a program built by a derivation may have in it: its inputs, and its C library.
    fn libraries(&self, drv: &Derivation) -> Result<Vec<StorePath>, Error> {
        let mut found = self.listed(drv, "buildInputs");
        found.extend(self.listed(drv, "propagatedBuildInputs"));
        for tool in self.listed(drv, "nativeBuildInputs") {
            if let Some((_, compiler)) = self.maker(&tool)? {
                found.extend(self.listed(&compiler, "libc"));
            }
        }
        Ok(found)
    }

    /// What a package was made from: the files that its `src` names, or the Debian packages that it unpacks.
    fn sources(&self, drv: &Derivation) -> Result<Vec<Source>, Error> {
        let mut files = self.listed(drv, "src");
        files.extend(self.listed(drv, "srcs"));
        files.extend(self.listed(drv, "debs"));
        if files.is_empty() && variable(drv, "boxRoot").is_none() {
            for input in drv.input_drvs.keys() {
                let input = self.read(input)?;
                if input.builder == DEBS_BUILDER {
                    files.extend(self.listed(&input, "debs"));
                }
            }
        }
        let mut sources = Vec::new();
        for path in files {
            let Some((drv_path, fetch)) = self.maker(&path)? else { continue };
            let has_several = variable(&fetch, "urls").is_some();
            let urls = words(&fetch, if has_several { "urls" } else { "url" });
            let hash = fetch.outputs.values().find_map(|output| match output {
                DerivationOutput::CaFixed(address) => Some(address.hash),
                _ => None,
            });
            sources.push(Source { path, drv_path, urls, hash });
        }
        Ok(sources)
    }

    /// The names of a derivation's patches; they are files in a folder of the package's.
    fn patches(drv: &Derivation) -> Vec<String> {
        let Some(Value::String(text)) = variable(drv, "patches") else {
            return Vec::new();
        };
        text.split_whitespace()
            .map(|word| word.rsplit('/').next().unwrap_or(word))
            .map(|name| match name.split_once('-') {
                // A patch that is an object of its own has a digest before its name.
                Some((digest, rest)) if digest.len() == 32 => rest.to_owned(),
                _ => name.to_owned(),
            })
            .collect()
    }
}

/// The components that were found so far.
struct Parts<'a> {
    walk: &'a Walk<'a>,
    known: &'a Descriptions,
    components: Vec<Component>,
    /// Where the component of a derivation is, or of a file without one.
    places: BTreeMap<StorePath, usize>,
}

impl Parts<'_> {
    /// Adds a store path to the component that it belongs to.
    fn add(&mut self, path: &StorePath, presence: Presence) -> Result<usize, Error> {
        let maker = self.walk.maker(path)?;
        let key = maker.as_ref().map_or(path, |(drv_path, _)| drv_path).clone();
        if let Some(place) = self.places.get(&key) {
            let component = &mut self.components[*place];
            if component.presence == presence {
                component.paths.insert(path.clone());
            }
            return Ok(*place);
        }
        let mut component = Component {
            name: path.name().to_owned(),
            version: None,
            kind: Kind::File,
            presence,
            paths: BTreeSet::from([path.clone()]),
            sources: Vec::new(),
            patches: Vec::new(),
            needs: BTreeSet::new(),
            linked_with: BTreeSet::new(),
            about: super::Description::default(),
        };
        if let Some((_, drv)) = maker {
            let (name, version) = title(&drv);
            let about = self.known.get(&name);
            let is_package = about.is_some() || version.is_some();
            component.kind = if is_package { Kind::Package } else { Kind::Configuration };
            component.about = about.cloned().unwrap_or_default();
            component.sources = self.walk.sources(&drv)?;
            component.patches = Walk::patches(&drv);
            (component.name, component.version) = (name, version);
        }
        let place = self.components.len();
        self.components.push(component);
        self.places.insert(key, place);
        Ok(place)
    }

    /// Adds what the programs of the components, and then their libraries, are linked with.
    fn link(&mut self) -> Result<(), Error> {
        let mut at = 0;
        while at < self.components.len() {
            let component = &self.components[at];
            let is_library = component.presence == Presence::Linked;
            let path = component.paths.first().cloned();
            if let Some(path) = path
                && let Some((_, drv)) = self.walk.maker(&path)?
                && (is_library || self.has_programs(at)?)
            {
                for library in self.walk.libraries(&drv)? {
                    let place = self.add(&library, Presence::Linked)?;
                    if place != at {
                        self.components[at].linked_with.insert(place);
                    }
                }
            }
            at += 1;
        }
        Ok(())
    }

    fn has_programs(&self, at: usize) -> Result<bool, Error> {
        for path in &self.components[at].paths {
            if has_elf(&self.walk.store.real_path(path))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes which component refers to which.
    fn refer(&mut self) -> Result<(), Error> {
        for at in 0..self.components.len() {
            if self.components[at].presence == Presence::Linked {
                continue;
            }
            let mut needs = BTreeSet::new();
            for path in &self.components[at].paths {
                for reference in self.walk.store.query_references(path)? {
                    let maker = self.walk.makers.get(&reference).unwrap_or(&reference);
                    needs.extend(
                        self.places.get(maker).copied().filter(|place| *place != at),
                    );
                }
            }
            self.components[at].needs = needs;
        }
        Ok(())
    }
}

/// The components by name, with the places that they mention.
fn in_order(components: Vec<Component>) -> Vec<Component> {
    let mut order: Vec<usize> = (0..components.len()).collect();
    order.sort_by_key(|at| (components[*at].name.clone(), components[*at].id()));
    let mut place = vec![0; order.len()];
    for (new, old) in order.iter().enumerate() {
        place[*old] = new;
    }
    let mut components: Vec<Option<Component>> =
        components.into_iter().map(Some).collect();
    let moved = |places: &BTreeSet<usize>| places.iter().map(|old| place[*old]).collect();
    order
        .iter()
        .filter_map(|old| components[*old].take())
        .map(|component| Component {
            needs: moved(&component.needs),
            linked_with: moved(&component.linked_with),
            ..component
        })
        .collect()
}

fn outputs(store: &Store, drv: &Derivation) -> Result<Vec<StorePath>, Error> {
    let paths = drv.output_paths(store.store_dir()).map_err(picnix_store::Error::from)?;
    Ok(paths.into_values().flatten().collect())
}

/// The store paths whose closures an image is given.
fn copied_closures(drv: &Derivation, store: &Store) -> BTreeSet<StorePath> {
    let Some(Value::Object(graphs)) = variable(drv, "exportReferencesGraph") else {
        return BTreeSet::new();
    };
    let texts = graphs.values().flat_map(|value| match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect::<Vec<_>>(),
    });
    texts.filter_map(|text| named(store, text)).collect()
}

/// The store path at or below which a text leads.
fn named(store: &Store, text: &str) -> Option<StorePath> {
    store.store_dir().parse_path_within(text.as_bytes()).ok().map(|(path, _)| path)
}

/// A variable of a derivation, of whichever kind its attributes are.
fn variable(drv: &Derivation, name: &str) -> Option<Value> {
    if let Some(attrs) = &drv.structured_attrs {
        let attrs: Value = serde_json::from_slice(attrs).ok()?;
        return attrs.get(name).cloned();
    }
    let text = drv.env.get(name.as_bytes())?;
    Some(Value::String(String::from_utf8_lossy(text).into_owned()))
}

/// The items of a variable that is a list, or the words of one that is text.
fn words(drv: &Derivation, name: &str) -> Vec<String> {
    match variable(drv, name) {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// The name and version of what a derivation makes: what it says, or else what its name says.
fn title(drv: &Derivation) -> (String, Option<String>) {
    let said = |name| match variable(drv, name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    if let Some(name) = said("pname") {
        return (name, said("version"));
    }
    let (name, version) = picnix_closure::split_name(&drv.name);
    let version = if version.is_empty() { None } else { Some(version.to_owned()) };
    (name.to_owned(), version)
}

/// Is there a program or a library at or below a path?
fn has_elf(at: &Path) -> Result<bool, Error> {
    let failed = |source| Error::File { action: "read", path: at.to_owned(), source };
    let metadata = std::fs::symlink_metadata(at).map_err(failed)?;
    if metadata.is_file() {
        let mut start = [0; ELF_MAGIC.len()];
        let mut file = File::open(at).map_err(failed)?;
        let read = file.read(&mut start).map_err(failed)?;
        return Ok(read == start.len() && start == ELF_MAGIC);
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(at).map_err(failed)? {
            if has_elf(&entry.map_err(failed)?.path())? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
