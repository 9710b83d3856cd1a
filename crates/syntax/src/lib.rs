//! Lexer, parser, syntax tree, spans and diagnostics of the Nix language.
