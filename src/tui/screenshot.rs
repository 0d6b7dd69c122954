//! A finished buffer as a file: an SVG picture, text with colours, or plain text.
//!
//! Invariants: the picture needs no font with our glyphs: blocks and lines are drawn as shapes, only letters are
//! text; each run of text is stretched to its cells, so that columns stay columns in any monospaced font.
//!
//! Deliberately not here: where the file goes.

use super::pen::width;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fmt::Write;

/// Width and height of a cell in the picture.
const CELL: (u32, u32) = (9, 19);

/// The buffer as the kind of file its name asks for.
pub fn by_name(buffer: &Buffer, file_name: &str) -> String {
    match file_name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("svg") => svg(buffer),
        Some("ans") => ansi(buffer),
        _ => text(buffer),
    }
}

/// The symbols alone, each row without blanks at its end.
pub fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for row in buffer.area.rows() {
        let line: String = row.positions().map(|position| buffer[position].symbol()).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Text with the escape sequences of its colours and attributes.
pub fn ansi(buffer: &Buffer) -> String {
    let mut out = String::new();
    for row in buffer.area.rows() {
        let mut last = None;
        for position in row.positions() {
            let cell = &buffer[position];
            let look = (cell.fg, cell.bg, cell.modifier);
            if last != Some(look) {
                out.push_str("\x1b[0");
                for (modifier, code) in ATTRIBUTES {
                    if cell.modifier.contains(modifier) {
                        let _ = write!(out, ";{code}");
                    }
                }
                for (color, base) in [(cell.fg, 38), (cell.bg, 48)] {
                    match color {
                        Color::Reset => {}
                        Color::Indexed(index) => {
                            let _ = write!(out, ";{base};5;{index}");
                        }
                        other => {
                            let (red, green, blue) = rgb(other, base == 48);
                            let _ = write!(out, ";{base};2;{red};{green};{blue}");
                        }
                    }
                }
                out.push('m');
                last = Some(look);
            }
            out.push_str(cell.symbol());
        }
        out.push_str("\x1b[0m\n");
    }
    out
}

const ATTRIBUTES: [(Modifier, u8); 4] =
    [(Modifier::BOLD, 1), (Modifier::DIM, 2), (Modifier::UNDERLINED, 4), (Modifier::REVERSED, 7)];

/// A colour as numbers. The terminal's own colours are taken to be those of a dark terminal.
fn rgb(color: Color, ground: bool) -> (u8, u8, u8) {
    match color {
        Color::Rgb(red, green, blue) => (red, green, blue),
        Color::Reset if ground => (16, 16, 16),
        Color::Reset => (208, 208, 208),
        Color::Black => (0, 0, 0),
        Color::Red => (190, 70, 50),
        Color::Green => (40, 150, 70),
        Color::Yellow => (190, 150, 40),
        Color::Blue => (30, 70, 160),
        Color::Magenta => (150, 70, 150),
        Color::Cyan => (50, 150, 170),
        Color::Gray => (190, 190, 190),
        Color::DarkGray => (110, 110, 110),
        Color::LightRed => (255, 110, 90),
        Color::LightGreen => (90, 220, 120),
        Color::LightYellow => (245, 220, 80),
        Color::LightBlue => (100, 150, 255),
        Color::LightMagenta => (245, 140, 245),
        Color::LightCyan => (90, 220, 240),
        Color::White => (255, 255, 255),
        Color::Indexed(index) => indexed(index),
    }
}

fn indexed(index: u8) -> (u8, u8, u8) {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match index {
        232.. => {
            let grey = 8 + 10 * (index - 232);
            (grey, grey, grey)
        }
        16..=231 => {
            let index = usize::from(index - 16);
            (LEVELS[index / 36], LEVELS[index / 6 % 6], LEVELS[index % 6])
        }
        _ => (128, 128, 128),
    }
}

fn hex(color: Color, ground: bool) -> String {
    let (red, green, blue) = rgb(color, ground);
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Foreground and background of a cell with `REVERSED` resolved.
fn look(cell: &Cell) -> (String, String) {
    let (fg, bg) = (hex(cell.fg, false), hex(cell.bg, true));
    if cell.modifier.contains(Modifier::REVERSED) { (bg, fg) } else { (fg, bg) }
}

/// The buffer as a picture.
pub fn svg(buffer: &Buffer) -> String {
    let (columns, rows) = (u32::from(buffer.area.width), u32::from(buffer.area.height));
    let (wide, high) = (columns * CELL.0 + 16, rows * CELL.1 + 16);
    let canvas = buffer.content.first().map_or("#000000".into(), |cell| hex(cell.bg, true));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {high}\" width=\"{wide}\" height=\"{high}\" \
         font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"15\">\n\
         <rect width=\"{wide}\" height=\"{high}\" rx=\"8\" fill=\"{canvas}\"/>\n"
    );
    for (row, y) in buffer.area.rows().zip((8_u32..).step_by(CELL.1 as usize)) {
        let cells: Vec<&Cell> = row.positions().map(|position| &buffer[position]).collect();
        grounds(&mut out, &cells, y, &canvas);
        inks(&mut out, &cells, y);
    }
    out.push_str("</svg>\n");
    out
}

fn grounds(out: &mut String, cells: &[&Cell], y: u32, canvas: &str) {
    let mut at = 0;
    while at < cells.len() {
        let ground = look(cells[at]).1;
        let run = cells[at..].iter().take_while(|cell| look(cell).1 == ground).count();
        if ground != canvas {
            let (x, wide) = (8 + at as u32 * CELL.0, run as u32 * CELL.0);
            let _ =
                writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{}\" fill=\"{ground}\"/>", CELL.1);
        }
        at += run;
    }
}

