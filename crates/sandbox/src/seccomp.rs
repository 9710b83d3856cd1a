//! What system calls a builder is refused.
//!
//! A deny list, as Nix's: a builder is an arbitrary program, and almost all calls are harmless in
//! empty namespaces without capabilities. Refused is what would leave a trace in an output that a
//! NAR cannot hold (set-id bits, extended attributes), what could widen the box (mounts, new user
//! namespaces), and kernel surface that no build needs. Each entry has its reason. The compiler makes a
//! program for each call that is refused for some arguments only; a tree of comparisons leads to them. The kernel
//! translates the program for each box and tries it on every call there is: as a list it took a tenth of what
//! a trivial build costs.
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
/// `AUDIT_ARCH_*` of the machine.
#[cfg(target_arch = "x86_64")]
const ARCH_NUMBER: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH_NUMBER: u32 = 0xc000_00b7;

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
        let mut program = vec![
            step(LOAD, ARCH_WORD),
            sock_filter { jt: 1, ..step(JUMP_EQUAL, ARCH_NUMBER) },
            step(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
            step(LOAD, NUMBER_WORD),
        ];
        if cfg!(target_arch = "x86_64") {
            // Call numbers of the x32 interface do not exist.
            let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
            program.push(sock_filter { jf: 1, ..step(JUMP_AT_LEAST, X32_BIT) });
            program.push(step(RETURN, absent));
        }
        program.extend(tree(&spans(&programs(answers))));
        program
    })
}

/// `BPF_LD | BPF_W | BPF_ABS`: loads a word of the call's description.
const LOAD: u16 = 0x20;
/// Where the description has the call's number, and the architecture (`struct seccomp_data`).
const NUMBER_WORD: u32 = 0;
const ARCH_WORD: u32 = 4;
/// `BPF_JMP | BPF_JEQ | BPF_K`
const JUMP_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGE | BPF_K`
const JUMP_AT_LEAST: u16 = 0x35;
/// `BPF_JMP | BPF_JA`: goes on so many steps later.
const JUMP: u16 = 0x05;
/// `BPF_RET | BPF_K`: ends with an answer.
const RETURN: u16 = 0x06;
/// What the call numbers of the x32 interface have set.
const X32_BIT: u32 = 0x4000_0000;

fn step(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// A program for each call that has rules, by the call's number.
fn programs(
    answers: impl IntoIterator<Item = (i32, Rules)>,
) -> BTreeMap<u32, BpfProgram> {
    let mut programs = BTreeMap::new();
    for (errno, rules) in answers {
        for (call, rules) in rules {
            let number = u32::try_from(call).expect("call numbers are small");
            let program = match rules.is_empty() {
                true => {
                    vec![step(RETURN, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs())]
                }
                false => compile(errno, Rules::from([(call, rules)])),
            };
            let other = programs.insert(number, program);
            assert!(other.is_none(), "a call has one answer");
        }
    }
    programs
}

/// All numbers in order: from each on, what to do until the next. What has no program is allowed.
fn spans(programs: &BTreeMap<u32, BpfProgram>) -> Vec<(u32, BpfProgram)> {
    let allow = vec![step(RETURN, libc::SECCOMP_RET_ALLOW)];
    let mut spans: Vec<(u32, BpfProgram)> = vec![(0, allow.clone())];
    for (number, program) in programs {
        spans.pop_if(|(from, _)| from == number);
        if spans.last().is_none_or(|(_, last)| last != program) {
            spans.push((*number, program.clone()));
        }
        spans.push((number + 1, allow.clone()));
    }
    spans
}

/// A program that leads a number, which is loaded, to what is to be done from there on.
fn tree(spans: &[(u32, BpfProgram)]) -> BpfProgram {
    if let [(_, only)] = spans {
        return only.clone();
    }
    let (lower, upper) = spans.split_at(spans.len() / 2);
    let below = tree(lower);
    let upper_from = step(JUMP_AT_LEAST, upper[0].0);
    let mut program = match u8::try_from(below.len()) {
        Ok(over) => vec![sock_filter { jt: over, ..upper_from }],
        // A conditional jump does not reach far enough.
        Err(_) => {
            let over = u32::try_from(below.len()).expect("programs are short");
            vec![sock_filter { jf: 1, ..upper_from }, step(JUMP, over)]
        }
    };
    program.extend(below);
    program.extend(tree(upper));
    program
}

fn compile(errno: i32, rules: Rules) -> BpfProgram {
    let answer = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, answer, ARCH)
        .and_then(TryInto::try_into)
        .expect("the rules are constants that fit one program")
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
    fn every_call_finds_its_answer() {
        let only = |call: i64| Rules::from([(call, Vec::new())]);
        for count in 1..20 {
            let calls: Vec<i64> = (0..count).map(|number| 10 + 3 * number).collect();
            let answers =
                calls.iter().map(|call| (i32::try_from(*call).unwrap(), only(*call)));
            let mut program = vec![step(LOAD, NUMBER_WORD)];
            program.extend(tree(&spans(&programs(answers))));
            for call in 0..100 {
                let wanted = match calls.contains(&i64::from(call)) {
                    true => libc::SECCOMP_RET_ERRNO | call,
                    false => libc::SECCOMP_RET_ALLOW,
                };
                assert_eq!(run(&program, call).0, wanted, "{call} of {count}");
            }
        }
    }

    #[test]
    fn no_call_takes_long() {
        let program = program();
        let longest = (0..500).map(|call| run(program, call).1).max();
        assert!(longest.unwrap() < 30, "{longest:?} of {} steps", program.len());
        let refused = |call: i64| run(program, u32::try_from(call).unwrap()).0;
        let forbidden = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
        assert_eq!(refused(libc::SYS_mount), forbidden);
        assert_eq!(refused(libc::SYS_read), libc::SECCOMP_RET_ALLOW);
    }

    /// Interprets a program until it looks at an argument of the call: its answer and how many steps it took.
    fn run(program: &BpfProgram, call: u32) -> (u32, usize) {
        let (mut at, mut value, mut steps) = (0, 0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            steps += 1;
            let branch = |holds: bool| usize::from(if holds { jt } else { jf });
            match code {
                LOAD if k == NUMBER_WORD => value = call,
                LOAD if k == ARCH_WORD => value = ARCH_NUMBER,
                LOAD => return (libc::SECCOMP_RET_ALLOW, steps),
                JUMP_EQUAL => at += branch(value == k),
                JUMP_AT_LEAST => at += branch(value >= k),
                JUMP => at += k as usize,
                RETURN => return (k, steps),
                other => panic!("a step of code {other:#x}"),
            }
        }
    }
}
