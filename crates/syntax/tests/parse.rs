//! The language by example: what each form means, shown by how it prints, and what each mistake says.
//!
//! The expected texts were compared with `nix-instantiate --parse` of Nix 2.34.

use bumpalo::Bump;
use picnix_syntax::{Options, PathContext, Source, parse, print};

const PIPES: Options = Options { pipe_operators: true };

fn printed_with(source: impl AsRef<[u8]>, options: Options) -> Result<String, String> {
    let source = source.as_ref();
    let arena = Bump::new();
    let parse = parse(&arena, source, options);
    if let Some(diagnostic) = parse.diagnostics.first() {
        let source = Source::new("f.nix", source);
        let place = source.lines.line_column(diagnostic.span.start);
        let message = diagnostic.full_message(&source);
        return Err(format!("{}:{}: {message}", place.line, place.column));
    }
    let out = print(parse.root, &PathContext { folder: "/dir", home: "/home" });
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn printed(source: impl AsRef<[u8]>) -> Result<String, String> {
    printed_with(source, Options::default())
}

#[track_caller]
fn shows(source: impl AsRef<[u8]>, expected: &str) {
    assert_eq!(printed(source), Ok(expected.to_owned()));
}

#[track_caller]
fn fails(source: impl AsRef<[u8]>, expected: &str) {
    assert_eq!(printed(source), Err(expected.to_owned()));
}

#[test]
fn numbers_follow_the_lexer_of_nix() {
    shows(
        "[ 1 1. .5 1.5e3 0.1e-7 1000000.0 123456.7 00 ]",
        "[ (1) (1) (0.5) (1500) (1e-08) (1e+06) (123457) (0) ]",
    );
    shows("1e3", "(1 e3)");
    shows("9223372036854775807", "9223372036854775807");
    fails("9223372036854775808", "1:1: invalid integer '9223372036854775808'");
    fails("1.0e999", "1:1: invalid float '1.0e999'");
    fails("1.0e-999", "1:1: invalid float '1.0e-999'");
}

#[test]
fn strings_are_unescaped() {
    shows(r#""a\n\t\r\"\\\${b}\x$$$""#, r#""a\n\t\r\"\\\${b}x$$$""#);
    shows(r#""$${a}""#, r#""$\${a}""#);
    shows(r#""${a}""#, "(a)");
    shows(r#""x${a}y${"z"}""#, r#"("x" + a + "y" + "z")"#);
    shows("\"a\r\nb\rc\"", r#""a\nb\nc""#);
    shows("http://a.b/c?d=e", r#""http://a.b/c?d=e""#);
    fails(
        "\"a\0b\"",
        "1:2: input string 'a␀b' cannot be represented as Nix string because it contains null bytes",
    );
}

#[test]
fn indented_strings_lose_their_indentation() {
    shows("''\n  a\n    b\n\n  c\n''", r#""a\n  b\n\nc\n""#);
    shows("''  a''", r#""a""#);
    shows("''\n  a\n ''", r#""a\n""#);
    shows("''\n\ta\n  b''", r#""\ta\n  b""#);
    shows("''\n  ${a}\n   b''", r#"(a + "\n b")"#);
    shows(
        "''a''${b}''$c'''d''\\n''",
        r#"("a" + "$" + "{b}" + "$" + "c" + "''" + "d" + "\n")"#,
    );
    shows("''a'b''", r#""a'b""#);
    shows("''''", r#""""#);
}

#[test]
fn paths_are_resolved_when_printed() {
    shows(
        "[ ./a ../b /c/./d ~/e a/b <n/p> ]",
        "[ (/dir/a) (/b) (/c/d) (/home/e) (/dir/a/b) ((__findFile __nixPath \"n/p\")) ]",
    );
    shows("./a/${b}/c", r#"(/dir/a/ + b + "/c")"#);
    shows("a/${b}", "(/dir/a/ + b)");
    shows("./a${b}c.d", r#"(/dir/a + b + "c.d")"#);
    shows("a/b/c", "/dir/a/b/c");
    shows("a / b", "(__div a b)");
    fails("[ ./a/ ]", "1:7: path has a trailing slash");
    fails("[ ./a//b ]", "1:7: syntax error, unexpected end of path, expecting '${'");
    fails("./a//b", "1:1: syntax error, unexpected end of path, expecting '${'");
}

#[test]
fn operators_bind_as_in_nix() {
    shows("!a == b", "((! a) == b)");
    shows("!a + b", "(! (a + b))");
    shows("-a ? b", "(((__sub 0 a)) ? b)");
    shows("a -> b -> c || d && e", "(a -> (b -> (c || (d && e))))");
    shows("a // b // c", "(a // (b // c))");
    shows("a ++ b ++ c", "(a ++ (b ++ c))");
    shows("a - b - c", "(__sub (__sub a b) c)");
    shows("a + b * c / d", "(a + (__div (__mul b c) d))");
    shows("a < b == c >= d", "((__lessThan a b) == (! (__lessThan c d)))");
    shows("f a.b or c d", "(f (a).b or (c) d)");
    shows("f or g", "(f or g)");
    shows("(f a) b", "(f a b)");
    shows("(-1) 2", "(__sub 0 1 2)");
    fails("a == b == c", "1:8: syntax error, unexpected '=='");
    fails("a -> b != !c == d", "1:14: syntax error, unexpected '=='");
    fails("a < b < c", "1:7: syntax error, unexpected '<'");
    shows("a ? b ? c", "((((a) ? b)) ? c)");
}

#[test]
fn pipes_need_their_feature() {
    fails(
        "a |> f",
        "1:3: experimental Nix feature 'pipe-operators' is disabled; \
        add '--extra-experimental-features pipe-operators' to enable it",
    );
    let shows = |source, expected: &str| {
        assert_eq!(printed_with(source, PIPES), Ok(expected.to_owned()));
    };
    shows("a |> f |> g x", "(g x (f a))");
    shows("f <| g <| a", "(f (g a))");
    shows("x: a |> b", "(x: (b a))");
    assert!(printed_with("a |> b <| c", PIPES).is_err());
}

#[test]
fn functions_take_names_and_formals() {
    shows("x: y: x", "(x: (y: x))");
    shows("{}: 1", "({  }: 1)");
    shows("{ b, a ? 1, ... }@c: a", "({ a ? 1, b, ... } @ c: a)");
    shows("c@{ a, }: a", "({ a } @ c: a)");
    shows("{ ... }: 1", "({ ... }: 1)");
    fails("{ a, b, a }: 1", "1:9: duplicate formal function argument 'a'");
    fails("{ a }@a: 1", "1:1: duplicate formal function argument 'a'");
    fails("f x: x", "1:4: syntax error, unexpected ':', expecting end of file");
    fails("{ a, ..., b }: 1", "1:9: syntax error, unexpected ',', expecting '}'");
}

#[test]
fn sets_merge_as_they_are_read() {
    shows("{ a.b = 1; a.c = 2; }", "{ a = { b = 1; c = 2; }; }");
    shows("{ a = { b = 1; }; a.c = 2; }", "{ a = { b = 1; c = 2; }; }");
    shows("{ a.b = 1; a = rec { c = 2; }; }", "{ a = { b = 1; c = 2; }; }");
    shows("{ a = rec { c = 2; }; a.b = 1; }", "{ a = rec { b = 1; c = 2; }; }");
    shows(
        "{ a = { inherit (x) b; }; a = { inherit (y) c; }; }",
        "{ a = { inherit (x) b; inherit (y) c; }; }",
    );
    shows(
        "{ a.b.c = 1; a.b.d = 2; a = { b = { e = 3; }; }; }",
        "{ a = { b = { c = 1; d = 2; e = 3; }; }; }",
    );
    shows(
        r#"{ ${a}.b = 1; ${"c"} = 2; "d e" = 3; "f${g}" = 4; }"#,
        r#"{ c = 2; "d e" = 3; "${a}" = { b = 1; }; "${("f" + g)}" = 4; }"#,
    );
    shows("let { a = 1; body = a; }", "(rec { a = 1; body = a; }).body");
    shows("let or = 1; in { inherit or; }.or", "(let or = 1; in ({ inherit or; }).or)");
    fails("{ a = 1; a.b = 2; }", "1:10: attribute 'a' already defined at f.nix:1:3");
    fails(
        "{ a.b.c = 1; a = { b = 2; }; }",
        "1:20: attribute 'a.b' already defined at f.nix:1:3",
    );
    fails("{ inherit a; a = 1; }", "1:14: attribute 'a' already defined at f.nix:1:11");
    fails(
        r#"{ a."b c" = 1; a."b c" = 2; }"#,
        r#"1:16: attribute 'a."b c"' already defined at f.nix:1:3"#,
    );
    fails("let ${a} = 1; in 2", "1:1: dynamic attributes not allowed in let");
    fails("{ inherit ${a}; }", "1:11: dynamic attributes not allowed in inherit");
}

#[test]
fn many_attributes_are_told_apart() {
    let mut source = String::from("{ ");
    for number in 0..1000 {
        source.push_str(&format!("a{number} = {number}; "));
    }
    assert!(printed(format!("{source}}}")).is_ok());
    let column = source.len() + 1;
    let expected = format!("1:{column}: attribute 'a7' already defined at f.nix:1:59");
    fails(format!("{source}a7 = 1; }}"), &expected);
}

#[test]
fn the_first_mistake_is_the_one_that_nix_reports() {
    fails("{ a = 1; a = 2; b = }", "1:10: attribute 'a' already defined at f.nix:1:3");
    fails("{ a = 1; a = 2 b = 3; }", "1:18: syntax error, unexpected '=', expecting ';'");
    fails("(", "1:2: syntax error, unexpected end of file");
    fails("1 ;", "1:3: syntax error, unexpected ';', expecting end of file");
    fails("{ a = 1 }", "1:9: syntax error, unexpected '}', expecting ';'");
    fails("\"a", "1:3: syntax error, unexpected end of file, expecting '\"'");
    fails(
        "let a = 1; a",
        "1:13: syntax error, unexpected end of file, expecting '.' or '='",
    );
    fails("/* a", "1:1: syntax error, unexpected '/'");
    fails("", "1:1: syntax error, unexpected end of file");
    fails("a % b", "1:3: syntax error, unexpected invalid token, expecting end of file");
}

#[test]
fn comments_and_line_ends_are_blank() {
    shows("# a\r1 /**/ /* b\n * c **/ # d", "1");
}

#[test]
fn depth_is_bounded_by_a_limit_and_not_by_the_stack() {
    let deep = 100_000;
    let nest =
        |open: &str, close: &str| format!("{}1{}", open.repeat(deep), close.repeat(deep));
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("-", ""),
        ("!", ""),
        ("x: ", ""),
        ("{ a = ", "; }"),
        ("let a = ", "; in a"),
        ("a // ", ""),
        ("a + ", ""),
        ("f (", ")"),
        ("a.b or ", ""),
        ("\"${", "}\""),
        ("if a then b else ", ""),
        ("with a; ", ""),
        ("", " + 1"),
        ("", " a"),
        ("{ a ? ", " }: 1"),
        ("a.", ""),
    ] {
        assert!(printed(nest(open, close)).is_ok(), "{open} {close}");
    }
    assert!(printed(format!("{{ {}a = 1; }}", "a.".repeat(deep))).is_ok());
    let source = "(".repeat(1_000_000);
    fails(source, "1:250001: expression nests more than 250000 levels deep");
}
