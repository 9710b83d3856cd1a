//! Tree to text, as `nix-instantiate --parse` prints it.
//!
//! The text shows the tree as Nix sees it: operators that are calls in Nix appear as calls, attributes
//! are sorted, `inherit`s come first. Most of it parses again and prints the same; Nix's own exceptions
//! stay (an `assert` as an operand has no parentheses, a printed path is absolute).

use crate::ast::{
    AttrName, AttrNameKind, AttrSet, AttrValue, BinaryOp, Expr, ExprKind, Lambda,
    Parameter, PathLiteral, StrPart, StrPartKind,
};
use crate::path::{PathContext, resolve_path};
use crate::stack::with_room;

/// Prints an expression, its paths resolved in a context.
pub fn print(expr: &Expr<'_>, context: &PathContext<'_>) -> Vec<u8> {
    let mut printer = Printer { out: Vec::new(), context: Some(context) };
    printer.expr(expr);
    printer.out
}

/// An attribute path as messages show it: `a."b c"."${d}"`.
pub(crate) fn attr_path_text(path: &[AttrName<'_>]) -> String {
    let mut printer = Printer { out: Vec::new(), context: None };
    printer.attr_path(path);
    String::from_utf8_lossy(&printer.out).into_owned()
}

/// A name as messages and printed sets show it: in quotes unless it is an identifier.
pub fn identifier_text(name: &str) -> String {
    if is_identifier(name) {
        return name.to_owned();
    }
    let mut printer = Printer { out: Vec::new(), context: None };
    printer.string(name.as_bytes());
    String::from_utf8_lossy(&printer.out).into_owned()
}

/// Whether a name needs no quotes: an identifier that is no keyword (`or` is none here).
fn is_identifier(name: &str) -> bool {
    const KEYWORDS: [&str; 9] =
        ["if", "then", "else", "assert", "with", "let", "in", "rec", "inherit"];
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'\'' | b'-')
        })
        && !KEYWORDS.contains(&name)
}

