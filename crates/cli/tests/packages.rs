//! Packages that cannot be built, and what their authors are told: the place and the remedy.

use std::path::Path;
use std::process::Command;

use crate::common::{TestEnvironment, skip, workspace};

/// What `picnix image` says of a configuration that cannot be evaluated.
fn refusal(text: &str) -> String {
    let env = TestEnvironment::new();
    env.write("x.nix", text);
    env.fails(&["image", "x.nix"])
}

#[test]
fn an_applet_that_busybox_does_not_know_names_who_asked() {
    let said = refusal(
        "{\n  profiles.tiny.enable = true;\n  programs.busybox.applets = [\n    \"cat\"\n    \
         \"grepp\"\n  ];\n}\n",
    );
    let expected = "error: busybox: there is no applet 'grepp', asked for by $DIR/work/x.nix:3; \
                    did you mean 'grep' or 'egrep' or 'fgrep'?\n";
    assert!(said.contains(expected), "{said}");
}

/// What `picnix build` says of a package in the file `x.nix` that cannot be built.
fn build_failure(env: &TestEnvironment, text: &str) -> String {
    env.write("x.nix", text);
    env.fails(&["build", "x.nix"])
}

#[test]
fn a_package_that_needs_a_tool_of_the_host_is_told_its_place_and_the_remedy() {
    let env = TestEnvironment::new();
    env.add_shell();
    let said = build_failure(
        &env,
        "import ./sh.nix {\n  pname = \"thing\";\n  name = \"thing-1\";\n  script = \"no-such-tool\";\n}\n",
    );
    let place = "error: Cannot build '/nix/store/<digest>-thing-1.drv'.\n\
                 at $DIR/work/x.nix:2:3:\n     \
                      1| import ./sh.nix {\n     \
                      2|   pname = \"thing\";\n      \
                       |   ^\n     \
                      3|   name = \"thing-1\";\n\
                 Reason: builder failed with exit code 127.\n";
    assert!(said.contains(place), "{said}");
    assert!(
        said.contains("add the package that has 'no-such-tool' to nativeBuildInputs\n")
    );
}

#[test]
fn a_file_of_another_hash_is_told_the_place_of_its_address_and_the_hash_to_write() {
    let env = TestEnvironment::new();
    let file = env.write("file.txt", "hello\n");
    let package = |fetch: &str, hash: &str| {
        format!(
            "let\n  pkgs = import <picnix/pkgs> {{ }};\nin\npkgs.{fetch} {{\n  url = \"file://{}\";\n  \
             hash = \"{hash}\";\n}}\n",
            file.display()
        )
    };
    let got = "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=";
    for fetch in ["fetchurl", "fetchpatch"] {
        let wrong = package(fetch, &format!("sha256-{}=", "A".repeat(43)));
        let said = build_failure(&env, &wrong);
        for part in [
            "at $DIR/work/x.nix:5:3:\n",
            "     5|   url = \"file://$DIR/work/file.txt\";\n",
            &format!("\nhint: if what came is what you want, write the hash \"{got}\"\n"),
        ] {
            assert!(said.contains(part), "{fetch}: {part}: {said}");
        }
        env.write("x.nix", package(fetch, got));
        env.succeeds(&["build", "--no-link", "x.nix"]);
    }
}

