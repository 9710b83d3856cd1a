//! Running the steps of a graph on threads, each when what it needs is done.
//!
//! There are two lanes, so that downloads, which wait for the network, do not take the place of
//! builds, which need processors. A thread belongs to a lane and runs one step at a time from start
//! to end, which the sandbox requires. Every step is looked at a constant number of times.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::cancel::Cancel;
use crate::lock::lock;

/// Which threads may run a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Build = 0,
    Fetch = 1,
}

/// A step as the scheduler sees it.
pub(crate) struct Node {
    pub(crate) lane: Lane,
    /// What must be done before, by index.
    pub(crate) needs: BTreeSet<usize>,
}

/// How steps are run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) build_threads: usize,
    pub(crate) fetch_threads: usize,
    /// Whether steps that do not need a failed one are still run.
    pub(crate) keep_going: bool,
}

/// What became of the steps.
#[derive(Debug)]
pub(crate) struct Outcome<E> {
    /// The steps that failed, in the order in which they did.
    pub(crate) failures: Vec<(usize, E)>,
    /// The steps that were not run.
    pub(crate) not_run: usize,
}

struct State<E> {
    ready: [BinaryHeap<Reverse<usize>>; 2],
    /// For each step, how many steps it still waits for.
    waits: Vec<usize>,
    running: usize,
    done: usize,
    failures: Vec<(usize, E)>,
    /// Whether a step panicked: a bug, which is passed on when all threads have ended.
    has_panicked: bool,
}

struct Shared<E> {
    state: Mutex<State<E>>,
    changed: Condvar,
}

impl<E> Shared<E> {
    fn lock(&self) -> MutexGuard<'_, State<E>> {
        lock(&self.state)
    }
}

/// Runs all steps with `work`. When `stop` is asked for, no further step is started.
pub(crate) fn run<E: Send + 'static>(
    nodes: &[Node],
    policy: Policy,
    stop: &Cancel,
    work: &(dyn Fn(usize) -> Result<(), E> + Sync),
) -> Outcome<E> {
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut ready = [BinaryHeap::new(), BinaryHeap::new()];
    let mut lane_sizes = [0, 0];
    for (index, node) in nodes.iter().enumerate() {
        lane_sizes[node.lane as usize] += 1;
        for need in &node.needs {
            dependents[*need].push(index);
        }
        if node.needs.is_empty() {
            ready[node.lane as usize].push(Reverse(index));
        }
    }
    let waits = nodes.iter().map(|node| node.needs.len()).collect();
    let state = State {
        ready,
        waits,
        running: 0,
        done: 0,
        failures: Vec::new(),
        has_panicked: false,
    };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    let wake = shared.clone();
    let woken = stop.on_cancel(move || {
        // Taken so that no thread is between looking and waiting.
        drop(wake.lock());
        wake.changed.notify_all();
    });
    std::thread::scope(|scope| {
        let threads = [
            (Lane::Build, policy.build_threads.max(1).min(lane_sizes[0])),
            (Lane::Fetch, policy.fetch_threads.max(1).min(lane_sizes[1])),
        ];
        for (lane, count) in threads {
            for _ in 0..count {
                let (shared, dependents) = (&*shared, &dependents);
                scope.spawn(move || {
                    let worker = Worker { lane, nodes, dependents, policy, stop, shared };
                    worker.run(work);
                });
            }
        }
    });
    drop(woken);
    let mut state = shared.lock();
    let failures = std::mem::take(&mut state.failures);
    Outcome { not_run: nodes.len() - state.done - failures.len(), failures }
}

struct Worker<'a, E> {
    lane: Lane,
    nodes: &'a [Node],
    dependents: &'a [Vec<usize>],
    policy: Policy,
    stop: &'a Cancel,
    shared: &'a Shared<E>,
}

impl<E: Send> Worker<'_, E> {
    fn run(&self, work: &(dyn Fn(usize) -> Result<(), E> + Sync)) {
        while let Some(index) = self.next() {
            let ends = EndsOthers { shared: self.shared, stop: self.stop };
            let result = work(index);
            std::mem::forget(ends);
            self.finish(index, result);
        }
    }

    /// Waits for a step that can be run; nothing when none will come.
    fn next(&self) -> Option<usize> {
        let mut state = self.shared.lock();
        loop {
            let has_failed = !state.failures.is_empty() && !self.policy.keep_going;
            if self.stop.is_cancelled() || has_failed || state.has_panicked {
                return None;
            }
            if let Some(Reverse(index)) = state.ready[self.lane as usize].pop() {
                state.running += 1;
                return Some(index);
            }
            if state.running == 0 && state.ready.iter().all(BinaryHeap::is_empty) {
                return None;
            }
            state =
                self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a result in. Others are woken if there is something for them: one new step of this lane is for
    /// this thread itself, which asks for the next one at once.
    fn finish(&self, index: usize, result: Result<(), E>) {
        let mut state = self.shared.lock();
        state.running -= 1;
        let mut for_others = false;
        match result {
            Err(error) => {
                state.failures.push((index, error));
                for_others = true;
            }
            Ok(()) => {
                state.done += 1;
                let mut has_own = false;
                for dependent in &self.dependents[index] {
                    state.waits[*dependent] -= 1;
                    if state.waits[*dependent] == 0 {
                        let lane = self.nodes[*dependent].lane;
                        for_others |= has_own || lane != self.lane;
                        has_own |= lane == self.lane;
                        state.ready[lane as usize].push(Reverse(*dependent));
                    }
                }
            }
        }
        let is_over = state.running == 0 && state.ready.iter().all(BinaryHeap::is_empty);
        drop(state);
        if for_others || is_over {
            self.shared.changed.notify_all();
        }
    }
}

/// Dropped when a step panics: the other threads must not wait for it for ever.
struct EndsOthers<'a, E> {
    shared: &'a Shared<E>,
    stop: &'a Cancel,
}

