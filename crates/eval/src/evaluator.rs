//! The evaluator: what one evaluation knows, and the operations that its parts and the builtins share.

use std::cell::{Cell, OnceCell, RefCell};

use hashbrown::HashMap;
use picnix_store_core::StorePath;
use rustc_hash::FxBuildHasher;

use crate::err;
use crate::error::{At, Result};
use crate::pos::Pos;
use crate::shared::{Common, Shared};
use crate::source::{Origin, Place, Sources};
use crate::symbol::{Symbol, Symbols};
use crate::value::{
    Attrs, Context, Heap, Held, List, PathId, PathValue, Shape, Slot, Str, Thunk, Value,
};
use crate::world::{Settings, World};

pub(crate) type Map<K, V> = HashMap<K, V, FxBuildHasher>;

/// The largest buffer that is kept to be used again, in bytes.
const MAX_REUSED_BYTES: usize = 256 * 1024;

/// One evaluation.
pub struct Evaluator<'h> {
    /// Where values live.
    pub heap: &'h Heap,
    /// The interned names.
    pub symbols: Symbols<'h>,
    /// The texts read so far.
    pub sources: Sources<'h>,
    /// The outside.
    pub world: &'h dyn World,
    /// What the caller wants.
    pub settings: Settings,
    /// Whether calls are kept in traces; at first what the settings say.
    pub show_trace: Cell<bool>,
    /// Where evaluation must go on on a new piece of stack; at first unknown, which is everywhere.
    pub(crate) stack_limit: Cell<usize>,
    /// How many pieces of stack there are beside the first.
    pub(crate) stack_steps: Cell<usize>,
    /// How deep the present chain of calls is.
    pub(crate) call_depth: Cell<usize>,
    /// The errors that thunks failed with and `tryEval` may have caught.
    pub(crate) failures: RefCell<Vec<crate::error::Error>>,
    /// The error that an argument failed with before the call, until the function finds it.
    pub(crate) argument_error: Cell<Option<crate::error::Error>>,
    /// `builtins`, and the variables that every program sees.
    pub(crate) base: OnceCell<BaseScope<'h>>,
    /// Files that were imported: resolved path to value. Roots (no evaluation).
    pub(crate) imports: RefCell<Map<&'h [u8], Value<'h>>>,
    /// What all threads have imported. Roots (no evaluation).
    pub(crate) common_imports: Shared<Map<&'h [u8], Value<'h>>>,
    /// Sources that were copied to the store by coercing a path to a string.
    pub(crate) copied_paths: RefCell<Map<&'h [u8], PathId>>,
    pub(crate) store_paths: RefCell<StorePathTable>,
    /// Store paths as text.
    pub(crate) printed_paths: RefCell<Map<PathId, &'h [u8]>>,
    /// The list that was made last, while no thunk holds it. Only compared, so the collector need not know.
    pub(crate) newest_list: Cell<*const crate::value::List<'h>>,
    /// Contexts, each once: thousands of derivations depend on the same few things.
    pub(crate) contexts: RefCell<Map<Context<'h>, ()>>,
    /// The shapes of sets with one computed name.
    pub(crate) single_shapes: RefCell<Map<(Symbol, Pos), &'h Shape<'h>>>,
    /// Directories with their links resolved.
    pub(crate) resolved_dirs: RefCell<Map<&'h [u8], &'h [u8]>>,
    /// Values that the caller wants to keep to the end: roots (no evaluation).
    pub(crate) held: RefCell<Vec<Value<'h>>>,
    /// Empty buffers for texts in the making.
    buffers: RefCell<Vec<Vec<u8>>>,
    /// Where syntax trees live until they are lowered.
    pub(crate) syntax_arena: Cell<Option<bumpalo::Bump>>,
    /// What builtins keep between calls: compiled patterns, hashes of derivations.
    pub(crate) caches: crate::builtins::Caches,
    pub(crate) empty: Empty<'h>,
    /// Whether this thread evaluates ahead of the one whose evaluation it is.
    pub(crate) is_helper: bool,
    /// How this thread is helped.
    pub(crate) help: crate::ahead::Help<'h>,
}

/// What has nothing in it, once for all.
#[derive(Clone, Copy)]
pub(crate) struct Empty<'h> {
    attrs: &'h Attrs<'h>,
    list: &'h List<'h>,
    string: &'h Str<'h>,
}

