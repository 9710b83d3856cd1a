//! What system calls a builder is refused.
//!
//! A deny list, as Nix's: a builder is an arbitrary program, and almost all calls are harmless in
//! empty namespaces without capabilities. Refused is what would leave a trace in an output that a
//! NAR cannot hold (set-id bits, extended attributes), what could widen the box (mounts, new user
//! namespaces), and kernel surface that no build needs. Each entry has its reason.
//!
//! The kernel translates the program for each box and tries it on every call there is, so it is a short one: a
//! tree of comparisons leads to a few numbers each, and calls that are judged alike share what judges them. All
//! jumps reach, because the whole is shorter than the longest conditional jump. `docs/store.md` has what that saves.
//!
//! 32-bit programs on a 64-bit machine are killed: their call numbers mean something else.

use std::sync::OnceLock;

use libc::sock_filter;

/// `AUDIT_ARCH_*` of the machine.
#[cfg(target_arch = "x86_64")]
const ARCH_NUMBER: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH_NUMBER: u32 = 0xc000_00b7;

/// The program, as the kernel takes it.
pub(crate) fn program() -> &'static [sock_filter] {
    static PROGRAM: OnceLock<Vec<sock_filter>> = OnceLock::new();
    PROGRAM.get_or_init(|| assemble(&lines(&rules())))
}

/// What is asked about a call before it is answered. Arguments are counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// Nothing: the answer is always this errno.
    Refused(i32),
    /// Whether `mode` is to set a set-id bit.
    Mode { mode: u8 },
    /// The same, where the mode counts only if `flags` say that a file is made.
    NewMode { flags: u8, mode: u8 },
    /// Whether a user namespace is to be made.
    Namespaces,
    /// Whether an unusual execution domain is meant.
    Domain,
    /// Whether a terminal is to be typed into.
    Terminal,
    /// Whether the socket is of a family that no network namespace confines, or that no build needs.
    Family,
}

/// Calls that are refused whatever their arguments, and why.
const ALWAYS: &[(&[i64], i32, &str)] = &[
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
        libc::EPERM,
        "the view of the file system is fixed",
    ),
    (
        &[libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl],
        libc::EPERM,
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
        libc::EPERM,
        "kernel surface that no build needs",
    ),
    (
        &[
            libc::SYS_clone3,
            libc::SYS_openat2,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
        ],
        libc::ENOSYS,
        "a filter cannot see their arguments; programs fall back to the older call",
    ),
    (
        &[libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, SETXATTRAT],
        libc::ENOTSUP,
        "a NAR cannot hold extended attributes, access control lists among them",
    ),
];

/// Calls that are refused for some arguments, and why.
const SOMETIMES: &[(&[(i64, Check)], &str)] = &[
    (
        &[
            (libc::SYS_fchmod, Check::Mode { mode: 1 }),
            (libc::SYS_fchmodat, Check::Mode { mode: 2 }),
            (FCHMODAT2, Check::Mode { mode: 2 }),
            (libc::SYS_mknodat, Check::Mode { mode: 2 }),
            (libc::SYS_openat, Check::NewMode { flags: 2, mode: 3 }),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_chmod, Check::Mode { mode: 1 }),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_creat, Check::Mode { mode: 1 }),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_mknod, Check::Mode { mode: 1 }),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_open, Check::NewMode { flags: 1, mode: 2 }),
        ],
        "outputs cannot have set-id bits, and a set-id file in a build directory would be a way for another \
         user of the host to become this one",
    ),
    (
        &[(libc::SYS_clone, Check::Namespaces), (libc::SYS_unshare, Check::Namespaces)],
        "a new user namespace gives all capabilities over new namespaces: much more kernel to attack",
    ),
    (
        &[(libc::SYS_personality, Check::Domain)],
        "only the usual execution domains are the same everywhere",
    ),
    (
        &[(libc::SYS_ioctl, Check::Terminal)],
        "characters could be pushed into a terminal's input",
    ),
    (
        &[(libc::SYS_socket, Check::Family), (libc::SYS_socketpair, Check::Family)],
        "some families of sockets know no namespaces",
    ),
];

