//! What is known of a value for people: the documentation of builtins and functions.
//!
//! Comments are no part of the resolved form. A function's comment is found by parsing its source once more: it
//! stands before the function, before the binding that the function is the value of, or before the function
//! whose body it is, the nearest first (RFC 145).

use bumpalo::Bump;
use picnix_syntax::{self as ast, Span, doc_comment_before};

use crate::error::{At, Result};
use crate::evaluator::Evaluator;
use crate::expr::Lambda;
use crate::pos::Pos;
use crate::report::show_pos;
use crate::symbol::sym;
use crate::value::Value;

impl<'h> Evaluator<'h> {
    /// The documentation of a function, in Markdown; none of anything else.
    ///
    /// # Errors
    /// The function is a set with a `__functor` that cannot be called.
    pub fn documentation(&self, value: Value<'h>) -> Result<Option<String>> {
        match value {
            Value::Builtin(builtin) => {
                let parameters: Vec<String> =
                    builtin.parameters.iter().map(|name| format!("*{name}*")).collect();
                Ok(Some(format!(
                    "**Synopsis:** `builtins.{}` {}\n\n{}",
                    builtin.name,
                    parameters.join(" "),
                    builtin.doc
                )))
            }
            Value::Lambda(closure) => Ok(Some(self.lambda_documentation(closure.lambda))),
            Value::Attrs(attrs) => {
                let Some(functor) = attrs.get(sym::FUNCTOR) else { return Ok(None) };
                let doing =
                    "while partially calling '__functor' to retrieve documentation";
                let called = || {
                    let functor = self.force_slot(functor)?;
                    let function = self.call(functor, &[value], Pos::NONE)?;
                    let _call = self.enter_call(Pos::NONE)?;
                    self.with_stack(|| self.documentation(function))
                };
                called().trace(Pos::NONE, || doing)
            }
            _ => Ok(None),
        }
    }

    fn lambda_documentation(&self, lambda: &Lambda<'h>) -> String {
        let place = lambda
            .pos
            .is_some()
            .then(|| format!("defined at {}", show_pos(self, lambda.pos)));
        let mut text = match lambda.name {
            None => format!("Function {}", place.unwrap_or_default()),
            Some(name) => {
                let name = self.symbols.text(name);
                let place = place.map(|place| format!("  … {place}")).unwrap_or_default();
                format!("Function `{name}`\\\n{place}")
            }
        };
        if let Some(doc) = self.function_comment(lambda.pos) {
            text.push_str("\n\n");
            text.push_str(&doc);
        }
        text
    }

    /// The documentation comment of the attribute that was written at a position, without its delimiters.
    pub fn attr_comment(&self, pos: Pos) -> Option<String> {
        let source = self.sources.source(pos).filter(|_| pos.is_some())?;
        let span = doc_comment_before(source.text, source.offset(pos))?;
        comment_text(source.text, span)
    }

    fn function_comment(&self, pos: Pos) -> Option<String> {
        let source = self.sources.source(pos).filter(|_| pos.is_some())?;
        let arena = Bump::new();
        let options = ast::Options { pipe_operators: true };
        let parse = ast::parse(&arena, source.text, options);
        let places = find_function(parse.root, source.offset(pos))?;
        places.into_iter().find_map(|place| {
            comment_text(source.text, doc_comment_before(source.text, place)?)
        })
    }
}

