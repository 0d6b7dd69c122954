//! Demos: lessons in Markdown that are run. One file is read on a page, narrated on a cluster, and checked as a test.
//!
//! Invariants: a demo is read whole before anything starts, and what is wrong with it is told with its line ([`parse`]); a demo is played
//! the same way on a simulated and on a live cluster ([`play`]), by the command language alone; whatever its text claims in a code span
//! that is a predicate has to be true when it is told.
//!
//! Deliberately not here: how a demo is shown (`cli`, `tui`).

mod host;
mod lesson;
mod parse;
mod play;
mod saved;
mod shipped;
mod story;

pub use host::{Host, LiveHost, SimHost};
pub use lesson::Lesson;
pub use parse::Mistake;
pub use play::{Mismatch, Next, Player, Told};
pub use saved::{Deed, Deeds, with_answers};
pub use shipped::{SHIPPED, shipped};
pub use story::{Action, Block, Choice, Demo, Expected, Line, Paragraph, Part, Question, Scene, Span};
