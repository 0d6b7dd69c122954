//! What the logs are told apart by and who may have what: leader epochs by replica, the sets of replicas, producers with their
//! transactions.
//!
//! Invariant: every list that is cut says how long it is.

use super::joined;
use crate::cluster::view::{BrokerId, ReplicaRole, XrayProducer, XrayView};
use crate::tui::glyphs;
use crate::tui::layout::{Frame, Width};
use crate::tui::numbers::{UNKNOWN, offset, plural};
use crate::tui::pen::{Pen, cut_middle, piece, width};
use crate::tui::theme::Role;
use ratatui::layout::Rect;

/// How many tables there are to go through where they do not stand side by side.
pub const PANES: u8 = 3;

/// Draws as many of the three as fit, beginning with `pane`.
pub(super) fn draw(pen: &mut Pen<'_>, xray: &XrayView, pane: u8, area: Rect, frame: Frame) {
    if area.height < 2 {
        return;
    }
    let tables: [fn(&mut Pen<'_>, &XrayView, Rect); 3] = [epochs, sets, producers];
    let widths: Vec<u16> = match frame.width {
        Width::Narrow => vec![area.width],
        Width::Medium => vec![area.width / 2 - 1, area.width - area.width / 2 - 1],
        Width::Full | Width::Wide => vec![area.width * 3 / 10, area.width / 4, area.width - area.width * 11 / 20 - 4],
    };
    let first = if widths.len() == 3 { 0 } else { usize::from(pane % PANES) };
    let mut x = area.x;
    for (place, width) in widths.into_iter().enumerate() {
        tables[(first + place) % 3](pen, xray, Rect { x, width, ..area });
        x += width + 2;
    }
}

fn heading(pen: &mut Pen<'_>, area: Rect, title: &str, facts: &str) -> Rect {
    let theme = pen.theme;
    let facts = [piece(facts.to_owned(), theme.fg(Role::Dim))];
    pen.rule(area.x, area.right(), area.y, &[piece(title.to_owned(), theme.bold(Role::Text))], &facts);
    Rect { y: area.y + 1, height: area.height - 1, ..area }
}

/// Which epoch begins where on each replica; a cell that is not as the leader's is marked.
fn epochs(pen: &mut Pen<'_>, xray: &XrayView, area: Rect) {
    let theme = pen.theme;
    let area = heading(pen, area, "Leader epochs", "start offset per replica");
    let Some(of_leader) = xray.of_leader().or(xray.replicas.first()) else { return };
    let mut all: Vec<i32> =
        xray.replicas.iter().flat_map(|replica| replica.epochs.iter().map(|(epoch, _)| *epoch)).collect();
    all.sort_unstable();
    all.dedup();
    if all.is_empty() {
        pen.text(area.x, area.y, area.width, "no broker has told yet", theme.fg(Role::Dim));
        return;
    }
    let column = 12.min(area.width.saturating_sub(8) / u16::try_from(xray.replicas.len()).unwrap_or(1).max(1)).max(9);
    let fits = usize::from(area.width.saturating_sub(7) / column);
    pen.text(area.x, area.y, 6, "EPOCH", theme.fg(Role::Faint));
    for (replica, place) in xray.replicas.iter().take(fits).zip(0_u16..) {
        let end = area.x + 7 + (place + 1) * column;
        pen.right(area.x, end.saturating_sub(1), area.y, &format!("broker {}", replica.broker), theme.fg(Role::Faint));
    }
    let has_note = area.height >= 6;
    let rows = usize::from(area.height.saturating_sub(1 + 2 * u16::from(has_note)));
    let shown = &all[all.len().saturating_sub(rows)..];
    for (epoch, y) in shown.iter().zip(area.y + 1..) {
        pen.text(area.x, y, 5, &format!("{epoch:^5}"), theme.epoch(*epoch));
        let leads = start_of(&of_leader.epochs, *epoch);
        let mut differs_at = None;
        for (replica, place) in xray.replicas.iter().take(fits).zip(0_u16..) {
            let end = (area.x + 7 + (place + 1) * column).saturating_sub(1);
            let own = start_of(&replica.epochs, *epoch);
            let parts = replica.diverges_at.is_some_and(|at| leads.or(own).is_some_and(|start| start >= at));
            let (text, style) = match own {
                _ if replica.epochs.is_empty() => (UNKNOWN.to_owned(), theme.fg(Role::Faint)),
                Some(start) if own == leads => (offset(start), theme.fg(Role::Text)),
                Some(start) if parts => (offset(start), theme.bold(Role::Dead)),
                Some(start) => (offset(start), theme.fg(Role::Dim)),
                None if parts => ("missing".to_owned(), theme.bold(Role::Dead)),
                None => ("not yet".to_owned(), theme.fg(Role::Faint)),
            };
            if parts && own != leads {
                differs_at = Some(end);
            }
            pen.right(area.x + 6, end, y, &text, style);
        }
        if differs_at.is_some() {
            let x = area.x + 7 + column * u16::try_from(fits.min(xray.replicas.len())).unwrap_or(1);
            if x + 9 <= area.right() {
                pen.text(x, y, 9, "◂ differs", theme.fg(Role::Dead));
            }
        }
    }
    if has_note {
        let text = "Same epoch and start = same records.";
        let y = area.y + 2 + u16::try_from(shown.len()).unwrap_or(0);
        pen.text(area.x, y, area.width, text, theme.fg(Role::Dim));
    }
}

fn start_of(epochs: &[(i32, i64)], epoch: i32) -> Option<i64> {
    epochs.iter().find(|(known, _)| *known == epoch).map(|(_, start)| *start)
}

/// Who has a copy, whose copy counts, who may lead.
fn sets(pen: &mut Pen<'_>, xray: &XrayView, area: Rect) {
    let theme = pen.theme;
    let area = heading(pen, area, "Replica sets", "");
    let all: Vec<BrokerId> = xray.replicas.iter().map(|replica| replica.broker).collect();
    let rejoining = xray.replicas.iter().filter(|replica| !replica.in_isr);
    let down: Vec<BrokerId> =
        rejoining.clone().filter(|replica| is_down(replica.role)).map(|replica| replica.broker).collect();
    let back: Vec<_> = rejoining.filter(|replica| !is_down(replica.role)).collect();
    let preferred = all.first().map_or(String::new(), |first| format!("preferred {first}"));
    let needs = match back.iter().map(|replica| replica.behind).max() {
        None => "nobody".to_owned(),
        Some(0) => "waits for the controller".to_owned(),
        Some(most) => format!("needs {}", plural(most, "record")),
    };
    let back: Vec<BrokerId> = back.iter().map(|replica| replica.broker).collect();
    let accepts = xray.isr.len() >= xray.min_isr as usize && xray.leader.is_some();
    let verdict = match (accepts, xray.leader) {
        (_, None) => format!("{} no leader: nothing is written", glyphs::DEAD),
        (true, _) => format!("{} writes accepted", glyphs::DONE),
        (false, _) => format!("{} acks=all is refused", glyphs::DEAD),
    };
    let ids = |brokers: &[BrokerId]| if brokers.is_empty() { UNKNOWN.to_owned() } else { joined(brokers) };
    let elr_note = if xray.elr.is_empty() { "none needed" } else { "complete, may lead (KIP-966)" };
    let rows = [
        ("Replicas", ids(&all), preferred, Role::Text, Role::Dim),
        ("ISR", ids(&xray.isr), String::new(), Role::Sync, Role::Dim),
        ("Rejoining", ids(&back), needs, Role::Lag, Role::Dim),
        ("Down", ids(&down), String::new(), Role::Dead, Role::Dim),
        ("ELR", ids(&xray.elr), elr_note.to_owned(), Role::Text, Role::Dim),
        ("min ISR", xray.min_isr.to_string(), verdict, Role::Text, if accepts { Role::Sync } else { Role::Dead }),
    ];
    let value_cells = rows.iter().map(|(_, value, ..)| width(value)).max().unwrap_or(0).max(3);
    // What says least goes first where there is no room.
    let spare = rows.len().saturating_sub(usize::from(area.height));
    let is_empty = |row: &&(&str, String, String, Role, Role)| row.1 == UNKNOWN;
    let dropped: Vec<&str> = rows.iter().filter(is_empty).map(|row| row.0).take(spare).collect();
    let kept = rows.iter().filter(|row| !dropped.contains(&row.0));
    for ((label, value, note, role, note_role), y) in kept.zip(area.y..area.bottom()) {
        pen.text(area.x, y, 10, label, theme.fg(Role::Dim));
        let style = if value == UNKNOWN { theme.fg(Role::Faint) } else { theme.bold(*role) };
        let x =
            pen.text(area.x + 11, y, area.width.saturating_sub(11), value, style).max(area.x + 11 + value_cells) + 2;
        pen.text(x, y, area.right().saturating_sub(x), note, theme.fg(*note_role));
    }
}

fn is_down(role: ReplicaRole) -> bool {
    matches!(role, ReplicaRole::Dead | ReplicaRole::LastComplete | ReplicaRole::Suspended)
}

/// Who writes, and how far the transactions are.
fn producers(pen: &mut Pen<'_>, xray: &XrayView, area: Rect) {
    let theme = pen.theme;
    let count = plural(xray.producer_count as u64, "producer");
    let area = heading(pen, area, "Producers", if xray.producer_count == 0 { "" } else { &count });
    if xray.producers.is_empty() {
        let text = if xray.of_leader().is_some_and(|leader| leader.batches.is_some()) {
            "none with an id: without idempotence a retry may write twice"
        } else {
            "no leader has told yet"
        };
        pen.text(area.x, area.y, area.width, text, theme.fg(Role::Dim));
        return;
    }
    let heads = [("ID", 0), ("EPOCH", 9), ("LAST SEQ", 16), ("OFFSET", 26), ("TRANSACTION", 37)];
    for (head, at) in heads {
        pen.text(area.x + at, area.y, area.width.saturating_sub(at), head, theme.fg(Role::Faint));
    }
    for (producer, y) in xray.producers.iter().zip(area.y + 1..area.bottom()) {
        let known = &producer.known.summary;
        pen.text(area.x, y, 9, &known.producer_id.to_string(), theme.bold(Role::Text));
        pen.text(area.x + 9, y, 6, &known.producer_epoch.to_string(), theme.fg(Role::Text));
        let sequence = if known.last_sequence < 0 { UNKNOWN.to_owned() } else { known.last_sequence.to_string() };
        pen.text(area.x + 16, y, 9, &sequence, theme.fg(Role::Text));
        let at = producer.known.last_offset.map_or(UNKNOWN.to_owned(), offset);
        pen.text(area.x + 26, y, 10, &at, theme.fg(Role::Text));
        let cells = area.width.saturating_sub(37);
        let (text, role) = transaction(producer, cells);
        pen.text(area.x + 37, y, cells, &text, theme.fg(role));
    }
}

fn transaction(producer: &XrayProducer, cells: u16) -> (String, Role) {
    let id = producer.transactional_id.as_ref().map(|id| cut_middle(id, cells / 2).into_owned());
    match (id, producer.known.summary.open_since()) {
        (Some(id), Some(first)) => (format!("{id} open, first {}", offset(first)), Role::Lag),
        (None, Some(first)) => (format!("open, first {}", offset(first)), Role::Lag),
        (Some(id), None) => (format!("{id}, none open"), Role::Dim),
        (None, None) => ("– idempotent".to_owned(), Role::Dim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_one_start() {
        let epochs = [(6, 604), (7, 772)];
        assert_eq!((start_of(&epochs, 7), start_of(&epochs, 8)), (Some(772), None));
    }
}
