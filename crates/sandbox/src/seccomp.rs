//! What system calls a builder is refused.
//!
//! A deny list, as Nix's: a builder is an arbitrary program, and almost all calls are harmless in
//! empty namespaces without capabilities. Refused is what would leave a trace in an output that a
//! NAR cannot hold (set-id bits, extended attributes), what could widen the box (mounts, new user
//! namespaces), and kernel surface that no build needs. Each entry has its reason. The compiler makes a
//! program for each answer (`EPERM`, `ENOSYS`, ...); they are joined to one, because the kernel translates
//! each program that it is given, which was a tenth of what a trivial build costs.
//!
//! 32-bit programs on a 64-bit machine are killed: their call numbers mean something else.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

/// The conditions under which a call is refused: any rule, all of a rule's conditions.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// The compiled program.
pub(crate) fn program() -> &'static BpfProgram {
    static PROGRAM: OnceLock<BpfProgram> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let answers = [
            (libc::EPERM, forbidden()),
            (libc::ENOSYS, absent()),
            (libc::ENOTSUP, unsupported()),
            (libc::EAFNOSUPPORT, foreign_sockets()),
        ];
        let mut program =
            join(answers.into_iter().map(|(errno, rules)| compile(errno, rules)));
        if cfg!(target_arch = "x86_64") {
            refuse_x32(&mut program);
        }
        program
    })
}

/// One program that asks each in turn: where all but the last would allow a call, the next is asked.
fn join(programs: impl IntoIterator<Item = BpfProgram>) -> BpfProgram {
    let mut joined = BpfProgram::new();
    for program in programs {
        let start = joined.len();
        for (at, step) in joined.iter_mut().enumerate() {
            if step.code == RETURN && step.k == libc::SECCOMP_RET_ALLOW {
                let over = u32::try_from(start - at - 1).expect("programs are short");
                *step = sock_filter { code: JUMP, jt: 0, jf: 0, k: over };
            }
        }
        joined.extend(program);
    }
    joined
}

/// `BPF_RET | BPF_K`: ends with an answer.
const RETURN: u16 = 0x06;
/// `BPF_JMP | BPF_JA`: goes on so many steps later.
const JUMP: u16 = 0x05;

fn compile(errno: i32, rules: Rules) -> BpfProgram {
    let answer = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, answer, ARCH)
        .and_then(TryInto::try_into)
        .expect("the rules are constants that fit one program")
}

/// Puts before a program: call numbers of the x32 interface do not exist.
fn refuse_x32(program: &mut BpfProgram) {
    const LOAD_NUMBER: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const X32_BIT: u32 = 0x4000_0000;
    let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    let prefix = [
        sock_filter { code: LOAD_NUMBER, jt: 0, jf: 0, k: 0 },
        sock_filter { code: JUMP_AT_LEAST, jt: 0, jf: 1, k: X32_BIT },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: absent },
    ];
    program.splice(0..0, prefix);
}

/// Calls that are refused whatever their arguments, and why.
const ALWAYS: &[(&[i64], &str)] = &[
    (
        &[
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_fsopen,
            libc::SYS_fsmount,
            libc::SYS_fsconfig,
            libc::SYS_fspick,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_mount_setattr,
            libc::SYS_setns,
        ],
        "the view of the file system is fixed",
    ),
    (
        &[libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl],
        "key rings are shared with the host's user",
    ),
    (
        &[
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_syslog,
            libc::SYS_fanotify_init,
            libc::SYS_open_by_handle_at,
            libc::SYS_quotactl,
            libc::SYS_acct,
            libc::SYS_swapon,
            libc::SYS_swapoff,
            libc::SYS_reboot,
            libc::SYS_kexec_load,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_clock_adjtime,
            libc::SYS_adjtimex,
        ],
        "kernel surface that no build needs",
    ),
];

/// `EPERM`: what the box forbids.
fn forbidden() -> Rules {
    let mut rules: Rules = BTreeMap::new();
    for (calls, _reason) in ALWAYS {
        for call in *calls {
            rules.insert(*call, Vec::new());
        }
    }
    // Set-id bits: outputs cannot have them, and a set-id file in a build directory would be a way
    // for another user of the host to become this one.
    for (call, mode) in [(libc::SYS_fchmod, 1), (libc::SYS_fchmodat, 2), (FCHMODAT2, 2)] {
        rules.insert(call, set_id(mode, None));
    }
    rules.insert(libc::SYS_openat, set_id(3, Some(2)));
    rules.insert(libc::SYS_mknodat, set_id(2, None));
    #[cfg(target_arch = "x86_64")]
    {
        rules.insert(libc::SYS_chmod, set_id(1, None));
        rules.insert(libc::SYS_creat, set_id(1, None));
        rules.insert(libc::SYS_open, set_id(2, Some(1)));
        rules.insert(libc::SYS_mknod, set_id(1, None));
    }
    // A new user namespace gives all capabilities over new namespaces: much more kernel to attack.
    let new_user = c_u64(libc::CLONE_NEWUSER);
    for call in [libc::SYS_clone, libc::SYS_unshare] {
        rules.insert(call, vec![rule(vec![bits(0, new_user)])]);
    }
    // Only the usual execution domains, and the question which one is in force.
    const ASK: u64 = 0xffff_ffff;
    const LINUX32: u64 = 8;
    let usual = [0, NO_RANDOMIZE, LINUX32, LINUX32 | NO_RANDOMIZE, ASK];
    rules.insert(
        libc::SYS_personality,
        vec![rule(usual.iter().map(|value| differs(0, *value)).collect())],
    );
    // Pushing characters into a terminal's input.
    let push = [libc::TIOCSTI, libc::TIOCLINUX];
    rules.insert(
        libc::SYS_ioctl,
        push.iter().map(|request| rule(vec![equals(1, *request)])).collect(),
    );
    rules
}