/// A float with six significant digits, as C's `%g` writes it.
pub fn float_text(value: f64) -> String {
    if !value.is_finite() {
        let text = if value.is_nan() { "nan" } else { "inf" };
        return format!("{}{text}", if value.is_sign_negative() { "-" } else { "" });
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(5 - exponent).unwrap_or(0);
        return trim(&format!("{value:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
}

struct Printer<'c> {
    out: Vec<u8>,
    /// Without it paths are shown as written.
    context: Option<&'c PathContext<'c>>,
}

impl Printer<'_> {
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn expr(&mut self, expr: &Expr<'_>) {
        with_room(|| self.expr_here(expr));
    }

    fn expr_here(&mut self, expr: &Expr<'_>) {
        match &expr.kind {
            ExprKind::Int(value) => self.text(&value.to_string()),
            ExprKind::Float(value) => self.text(&float_text(*value)),
            ExprKind::Str(text) => self.string(text),
            ExprKind::Interpolated(parts) => self.sum(None, parts),
            ExprKind::Path(path) => self.path(path),
            ExprKind::Ident(name) => self.text(&identifier_text(name)),
            ExprKind::CurPos => self.text("__curPos"),
            ExprKind::List(elements) => {
                self.text("[ ");
                for element in *elements {
                    self.text("(");
                    self.expr(element);
                    self.text(") ");
                }
                self.text("]");
            }
            ExprKind::AttrSet(set) => {
                self.text(if set.recursive { "rec { " } else { "{ " });
                self.bindings(set);
                self.text("}");
            }
            ExprKind::Let { bindings, body } => {
                self.text("(let ");
                self.bindings(bindings);
                self.text("in ");
                self.expr(body);
                self.text(")");
            }
            ExprKind::With { scope, body } => {
                self.row(&["(with ", "; ", ")"], &[scope, body])
            }
            ExprKind::Assert { condition, body } => {
                self.row(&["assert ", "; ", ""], &[condition, body]);
            }
            ExprKind::If { condition, consequence, alternative } => {
                let words = ["(if ", " then ", " else ", ")"];
                self.row(&words, &[condition, consequence, alternative]);
            }
            ExprKind::Lambda(lambda) => self.lambda(lambda),
            ExprKind::Select { base, path, default } => {
                self.row(&["(", ")."], &[base]);
                self.attr_path(path);
                if let Some(default) = default {
                    self.row(&[" or (", ")"], &[default]);
                }
            }
            ExprKind::HasAttr { base, path } => {
                self.row(&["((", ") ? "], &[base]);
                self.attr_path(path);
                self.text(")");
            }
            ExprKind::Not(operand) => self.row(&["(! ", ")"], &[operand]),
            ExprKind::Binary { operator, left, right, .. } => {
                self.binary(expr, *operator, left, right);
            }
            ExprKind::Apply { .. } | ExprKind::Negate(_) | ExprKind::SearchPath(_) => {
                self.call_in_parentheses(expr);
            }
            ExprKind::Error => self.text("«error»"),
        }
    }

    /// Expressions between words; there is one word more than expressions.
    fn row(&mut self, words: &[&str], exprs: &[&Expr<'_>]) {
        for (index, word) in words.iter().enumerate() {
            self.text(word);
            if let Some(expr) = exprs.get(index) {
                self.expr(expr);
            }
        }
    }

    fn binary(
        &mut self,
        expr: &Expr<'_>,
        operator: BinaryOp,
        left: &Expr<'_>,
        right: &Expr<'_>,
    ) {
        let sign = match operator {
            BinaryOp::Implies => " -> ",
            BinaryOp::Or => " || ",
            BinaryOp::And => " && ",
            BinaryOp::Equal => " == ",
            BinaryOp::NotEqual => " != ",
            BinaryOp::Update => " // ",
            BinaryOp::Add => " + ",
            BinaryOp::Concat => " ++ ",
            BinaryOp::LessOrEqual => {
                return self.row(&["(! (__lessThan ", " ", "))"], &[right, left]);
            }
            BinaryOp::GreaterOrEqual => {
                return self.row(&["(! (__lessThan ", " ", "))"], &[left, right]);
            }
            BinaryOp::Less
            | BinaryOp::Greater
            | BinaryOp::Subtract
            | BinaryOp::Multiply
            | BinaryOp::Divide
            | BinaryOp::PipeInto
            | BinaryOp::PipeFrom => return self.call_in_parentheses(expr),
        };
        self.row(&["(", sign, ")"], &[left, right]);
    }

    fn call_in_parentheses(&mut self, expr: &Expr<'_>) {
        self.text("(");
        self.call(expr);
        self.text(")");
    }

    /// What Nix holds as one call with all its arguments, without parentheses; others as they are.
    fn call(&mut self, expr: &Expr<'_>) {
        let (function, arguments): (&str, [&Expr<'_>; 2]) = match &expr.kind {
            ExprKind::Apply { function, arguments } => {
                with_room(|| self.call(function));
                for argument in *arguments {
                    self.row(&[" ", ""], &[argument]);
                }
                return;
            }
            ExprKind::Negate(operand) => return self.row(&["__sub 0 ", ""], &[operand]),
            ExprKind::SearchPath(path) => {
                self.text("__findFile __nixPath ");
                return self.string(path.as_bytes());
            }
            ExprKind::Binary { operator, left, right, .. } => match operator {
                BinaryOp::Less => ("__lessThan ", [left, right]),
                BinaryOp::Greater => ("__lessThan ", [right, left]),
                BinaryOp::Subtract => ("__sub ", [left, right]),
                BinaryOp::Multiply => ("__mul ", [left, right]),
                BinaryOp::Divide => ("__div ", [left, right]),
                BinaryOp::PipeInto => {
                    with_room(|| self.call(right));
                    return self.row(&[" ", ""], &[left]);
                }
                BinaryOp::PipeFrom => {
                    with_room(|| self.call(left));
                    return self.row(&[" ", ""], &[right]);
                }
                _ => return self.expr(expr),
            },
            _ => return self.expr(expr),
        };
        self.row(&[function, " ", ""], &arguments);
    }

    fn lambda(&mut self, lambda: &Lambda<'_>) {
        self.text("(");
        match lambda.parameter {
            Parameter::Ident(name) => self.text(&identifier_text(name)),
            Parameter::Formals { formals, ellipsis, binding } => {
                self.text("{ ");
                let mut sorted: Vec<_> = formals.iter().collect();
                sorted.sort_by_key(|formal| formal.name);
                for (index, formal) in sorted.iter().enumerate() {
                    self.text(if index == 0 { "" } else { ", " });
                    self.text(&identifier_text(formal.name));
                    if let Some(default) = formal.default {
                        self.row(&[" ? ", ""], &[default]);
                    }
                }
                if ellipsis {
                    self.text(if formals.is_empty() { "..." } else { ", ..." });
                }
                self.text(" }");
                if let Some(binding) = binding {
                    self.text(" @ ");
                    self.text(&identifier_text(binding));
                }
            }
        }
        self.row(&[": ", ")"], &[lambda.body]);
    }

    fn bindings(&mut self, set: &AttrSet<'_>) {
        let mut sorted: Vec<_> = set.attrs.iter().collect();
        sorted.sort_by_key(|attr| attr.name);
        let mut inherited: Vec<&str> = Vec::new();
        let mut from: Vec<Vec<&str>> = vec![Vec::new(); set.inherit_from.len()];
        for attr in &sorted {
            match attr.value {
                AttrValue::Plain(_) => {}
                AttrValue::Inherited => inherited.push(attr.name),
                AttrValue::InheritedFrom(index) => from[index as usize].push(attr.name),
            }
        }
        if !inherited.is_empty() {
            self.text("inherit");
            self.inherited_names(&inherited);
        }
        for (expr, names) in set.inherit_from.iter().zip(&from) {
            if !names.is_empty() {
                self.row(&["inherit (", ")"], &[expr]);
                self.inherited_names(names);
            }
        }
        for attr in sorted {
            if let AttrValue::Plain(value) = attr.value {
                self.text(&identifier_text(attr.name));
                self.row(&[" = ", "; "], &[value]);
            }
        }
        for attr in set.dynamic {
            self.row(&["\"${", "}\" = ", "; "], &[attr.name, attr.value]);
        }
    }

    fn inherited_names(&mut self, names: &[&str]) {
        for name in names {
            self.text(" ");
            self.text(&identifier_text(name));
        }
        self.text("; ");
    }

    fn attr_path(&mut self, path: &[AttrName<'_>]) {
        for (index, name) in path.iter().enumerate() {
            self.text(if index == 0 { "" } else { "." });
            match name.kind {
                AttrNameKind::Static(name) => self.text(&identifier_text(name)),
                AttrNameKind::Dynamic(expr) => self.row(&["\"${", "}\""], &[expr]),
            }
        }
    }

    fn path(&mut self, path: &PathLiteral<'_>) {
        let head = match self.context {
            Some(context) => resolve_path(path, context),
            None => path.head.to_owned(),
        };
        if path.rest.is_empty() {
            self.text(&head);
        } else {
            self.sum(Some(&head), path.rest);
        }
    }

    fn sum(&mut self, head: Option<&str>, parts: &[StrPart<'_>]) {
        self.text("(");
        self.text(head.unwrap_or_default());
        for (index, part) in parts.iter().enumerate() {
            if index > 0 || head.is_some() {
                self.text(" + ");
            }
            match part.kind {
                StrPartKind::Literal(text) => self.string(text),
                StrPartKind::Interpolation(expr) => self.expr(expr),
            }
        }
        self.text(")");
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for (index, &byte) in text.iter().enumerate() {
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                b'\n' => self.text("\\n"),
                b'\r' => self.text("\\r"),
                b'\t' => self.text("\\t"),
                b'$' if text.get(index + 1) == Some(&b'{') => self.text("\\$"),
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
    }
}
