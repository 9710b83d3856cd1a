//! Boots an image in QEMU and speaks to its console.
//!
//! A [`VmSpec`] comes from the configuration and says what to boot and with which QEMU; the QEMU
//! is a Debian tree in the store, run through its own dynamic loader, so that nothing of the host
//! but the kernel takes part. [`Machine::start`] gives a paused machine whose forwarded ports are
//! known and bound; from there it either runs on this terminal ([`Machine::run_on_terminal`],
//! [`Machine::run_on_pipes`]) or headless with a [`Console`] that a [`TestPlan`] types at.
//!
//! Three decisions are worth knowing. KVM is used only after the very kernel in question has
//! booted in it ([`choose_accel`]), because `/dev/kvm` opens on machines where no stock kernel
//! survives. Waiting is always for something that the guest says, never for a time. And QEMU
//! never outlives this process: it dies with the thread that started it, and with its handle.
//!
//! What differs between architectures is data in the specification: the program and its loader,
//! the board, its network device.

mod console;
mod error;
mod http;
mod invocation;
mod kvm;
mod machine;
mod plan;
mod ports;
mod process;
mod qmp;
mod runner;
mod spec;
mod ssh;
mod text;

pub use console::{CommandOutput, Console};
pub use error::VmError;
pub use kvm::{Accel, AccelChoice, choose_accel};
pub use machine::{Ending, Machine, StartOptions, Stdio};
pub use plan::{BootTest, Step, TestPlan};
pub use ports::Forward;
pub use runner::{RunnerOptions, TestFailure, TestReport, run_test};
pub use spec::{Drive, DriveKind, ForwardPort, Protocol, VmSpec};