/// `ENOSYS`: calls whose arguments a filter cannot see; programs fall back to the older call.
fn absent() -> Rules {
    [
        libc::SYS_clone3,
        libc::SYS_openat2,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect()
}

/// `ENOTSUP`: extended attributes, access control lists among them; a NAR cannot hold them.
fn unsupported() -> Rules {
    [libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, SETXATTRAT]
        .into_iter()
        .map(|call| (call, Vec::new()))
        .collect()
}

/// `EAFNOSUPPORT`: socket families that no network namespace confines, or that no build needs.
fn foreign_sockets() -> Rules {
    let usual = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let foreign: Vec<_> = usual.iter().map(|family| differs(0, c_u64(*family))).collect();
    [libc::SYS_socket, libc::SYS_socketpair]
        .into_iter()
        .map(|call| (call, vec![rule(foreign.clone())]))
        .collect()
}

/// `fchmodat2` has the same number everywhere; libc does not name it everywhere.
const FCHMODAT2: i64 = 452;
/// `setxattrat`, likewise.
const SETXATTRAT: i64 = 463;
/// `ADDR_NO_RANDOMIZE` of `personality`.
pub(crate) const NO_RANDOMIZE: u64 = 0x0004_0000;

/// Refuses a set-user-id or set-group-id bit in the argument `mode`; where the mode counts only
/// when a file is created, in calls whose argument `flags` says so.
fn set_id(mode: u8, flags: Option<u8>) -> Vec<SeccompRule> {
    let creating = [c_u64(libc::O_CREAT), c_u64(libc::O_TMPFILE)];
    let mut rules = Vec::new();
    for bit in [0o4000, 0o2000] {
        match flags {
            None => rules.push(rule(vec![bits(mode, bit)])),
            Some(flags) => rules.extend(
                creating.iter().map(|c| rule(vec![bits(flags, *c), bits(mode, bit)])),
            ),
        }
    }
    rules
}

fn rule(conditions: Vec<SeccompCondition>) -> SeccompRule {
    SeccompRule::new(conditions).expect("every rule has a condition")
}

fn bits(argument: u8, mask: u64) -> SeccompCondition {
    condition(argument, SeccompCmpOp::MaskedEq(mask), mask)
}

fn differs(argument: u8, value: u64) -> SeccompCondition {
    condition(argument, SeccompCmpOp::Ne, value)
}

fn equals(argument: u8, value: u64) -> SeccompCondition {
    condition(argument, SeccompCmpOp::Eq, value)
}

/// The kernel takes these arguments as 32-bit integers, so the upper half must not matter.
fn condition(argument: u8, op: SeccompCmpOp, value: u64) -> SeccompCondition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)
        .expect("argument numbers are below six")
}

fn c_u64(flag: libc::c_int) -> u64 {
    u64::from(flag.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_programs_answer_as_the_first_that_refuses() {
        let only = |call: i64| Rules::from([(call, Vec::new())]);
        let joined = join([(1, 10), (2, 11), (3, 10)].map(|(e, c)| compile(e, only(c))));
        let allows = joined
            .iter()
            .filter(|step| step.code == RETURN && step.k == libc::SECCOMP_RET_ALLOW);
        assert!(allows.count() >= 1);
        let answer = |call| run(&joined, call);
        assert_eq!(answer(9), libc::SECCOMP_RET_ALLOW);
        assert_eq!(answer(10), libc::SECCOMP_RET_ERRNO | 1);
        assert_eq!(answer(11), libc::SECCOMP_RET_ERRNO | 2);
    }

    /// Interprets a program that looks at nothing but the number of a call and the architecture.
    fn run(program: &BpfProgram, call: u32) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            match code {
                0x20 if k == 0 => value = call,
                0x20 => {
                    value =
                        if ARCH == TargetArch::x86_64 { 0xc000_003e } else { 0xc000_00b7 }
                }
                0x15 => at += usize::from(if value == k { jt } else { jf }),
                JUMP => at += k as usize,
                RETURN => return k,
                other => panic!("a step of code {other:#x}"),
            }
        }
    }
}
