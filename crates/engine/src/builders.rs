//! The registry of builtin builders: what `builtin:NAME` means.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use picnix_build::{BuiltinBuilder, BuiltinContext, BuiltinError, Builtins};

use crate::deb::build_debs;
use crate::image_builtin::{StoreView, build_image};

/// All builtin builders of this crate.
pub(crate) fn registry() -> Builtins {
    let mut builtins = Builtins::new();
    builtins.add(Debs);
    builtins.add(Image);
    builtins
}

/// Why a builtin builder did not start.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "the derivation has no structured attributes: it needs '__structuredAttrs = true'"
    )]
    NoAttributes,
    #[error("the structured attributes are not UTF-8")]
    NotText,
    #[error("the derivation must have one output, 'out'")]
    Outputs,
}

/// `builtin:debs`: a tree out of Debian packages.
struct Debs;

impl BuiltinBuilder for Debs {
    fn name(&self) -> &str {
        "debs"
    }

    fn build(&self, ctx: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let inputs = Inputs::new(ctx);
        let built =
            build_debs(attributes(ctx)?, &|path| inputs.physical(path), out(ctx)?);
        inputs.check()?;
        let unpacked = built?;
        ctx.log(&format!(
            "unpacked {} entries, {} bytes",
            unpacked.entries, unpacked.size_bytes
        ));
        Ok(())
    }
}

/// `builtin:image`: an image out of a description.
struct Image;

impl BuiltinBuilder for Image {
    fn name(&self) -> &str {
        "image"
    }

    fn build(&self, ctx: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let store_dir = ctx.store.store_dir();
        let closure = ctx.exported("closure")?;
        let closure: Vec<String> =
            closure.iter().map(|path| store_dir.print(path)).collect();
        let inputs = Inputs::new(ctx);
        let view = StoreView {
            store_dir: store_dir.as_str(),
            physical: &|path| inputs.physical(path),
        };
        let built = build_image(attributes(ctx)?, &closure, &view, out(ctx)?);
        inputs.check()?;
        ctx.log(&format!("wrote {}", built?.file_name));
        Ok(())
    }
}

fn attributes<'a>(ctx: &'a BuiltinContext<'_>) -> Result<&'a str, Error> {
    let json = ctx.attrs_json().ok_or(Error::NoAttributes)?;
    std::str::from_utf8(json).map_err(|_| Error::NotText)
}

fn out<'a>(ctx: &'a BuiltinContext<'_>) -> Result<&'a Path, Error> {
    let mut outputs = ctx.outputs.iter();
    match (outputs.next(), outputs.next()) {
        (Some((name, output)), None) if name.as_str() == "out" => Ok(&output.physical),
        _ => Err(Error::Outputs),
    }
}

/// Where inputs lie, for builders whose look-up cannot fail: the first failure is kept.
struct Inputs<'a, 'c> {
    ctx: &'a BuiltinContext<'c>,
    failure: RefCell<Option<BuiltinError>>,
}

impl<'a, 'c> Inputs<'a, 'c> {
    fn new(ctx: &'a BuiltinContext<'c>) -> Self {
        Self { ctx, failure: RefCell::new(None) }
    }

    fn physical(&self, path: &str) -> PathBuf {
        match self.ctx.real_path(path.as_bytes()) {
            Ok(path) => path,
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error.into());
                PathBuf::new()
            }
        }
    }

    fn check(&self) -> Result<(), BuiltinError> {
        self.failure.borrow_mut().take().map_or(Ok(()), Err)
    }
}
