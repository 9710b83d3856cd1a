//! The kinds of tokens, and how error messages name them.
//!
//! The kinds are numbered as the tokens of Nix's own grammar are, because Nix lists what it expected in
//! that order.

/// A kind of token. `NotPrec` and `NegatePrec` never occur in a text; they are ranks of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Tok {
    Eof,
    /// The text is not a token at all; the lexer holds the message.
    LexError,
    Invalid,
    Ident,
    Str,
    IndStr,
    Int,
    Float,
    Path,
    HomePath,
    SearchPath,
    PathEnd,
    Uri,
    If,
    Then,
    Else,
    Assert,
    With,
    Let,
    In,
    Rec,
    Inherit,
    Equal,
    NotEqual,
    LessOrEqual,
    GreaterOrEqual,
    Update,
    Concat,
    And,
    Or,
    Implies,
    OrKeyword,
    PipeFrom,
    PipeInto,
    DollarCurly,
    IndOpen,
    IndClose,
    Ellipsis,
    ReplBindings,
    Less,
    Greater,
    NotPrec,
    Plus,
    Minus,
    Star,
    Slash,
    Question,
    NegatePrec,
    Colon,
    At,
    Semicolon,
    Bang,
    Dot,
    Quote,
    LParen,
    RParen,
    LBrace,
    RBrace,
    LBracket,
    RBracket,
    Assign,
    Comma,
}

use Tok::*;

/// Every kind in order of its number, with the name that messages use.
#[rustfmt::skip]
pub(crate) const TOKENS: &[(Tok, &str)] = &[
    (Eof, "end of file"), (LexError, "error"), (Invalid, "invalid token"),
    (Ident, "identifier"), (Str, "string"), (IndStr, "indented string"), (Int, "integer"),
    (Float, "floating-point literal"), (Path, "path"), (HomePath, "'~/…' path"),
    (SearchPath, "'<…>' path"), (PathEnd, "end of path"), (Uri, "URI"), (If, "'if'"),
    (Then, "'then'"), (Else, "'else'"), (Assert, "'assert'"), (With, "'with'"), (Let, "'let'"),
    (In, "'in'"), (Rec, "'rec'"), (Inherit, "'inherit'"), (Equal, "'=='"), (NotEqual, "'!='"),
    (LessOrEqual, "'<='"), (GreaterOrEqual, "'>='"), (Update, "'//'"), (Concat, "'++'"),
    (And, "'&&'"), (Or, "'||'"), (Implies, "'->'"), (OrKeyword, "'or'"), (PipeFrom, "'<|'"),
    (PipeInto, "'|>'"), (DollarCurly, "'${'"), (IndOpen, "start of an indented string"),
    (IndClose, "end of an indented string"), (Ellipsis, "'...'"),
    (ReplBindings, "start of REPL bindings"), (Less, "'<'"), (Greater, "'>'"),
    (NotPrec, "NOT"), (Plus, "'+'"), (Minus, "'-'"), (Star, "'*'"), (Slash, "'/'"),
    (Question, "'?'"), (NegatePrec, "NEGATE"), (Colon, "':'"), (At, "'@'"), (Semicolon, "';'"),
    (Bang, "'!'"), (Dot, "'.'"), (Quote, "'\"'"), (LParen, "'('"), (RParen, "')'"),
    (LBrace, "'{'"), (RBrace, "'}'"), (LBracket, "'['"), (RBracket, "']'"), (Assign, "'='"),
    (Comma, "','"),
];

impl Tok {
    /// The keyword that `text` is, if it is one.
    pub(crate) fn keyword(text: &[u8]) -> Option<Tok> {
        Some(match text {
            b"if" => If,
            b"then" => Then,
            b"else" => Else,
            b"assert" => Assert,
            b"with" => With,
            b"let" => Let,
            b"in" => In,
            b"rec" => Rec,
            b"inherit" => Inherit,
            b"or" => OrKeyword,
            _ => return None,
        })
    }

    /// Whether an operand of an application or a list element can begin with it.
    pub(crate) fn begins_operand(self) -> bool {
        matches!(
            self,
            Ident
                | Int
                | Float
                | Quote
                | IndOpen
                | Path
                | HomePath
                | SearchPath
                | Uri
                | LParen
                | Let
                | Rec
                | LBrace
                | LBracket
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_complete() {
        for (number, (tok, _)) in TOKENS.iter().enumerate() {
            assert_eq!(*tok as usize, number);
        }
        assert_eq!(TOKENS.len(), Comma as usize + 1);
    }
}
