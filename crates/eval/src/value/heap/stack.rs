//! Where references may be on the stacks of an evaluation.
//!
//! Deep recursion goes on in new pieces of stack, so the present stack is a list of pieces. Of every piece that
//! was left for another, the lowest address in use is known; of every piece, where its use by the evaluation
//! began. Registers that a function has to preserve for its caller may hold references as well: whoever leaves
//! a piece, and the collector itself, first writes them to the stack.

use std::cell::{Cell, RefCell};
use std::hint::black_box;

/// The least size of a page: what a piece of stack ends at a multiple of.
const PAGE_BYTES: usize = 4096;
/// What the frames of `stacker::grow` take at most on the piece that is being left. Evaluation never goes on in
/// a new piece with less than 32 times as much left, so that what is below a frame may be read.
const SWITCH_BYTES: usize = 4096;
/// How many registers are written to the stack.
const REGISTERS: usize = 20;

/// The pieces of stack of the present evaluation.
#[derive(Default)]
pub(super) struct Stack {
    /// Where the present piece begins; zero if no evaluation has said so.
    base: Cell<usize>,
    /// The pieces that were left: lowest address in use, and where they begin.
    left: RefCell<Vec<(usize, usize)>>,
}

impl Stack {
    /// Whether it is known where the stack begins.
    pub(super) fn is_known(&self) -> bool {
        self.base.get() != 0
    }

    /// Runs `work`; all references that it holds are on the stack from here on.
    #[inline(never)]
    pub(super) fn begin<T>(&self, work: impl FnOnce() -> T) -> T {
        let anchor = 0_usize;
        let here = std::ptr::from_ref(black_box(&anchor)).addr();
        // What lies above this frame up to the end of its page is memory, and may be a frame that a stack
        // begins with.
        let before = self.base.replace((here + 1).next_multiple_of(PAGE_BYTES));
        let _back = Restore(|| self.base.set(before));
        run(work)
    }

    /// Runs `work`, which goes on in another piece of stack.
    pub(super) fn leave<T>(&self, work: impl FnOnce() -> T) -> T {
        with_registers(|lowest| {
            let base = self.base.get();
            self.left.borrow_mut().push((lowest.saturating_sub(SWITCH_BYTES), base));
            let _back = Restore(|| {
                self.left.borrow_mut().pop();
                self.base.set(base);
            });
            work()
        })
    }

    /// Hands every aligned word of the stack to `visit`.
    pub(super) fn words(&self, visit: &mut dyn FnMut(usize)) {
        let base = self.base.get();
        with_registers(|lowest| {
            scan(lowest, base, visit);
        });
        for (lowest, base) in &*self.left.borrow() {
            scan(*lowest, *base, visit);
        }
    }
}

/// Calls `work` in a frame below the caller's.
#[inline(never)]
fn run<T>(work: impl FnOnce() -> T) -> T {
    black_box(work)()
}

/// Does something when it goes out of scope.
struct Restore<F: FnMut()>(F);

impl<F: FnMut()> Drop for Restore<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn scan(lowest: usize, base: usize, visit: &mut dyn FnMut(usize)) {
    let words = base.saturating_sub(lowest) / size_of::<usize>();
    let start: *const usize = std::ptr::with_exposed_provenance(lowest);
    for index in 0..words {
        // SAFETY: the words lie between the lowest address in use of a piece of stack and its beginning, so
        // they can be read. What they are is not known, hence the volatile access; any answer will do.
        visit(unsafe { start.wrapping_add(index).read_volatile() });
    }
}

/// Whether registers can be written to the stack here. Where they cannot there is no collection.
pub(super) const IS_SUPPORTED: bool =
    cfg!(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)));

/// Writes the registers that survive calls to the stack, and hands the lowest address of it to `work`.
#[inline(never)]
fn with_registers<T>(work: impl FnOnce(usize) -> T) -> T {
    let mut registers = [0_usize; REGISTERS];
    let lowest = save_registers(&mut registers);
    let result = black_box(work)(lowest & !(size_of::<usize>() - 1));
    black_box(&registers);
    result
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
fn save_registers(registers: &mut [usize; REGISTERS]) -> usize {
    let lowest: usize;
    // SAFETY: this writes to the array and reads registers, nothing else.
    unsafe {
        std::arch::asm!(
            "mov [{array}], rbx",
            "mov [{array} + 8], rbp",
            "mov [{array} + 16], r12",
            "mov [{array} + 24], r13",
            "mov [{array} + 32], r14",
            "mov [{array} + 40], r15",
            "mov {lowest}, rsp",
            array = in(reg) registers.as_mut_ptr(),
            lowest = lateout(reg) lowest,
            options(nostack, preserves_flags),
        );
    }
    lowest
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
#[inline(always)]
fn save_registers(registers: &mut [usize; REGISTERS]) -> usize {
    let lowest: usize;
    // SAFETY: this writes to the array and reads registers, nothing else.
    unsafe {
        std::arch::asm!(
            "stp x19, x20, [{array}]",
            "stp x21, x22, [{array}, #16]",
            "stp x23, x24, [{array}, #32]",
            "stp x25, x26, [{array}, #48]",
            "stp x27, x28, [{array}, #64]",
            "stp x29, x30, [{array}, #80]",
            "stp d8, d9, [{array}, #96]",
            "stp d10, d11, [{array}, #112]",
            "stp d12, d13, [{array}, #128]",
            "stp d14, d15, [{array}, #144]",
            "mov {lowest}, sp",
            array = in(reg) registers.as_mut_ptr(),
            lowest = lateout(reg) lowest,
            options(nostack, preserves_flags),
        );
    }
    lowest
}

#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
fn save_registers(registers: &mut [usize; REGISTERS]) -> usize {
    std::ptr::from_ref(registers).addr()
}
