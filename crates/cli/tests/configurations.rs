//! Configurations that are wrong, and what their authors are told: the place and the remedy.

use crate::common::TestEnvironment;

/// What `picnix image` says of a configuration that cannot be evaluated.
fn refusal(files: &[(&str, &str)]) -> String {
    let env = TestEnvironment::new();
    for (name, text) in files {
        env.write(name, text);
    }
    let said = env.fails(&["image", files[0].0]);
    let is_derivation = |name: &String| name.ends_with(".drv");
    assert!(!env.objects().iter().any(is_derivation), "{:?}", env.objects());
    said
}

#[test]
fn a_syntax_error_is_shown_where_it_is() {
    let said = refusal(&[(
        "x.nix",
        "{ pkgs, ... }:\n{\n  networking.hostName = \"x\"\n  environment.etc.a.text = \"\";\n}\n",
    )]);
    insta::assert_snapshot!(said, @r#"
    error: syntax error, unexpected '=', expecting ';'
           at $DIR/work/x.nix:4:26:
                3|   networking.hostName = "x"
                4|   environment.etc.a.text = "";
                 |                          ^
                5| }
           (stack trace truncated; use '--show-trace' to show the full, detailed trace)
    "#);
}

#[test]
fn an_undefined_variable_is_shown_with_names_that_are_alike() {
    let said = refusal(&[(
        "x.nix",
        "let\n  greeting = \"hello\";\nin\n{\n  environment.etc.motd.text = greting;\n}\n",
    )]);
    insta::assert_snapshot!(said, @r#"
    error: undefined variable 'greting'
           at $DIR/work/x.nix:5:31:
                4| {
                5|   environment.etc.motd.text = greting;
                 |                               ^
                6| }
           Did you mean greeting?
           (stack trace truncated; use '--show-trace' to show the full, detailed trace)
    "#);
}

#[test]
fn a_missing_package_is_shown_with_names_that_are_alike() {
    let said = refusal(&[(
        "x.nix",
        "{ pkgs, ... }:\n{\n  environment.systemPackages = [ pkgs.busibox ];\n}\n",
    )]);
    insta::assert_snapshot!(said, @r#"
    error:
           … while evaluating attribute 'entries' of derivation 'picnix-initramfs'

           … while evaluating the option `system.rootfs."/run/current-system".target':

           … while evaluating derivation 'system-path'

           … while evaluating attribute 'paths' of derivation 'system-path'

           … while evaluating the option `environment.systemPackages':

           … while evaluating definitions from `$DIR/work/x.nix':
             at $DIR/work/x.nix:3:3:
                2| {
                3|   environment.systemPackages = [ pkgs.busibox ];
                 |   ^
                4| }

           error: attribute 'busibox' missing
           at $DIR/work/x.nix:3:34:
                2| {
                3|   environment.systemPackages = [ pkgs.busibox ];
                 |                                  ^
                4| }
           Did you mean busybox?
           (stack trace truncated; use '--show-trace' to show the full, detailed trace)
    "#);
}

#[test]
fn a_wrong_type_names_option_file_and_line() {
    let said = refusal(&[("x.nix", "{\n  services.httpd.enable = \"yes\";\n}\n")]);
    insta::assert_snapshot!(said, @r#"
    error:
           … while evaluating derivation 'picnix-initramfs'

           … while evaluating attribute 'entries' of derivation 'picnix-initramfs'

           … while evaluating the option `system.rootfs':

           … while evaluating the option `users.users':

           … while evaluating the option `services.httpd.enable':

           error: A definition for option `services.httpd.enable' is not of type `boolean'. Definition values:
           - In `$DIR/work/x.nix:2': "yes"
           at $DIR/work/x.nix:2:3:
                1| {
                2|   services.httpd.enable = "yes";
                 |   ^
                3| }
           (stack trace truncated; use '--show-trace' to show the full, detailed trace)
    "#);
}

#[test]
fn an_unknown_option_names_file_line_and_options_that_are_alike() {
    let said = refusal(&[("x.nix", "{\n  networking.hostNam = \"x\";\n}\n")]);
    assert!(said.starts_with(
        "error: The option `networking.hostNam' does not exist. Definition values:\n       \
         - In `$DIR/work/x.nix:2': \"x\"\n"
    ), "{said}");
    assert!(said.contains("Did you mean `networking.hostName'"), "{said}");
}

