//! A broker's card: six rows, five rows, or the two heading rows of a short terminal.
//!
//! ```text
//! ╭ ● broker 1 ★ ─ 9092 ╮      ╭ ✕ broker 2 ☆ ╌ 9093 ╮      ● 1 ★ ◆8
//! │ ◆ 8 leads  ● 9      │      ╎  DEAD  2.4 s        ╎      ▃▅▂▆▄ 0.9M
//! │ in  ▆▂▂▆▄▆     0.9M │      ╎ kill −9    12:04:29 ╎
//! │ out ▃▄▂▅▂▄     1.9M │      ╎ fenced at +2.0 s    ╎
//! │ disk ▆▆▁▁▁▁    41 % │      ╎ R starts it         ╎
//! ╰─────────────────────╯      ╰╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╯
//! ```
//! Invariant: a broker that does not answer has a dashed border, and says so in words.

use super::{mark, spark};
use crate::cluster::view::{BrokerCard, BrokerState, ClockMode, ClusterView};
use crate::tui::glyphs;
use crate::tui::numbers::{bytes, bytes_narrow, moment, span_ms};
use crate::tui::pen::{Pen, Piece, piece, width};
use crate::tui::theme::Role;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

/// Draws a card. `selected`: its column is where the keys of change go.
pub fn draw(pen: &mut Pen<'_>, area: Rect, view: &ClusterView, card: &BrokerCard, selected: bool) {
    let theme = pen.theme;
    let mark = mark::broker(card);
    let silent = !card.state.answers();
    let border = match (selected, mark.role) {
        (true, _) => theme.fg(Role::Focus),
        (false, role @ (Role::Dead | Role::Lag)) if silent => theme.fg(role),
        _ => theme.fg(Role::Line),
    };
    let mut title = vec![piece(format!("{} broker {}", mark.glyph, card.id), theme.bold(mark.role))];
    if let Some(quorum) = mark::quorum(card.quorum) {
        title.push(piece(format!(" {}", quorum.glyph), theme.fg(quorum.role)));
    }
    let port = [piece(card.port.to_string(), theme.fg(Role::Faint))];
    // A simulated broker has no port.
    let has_port = area.width >= 20 && view.host.world.is_none();
    let facts: &[Piece<'_>] = if has_port { &port } else { &[] };
    let inside = pen.frame(area, border, silent, &title, facts);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    if silent {
        down(pen, inside, view, card);
    } else {
        up(pen, inside, card);
    }
    // At full speed it would only flicker.
    let slow = !matches!(view.clock, ClockMode::Live { speed_permille } if speed_permille > 250);
    if let Some(wake) = card.next_wake.as_ref().filter(|_| slow && selected && area.height >= 6 && !silent) {
        let text = format!(" {} in {} ", wake.why, span_ms(wake.at_ms.saturating_sub(view.at_ms) / 50 * 50));
        if width(&text) + 2 <= area.width {
            pen.right(area.x + 1, area.right() - 1, area.bottom() - 1, &text, theme.fg(Role::Faint));
        }
    }
}

fn up(pen: &mut Pen<'_>, inside: Rect, card: &BrokerCard) {
    let theme = pen.theme;
    let (x, end, mut y) = (inside.x, inside.right(), inside.y);
    let long = inside.width >= 17;
    let words = if long { " leads" } else { "" };
    let leads = [
        piece(glyphs::LEADER, theme.fg(Role::Lead)),
        piece(format!(" {}", card.leaders), theme.bold(Role::Text)),
        piece(words, theme.fg(Role::Dim)),
        piece(format!("  {} ", glyphs::ALIVE), theme.fg(Role::Sync)),
        piece(card.replicas.saturating_sub(card.leaders).to_string(), theme.bold(Role::Text)),
    ];
    pen.pieces(x, y, inside.width, &leads);
    y += 1;
    let rates = [
        ("in  ", &card.in_history, card.bytes_in_per_s, Role::Sync),
        ("out ", &card.out_history, card.bytes_out_per_s, Role::SyncLow),
    ];
    let shown = if inside.height >= 4 { 2 } else { 1 };
    for (label, history, rate, role) in rates.into_iter().take(shown) {
        let from = if shown == 2 { pen.text(x, y, 4, label, theme.fg(Role::Dim)) } else { x };
        let wide = inside.width >= 26;
        // The figure's cells, and one between.
        let cells = end.saturating_sub(from + if wide { 10 } else { 6 });
        spark::spark(pen, from, y, cells, history, theme.fg(role));
        let unit = if wide { format!("{}/s", bytes(rate)) } else { bytes_narrow(rate) };
        pen.right(from, end, y, &unit, theme.fg(Role::Text));
        y += 1;
    }
    disk(pen, Rect { y, height: 1, ..inside }, card, shown == 2);
}

/// The last row: how full the disk is, or the first fault.
fn disk(pen: &mut Pen<'_>, row: Rect, card: &BrokerCard, labelled: bool) {
    let theme = pen.theme;
    let (mut x, end, y) = (row.x, row.right(), row.y);
    if labelled {
        x = pen.text(x, y, 5, "disk ", theme.fg(Role::Dim));
    }
    let chips: Vec<String> =
        card.faults.iter().map(|chip| format!("{} {}", mark::fault(chip.kind).glyph, chip.text)).collect();
    if let Some(first) = chips.first() {
        let more = if chips.len() > 1 { format!(" +{}", chips.len() - 1) } else { String::new() };
        let text = format!("{first}{more}");
        let style = theme.bold(mark::fault(card.faults[0].kind).role);
        if labelled {
            pen.right(x, end, y, &text, style)
        } else {
            pen.text(x, y, row.width, &text, style)
        };
        return;
    }
    match card.disk_used_permille {
        Some(used) => {
            let share = if labelled { format!("{} %", used / 10) } else { format!("{}%", used / 10) };
            let cells = end.saturating_sub(x + 5);
            let full = (u32::from(used.min(1_000)) * u32::from(cells)).div_ceil(1_000) as u16;
            let at = pen.repeat(x, y, full, glyphs::COMMITTED, theme.fg(Role::Dim));
            pen.repeat(at, y, cells - full, glyphs::SPARK[0], theme.fg(Role::Line));
            pen.right(x, end, y, &share, theme.fg(Role::Text));
        }
        None => {
            if !labelled {
                pen.text(x, y, 5, "disk ", theme.fg(Role::Dim));
            }
            pen.right(x, end, y, &bytes(card.disk_bytes), theme.fg(Role::Text));
        }
    }
}

fn down(pen: &mut Pen<'_>, inside: Rect, view: &ClusterView, card: &BrokerCard) {
    let theme = pen.theme;
    let mark = mark::broker(card);
    let ago = span_ms(view.at_ms.saturating_sub(card.since_ms));
    let (x, mut y, cells) = (inside.x, inside.y, inside.width);
    let chip = format!(" {} ", mark.word.to_uppercase());
    pen.pieces(x, y, cells, &[piece(chip, theme.chip(mark.role)), piece(format!(" {ago}"), theme.fg(mark.role))]);
    y += 1;
    let cause = match &card.state {
        BrokerState::Crashed { message } => message.as_str(),
        _ => card.cause.as_str(),
    };
    let after = pen.text(x, y, cells, cause, theme.fg(Role::Dim));
    if after + 9 <= inside.right() && !cause.is_empty() {
        pen.right(after + 1, inside.right(), y, &moment(view, card.since_ms, 0), theme.fg(Role::Dim));
    }
    y += 1;
    if inside.height >= 4 {
        match card.fenced_at_ms {
            Some(at) if at > view.at_ms => {
                let text = format!("fenced in {}", span_ms(at - view.at_ms));
                pen.text(x, y, cells, &text, theme.fg(Role::Lag));
            }
            Some(at) => {
                let text = format!("fenced at +{}", span_ms(at.saturating_sub(card.since_ms)));
                pen.text(x, y, cells, &text, theme.fg(Role::Dim));
            }
            None => {}
        }
        y += 1;
    }
    let (key, word) = match card.state {
        BrokerState::Suspended => ("S", " resumes it"),
        BrokerState::Starting => return,
        _ => ("R", " starts it"),
    };
    if view.host.can.faults {
        pen.pieces(x, y, cells, &[piece(key, theme.bold(Role::Focus)), piece(word, theme.fg(Role::Dim))]);
    }
}

/// The two heading rows of a short terminal.
pub fn draw_short(pen: &mut Pen<'_>, area: Rect, view: &ClusterView, card: &BrokerCard, selected: bool) {
    let theme = pen.theme;
    let mark = mark::broker(card);
    let (x, y, cells) = (area.x, area.y, area.width);
    let mut name = theme.bold(mark.role);
    if selected {
        name = name.add_modifier(Modifier::UNDERLINED);
    }
    let quorum = mark::quorum(card.quorum);
    let head: [Piece<'_>; 4] = [
        piece(mark.glyph, theme.bold(mark.role)),
        piece(" ", Style::new()),
        piece(card.id.to_string(), name),
        quorum.map_or(piece("", Style::new()), |q| piece(format!(" {}", q.glyph), theme.fg(q.role))),
    ];
    let at = pen.pieces(x, y, cells, &head);
    let leads = format!(" {}{}", glyphs::LEADER, card.leaders);
    pen.text(at, y, (x + cells).saturating_sub(at), &leads, theme.fg(Role::Dim));
    if !card.state.answers() {
        let ago = span_ms(view.at_ms.saturating_sub(card.since_ms));
        let text = format!("{} {ago}", mark.word);
        pen.text(x, y + 1, cells.saturating_sub(1), &text, theme.fg(mark.role));
        return;
    }
    if let Some(chip) = card.faults.first() {
        let fault = mark::fault(chip.kind);
        pen.text(x, y + 1, cells.saturating_sub(1), &format!("{} {}", fault.glyph, chip.text), theme.fg(fault.role));
        return;
    }
    let end = x + cells.saturating_sub(1);
    let rate = bytes_narrow(card.bytes_in_per_s);
    let spark_cells = cells.saturating_sub(7);
    spark::spark(pen, x, y + 1, spark_cells, &card.in_history, theme.fg(Role::SyncLow));
    pen.right(x + spark_cells, end, y + 1, &rate, theme.fg(Role::Dim));
}
