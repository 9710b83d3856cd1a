//! What a server says while an operation runs: logs, activities, errors, and that it is done.

use std::io::{Read, Write};

use super::wire::{WireReader, WireWriter};
use crate::error::{Error, Result};

const NEXT: u64 = 0x6f6c_6d67;
const READ: u64 = 0x6461_7461;
const WRITE: u64 = 0x6461_7416;
const LAST: u64 = 0x616c_7473;
const ERROR: u64 = 0x6378_7470;
const START_ACTIVITY: u64 = 0x5354_5254;
const STOP_ACTIVITY: u64 = 0x5354_4f50;
const RESULT: u64 = 0x5253_4c54;

/// Kinds of activities that are looked at or sent.
pub mod activity {
    /// Anything.
    pub const UNKNOWN: u64 = 0;
    /// A derivation is built. Fields: derivation path, machine, 1, 1.
    pub const BUILD: u64 = 105;
}

/// Kinds of results of activities.
pub mod result {
    /// A line of a build's log. Field: the line.
    pub const BUILD_LOG_LINE: u64 = 101;
    /// A line of the log of what is run after a build.
    pub const POST_BUILD_LOG_LINE: u64 = 107;
}

/// How important something is.
pub mod level {
    /// Errors.
    pub const ERROR: u64 = 0;
    /// What a user wants to see as a rule.
    pub const INFO: u64 = 3;
}

/// A field of an activity or a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A number.
    Number(u64),
    /// A string.
    Text(Vec<u8>),
}

/// An error of the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteFailure {
    /// What went wrong.
    pub message: String,
    /// What was being done, innermost first.
    pub traces: Vec<String>,
}

/// One thing that a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The operation is done; its result follows.
    Last,
    /// The operation failed.
    Error(RemoteFailure),
    /// Something for the user.
    Text(Vec<u8>),
    /// The server wants so many bytes of what the client has to send.
    Read(u64),
    /// Some of what the client asked for.
    Write(Vec<u8>),
    /// Something begins.
    StartActivity {
        /// The number by which it is known.
        id: u64,
        /// How important it is.
        level: u64,
        /// What it is.
        kind: u64,
        /// What it is, in words.
        text: Vec<u8>,
        /// What it is about.
        fields: Vec<Field>,
        /// The activity that it is a part of, or 0.
        parent: u64,
    },
    /// Something ends.
    StopActivity(u64),
    /// Something came of an activity.
    Result {
        /// The activity.
        id: u64,
        /// What it is.
        kind: u64,
        /// What it is about.
        fields: Vec<Field>,
    },
}

impl<R: Read> WireReader<R> {
    /// Reads a message.
    pub fn message(&mut self) -> Result<Message> {
        Ok(match self.number()? {
            LAST => Message::Last,
            ERROR => Message::Error(self.failure()?),
            NEXT => Message::Text(self.bytes()?),
            READ => Message::Read(self.number()?),
            WRITE => Message::Write(self.bytes()?),
            START_ACTIVITY => Message::StartActivity {
                id: self.number()?,
                level: self.number()?,
                kind: self.number()?,
                text: self.bytes()?,
                fields: self.fields()?,
                parent: self.number()?,
            },
            STOP_ACTIVITY => Message::StopActivity(self.number()?),
            RESULT => Message::Result {
                id: self.number()?,
                kind: self.number()?,
                fields: self.fields()?,
            },
            value => return Err(Error::WireValue { what: "message type", value }),
        })
    }

    fn failure(&mut self) -> Result<RemoteFailure> {
        let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if !self.version.has(26) {
            let message = lossy(self.bytes()?);
            self.number()?;
            return Ok(RemoteFailure { message, traces: Vec::new() });
        }
        // The kind, which is always the same; the level; the name.
        self.bytes()?;
        self.number()?;
        self.bytes()?;
        let message = lossy(self.bytes()?);
        self.position()?;
        let mut traces = Vec::new();
        for _ in 0..self.count()? {
            self.position()?;
            traces.push(lossy(self.bytes()?));
        }
        Ok(RemoteFailure { message, traces })
    }

    /// A place for positions, which nobody has ever sent.
    fn position(&mut self) -> Result<()> {
        match self.number()? {
            0 => Ok(()),
            value => Err(Error::WireValue { what: "position", value }),
        }
    }

    fn fields(&mut self) -> Result<Vec<Field>> {
        let mut fields = Vec::new();
        for _ in 0..self.count()? {
            fields.push(match self.number()? {
                0 => Field::Number(self.number()?),
                1 => Field::Text(self.bytes()?),
                value => return Err(Error::WireValue { what: "field type", value }),
            });
        }
        Ok(fields)
    }
}

impl<W: Write> WireWriter<W> {
    /// Writes a message. Activities, which versions before 1.20 do not have, are left out there.
    pub fn message(&mut self, message: &Message) -> Result<()> {
        match message {
            Message::Last => self.number(LAST),
            Message::Error(failure) => self.failure(failure),
            Message::Text(text) => {
                self.number(NEXT)?;
                self.bytes(text)
            }
            Message::Read(len) => {
                self.number(READ)?;
                self.number(*len)
            }
            Message::Write(bytes) => {
                self.number(WRITE)?;
                self.bytes(bytes)
            }
            _ if !self.version.has(20) => Ok(()),
            Message::StartActivity { id, level, kind, text, fields, parent } => {
                for number in [START_ACTIVITY, *id, *level, *kind] {
                    self.number(number)?;
                }
                self.bytes(text)?;
                self.fields(fields)?;
                self.number(*parent)
            }
            Message::StopActivity(id) => {
                self.number(STOP_ACTIVITY)?;
                self.number(*id)
            }
            Message::Result { id, kind, fields } => {
                for number in [RESULT, *id, *kind] {
                    self.number(number)?;
                }
                self.fields(fields)
            }
        }
    }

    fn failure(&mut self, failure: &RemoteFailure) -> Result<()> {
        self.number(ERROR)?;
        if !self.version.has(26) {
            self.text(&failure.message)?;
            return self.number(1);
        }
        self.text("Error")?;
        self.number(super::level::ERROR)?;
        self.text("Error")?;
        self.text(&failure.message)?;
        self.number(0)?;
        self.count(failure.traces.len())?;
        for trace in &failure.traces {
            self.number(0)?;
            self.text(trace)?;
        }
        Ok(())
    }

    fn fields(&mut self, fields: &[Field]) -> Result<()> {
        self.count(fields.len())?;
        for field in fields {
            match field {
                Field::Number(number) => {
                    self.number(0)?;
                    self.number(*number)?;
                }
                Field::Text(text) => {
                    self.number(1)?;
                    self.bytes(text)?;
                }
            }
        }
        Ok(())
    }
}