/// The tables of a thread that are common to all threads, or may be.
pub(crate) struct Tables<'h> {
    pub(crate) symbols: Symbols<'h>,
    pub(crate) sources: Sources<'h>,
    pub(crate) store_paths: StorePathTable,
    /// Roots (no evaluation).
    pub(crate) imports: Shared<Map<&'h [u8], Value<'h>>>,
    pub(crate) caches: crate::builtins::Caches,
}

/// The variables that every program sees.
pub(crate) struct BaseScope<'h> {
    /// By name: `true`, `map`, `builtins`, `__add`, ... Roots (no evaluation).
    pub(crate) variables: Map<Symbol, Value<'h>>,
    /// The set `builtins`.
    pub(crate) builtins: Value<'h>,
    pub(crate) names: OnceCell<Vec<Symbol>>,
}

#[derive(Default)]
pub(crate) struct StorePathTable {
    paths: Vec<std::rc::Rc<StorePath>>,
    ids: Map<StorePath, PathId>,
    /// The paths of all threads. Those of this thread are the first of them.
    common: Shared<Vec<StorePath>>,
}

impl StorePathTable {
    /// The paths, for other threads.
    pub(crate) fn share(&self) -> Common<Vec<StorePath>> {
        self.common.share(|| self.paths.iter().map(|path| (**path).clone()).collect())
    }

    /// The paths of an evaluation, for one more thread.
    pub(crate) fn of(common: Common<Vec<StorePath>>) -> Self {
        let mut table = Self { common: Shared::of(common), ..Self::default() };
        table.learn();
        table
    }

    /// Adds the paths that other threads have met.
    fn learn(&mut self) {
        let Self { paths, ids, common } = self;
        if let Some(common) = common.lock() {
            learn(paths, ids, &common);
        }
    }

    fn id(&mut self, path: &StorePath) -> PathId {
        if let Some(id) = self.ids.get(path) {
            return *id;
        }
        let Self { paths, ids, common } = self;
        let mut common = common.lock();
        if let Some(common) = &mut common {
            learn(paths, ids, common);
            if let Some(id) = ids.get(path) {
                return *id;
            }
            common.push(path.clone());
        }
        add(paths, ids, path)
    }
}

fn add(
    paths: &mut Vec<std::rc::Rc<StorePath>>,
    ids: &mut Map<StorePath, PathId>,
    path: &StorePath,
) -> PathId {
    let id = PathId(u32::try_from(paths.len()).expect("memory ends before 2^32"));
    paths.push(std::rc::Rc::new(path.clone()));
    ids.insert(path.clone(), id);
    id
}

/// Adds the paths that come behind those that are known.
fn learn(
    paths: &mut Vec<std::rc::Rc<StorePath>>,
    ids: &mut Map<StorePath, PathId>,
    common: &[StorePath],
) {
    let known = paths.len();
    for path in &common[known..] {
        add(paths, ids, path);
    }
}

impl<'h> Evaluator<'h> {
    /// Starts an evaluation whose values live in `heap`.
    #[must_use]
    pub fn new(heap: &'h Heap, world: &'h dyn World, settings: Settings) -> Self {
        let shape = heap.immortal(|| heap.alloc(Shape::new(&[], &[])));
        let empty = Empty {
            attrs: heap.immortal(|| heap.attrs(Attrs::new(shape, &[]))),
            list: heap.immortal(|| heap.alloc(List { items: &[] })),
            string: heap.immortal(|| heap.alloc(Str { bytes: &[], context: &[] })),
        };
        let tables = Tables {
            symbols: Symbols::new(heap),
            sources: Sources::new(heap),
            store_paths: StorePathTable::default(),
            imports: Shared::default(),
            caches: crate::builtins::Caches::default(),
        };
        Self::with_tables(heap, world, settings, tables, empty)
    }

