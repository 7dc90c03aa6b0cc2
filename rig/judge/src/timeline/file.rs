//! A timeline in a file: `events.bin` of a run folder.
//!
//! Layout: 8 bytes magic, u32 version, u32 length of what follows, the [`Setup`] as JSON, zeros up to a multiple of 64, then
//! records of 64 bytes in their order. The last record of a run that came to its end is the mark [`Mark::RunEnd`]. All
//! numbers are little-endian.

use crate::{RunEnd, Setup};
use rig_wire::event::{Kind, Mark, NO_LP, Record};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"SEAMEVT1";
const VERSION: u32 = 1;
const PREFIX_SIZE: usize = 16;
/// A setup of 255 LPs with all its watches takes some kilobytes; anything near this is no setup.
const SETUP_SIZE_MAX: u32 = 16 << 20;

/// Why a timeline cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// The file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no events file.
    #[error("{path} is not an events file\nremedy: give the events.bin of a run folder", path = path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// It was written by another version of the rig.
    #[error("{path} has version {found} of the events format, this rig reads {VERSION}\nremedy: read it with the rig that wrote it", path = path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// The version that it says.
        found: u32,
    },
    /// Its header does not say what a header must.
    #[error("{path}: its header is damaged: {cause}\nremedy: make the run again", path = path.display())]
    Header {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// It ends in the middle of a record.
    #[error("{path} ends in the middle of record {records}\nremedy: make the run again; the whole records can still be judged", path = path.display())]
    Truncated {
        /// Which file.
        path: PathBuf,
        /// How many whole records there are.
        records: u64,
    },
    /// The log beside it has fewer lines than it has records of lines.
    #[error("{path} has fewer lines than the events beside it name\nremedy: make the run again, or the snapshot", path = path.display())]
    LineMissing {
        /// The log.
        path: PathBuf,
    },
}

/// Writes a timeline.
#[derive(Debug)]
pub struct EventsWriter {
    path: PathBuf,
    out: BufWriter<File>,
    records: u64,
}

impl EventsWriter {
    /// Creates the file, or replaces it.
    pub fn create(path: &Path, setup: &Setup) -> Result<Self, EventsError> {
        let io = |source| EventsError::Io { path: path.into(), source };
        let mut out = BufWriter::with_capacity(1 << 18, File::create(path).map_err(io)?);
        out.write_all(&header(setup)).map_err(io)?;
        Ok(Self { path: path.into(), out, records: 0 })
    }

    /// Appends a record, and returns it with its place in the file as its `seq`.
    pub fn append(&mut self, record: &Record) -> Result<Record, EventsError> {
        let record = Record { seq: self.records, ..*record };
        self.records += 1;
        let written = self.out.write_all(&record.to_bytes());
        written.map_err(|source| EventsError::Io { path: self.path.clone(), source })?;
        Ok(record)
    }

    /// Records written so far; the next one's `seq`.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Hands what was appended to the operating system, so that it survives the death of this process.
    pub fn flush(&mut self) -> Result<(), EventsError> {
        self.out.flush().map_err(|source| EventsError::Io { path: self.path.clone(), source })
    }

    /// Appends how the run ended, and writes everything out.
    pub fn finish(mut self, end: &RunEnd) -> Result<(), EventsError> {
        self.append(&Record {
            lp: NO_LP,
            kind: Kind::Mark as u16,
            a: Mark::RunEnd as u64,
            b: end.number(),
            ..Record::default()
        })?;
        self.flush()
    }
}

fn header(setup: &Setup) -> Vec<u8> {
    let json = serde_json::to_vec(setup).expect("a setup is plain data");
    let mut header = Vec::with_capacity(PREFIX_SIZE + json.len() + Record::SIZE);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend((json.len() as u32).to_le_bytes());
    header.extend(json);
    header.resize(header.len().next_multiple_of(Record::SIZE), 0);
    header
}

/// Reads a timeline: an iterator over its records.
#[derive(Debug)]
pub struct EventsReader<R = BufReader<File>> {
    path: PathBuf,
    input: R,
    setup: Setup,
    records: u64,
}

impl EventsReader {
    /// Opens an events file.
    pub fn open(path: &Path) -> Result<Self, EventsError> {
        let file = File::open(path).map_err(|source| EventsError::Io { path: path.into(), source })?;
        Self::read(path, BufReader::with_capacity(1 << 18, file))
    }
}

impl<R: Read> EventsReader<R> {
    /// Reads a timeline from anything; `path` is for messages.
    pub fn read(path: &Path, mut input: R) -> Result<Self, EventsError> {
        let mut prefix = [0; PREFIX_SIZE];
        input.read_exact(&mut prefix).map_err(|e| short(path, e, || EventsError::Foreign { path: path.into() }))?;
        if prefix[..8] != MAGIC {
            return Err(EventsError::Foreign { path: path.into() });
        }
        let word = |at: usize| u32::from_le_bytes(prefix[at..at + 4].try_into().expect("four bytes"));
        if word(8) != VERSION {
            return Err(EventsError::Version { path: path.into(), found: word(8) });
        }
        let damaged = |cause: String| EventsError::Header { path: path.into(), cause };
        if word(12) > SETUP_SIZE_MAX {
            return Err(damaged(format!("it claims a setup of {} bytes", word(12))));
        }
        let json_size = word(12) as usize;
        let mut rest = vec![0; (PREFIX_SIZE + json_size).next_multiple_of(Record::SIZE) - PREFIX_SIZE];
        input.read_exact(&mut rest).map_err(|e| short(path, e, || damaged("it is cut short".into())))?;
        let setup = serde_json::from_slice(&rest[..json_size]).map_err(|e| damaged(e.to_string()))?;
        Ok(Self { path: path.into(), input, setup, records: 0 })
    }

    /// What the judge of the run was told.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    fn next_record(&mut self) -> Result<Option<Record>, EventsError> {
        let mut bytes = [0; Record::SIZE];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.input.read(&mut bytes[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(EventsError::Truncated { path: self.path.clone(), records: self.records }),
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(EventsError::Io { path: self.path.clone(), source }),
            }
        }
        self.records += 1;
        Ok(Some(Record::from_bytes(&bytes)))
    }
}

impl<R: Read> Iterator for EventsReader<R> {
    type Item = Result<Record, EventsError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record().transpose()
    }
}

fn short(path: &Path, source: io::Error, otherwise: impl FnOnce() -> EventsError) -> EventsError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => otherwise(),
        _ => EventsError::Io { path: path.into(), source },
    }
}
