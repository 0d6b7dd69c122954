//! A recording of what a terminal showed, as asciicast v3: a header, then one event a line.
//!
//! Invariants: every event is written whole and at once, so that a recording that ends early is a valid one, and none
//! is kept in memory; times are whole milliseconds between events, so that errors do not add up; a recording ends
//! itself at [`SIZE_MAX`].
//!
//! Deliberately not here: what is recorded, and when.

use serde_json::json;
use std::io::{self, Write};

/// A recording does not grow beyond so many bytes.
pub const SIZE_MAX: u64 = 1 << 30;

/// What a recording says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    /// Columns of the terminal at the beginning.
    pub columns: u16,
    /// Its rows.
    pub rows: u16,
    /// When it begins, in seconds since 1970 UTC.
    pub timestamp_s: u64,
    /// A few words.
    pub title: String,
}

/// A recording that is being written. Times are milliseconds on any clock that does not go back.
#[derive(Debug)]
pub struct Recorder<W> {
    out: W,
    last_ms: u64,
    written: u64,
}

impl<W: Write> Recorder<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// As writing fails.
    pub fn begin(out: W, title: &Title, now_ms: u64) -> io::Result<Recorder<W>> {
        let mut recorder = Recorder { out, last_ms: now_ms, written: 0 };
        recorder.line(&json!({
            "version": 3,
            "term": { "cols": title.columns, "rows": title.rows, "type": "xterm-256color" },
            "timestamp": title.timestamp_s,
            "title": title.title,
        }))?;
        Ok(recorder)
    }

    /// The terminal was sent this.
    ///
    /// # Errors
    /// As writing fails, or when the recording is full.
    pub fn output(&mut self, now_ms: u64, text: &str) -> io::Result<()> {
        if text.is_empty() { Ok(()) } else { self.event(now_ms, "o", text) }
    }

    /// A place to jump to, with a few words.
    ///
    /// # Errors
    /// As writing fails, or when the recording is full.
    pub fn marker(&mut self, now_ms: u64, label: &str) -> io::Result<()> {
        self.event(now_ms, "m", label)
    }

    /// The terminal has another size.
    ///
    /// # Errors
    /// As writing fails, or when the recording is full.
    pub fn resize(&mut self, now_ms: u64, columns: u16, rows: u16) -> io::Result<()> {
        self.event(now_ms, "r", &format!("{columns}x{rows}"))
    }

    /// The end, with what the program ended with.
    ///
    /// # Errors
    /// As writing fails.
    pub fn end(mut self, now_ms: u64, status: u8) -> io::Result<W> {
        self.event(now_ms, "x", &status.to_string())?;
        Ok(self.out)
    }

    fn event(&mut self, now_ms: u64, code: &str, data: &str) -> io::Result<()> {
        if self.written >= SIZE_MAX {
            return Err(io::Error::other("the recording has reached 1 GiB"));
        }
        let interval_ms = now_ms.saturating_sub(self.last_ms);
        self.last_ms = self.last_ms.max(now_ms);
        // Written by hand: a double would tell 0.033 as 0.033000000000000002 on the way through.
        let data = serde_json::Value::from(data);
        let line = format!("[{}.{:03}, \"{code}\", {data}]\n", interval_ms / 1_000, interval_ms % 1_000);
        self.write(line.as_bytes())
    }

    fn line(&mut self, value: &serde_json::Value) -> io::Result<()> {
        self.write(format!("{value}\n").as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)?;
        self.out.flush()
    }
}

/// A recording in a file.
///
/// # Errors
/// If the file cannot be made or written.
pub fn create(path: &std::path::Path, size: (u16, u16), now_ms: u64) -> io::Result<Recorder<std::fs::File>> {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let title = Title {
        columns: size.0,
        rows: size.1,
        timestamp_s: since_1970.as_secs(),
        title: format!("kafkarium {}", env!("CARGO_PKG_VERSION")),
    };
    Recorder::begin(std::fs::File::create(path)?, &title, now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_line_is_an_event_and_times_are_intervals() {
        let title = Title { columns: 80, rows: 24, timestamp_s: 1_700_000_000, title: "a \"title\"".into() };
        let mut recorder = Recorder::begin(Vec::new(), &title, 10_000).expect("written");
        recorder.output(10_033, "\x1b[2Jéé\r\n").expect("written");
        recorder.output(10_040, "").expect("nothing to write");
        recorder.marker(11_500, "kill 2").expect("written");
        recorder.resize(11_400, 100, 30).expect("a clock that goes back is taken to stand still");
        let bytes = recorder.end(12_000, 0).expect("written");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines[0]["version"], 3);
        assert_eq!((&lines[0]["term"]["cols"], &lines[0]["term"]["rows"]), (&80.into(), &24.into()));
        assert_eq!(lines[0]["title"], "a \"title\"");
        assert_eq!(
            lines[1..],
            [
                json!([0.033, "o", "\x1b[2Jéé\r\n"]),
                json!([1.467, "m", "kill 2"]),
                json!([0.0, "r", "100x30"]),
                json!([0.5, "x", "0"])
            ]
        );
    }

    #[test]
    fn a_full_recording_says_so() {
        let title = Title { columns: 80, rows: 24, timestamp_s: 0, title: String::new() };
        let mut recorder = Recorder::begin(io::sink(), &title, 0).expect("written");
        recorder.written = SIZE_MAX;
        assert!(recorder.output(1, "x").is_err());
    }
}
