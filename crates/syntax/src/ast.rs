//! The syntax tree.
//!
//! Every node lies in the `bumpalo` arena given to `parse`, is `Copy`, and has a
//! [`Span`]. The tree is what Nix's own parser builds, one step before names are resolved and operators
//! become calls: strings are unescaped and stripped of indentation, parentheses are gone, and the
//! bindings of a set are already **merged** (`a.b = 1; a.c = 2;` is one nested set, duplicates are
//! diagnostics), so that the evaluator never sees an attribute path on the left of `=`.
//!
//! What is known statically: [`AttrSet::attrs`] (identifiers, plain strings, and `${"plain"}`, exactly
//! Nix's rule) is; [`AttrSet::dynamic`] is not, and its names may clash with others only at run time.
//! Names of attributes and variables are `&str`; strings are bytes.

use crate::span::Span;

/// An expression and where it stands.
///
/// The span of a parenthesised expression does not include its parentheses; the span of whatever
/// contains it does.
#[derive(Clone, Copy, Debug)]
pub struct Expr<'a> {
    /// What it is.
    pub kind: ExprKind<'a>,
    /// Where it stands.
    pub span: Span,
}

/// What an expression is.
#[derive(Clone, Copy, Debug)]
pub enum ExprKind<'a> {
    /// `1`
    Int(i64),
    /// `1.5`, `.5e3`
    Float(f64),
    /// A string without interpolation, in quotes, indented, or a URI literal.
    Str(&'a [u8]),
    /// A string of several parts, or of one interpolation: each is coerced to a string. An indented
    /// string with escapes may have nothing but literal parts here, as in Nix.
    Interpolated(&'a [StrPart<'a>]),
    /// `./a`, `/a`, `~/a`, `./${a}/b`
    Path(PathLiteral<'a>),
    /// `<a/b>`, without the angle brackets: `__findFile __nixPath "a/b"`, both looked up in scope.
    SearchPath(&'a str),
    /// A variable.
    Ident(&'a str),
    /// `__curPos`: the position of this node as a set.
    CurPos,
    /// `[ a b ]`
    List(&'a [&'a Expr<'a>]),
    /// `{ ... }` or `rec { ... }`. The ancient `let { ... }` is a [`Select`](ExprKind::Select) of
    /// `body` out of a recursive set.
    AttrSet(&'a AttrSet<'a>),
    /// `let ... in body`; the bindings are recursive and none is dynamic.
    Let {
        /// What is bound ([`AttrSet::recursive`] is false here, although the scope is recursive).
        bindings: &'a AttrSet<'a>,
        /// The expression after `in`.
        body: &'a Expr<'a>,
    },
    /// `with scope; body`
    With {
        /// The set whose attributes become variables.
        scope: &'a Expr<'a>,
        /// The expression that sees them.
        body: &'a Expr<'a>,
    },
    /// `assert condition; body`
    Assert {
        /// What must be true.
        condition: &'a Expr<'a>,
        /// The result.
        body: &'a Expr<'a>,
    },
    /// `if condition then consequence else alternative`
    If {
        /// What decides.
        condition: &'a Expr<'a>,
        /// The result where it is true.
        consequence: &'a Expr<'a>,
        /// The result where it is false.
        alternative: &'a Expr<'a>,
    },
    /// A function.
    Lambda(&'a Lambda<'a>),
    /// `function a b`: applications are flattened, also across parentheses: `(f a) b` has two
    /// arguments. `x or` (a variable named `or` as an argument) is here too.
    Apply {
        /// The function; never itself an `Apply`.
        function: &'a Expr<'a>,
        /// The arguments, at least one.
        arguments: &'a [&'a Expr<'a>],
    },
    /// `base.path` or `base.path or default`
    Select {
        /// The set.
        base: &'a Expr<'a>,
        /// The attribute path, at least one name.
        path: &'a [AttrName<'a>],
        /// What to take where an attribute is missing.
        default: Option<&'a Expr<'a>>,
    },
    /// `base ? path`
    HasAttr {
        /// The value that may be a set.
        base: &'a Expr<'a>,
        /// The attribute path, at least one name.
        path: &'a [AttrName<'a>],
    },
    /// `!a`
    Not(&'a Expr<'a>),
    /// `-a`: `__sub 0 a`
    Negate(&'a Expr<'a>),
    /// `left operator right`
    Binary {
        /// The operator.
        operator: BinaryOp,
        /// The offset of the operator's first byte: where Nix reports an error of most operators.
        operator_start: u32,
        /// The expression before it.
        left: &'a Expr<'a>,
        /// The expression after it.
        right: &'a Expr<'a>,
    },
    /// The place of something that could not be parsed; there is a diagnostic about it.
    Error,
}

/// The binary operators. Those marked with a name are calls in Nix, of a variable looked up in scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `->`
    Implies,
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`: `__lessThan left right`
    Less,
    /// `<=`: `!(__lessThan right left)`
    LessOrEqual,
    /// `>`: `__lessThan right left`
    Greater,
    /// `>=`: `!(__lessThan left right)`
    GreaterOrEqual,
    /// `//`
    Update,
    /// `+`
    Add,
    /// `-`: `__sub`
    Subtract,
    /// `*`: `__mul`
    Multiply,
    /// `/`: `__div`
    Divide,
    /// `++`
    Concat,
    /// `left |> right`: `right left`
    PipeInto,
    /// `left <| right`: `left right`
    PipeFrom,
}

