//! Patterns as instructions.
//!
//! The instructions mirror the states of libstdc++'s automaton as far as its order of preference can be seen:
//! a repetition is one state that prefers its body, an interval is unrolled. A repeated single byte or set is
//! one instruction of its own.

use super::Problem;
use super::parse::{ByteSet, Count, Node, Pattern};

/// The number of an instruction.
pub(super) type Pc = usize;

/// The most instructions, which is libstdc++'s limit of states.
const MAX_INSTRUCTIONS: usize = 100_000;

/// One step of a program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Instruction {
    /// Takes a byte of a set.
    Set { set: usize, next: Pc },
    /// Takes one certain byte.
    Byte { byte: u8, next: Pc },
    /// Goes on only where the text begins.
    Begin { next: Pc },
    /// Goes on only where the text ends.
    End { next: Pc },
    /// A group begins.
    Open { group: usize, next: Pc },
    /// A group ends.
    Close { group: usize, next: Pc },
    /// Tries both ways.
    Alternate { first: Pc, second: Pc, choice: usize },
    /// Tries the body, and leaves if that leads nowhere. `empty` numbers the repetitions that may go round
    /// without taking a byte.
    Repeat { body: Pc, exit: Pc, choice: usize, empty: Option<usize> },
    /// Takes as many bytes of a set as lead somewhere, the more the better.
    Run { set: usize, next: Pc, choice: usize },
    /// The pattern matches.
    Accept,
}

/// A compiled pattern.
pub(super) struct Program {
    pub(super) instructions: Vec<Instruction>,
    pub(super) sets: Vec<ByteSet>,
    pub(super) start: Pc,
    /// How many groups there are.
    pub(super) groups: usize,
    /// How many instructions have a choice.
    pub(super) choices: usize,
    /// How many repetitions may go round without taking a byte.
    pub(super) empties: usize,
    /// Whether there are alternatives, of which the longest match counts rather than the first.
    pub(super) has_alternatives: bool,
    /// The bytes that a match can begin with; none if it may be empty.
    pub(super) first: Option<ByteSet>,
}

impl Program {
    /// Compiles a pattern.
    pub(super) fn compile(pattern: &Pattern) -> Result<Self, Problem> {
        let mut program = Self {
            instructions: Vec::new(),
            sets: Vec::new(),
            start: 0,
            groups: pattern.groups,
            choices: 0,
            empties: 0,
            has_alternatives: false,
            first: None,
        };
        let accept = program.add(Instruction::Accept)?;
        program.start = program.node(&pattern.node, accept, false)?;
        program.first = program.first_bytes();
        Ok(program)
    }

    fn add(&mut self, instruction: Instruction) -> Result<Pc, Problem> {
        if self.instructions.len() >= MAX_INSTRUCTIONS {
            return Err(Problem::TooLarge);
        }
        self.instructions.push(instruction);
        Ok(self.instructions.len() - 1)
    }

    fn choice(&mut self) -> usize {
        self.choices += 1;
        self.choices - 1
    }

    fn set(&mut self, set: &ByteSet) -> usize {
        let known = self.sets.iter().position(|known| known == set);
        known.unwrap_or_else(|| {
            self.sets.push(*set);
            self.sets.len() - 1
        })
    }

    /// Adds the instructions of a node, which go on at `next`, and returns where they begin. `looping` tells
    /// whether the node is in a repetition that may go round without taking a byte.
    fn node(&mut self, node: &Node, next: Pc, looping: bool) -> Result<Pc, Problem> {
        match node {
            Node::Empty => Ok(next),
            Node::Set(set) => match set.single() {
                Some(byte) => self.add(Instruction::Byte { byte, next }),
                None => {
                    let set = self.set(set);
                    self.add(Instruction::Set { set, next })
                }
            },
            Node::Begin => self.add(Instruction::Begin { next }),
            Node::End => self.add(Instruction::End { next }),
            Node::Group(group, body) => {
                let next = self.add(Instruction::Close { group: *group, next })?;
                let next = self.node(body, next, looping)?;
                self.add(Instruction::Open { group: *group, next })
            }
            Node::Concat(nodes) => nodes
                .iter()
                .rev()
                .try_fold(next, |next, node| self.node(node, next, looping)),
            Node::Alternate(nodes) => self.alternate(nodes, next, looping),
            Node::Repeat(body, count) => self.repeat(body, *count, next, looping),
        }
    }

    fn alternate(
        &mut self,
        nodes: &[Node],
        next: Pc,
        looping: bool,
    ) -> Result<Pc, Problem> {
        if let Some(set) = union_of_sets(nodes) {
            return self.node(&Node::Set(Box::new(set)), next, looping);
        }
        self.has_alternatives = true;
        let (last, others) =
            nodes.split_last().expect("there are two alternatives or more");
        let mut second = self.node(last, next, looping)?;
        for node in others.iter().rev() {
            let first = self.node(node, next, looping)?;
            let choice = self.choice();
            second = self.add(Instruction::Alternate { first, second, choice })?;
        }
        Ok(second)
    }

