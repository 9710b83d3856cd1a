//! The environment of a derivation, in two pieces of memory.
//!
//! A derivation has some dozens of variables, and evaluating a package set makes tens of thousands of
//! derivations: a map with a string of its own for every name and value was a fifth of all that such a run
//! asked of the allocator.

use std::cmp::Ordering;
use std::fmt;

/// Environment variables in the order of their names.
#[derive(Clone, Default)]
pub struct Environment {
    /// Names and values; what was replaced stays behind.
    text: Vec<u8>,
    /// Where they are, in the order of the names.
    variables: Vec<Variable>,
}

/// Where a variable's name begins, where that ends and its value begins, and where the value ends.
#[derive(Clone, Copy)]
struct Variable {
    start: usize,
    value: usize,
    end: usize,
}

impl Environment {
    /// An environment without variables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An environment without variables, and with room for some.
    #[must_use]
    pub fn with_capacity(variables: usize, bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), variables: Vec::with_capacity(variables) }
    }

    /// How many variables there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.variables.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let index = self.find(name).ok()?;
        Some(self.pair(self.variables[index]).1)
    }

    /// Whether there is a variable of that name.
    #[must_use]
    pub fn contains_key(&self, name: &[u8]) -> bool {
        self.find(name).is_ok()
    }

    /// Sets a variable.
    pub fn insert(&mut self, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        let variable = Variable {
            start,
            value: start + name.len(),
            end: start + name.len() + value.len(),
        };
        // Mostly they come in their order.
        let place = match self.variables.last() {
            Some(last) if self.pair(*last).0 >= name => self.find(name),
            _ => Err(self.variables.len()),
        };
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        match place {
            Ok(index) => self.variables[index] = variable,
            Err(index) => self.variables.insert(index, variable),
        }
    }

    /// Takes a variable out, and returns its value.
    pub fn remove(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let index = self.find(name).ok()?;
        let variable = self.variables.remove(index);
        Some(self.pair(variable).1.to_vec())
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.variables.iter().map(|variable| self.pair(*variable))
    }

    fn pair(&self, Variable { start, value, end }: Variable) -> (&[u8], &[u8]) {
        (&self.text[start..value], &self.text[value..end])
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        let order =
            |variable: &Variable| -> Ordering { self.pair(*variable).0.cmp(name) };
        self.variables.binary_search_by(order)
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> Extend<(K, V)> for Environment {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, variables: I) {
        for (name, value) in variables {
            self.insert(name.as_ref(), value.as_ref());
        }
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let mut environment = Self::new();
        environment.extend(variables);
        environment
    }
}

impl PartialEq for Environment {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Environment {}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .iter()
            .map(|(name, value)| (name.escape_ascii().to_string(), value.escape_ascii()));
        f.debug_map()
            .entries(shown.map(|(name, value)| (name, value.to_string())))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_variable_is_set_once() {
        let mut environment = Environment::with_capacity(1, 1);
        for (name, value) in [("b", "1"), ("a", ""), ("c", "3"), ("b", "a longer one")] {
            environment.insert(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(environment.len(), 3);
        assert_eq!(environment.get(b"b"), Some(b"a longer one".as_slice()));
        assert_eq!(environment.remove(b"a"), Some(Vec::new()));
        assert!(!environment.contains_key(b"a") && !environment.is_empty());
        let shown = "{\"b\": \"a longer one\", \"c\": \"3\"}";
        assert_eq!(format!("{environment:?}"), shown);
        assert_eq!(
            environment,
            [("c", "3"), ("b", "a longer one")].into_iter().collect()
        );
    }

    proptest! {
        #[test]
        fn it_is_a_map(pairs in proptest::collection::vec(("[a-d]{0,2}", "[x-z]{0,3}"), 0..40)) {
            let environment: Environment = pairs.iter().map(|(k, v)| (k, v)).collect();
            let map: BTreeMap<&[u8], &[u8]> =
                pairs.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
            prop_assert!(environment.iter().eq(map.iter().map(|(k, v)| (*k, *v))));
            for (name, value) in &map {
                prop_assert_eq!(environment.get(name), Some(*value));
            }
        }
    }
}
