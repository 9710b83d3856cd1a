//! The automaton that bison would make of a grammar, for [`crate::expected`].
//!
//! LALR(1) states, conflicts resolved by precedence, and bison's default reductions: in every state the
//! reduction that most tokens select is made for all tokens without an action of their own. A state with
//! one reduction and no shift reduces without looking at a token. Token sets are bits of a `u128`.

use std::collections::BTreeMap;

use crate::token::{TOKENS, Tok};

/// A rule and how far it has been read.
type Item = (usize, usize);

struct Rule {
    left: usize,
    right: Vec<usize>,
    rank: Option<usize>,
}

/// Rules over symbols: tokens by number, then left sides.
struct Grammar {
    rules: Vec<Rule>,
    symbols: usize,
    nullable: Vec<bool>,
    first: Vec<u128>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    None,
    Shift(usize),
    Reduce(usize),
    /// Refused by a non-associative operator.
    Refuse,
}

struct State {
    actions: Vec<Action>,
    default: Option<usize>,
    gotos: BTreeMap<usize, usize>,
}

/// A table of states.
pub(crate) struct Automaton {
    states: Vec<State>,
    /// Left side and length of each rule.
    rules: Vec<(usize, usize)>,
}

/// What came of feeding a token.
pub(crate) enum Step {
    /// It fits.
    Shifted,
    /// The text is complete.
    Accepted,
    /// It does not fit; the tokens that have an action in this state do.
    Rejected(Vec<usize>),
}

/// A run of the automaton over tokens.
pub(crate) struct Run<'t> {
    automaton: &'t Automaton,
    stack: Vec<usize>,
}

impl Run<'_> {
    /// Reduces as far as the token allows, then shifts it.
    pub(crate) fn feed(&mut self, token: usize) -> Step {
        loop {
            let state = &self.automaton.states[self.stack.last().copied().unwrap_or(0)];
            let action = match (state.actions[token], state.default) {
                (Action::None, Some(rule)) => Action::Reduce(rule),
                (action, _) => action,
            };
            match action {
                Action::Shift(_) if token == Tok::Eof as usize => return Step::Accepted,
                Action::Shift(next) => {
                    self.stack.push(next);
                    return Step::Shifted;
                }
                Action::Reduce(rule) => self.reduce(rule),
                Action::None | Action::Refuse => return Step::Rejected(expected(state)),
            }
        }
    }

    fn reduce(&mut self, rule: usize) {
        let (left, length) = self.automaton.rules[rule];
        self.stack.truncate(self.stack.len() - length);
        let top = self.stack.last().copied().unwrap_or(0);
        if let Some(&next) = self.automaton.states[top].gotos.get(&left) {
            self.stack.push(next);
        }
    }
}

fn expected(state: &State) -> Vec<usize> {
    let has_action =
        |action: &Action| matches!(action, Action::Shift(_) | Action::Reduce(_));
    (0..state.actions.len()).filter(|&token| has_action(&state.actions[token])).collect()
}

impl Automaton {
    /// Builds the states of a grammar written as in [`crate::expected`].
    pub(crate) fn new(text: &str, ranks: &[(char, &[Tok])]) -> Automaton {
        let grammar = Grammar::read(text, ranks);
        let (kernels, edges) = grammar.states();
        let lookaheads = grammar.lookaheads(&kernels, &edges);
        let states = kernels
            .iter()
            .enumerate()
            .map(|(id, kernel)| grammar.state(kernel, &lookaheads[id], &edges[id], ranks))
            .collect();
        let rules =
            grammar.rules.iter().map(|rule| (rule.left, rule.right.len())).collect();
        Automaton { states, rules }
    }

    /// Begins a run.
    pub(crate) fn start(&self) -> Run<'_> {
        Run { automaton: self, stack: vec![0] }
    }
}

fn rank_of(token: usize, ranks: &[(char, &[Tok])]) -> Option<usize> {
    ranks.iter().position(|(_, tokens)| tokens.iter().any(|tok| *tok as usize == token))
}

fn tokens_in(set: u128) -> impl Iterator<Item = usize> {
    (0..TOKENS.len()).filter(move |token| set >> token & 1 == 1)
}