    fn repeat(
        &mut self,
        body: &Node,
        count: Count,
        next: Pc,
        looping: bool,
    ) -> Result<Pc, Problem> {
        match count {
            Count::Any => Ok(self.star(body, next, looping)?.0),
            Count::Some => Ok(self.star(body, next, looping)?.1),
            Count::Optional => self.options(body, 1, next, looping),
            Count::AtLeast(least) => {
                let next = self.star(body, next, looping)?.0;
                self.copies(body, least, next, looping)
            }
            Count::Between(least, most) => {
                let next = self.options(body, most - least, next, looping)?;
                self.copies(body, least, next, looping)
            }
        }
    }

    /// A repetition without end: where it begins with the choice, and where with the body.
    fn star(
        &mut self,
        body: &Node,
        next: Pc,
        looping: bool,
    ) -> Result<(Pc, Pc), Problem> {
        if let Node::Set(set) = body {
            let (set, choice) = (self.set(set), self.choice());
            let run = self.add(Instruction::Run { set, next, choice })?;
            return Ok((run, self.node(body, run, looping)?));
        }
        let nullable = is_nullable(body);
        let empty = self.empty(nullable);
        let choice = self.choice();
        let repeat =
            self.add(Instruction::Repeat { body: next, exit: next, choice, empty })?;
        let body = self.node(body, repeat, looping || nullable)?;
        self.instructions[repeat] =
            Instruction::Repeat { body, exit: next, choice, empty };
        Ok((repeat, body))
    }

    /// As many optional copies of a node, each of which needs the one before.
    fn options(
        &mut self,
        node: &Node,
        count: u32,
        exit: Pc,
        looping: bool,
    ) -> Result<Pc, Problem> {
        let mut next = exit;
        for _ in 0..count {
            let empty = self.empty(looping && is_nullable(node));
            let body = self.node(node, next, looping)?;
            let choice = self.choice();
            next = self.add(Instruction::Repeat { body, exit, choice, empty })?;
        }
        Ok(next)
    }

    fn copies(
        &mut self,
        node: &Node,
        count: u32,
        mut next: Pc,
        looping: bool,
    ) -> Result<Pc, Problem> {
        for _ in 0..count {
            let before = self.instructions.len();
            next = self.node(node, next, looping)?;
            if self.instructions.len() == before {
                break;
            }
        }
        Ok(next)
    }

    fn empty(&mut self, may_be_empty: bool) -> Option<usize> {
        may_be_empty.then(|| {
            self.empties += 1;
            self.empties - 1
        })
    }

    /// The bytes that a match can begin with; none if there is a way to the end without taking one.
    fn first_bytes(&self) -> Option<ByteSet> {
        let mut bytes = ByteSet::default();
        let mut seen = vec![false; self.instructions.len()];
        let mut work = vec![self.start];
        while let Some(pc) = work.pop() {
            if std::mem::replace(&mut seen[pc], true) {
                continue;
            }
            match self.instructions[pc] {
                Instruction::Set { set, .. } => bytes.union(&self.sets[set]),
                Instruction::Byte { byte, .. } => bytes.add(byte),
                Instruction::Begin { next }
                | Instruction::End { next }
                | Instruction::Open { next, .. }
                | Instruction::Close { next, .. } => work.push(next),
                Instruction::Alternate { first, second, .. } => {
                    work.extend([first, second])
                }
                Instruction::Repeat { body, exit, .. } => work.extend([body, exit]),
                Instruction::Run { set, next, .. } => {
                    bytes.union(&self.sets[set]);
                    work.push(next);
                }
                Instruction::Accept => return None,
            }
        }
        Some(bytes)
    }
}

/// The union of alternatives that all are single bytes or sets: which of them matches cannot be seen.
fn union_of_sets(nodes: &[Node]) -> Option<ByteSet> {
    let mut union = ByteSet::default();
    for node in nodes {
        let Node::Set(set) = node else { return None };
        union.union(set);
    }
    Some(union)
}

/// Whether a node can match without taking a byte.
fn is_nullable(node: &Node) -> bool {
    match node {
        Node::Empty | Node::Begin | Node::End => true,
        Node::Set(_) => false,
        Node::Group(_, body) => is_nullable(body),
        Node::Concat(nodes) => nodes.iter().all(is_nullable),
        Node::Alternate(nodes) => nodes.iter().any(is_nullable),
        Node::Repeat(body, count) => match count {
            Count::Any | Count::Optional => true,
            Count::Some => is_nullable(body),
            Count::Between(least, _) | Count::AtLeast(least) => {
                *least == 0 || is_nullable(body)
            }
        },
    }
}
