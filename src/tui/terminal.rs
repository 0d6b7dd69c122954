//! The terminal: taking it over, asking it what it is, and giving it back whatever happens.
//!
//! Invariants: after [`leave`] the terminal is as it was: no raw mode, no alternate screen, cursor shown, mouse and
//! paste modes off; it runs on return, on a panic of the console's thread, and on SIGTERM and SIGHUP. What the
//! terminal is asked, it is asked with a time limit.
//!
//! Deliberately not here: what is drawn.

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// How long the terminal may take to say what it is.
const PROBE_TIME: Duration = Duration::from_millis(100);

static ACTIVE: AtomicBool = AtomicBool::new(false);
static CONSOLE_THREAD: Mutex<Option<ThreadId>> = Mutex::new(None);
static OTHER_PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Takes the terminal over.
pub fn enter(mouse: bool) -> io::Result<()> {
    // Crossterm drops all attributes with an empty NO_COLOR-inspired sequence; colours are ours to leave out (see
    // `theme`).
    crossterm::style::force_color_output(true);
    hook_panics();
    *CONSOLE_THREAD.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current().id());
    ACTIVE.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    let mut out = io::stdout();
    execute!(out, EnterAlternateScreen, Hide, EnableBracketedPaste)?;
    if mouse {
        execute!(out, EnableMouseCapture)?;
    }
    Ok(())
}

/// Gives the terminal back. Can be called at any time, any number of times; errors are of no use to anybody here.
pub fn leave() {
    if !ACTIVE.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    let _ =
        execute!(out, EndSynchronizedUpdate, DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    let panics = std::mem::take(&mut *OTHER_PANICS.lock().unwrap_or_else(PoisonError::into_inner));
    for panic in panics {
        eprintln!("{panic}");
    }
}

/// Catches the mouse, or leaves it to the terminal.
pub fn catch_mouse(on: bool) -> io::Result<()> {
    let mut out = io::stdout();
    if on { execute!(out, EnableMouseCapture) } else { execute!(out, DisableMouseCapture) }
}

/// Begins a frame that the terminal shows at once when it ends.
pub fn begin_frame() -> io::Result<()> {
    crossterm::queue!(io::stdout(), BeginSynchronizedUpdate)
}

/// Ends a frame.
pub fn end_frame() -> io::Result<()> {
    execute!(io::stdout(), EndSynchronizedUpdate)
}

/// Puts a text on the clipboard of the terminal (OSC 52): works over SSH, needs no library.
pub fn copy(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    write!(out, "\x1b]52;c;{}\x07", base64(text.as_bytes()))?;
    out.flush()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() { letter as char } else { '=' });
        }
    }
    out
}

/// On a panic of the console's thread the terminal is given back before the message is printed. Other threads' messages
/// would be written across the screen: they are kept until it is given back (a broker that panics is shown as crashed).
fn hook_panics() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let ours = *CONSOLE_THREAD.lock().unwrap_or_else(PoisonError::into_inner);
            if ACTIVE.load(Ordering::SeqCst) && ours != Some(std::thread::current().id()) {
                OTHER_PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
                return;
            }
            leave();
            earlier(info);
        }));
    });
}

/// What the terminal said about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answers {
    /// Its background is light. `None`: it did not say.
    pub light: Option<bool>,
    /// It draws our glyphs two cells wide.
    pub wide_glyphs: bool,
    /// How long it took to answer; `None`: it did not.
    pub echo_ms: Option<u64>,
}

