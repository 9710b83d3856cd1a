//! Which step is built where: places on this machine and on others, given out one at a time.
//!
//! As in Nix, another machine is preferred to this one unless the derivation prefers to be built
//! locally; among machines the least loaded counts, with its speed. A step that nothing can take just now
//! waits; one that nothing can take ever is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use picnix_store_core::{Derivation, StoreDir};

use crate::build::BuildConfig;
use crate::cancel::Cancel;
use crate::error::StepError;
use crate::lock::lock;
use crate::observer::StepKind;
use crate::options::{Options, is_only_ours, prefers_local_build};
use crate::remote::connection::Connection;
use crate::remote::error::RemoteError;
use crate::remote::machine::Machine;

/// How often a step that waits for a place looks whether it should stop.
const WAIT_INTERVAL: Duration = Duration::from_millis(200);
/// What a machine must have as a feature for derivations that only picnix can build.
pub(crate) const OURS: &str = "picnix";

/// Gives out places.
pub(crate) struct Dispatcher<'a> {
    machines: &'a [Machine],
    local_systems: &'a [String],
    local_features: &'a BTreeSet<String>,
    local_jobs: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// Only one at a time copies inputs to a machine: others then find what they need.
    uploads: Vec<Mutex<()>>,
    idle: Vec<Mutex<Vec<Connection>>>,
}

struct State {
    local_running: usize,
    running: Vec<usize>,
    /// Machines that could not be reached, and why.
    lost: BTreeMap<usize, String>,
}

/// What a step needs of the machine that builds it.
#[derive(Debug)]
pub(crate) struct Need {
    system: String,
    features: BTreeSet<String>,
    prefers_local: bool,
    /// Whether it runs inside this process, so that it cannot go elsewhere.
    is_inside: bool,
}

impl Need {
    pub(crate) fn of(derivation: &Derivation, options: &Options, kind: StepKind) -> Self {
        let mut features = options.required_features.clone();
        if is_only_ours(derivation) {
            features.insert(OURS.to_owned());
        }
        Self {
            system: String::from_utf8_lossy(&derivation.system).into_owned(),
            features,
            prefers_local: prefers_local_build(derivation),
            is_inside: kind != StepKind::Box,
        }
    }
}

/// Where a step is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Here.
    Local,
    /// On the machine with this index.
    Machine(usize),
}

/// A place that is taken until this is dropped.
pub(crate) struct Permit<'d, 'a> {
    dispatcher: &'d Dispatcher<'a>,
    pub(crate) place: Place,
}

impl Drop for Permit<'_, '_> {
    fn drop(&mut self) {
        let mut state = self.dispatcher.lock();
        match self.place {
            Place::Local => state.local_running -= 1,
            Place::Machine(at) => state.running[at] -= 1,
        }
        drop(state);
        self.dispatcher.changed.notify_all();
    }
}

impl<'a> Dispatcher<'a> {
    pub(crate) fn new(config: &'a BuildConfig) -> Self {
        let count = config.machines.len();
        Self {
            machines: &config.machines,
            local_systems: &config.systems,
            local_features: &config.features,
            local_jobs: config.jobs,
            state: Mutex::new(State {
                local_running: 0,
                running: vec![0; count],
                lost: BTreeMap::new(),
            }),
            changed: Condvar::new(),
            uploads: std::iter::repeat_with(Mutex::default).take(count).collect(),
            idle: std::iter::repeat_with(Mutex::default).take(count).collect(),
        }
    }

    pub(crate) fn machine(&self, at: usize) -> &Machine {
        &self.machines[at]
    }

