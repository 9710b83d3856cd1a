//! Forcing thunks, and the stack that deep forcing needs.

use crate::bail;
use crate::err;
use crate::error::{At, Error, Result};
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::value::{Claim, List, State, Thunk, Value, still_needed};

/// Stack that must be left when evaluation goes one level deeper, in bytes.
const RED_ZONE: usize = 128 * 1024;
/// Stack that is added when there is less, in bytes.
const STACK_STEP: usize = 8 * 1024 * 1024;
/// The most steps: 2 GiB of stack is a recursion that does not end.
const MAX_STEPS: usize = 256;

/// The number of the error of an argument that was evaluated before the call.
const ARGUMENT_FAILED: u32 = u32::MAX;
/// The number of an error that only a helper has seen.
const ELSEWHERE: u32 = u32::MAX - 1;

/// The sets and lists that deep forcing has met.
type Seen = rustc_hash::FxHashSet<usize>;

/// The address below which the present piece of stack is nearly used up; stacks grow downward.
fn stack_limit() -> usize {
    let here = 0_u8;
    let left = stacker::remaining_stack().unwrap_or(usize::MAX);
    // Where less is left than the red zone, the limit is above `here`, and above the callers' frames nearby.
    std::ptr::from_ref(&here).addr().saturating_add(RED_ZONE).saturating_sub(left)
}

