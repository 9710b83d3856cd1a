//! Applying functions.

use crate::bail;
use crate::builtins::MAX_ARITY;
use crate::err;
use crate::error::{At, Error, Result};
use crate::eval::{Tail, curried};
use crate::evaluator::Evaluator;
use crate::expr::{ExprKind, Formals, Lambda, Parameter};
use crate::pos::Pos;
use crate::report::similar_names;
use crate::symbol::{Symbol, sym};
use crate::value::{Attrs, AttrsBuilder, Closure, Env, Partial, Value};

/// The builtin whose calls are not in traces, because it adds a line of its own.
const UNTRACED: &str = "addErrorContext";

impl<'h> Evaluator<'h> {
    /// Applies a function to arguments; the result is in weak head normal form.
    ///
    /// # Errors
    /// The value cannot be called, or the call fails.
    pub fn call(
        &self,
        function: Value<'h>,
        arguments: &[Value<'h>],
        pos: Pos,
    ) -> Result<Value<'h>> {
        let depth = self.call_depth.get();
        let result = self.with_stack(|| {
            self.collect_if_due();
            let function = self.force(function)?;
            let mark = self.heap.mark();
            let value = match self.apply(function, arguments, pos)? {
                Tail::Value(value) => value,
                Tail::Body(expr, env) => self.eval(expr, env)?,
            };
            self.heap.release(mark);
            Ok(value)
        });
        self.call_depth.set(depth);
        result
    }

    /// Applies as far as possible without evaluating the body of the last function.
    ///
    /// Counts one call; whoever evaluates what is returned gives it back.
    pub(crate) fn apply(
        &self,
        function: Value<'h>,
        arguments: &[Value<'h>],
        pos: Pos,
    ) -> Result<Tail<'h>> {
        self.count_call(pos)?;
        match function {
            Value::Builtin(builtin) if builtin.arity() == arguments.len() => {
                self.call_builtin(builtin, arguments, pos).map(Tail::Value)
            }
            _ => self.apply_all(function, arguments, pos),
        }
    }

    /// Applies to one argument after the other.
    #[inline(never)]
    fn apply_all(
        &self,
        mut function: Value<'h>,
        mut arguments: &[Value<'h>],
        pos: Pos,
    ) -> Result<Tail<'h>> {
        while !arguments.is_empty() {
            match function {
                Value::Lambda(closure) => {
                    let (lambda, env, rest) = self.bind_all(closure, arguments, pos)?;
                    if self.show_trace.get() {
                        function = self
                            .eval(&lambda.body, env)
                            .map_err(|error| self.trace_call(error, lambda, pos))?;
                    } else if rest.is_empty() {
                        return Ok(Tail::Body(&lambda.body, env));
                    } else {
                        function = self.eval(&lambda.body, env)?;
                    }
                    arguments = rest;
                }
                Value::Builtin(builtin) => {
                    let arity = builtin.arity();
                    if arguments.len() < arity {
                        let arguments = self.heap.slice(arguments);
                        let partial = self.heap.alloc(Partial { builtin, arguments });
                        return Ok(Tail::Value(Value::Partial(partial)));
                    }
                    function = self.call_builtin(builtin, &arguments[..arity], pos)?;
                    arguments = &arguments[arity..];
                }
                Value::Partial(partial) => {
                    let missing = partial.builtin.arity() - partial.arguments.len();
                    let taken = missing.min(arguments.len());
                    // On the stack, where the collector sees them.
                    let mut all = [Value::Null; MAX_ARITY];
                    let known = partial.arguments.len();
                    all[..known].copy_from_slice(partial.arguments);
                    all[known..known + taken].copy_from_slice(&arguments[..taken]);
                    let all = &all[..known + taken];
                    arguments = &arguments[taken..];
                    function = if taken == missing {
                        self.call_builtin(partial.builtin, all, pos)?
                    } else {
                        let (builtin, arguments) =
                            (partial.builtin, self.heap.slice(all));
                        Value::Partial(self.heap.alloc(Partial { builtin, arguments }))
                    };
                }
                Value::Attrs(attrs) if attrs.get(sym::FUNCTOR).is_some() => {
                    function = self.call_functor(attrs, arguments[0], pos)?;
                    arguments = &arguments[1..];
                }
                other => bail!(
                    pos => Type,
                    "attempt to call something which is not a function but {}: {}",
                    other.type_phrase(), self.print_for_error(other)
                ),
            }
        }
        Ok(Tail::Value(function))
    }

