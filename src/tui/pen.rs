//! The pen: every write of the console to a buffer goes through here, clipped.
//!
//! Invariants: nothing is written outside the buffer, whatever the coordinates; text is cut at whole characters by
//! its width in cells, never by its length in bytes.
//!
//! Deliberately not here: layout. A pen does what it is told, at the place it is told.

use super::theme::{Ground, Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text and its style.
pub type Piece<'t> = (Cow<'t, str>, Style);

/// Writes to a buffer with a theme.
pub struct Pen<'a> {
    /// The buffer.
    pub buffer: &'a mut Buffer,
    /// The theme.
    pub theme: &'a Theme,
}

/// A piece of text in a style.
pub fn piece<'t>(text: impl Into<Cow<'t, str>>, style: Style) -> Piece<'t> {
    (text.into(), style)
}

/// The width of a text in cells.
pub fn width(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

/// The width of pieces side by side.
pub fn pieces_width(pieces: &[Piece<'_>]) -> u16 {
    pieces.iter().fold(0, |sum: u16, (text, _)| sum.saturating_add(width(text)))
}

/// `text` in at most `cells` cells, cut in the middle with `…` so that the end (a partition's number) stays.
pub fn cut_middle(text: &str, cells: u16) -> Cow<'_, str> {
    if width(text) <= cells {
        return Cow::Borrowed(text);
    }
    if cells < 4 {
        return Cow::Owned(text.chars().take(cells as usize).collect());
    }
    let tail_cells = (cells as usize - 1) / 3;
    let characters: Vec<char> = text.chars().collect();
    let tail: String = characters[characters.len().saturating_sub(tail_cells)..].iter().collect();
    let room = (cells - 1).saturating_sub(width(&tail));
    let mut head = String::new();
    for character in characters {
        if width(&head) + character.width().unwrap_or(0) as u16 > room {
            break;
        }
        head.push(character);
    }
    Cow::Owned(format!("{head}…{tail}"))
}

/// `text` broken into lines of at most `cells` cells at spaces; a word that is too long is broken too.
pub fn wrap(text: &str, cells: u16) -> Vec<String> {
    let cells = cells.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let joined = width(&line) + u16::from(!line.is_empty()) + width(word);
            if !line.is_empty() && joined > cells {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            for character in word.chars() {
                if width(&line) + character.width().unwrap_or(0) as u16 > cells {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(character);
            }
        }
        lines.push(line);
    }
    lines
}

impl Pen<'_> {
    /// Writes `text` at (`x`, `y`), cut to `cells` cells. Returns the column after it.
    pub fn text(&mut self, x: u16, y: u16, cells: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if y < area.top() || y >= area.bottom() || x < area.left() || x >= area.right() || cells == 0 {
            return x;
        }
        self.buffer.set_stringn(x, y, text, cells as usize, style).0
    }

    /// Writes pieces side by side, cut to `cells` cells in all. Returns the column after them.
    pub fn pieces(&mut self, x: u16, y: u16, cells: u16, pieces: &[Piece<'_>]) -> u16 {
        let end = x.saturating_add(cells);
        let mut at = x;
        for (text, style) in pieces {
            at = self.text(at, y, end.saturating_sub(at), text, *style);
        }
        at
    }

    /// Writes `text` so that it ends before column `end`, not starting before `start`. Returns where it began.
    pub fn right(&mut self, start: u16, end: u16, y: u16, text: &str, style: Style) -> u16 {
        let at = end.saturating_sub(width(text)).max(start);
        self.text(at, y, end.saturating_sub(at), text, style);
        at
    }

    /// Writes pieces so that they end before column `end`; nothing if they do not fit after `start`.
    pub fn pieces_right(&mut self, start: u16, end: u16, y: u16, pieces: &[Piece<'_>]) -> u16 {
        let cells = pieces_width(pieces);
        let at = end.saturating_sub(cells);
        if at < start || cells > end {
            return end;
        }
        self.pieces(at, y, cells, pieces);
        at
    }

    /// Repeats a glyph over `cells` cells.
    pub fn repeat(&mut self, x: u16, y: u16, cells: u16, glyph: &str, style: Style) -> u16 {
        let end = x.saturating_add(cells).min(self.buffer.area.right());
        for column in x..end {
            self.text(column, y, 1, glyph, style);
        }
        end.max(x)
    }

    /// Lays a ground under an area, keeping what stands there.
    pub fn ground(&mut self, area: Rect, ground: Ground) {
        let style = self.theme.ground(ground);
        self.buffer.set_style(area.intersection(self.buffer.area), style);
    }

    /// Empties an area and lays a ground there: under dialogs, so that no old attribute shines through.
    pub fn clear(&mut self, area: Rect, ground: Ground) {
        let style = self.theme.ground(ground).patch(self.theme.fg(Role::Text));
        for row in area.intersection(self.buffer.area).rows() {
            for position in row.positions() {
                let cell = &mut self.buffer[position];
                cell.reset();
                cell.set_style(style);
            }
        }
    }

    /// A frame of rounded corners around `area` with a title at the left and facts at the right. The facts are left
    /// out when both do not fit. Returns the inside.
    pub fn frame(&mut self, area: Rect, border: Style, dashed: bool, title: &[Piece<'_>], facts: &[Piece<'_>]) -> Rect {
        let inside = Rect {
            x: area.x.saturating_add(1),
            y: area.y.saturating_add(1),
            width: area.width.saturating_sub(2),
            height: area.height.saturating_sub(2),
        };
        if area.width < 2 || area.height < 2 {
            return Rect { width: 0, height: 0, ..inside };
        }
        let (right, bottom) = (area.right() - 1, area.bottom() - 1);
        let (horizontal, vertical) = if dashed { ("╌", "╎") } else { ("─", "│") };
        for y in [area.y, bottom] {
            self.repeat(area.x + 1, y, area.width - 2, horizontal, border);
        }
        for y in area.y + 1..bottom {
            self.text(area.x, y, 1, vertical, border);
            self.text(right, y, 1, vertical, border);
        }
        for (x, y, corner) in [(area.x, area.y, "╭"), (right, area.y, "╮"), (area.x, bottom, "╰"), (right, bottom, "╯")]
        {
            self.text(x, y, 1, corner, border);
        }
        let room = area.width.saturating_sub(4);
        let title_cells = pieces_width(title);
        if title_cells > 0 {
            let x = self.text(area.x + 1, area.y, 1, " ", border);
            let x = self.pieces(x, area.y, room, title);
            self.text(x, area.y, right.saturating_sub(x), " ", border);
        }
        let facts_cells = pieces_width(facts);
        if facts_cells > 0 && title_cells + facts_cells + 4 <= room {
            let x = right - 2 - facts_cells;
            self.text(x, area.y, 1, " ", border);
            self.pieces(x + 1, area.y, facts_cells, facts);
            self.text(x + 1 + facts_cells, area.y, 1, " ", border);
        }
        inside
    }

    /// `Title ──────── facts` over the width of `area`'s first row.
    pub fn rule(&mut self, x: u16, end: u16, y: u16, title: &[Piece<'_>], facts: &[Piece<'_>]) {
        let style = self.theme.fg(Role::Line);
        let mut from = self.pieces(x, y, end.saturating_sub(x), title);
        if from > x {
            from += 1;
        }
        let facts_at = self.pieces_right(from, end, y, facts);
        let until = if facts_at < end { facts_at.saturating_sub(1) } else { end };
        self.repeat(from, y, until.saturating_sub(from), "─", style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_end() {
        assert_eq!(cut_middle("inventory-1", 10), "invent…y-1");
        assert_eq!(cut_middle("orders-0", 8), "orders-0");
        assert_eq!(cut_middle("orders-0", 2), "or");
        assert!(width(&cut_middle("données-客户-17", 9)) <= 9);
    }

    #[test]
    fn text_wraps_at_spaces_and_breaks_long_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
    }

    #[test]
    fn writes_outside_are_dropped() {
        use crate::tui::theme::ThemeName;
        let mut buffer = Buffer::empty(Rect::new(0, 0, 4, 2));
        let theme = Theme::new(ThemeName::Dark);
        let mut pen = Pen { buffer: &mut buffer, theme: &theme };
        pen.text(3, 1, 10, "abc", Style::new());
        pen.text(4, 0, 10, "abc", Style::new());
        pen.text(0, 2, 10, "abc", Style::new());
        pen.frame(Rect::new(2, 1, 40, 40), Style::new(), false, &[piece("t", Style::new())], &[]);
        assert_eq!(pen.buffer[(2, 1)].symbol(), "╭");
    }
}
