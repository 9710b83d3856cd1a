//! The syntax of POSIX extended regular expressions, with what libstdc++ makes of its open questions.
//!
//! Bytes are signed where ranges are concerned, as C's `char` is on the machines that Nix runs on most. Classes
//! are those of the C locale.

use super::Problem;

/// How deep groups may be nested.
const MAX_DEPTH: usize = 1000;

type Result<T> = std::result::Result<T, Problem>;

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    /// The set of the bytes that fulfil a condition.
    pub(super) fn of(condition: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::default();
        for byte in 0..=u8::MAX {
            if condition(byte) {
                set.add(byte);
            }
        }
        set
    }

    pub(super) fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    #[inline]
    pub(super) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    pub(super) fn union(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    /// The only byte of the set.
    pub(super) fn single(&self) -> Option<u8> {
        let count: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        (0..=u8::MAX).find(|byte| count == 1 && self.has(*byte))
    }
}

/// A part of a pattern.
#[derive(Debug)]
pub(super) enum Node {
    Empty,
    Set(Box<ByteSet>),
    /// `^`
    Begin,
    /// `$`
    End,
    Group(usize, Box<Node>),
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    Repeat(Box<Node>, Count),
}

/// How often a part is repeated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    /// `*`
    Any,
    /// `+`
    Some,
    /// `?`
    Optional,
    /// `{n,m}`
    Between(u32, u32),
    /// `{n,}`
    AtLeast(u32),
}

/// A part repeated. `a**` is `a*`: what it matches, and what it prefers, is the same, but each layer would
/// multiply the ways to come to a mismatch.
fn repeated(node: Node, count: Count) -> Node {
    let (inner, body) = match node {
        Node::Repeat(body, inner) => (inner, body),
        node => return Node::Repeat(Box::new(node), count),
    };
    let both = match (inner, count) {
        (Count::Some, Count::Some) => Count::Some,
        (Count::Optional, Count::Optional) => Count::Optional,
        (
            Count::Any | Count::Some | Count::Optional,
            Count::Any | Count::Some | Count::Optional,
        ) => Count::Any,
        _ => return Node::Repeat(Box::new(Node::Repeat(body, inner)), count),
    };
    Node::Repeat(body, both)
}

/// A pattern.
pub(super) struct Pattern {
    pub(super) node: Node,
    /// How many groups it has.
    pub(super) groups: usize,
}