    /// Starts a thread of an evaluation.
    pub(crate) fn with_tables(
        heap: &'h Heap,
        world: &'h dyn World,
        settings: Settings,
        tables: Tables<'h>,
        empty: Empty<'h>,
    ) -> Self {
        Self {
            heap,
            symbols: tables.symbols,
            sources: tables.sources,
            world,
            show_trace: Cell::new(settings.show_trace),
            settings,
            stack_limit: Cell::new(usize::MAX),
            stack_steps: Cell::new(0),
            call_depth: Cell::new(0),
            failures: RefCell::default(),
            argument_error: Cell::default(),
            base: OnceCell::new(),
            imports: RefCell::default(),
            common_imports: tables.imports,
            copied_paths: RefCell::default(),
            store_paths: RefCell::new(tables.store_paths),
            printed_paths: RefCell::default(),
            contexts: RefCell::default(),
            single_shapes: RefCell::default(),
            resolved_dirs: RefCell::default(),
            newest_list: Cell::new(std::ptr::null()),
            held: RefCell::default(),
            buffers: RefCell::default(),
            syntax_arena: Cell::default(),
            caches: tables.caches,
            empty,
            is_helper: heap.thread() > 0,
            help: crate::ahead::Help::default(),
        }
    }

    // ---- making values -------------------------------------------------------------------------

    /// The symbol of a name.
    pub fn symbol(&self, name: &[u8]) -> Symbol {
        self.symbols.intern(name)
    }