#[test]
fn a_patch_that_does_not_apply_is_told_its_place_and_the_remedy() {
    let env = TestEnvironment::new();
    env.add_shell();
    // What stdenv says; that it does is the test of its own below.
    let said = build_failure(
        &env,
        "import ./sh.nix {\n  name = \"thing-1\";\n  pname = \"thing\";\n  script = ''\n    \
         echo 'Hunk #1 FAILED at 7.'\n    \
         echo \"thing-1: patchPhase: 'bad.patch' does not apply to thing-1\"\n    exit 1\n  '';\n}\n",
    );
    for part in [
        "at $DIR/work/x.nix:3:3:\n",
        "> Hunk #1 FAILED at 7.\n",
        "\nhint: 'bad.patch' is for another version of the source: make it anew, or take it out of \
         'patches' where the source has the change already\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn the_place_is_that_of_who_called_the_functions_that_make_the_derivation() {
    let env = TestEnvironment::new();
    env.write(
        "make.nix",
        "attrs: derivation ({ system = builtins.currentSystem; builder = \"/none\"; } // attrs)",
    );
    env.write("run.nix", "attrs: import ./make.nix ({ name = \"run\"; } // attrs)");
    let said = build_failure(&env, "[\n  (import ./run.nix { answer = 42; })\n]\n");
    assert!(said.contains("at $DIR/work/x.nix:2:23:\n"), "{said}");
    // A derivation without functions is where its name is.
    let said = build_failure(
        &env,
        "derivation {\n  system = builtins.currentSystem;\n  builder = \"/none\";\n  name = \"plain\";\n}\n",
    );
    assert!(said.contains("at $DIR/work/x.nix:4:3:\n"), "{said}");
    // What is needed by what was asked for has a place of its own.
    let said = build_failure(
        &env,
        "import ./make.nix {\n  name = \"top\";\n  low = import ./make.nix {\n    name = \"low\";\n    \
         pname = \"low\";\n  };\n}\n",
    );
    assert!(said.contains("at $DIR/work/x.nix:5:5:\n"), "{said}");
}

#[test]
fn an_override_of_an_argument_that_is_not_there_names_one_that_is() {
    let said = refusal(
        "{ pkgs, ... }:\n{\n  services.dropbear.enable = true;\n  services.dropbear.package =\n    \
         pkgs.pkgsMusl.dropbear.override { localOption = ./x; };\n}\n",
    );
    for part in [
        "called with unexpected argument 'localOption'\n",
        "/pkgs/dropbear/package.nix:1:1:\n",
        "Did you mean localOptions?\n",
        "at $DIR/work/x.nix:5:",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn u_boot_says_for_which_targets_it_has_no_board() {
    let env = TestEnvironment::new();
    env.write("x.nix", "{ }\n");
    let said = env.fails(&["image", "--format", "uboot", "x.nix"]);
    let expected = "error: u-boot: QEMU has no board for x86_64-unknown-linux-musl that U-Boot \
                    starts on by itself; name a `board`\n";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn packages_that_need_each_other_are_named() {
    let env = TestEnvironment::new();
    let expr = "(import <picnix/pkgs> { overlays = [ (final: prev: {\n\
        aaa = final.runCommand \"aaa\" { } \"echo ${final.bbb} >$out\";\n\
        bbb = final.runCommand \"bbb\" { } \"echo ${final.aaa} >$out\";\n\
        }) ]; }).aaa";
    env.write("x.nix", expr);
    let said = env.fails(&["build", "x.nix"]);
    assert!(said.contains("error: infinite recursion encountered\n"), "{said}");
    assert!(
        said.contains(
            "what needs itself:\n         the attribute `aaa'\n         needs the attribute \
             `bbb'\n         needs the attribute `aaa'\n"
        ),
        "{said}"
    );
    assert!(said.contains("at $DIR/work/x.nix:2:"), "{said}");
}

#[test]
fn why_names_the_definitions_that_ask_for_a_kernel_option() {
    let env = TestEnvironment::new();
    env.write(
        "x.nix",
        "{ lib, ... }:\n{\n  profiles.tiny.enable = true;\n  networking.interfaces.eth0.useDHCP = \
         true;\n  boot.kernel.config = {\n    SMP = \"n\";\n    PACKET = \"y\";\n    NR_CPUS = \
         lib.mkForce 4;\n  };\n}\n",
    );
    let said = env.succeeds(&["why", "kernel:CONFIG_PACKET", "x.nix"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines[2]), ("PACKET = y", "  asked for by x.nix:7"), "{said}");
    // Which line of the module is no promise.
    assert!(
        lines[1].starts_with("  asked for by modules/networking/default.nix:"),
        "{said}"
    );
    let said = env.succeeds(&["why", "kernel:NR_CPUS", "x.nix"]);
    assert_eq!(said, "NR_CPUS = 4\n  asked for by x.nix:8\n");
    let said = env.fails(&["why", "kernel:PACKE", "x.nix"]);
    assert_eq!(
        said,
        "error: nothing asks for the kernel's option 'PACKE'; did you mean 'PACKET'?\n"
    );
    let said = env.fails(&["why", "PACKET", "x.nix"]);
    assert_eq!(said, "error: 'PACKET' is not of the form 'kernel:OPTION'\n");
    assert!(env.objects().is_empty(), "{:?}", env.objects());
}

/// The names of the derivations that tiny.nix needs only with a change, without versions.
fn built_again_after(change: &str) -> Vec<String> {
    let env = TestEnvironment::new();
    let example = workspace().join("examples/tiny.nix");
    let objects_with = |change: &str| {
        let expr = format!(
            "(import <picnix> {{ configuration.imports = [ {} ({change}) ]; }})\
             .config.system.build.images.initramfs",
            example.display()
        );
        env.succeeds(&["instantiate", "-E", &expr]);
        env.objects()
    };
    let before = objects_with("{ }");
    let mut after = objects_with(change);
    for name in before {
        let index = after.binary_search(&name).expect("nothing is deleted");
        after.remove(index);
    }
    let plain = |file: String| {
        let name = file.strip_suffix(".drv").expect("derivations refer to them only");
        match name.rsplit_once('-') {
            Some((name, rest)) if rest.starts_with(|c: char| c.is_ascii_digit()) => name,
            _ => name,
        }
        .to_owned()
    };
    after.into_iter().map(plain).collect()
}

#[test]
fn another_applet_builds_busybox_and_the_image_again() {
    // The others are text that names busybox.
    let expected = [
        "busybox-x86_64-unknown-linux-musl",
        "etc",
        "poweroff",
        "services",
        "system-path",
        "system-tiny",
        "tiny-initramfs",
    ];
    let again = built_again_after("{ programs.busybox.applets = [ \"grep\" ]; }");
    assert_eq!(again, expected);
}

#[test]
fn another_kernel_option_builds_the_kernel_and_the_image_again() {
    let expected = [
        "linux-config-check",
        "linux-config-x86_64-unknown-linux-musl",
        "linux-x86_64-unknown-linux-musl",
        "system-tiny",
        "tiny-initramfs",
    ];
    let again = built_again_after("{ boot.kernel.config.SHMEM = \"y\"; }");
    assert_eq!(again, expected);
}

/// Runs a script of the tree's shell code; `None` where this machine lacks a tool.
fn shell(test: &str, shell: &str, dir: &Path, script: &str) -> Option<(bool, String)> {
    let command = Command::new(shell)
        .args(["-c", script])
        .current_dir(dir)
        .env("tree", workspace())
        .output();
    let Ok(output) = command else {
        skip(test, &format!("{shell} is not installed"));
        return None;
    };
    let said = String::from_utf8(output.stderr).unwrap();
    Some((output.status.success(), said))
}

#[test]
fn kernel_options_that_did_not_come_out_as_asked_are_explained() {
    let test = "kernel_options_that_did_not_come_out_as_asked_are_explained";
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text);
    write(
        "Kconfig",
        "config NF_TABLES\n\ttristate \"tables\"\n\tdepends on NETFILTER && NET\n\nconfig NET\n\
         \tbool \"net\"\n\nmenu \"x\"\nconfig SMP\n\tbool\nendmenu\n",
    )
    .unwrap();
    write("config", "CONFIG_NET=y\n# CONFIG_SMP is not set\nCONFIG_NAME=\"a=b\"\n")
        .unwrap();
    write(
        "wanted",
        "NET\ty\ta.nix:1\nNF_TABLES\ty\tb.nix:2\nNF_TABLE\ty\tc.nix:3, d.nix:4\nSMP\tn\te.nix:5\n",
    )
    .unwrap();
    let script = "awk 'BEGIN { }' && . \"$tree/pkgs/build-support/kconfig/check.sh\" && \
                  list_symbols Kconfig >symbols && \
                  check_config wanted config symbols 'linux 6.1'";
    let Some((is_fine, said)) = shell(test, "sh", dir.path(), script) else { return };
    assert!(!is_fine);
    insta::assert_snapshot!(said, @r"
    linux 6.1: NF_TABLES was asked to be y but came out as n
      it depends on: NETFILTER && NET
      asked for by b.nix:2
    linux 6.1: there is no option NF_TABLE
      did you mean NF_TABLES?
      asked for by c.nix:3, d.nix:4
    ");
    write("wanted", "NET\ty\ta.nix:1\nSMP\tn\te.nix:5\n").unwrap();
    let fine = shell(test, "sh", dir.path(), script).unwrap();
    assert_eq!(fine, (true, String::new()));
}

#[test]
fn kernel_options_of_other_architectures_are_named_as_such() {
    let test = "kernel_options_of_other_architectures_are_named_as_such";
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("arch/x86/Kconfig", "config X86_5LEVEL\n\tbool\nconfig SMP\n\tbool\n");
    write("arch/x86/kvm/Kconfig", "config KVM_INTEL\n\tbool\nconfig KVM\n\tbool\n");
    write("arch/mips/Kconfig", "config SMP\n\tbool\nconfig KVM\n\tbool\n");
    write("symbols", "SMP\t\nNET\t\n");
    write(
        "wanted",
        "KVM\ty\ta.nix:1\nKVM_INTEL\tn\tb.nix:2\nNET\ty\tc.nix:3\nSMP\ty\td.nix:4\n\
         X86_5LEVEL\ty\te.nix:5, f.nix:6\nNO_SUCH\ty\tg.nix:7\n",
    );
    let script = "awk 'BEGIN { }' && kconfig=$tree/pkgs/build-support/kconfig && \
                  . \"$kconfig/check.sh\" && . \"$kconfig/foreign.sh\" && \
                  list_foreign arch/*/ >foreign && \
                  refuse_foreign wanted symbols foreign arm64 'linux 6.1' >rest";
    let Some((is_fine, said)) = shell(test, "sh", dir.path(), script) else { return };
    assert!(!is_fine);
    insta::assert_snapshot!(said, @r"
    linux 6.1: KVM cannot be had on arm64, only on: mips, x86
      asked for by a.nix:1
      ask for it under lib.mkIf pkgs.hostPlatform.isX of such an architecture
    linux 6.1: X86_5LEVEL cannot be had on arm64, only on: x86
      asked for by e.nix:5, f.nix:6
      ask for it under lib.mkIf pkgs.hostPlatform.isX of such an architecture
    ");
    // What is left is for the check of everything else.
    let rest = std::fs::read_to_string(dir.path().join("rest")).unwrap();
    assert_eq!(rest, "NET\ty\tc.nix:3\nSMP\ty\td.nix:4\nNO_SUCH\ty\tg.nix:7\n");
}

/// The checksum of zlib and of U-Boot's headers.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn a_kernel_for_u_boot_has_the_header_that_u_boot_reads() {
    let test = "a_kernel_for_u_boot_has_the_header_that_u_boot_reads";
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("kernel"), "123456789").unwrap();
    let script = "python3 \"$tree/pkgs/linux/uimage.py\" \
                  kernel uImage 26 gzip 0x80200000 'Linux 6.1'";
    let has_python = Command::new("python3").arg("-V").output().is_ok();
    if !has_python {
        skip(test, "python3 is not installed");
        return;
    }
    let Some((is_fine, said)) = shell(test, "sh", dir.path(), script) else { return };
    assert!(is_fine, "{said}");
    let image = std::fs::read(dir.path().join("uImage")).unwrap();
    let (header, data) = image.split_at(64);
    assert_eq!(data, b"123456789");
    let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
    assert_eq!((word(0), word(12)), (0x2705_1956, 9));
    // Where it is unpacked, and where it is entered.
    assert_eq!((word(16), word(20)), (0x8020_0000, 0x8020_0000));
    // The checksum of these nine digits is in every book.
    assert_eq!(word(24), 0xcbf4_3926);
    // Linux, RISC-V, a kernel, gzip.
    assert_eq!(header[28..32], [5, 26, 2, 1]);
    assert!(header[32..].starts_with(b"Linux 6.1\0"));
    let mut plain = header.to_vec();
    plain[4..8].fill(0);
    assert_eq!(word(4), crc32(&plain));
}

#[test]
fn a_patch_that_does_not_apply_is_named() {
    let test = "a_patch_that_does_not_apply_is_named";
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text);
    write("file", "one\ntwo\n").unwrap();
    let patch = |line: &str| {
        format!("--- a/file\n+++ b/file\n@@ -1,2 +1,2 @@\n {line}\n-two\n+2\n")
    };
    let digest = "0".repeat(32);
    write(&format!("{digest}-good.patch"), &patch("one")).unwrap();
    write(&format!("{digest}-bad.patch"), &patch("eins")).unwrap();
    let run = |patch: &str| {
        let script = format!(
            "export out=$PWD/out name=thing outputs=out NIX_BUILD_TOP=$PWD; : >.started; \
             source \"$tree/pkgs/stdenv/setup.sh\"; patches={digest}-{patch}.patch; \
             runPhase patchPhase >&2"
        );
        shell(test, "bash", dir.path(), &script)
    };
    let Some((is_fine, said)) = run("good") else { return };
    assert!(is_fine, "{said}");
    assert_eq!(std::fs::read_to_string(dir.path().join("file")).unwrap(), "one\n2\n");
    let (is_fine, said) = run("bad").unwrap();
    assert!(!is_fine, "{said}");
    assert!(said.contains("thing: applying bad.patch\n"), "{said}");
    assert!(
        said.ends_with("thing: patchPhase: 'bad.patch' does not apply to thing\n"),
        "{said}"
    );
}

/// Those that are tested by systems that boot, or with what is made of them.
const TESTED_ELSEWHERE: [&str; 13] = [
    "OVMF",
    "biosLoader",
    "busybox",
    "dropbear",
    "efiLoader",
    "libevent",
    "libnl",
    "linux",
    "linuxHeaders",
    "musl",
    "skalibs",
    "toolchain",
    "u-boot",
];

#[test]
fn every_package_says_what_it_is_and_has_a_test() {
    let env = TestEnvironment::new();
    let expr = "let set = (import <picnix/pkgs> { }).pkgsMusl; in map (name: let p = set.${name}; in {\n\
        inherit name; tests = builtins.attrNames (p.tests or { });\n\
        said = builtins.all (field: p.meta.${field} or null != null) [ \"description\" \"homepage\" \"license\" ];\n\
        }) set.packageNames";
    env.write("x.nix", expr);
    let found: serde_json::Value =
        serde_json::from_str(&env.succeeds(&["eval", "--json", "--strict", "x.nix"]))
            .unwrap();
    let found = found.as_array().unwrap();
    assert!(found.len() > 40, "{}", found.len());
    for package in found {
        let name = package["name"].as_str().unwrap();
        assert_eq!(
            package["said"], true,
            "{name} lacks description, homepage or license"
        );
        let is_tested = !package["tests"].as_array().unwrap().is_empty();
        assert!(is_tested || TESTED_ELSEWHERE.contains(&name), "{name} has no test");
    }
}

#[test]
fn every_package_builds_passes_its_test_and_has_not_grown() {
    let test = "every_package_builds_passes_its_test_and_has_not_grown";
    if !std::env::var("PICNIX_SLOW").is_ok_and(|value| value == "1") {
        skip(test, "packages are built from source: PICNIX_SLOW=1");
        return;
    }
    // A store that has them already may be named: they take an hour.
    let mut env = TestEnvironment::sharing_store("examples-store");
    if let Some(store) = std::env::var_os("PICNIX_PACKAGES_STORE") {
        env.store = store.into();
    }
    let recorded =
        std::fs::read_to_string(workspace().join("crates/cli/tests/packages.sizes"))
            .unwrap();
    let mut wrong = Vec::new();
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let [target, name, bytes] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("packages.sizes: {line}")
        };
        let before: u64 = bytes.parse().unwrap();
        let now = built_size(&env, target, name);
        if is_another_size(before, now) {
            wrong.push(format!("{target} {name} {now} (was {before})"));
        }
    }
    assert!(wrong.is_empty(), "if that is right, record:\n{}", wrong.join("\n"));
}

