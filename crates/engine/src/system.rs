//! From a configuration to the parts of its system.
//!
//! The entry is `<picnix>/default.nix`; what it gives below `config.system.build` is an interface between the
//! Nix tree and this crate: `images.<format>` are derivations, `vm`, `tests`,
//! `kernelOptions` and `packages` are data.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use picnix_eval::{Value, report};
use picnix_store_core::StorePath;
use picnix_vm::{TestPlan, VmSpec};

use crate::bill::{self, Bill, Descriptions};
use crate::derivations::Found;
use crate::engine::{Engine, target};
use crate::flakes::FlakeTarget;
use crate::places::with_place;
use crate::session::{EvalOptions, Session, WorkError, evaluate};
use crate::world::Writes;
use crate::{Error, tree};

/// A configuration that a user named.
#[derive(Clone, Debug)]
pub struct System {
    /// The file of the module, or a directory that holds `configuration.nix`.
    pub configuration: PathBuf,
    /// A folder of picnix's `devices`, or a path to a module.
    pub device: Option<String>,
}

/// An image that was built.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// The format.
    pub format: String,
    /// The logical store path.
    pub path: String,
    /// The store path itself.
    pub store_path: StorePath,
    /// The files in it, with their sizes in bytes, by name.
    pub files: Vec<(String, u64)>,
}

/// An option of the kernel that a configuration asks for.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelOption {
    /// `y`, `m`, `n`, a number or a text.
    pub value: serde_json::Value,
    /// The places that ask for it: files of picnix by their path in its tree, others by their names.
    pub asked_by: String,
}

impl System {
    /// Says who asks for an option of the kernel, named without `CONFIG_`.
    ///
    /// # Errors
    /// The configuration is wrong, or nothing in it asks for that option.
    pub fn kernel_option(
        &self,
        engine: &Engine,
        options: &EvalOptions,
        name: &str,
        show_message: impl Fn(&str),
    ) -> Result<KernelOption, Error> {
        let options = Self::eval_options(engine, options)?;
        let json =
            evaluate(engine, Writes::WhenBuilding, &options, show_message, |session| {
                let build = self.build_attrs(session)?;
                Ok(session.to_json(session.select(build, "kernelOptions")?)?.0)
            })?;
        let mut asked: BTreeMap<String, KernelOption> = serde_json::from_str(&json)
            .map_err(|error| {
                Error::Evaluation(format!("error: 'system.build.kernelOptions': {error}"))
            })?;
        asked.remove(name).ok_or_else(|| Error::NoKernelOption {
            name: name.to_owned(),
            similar: report::similar_names(name, asked.into_keys()),
        })
    }

    /// Builds an image of the system; without a format, the one that its machine boots.
    ///
    /// # Errors
    /// The configuration is wrong, there is no such format, or a build fails.
    pub fn build_image(
        &self,
        engine: &Engine,
        options: &EvalOptions,
        format: Option<&str>,
        show_message: impl Fn(&str),
    ) -> Result<BuiltImage, Error> {
        let options = Self::eval_options(engine, options)?;
        let work = |session: &Session<'_, '_>| {
            let build = self.build_attrs(session)?;
            let image = find_image(session, build, format)?;
            session.world.flush()?;
            Ok(image)
        };
        let (format, found) =
            evaluate(engine, Writes::Always, &options, show_message, work)?;
        let store_path = build_output(engine, &found)
            .map_err(|error| with_place(error, engine, &options, work))?;
        let store = engine.store()?;
        let files = list_files(&store.real_path(&store_path))?;
        let path = store.store_dir().print(&store_path);
        Ok(BuiltImage { format, path, store_path, files })
    }

    /// Builds an image of the system, and says what is in it.
    ///
    /// # Errors
    /// The configuration is wrong, there is no such format, or a build fails.
    pub fn bill(
        &self,
        engine: &Engine,
        options: &EvalOptions,
        format: Option<&str>,
        show_message: impl Fn(&str),
    ) -> Result<Bill, Error> {
        let options = Self::eval_options(engine, options)?;
        let work = |session: &Session<'_, '_>| {
            let build = self.build_attrs(session)?;
            let (format, found) = find_image(session, build, format)?;
            let known = session.to_json(session.select(build, "packages")?)?.0;
            session.world.flush()?;
            Ok((format, found, known))
        };
        let (format, found, known) =
            evaluate(engine, Writes::Always, &options, show_message, work)?;
        let known: Descriptions = serde_json::from_str(&known).map_err(|error| {
            Error::Evaluation(format!("error: 'system.build.packages': {error}"))
        })?;
        let image = build_output(engine, &found)
            .map_err(|error| with_place(error, engine, &options, work))?;
        bill::contents(engine.store()?, format, &found.drv_path, &image, &known)
    }

    /// Builds the system's virtual machine and says how to start it; paths in it are physical.
    ///
    /// # Errors
    /// The configuration is wrong, or a build fails.
    pub fn build_machine(
        &self,
        engine: &Engine,
        options: &EvalOptions,
        show_message: impl Fn(&str),
    ) -> Result<(VmSpec, TestPlan), Error> {
        let options = Self::eval_options(engine, options)?;
        let work = |session: &Session<'_, '_>| {
            let build = self.build_attrs(session)?;
            let (vm, mut targets) = session.to_json(session.select(build, "vm")?)?;
            let tests = session.select(build, "tests")?;
            let (tests, more) = session.to_json(tests)?;
            targets.extend(more);
            session.world.flush()?;
            Ok((vm, tests, targets))
        };
        let (vm, tests, targets) =
            evaluate(engine, Writes::Always, &options, show_message, work)?;
        engine
            .build(&targets)
            .map_err(|error| with_place(error, engine, &options, work))?;
        let store = engine.store()?;
        let spec = VmSpec::parse(&vm)?;
        let physical = |path: &Path| {
            let logical = path.as_os_str().as_bytes();
            store.real_path_within(logical).unwrap_or_else(|_| path.to_path_buf())
        };
        let tests = TestPlan::parse(&tests)?.map_paths(physical);
        Ok((spec.map_paths(physical), tests))
    }