/// `fchmodat2` has the same number everywhere; libc does not name it everywhere.
const FCHMODAT2: i64 = 452;
/// `setxattrat`, likewise.
const SETXATTRAT: i64 = 463;
/// `ADDR_NO_RANDOMIZE` of `personality`.
pub(crate) const NO_RANDOMIZE: u32 = 0x0004_0000;
/// `PER_LINUX32`
const LINUX32: u32 = 8;
/// Asks `personality` which domain is in force.
const ASK: u32 = 0xffff_ffff;
/// The execution domains that are allowed.
const DOMAINS: &[u32] = &[0, NO_RANDOMIZE, LINUX32, LINUX32 | NO_RANDOMIZE, ASK];
/// The families of sockets that are allowed.
const FAMILIES: &[u32] = &[
    libc::AF_UNIX.cast_unsigned(),
    libc::AF_INET.cast_unsigned(),
    libc::AF_INET6.cast_unsigned(),
    libc::AF_NETLINK.cast_unsigned(),
];
/// `TIOCSTI` and `TIOCLINUX`, which push characters into a terminal's input.
const PUSHES: &[u32] = &[0x5412, 0x541c];
/// The set-user-id and the set-group-id bit.
const SET_ID: u32 = 0o6000;
/// The flags of `open` of which one is there whenever a file is made.
const MAKES_FILE: u32 =
    (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)).cast_unsigned();

/// Every call that is not simply allowed, by its number.
fn rules() -> Vec<(u32, Check)> {
    let always = ALWAYS.iter().flat_map(|(calls, errno, _reason)| {
        calls.iter().map(|call| (*call, Check::Refused(*errno)))
    });
    let sometimes = SOMETIMES.iter().flat_map(|(calls, _reason)| calls.iter().copied());
    let number =
        |(call, check)| (u32::try_from(call).expect("call numbers are small"), check);
    let mut rules: Vec<_> = always.chain(sometimes).map(number).collect();
    rules.sort_unstable_by_key(|(number, _)| *number);
    let is_twice = |pair: &[(u32, Check)]| pair[0].0 == pair[1].0;
    assert!(!rules.windows(2).any(is_twice), "a call has one rule");
    rules
}