#[test]
fn conflicting_definitions_name_the_option_and_both_places() {
    let said = refusal(&[
        ("x.nix", "{\n  imports = [ ./b.nix ];\n  networking.hostName = \"a\";\n}\n"),
        ("b.nix", "{\n  networking.hostName = \"b\";\n}\n"),
    ]);
    insta::assert_snapshot!(said, @r#"
    error:
           … while evaluating the option `system.name':

           … while evaluating the option `networking.hostName':

           error: The option `networking.hostName' has conflicting definition values:
           - In `$DIR/work/b.nix:2': "b"
           - In `$DIR/work/x.nix:3': "a"
           Use `lib.mkForce value` or `lib.mkDefault value` to change the priority on any of these definitions.
           at $DIR/work/b.nix:2:3:
                1| {
                2|   networking.hostName = "b";
                 |   ^
                3| }
           at $DIR/work/x.nix:3:3:
                2|   imports = [ ./b.nix ];
                3|   networking.hostName = "a";
                 |   ^
                4| }
           (stack trace truncated; use '--show-trace' to show the full, detailed trace)
    "#);
}

#[test]
fn a_failed_assertion_says_its_message() {
    let said = refusal(&[(
        "x.nix",
        "{\n  assertions = [ { assertion = false; message = \"a.b: is not; set c\"; } ];\n}\n",
    )]);
    insta::assert_snapshot!(said, @r#"
    error:
           … while evaluating derivation 'picnix-initramfs'

           … while evaluating attribute 'entries' of derivation 'picnix-initramfs'

           … while evaluating the option `system.rootfs."/run/current-system".target':

           error:
           Failed assertions:
           - a.b: is not; set c
           (stack trace truncated; use '--show-trace' to show the full, detailed trace)
    "#);
}

#[test]
fn frames_of_the_configuration_are_shown_and_those_of_the_library_on_request() {
    let env = TestEnvironment::new();
    env.write(
        "x.nix",
        "let\n  port = n: if n > 5 then throw \"too big\" else n;\nin\n{\n  networking.hostName = \
         port 7;\n}\n",
    );
    let said = env.fails(&["image", "x.nix"]);
    assert!(
        said.contains(
            "… while calling the 'throw' builtin\n         at $DIR/work/x.nix:2:27:"
        ),
        "{said}"
    );
    assert!(!said.contains("/lib/modules/"), "{said}");
    let said = env.fails(&["image", "x.nix", "--show-trace"]);
    assert!(said.contains("/lib/modules/"), "{said}");
    assert!(!said.contains("truncated"), "{said}");
}

#[test]
fn a_format_that_is_not_there_is_refused_with_those_that_are() {
    let env = TestEnvironment::new();
    env.write("x.nix", "{ }\n");
    let said = env.fails(&["image", "x.nix", "--format", "initramfz"]);
    assert!(
        said.starts_with("error: there is no image format 'initramfz'; there are: "),
        "{said}"
    );
    assert!(said.ends_with("; did you mean 'initramfs'?\n"), "{said}");
    assert!(
        said.contains("there are: disk, floppy, initramfs, iso, squashfs, uboot;"),
        "{said}"
    );
}

#[test]
fn a_device_that_is_not_there_is_refused_with_those_that_are() {
    let env = TestEnvironment::new();
    env.write("x.nix", "{ }\n");
    let said = env.fails(&["image", "x.nix", "--device", "toaster"]);
    assert!(said.contains("there is no device \"toaster\"; there are: "), "{said}");
    assert!(said.contains("qemu-x86_64"), "{said}");
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let env = TestEnvironment::new();
    for command in ["run", "image", "test"] {
        let said = env.fails(&[command, "nowhere.nix"]);
        assert_eq!(said, "error: there is no configuration at '$DIR/work/nowhere.nix'\n");
    }
    std::fs::create_dir(env.work.join("dir")).unwrap();
    let said = env.fails(&["image", "dir"]);
    let path = "$DIR/work/dir/configuration.nix";
    assert_eq!(said, format!("error: there is no configuration at '{path}'\n"));
}