impl Grammar {
    fn read(text: &str, ranks: &[(char, &[Tok])]) -> Grammar {
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        for (number, (tok, _)) in TOKENS.iter().enumerate() {
            numbers.insert(format!("{tok:?}"), number);
        }
        let accept = TOKENS.len();
        let mut symbols = accept + 1;
        let mut number = |name: &str| {
            *numbers.entry(name.to_owned()).or_insert_with(|| {
                symbols += 1;
                symbols - 1
            })
        };
        let start = number("Start");
        let whole =
            Rule { left: accept, right: vec![start, Tok::Eof as usize], rank: None };
        let mut rules = vec![whole];
        let mut left = accept;
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (rule, rank) = line.split_once('%').unwrap_or((line, ""));
            let right = match rule.split_once('=') {
                Some((name, right)) => {
                    left = number(name.trim());
                    right
                }
                None => rule.trim_start_matches('|'),
            };
            let right: Vec<usize> = right.split_whitespace().map(&mut number).collect();
            let last_token = right.iter().rev().find(|&&symbol| symbol < accept).copied();
            let token =
                if rank.is_empty() { last_token } else { Some(number(rank.trim())) };
            rules.push(Rule {
                left,
                right,
                rank: token.and_then(|token| rank_of(token, ranks)),
            });
        }
        let mut grammar =
            Grammar { rules, symbols, nullable: Vec::new(), first: Vec::new() };
        grammar.find_first();
        grammar
    }

    fn find_first(&mut self) {
        self.nullable = vec![false; self.symbols];
        self.first = (0..self.symbols)
            .map(|symbol| if symbol < TOKENS.len() { 1 << symbol } else { 0 })
            .collect();
        loop {
            let before = (self.nullable.clone(), self.first.clone());
            for rule in &self.rules {
                let (set, empty) = self.first_of(&rule.right);
                self.first[rule.left] |= set;
                self.nullable[rule.left] |= empty;
            }
            if before == (self.nullable.clone(), self.first.clone()) {
                return;
            }
        }
    }

    /// The tokens that a row of symbols can begin with, and whether it can be empty.
    fn first_of(&self, symbols: &[usize]) -> (u128, bool) {
        let mut set = 0;
        for &symbol in symbols {
            set |= self.first[symbol];
            if !self.nullable[symbol] {
                return (set, false);
            }
        }
        (set, true)
    }

    /// The items of a state with the tokens that may follow each, from its kernel.
    fn closure(&self, kernel: &[Item], follow: &[u128]) -> BTreeMap<Item, u128> {
        let mut items: BTreeMap<Item, u128> = BTreeMap::new();
        let mut work: Vec<(Item, u128)> =
            kernel.iter().copied().zip(follow.iter().copied()).collect();
        while let Some((item, follow)) = work.pop() {
            let known = items.get(&item).copied();
            if known.is_some_and(|known| known | follow == known) {
                continue;
            }
            items.insert(item, known.unwrap_or(0) | follow);
            let right = &self.rules[item.0].right;
            let Some(&next) = right.get(item.1) else { continue };
            let (mut ahead, empty) = self.first_of(&right[item.1 + 1..]);
            if empty {
                ahead |= follow;
            }
            for (number, rule) in self.rules.iter().enumerate() {
                if rule.left == next {
                    work.push(((number, 0), ahead));
                }
            }
        }
        items
    }

    /// The kernels of all states and where each symbol leads.
    fn states(&self) -> (Vec<Vec<Item>>, Vec<BTreeMap<usize, usize>>) {
        let mut kernels: Vec<Vec<Item>> = vec![vec![(0, 0)]];
        let mut known: BTreeMap<Vec<Item>, usize> = BTreeMap::new();
        known.insert(kernels[0].clone(), 0);
        let mut edges = Vec::new();
        while edges.len() < kernels.len() {
            let kernel = kernels[edges.len()].clone();
            let mut next: BTreeMap<usize, Vec<Item>> = BTreeMap::new();
            for (rule, dot) in self.closure(&kernel, &vec![0; kernel.len()]).into_keys() {
                if let Some(&symbol) = self.rules[rule].right.get(dot) {
                    next.entry(symbol).or_default().push((rule, dot + 1));
                }
            }
            let mut leads = BTreeMap::new();
            for (symbol, kernel) in next {
                let id = *known.entry(kernel.clone()).or_insert_with(|| {
                    kernels.push(kernel);
                    kernels.len() - 1
                });
                leads.insert(symbol, id);
            }
            edges.push(leads);
        }
        (kernels, edges)
    }

    /// The tokens that may follow each kernel item, carried along the edges until nothing changes.
    fn lookaheads(
        &self,
        kernels: &[Vec<Item>],
        edges: &[BTreeMap<usize, usize>],
    ) -> Vec<Vec<u128>> {
        let mut follow: Vec<Vec<u128>> =
            kernels.iter().map(|items| vec![0; items.len()]).collect();
        let mut work: Vec<usize> = (0..kernels.len()).rev().collect();
        while let Some(id) = work.pop() {
            for ((rule, dot), set) in self.closure(&kernels[id], &follow[id]) {
                let Some(symbol) = self.rules[rule].right.get(dot) else { continue };
                let target = edges[id][symbol];
                let Ok(at) = kernels[target].binary_search(&(rule, dot + 1)) else {
                    continue;
                };
                if follow[target][at] | set != follow[target][at] {
                    follow[target][at] |= set;
                    if !work.contains(&target) {
                        work.push(target);
                    }
                }
            }
        }
        follow
    }

    fn state(
        &self,
        kernel: &[Item],
        follow: &[u128],
        edges: &BTreeMap<usize, usize>,
        ranks: &[(char, &[Tok])],
    ) -> State {
        let mut actions = vec![Action::None; TOKENS.len()];
        let mut gotos = BTreeMap::new();
        for (&symbol, &target) in edges {
            if symbol < TOKENS.len() {
                actions[symbol] = Action::Shift(target);
            } else {
                gotos.insert(symbol, target);
            }
        }
        let shifts = actions.iter().any(|action| *action != Action::None);
        let complete = self.closure(kernel, follow).into_iter();
        let reductions: Vec<(usize, u128)> = complete
            .filter(|((rule, dot), _)| *dot == self.rules[*rule].right.len())
            .map(|((rule, _), set)| (rule, set))
            .collect();
        if let ([(rule, _)], false) = (&reductions[..], shifts) {
            return State { actions, default: Some(*rule), gotos };
        }
        for &(rule, set) in &reductions {
            for token in tokens_in(set) {
                actions[token] = self.resolve(actions[token], rule, token, ranks);
            }
        }
        let default = default_reduction(&reductions, &mut actions);
        State { actions, default, gotos }
    }

    /// Shift or reduce: the tighter of the operator and the rule, then how they group.
    fn resolve(
        &self,
        action: Action,
        rule: usize,
        token: usize,
        ranks: &[(char, &[Tok])],
    ) -> Action {
        let reduce = Action::Reduce(rule);
        match action {
            Action::None => return reduce,
            Action::Shift(_) => {}
            // Of two reductions the first rule's is made.
            Action::Reduce(_) | Action::Refuse => return action,
        }
        match (self.rules[rule].rank, rank_of(token, ranks)) {
            (Some(ours), Some(theirs)) if ours > theirs => reduce,
            (Some(ours), Some(theirs)) if ours == theirs => match ranks[ours].0 {
                'l' => reduce,
                'n' => Action::Refuse,
                _ => action,
            },
            _ => action,
        }
    }
}

/// Takes the reduction that most tokens select out of the table as the default.
fn default_reduction(
    reductions: &[(usize, u128)],
    actions: &mut [Action],
) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None;
    for &(rule, _) in reductions {
        let count =
            actions.iter().filter(|action| **action == Action::Reduce(rule)).count();
        if count > best.map_or(0, |(_, most)| most) {
            best = Some((rule, count));
        }
    }
    let (rule, _) = best?;
    for action in actions {
        if *action == Action::Reduce(rule) {
            *action = Action::None;
        }
    }
    Some(rule)
}
