//! One line a happening, folded into a hash that tells whether two runs were the same; the last lines are kept for reports.

use crate::engine::time::Instant;
use std::collections::VecDeque;
use std::fmt::{self, Write};

/// How many lines a report shows.
const KEPT_LINES: usize = 40;

/// See the module.
#[derive(Debug, Clone)]
pub struct Trace {
    hash: u64,
    count: u64,
    last: VecDeque<String>,
    /// Whether each line is printed too.
    pub is_printed: bool,
}

impl Default for Trace {
    fn default() -> Trace {
        Trace { hash: 0xCBF2_9CE4_8422_2325, count: 0, last: VecDeque::with_capacity(KEPT_LINES), is_printed: false }
    }
}

impl Trace {
    /// Adds a line.
    pub fn line(&mut self, now: Instant, what: fmt::Arguments) {
        let oldest = if self.last.len() == KEPT_LINES { self.last.pop_front() } else { None };
        let mut line = oldest.unwrap_or_default();
        line.clear();
        write!(line, "{now} {what}").expect("a string takes what is written");
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        if self.is_printed {
            println!("{line}");
        }
        self.count += 1;
        self.last.push_back(line);
    }

    /// The hash of all lines so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The last lines.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}