fn inks(out: &mut String, cells: &[&Cell], y: u32) {
    let mut at = 0;
    while at < cells.len() {
        let cell = cells[at];
        let style = |cell: &Cell| (look(cell).0, cell.modifier & !(Modifier::REVERSED | Modifier::DIM));
        let kind = shape(cell.symbol());
        let run = cells[at..]
            .iter()
            .take_while(|next| match kind {
                Some(_) => next.symbol() == cell.symbol() && style(next) == style(cell) && joins(cell.symbol()),
                None => shape(next.symbol()).is_none() && style(next) == style(cell),
            })
            .count()
            .max(1);
        let x = 8 + at as u32 * CELL.0;
        let (ink, modifier) = style(cell);
        match kind {
            Some(shape) => draw_shape(out, shape, x, y, run as u32, &ink),
            None => {
                let text: String = cells[at..at + run].iter().map(|cell| cell.symbol()).collect();
                letters(out, &text, x, y, &ink, modifier);
            }
        }
        at += run;
    }
}

/// Whether neighbours with this glyph are one shape.
fn joins(symbol: &str) -> bool {
    matches!(symbol, "─" | "▁" | "▂" | "▃" | "▄" | "▅" | "▆" | "▇" | " ")
}

fn letters(out: &mut String, text: &str, x: u32, y: u32, ink: &str, modifier: Modifier) {
    let trimmed = text.trim_end();
    let lead = trimmed.len() - trimmed.trim_start().len();
    let shown = trimmed.trim_start();
    if shown.is_empty() {
        return;
    }
    let x = x + lead as u32 * CELL.0;
    let wide = u32::from(width(shown)) * CELL.0;
    let weight = if modifier.contains(Modifier::BOLD) { " font-weight=\"700\"" } else { "" };
    let line = if modifier.contains(Modifier::UNDERLINED) { " text-decoration=\"underline\"" } else { "" };
    let escaped = shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        out,
        "<text x=\"{x}\" y=\"{}\" textLength=\"{wide}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\" \
         fill=\"{ink}\"{weight}{line}>{escaped}</text>",
        y + 14
    );
}

