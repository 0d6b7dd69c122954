//! Every glyph the console draws, each one cell wide, and the ASCII table that replaces them in the finished buffer.
//!
//! Invariants: no glyph has an emoji form (some terminals would give it two cells); every character of this file above
//! ASCII is in [`ascii`], so that a screen cannot forget one.
//!
//! Deliberately not here: roles. A glyph never stands without a word or a place that says the same.

use ratatui::buffer::Buffer;

/// Partition leader.
pub const LEADER: &str = "◆";
/// Active controller.
pub const CONTROLLER: &str = "★";
/// Voter or candidate.
pub const VOTER: &str = "☆";
/// Alive, in sync.
pub const ALIVE: &str = "●";
/// Out of sync, one copy short.
pub const OUT_OF_SYNC: &str = "○";
/// Dead, refused, dropped, cut.
pub const DEAD: &str = "✕";
/// Last complete copy, not electable while down.
pub const LAST_COPY: &str = "◎";
/// Needs a look; stalled.
pub const ATTENTION: &str = "▲";
/// Something shrank.
pub const SHRUNK: &str = "▼";
/// Starting, truncating, catching up.
pub const STARTING: &str = "◌";
/// Suspended, paused, stalled.
pub const HALTED: &str = "‖";
/// Fenced by the controller.
pub const FENCED: &str = "⊘";
/// Slow disk or link.
pub const SLOW: &str = "≈";
/// Loses messages.
pub const LOSSY: &str = "▽";
/// Log: committed.
pub const COMMITTED: &str = "▆";
/// Log: above the high watermark.
pub const ABOVE_HW: &str = "▂";
/// Log: missing.
pub const MISSING: &str = "·";
/// Log: will be cut.
pub const CUT: &str = "╱";
/// High watermark, playhead.
pub const BAR: &str = "┃";
/// Selected row.
pub const SELECTED: &str = "▍";
/// A topic.
pub const TOPIC: &str = "≡";
/// Rewound.
pub const REWOUND: &str = "◂";
/// Done.
pub const DONE: &str = "✓";
/// Both ways.
pub const BOTH_WAYS: &str = "⇄";
/// Enter.
pub const ENTER: &str = "↵";
/// Steps of a spark, lowest first; never the full block, so that rows stay apart.
pub const SPARK: [&str; 7] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇"];

/// The ASCII character for one of ours; `None` for one that is ASCII already or that came from the user's data.
fn ascii_of(character: char) -> Option<&'static str> {
    Some(match character {
        '◆' => "L",
        '★' => "C",
        '☆' => "c",
        '●' => "*",
        '○' => "o",
        '✕' | '×' => "X",
        '◎' => "e",
        '▲' => "!",
        '▼' => "v",
        '‖' => "=",
        '◌' | '≈' => "~",
        '⊘' => "#",
        '▽' => "%",
        '▆' | '▇' | '▅' | '█' | '■' => "#",
        '▂' | '▃' | '▄' | '≡' => "=",
        '▁' => "_",
        '·' => ".",
        '╱' => "/",
        '⇤' | '◄' | '◂' | '←' | '‹' => "<",
        '►' | '▸' | '→' | '›' => ">",
        '┃' | '│' | '▍' | '▏' => "|",
        '┊' | '╎' => ":",
        '─' | '╌' | '━' | '−' | '–' | '—' => "-",
        '╭' | '╮' | '╰' | '╯' | '┬' | '┴' | '┼' | '├' | '┤' | '┐' | '┌' | '└' | '┘' | '⊥' => {
            "+"
        }
        '✓' => "v",
        '⇄' => "=",
        '↵' => "$",
        '↑' => "^",
        '↓' => "v",
        '⇧' => "^",
        '…' => "~",
        'ƒ' => "f",
        '∅' => "0",
        '’' | '‘' => "'",
        '“' | '”' => "\"",
        '□' | '▢' => "_",
        _ => return None,
    })
}

/// Replaces everything that is not ASCII in the finished buffer; what is not ours becomes `?`.
pub fn ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let symbol = cell.symbol();
        if symbol.is_ascii() {
            continue;
        }
        let mut characters = symbol.chars();
        let replacement = match (characters.next(), characters.next()) {
            (Some(character), None) => ascii_of(character).unwrap_or("?"),
            _ => "?",
        };
        cell.set_symbol(replacement);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    /// A glyph without an entry would show as `?` on every ASCII terminal; one that is two cells wide breaks the
    /// columns.
    #[test]
    fn every_glyph_is_one_cell_and_has_an_ascii_form() {
        let single = [
            LEADER,
            CONTROLLER,
            VOTER,
            ALIVE,
            OUT_OF_SYNC,
            DEAD,
            LAST_COPY,
            ATTENTION,
            SHRUNK,
            STARTING,
            HALTED,
            FENCED,
            SLOW,
            LOSSY,
            COMMITTED,
            ABOVE_HW,
            MISSING,
            CUT,
            BAR,
            SELECTED,
            TOPIC,
            REWOUND,
            DONE,
            BOTH_WAYS,
            ENTER,
        ];
        for glyph in single.into_iter().chain(SPARK) {
            assert_eq!(glyph.width(), 1, "{glyph}");
            let character = glyph.chars().next().unwrap();
            assert!(ascii_of(character).is_some(), "{glyph} has no ASCII form");
        }
    }

    #[test]
    fn no_glyph_has_an_emoji_form() {
        let emoji = ['⚠', '⏸', '\u{25B6}', '\u{25C0}', '↔', '✔', '✖', '⚡'];
        let source = include_str!("glyphs.rs");
        let table = source.split("#[cfg(test)]").next().unwrap();
        assert!(!table.chars().any(|character| emoji.contains(&character)));
    }
}