/// One part of an interpolated string or path.
#[derive(Clone, Copy, Debug)]
pub struct StrPart<'a> {
    /// Text or an expression.
    pub kind: StrPartKind<'a>,
    /// Where the part stands; an interpolation's begins at its `${`.
    pub span: Span,
}

/// What a part of an interpolated string or path is.
#[derive(Clone, Copy, Debug)]
pub enum StrPartKind<'a> {
    /// Text, unescaped; not empty.
    Literal(&'a [u8]),
    /// The expression between `${` and `}`.
    Interpolation(&'a Expr<'a>),
}

/// A path literal. How its text becomes a path is in `resolve_path`.
#[derive(Clone, Copy, Debug)]
pub struct PathLiteral<'a> {
    /// What the path is relative to.
    pub anchor: PathAnchor,
    /// The text that the literal begins with, as written: `./a`, `/a/`, `~/a`; not empty. Where
    /// interpolations follow, it is resolved by itself and keeps its final `/`.
    pub head: &'a str,
    /// What follows: an interpolation first, then text and interpolations; mostly empty.
    pub rest: &'a [StrPart<'a>],
}

/// What a path literal is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathAnchor {
    /// `/a`: the root.
    Root,
    /// `./a`, `../a`, `a/b`: the folder of the file that holds the literal.
    File,
    /// `~/a`: the user's home.
    Home,
}

/// A name in an attribute path.
#[derive(Clone, Copy, Debug)]
pub struct AttrName<'a> {
    /// A known name or an expression.
    pub kind: AttrNameKind<'a>,
    /// Where it stands.
    pub span: Span,
}

/// What a name in an attribute path is.
#[derive(Clone, Copy, Debug)]
pub enum AttrNameKind<'a> {
    /// `a`, `"a"`, `${"a"}`
    Static(&'a str),
    /// `${a}`, `"${a}"`: evaluated to a string; where a set is defined, null leaves the attribute out.
    Dynamic(&'a Expr<'a>),
}

/// The bindings of a set or of a `let`, merged.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttrSet<'a> {
    /// Whether `rec` stands before it.
    pub recursive: bool,
    /// The attributes whose names are known, each name once, in order of first definition.
    pub attrs: &'a [Attr<'a>],
    /// The attributes whose names are computed, in order of definition.
    pub dynamic: &'a [DynamicAttr<'a>],
    /// The expressions in parentheses of `inherit (expr) ...`; [`AttrValue::InheritedFrom`] points
    /// here. In a recursive scope they see the scope itself.
    pub inherit_from: &'a [&'a Expr<'a>],
}

/// An attribute whose name is known.
#[derive(Clone, Copy, Debug)]
pub struct Attr<'a> {
    /// The name.
    pub name: &'a str,
    /// Where it is defined: the attribute path from its first name, or the name after `inherit`.
    pub span: Span,
    /// What it is bound to.
    pub value: AttrValue<'a>,
}

/// What an attribute is bound to.
#[derive(Clone, Copy, Debug)]
pub enum AttrValue<'a> {
    /// `name = expr;` or what the merging of attribute paths made. Sees the scope itself where that is
    /// recursive.
    Plain(&'a Expr<'a>),
    /// `inherit name;`: the variable of that name outside, even where the scope is recursive.
    Inherited,
    /// `inherit (expr) name;`: that attribute of [`AttrSet::inherit_from`] at this index.
    InheritedFrom(u32),
}

/// An attribute whose name is computed.
#[derive(Clone, Copy, Debug)]
pub struct DynamicAttr<'a> {
    /// The name: evaluated to a string, or to null for no attribute.
    pub name: &'a Expr<'a>,
    /// The value.
    pub value: &'a Expr<'a>,
    /// The attribute path from its first name.
    pub span: Span,
}

/// A function.
#[derive(Clone, Copy, Debug)]
pub struct Lambda<'a> {
    /// What it takes.
    pub parameter: Parameter<'a>,
    /// What it gives.
    pub body: &'a Expr<'a>,
}

/// The parameter of a function.
#[derive(Clone, Copy, Debug)]
pub enum Parameter<'a> {
    /// `name: ...`
    Ident(&'a str),
    /// `{ a, b ? c, ... } @ name: ...`
    Formals {
        /// The formals in order of writing; names are unique.
        formals: &'a [Formal<'a>],
        /// Whether other attributes are let through.
        ellipsis: bool,
        /// The name of the whole argument, before or after `@`.
        binding: Option<&'a str>,
    },
}

/// One formal argument.
#[derive(Clone, Copy, Debug)]
pub struct Formal<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where its name stands.
    pub span: Span,
    /// The expression after `?`; sees the other formals.
    pub default: Option<&'a Expr<'a>>,
}
