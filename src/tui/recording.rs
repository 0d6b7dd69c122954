//! The console's recording: a copy of what the terminal is sent, and when it becomes events of a [`Recorder`].
//!
//! Invariants: a recording begins with a whole frame; an event is a whole frame, so that no glyph is cut; of what the
//! terminal was sent, one frame is kept at most, and nothing while nothing is recorded. Markers are the commands that
//! were given and the scenes of a lesson.
//!
//! Deliberately not here: the file's form (`cast`), and when a frame is drawn (`run`).

use super::cast::{self, Recorder};
use crate::cluster::view::ClusterView;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What was sent since the last frame, while somebody wants to know.
type Copied = Rc<RefCell<Option<Vec<u8>>>>;

/// The way to the terminal, with a copy for the recording.
pub struct Tapped {
    out: BufWriter<Stdout>,
    copied: Copied,
}

/// The end of the copy at which it is taken.
#[derive(Clone, Default)]
pub struct Tap(Copied);

impl Tapped {
    /// The way to the terminal, which copies while `tap` is open.
    pub fn new(tap: &Tap) -> Tapped {
        Tapped { out: BufWriter::with_capacity(1 << 16, io::stdout()), copied: Rc::clone(&tap.0) }
    }
}

impl Write for Tapped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        if let Some(copied) = &mut *self.copied.borrow_mut() {
            copied.extend_from_slice(&bytes[..count]);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Tap {
    fn open(&self) {
        *self.0.borrow_mut() = Some(Vec::new());
    }

    fn close(&self) {
        *self.0.borrow_mut() = None;
    }

    fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// A recording of the console that is being made. Times are milliseconds since the console started.
pub struct Recording {
    path: PathBuf,
    recorder: Recorder<File>,
    tap: Tap,
    /// The scene of the lesson that was marked last.
    scene: Option<usize>,
}

impl Recording {
    /// Begins one. The next frame has to be a whole one.
    ///
    /// # Errors
    /// If the file cannot be made or written; the reason names it.
    pub fn begin(path: &Path, size: (u16, u16), tap: &Tap, now_ms: u64) -> io::Result<Recording> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let mut recorder = cast::create(path, size, now_ms).map_err(named)?;
        // The console's cursor is hidden before the recording begins.
        recorder.output(now_ms, "\x1b[?25l").map_err(named)?;
        tap.open();
        Ok(Recording { path: path.to_owned(), recorder, tap: tap.clone(), scene: None })
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A frame of this picture was drawn.
    ///
    /// # Errors
    /// As writing fails, or when the recording is full.
    pub fn frame(&mut self, now_ms: u64, view: &ClusterView) -> io::Result<()> {
        let scene = view.lesson.as_ref().map(|lesson| lesson.scene);
        if let (Some(lesson), true) = (&view.lesson, scene != self.scene) {
            let title = lesson.demo.scenes.get(lesson.scene).map_or(&lesson.demo.title, |scene| &scene.title);
            self.recorder.marker(now_ms, title)?;
        }
        self.scene = scene;
        let bytes = self.tap.take();
        self.recorder.output(now_ms, &String::from_utf8_lossy(&bytes))
    }

    /// A command was given.
    ///
    /// # Errors
    /// As writing fails, or when the recording is full.
    pub fn command(&mut self, now_ms: u64, line: &str) -> io::Result<()> {
        self.recorder.marker(now_ms, line)
    }

    /// The terminal has another size.
    ///
    /// # Errors
    /// As writing fails, or when the recording is full.
    pub fn resize(&mut self, now_ms: u64, columns: u16, rows: u16) -> io::Result<()> {
        self.recorder.resize(now_ms, columns, rows)
    }

    /// Ends it.
    ///
    /// # Errors
    /// As writing fails.
    pub fn end(self, now_ms: u64) -> io::Result<()> {
        self.tap.close();
        self.recorder.end(now_ms, 0).map(drop)
    }
}
