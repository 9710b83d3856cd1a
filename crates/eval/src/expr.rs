//! The resolved form of a program: what the evaluator walks.
//!
//! Lowering turns syntax into this once per file. Every variable is a depth and an index into the chain of
//! [`Env`](crate::value::Env)s, every set literal has its [`Shape`] ready, literals are values. A node knows
//! where it was written; nothing here refers to the syntax tree.

use crate::pos::Pos;
use crate::symbol::Symbol;
use crate::value::{Shape, Value};

/// An expression and where it was written.
#[derive(Clone, Copy)]
pub struct Expr<'h> {
    /// What it is.
    pub kind: ExprKind<'h>,
    /// Where it begins, or where its operator stands.
    pub pos: Pos,
}

/// What an expression is. Large nodes are references.
#[derive(Clone, Copy)]
pub enum ExprKind<'h> {
    /// A literal, or a variable of the base scope.
    Const(Value<'h>),
    /// A variable of the innermost scope.
    Local(u32),
    /// A variable `depth` scopes out.
    Up {
        /// How many scopes out; at least one.
        depth: u32,
        /// The slot.
        index: u32,
    },
    /// A variable that only a `with` can supply.
    With(&'h WithVariable<'h>),
    /// An interpolated string.
    Interpolated(&'h [&'h Expr<'h>]),
    /// A path literal with interpolations: the first part is a path.
    InterpolatedPath(&'h [&'h Expr<'h>]),
    /// A list literal.
    List(&'h [&'h Expr<'h>]),
    /// A set literal.
    Attrs(&'h Bindings<'h>),
    /// `let`
    Let(&'h Bindings<'h>, &'h Expr<'h>),
    /// `with scope; body`
    WithScope(&'h Expr<'h>, &'h Expr<'h>),
    /// `assert condition; body`
    Assert(&'h AssertExpr<'h>),
    /// `if`
    If(&'h IfExpr<'h>),
    /// A function.
    Lambda(&'h Lambda<'h>),
    /// A call with one or more arguments.
    Call(&'h Expr<'h>, &'h [&'h Expr<'h>]),
    /// `base.path` and `base.path or default`
    Select(&'h SelectExpr<'h>),
    /// `base ? path`
    HasAttr(&'h Expr<'h>, &'h [AttrName<'h>]),
    /// `!operand`
    Not(&'h Expr<'h>),
    /// An operator with two operands.
    Binary(Operator, &'h (Expr<'h>, Expr<'h>)),
}

/// The operators that are no calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
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
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `//`
    Update,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `++`
    Concat,
}

/// A variable that is looked up in the sets of the `with`s around it.
pub struct WithVariable<'h> {
    /// The name.
    pub name: Symbol,
    /// How many scopes out each `with` is, innermost first.
    pub depths: &'h [u32],
}

/// The bindings of a set or a `let`.
pub struct Bindings<'h> {
    /// The names that are known, in the order of their symbols.
    pub shape: &'h Shape<'h>,
    /// What each is bound to.
    pub values: &'h [Binding<'h>],
    /// The expressions of `inherit (expr) ...`.
    pub inherit_from: &'h [&'h Expr<'h>],
    /// The attributes whose names are computed.
    pub dynamic: &'h [DynamicBinding<'h>],
    /// Whether the names are variables of a scope of their own.
    pub recursive: bool,
    /// The index of `__overrides` in a recursive set that has it.
    pub overrides: Option<u32>,
}

/// What a name is bound to, and in which scope that is evaluated.
#[derive(Clone, Copy)]
pub enum Binding<'h> {
    /// In the scope of the bindings if they are recursive, else in the one around.
    Own(&'h Expr<'h>),
    /// In the scope around the bindings (`inherit name`).
    Outer(&'h Expr<'h>),
    /// In the scope whose slots are the `inherit_from` expressions.
    From(&'h Expr<'h>),
}

/// An attribute whose name is computed.
pub struct DynamicBinding<'h> {
    /// The name.
    pub name: &'h Expr<'h>,
    /// The value.
    pub value: &'h Expr<'h>,
    /// Where it was written.
    pub pos: Pos,
}

/// A name in an attribute path.
#[derive(Clone, Copy)]
pub enum AttrName<'h> {
    /// A known name.
    Static(Symbol),
    /// A computed one.
    Dynamic(&'h Expr<'h>),
}

/// A selection.
pub struct SelectExpr<'h> {
    /// The set.
    pub base: Expr<'h>,
    /// The path, at least one name long.
    pub path: &'h [AttrName<'h>],
    /// What to take where an attribute is missing.
    pub default: Option<&'h Expr<'h>>,
}

/// An assertion.
pub struct AssertExpr<'h> {
    /// What must be true.
    pub condition: Expr<'h>,
    /// The condition as it was written: parsed again when a message has to show it.
    pub text: &'h [u8],
    /// The result.
    pub body: Expr<'h>,
}

/// A conditional.
pub struct IfExpr<'h> {
    /// What decides.
    pub condition: Expr<'h>,
    /// The result if it is true.
    pub consequence: Expr<'h>,
    /// The result if it is false.
    pub alternative: Expr<'h>,
}

/// The code of a function.
pub struct Lambda<'h> {
    /// The name of the binding that the function was written in, for messages.
    pub name: Option<Symbol>,
    /// Where it was written.
    pub pos: Pos,
    /// What it takes.
    pub parameter: Parameter<'h>,
    /// How many variables of the scope that it is made in come before its own in one scope: the parameters of the
    /// functions whose body it is, as in `a: b: ...`.
    pub joined: u32,
    /// The slot of the variable, among these and its own, that the body needs before anything else.
    pub needed: Option<u32>,
    /// What it gives.
    pub body: Expr<'h>,
    /// The doc comment before it, if any.
    pub doc: Option<&'h [u8]>,
}

/// The parameter of a function.
pub enum Parameter<'h> {
    /// One variable: slot 0, or the one after those that are joined.
    Ident(Symbol),
    /// A set that is taken apart: slots in the order of `formals`, then the whole set if it has a name.
    Formals(Formals<'h>),
}

/// The formals of a function.
pub struct Formals<'h> {
    /// In the order of their symbols.
    pub formals: &'h [Formal<'h>],
    /// Whether other attributes are let through.
    pub ellipsis: bool,
    /// The name of the whole set.
    pub binding: Option<Symbol>,
}

/// One formal.
pub struct Formal<'h> {
    /// Its name.
    pub name: Symbol,
    /// Where it was written.
    pub pos: Pos,
    /// The default, evaluated in the function's own scope.
    pub default: Option<&'h Expr<'h>>,
}
