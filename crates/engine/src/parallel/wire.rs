//! The frames between an evaluation and its helpers: plain fields, integers in little-endian order.

use super::territory::Place;

/// Appends fields.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

/// Takes fields; none where the bytes end too early.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Writer<'_> {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number(&mut self, number: usize) {
        self.0.extend_from_slice(&(number as u64).to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn place(&mut self, place: &[u32]) {
        self.number(place.len());
        for step in place {
            self.0.extend_from_slice(&step.to_le_bytes());
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn number(&mut self) -> Option<usize> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        usize::try_from(u64::from_le_bytes(*number)).ok()
    }

    pub(super) fn word(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    fn place(&mut self) -> Option<Place> {
        let length = self.number()?;
        (0..length).map(|_| self.word()).collect()
    }
}

/// What a helper says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// A place has members, which are places of their own. (A helper may say so of a place that is known to.)
    Split { place: Place, count: u32, shape: Vec<u8>, spoke: bool },
    /// A place is done.
    Done { place: Place, result: Vec<u8>, effects: Vec<u8>, spoke: bool },
    /// Everything of the territory from this place on is given back.
    GaveBack { place: Place },
    /// The evaluation of a place failed.
    Failed,
    /// The next place needs what a helper must not use; the helper ends.
    NeedsUs,
    /// The helper ends; what it has not reported is not done.
    Ended,
}

impl Report {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer(&mut bytes);
        match self {
            Self::Split { place, count, shape, spoke } => {
                writer.byte(b'S');
                writer.place(place);
                writer.number(*count as usize);
                writer.bytes(shape);
                writer.byte(u8::from(*spoke));
            }
            Self::Done { place, result, effects, spoke } => {
                writer.byte(b'D');
                writer.place(place);
                writer.bytes(result);
                writer.bytes(effects);
                writer.byte(u8::from(*spoke));
            }
            Self::GaveBack { place } => {
                writer.byte(b'G');
                writer.place(place);
            }
            Self::Failed => writer.byte(b'F'),
            Self::NeedsUs => writer.byte(b'N'),
            Self::Ended => writer.byte(b'E'),
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(match reader.byte()? {
            b'S' => Self::Split {
                place: reader.place()?,
                count: u32::try_from(reader.number()?).ok()?,
                shape: reader.bytes()?.to_vec(),
                spoke: reader.byte()? == 1,
            },
            b'D' => Self::Done {
                place: reader.place()?,
                result: reader.bytes()?.to_vec(),
                effects: reader.bytes()?.to_vec(),
                spoke: reader.byte()? == 1,
            },
            b'G' => Self::GaveBack { place: reader.place()? },
            b'F' => Self::Failed,
            b'N' => Self::NeedsUs,
            b'E' => Self::Ended,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_arrive_as_they_were_sent() {
        let place = vec![0, 7, u32::MAX];
        let (result, shape) = (vec![1, 2], b"a".to_vec());
        for report in [
            Report::Split { place: place.clone(), count: 9, shape, spoke: false },
            Report::Done { place: place.clone(), result, effects: vec![], spoke: true },
            Report::GaveBack { place },
            Report::Failed,
            Report::NeedsUs,
            Report::Ended,
        ] {
            let bytes = report.encode();
            assert_eq!(Report::decode(&bytes), Some(report));
            assert_eq!(Report::decode(&bytes[..bytes.len() - 1]), None);
        }
    }
}