#[test]
fn an_option_of_a_package_is_an_argument_that_changes_what_it_is_made_of() {
    let test = "an_option_of_a_package_is_an_argument_that_changes_what_it_is_made_of";
    let env = TestEnvironment::sharing_store("examples-store");
    let expr = |package: &str| {
        format!("let pkgs = (import <picnix/pkgs> {{ }}).pkgsMusl; in {package}")
    };
    let path_of = |package: &str| {
        let expr = expr(&format!("({package}).drvPath"));
        String::from_utf8(env.picnix(["eval", "-E", &expr]).output().unwrap().stdout)
            .unwrap()
    };
    for package in ["hostapd", "wpa_supplicant"] {
        let plain = path_of(&format!("pkgs.{package}"));
        assert!(plain.contains(package), "{plain}");
        let off = path_of(&format!("pkgs.{package}.override {{ withWpa3 = false; }}"));
        let on = format!("pkgs.{package}.override {{ withWpa3 = true; }}");
        assert!(off == plain && path_of(&on) != plain, "{package}: {off}");
        if !std::env::var("PICNIX_SLOW").is_ok_and(|value| value == "1") {
            skip(test, &format!("{package} is built from source: PICNIX_SLOW=1"));
            continue;
        }
        let expr = expr(&format!("({on}).tests.runs"));
        let output = env.online(["build", "--no-link", "-E", &expr]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{package}: {said}");
    }
}

/// Whether a size is more than one part in a hundred off: a record that is too high would let the next growth
/// pass unseen.
fn is_another_size(before: u64, now: u64) -> bool {
    now.abs_diff(before).saturating_mul(100) > before
}

#[test]
fn one_part_in_a_hundred_is_another_size() {
    assert!(!is_another_size(1000, 1010) && !is_another_size(1000, 990));
    assert!(is_another_size(1000, 1011) && is_another_size(1000, 989));
}

/// Builds a package and its tests; the bytes of the package's files.
fn built_size(env: &TestEnvironment, target: &str, name: &str) -> u64 {
    let expr = format!(
        "let p = (import <picnix/pkgs> {{ crossSystem.config = \"{target}\"; }}).{name}; \
         in [ p ] ++ builtins.attrValues (p.tests or {{ }})"
    );
    let output = env.online(["build", "--no-link", "-E", &expr]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    let paths = String::from_utf8(output.stdout).unwrap();
    let path = paths.lines().next().unwrap().trim_start_matches('/');
    size_of(&env.store.join(path))
}

fn size_of(path: &Path) -> u64 {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    if !metadata.is_dir() {
        return if metadata.is_file() { metadata.len() } else { 0 };
    }
    let entries = std::fs::read_dir(path).unwrap();
    entries.map(|entry| size_of(&entry.unwrap().path())).sum()
}