    /// Waits for a place, other than machines that were tried in vain.
    pub(crate) fn acquire<'d>(
        &'d self,
        need: &Need,
        tried: &BTreeMap<usize, String>,
        cancel: &Cancel,
    ) -> Result<Permit<'d, 'a>, StepError> {
        let is_local = self.can_build_here(need);
        let mut state = self.lock();
        loop {
            if cancel.is_cancelled() {
                return Err(StepError::Interrupted);
            }
            let suitable = self.suitable(need, is_local, tried, &state);
            if let Some(at) = self.best(&suitable, &state) {
                state.running[at] += 1;
                return Ok(Permit { dispatcher: self, place: Place::Machine(at) });
            }
            // What runs inside this process needs a place even where nothing else may run.
            let places =
                if need.is_inside { self.local_jobs.max(1) } else { self.local_jobs };
            if is_local && state.local_running < places {
                state.local_running += 1;
                return Ok(Permit { dispatcher: self, place: Place::Local });
            }
            if suitable.is_empty() && !is_local {
                return Err(self.nowhere(need, tried, &state));
            }
            let waited = self.changed.wait_timeout(state, WAIT_INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn can_build_here(&self, need: &Need) -> bool {
        let has =
            |feature: &String| feature == OURS || self.local_features.contains(feature);
        let is_known =
            need.system == "builtin" || self.local_systems.contains(&need.system);
        need.is_inside || self.local_jobs > 0 && is_known && need.features.iter().all(has)
    }

    fn suitable(
        &self,
        need: &Need,
        is_local: bool,
        tried: &BTreeMap<usize, String>,
        state: &State,
    ) -> Vec<usize> {
        if need.is_inside || is_local && need.prefers_local {
            return Vec::new();
        }
        let is_suitable = |at: &usize| {
            !tried.contains_key(at)
                && !state.lost.contains_key(at)
                && self.machines[*at].jobs > 0
                && self.machines[*at].can_build(&need.system, &need.features)
        };
        (0..self.machines.len()).filter(is_suitable).collect()
    }

    /// The least loaded machine with a free place: relative to its speed, then the fastest.
    fn best(&self, suitable: &[usize], state: &State) -> Option<usize> {
        let load = |at: usize| {
            #[expect(clippy::cast_precision_loss, reason = "a machine runs few builds")]
            let running = state.running[at] as f64;
            running / self.machines[at].speed_factor
        };
        let free = suitable
            .iter()
            .copied()
            .filter(|at| state.running[*at] < self.machines[*at].jobs);
        free.min_by(|a, b| {
            let speed = |at: usize| self.machines[at].speed_factor;
            load(*a).total_cmp(&load(*b)).then_with(|| speed(*b).total_cmp(&speed(*a)))
        })
    }

    fn nowhere(
        &self,
        need: &Need,
        tried: &BTreeMap<usize, String>,
        state: &State,
    ) -> StepError {
        let failures = state.lost.iter().chain(tried).collect::<BTreeMap<_, _>>();
        let failures = failures.into_iter().map(|(at, reason)| {
            (self.machines[*at].address.text.clone(), reason.clone())
        });
        StepError::NoMachine {
            system: need.system.clone(),
            features: need.features.iter().cloned().collect::<Vec<_>>().join(", "),
            machines: self.machines.len(),
            failures: failures.collect(),
        }
    }

    /// Notes that a machine cannot be reached: nothing more is sent there by this run.
    pub(crate) fn give_up(&self, at: usize, reason: String) {
        self.lock().lost.insert(at, reason);
        self.changed.notify_all();
    }

    /// A connection to a machine: one that is idle, or a new one.
    pub(crate) fn connect(
        &self,
        at: usize,
        store_dir: &StoreDir,
    ) -> Result<Connection, RemoteError> {
        let idle = lock(&self.idle[at]).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.machines[at].address, store_dir),
        }
    }

    /// Keeps a connection that is in order for the next step.
    pub(crate) fn keep(&self, at: usize, connection: Connection) {
        lock(&self.idle[at]).push(connection);
    }

    /// Waits until nobody else copies to the machine.
    pub(crate) fn upload_lock(&self, at: usize) -> MutexGuard<'_, ()> {
        lock(&self.uploads[at])
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::parse_machines;

    fn config(jobs: usize, machines: &str) -> BuildConfig {
        let mut config = BuildConfig::new("here", 1);
        config.jobs = jobs;
        config.machines = parse_machines(machines, &config.systems).unwrap();
        config
    }

    fn need(system: &str, features: &[&str]) -> Need {
        Need {
            system: system.to_owned(),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
            prefers_local: false,
            is_inside: false,
        }
    }

    fn take<'d, 'a>(dispatcher: &'d Dispatcher<'a>, need: &Need) -> Permit<'d, 'a> {
        dispatcher.acquire(need, &BTreeMap::new(), &Cancel::new()).unwrap()
    }

    #[test]
    fn the_least_loaded_machine_is_taken_then_this_one() {
        let config = config(1, "slow here - 2 1; fast here - 4 2");
        let dispatcher = Dispatcher::new(&config);
        let need = need("here", &[]);
        let taken: Vec<Permit<'_, '_>> =
            (0..7).map(|_| take(&dispatcher, &need)).collect();
        let places: Vec<Place> = taken.iter().map(|permit| permit.place).collect();
        let (slow, fast) = (Place::Machine(0), Place::Machine(1));
        assert_eq!(places, [fast, slow, fast, fast, slow, fast, Place::Local]);
        drop(taken);
        assert_eq!(take(&dispatcher, &need).place, fast);
    }

    #[test]
    fn what_a_derivation_asks_for_decides() {
        let config = config(1, "a there - 1 1 kvm; b here - 1 1 picnix kvm");
        let dispatcher = Dispatcher::new(&config);
        assert_eq!(take(&dispatcher, &need("there", &["kvm"])).place, Place::Machine(0));
        assert_eq!(take(&dispatcher, &need("here", &[])).place, Place::Local);
        let ours = need("here", &["kvm", OURS]);
        assert_eq!(take(&dispatcher, &ours).place, Place::Machine(1));
        let at_home = Need { prefers_local: true, ..need("here", &[]) };
        assert_eq!(take(&dispatcher, &at_home).place, Place::Local);
        let refused = dispatcher.acquire(
            &need("nowhere", &["fpga"]),
            &BTreeMap::new(),
            &Cancel::new(),
        );
        let message = refused.err().unwrap().to_string();
        assert!(message.contains("nowhere") && message.contains("fpga"), "{message}");
    }

    #[test]
    fn machines_that_failed_are_not_asked_again() {
        let config = config(0, "a here; b here");
        let dispatcher = Dispatcher::new(&config);
        let need = need("here", &[]);
        dispatcher.give_up(0, "no route".to_owned());
        assert_eq!(take(&dispatcher, &need).place, Place::Machine(1));
        let tried = BTreeMap::from([(1, "it died".to_owned())]);
        let refused = dispatcher.acquire(&need, &tried, &Cancel::new());
        let message = refused.err().unwrap().to_string();
        assert!(message.contains("no route") && message.contains("it died"), "{message}");
    }
}