    /// The flake that the configuration is in, if it is given as `.#name`.
    fn flake_target(&self, config: &crate::Config) -> Result<Option<FlakeTarget>, Error> {
        match self.configuration.to_str() {
            Some(text) if text.contains('#') && !self.configuration.exists() => {
                FlakeTarget::parse(text, &config.current_dir).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn configuration_file(&self, config: &crate::Config) -> Result<PathBuf, Error> {
        let configuration = config.current_dir.join(&self.configuration);
        let configuration = if configuration.is_dir() {
            configuration.join("configuration.nix")
        } else {
            configuration
        };
        if configuration.exists() {
            return Ok(configuration);
        }
        Err(Error::NoConfiguration(configuration))
    }

    /// The options, for errors that speak of the configuration and not of the modules that read it.
    fn eval_options(
        engine: &Engine,
        options: &EvalOptions,
    ) -> Result<EvalOptions, Error> {
        let internal = tree::internal(&tree::find(&engine.config)?);
        Ok(EvalOptions { internal, ..options.clone() })
    }

    /// `config.system.build` of the configuration.
    fn build_attrs<'h>(&self, session: &Session<'_, 'h>) -> Result<Value<'h>, WorkError> {
        let config = session.config();
        let ev = session.ev;
        let path_value = |path: &Path| {
            let absolute = config.current_dir.join(path);
            let path = picnix_eval::canonical_path(absolute.as_os_str().as_bytes());
            ev.path(ev.heap.bytes(&path))
        };
        let configuration = match self.flake_target(config)? {
            Some(target) => {
                let value =
                    session.load_target(&target, &["picnixConfigurations".into()])?;
                vec![(ev.symbol(b"configuration"), value)]
            }
            None => {
                let path = self.configuration_file(config)?;
                vec![(ev.symbol(b"configuration"), path_value(&path))]
            }
        };
        let mut arguments = configuration;
        if let Some(device) = &self.device {
            let is_path = device.contains('/') || device.ends_with(".nix");
            let value = if is_path {
                path_value(Path::new(device))
            } else {
                ev.string(device.as_bytes())
            };
            arguments.push((ev.symbol(b"device"), value));
        }
        let arguments = ev.attrs(&arguments);
        let entry = tree::find(config)?.join("default.nix");
        let entry = ev.heap.bytes(entry.as_os_str().as_bytes());
        let pos = picnix_eval::pos::Pos::NONE;
        let function = ev.import_file(entry, pos)?;
        let system = ev.call(function, &[arguments], pos)?;
        Ok(session.select(system, "config.system.build")?)
    }
}

/// The image of a format; without one, of the format that the system's machine boots.
fn find_image<'h>(
    session: &Session<'_, 'h>,
    build: Value<'h>,
    format: Option<&str>,
) -> Result<(String, Found), WorkError> {
    let format = match format {
        Some(format) => format.to_owned(),
        None => {
            let value = session.select(build, "vm.format")?;
            let doing = "while evaluating the format of the machine's image";
            let pos = picnix_eval::pos::Pos::NONE;
            let text = session.ev.expect_string(value, pos, doing)?;
            text.to_string_lossy().into_owned()
        }
    };
    let image = select_format(session, build, &format)?;
    let Value::Attrs(attrs) = image else {
        return Err(Error::Evaluation(format!(
            "error: 'system.build.images.{format}' is {}, not a derivation",
            image.type_phrase()
        ))
        .into());
    };
    let found = session.found(attrs)?;
    Ok((format, found))
}

/// Builds what was found.
fn build_output(engine: &Engine, found: &Found) -> Result<StorePath, Error> {
    let targets = [target(found.drv_path.clone(), [found.output.clone()])];
    let built = engine.build(&targets)?;
    built
        .get(&found.drv_path)
        .and_then(|outputs| outputs.get(&found.output))
        .cloned()
        .ok_or_else(|| Error::NoOutput(found.drv_path.to_string()))
}

fn select_format<'h>(
    session: &Session<'_, 'h>,
    build: Value<'h>,
    format: &str,
) -> Result<Value<'h>, WorkError> {
    let images = session.select(build, "images")?;
    let Value::Attrs(attrs) = images else {
        let what = images.type_phrase();
        let message = format!("error: 'system.build.images' is {what}, not a set");
        return Err(Error::Evaluation(message).into());
    };
    let ev = session.ev;
    match attrs.get(ev.symbol(format.as_bytes())) {
        Some(slot) => Ok(ev.force_slot(slot)?),
        None => {
            let names: Vec<String> = ev
                .sorted_by_name(attrs)
                .iter()
                .map(|attr| ev.symbols.text(attr.name))
                .collect();
            let similar = report::similar_names(format, names.clone());
            Err(Error::NoFormat { format: format.to_owned(), known: names, similar }
                .into())
        }
    }
}

/// The files directly in an image's directory, by name.
fn list_files(dir: &Path) -> Result<Vec<(String, u64)>, Error> {
    let fail = |source| Error::File { action: "list", path: dir.to_path_buf(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let size = entry.metadata().map_err(fail)?.len();
        files.push((entry.file_name().to_string_lossy().into_owned(), size));
    }
    files.sort();
    Ok(files)
}