/// Asks for the background (OSC 11) and for the width of a glyph (print it, ask where the cursor is). The second
/// question is one that every terminal answers: its answer ends the wait.
pub fn ask() -> Answers {
    let mut out = io::stdout();
    let begun = Instant::now();
    if write!(out, "\x1b]11;?\x07\r◆\x1b[6n").and_then(|()| out.flush()).is_err() {
        return Answers::default();
    }
    let stdin = io::stdin();
    let mut said = Vec::new();
    let mut answers = Answers::default();
    while let Some(left) = PROBE_TIME.checked_sub(begun.elapsed()) {
        let limit = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        if !matches!(poll(&mut fds, Some(&limit)), Ok(1)) {
            break;
        }
        let mut bytes = [0; 256];
        match rustix::io::read(&stdin, &mut bytes) {
            Ok(count) if count > 0 => said.extend_from_slice(&bytes[..count]),
            _ => break,
        }
        if let Some(column) = cursor_column(&said) {
            answers.wide_glyphs = column >= 3;
            answers.echo_ms = Some(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
            break;
        }
    }
    answers.light = background_is_light(&said);
    // Nobody else knows of the glyph: a frame that is blank there would leave it.
    let _ = write!(out, "\r\x1b[2K").and_then(|()| out.flush());
    answers
}

/// Waits for input. True if there is an event to read.
///
/// Reading from a terminal that was closed never ends in the library that reads events, so that is asked first.
///
/// # Errors
/// `BrokenPipe` if the terminal is gone, and what else polling says.
pub fn wait(limit: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let limit = Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: limit.subsec_nanos().into() };
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut fds, Some(&limit)) {
        // A signal: perhaps the terminal has another size.
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    if fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    crossterm::event::poll(Duration::ZERO)
}

/// The column of `ESC [ row ; column R`.
fn cursor_column(said: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(said);
    text.split("\x1b[").skip(1).find_map(|part| {
        let (numbers, _) = part.split_once('R')?;
        let (_, column) = numbers.split_once(';')?;
        column.parse().ok()
    })
}

/// The brightness of `ESC ] 11 ; rgb : RRRR / GGGG / BBBB`.
fn background_is_light(said: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(said);
    let (_, rest) = text.split_once("]11;rgb:")?;
    let mut channels = rest.split(['/', '\x07', '\x1b']).take(3).map(|channel| {
        let digits = channel.get(..2).unwrap_or(channel);
        u32::from_str_radix(digits, 16).ok()
    });
    let (red, green, blue) = (channels.next()??, channels.next()??, channels.next()??);
    Some(2_126 * red + 7_152 * green + 722 * blue > 10_000 * 128)
}

/// A signal that concerns the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT from outside: leave.
    Terminate,
    /// SIGHUP: the terminal is gone.
    HangUp,
    /// SIGCONT: we were stopped and go on; the terminal may be in any state.
    Continue,
}

/// Signals as they come, on a channel.
pub fn signals() -> io::Result<Receiver<Signal>> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (send, receive) = channel();
    let context = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    // 18 is SIGCONT on Linux, 19 on macOS and the BSDs.
    let number = if cfg!(target_os = "linux") { 18 } else { 19 };
    let mut go_on = signal(SignalKind::from_raw(number))?;
    drop(context);
    std::thread::Builder::new().name("console signals".into()).spawn(move || {
        runtime.block_on(async move {
            loop {
                let signal = tokio::select! {
                    _ = terminate.recv() => Signal::Terminate,
                    _ = interrupt.recv() => Signal::Terminate,
                    _ = hang_up.recv() => Signal::HangUp,
                    _ = go_on.recv() => Signal::Continue,
                };
                if send.send(signal).is_err() {
                    return;
                }
            }
        });
    })?;
    Ok(receive)
}

/// Stops this process and what else stands in its pipeline, as `Ctrl-Z` does. Returns after `fg`.
pub fn stop_process() {
    leave();
    println!("The cluster stands still with the console. fg goes on.");
    let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_among_other_bytes() {
        assert_eq!(cursor_column(b"x\x1b]11;rgb:ffff/ffff/ffff\x07\x1b[3;2R"), Some(2));
        assert_eq!(cursor_column(b"\x1b[A"), None);
        assert_eq!(background_is_light(b"\x1b]11;rgb:ffff/ffff/e0e0\x1b\\"), Some(true));
        assert_eq!(background_is_light(b"\x1b]11;rgb:0e0e/1313/1b1b\x07"), Some(false));
        assert_eq!(background_is_light(b"\x1b]11;rgb:zz"), None);
    }

    #[test]
    fn the_clipboard_is_base64() {
        let encode = |text: &str| base64(text.as_bytes());
        assert_eq!((encode(""), encode("a"), encode("ab")), (String::new(), "YQ==".into(), "YWI=".into()));
        assert_eq!(encode("localhost:9092"), "bG9jYWxob3N0OjkwOTI=");
    }
}
