//! The keys: one table makes the bindings, the hints, the help and the manual.
//!
//! Invariants: no key is bound twice; letters of *Everywhere* and *Time* mean the same on every screen; lower case
//! mostly looks, `Shift` mostly changes.
//!
//! Deliberately not here: keys inside text fields and dialogs (each dialog names its own in its last row).

use crate::cluster::view::Capabilities;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is explained by its row of the table")]
pub enum Action {
    ScreenCluster,
    ScreenPartition,
    ScreenWire,
    ScreenGroups,
    ScreenTopics,
    ScreenQuorum,
    ScreenFaults,
    NextPane,
    PreviousPane,
    Up,
    Down,
    Left,
    Right,
    First,
    Last,
    PageUp,
    PageDown,
    Open,
    Deliver,
    Back,
    Command,
    Filter,
    Help,
    Why,
    Actions,
    Copy,
    Screenshot,
    Present,
    Quit,
    QuitNow,
    Redraw,
    ToShell,
    PauseOrRun,
    Step,
    StepBack,
    SecondBack,
    SecondOn,
    Branch,
    PreviousEvent,
    NextEvent,
    Slower,
    Faster,
    Live,
    GoThere,
    Mark,
    Window,
    Kill,
    PowerLoss,
    Suspend,
    Restart,
    Cut,
    Heal,
    Undo,
    Produce,
    Consume,
    NewTopic,
    Delete,
    Sort,
    ShowAll,
    Votes,
    Frames,
    GoToOffset,
    Demo,
    Edit,
    Internal,
    Browse,
    Follow,
    Replay,
    SlowDisk,
    FillDisk,
    CorruptDisk,
    SkewClock,
}

/// Where a binding stands in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The same everywhere.
    Everywhere,
    /// The clock.
    Time,
    /// The Cluster screen.
    Cluster,
    /// The Topics screen, and the broker of the Faults screen.
    Topics,
    /// Understood, not listed (aliases).
    Unlisted,
}

/// What a binding needs of the host to be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// [`Capabilities::pause`].
    Pause,
    /// [`Capabilities::slow`].
    Slow,
    /// [`Capabilities::step`].
    Step,
    /// [`Capabilities::rewind`].
    Rewind,
    /// [`Capabilities::rewind`] or [`Capabilities::recall`].
    Past,
    /// [`Capabilities::step`], or what was recorded picture by picture.
    Pictures,
    /// [`Capabilities::faults`].
    Faults,
    /// [`Capabilities::demo`].
    Demo,
}