/// `BPF_LD | BPF_W | BPF_ABS`: loads a word of the call's description (`struct seccomp_data`).
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_K`, and `BPF_JEQ`, `BPF_JGE`, `BPF_JSET`.
const IS: u16 = 0x15;
const IS_AT_LEAST: u16 = 0x35;
const HAS_ANY: u16 = 0x45;
/// `BPF_RET | BPF_K`: ends with an answer.
const RETURN: u16 = 0x06;
/// Where the description has the call's number, and the architecture.
const NUMBER_WORD: u32 = 0;
const ARCH_WORD: u32 = 4;
/// What the call numbers of the x32 interface have set.
const X32_BIT: u32 = 0x4000_0000;
/// So many numbers are compared one after the other at the ends of the tree.
const LEAF: usize = 4;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

/// A line of the program in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// A place to go to.
    Here(Label),
    /// Takes a word of the description.
    Load(u32),
    /// Compares it.
    Test { code: u16, with: u32, yes: Label, no: Label },
    /// Ends.
    Answer(u32),
}

/// Where a test leads, always further down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    /// To the next line.
    Next,
    /// To a part of the tree.
    Branch(usize),
    /// To what judges a call.
    Judge(Check),
    /// To the end.
    End(u32),
}

/// The answer with an error.
fn error(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()
}

/// Where the low half of an argument lies: the kernel takes those that are looked at as 32-bit integers, so the
/// other half must not matter. Both architectures have the low half first.
fn low_half(argument: u8) -> Line {
    Line::Load(16 + 8 * u32::from(argument))
}

/// The program for these rules, which are sorted.
fn lines(rules: &[(u32, Check)]) -> Vec<Line> {
    let kill = Label::End(libc::SECCOMP_RET_KILL_PROCESS);
    let test = |code, with, yes, no| Line::Test { code, with, yes, no };
    let mut lines = vec![Line::Load(ARCH_WORD), test(IS, ARCH_NUMBER, Label::Next, kill)];
    lines.push(Line::Load(NUMBER_WORD));
    if cfg!(target_arch = "x86_64") {
        // Call numbers of the x32 interface do not exist.
        let absent = Label::End(error(libc::ENOSYS));
        lines.push(test(IS_AT_LEAST, X32_BIT, absent, Label::Next));
    }
    search(rules, &mut 0, &mut lines);
    let mut judged: Vec<Check> = Vec::new();
    let mut judge = |check| {
        if !judged.contains(&check) {
            judged.push(check);
            lines.extend(judgement(check));
        }
    };
    // Those that end in another check come before it.
    let is_new = |check: &Check| matches!(check, Check::NewMode { .. });
    let checks = || rules.iter().map(|(_, check)| *check);
    checks().filter(is_new).for_each(&mut judge);
    for check in checks().filter(is_new) {
        let Check::NewMode { mode, .. } = check else { continue };
        judge(Check::Mode { mode });
    }
    checks().for_each(&mut judge);
    let errors = [libc::EPERM, libc::ENOSYS, libc::ENOTSUP, libc::EAFNOSUPPORT];
    let ends = [ALLOW, libc::SECCOMP_RET_KILL_PROCESS].into_iter();
    for end in ends.chain(errors.map(error)) {
        lines.extend([Line::Here(Label::End(end)), Line::Answer(end)]);
    }
    lines
}

/// Leads a number, which is loaded, to its check, or to the end with which a call is allowed.
fn search(rules: &[(u32, Check)], branches: &mut usize, lines: &mut Vec<Line>) {
    if rules.len() <= LEAF {
        for (at, (number, check)) in rules.iter().enumerate() {
            let yes = match check {
                Check::Refused(errno) => Label::End(error(*errno)),
                other => Label::Judge(*other),
            };
            let is_last = at + 1 == rules.len();
            let no = if is_last { Label::End(ALLOW) } else { Label::Next };
            lines.push(Line::Test { code: IS, with: *number, yes, no });
        }
        return;
    }
    let (lower, upper) = rules.split_at(rules.len() / 2);
    let branch = Label::Branch(*branches);
    *branches += 1;
    let (with, no) = (upper[0].0, Label::Next);
    lines.push(Line::Test { code: IS_AT_LEAST, with, yes: branch, no });
    search(lower, branches, lines);
    lines.push(Line::Here(branch));
    search(upper, branches, lines);
}

/// What judges a call.
fn judgement(check: Check) -> Vec<Line> {
    let (allow, forbid) = (Label::End(ALLOW), Label::End(error(libc::EPERM)));
    let here = Line::Here(Label::Judge(check));
    let has_any = |with, yes| Line::Test { code: HAS_ANY, with, yes, no: allow };
    let one_of = |argument, values: &[u32], yes, no| {
        let test = |(at, with): (usize, &u32)| {
            let no = if at + 1 == values.len() { no } else { Label::Next };
            Line::Test { code: IS, with: *with, yes, no }
        };
        let tests = values.iter().enumerate().map(test);
        [here, low_half(argument)].into_iter().chain(tests).collect()
    };
    match check {
        Check::Refused(_) => Vec::new(),
        Check::Mode { mode } => vec![here, low_half(mode), has_any(SET_ID, forbid)],
        Check::NewMode { flags, mode } => {
            let mode = Label::Judge(Check::Mode { mode });
            vec![here, low_half(flags), has_any(MAKES_FILE, mode)]
        }
        Check::Namespaces => {
            let new_user = libc::CLONE_NEWUSER.cast_unsigned();
            vec![here, low_half(0), has_any(new_user, forbid)]
        }
        Check::Domain => one_of(0, DOMAINS, allow, forbid),
        Check::Terminal => one_of(1, PUSHES, forbid, allow),
        Check::Family => {
            one_of(0, FAMILIES, allow, Label::End(error(libc::EAFNOSUPPORT)))
        }
    }
}

/// The program as the kernel takes it.
fn assemble(lines: &[Line]) -> Vec<sock_filter> {
    let is_place = |line: &Line| matches!(line, Line::Here(_));
    let place = |label: Label| {
        let found = lines.iter().position(|line| *line == Line::Here(label));
        let found = found.expect("every label is a place");
        lines[..found].iter().filter(|line| !is_place(line)).count()
    };
    let mut program: Vec<sock_filter> = Vec::new();
    for line in lines {
        let next = program.len() + 1;
        let over = |label| match label {
            Label::Next => 0,
            other => u8::try_from(place(other) - next).expect("the program is short"),
        };
        let step = |code, k| sock_filter { code, jt: 0, jf: 0, k };
        program.push(match *line {
            Line::Here(_) => continue,
            Line::Load(word) => step(LOAD, word),
            Line::Answer(answer) => step(RETURN, answer),
            Line::Test { code, with, yes, no } => {
                sock_filter { jt: over(yes), jf: over(no), ..step(code, with) }
            }
        });
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers to a call, and after how many steps.
    fn answer(arch: u32, call: u32, arguments: [u64; 6]) -> (u32, usize) {
        let program = program();
        let (mut at, mut value, mut steps) = (0, 0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            steps += 1;
            let branch = |holds: bool| usize::from(if holds { jt } else { jf });
            match code {
                LOAD if k == NUMBER_WORD => value = call,
                LOAD if k == ARCH_WORD => value = arch,
                LOAD => {
                    let argument = arguments[(k as usize - 16) / 8];
                    assert_eq!(k % 8, 0, "the low half");
                    value = u32::try_from(argument & 0xffff_ffff).unwrap();
                }
                IS => at += branch(value == k),
                IS_AT_LEAST => at += branch(value >= k),
                HAS_ANY => at += branch(value & k != 0),
                RETURN => return (k, steps),
                other => panic!("a step of code {other:#x}"),
            }
        }
    }

    fn errno_of(call: i64, arguments: &[u64]) -> i32 {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        let (answer, _) = answer(ARCH_NUMBER, u32::try_from(call).unwrap(), all);
        match answer {
            ALLOW => 0,
            other => (other ^ libc::SECCOMP_RET_ERRNO).cast_signed(),
        }
    }

    #[test]
    fn every_call_finds_its_rule() {
        let rules = rules();
        // Arguments that nothing refuses, but for a domain and a family there is none that all allow.
        let harmless = |call: u32| match rules.iter().find(|(number, _)| *number == call)
        {
            Some((_, Check::Family)) => [1, 0, 0, 0, 0, 0],
            _ => [0; 6],
        };
        for call in 0..1000 {
            let rule = rules.iter().find(|(number, _)| *number == call);
            let wanted = match rule {
                Some((_, Check::Refused(errno))) => error(*errno),
                _ => ALLOW,
            };
            assert_eq!(answer(ARCH_NUMBER, call, harmless(call)).0, wanted, "{call}");
            let refused = rule.is_some();
            let high = answer(ARCH_NUMBER, call, [0x5412_ffff_ffff; 6]).0 != ALLOW;
            // All bits are the question for the domain, and no request of a terminal.
            let exempt = matches!(rule, Some((_, Check::Domain | Check::Terminal)));
            assert!(high == (refused && !exempt), "{call}");
        }
        assert!(rules.len() > 50, "{}", rules.len());
    }

    #[test]
    fn arguments_decide() {
        let create = u64::from(libc::O_CREAT.cast_unsigned());
        let temporary = u64::from(libc::O_TMPFILE.cast_unsigned());
        // The upper half of an argument is not looked at.
        let high = 0x6000_0000_0000;
        for (wanted, call, arguments) in [
            (libc::EPERM, libc::SYS_mount, &[][..]),
            (0, libc::SYS_read, &[][..]),
            (0, libc::SYS_fchmod, &[3, 0o777 | high]),
            (libc::EPERM, libc::SYS_fchmod, &[3, 0o4755]),
            (libc::EPERM, libc::SYS_fchmod, &[3, 0o2755]),
            (libc::EPERM, libc::SYS_fchmod, &[3, 0o4755 | high]),
            (0, libc::SYS_fchmodat, &[0o6000, 0o6000, 0o755]),
            (libc::EPERM, libc::SYS_fchmodat, &[3, 0, 0o6755]),
            (libc::EPERM, FCHMODAT2, &[3, 0, 0o4000]),
            (libc::EPERM, libc::SYS_mknodat, &[3, 0, 0o104_000]),
            (0, libc::SYS_openat, &[3, 0, 0, 0o4755]),
            (0, libc::SYS_openat, &[3, 0, create, 0o644]),
            (libc::EPERM, libc::SYS_openat, &[3, 0, create, 0o4755]),
            (libc::EPERM, libc::SYS_openat, &[3, 0, temporary, 0o2755]),
            (0, libc::SYS_clone, &[u64::from(libc::SIGCHLD.cast_unsigned())]),
            (libc::EPERM, libc::SYS_clone, &[0x1000_0011]),
            (libc::EPERM, libc::SYS_unshare, &[0x1000_0000]),
            (0, libc::SYS_unshare, &[0x4000_0000]),
            (0, libc::SYS_personality, &[8]),
            (0, libc::SYS_personality, &[0xffff_ffff]),
            (libc::EPERM, libc::SYS_personality, &[4]),
            (libc::EPERM, libc::SYS_ioctl, &[0, 0x5412]),
            (libc::EPERM, libc::SYS_ioctl, &[0, 0x541c]),
            (0, libc::SYS_ioctl, &[0x5412, 0x5401]),
            (0, libc::SYS_socket, &[1]),
            (0, libc::SYS_socketpair, &[16]),
            (libc::EAFNOSUPPORT, libc::SYS_socket, &[40]),
            (libc::EAFNOSUPPORT, libc::SYS_socketpair, &[0]),
            (libc::ENOSYS, libc::SYS_clone3, &[]),
            (libc::ENOTSUP, libc::SYS_fsetxattr, &[]),
            #[cfg(target_arch = "x86_64")]
            (libc::EPERM, libc::SYS_chmod, &[0, 0o4000]),
            #[cfg(target_arch = "x86_64")]
            (libc::EPERM, libc::SYS_creat, &[0, 0o4000]),
            #[cfg(target_arch = "x86_64")]
            (libc::EPERM, libc::SYS_mknod, &[0, 0o2000]),
            #[cfg(target_arch = "x86_64")]
            (libc::EPERM, libc::SYS_open, &[0, create, 0o4755]),
            #[cfg(target_arch = "x86_64")]
            (0, libc::SYS_open, &[0, 0, 0o4755]),
        ] {
            assert_eq!(errno_of(call, arguments), wanted, "{call} {arguments:?}");
        }
        assert_eq!(u64::from(PUSHES[0]), as_u64(libc::TIOCSTI));
        assert_eq!(u64::from(PUSHES[1]), as_u64(libc::TIOCLINUX));
    }

    /// Libraries differ in the type of a request.
    fn as_u64(request: impl TryInto<u64>) -> u64 {
        request.try_into().ok().unwrap()
    }

    #[test]
    fn other_interfaces_do_not_exist() {
        let i386 = 0x4000_0003;
        assert_eq!(answer(i386, 0, [0; 6]).0, libc::SECCOMP_RET_KILL_PROCESS);
        if cfg!(target_arch = "x86_64") {
            let (x32, _) = answer(ARCH_NUMBER, X32_BIT, [0; 6]);
            assert_eq!(x32, error(libc::ENOSYS));
        }
    }

    #[test]
    fn no_call_takes_long() {
        let steps = |call| answer(ARCH_NUMBER, call, [0; 6]).1;
        let longest = (0..500).map(steps).max();
        assert!(longest.unwrap() < 20, "{longest:?} steps");
        let len = program().len();
        assert!(len < 160, "{len} lines");
    }
}