impl<E> Drop for EndsOthers<'_, E> {
    fn drop(&mut self) {
        self.shared.lock().has_panicked = true;
        self.shared.changed.notify_all();
        self.stop.cancel();
    }
}

/// How many steps need one of some steps, directly or not.
pub(crate) fn count_dependents(nodes: &[Node], of: usize) -> usize {
    // Steps come after those they need, so one pass suffices.
    let mut affected = vec![false; nodes.len()];
    affected[of] = true;
    for (index, node) in nodes.iter().enumerate().skip(of + 1) {
        affected[index] = node.needs.iter().any(|need| affected[*need]);
    }
    affected.iter().filter(|is_affected| **is_affected).count() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(needs: &[&[usize]]) -> Vec<Node> {
        let node = |(index, needs): (usize, &&[usize])| Node {
            lane: if index % 3 == 0 { Lane::Fetch } else { Lane::Build },
            needs: needs.iter().copied().collect(),
        };
        needs.iter().enumerate().map(node).collect()
    }

    fn policy(keep_going: bool) -> Policy {
        Policy { build_threads: 4, fetch_threads: 2, keep_going }
    }

    fn run_and_log(
        nodes: &[Node],
        policy: Policy,
        fails: &[usize],
    ) -> (Vec<usize>, Outcome<&'static str>) {
        let log = Mutex::new(Vec::new());
        let outcome = run(nodes, policy, &Cancel::new(), &|index| {
            log.lock().unwrap().push(index);
            if fails.contains(&index) { Err("broken") } else { Ok(()) }
        });
        (log.into_inner().unwrap(), outcome)
    }

    #[test]
    fn every_step_runs_once_after_what_it_needs() {
        let nodes = graph(&[&[], &[0], &[0], &[1, 2], &[], &[3, 4]]);
        let (log, outcome) = run_and_log(&nodes, policy(false), &[]);
        assert!(outcome.failures.is_empty() && outcome.not_run == 0);
        let at = |step: usize| log.iter().position(|s| *s == step).unwrap();
        assert_eq!(log.len(), 6);
        for (index, node) in nodes.iter().enumerate() {
            assert!(node.needs.iter().all(|need| at(*need) < at(index)));
        }
    }

    #[test]
    fn a_failure_spares_what_does_not_need_it_if_so_wished() {
        let nodes = graph(&[&[], &[0], &[1], &[], &[3], &[]]);
        let (log, outcome) = run_and_log(&nodes, policy(true), &[0]);
        assert_eq!(outcome.failures, [(0, "broken")]);
        assert_eq!(outcome.not_run, 2);
        assert!(log.contains(&4) && !log.contains(&1));
        assert_eq!(count_dependents(&nodes, 0), 2);
        let chain: Vec<Vec<usize>> =
            (0..100).map(|n| (0..n).rev().take(1).collect()).collect();
        let chain: Vec<&[usize]> = chain.iter().map(Vec::as_slice).collect();
        let (log, outcome) = run_and_log(&graph(&chain), policy(false), &[50]);
        assert_eq!((log.len(), outcome.not_run), (51, 49));
    }

    #[test]
    fn a_request_to_stop_wakes_waiting_threads() {
        let nodes = graph(&[&[], &[0]]);
        let stop = Cancel::new();
        let outcome = run(&nodes, policy(false), &stop, &|_| {
            stop.cancel();
            Ok::<(), ()>(())
        });
        assert_eq!(outcome.not_run, 1);
    }

    #[test]
    fn ten_thousand_steps_are_run() {
        let wide: Vec<Vec<usize>> = (0..10_000)
            .map(|n| if n == 9999 { (0..9999).collect() } else { vec![] })
            .collect();
        let wide: Vec<&[usize]> = wide.iter().map(Vec::as_slice).collect();
        let (log, _) = run_and_log(&graph(&wide), policy(false), &[]);
        assert_eq!(log.len(), 10_000);
        assert_eq!(log.last(), Some(&9999));
    }
}