impl Need {
    /// Whether the host can do it.
    pub fn met(self, can: Capabilities) -> bool {
        match self {
            Need::Nothing => true,
            Need::Pause => can.pause,
            Need::Slow => can.slow,
            Need::Step => can.step,
            Need::Rewind => can.rewind,
            Need::Past => can.rewind || can.recall,
            Need::Pictures => can.step || can.recall,
            Need::Faults => can.faults,
            Need::Demo => can.demo,
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// What it does.
    pub action: Action,
    /// The keys, each with whether `Ctrl` is held.
    pub keys: &'static [(KeyCode, bool)],
    /// How the keys are written.
    pub shown: &'static str,
    /// A word or two for the hints.
    pub hint: &'static str,
    /// A line for the help.
    pub help: &'static str,
    /// Where it stands in the help.
    pub group: Group,
    /// What it needs.
    pub need: Need,
    /// Place in the hint row of the Cluster screen, from 1; 0: not there.
    pub hint_rank: u8,
}

const fn key(c: char) -> (KeyCode, bool) {
    (KeyCode::Char(c), false)
}
const fn ctrl(c: char) -> (KeyCode, bool) {
    (KeyCode::Char(c), true)
}
const fn code(code: KeyCode) -> (KeyCode, bool) {
    (code, false)
}

macro_rules! keymap {
    ($(
        $group:ident $need:ident $rank:literal $action:ident
        [$($key:expr),+] $shown:literal $hint:literal $help:literal;
    )+) => {
        /// THE table.
        pub const KEYMAP: &[Binding] = &[
            $( Binding { action: Action::$action, keys: &[$($key),+], shown: $shown, hint: $hint, help: $help,
                group: Group::$group, need: Need::$need, hint_rank: $rank }, )+
        ];
    };
}

use KeyCode as K;
keymap! {
    Everywhere Nothing 0 ScreenCluster [key('1')] "1" "cluster" "the cluster";
    Everywhere Nothing 0 ScreenPartition [key('2')] "2" "partition" "inside a partition";
    Everywhere Nothing 0 ScreenWire [key('3')] "3" "wire" "messages on their way";
    Everywhere Nothing 0 ScreenGroups [key('4')] "4" "groups" "consumer groups";
    Everywhere Nothing 0 ScreenTopics [key('5')] "5" "topics" "topics and their settings";
    Everywhere Nothing 0 ScreenQuorum [key('6')] "6" "quorum" "the metadata quorum";
    Everywhere Nothing 0 ScreenFaults [key('7')] "7" "faults" "links and faults";
    Everywhere Nothing 0 NextPane [code(K::Tab)] "Tab" "pane" "next pane";
    Everywhere Nothing 0 PreviousPane [code(K::BackTab)] "⇧Tab" "pane" "previous pane";
    Everywhere Nothing 0 Open [code(K::Enter)] "↵" "x-ray" "open: look inside";
    Everywhere Nothing 0 Back [code(K::Esc)] "Esc" "back" "one step back";
    Everywhere Nothing 20 Command [key(':'), ctrl('p')] ":" "command" "every command";
    Everywhere Nothing 8 Filter [key('/')] "/" "filter" "filter this list";
    Everywhere Nothing 21 Help [key('?'), code(K::F(1))] "? F1" "help" "this help";
    Everywhere Nothing 0 Why [key('w')] "w" "why?" "why is it like this?";
    Everywhere Nothing 0 Actions [key('x')] "x" "actions" "all actions on this";
    Everywhere Nothing 0 Copy [key('y')] "y" "copy" "copy the bootstrap servers";
    Everywhere Nothing 0 Screenshot [ctrl('s')] "Ctrl-S" "picture" "a picture of this, as SVG";
    Everywhere Nothing 0 Present [key('P')] "P" "present" "presenter: show each key";
    Everywhere Nothing 0 Quit [key('q')] "q" "quit" "quit";
    Everywhere Nothing 0 QuitNow [ctrl('c')] "Ctrl-C" "quit" "quit (twice: at once)";
    Everywhere Nothing 0 ToShell [ctrl('z')] "Ctrl-Z" "shell" "to the shell (fg: back)";
    Unlisted Nothing 0 Redraw [ctrl('l')] "Ctrl-L" "redraw" "draw everything again";
    Unlisted Nothing 0 First [key('g'), code(K::Home)] "g" "first" "first row";
    Unlisted Nothing 0 Last [key('G')] "G" "last" "last row";
    Unlisted Nothing 0 PageUp [code(K::PageUp), ctrl('u')] "PgUp" "page up" "a page up";
    Unlisted Nothing 0 PageDown [code(K::PageDown), ctrl('d')] "PgDn" "page down" "a page down";
    Time Pause 7 PauseOrRun [key(' ')] "Space" "pause" "pause, run";
    Time Pictures 0 Step [key('.')] "." "step" "one step on";
    Time Step 0 Deliver [key('>')] ">" "deliver" "wire: deliver this one";
    Time Pictures 0 StepBack [key(',')] "," "step back" "one step back";
    Time Past 0 SecondBack [key('[')] "[" "back 1 s" "a second back";
    Time Past 0 SecondOn [key(']')] "]" "on 1 s" "a second on";
    Time Rewind 0 Branch [key('B')] "B" "branch" "branch from here";
    Time Nothing 0 PreviousEvent [key('{')] "{" "event" "previous event";
    Time Nothing 0 NextEvent [key('}')] "}" "event" "next event";
    Time Slow 0 Slower [key('-')] "-" "slower" "slower";
    Time Slow 0 Faster [key('='), key('+')] "=" "faster" "faster";
    Time Nothing 0 Live [code(K::End)] "End" "live" "back to now";
    Time Nothing 0 GoThere [key('\'')] "'" "go there" "message's place, mark";
    Time Past 0 Mark [key('m')] "m" "mark" "mark this moment";
    Time Nothing 0 Window [key('Z')] "Z" "window" "length of the timeline";
    Cluster Nothing 0 Up [key('k'), code(K::Up)] "k ↑" "up" "partition above";
    Cluster Nothing 0 Down [key('j'), code(K::Down)] "j ↓" "down" "partition below (g G: ends)";
    Cluster Nothing 0 Left [key('h'), code(K::Left)] "h ←" "left" "broker to the left";
    Cluster Nothing 0 Right [key('l'), code(K::Right)] "l →" "right" "broker to the right";
    Cluster Faults 1 Kill [key('K')] "K" "kill −9" "kill −9 (the cache stays)";
    Cluster Faults 2 Restart [key('R')] "R" "restart" "restart, or start";
    Cluster Faults 3 Suspend [key('S')] "S" "suspend" "suspend, resume";
    Cluster Faults 0 PowerLoss [key('O')] "O" "power loss" "power loss (unsynced goes)";
    Cluster Faults 9 Cut [key('X')] "X" "cut" "cut a link, both ways";
    Cluster Faults 0 Heal [key('H')] "H" "heal all" "heal everything";
    Cluster Faults 0 Undo [key('u')] "u" "undo" "undo the last fault";
    Cluster Nothing 4 Produce [key('p')] "p" "produce" "produce";
    Cluster Nothing 5 Consume [key('c')] "c" "consume" "consume";
    Cluster Nothing 6 NewTopic [key('n')] "n" "new topic" "new topic";
    Cluster Nothing 0 Delete [key('D')] "D" "delete" "delete this topic";
    Cluster Nothing 10 Sort [key('s')] "s" "sort" "sort";
    Cluster Nothing 0 ShowAll [key('z')] "z" "show all" "show all, fewer";
    Cluster Nothing 0 Votes [key('v')] "v" "votes" "quorum: votes; record: raw";
    Cluster Nothing 0 Frames [key('t')] "t" "frames" "x-ray: cut; records: time";
    Cluster Nothing 0 GoToOffset [key('o')] "o" "offset" "x-ray, records: offset";
    Cluster Demo 0 Demo [key('d')] "d" "demo data" "demo data, while there is none";
    Topics Nothing 0 Edit [key('e')] "e" "edit" "edit partitions and settings";
    Topics Nothing 0 Internal [key('i')] "i" "internal" "show Kafka's own topics";
    Topics Nothing 0 Browse [key('b')] "b" "browse" "browse its records";
    Topics Nothing 0 Follow [key('f')] "f" "follow" "follow the newest records";
    Topics Nothing 0 Replay [key('r')] "r" "send again" "send a record like this";
    Topics Faults 0 SlowDisk [key('W')] "W" "slow disk" "slow its disk";
    Topics Faults 0 FillDisk [key('F')] "F" "disk full" "fill its disk, heal it";
    Topics Faults 0 CorruptDisk [key('C')] "C" "corrupt" "flip a byte on its disk";
    Topics Faults 0 SkewClock [key('T')] "T" "clock" "set its clock wrong";
}

/// What a key press means; `None`: nothing.
pub fn action(event: &KeyEvent) -> Option<Action> {
    let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
    let code = match event.code {
        KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
        // Terminals with the enhanced protocol report Shift and the lower-case letter.
        KeyCode::Char(c) if event.modifiers.contains(KeyModifiers::SHIFT) && c.is_ascii_lowercase() => {
            KeyCode::Char(c.to_ascii_uppercase())
        }
        code => code,
    };
    if event.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    KEYMAP.iter().find(|binding| binding.keys.contains(&(code, ctrl))).map(|binding| binding.action)
}

/// The row of an action.
pub fn binding(action: Action) -> &'static Binding {
    KEYMAP.iter().find(|binding| binding.action == action).unwrap_or(&KEYMAP[0])
}

/// The bindings of the hint row that the host can do, in their order; the last two (`:` and `?`) belong to the right.
pub fn hints(can: Capabilities) -> Vec<&'static Binding> {
    let mut hints: Vec<_> = KEYMAP.iter().filter(|row| row.hint_rank > 0 && row.need.met(can)).collect();
    hints.sort_by_key(|row| row.hint_rank);
    hints
}