impl<'h> Evaluator<'h> {
    /// Runs `work` with enough stack for one more level of evaluation.
    #[inline]
    pub(crate) fn with_stack<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        #[cfg(fuzzing)]
        crate::fuel::burn(1);
        let here = 0_u8;
        if std::ptr::from_ref(&here).addr() > self.stack_limit.get() {
            return work();
        }
        self.grow(work)
    }

    /// Runs `work` on a new piece of stack; or on this one, if only its end was not known yet.
    #[cold]
    fn grow<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let limit = self.stack_limit.get();
        self.stack_limit.set(stack_limit());
        let here = 0_u8;
        if std::ptr::from_ref(&here).addr() > self.stack_limit.get() {
            // The first time the limit stays, since this stack remains the outermost. Later, somebody else
            // has changed the stack in between.
            let result = work();
            if limit != usize::MAX {
                self.stack_limit.set(limit);
            }
            return result;
        }
        let steps = self.stack_steps.get();
        if steps >= MAX_STEPS {
            self.stack_limit.set(limit);
            bail!(StackOverflow, "stack overflow (possible infinite recursion)");
        }
        self.stack_steps.set(steps + 1);
        let result = self.heap.leaving_stack(|| {
            stacker::grow(STACK_STEP, || {
                self.stack_limit.set(stack_limit());
                self.heap.on_stack(work)
            })
        });
        self.stack_steps.set(steps);
        self.stack_limit.set(limit);
        result
    }

    pub(crate) fn force_thunk(&self, thunk: &'h Thunk<'h>) -> Result<Value<'h>> {
        self.collect_if_due();
        match thunk.enter(self.heap) {
            State::Done(value) => Ok(value),
            State::Blackhole => self.force_taken(thunk),
            state => self.force_entered(thunk, state),
        }
    }

    /// Forces a thunk that is being forced.
    #[cold]
    #[inline(never)]
    fn force_taken(&self, thunk: &'h Thunk<'h>) -> Result<Value<'h>> {
        match self.claim_later(thunk)? {
            Claim::Done(value) => Ok(value),
            Claim::Ours(state) => self.force_entered(thunk, state),
            Claim::Taken(_) => {
                Err(err!(InfiniteRecursion, "infinite recursion encountered")
                    .came_back_to(std::ptr::from_ref(thunk).addr()))
            }
        }
    }

    /// Does what is to be done for a thunk that this thread has marked.
    #[inline(always)]
    fn force_entered(&self, thunk: &'h Thunk<'h>, state: State<'h>) -> Result<Value<'h>> {
        let result = match state {
            State::Suspended(expr, env) => self.eval(expr, env),
            State::Failed(number) => Err(self.failure(number)),
            State::Application(all) => self.call(all[0], &all[1..], Pos::NONE),
            State::Numbered(function, number) => {
                self.call(*function, &[Value::Int(number)], Pos::NONE)
            }
            State::Named(function, name, slot) => {
                let name = Value::String(self.symbols.string(name));
                self.call(*function, &[name, slot.get().peek()], Pos::NONE)
            }
            State::Mapped(function, slot) => {
                self.call(*function, &[slot.get().peek()], Pos::NONE)
            }
            State::Done(value) => return Ok(value),
            State::Blackhole => return self.force_taken(thunk),
        };
        let error = match result {
            Ok(value) if !self.has_doubts() => {
                let value = self.own(value);
                thunk.leave(State::Done(value), self.heap);
                return Ok(value);
            }
            Ok(_) => crate::ahead::given_up(),
            Err(error) => error,
        };
        thunk.leave(self.failed_state(state, &error), self.heap);
        Err(error.leaving(std::ptr::from_ref(thunk).addr()))
    }

    /// What a thunk holds whose result is `value`. Nix copies results into thunks, and a list that was copied is another
    /// list where `«repeated»` is printed; so is ours, unless it was made for this thunk.
    #[inline]
    pub(crate) fn own(&self, value: Value<'h>) -> Value<'h> {
        match value {
            Value::List(list) if self.newest_list.get() == std::ptr::from_ref(list) => {
                self.newest_list.set(std::ptr::null());
                value
            }
            value => self.copy_of(value),
        }
    }

    /// A value as Nix copies it.
    #[inline]
    pub(crate) fn copy_of(&self, value: Value<'h>) -> Value<'h> {
        match value {
            Value::List(list) if !list.is_empty() => {
                Value::List(self.heap.alloc(List { items: list.items }))
            }
            value => value,
        }
    }

    /// What becomes of a thunk that could not be forced.
    #[cold]
    fn failed_state(&self, state: State<'h>, error: &Error) -> State<'h> {
        if !error.is_catchable() || matches!(state, State::Failed(_)) {
            return state;
        }
        if self.is_helper {
            return if self.has_doubts() { state } else { State::Failed(ELSEWHERE) };
        }
        let mut failures = self.failures.borrow_mut();
        let Ok(number) = u32::try_from(failures.len()) else { return state };
        failures.push(error.without_long_trace());
        State::Failed(number)
    }

    /// A thunk that fails with an error when it is forced, which it is next, and only once.
    #[cold]
    pub(crate) fn failing(&self, error: Error) -> Value<'h> {
        self.argument_error.set(Some(error));
        Value::Thunk(self.heap.thunk(Thunk::failed(ARGUMENT_FAILED)))
    }

    #[cold]
    fn failure(&self, number: u32) -> Error {
        if number == ARGUMENT_FAILED {
            let error = self.argument_error.take();
            return error.unwrap_or_else(|| err!(Other, "an argument failed twice"));
        }
        if self.is_helper || number == ELSEWHERE {
            // All of it that matters is that it can be caught.
            return err!(Throw, "something has failed in another thread");
        }
        self.failures.borrow()[number as usize].clone()
    }

    /// Forces a value and everything in it.
    ///
    /// # Errors
    /// Whatever the evaluation of a part fails with.
    pub fn force_deep(&self, value: Value<'h>, pos: Pos) -> Result<()> {
        let result = self.force_deep_seen(value, pos, &mut Seen::default());
        // What was seen stays a part of the value, so that no other object gets its address.
        still_needed(&value);
        result
    }

    fn force_deep_seen(&self, value: Value<'h>, pos: Pos, seen: &mut Seen) -> Result<()> {
        let _call = self.enter_call(pos)?;
        self.with_stack(|| match self.force(value)? {
            Value::Attrs(attrs) => {
                if !seen.insert(std::ptr::from_ref(attrs).addr()) {
                    return Ok(());
                }
                let sorted = self.sorted_by_name(attrs);
                let visit = self.visiting(|| sorted.iter().map(|attr| attr.slot.get()));
                for (index, attr) in sorted.into_iter().enumerate() {
                    visit.at(index);
                    self.force_deep_seen(attr.slot.get(), attr.pos, seen).trace(
                        attr.pos,
                        || {
                            let name = self.symbols.shown(attr.name);
                            format!("while evaluating the attribute '{name}'")
                        },
                    )?;
                }
                Ok(())
            }
            Value::List(list) => {
                if !seen.insert(std::ptr::from_ref(list).addr()) {
                    return Ok(());
                }
                let visit = self.visiting(|| list.iter());
                for (index, slot) in list.items.iter().enumerate() {
                    visit.at(index);
                    self.force_deep_seen(slot.get(), pos, seen)
                        .trace(Pos::NONE, || {
                            format!("while evaluating list element at index {index}")
                        })?;
                }
                Ok(())
            }
            _ => Ok(()),
        })
    }
}
