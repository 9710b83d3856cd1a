//! `:doc`: what is known of a value, or of the attribute that it is.

use picnix_eval::Entry;
use picnix_eval::pos::Pos;
use picnix_eval::report::show_pos;

use super::{Failure, Repl, Step};

impl Repl<'_, '_> {
    /// The documentation of an expression's value, or else of the attribute that it selects, in Markdown.
    pub(super) fn documentation(&self, text: &str) -> Step<String> {
        let ev = self.session.ev;
        let scope = self.scope.borrow();
        let Entry::Expr(expr) = scope.read_expr(ev, text)? else {
            return Err(Failure::Incomplete);
        };
        let mut attribute = None;
        if let Some((set, name)) = scope.except_last_name(ev, expr)? {
            let doing = "while evaluating an attribute set to look for documentation";
            let attrs = ev.expect_attrs(set, Pos::NONE, doing)?;
            let pos = ev.attr_pos(attrs, name);
            attribute = pos.is_some().then(|| (ev.symbols.text(name), pos));
        }
        let value = scope.evaluate(ev, expr)?;
        if let Some(text) = ev.documentation(value)? {
            return Ok(text);
        }
        let Some((name, pos)) = attribute else {
            return Err(Failure::Message("value does not have documentation".to_owned()));
        };
        let comment = ev.attr_comment(pos);
        let comment = comment.unwrap_or_else(|| "No documentation found.\n\n".to_owned());
        Ok(format!(
            "Attribute `{name}`\n\n  … defined at {}\n\n{comment}",
            show_pos(ev, pos)
        ))
    }
}
