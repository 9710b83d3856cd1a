//! Test-only: a World in memory, a temporary store, the suite runner.
