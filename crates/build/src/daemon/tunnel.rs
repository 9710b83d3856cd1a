//! What the client hears while an operation runs.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::sync::{Mutex, MutexGuard};

use picnix_store_core::worker::{
    Field, Message, RemoteFailure, WireWriter, activity, level, result,
};
use picnix_store_core::{StoreDir, StorePath};

use crate::cancel::Cancel;
use crate::lock::lock;
use crate::observer::{Event, Observer, StepKind};

/// The way to the client, shared by whoever answers and whatever builds.
pub(super) struct Tunnel<W: Write> {
    state: Mutex<State<W>>,
    store_dir: StoreDir,
    cancel: Cancel,
}

struct State<W: Write> {
    writer: WireWriter<BufWriter<W>>,
    /// Whether an operation runs, so that messages may be sent.
    is_open: bool,
    next_activity: u64,
    /// What is being done, by path.
    activities: BTreeMap<StorePath, u64>,
}

impl<W: Write> Tunnel<W> {
    pub(super) fn new(
        writer: WireWriter<BufWriter<W>>,
        store_dir: StoreDir,
        cancel: Cancel,
    ) -> Self {
        let state = State {
            writer,
            is_open: false,
            next_activity: 1,
            activities: BTreeMap::new(),
        };
        Self { state: Mutex::new(state), store_dir, cancel }
    }

    /// An operation begins.
    pub(super) fn open(&self) {
        self.lock().is_open = true;
    }

    /// The operation is over, well or not.
    pub(super) fn close(&self, failure: Option<String>) -> picnix_store_core::Result<()> {
        let mut state = self.lock();
        state.is_open = false;
        state.activities.clear();
        state.writer.message(&match failure {
            None => Message::Last,
            Some(message) => {
                Message::Error(RemoteFailure { message, traces: Vec::new() })
            }
        })
    }

    /// Writes an answer.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&mut WireWriter<BufWriter<W>>) -> picnix_store_core::Result<T>,
    ) -> picnix_store_core::Result<T> {
        write(&mut self.lock().writer)
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        lock(&self.state)
    }

    fn say(&self, state: &mut State<W>, message: &Message) {
        if !state.is_open {
            return;
        }
        let said = state.writer.message(message).and_then(|()| state.writer.flush());
        if said.is_err() {
            // Nobody listens any more, so nobody waits for the result.
            state.is_open = false;
            self.cancel.cancel();
        }
    }

    fn start(&self, path: &StorePath, kind: StepKind) {
        let mut state = self.lock();
        let id = state.next_activity;
        state.next_activity += 1;
        state.activities.insert(path.clone(), id);
        let printed = self.store_dir.print(path);
        let text = |bytes: &str| Field::Text(bytes.as_bytes().to_vec());
        let (kind, verb, fields) = match kind {
            StepKind::Copy => (activity::UNKNOWN, "copying path", Vec::new()),
            StepKind::Fetch | StepKind::Builtin | StepKind::Box => {
                let (one, fields) = (Field::Number(1), [text(&printed), text("")]);
                let fields = fields.into_iter().chain([one.clone(), one]).collect();
                (activity::BUILD, "building", fields)
            }
        };
        let text = format!("{verb} '{printed}'").into_bytes();
        let (level, parent) = (level::INFO, 0);
        let message = Message::StartActivity { id, level, kind, text, fields, parent };
        self.say(&mut state, &message);
    }

    fn stop(&self, path: &StorePath) {
        let mut state = self.lock();
        if let Some(id) = state.activities.remove(path) {
            self.say(&mut state, &Message::StopActivity(id));
        }
    }

    fn log(&self, path: &StorePath, line: &[u8]) {
        let mut state = self.lock();
        let Some(id) = state.activities.get(path).copied() else { return };
        let fields = vec![Field::Text(line.to_vec())];
        let kind = result::BUILD_LOG_LINE;
        self.say(&mut state, &Message::Result { id, kind, fields });
    }
}

impl<W: Write + Send> Observer for Tunnel<W> {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Started { drv_path, kind } => self.start(drv_path, *kind),
            Event::Log { drv_path, line } => self.log(drv_path, line),
            Event::Finished { drv_path, .. } | Event::Failed { drv_path, .. } => {
                self.stop(drv_path);
            }
            Event::Warning { message } => {
                let text = format!("warning: {message}\n").into_bytes();
                self.say(&mut self.lock(), &Message::Text(text));
            }
            Event::Planned { .. }
            | Event::Waiting { .. }
            | Event::Dispatched { .. }
            | Event::Progress { .. } => {}
        }
    }
}