/// The offsets before which the comment of the function at `offset` may stand, nearest first: its own, those of
/// the functions whose body it is, that of their binding.
fn find_function(root: &ast::Expr<'_>, offset: u32) -> Option<Vec<u32>> {
    let mut waiting: Vec<(&ast::Expr<'_>, Vec<u32>)> = vec![(root, Vec::new())];
    while let Some((expr, outer)) = waiting.pop() {
        if let ast::ExprKind::Lambda(lambda) = expr.kind {
            let mut places = vec![expr.span.start];
            places.extend(outer);
            if expr.span.start == offset {
                return Some(places);
            }
            if let ast::Parameter::Formals { formals, .. } = lambda.parameter {
                let defaults = formals.iter().filter_map(|formal| formal.default);
                waiting.extend(defaults.map(|default| (default, Vec::new())));
            }
            waiting.push((lambda.body, places));
        } else {
            push_children(expr, &mut waiting);
        }
    }
    None
}

fn push_children<'a>(
    expr: &ast::Expr<'a>,
    waiting: &mut Vec<(&'a ast::Expr<'a>, Vec<u32>)>,
) {
    use ast::ExprKind as Kind;
    let mut plain = |expr: &'a ast::Expr<'a>| waiting.push((expr, Vec::new()));
    match expr.kind {
        Kind::Interpolated(parts) => push_parts(parts, &mut plain),
        Kind::Path(literal) => push_parts(literal.rest, &mut plain),
        Kind::List(items) => items.iter().for_each(|item| plain(item)),
        Kind::AttrSet(set) => push_set(set, waiting),
        Kind::Let { bindings, body } => {
            plain(body);
            push_set(bindings, waiting);
        }
        Kind::With { scope: first, body: second }
        | Kind::Assert { condition: first, body: second }
        | Kind::Binary { left: first, right: second, .. } => {
            plain(first);
            plain(second);
        }
        Kind::If { condition, consequence, alternative } => {
            [condition, consequence, alternative].into_iter().for_each(plain);
        }
        Kind::Apply { function, arguments } => {
            plain(function);
            arguments.iter().for_each(|argument| plain(argument));
        }
        Kind::Select { base, path, default } => {
            plain(base);
            push_names(path, &mut plain);
            default.into_iter().for_each(plain);
        }
        Kind::HasAttr { base, path } => {
            plain(base);
            push_names(path, &mut plain);
        }
        Kind::Not(operand) | Kind::Negate(operand) => plain(operand),
        Kind::Lambda(_)
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::Str(_)
        | Kind::SearchPath(_)
        | Kind::Ident(_)
        | Kind::CurPos
        | Kind::Error => {}
    }
}

fn push_parts<'a>(
    parts: &'a [ast::StrPart<'a>],
    push: &mut impl FnMut(&'a ast::Expr<'a>),
) {
    for part in parts {
        if let ast::StrPartKind::Interpolation(expr) = part.kind {
            push(expr);
        }
    }
}

fn push_names<'a>(
    path: &'a [ast::AttrName<'a>],
    push: &mut impl FnMut(&'a ast::Expr<'a>),
) {
    for name in path {
        if let ast::AttrNameKind::Dynamic(expr) = name.kind {
            push(expr);
        }
    }
}

fn push_set<'a>(
    set: &'a ast::AttrSet<'a>,
    waiting: &mut Vec<(&'a ast::Expr<'a>, Vec<u32>)>,
) {
    for attr in set.attrs {
        if let ast::AttrValue::Plain(value) = attr.value {
            waiting.push((value, vec![attr.span.start]));
        }
    }
    for attr in set.dynamic {
        waiting.push((attr.name, Vec::new()));
        waiting.push((attr.value, vec![attr.span.start]));
    }
    waiting.extend(set.inherit_from.iter().map(|from| (*from, Vec::new())));
}

/// What stands in a comment, without the indentation that its lines share.
fn comment_text(source: &[u8], span: Span) -> Option<String> {
    const OPENING: &str = "/**";
    let comment = source.get(span.start as usize..span.end as usize)?;
    let comment = String::from_utf8_lossy(comment);
    let inner = comment.strip_prefix(OPENING)?.strip_suffix("*/")?;
    if inner.is_empty() {
        return None;
    }
    // The first line is as far in as what opened the comment.
    Some(without_indentation(&format!("{}{inner}", " ".repeat(OPENING.len()))))
}

fn without_indentation(text: &str) -> String {
    let indentation = |line: &str| {
        let rest = line.trim_start_matches(' ');
        (!rest.is_empty()).then(|| line.len() - rest.len())
    };
    let shared = text.lines().filter_map(indentation).min().unwrap_or(0);
    let mut out = String::new();
    for line in text.lines() {
        out.push_str(line.get(shared..).unwrap_or_default());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_lose_the_indentation_that_their_lines_share() {
        let text = |comment: &str| {
            let end = u32::try_from(comment.len()).unwrap();
            comment_text(comment.as_bytes(), Span::new(0, end))
        };
        assert_eq!(text("/** one */").as_deref(), Some("one \n"));
        assert_eq!(
            text("/**\n    a\n\n      b\n  */").as_deref(),
            Some("\na\n\n  b\n\n")
        );
    }

    #[test]
    fn functions_are_found_with_their_outer_functions_and_binding() {
        let arena = Bump::new();
        let source = b"{ f = x: y: { z ? (w: w) }: z; }";
        let parse = ast::parse(&arena, source, ast::Options::default());
        assert_eq!(find_function(parse.root, 9), Some(vec![9, 6, 2]));
        assert_eq!(find_function(parse.root, 19), Some(vec![19]));
        assert_eq!(find_function(parse.root, 3), None);
    }
}