    /// A string without context; the bytes are copied.
    pub fn string(&self, bytes: &[u8]) -> Value<'h> {
        self.string_of(self.heap.bytes(bytes), &[])
    }

    /// A string out of bytes that are on the heap already.
    pub fn string_of(&self, bytes: &'h [u8], context: Context<'h>) -> Value<'h> {
        if bytes.is_empty() && context.is_empty() {
            return Value::String(self.empty.string);
        }
        Value::String(self.heap.alloc(Str { bytes, context }))
    }

    /// A path; `bytes` is absolute and canonical.
    pub fn path(&self, bytes: &'h [u8]) -> Value<'h> {
        Value::Path(self.heap.alloc(PathValue { bytes }))
    }

    /// A list.
    pub fn list(&self, items: &[Value<'h>]) -> Value<'h> {
        if items.is_empty() {
            return Value::List(self.empty.list);
        }
        self.list_of(self.heap.slots_from(items))
    }

    /// A list out of slots that are on the heap already.
    pub fn list_of(&self, items: &'h [Slot<'h>]) -> Value<'h> {
        let list = self.heap.alloc(List { items });
        self.newest_list.set(list);
        Value::List(list)
    }

    /// The set without attributes.
    pub fn empty_attrs(&self) -> &'h Attrs<'h> {
        self.empty.attrs
    }

    /// A set of the given attributes, whose names must be distinct.
    pub fn attrs(&self, items: &[(Symbol, Value<'h>)]) -> Value<'h> {
        let mut builder = crate::value::AttrsBuilder::with_capacity(items.len());
        for (name, value) in items {
            builder.insert(*name, *value);
        }
        Value::Attrs(builder.finish(self.heap))
    }

    /// `function arguments...`, evaluated when it is needed.
    pub fn lazy_call(&self, function: Value<'h>, arguments: &[Value<'h>]) -> Value<'h> {
        let mut all = Vec::with_capacity(arguments.len() + 1);
        all.push(function);
        all.extend_from_slice(arguments);
        Value::Thunk(self.heap.thunk(Thunk::application(self.heap.slice(&all))))
    }

    // ---- buffers --------------------------------------------------------------------------------

    /// An empty buffer for a text that will be copied onto the heap. It is given back with
    /// [`Self::reuse_buffer`], or dropped where an error comes between.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub(crate) fn reuse_buffer(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= MAX_REUSED_BYTES {
            buffer.clear();
            self.buffers.borrow_mut().push(buffer);
        }
    }

    // ---- store paths in contexts ----------------------------------------------------------------

    /// The number that stands for a store path in string contexts.
    pub fn path_id(&self, path: &StorePath) -> PathId {
        self.store_paths.borrow_mut().id(path)
    }

    /// The store path that a number in a string context stands for.
    pub fn store_path(&self, id: PathId) -> std::rc::Rc<StorePath> {
        if let Some(path) = self.store_paths.borrow().paths.get(id.0 as usize) {
            return path.clone();
        }
        let mut table = self.store_paths.borrow_mut();
        table.learn();
        table.paths[id.0 as usize].clone()
    }

    // ---- memory ---------------------------------------------------------------------------------

    /// Keeps a value to the end of the evaluation, also where the stack does not tell of it.
    pub fn hold(&self, value: Value<'h>) {
        self.held.borrow_mut().push(value);
    }

    /// Has the heap collected if it is time. The caller builds nothing at the moment.
    #[inline]
    pub(crate) fn collect_if_due(&self) {
        if self.heap.is_due() {
            self.heap.collect(&|visit| self.roots(visit));
        }
    }

    /// What lives as long as the evaluation without being immortal.
    pub(crate) fn roots(&self, visit: &mut dyn FnMut(usize)) {
        if !self.is_helper {
            for (path, value) in self.common_imports.lock().iter().flat_map(|all| &**all)
            {
                (*path, *value).visit(visit);
            }
            self.help.visit(visit);
        }
        for (path, value) in &*self.imports.borrow() {
            (*path, *value).visit(visit);
        }
        for value in &*self.held.borrow() {
            value.visit(visit);
        }
        for path in self.copied_paths.borrow().keys() {
            path.visit(visit);
        }
        for path in self.printed_paths.borrow().values() {
            path.visit(visit);
        }
        for context in self.contexts.borrow().keys() {
            visit(context.as_ptr().addr());
        }
        for pair in &*self.resolved_dirs.borrow() {
            (*pair.0, *pair.1).visit(visit);
        }
        if let Some(base) = self.base.get() {
            base.builtins.visit(visit);
            base.variables.values().for_each(|value| value.visit(visit));
        }
    }

    // ---- forcing --------------------------------------------------------------------------------

    /// Evaluates to weak head normal form. The result is never a thunk.
    ///
    /// # Errors
    /// Whatever the evaluation fails with.
    #[inline]
    pub fn force(&self, value: Value<'h>) -> Result<Value<'h>> {
        match value {
            Value::Thunk(thunk) => match thunk.value() {
                Some(value) => Ok(value),
                None => self.force_thunk(thunk),
            },
            value => Ok(value),
        }
    }

    /// Forces what a slot holds and lets the slot hold the result.
    ///
    /// # Errors
    /// Whatever the evaluation fails with.
    #[inline]
    pub fn force_slot(&self, slot: &'h Slot<'h>) -> Result<Value<'h>> {
        let value = slot.get();
        let Value::Thunk(thunk) = value else { return Ok(value) };
        let forced = match thunk.value() {
            Some(value) => value,
            None => self.force_thunk(thunk)?,
        };
        slot.settle(forced);
        Ok(forced)
    }

    // ---- expecting a type -----------------------------------------------------------------------

    /// Forces a value that must be an integer. `doing` goes into the trace: "while evaluating ...".
    ///
    /// # Errors
    /// It is none, or cannot be evaluated. So it is for all `expect_` methods.
    pub fn expect_int(&self, value: Value<'h>, pos: Pos, doing: &str) -> Result<i64> {
        match self.force(value).trace(pos, || doing)? {
            Value::Int(int) => Ok(int),
            other => self.wrong_type("an integer", other, pos, doing),
        }
    }

    /// Forces a value that must be a number, as a float.
    ///
    /// # Errors
    /// See [`Self::expect_int`].
    #[expect(clippy::cast_precision_loss, reason = "Nix converts in the same way")]
    pub fn expect_float(&self, value: Value<'h>, pos: Pos, doing: &str) -> Result<f64> {
        match self.force(value).trace(pos, || doing)? {
            Value::Int(int) => Ok(int as f64),
            Value::Float(float) => Ok(float),
            other => self.wrong_type("a float", other, pos, doing),
        }
    }

    /// Forces a value that must be a Boolean.
    ///
    /// # Errors
    /// See [`Self::expect_int`].
    pub fn expect_bool(&self, value: Value<'h>, pos: Pos, doing: &str) -> Result<bool> {
        match self.force(value).trace(pos, || doing)? {
            Value::Bool(bool) => Ok(bool),
            other => self.wrong_type("a Boolean", other, pos, doing),
        }
    }

    /// Forces a value that must be a set.
    ///
    /// # Errors
    /// See [`Self::expect_int`].
    pub fn expect_attrs(
        &self,
        value: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<&'h Attrs<'h>> {
        match self.force(value).at_recursion(pos)? {
            Value::Attrs(attrs) => Ok(attrs),
            // Nix tells the place of sets and lists in the trace only.
            other => self.wrong_type("a set", other, Pos::NONE, "").trace(pos, || doing),
        }
    }

    /// Forces a value that must be a list.
    ///
    /// # Errors
    /// See [`Self::expect_int`].
    pub fn expect_list(
        &self,
        value: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<&'h List<'h>> {
        match self.force(value).at_recursion(pos)? {
            Value::List(list) => Ok(list),
            // Nix tells the place of sets and lists in the trace only.
            other => self.wrong_type("a list", other, Pos::NONE, "").trace(pos, || doing),
        }
    }

    /// Forces a value that must be a string; nothing is coerced.
    ///
    /// # Errors
    /// See [`Self::expect_int`].
    pub fn expect_string(
        &self,
        value: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<&'h Str<'h>> {
        match self.force(value).trace(pos, || doing)? {
            Value::String(string) => Ok(string),
            other => self.wrong_type("a string", other, pos, doing),
        }
    }

    /// Forces a value that must be a string without context.
    ///
    /// # Errors
    /// See [`Self::expect_int`].
    pub fn expect_plain_string(
        &self,
        value: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<&'h [u8]> {
        let string = self.expect_string(value, pos, doing)?;
        let Some(element) = string.context.first() else { return Ok(string.bytes) };
        Err(err!(
            Other,
            "the string '{}' is not allowed to refer to a store path (such as '{}')",
            string.to_string_lossy(),
            self.show_context_element(*element)
        )
        .at(pos)
        .trace(pos, doing))
    }

    /// Forces a value that must be a function (or a set that can be called).
    ///
    /// # Errors
    /// See [`Self::expect_int`].
    pub fn expect_function(
        &self,
        value: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<Value<'h>> {
        let value = self.force(value).trace(pos, || doing)?;
        match value {
            Value::Lambda(_) | Value::Builtin(_) | Value::Partial(_) => Ok(value),
            Value::Attrs(attrs) if attrs.get(crate::sym::FUNCTOR).is_some() => Ok(value),
            other => self.wrong_type("a function", other, pos, doing),
        }
    }

    #[cold]
    fn wrong_type<T>(
        &self,
        expected: &str,
        found: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<T> {
        Err(err!(
            Type,
            "expected {expected} but found {}: {}",
            found.type_phrase(),
            self.print_for_error(found)
        )
        .at(pos)
        .trace(pos, doing))
    }

    /// The value of an attribute that a builtin needs, with Nix's message where it is missing.
    ///
    /// # Errors
    /// The attribute is missing.
    pub fn required_attr(
        &self,
        attrs: &'h Attrs<'h>,
        name: Symbol,
        pos: Pos,
        doing: &str,
    ) -> Result<&'h Slot<'h>> {
        match attrs.get(name) {
            Some(slot) => Ok(slot),
            None => Err(err!(Type, "attribute '{}' missing", self.symbols.shown(name))
                .at(pos)
                .trace(pos, doing)),
        }
    }

    // ---- positions ------------------------------------------------------------------------------

    /// What `builtins.unsafeGetAttrPos` gives for a position: a set, or null.
    pub fn pos_value(&self, pos: Pos) -> Value<'h> {
        let Some(Place { origin: Origin::File(path), line, column }) =
            self.sources.place(pos)
        else {
            return Value::Null;
        };
        self.attrs(&[
            (crate::sym::FILE, self.string_of(path, &[])),
            (crate::sym::LINE, Value::Int(i64::from(line))),
            (crate::sym::COLUMN, Value::Int(i64::from(column))),
        ])
    }

    /// Fails where a call would be too deep, or where somebody wants the evaluation to stop.
    #[inline]
    pub(crate) fn check_call(&self, depth: usize, pos: Pos) -> Result<()> {
        if depth > self.settings.max_call_depth || self.settings.interrupt.is_requested()
        {
            return Err(self.refused_call(depth, pos));
        }
        Ok(())
    }

    #[cold]
    fn refused_call(&self, depth: usize, pos: Pos) -> crate::Error {
        if depth > self.settings.max_call_depth {
            return err!(StackOverflow, "stack overflow; max-call-depth exceeded")
                .at(pos);
        }
        err!(Interrupted, "interrupted by the user")
    }

    /// Counts one call, and gives it back when the guard is dropped.
    ///
    /// # Errors
    /// The chain of calls is deeper than the settings allow.
    #[inline]
    pub(crate) fn enter_call(&self, pos: Pos) -> Result<CallGuard<'_>> {
        let depth = self.call_depth.get();
        self.check_call(depth, pos)?;
        self.call_depth.set(depth + 1);
        Ok(CallGuard { depth: &self.call_depth, before: depth })
    }
}

/// A call that is counted as long as this lives.
pub(crate) struct CallGuard<'e> {
    depth: &'e Cell<usize>,
    before: usize,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.depth.set(self.before);
    }
}