/// Parses a pattern.
pub(super) fn pattern(text: &[u8]) -> Result<Pattern> {
    let mut parser = Parser { text, at: 0, groups: 0, depth: 0 };
    let node = parser.alternatives()?;
    if parser.at < text.len() {
        return Err(Problem::Invalid);
    }
    Ok(Pattern { node, groups: parser.groups })
}

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
    groups: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8> {
        let byte = self.peek().ok_or(Problem::Invalid)?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn alternatives(&mut self) -> Result<Node> {
        let mut nodes = vec![self.sequence()?];
        while self.take(b'|') {
            nodes.push(self.sequence()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Alternate(nodes) })
    }

    fn sequence(&mut self) -> Result<Node> {
        let mut nodes = Vec::new();
        while let Some(node) = self.term()? {
            nodes.push(node);
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.remove(0),
            _ => Node::Concat(nodes),
        })
    }

    /// An anchor, or an atom with what repeats it. What can begin neither ends the sequence.
    fn term(&mut self) -> Result<Option<Node>> {
        let Some(byte) = self.peek() else { return Ok(None) };
        let mut node = match byte {
            b'^' => {
                self.at += 1;
                return Ok(Some(Node::Begin));
            }
            b'$' => {
                self.at += 1;
                return Ok(Some(Node::End));
            }
            b'|' | b')' | b'*' | b'+' | b'?' | b'{' => return Ok(None),
            b'(' => self.group()?,
            b'[' => {
                self.at += 1;
                Node::Set(Box::new(Bracket::parse(self)?))
            }
            b'.' => {
                self.at += 1;
                Node::Set(Box::new(ByteSet::of(|byte| byte != 0)))
            }
            b'\\' => {
                self.at += 1;
                match self.next()? {
                    byte @ (b'.' | b'[' | b'\\' | b'(' | b')' | b'*' | b'+' | b'?'
                    | b'{' | b'|' | b'^' | b'$') => single(byte),
                    _ => return Err(Problem::Invalid),
                }
            }
            byte => {
                self.at += 1;
                single(byte)
            }
        };
        let mut layers = 0;
        while let Some(count) = self.count()? {
            node = repeated(node, count);
            layers += 1;
            if layers > MAX_DEPTH {
                return Err(Problem::TooLarge);
            }
        }
        Ok(Some(node))
    }

    fn group(&mut self) -> Result<Node> {
        self.at += 1;
        let number = self.groups;
        self.groups += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Problem::TooLarge);
        }
        let node = self.alternatives()?;
        self.depth -= 1;
        if !self.take(b')') {
            return Err(Problem::Invalid);
        }
        Ok(Node::Group(number, Box::new(node)))
    }

    fn count(&mut self) -> Result<Option<Count>> {
        let count = match self.peek() {
            Some(b'*') => Count::Any,
            Some(b'+') => Count::Some,
            Some(b'?') => Count::Optional,
            Some(b'{') => {
                self.at += 1;
                return self.interval().map(Some);
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(count))
    }

    fn interval(&mut self) -> Result<Count> {
        let least = self.number()?.ok_or(Problem::Invalid)?;
        let mut most = Some(least);
        if self.take(b',') {
            most = self.number()?;
        }
        if !self.take(b'}') {
            return Err(Problem::Invalid);
        }
        match most {
            Some(most) if most < least => Err(Problem::Invalid),
            Some(most) => Ok(Count::Between(least, most)),
            None => Ok(Count::AtLeast(least)),
        }
    }

    fn number(&mut self) -> Result<Option<u32>> {
        let start = self.at;
        let mut number = 0_u32;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            self.at += 1;
            number = number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
        }
        Ok((self.at > start).then_some(number))
    }
}

fn single(byte: u8) -> Node {
    let mut set = ByteSet::default();
    set.add(byte);
    Node::Set(Box::new(set))
}

/// What a bracket expression is made of.
enum Item {
    Byte(u8),
    Dash,
    /// `[.name.]`: a byte that a range may begin with, but not end with.
    Element(u8),
    /// A character class or an equivalence class.
    Class(ByteSet),
    End,
}

/// What came before in a bracket expression: the start of a range, perhaps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Byte(u8),
    Class,
}

/// A bracket expression being read.
struct Bracket<'p, 't> {
    parser: &'p mut Parser<'t>,
    set: ByteSet,
    last: Last,
}

impl Bracket<'_, '_> {
    /// Reads a bracket expression whose `[` was read.
    fn parse(parser: &mut Parser<'_>) -> Result<ByteSet> {
        let negated = parser.take(b'^');
        let mut bracket =
            Bracket { parser, set: ByteSet::default(), last: Last::Nothing };
        bracket.contents()?;
        let set = bracket.set;
        Ok(if negated { ByteSet::of(|byte| !set.has(byte)) } else { set })
    }

    fn contents(&mut self) -> Result<()> {
        let mut item = self.first()?;
        if let Item::Byte(byte) = item {
            self.push(byte);
            item = self.item()?;
        } else if let Item::Dash = item {
            self.push(b'-');
            item = self.item()?;
        }
        loop {
            match item {
                Item::End => return Ok(()),
                Item::Byte(byte) | Item::Element(byte) => self.push(byte),
                Item::Class(class) => {
                    self.set.union(&class);
                    self.last = Last::Class;
                }
                Item::Dash => {
                    if self.range()? {
                        return Ok(());
                    }
                }
            }
            item = self.item()?;
        }
    }

    fn push(&mut self, byte: u8) {
        self.set.add(byte);
        self.last = Last::Byte(byte);
    }

