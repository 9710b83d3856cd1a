//! Reference graphs: sizes, dominators, why, diff, budgets.