/// Glyphs that are drawn and not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A block from the bottom, in eighths of the cell.
    Block(u32),
    /// Lines from the middle to left, right, top, bottom.
    Lines(bool, bool, bool, bool),
    /// A broken line, level or upright.
    Dashes(bool),
    /// A thick vertical line.
    Thick,
    /// A thick line at the left edge.
    Edge,
    /// A slanted line.
    Slash,
    /// Nothing.
    Blank,
}

fn shape(symbol: &str) -> Option<Shape> {
    Some(match symbol {
        " " => Shape::Blank,
        "▁" => Shape::Block(1),
        "▂" => Shape::Block(2),
        "▃" => Shape::Block(3),
        "▄" => Shape::Block(4),
        "▅" => Shape::Block(5),
        "▆" => Shape::Block(6),
        "▇" => Shape::Block(7),
        "─" => Shape::Lines(true, true, false, false),
        "│" => Shape::Lines(false, false, true, true),
        "╌" => Shape::Dashes(true),
        "╎" => Shape::Dashes(false),
        "╭" => Shape::Lines(false, true, false, true),
        "╮" => Shape::Lines(true, false, false, true),
        "╰" => Shape::Lines(false, true, true, false),
        "╯" => Shape::Lines(true, false, true, false),
        "┃" => Shape::Thick,
        "▍" => Shape::Edge,
        "╱" => Shape::Slash,
        _ => return None,
    })
}

fn draw_shape(out: &mut String, shape: Shape, x: u32, y: u32, run: u32, ink: &str) {
    let (wide, high) = (run * CELL.0, CELL.1);
    let mut rect = |x: u32, y: u32, wide: u32, high: u32| {
        let _ = writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\" fill=\"{ink}\"/>");
    };
    match shape {
        Shape::Blank => {}
        Shape::Block(eighths) => {
            let tall = (high * eighths + 4) / 8;
            rect(x, y + high - tall, wide, tall);
        }
        Shape::Dashes(true) => {
            rect(x + 1, y + high / 2, 3, 1);
            rect(x + 6, y + high / 2, 3, 1);
        }
        Shape::Dashes(false) => {
            rect(x + CELL.0 / 2, y + 2, 1, 6);
            rect(x + CELL.0 / 2, y + 11, 1, 6);
        }
        Shape::Thick => rect(x + 3, y, 3, high),
        Shape::Edge => rect(x, y, 3, high),
        Shape::Slash => {
            let _ =
                writeln!(out, "<path d=\"M{x} {} L{} {y}\" stroke=\"{ink}\" stroke-width=\"1\"/>", y + high, x + wide);
        }
        Shape::Lines(left, right, top, bottom) => {
            let (middle_x, middle_y) = (x + CELL.0 / 2, y + high / 2);
            if left && right {
                rect(x, middle_y, wide, 1);
            } else if left {
                rect(x, middle_y, CELL.0 / 2 + 1, 1);
            } else if right {
                rect(middle_x, middle_y, CELL.0 - CELL.0 / 2, 1);
            }
            if top && bottom {
                rect(middle_x, y, 1, high);
            } else if top {
                rect(middle_x, y, 1, high / 2 + 1);
            } else if bottom {
                rect(middle_x, middle_y, 1, high - high / 2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    #[test]
    fn a_picture_escapes_its_text_and_draws_its_blocks() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "a<b&c ▆▆▆▂│", Style::new().fg(Color::Rgb(1, 2, 3)));
        let svg = svg(&buffer);
        assert!(svg.contains("a&lt;b&amp;c"), "{svg}");
        // Three cells of one block are one rectangle.
        assert!(svg.contains("width=\"27\""), "{svg}");
        assert_eq!(svg.matches("<text").count(), 1);
    }

    #[test]
    fn the_name_chooses_the_kind() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 3, 1));
        buffer.set_string(0, 0, "ab", Style::new());
        assert_eq!(by_name(&buffer, "x.txt"), "ab\n");
        assert!(by_name(&buffer, "x.ans").starts_with("\x1b[0m"));
        assert!(by_name(&buffer, "x.svg").starts_with("<svg"));
    }
}
