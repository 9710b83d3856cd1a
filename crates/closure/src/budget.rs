//! Budgets: a size that must not be exceeded, and the reason when it is.

use std::fmt;

use picnix_store_core::StorePath;

use crate::dominators::Weight;
use crate::graph::{Error, Graph};

/// A limit in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Budget {
    /// The most bytes that are fine.
    pub limit_bytes: u64,
}

/// A text that is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a size; expected a number of bytes or a number with KiB, MiB, GiB, kB, MB or GB"
)]
pub struct ParseBudgetError(String);

/// A budget that is exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// The limit.
    pub budget: Budget,
    /// The size.
    pub actual_bytes: u64,
    /// What weighs most, largest added size first; the roots themselves are left out.
    pub heaviest: Vec<Weight>,
}

impl OverBudget {
    /// By how much the budget is exceeded.
    pub fn excess_bytes(&self) -> u64 {
        self.actual_bytes - self.budget.limit_bytes
    }
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (actual, limit) = (self.actual_bytes, self.budget.limit_bytes);
        write!(f, "{actual} bytes, {} over the budget of {limit}", self.excess_bytes())
    }
}

impl std::error::Error for OverBudget {}

impl Budget {
    /// How many offenders are named.
    const HEAVIEST: usize = 10;

    /// Parses a size, such as `3997696`, `1,600,000`, `4 MiB` or `1.5MB`.
    pub fn parse(text: &str) -> Result<Self, ParseBudgetError> {
        let bad = || ParseBudgetError(text.to_owned());
        let digits_end = text
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | '_')))
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits_end);
        let unit: u64 = match unit.trim() {
            "" | "B" => 1,
            "KiB" | "K" => 1 << 10,
            "MiB" | "M" => 1 << 20,
            "GiB" | "G" => 1 << 30,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(bad()),
        };
        let number = number.replace([',', '_'], "");
        let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
        let whole: u64 = whole.parse().map_err(|_| bad())?;
        // In whole numbers, so that a limit is the same everywhere.
        let digits = u32::try_from(fraction.len()).map_err(|_| bad())?;
        let scale = 10u128.checked_pow(digits).ok_or_else(bad)?;
        let fraction: u128 = match fraction {
            "" => 0,
            digits => digits.parse().map_err(|_| bad())?,
        };
        let part = fraction.checked_mul(unit.into()).ok_or_else(bad)? / scale;
        let bytes = u128::from(whole) * u128::from(unit) + part;
        let limit_bytes = u64::try_from(bytes).map_err(|_| bad())?;
        Ok(Self { limit_bytes })
    }

    /// Is this many bytes fine?
    pub fn allows(self, bytes: u64) -> bool {
        bytes <= self.limit_bytes
    }

    /// Compares the closure of some roots with the budget: its size, or what is too heavy.
    pub fn check(
        self,
        graph: &Graph,
        roots: &[StorePath],
    ) -> Result<Result<u64, OverBudget>, Error> {
        let actual_bytes = graph.closure_size(roots)?;
        if self.allows(actual_bytes) {
            return Ok(Ok(actual_bytes));
        }
        let mut heaviest = graph.weights(roots)?;
        heaviest.retain(|weight| !roots.contains(&weight.path));
        heaviest.truncate(Self::HEAVIEST);
        Ok(Err(OverBudget { budget: self, actual_bytes, heaviest }))
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.limit_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::{graph, path};

    #[test]
    fn sizes_parse() {
        let parse = |text| Budget::parse(text).map(|budget| budget.limit_bytes);
        assert_eq!(parse("3997696"), Ok(3_997_696));
        assert_eq!(parse("1,600,000"), Ok(1_600_000));
        assert_eq!(parse("4 MiB"), Ok(4 << 20));
        assert_eq!(parse("1.5MB"), Ok(1_500_000));
        assert_eq!(parse("0.5K"), Ok(512));
        for bad in ["", "MB", "4 apples", "1.2.3", "99999999999999999999", "99999999999G"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_exceeded_budget_names_the_heaviest() {
        let graph = graph(4, &[(0, 1), (0, 2), (2, 3)]);
        let roots = [path(0)];
        let check = |limit_bytes| Budget { limit_bytes }.check(&graph, &roots).unwrap();
        assert_eq!(check(15), Ok(15));
        let over = check(10).unwrap_err();
        assert_eq!(over.to_string(), "15 bytes, 5 over the budget of 10");
        assert_eq!(over.heaviest[0].path, path(2));
        assert_eq!(over.heaviest[0].added_size, 12);
        assert!(over.heaviest.iter().all(|weight| weight.path != path(0)));
    }
}
