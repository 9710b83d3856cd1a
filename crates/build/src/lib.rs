//! Plan, schedule, run, register, logs.
