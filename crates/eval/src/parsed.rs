//! Programs as they were read: `nix-instantiate --parse`.

use crate::bail;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::source::{Origin, Source};

impl<'h> Evaluator<'h> {
    /// Prints a program as it was read, with every operator in parentheses, without evaluating it.
    ///
    /// # Errors
    /// The text does not parse, or names a variable that is nowhere bound.
    pub fn print_parsed(
        &self,
        text: &[u8],
        base_dir: &[u8],
        origin: Origin<'h>,
    ) -> Result<Vec<u8>> {
        self.delay_text(text, base_dir, origin)?;
        Ok(self.print_syntax(text, base_dir))
    }

    /// As [`Self::print_parsed`], of the file at an absolute path, or `default.nix` in the directory there.
    ///
    /// # Errors
    /// The file cannot be read, does not parse, or names a variable that is nowhere bound.
    pub fn print_parsed_file(&self, path: &'h [u8]) -> Result<Vec<u8>> {
        let path = self.program_path(path, Pos::NONE)?;
        let text = match self.world.read_file(path) {
            Ok(text) => text,
            Err(error) => return Err(self.world_error(error, Pos::NONE)),
        };
        let Some(directory) = Source::directory_of(path) else {
            bail!(Other, "'{}' is not absolute", String::from_utf8_lossy(path));
        };
        self.print_parsed(&text, directory, Origin::File(path))
    }

    /// Prints the syntax of a text that parses.
    pub(crate) fn print_syntax(&self, text: &[u8], base_dir: &[u8]) -> Vec<u8> {
        let arena = bumpalo::Bump::new();
        let options =
            picnix_syntax::Options { pipe_operators: self.settings.pipe_operators };
        let parse = picnix_syntax::parse(&arena, text, options);
        let folder = String::from_utf8_lossy(base_dir);
        let home = self.settings.home_dir.as_deref().unwrap_or_default();
        let home = String::from_utf8_lossy(home);
        let context = picnix_syntax::PathContext { folder: &folder, home: &home };
        picnix_syntax::print(parse.root, &context)
    }
}