    /// Counts a call that is about to begin.
    #[inline]
    pub(crate) fn count_call(&self, pos: Pos) -> Result<()> {
        let depth = self.call_depth.get();
        self.check_call(depth, pos)?;
        self.call_depth.set(depth + 1);
        Ok(())
    }

    /// Adds the call of a function to the trace of an error.
    #[cold]
    fn trace_call(&self, error: Error, lambda: &Lambda<'h>, pos: Pos) -> Error {
        let text = match lambda.name {
            Some(name) => format!("while calling '{}'", self.symbols.text(name)),
            None => "while calling anonymous lambda".into(),
        };
        let error = error.trace(lambda.pos, text);
        if pos.is_some() { error.trace(pos, "from call site") } else { error }
    }

    fn call_builtin(
        &self,
        builtin: &'static crate::builtins::Builtin,
        arguments: &[Value<'h>],
        pos: Pos,
    ) -> Result<Value<'h>> {
        // As in Nix, builtins do not know where they are called; the trace says it.
        let result = (builtin.function)(self, arguments, Pos::NONE).map_err(|error| {
            if builtin.name == UNTRACED {
                return error;
            }
            error.trace(pos, format!("while calling the '{}' builtin", builtin.name))
        })?;
        self.force(result)
    }

    fn call_functor(
        &self,
        attrs: &'h Attrs<'h>,
        argument: Value<'h>,
        pos: Pos,
    ) -> Result<Value<'h>> {
        let functor = attrs.get_attr(sym::FUNCTOR).expect("the caller has looked");
        let arguments = [Value::Attrs(attrs), argument];
        self.call(functor.slot.get(), &arguments, functor.pos).trace(
            pos,
            || "while calling a functor (an attribute set with a '__functor' attribute)",
        )
    }

    /// Binds arguments to a function and to the functions that it directly returns.
    fn bind_all<'a>(
        &self,
        closure: &'h Closure<'h>,
        mut arguments: &'a [Value<'h>],
        pos: Pos,
    ) -> Result<(&'h Lambda<'h>, Env<'h>, &'a [Value<'h>])> {
        let mut lambda = closure.lambda;
        let mut env = closure.env;
        loop {
            match &lambda.parameter {
                Parameter::Ident(_) => {
                    let (joined, mut count) = (lambda.joined, 1);
                    while count < arguments.len()
                        && let Some(inner) = curried(lambda)
                    {
                        lambda = inner;
                        count += 1;
                    }
                    let (bound, rest) = arguments.split_at(count);
                    env = self.heap.joined_scope(bound, joined, env);
                    arguments = rest;
                }
                Parameter::Formals(formals) => {
                    env = self.bind_formals(lambda, formals, env, arguments[0], pos)?;
                    arguments = &arguments[1..];
                }
            }
            match lambda.body.kind {
                ExprKind::Lambda(inner) if !arguments.is_empty() => lambda = inner,
                _ => return Ok((lambda, env, arguments)),
            }
        }
    }

    fn bind_formals(
        &self,
        lambda: &'h Lambda<'h>,
        formals: &'h Formals<'h>,
        parent: Env<'h>,
        argument: Value<'h>,
        pos: Pos,
    ) -> Result<Env<'h>> {
        let doing = "while evaluating the value passed for the lambda argument";
        let attrs = self
            .expect_attrs(argument, lambda.pos, doing)
            .trace(pos, || "from call site")?;
        let count = formals.formals.len();
        let slot_count = count + usize::from(formals.binding.is_some());
        let env = self.heap.scope(slot_count, Some(parent));
        let slots = env.slots();
        let mut used = 0;
        for (slot, formal) in slots.iter().zip(formals.formals) {
            if let Some(given) = attrs.get(formal.name) {
                used += 1;
                slot.set(given.get().peek(), self.heap);
            } else if let Some(default) = formal.default {
                slot.set(self.delay_unfinished(default, env), self.heap);
            } else {
                return self.missing_argument(lambda, formal.name, pos);
            }
        }
        if formals.binding.is_some() {
            slots[count].set(Value::Attrs(attrs), self.heap);
        }
        if !formals.ellipsis && used != attrs.len() {
            return self.unexpected_argument(lambda, formals, attrs, pos);
        }
        Ok(env)
    }

    fn function_name(&self, lambda: &Lambda<'h>) -> String {
        lambda.name.map_or("anonymous lambda".into(), |name| self.symbols.text(name))
    }

    #[cold]
    fn missing_argument<T>(
        &self,
        lambda: &Lambda<'h>,
        name: Symbol,
        pos: Pos,
    ) -> Result<T> {
        let (function, name) = (self.function_name(lambda), self.symbols.shown(name));
        Err(err!(Type, "function '{function}' called without required argument '{name}'")
            .at(lambda.pos)
            .trace(pos, "from call site"))
    }

    #[cold]
    fn unexpected_argument<T>(
        &self,
        lambda: &Lambda<'h>,
        formals: &Formals<'h>,
        attrs: &'h Attrs<'h>,
        pos: Pos,
    ) -> Result<T> {
        let known = |name| formals.formals.iter().any(|formal| formal.name == name);
        let extra = attrs
            .iter(self.heap)
            .find(|attr| !known(attr.name))
            .expect("there are more arguments than formals");
        let name = self.symbols.text(extra.name);
        let names = formals.formals.iter().map(|formal| self.symbols.text(formal.name));
        let suggestions = similar_names(&name, names);
        let function = self.function_name(lambda);
        let name = self.symbols.shown(extra.name);
        Err(err!(Type, "function '{function}' called with unexpected argument '{name}'")
            .suggest(suggestions)
            .at(lambda.pos)
            .trace(pos, "from call site"))
    }

    /// Calls a function that takes a set of named arguments with those of `arguments` that it takes, as
    /// `nix-build` does with a file whose value is a function; any other value is returned as it is.
    ///
    /// # Errors
    /// An argument without default is not among `arguments`, or the call fails.
    pub fn auto_call(
        &self,
        function: Value<'h>,
        arguments: &'h Attrs<'h>,
    ) -> Result<Value<'h>> {
        let function = self.force(function)?;
        if let Value::Attrs(attrs) = function
            && let Some(functor) = attrs.get(sym::FUNCTOR)
        {
            let called = self.call(functor.get(), &[function], Pos::NONE)?;
            return self.auto_call(called, arguments);
        }
        let Value::Lambda(closure) = function else { return Ok(function) };
        let Parameter::Formals(formals) = &closure.lambda.parameter else {
            return Ok(function);
        };
        let mut given = AttrsBuilder::new();
        if formals.ellipsis {
            for attr in arguments.iter(self.heap) {
                given.push(attr.name, attr.pos, attr.slot.get());
            }
        }
        for formal in formals.formals.iter().filter(|_| !formals.ellipsis) {
            match arguments.get_attr(formal.name) {
                Some(attr) => given.push(attr.name, attr.pos, attr.slot.get()),
                None if formal.default.is_some() => {}
                None => bail!(
                    formal.pos => Missing,
                    "cannot evaluate a function that has an argument without a value ('{}')\n\
                     Nix attempted to evaluate a function as a top level expression; in\n\
                     this case it must have its arguments supplied either by default\n\
                     values, or passed explicitly with '--arg' or '--argstr'. See\n\
                     https://nix.dev/manual/nix/stable/language/syntax.html#functions.",
                    self.symbols.shown(formal.name)
                ),
            }
        }
        self.call(function, &[Value::Attrs(given.finish(self.heap))], Pos::NONE)
    }
}
