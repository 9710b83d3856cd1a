//! Documentation comments: `/** ... */` right before what it documents (RFC 145).
//!
//! The parser does not keep comments, because programs have no use for them. A place's comment is found by
//! reading the source once more up to that place.

use crate::lexer::Lexer;
use crate::span::Span;
use crate::token::Tok;

/// The documentation comment before the token that begins at `offset`, with its delimiters. Between them there
/// may be white space and other comments.
#[must_use]
pub fn doc_comment_before(source: &[u8], offset: u32) -> Option<Span> {
    u32::try_from(source.len()).ok()?;
    let mut lexer = Lexer::new(source, true);
    let mut previous_end = 0;
    loop {
        let tok = lexer.next();
        if lexer.span.start >= offset {
            return last_doc_comment(source, Span::new(previous_end, offset));
        }
        if tok == Tok::Eof || lexer.error.is_some() {
            return None;
        }
        previous_end = lexer.span.end;
    }
}

/// The last documentation comment in a gap between two tokens.
fn last_doc_comment(source: &[u8], gap: Span) -> Option<Span> {
    let text = source.get(..gap.end as usize)?;
    let mut at = gap.start as usize;
    let mut found = None;
    while at < text.len() {
        let rest = &text[at..];
        at += if rest.starts_with(b"#") {
            rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            let end = rest.windows(2).skip(2).position(|pair| pair == b"*/")? + 4;
            if is_doc_comment(&rest[..end]) {
                let (start, end) =
                    (u32::try_from(at).ok()?, u32::try_from(at + end).ok()?);
                found = Some(Span::new(start, end));
            }
            end
        } else {
            1
        };
    }
    found
}

/// `/**` and something else than `*` and `/`.
fn is_doc_comment(comment: &[u8]) -> bool {
    comment.starts_with(b"/**") && !matches!(comment.get(3), None | Some(b'*' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(source: &str, token: &str) -> Option<String> {
        let offset = u32::try_from(source.rfind(token).unwrap()).unwrap();
        let span = doc_comment_before(source.as_bytes(), offset)?;
        Some(source[span.start as usize..span.end as usize].to_owned())
    }

    #[test]
    fn the_nearest_comment_counts_and_others_may_follow_it() {
        let found = |source| before(source, "x");
        assert_eq!(found("/** a */ x").as_deref(), Some("/** a */"));
        assert_eq!(
            found("/** a */ /** b */ # c\n /* d */ x").as_deref(),
            Some("/** b */")
        );
        assert_eq!(found("{ /** a */ y = 1; x = 2; }"), None);
        assert_eq!(found("/* a */ x"), None);
        assert_eq!(found("/*** a */ x"), None);
        assert_eq!(found("/**/ x"), None);
        assert_eq!(found("\"/** a */\" + x"), None);
    }
}