    /// Reads what follows a dash; whether the expression ended there, which made the dash a dash.
    fn range(&mut self) -> Result<bool> {
        let item = self.item()?;
        if let Item::End = item {
            self.push(b'-');
            return Ok(true);
        }
        let Last::Byte(from) = self.last else { return Err(Problem::Invalid) };
        let to = match item {
            Item::Byte(byte) => byte,
            Item::Dash => b'-',
            Item::Element(_) | Item::Class(_) | Item::End => {
                return Err(Problem::Invalid);
            }
        };
        let range = from.cast_signed()..=to.cast_signed();
        if range.is_empty() {
            return Err(Problem::Invalid);
        }
        self.set.union(&ByteSet::of(|byte| range.contains(&byte.cast_signed())));
        self.last = Last::Nothing;
        Ok(false)
    }

    /// The first item, where `]` stands for itself.
    fn first(&mut self) -> Result<Item> {
        if self.parser.take(b']') { Ok(Item::Byte(b']')) } else { self.item() }
    }

    fn item(&mut self) -> Result<Item> {
        match self.parser.next()? {
            b'-' => Ok(Item::Dash),
            b']' => Ok(Item::End),
            b'[' => match self.parser.peek() {
                Some(kind @ (b'.' | b':' | b'=')) => {
                    self.parser.at += 1;
                    self.named(kind)
                }
                Some(_) => Ok(Item::Byte(b'[')),
                None => Err(Problem::Invalid),
            },
            byte => Ok(Item::Byte(byte)),
        }
    }

    /// Reads `:name:]`, `.name.]` or `=name=]` whose first character was read.
    fn named(&mut self, kind: u8) -> Result<Item> {
        let start = self.parser.at;
        while self.parser.next()? != kind {}
        let name = &self.parser.text[start..self.parser.at - 1];
        if self.parser.next()? != b']' {
            return Err(Problem::Invalid);
        }
        if kind == b':' {
            return class(name).map(Item::Class).ok_or(Problem::Invalid);
        }
        let byte = collating_element(name).ok_or(Problem::Invalid)?;
        if kind == b'.' {
            return Ok(Item::Element(byte));
        }
        Ok(Item::Class(ByteSet::of(|other| other.eq_ignore_ascii_case(&byte))))
    }
}

/// The members of a character class.
fn class(name: &[u8]) -> Option<ByteSet> {
    let member: fn(u8) -> bool = match name.to_ascii_lowercase().as_slice() {
        b"d" | b"digit" => |byte| byte.is_ascii_digit(),
        b"w" => |byte| byte.is_ascii_alphanumeric() || byte == b'_',
        b"s" | b"space" => |byte| matches!(byte, b' ' | 0x09..=0x0d),
        b"alnum" => |byte| byte.is_ascii_alphanumeric(),
        b"alpha" => |byte| byte.is_ascii_alphabetic(),
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => |byte| byte.is_ascii_control(),
        b"graph" => |byte| byte.is_ascii_graphic(),
        b"lower" => |byte| byte.is_ascii_lowercase(),
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => |byte| byte.is_ascii_punctuation(),
        b"upper" => |byte| byte.is_ascii_uppercase(),
        b"xdigit" => |byte| byte.is_ascii_hexdigit(),
        _ => return None,
    };
    Some(ByteSet::of(member))
}

/// The names of POSIX's portable character set, in the order of ASCII.
const ELEMENT_NAMES: &str = "\
    NUL SOH STX ETX EOT ENQ ACK alert backspace tab newline vertical-tab form-feed \
    carriage-return SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC IS4 IS3 IS2 IS1 space \
    exclamation-mark quotation-mark number-sign dollar-sign percent-sign ampersand apostrophe \
    left-parenthesis right-parenthesis asterisk plus-sign comma hyphen period slash zero one two \
    three four five six seven eight nine colon semicolon less-than-sign equals-sign \
    greater-than-sign question-mark commercial-at A B C D E F G H I J K L M N O P Q R S T U V W X \
    Y Z left-square-bracket backslash right-square-bracket circumflex underscore grave-accent a b \
    c d e f g h i j k l m n o p q r s t u v w x y z left-curly-bracket vertical-line \
    right-curly-bracket tilde DEL";

/// The byte that a name stands for.
fn collating_element(name: &[u8]) -> Option<u8> {
    let mut names = ELEMENT_NAMES.split(' ');
    names.position(|candidate| candidate.as_bytes() == name)?.try_into().ok()
}