/// The key for a command line of the language, shown beside it in the palette: it teaches the shortcut.
pub fn key_for_command(name: &str) -> Option<&'static str> {
    let action = match name {
        "kill" => Action::Kill,
        "powerloss" => Action::PowerLoss,
        "suspend" | "resume" => Action::Suspend,
        "restart" | "start" => Action::Restart,
        "link cut" => Action::Cut,
        "disk slow" => Action::SlowDisk,
        "disk full" => Action::FillDisk,
        "disk corrupt" => Action::CorruptDisk,
        "clock skew" => Action::SkewClock,
        "heal" => Action::Heal,
        "undo" => Action::Undo,
        "pause" | "run" => Action::PauseOrRun,
        "step" => Action::Step,
        "rewind" => Action::SecondBack,
        "branch" => Action::Branch,
        "produce" => Action::Produce,
        "consume" => Action::Consume,
        "topic create" => Action::NewTopic,
        "topic delete" => Action::Delete,
        "topic alter" => Action::Edit,
        "filter" => Action::Filter,
        "sort" => Action::Sort,
        "quit" => Action::Quit,
        "help" => Action::Help,
        "copy" => Action::Copy,
        "xray" => Action::ScreenPartition,
        "screenshot" => Action::Screenshot,
        _ => return None,
    };
    Some(binding(action).shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_key_is_bound_twice_and_no_action_has_two_rows() {
        let mut keys = BTreeSet::new();
        let mut actions = BTreeSet::new();
        for row in KEYMAP {
            assert!(actions.insert(row.action), "{:?} has two rows", row.action);
            for key in row.keys {
                assert!(keys.insert(format!("{key:?}")), "{key:?} is bound twice");
            }
        }
    }

    #[test]
    fn shift_is_understood_in_both_protocols() {
        let plain = KeyEvent::new(KeyCode::Char('K'), KeyModifiers::SHIFT);
        let enhanced = KeyEvent::new(KeyCode::Char('k'), KeyModifiers::SHIFT);
        assert_eq!(action(&plain), Some(Action::Kill));
        assert_eq!(action(&enhanced), Some(Action::Kill));
        assert_eq!(action(&KeyEvent::new(KeyCode::Char('k'), KeyModifiers::NONE)), Some(Action::Up));
        assert_eq!(action(&KeyEvent::new(KeyCode::Char('k'), KeyModifiers::ALT)), None);
    }

    #[test]
    fn what_the_host_cannot_do_is_not_hinted() {
        let hints = hints(Capabilities::default());
        assert!(hints.iter().all(|row| row.need == Need::Nothing));
        assert!(hints.iter().any(|row| row.action == Action::Command));
    }
}
