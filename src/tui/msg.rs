//! What comes in and what goes out: the two closed enums between the pure console and the loop that runs it.

use crate::cluster::view::{
    ClusterView, CommandReply, Completion, Consequence, ProduceDraft, ReadRequest, TailBatch, TailFrom, TopicSummary,
};
use crossterm::event::{KeyEvent, MouseEvent};
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that can happen to the console.
#[derive(Debug, Clone)]
pub enum Msg {
    /// Real time goes on: milliseconds since the console started.
    Tick(u64),
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has another size.
    Resize(u16, u16),
    /// A new picture of the cluster.
    View(Arc<ClusterView>),
    /// A command was answered.
    Reply(CommandReply),
    /// The answer to [`Cmd::AskConsequence`].
    Consequence(Forecast),
    /// The answer to [`Cmd::Complete`].
    Completion {
        /// The line that was asked about.
        line: String,
        /// What can stand at its end.
        completion: Completion,
    },
    /// The answer to [`Cmd::AskTopics`].
    Topics(Vec<TopicSummary>),
    /// Records of the open tail.
    Tail(TailBatch),
    /// Something the loop did for the console went wrong or well.
    Notice {
        /// Whether it went well.
        good: bool,
        /// One line.
        text: String,
    },
}

/// What a line would do, and what undoes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The line that was asked about.
    pub line: String,
    /// What it would do.
    pub consequence: Option<Consequence>,
    /// The line that undoes it.
    pub undo: Option<String>,
}

/// Everything the console can ask of the loop. Data: a test reads what a key press would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cmd {
    /// Run a line: the console's own verbs here, all others in the cluster. [`super::update`] resolves it.
    Run(String),
    /// Send a line of the command language to the cluster.
    Submit(String),
    /// Send records by hand.
    Produce(ProduceDraft),
    /// What would this line do?
    AskConsequence(String),
    /// What can stand at the end of this line?
    Complete(String),
    /// Topics whose name contains this.
    AskTopics(String),
    /// Read a topic in a dialog.
    OpenTail(String, TailFrom),
    /// Read records for the messages screen.
    Read(ReadRequest),
    /// Stop reading.
    CloseTail,
    /// Put a text on the clipboard (OSC 52).
    Copy(String),
    /// Write the screen to a file, as SVG or as text by its name.
    Screenshot(PathBuf),
    /// Record what is shown to a file; `None`: end the recording.
    Record(Option<PathBuf>),
    /// Write what was done to a file as a demo.
    SaveDemo {
        /// The demo's name: its file is `NAME.md`.
        name: String,
        /// A file of this name is written over.
        overwrite: bool,
    },
    /// Catch the mouse, or leave it to the terminal.
    Mouse(bool),
    /// Draw every cell again.
    Redraw,
    /// Give the terminal back to the shell until `fg`.
    ToShell,
    /// Leave.
    Quit,
}

/// What became of a key that a dialog took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The dialog is done.
    pub close: bool,
    /// What it asks for.
    pub cmds: Vec<Cmd>,
}

impl Outcome {
    /// The dialog stays and asks for nothing.
    pub fn stay() -> Outcome {
        Outcome::default()
    }

    /// The dialog goes.
    pub fn close() -> Outcome {
        Outcome { close: true, cmds: Vec::new() }
    }

    /// The dialog stays and asks for something.
    pub fn ask(cmd: Cmd) -> Outcome {
        Outcome { close: false, cmds: vec![cmd] }
    }

    /// The dialog goes and asks for something.
    pub fn done(cmd: Cmd) -> Outcome {
        Outcome { close: true, cmds: vec![cmd] }
    }
}
