//! A truncation in four frames: extra records, the question where the logs part, the cut, the copy.
//!
//! Invariant: the frame that is running is lit, by border, chip and text; the bars are a sketch with the same proportions always, the
//! numbers in the texts are the partition's own.

use super::records;
use crate::cluster::view::{Truncation, TruncationStage, XrayView};
use crate::tui::glyphs;
use crate::tui::layout::{Frame, Width};
use crate::tui::numbers::offset;
use crate::tui::pen::{Pen, piece, wrap};
use crate::tui::theme::Role;
use ratatui::layout::Rect;

/// The number of a stage's frame.
fn number(stage: TruncationStage) -> u8 {
    match stage {
        TruncationStage::Extra => 1,
        TruncationStage::Asks => 2,
        TruncationStage::Cuts => 3,
        TruncationStage::Rejoins => 4,
    }
}

/// Draws the frames, `replayed` lit instead of the one that is running.
pub(super) fn draw(
    pen: &mut Pen<'_>,
    xray: &XrayView,
    cut: &Truncation,
    replayed: Option<u8>,
    area: Rect,
    frame: Frame,
) {
    let lit = replayed.unwrap_or(number(cut.stage));
    // A narrow terminal shows the running frame and the one before it.
    let shown: Vec<u8> =
        if frame.width == Width::Narrow { vec![lit.clamp(2, 4) - 1, lit.clamp(2, 4)] } else { vec![1, 2, 3, 4] };
    let count = u16::try_from(shown.len()).unwrap_or(1);
    let each = area.width.saturating_sub(2) / count;
    for (frame, place) in shown.into_iter().zip(0_u16..) {
        let outside = Rect { x: area.x + 1 + place * each, width: each.saturating_sub(1), ..area };
        one(pen, xray, cut, frame, frame == lit, outside);
    }
}

fn title(frame: u8, cut: &Truncation) -> String {
    match frame {
        1 => format!(" 1 {} extra ", offset(cut.from - cut.to)),
        2 => " 2 Asks where ".to_owned(),
        3 => " 3 Cuts its log ".to_owned(),
        _ => " 4 Copies, rejoins ".to_owned(),
    }
}

fn text(frame: u8, cut: &Truncation) -> String {
    let leader = cut.leader.map_or_else(|| "the next leader".to_owned(), |leader| format!("broker {leader}"));
    let old = cut.epoch.map_or_else(|| "an older epoch".to_owned(), |epoch| format!("epoch {epoch}"));
    match frame {
        1 => format!("Broker {} wrote {} in {old}. Nobody copied them.", cut.broker, records(cut)),
        2 => {
            let (at, to) = (offset(cut.from), offset(cut.to));
            format!("Fetch at {at}, last {old}. Answer of {leader}: that ends at {to}.")
        }
        3 => format!("Truncates to {}. Now its log is a prefix of the leader’s.", offset(cut.to)),
        _ if cut.is_over => format!("Has copied epoch {} and is in sync again.", cut.leader_epoch),
        _ => format!("Fetches epoch {}. At the high watermark it re-enters the ISR.", cut.leader_epoch),
    }
}

fn one(pen: &mut Pen<'_>, xray: &XrayView, cut: &Truncation, frame: u8, is_lit: bool, area: Rect) {
    let theme = pen.theme;
    let (border, head) =
        if is_lit { (theme.fg(Role::Lag), theme.chip(Role::Lag)) } else { (theme.fg(Role::Line), theme.fg(Role::Dim)) };
    let inside = pen.frame(area, border, false, &[piece(title(frame, cut), head)], &[]);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    let has_air = inside.height >= 6;
    let y = inside.y + u16::from(has_air);
    let bar = Rect { x: inside.x + 4, y, width: inside.width.saturating_sub(4), height: 1 };
    let (shared, extra) = (bar.width * 5 / 9, bar.width * 2 / 7);
    let old = theme.epoch(cut.epoch.unwrap_or(cut.leader_epoch - 1));
    let new = theme.epoch(cut.leader_epoch);
    let leader = cut.leader.or(xray.leader).map_or("–".to_owned(), |leader| leader.to_string());
    pen.text(inside.x, y, 4, &format!("{} {leader}", glyphs::LEADER), theme.fg(Role::Lead));
    pen.repeat(bar.x, y, shared, " ", old);
    pen.repeat(bar.x + shared, y, bar.width - shared, " ", new);
    let y = y + 1;
    let (glyph, role) = if frame == 4 { (glyphs::ALIVE, Role::Sync) } else { (glyphs::STARTING, Role::Lag) };
    pen.text(inside.x, y, 4, &format!("{glyph} {}", cut.broker), theme.fg(role));
    pen.repeat(bar.x, y, shared, " ", old);
    let x = bar.x + shared;
    match frame {
        1 => _ = pen.repeat(x, y, extra, " ", old),
        2 => {
            pen.text(x, y, 1, glyphs::ATTENTION, old);
            pen.repeat(x + 1, y, extra.saturating_sub(1), "?", old);
        }
        3 => {
            pen.text(x, y, 1, "⇤", theme.bold(Role::Dead));
            pen.repeat(x + 1, y, extra.saturating_sub(1), glyphs::CUT, theme.fg(Role::Dead));
        }
        _ => _ = pen.repeat(x, y, bar.width - shared, " ", new),
    }
    let from = y + 1 + u16::from(has_air);
    let style = theme.fg(if is_lit { Role::Text } else { Role::Dim });
    for (line, y) in wrap(&text(frame, cut), inside.width).into_iter().zip(from..inside.bottom()) {
        pen.text(inside.x, y, inside.width, &line, style);
    }
}
