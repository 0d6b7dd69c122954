//! A member of a group in detail: who it is, how long it has been silent, and what it reads.
//!
//! Invariants: what a coordinator does not tell is a dash, never a guess; partitions beyond the room are counted.

use super::{behind_by, doing};
use crate::cluster::view::{ClusterView, GroupDetail, GroupMember, GroupPartition};
use crate::tui::numbers::{UNKNOWN, count, offset, plural, span_ms};
use crate::tui::pen::{Pen, cut_middle, piece, width};
use crate::tui::theme::Role;
use ratatui::layout::Rect;

/// How wide the names of fields are.
const WORD_CELLS: u16 = 13;

/// Draws it.
pub(super) fn draw(pen: &mut Pen<'_>, view: &ClusterView, group: &GroupDetail, member: &GroupMember, area: Rect) {
    let fields = fields(view, group, member);
    // Two columns where two fit.
    let columns = if area.width >= 90 { 2 } else { 1 };
    let rows = u16::try_from(fields.len()).unwrap_or(u16::MAX).div_ceil(columns);
    let cells = area.width / columns;
    for (at, (word, text, role)) in (0..).zip(&fields) {
        let (x, y) = (area.x + at / rows * cells, area.y + at % rows);
        if y >= area.bottom() {
            continue;
        }
        pen.text(x, y, WORD_CELLS, word, pen.theme.fg(Role::Faint));
        let room = cells.saturating_sub(WORD_CELLS + 2);
        pen.text(x + WORD_CELLS, y, room, &cut_middle(text, room), pen.theme.fg(*role));
    }
    let y = area.y + rows;
    if y + 1 < area.bottom() {
        partitions(pen, group, member, Rect { y, height: area.bottom() - y, ..area });
    }
}

/// What is known of it, in the order in which it is asked for.
fn fields(view: &ClusterView, group: &GroupDetail, member: &GroupMember) -> Vec<(&'static str, String, Role)> {
    let unknown = || UNKNOWN.to_owned();
    let (_, role, word) = doing(view, group, member);
    let assignor = group.assignor.as_deref().unwrap_or(UNKNOWN);
    let protocol = if group.is_consumer_protocol { "consumer (KIP-848)" } else { "classic" };
    let wants: Vec<&str> = member.subscribes.iter().map(|topic| &**topic).collect();
    let mut fields = vec![
        ("doing", word, role),
        ("session", session(view, member), Role::Text),
        ("client", member.client.to_string(), Role::Client),
        ("host", if member.host.is_empty() { unknown() } else { member.host.to_string() }, Role::Text),
        ("subscribes", if wants.is_empty() { unknown() } else { wants.join(", ") }, Role::Text),
        ("member id", member.id.to_string(), Role::Dim),
        ("instance", member.instance.as_deref().map_or_else(unknown, str::to_owned), Role::Text),
        ("protocol", format!("{protocol}, {assignor}"), Role::Text),
    ];
    fields.push(match (member.epoch, group.target_epoch) {
        (Some(epoch), target) => {
            let target = target.map_or_else(String::new, |target| format!(", target {target}"));
            ("epoch", format!("{epoch} of the group's {}{target}", group.generation), Role::Text)
        }
        (None, _) => ("generation", group.generation.to_string(), Role::Text),
    });
    fields.push(("rebalance", format!("may take {}", span_ms(member.rebalance_timeout_ms)), Role::Text));
    fields
}

/// How long it may be silent, and how much of that is left.
fn session(view: &ClusterView, member: &GroupMember) -> String {
    let may = span_ms(member.session_timeout_ms);
    let Some(seen_ms) = member.seen_ms else { return format!("{may}; its request waits, which counts as a sign") };
    let silent_ms = view.at_ms.saturating_sub(seen_ms);
    let left_ms = member.session_timeout_ms.saturating_sub(silent_ms);
    format!("{may}, last sign {} ago, out in {}", span_ms(silent_ms), span_ms(left_ms))
}

/// Its partitions with offsets and lag, those it is to give back or to get with a word.
fn partitions(pen: &mut Pen<'_>, group: &GroupDetail, member: &GroupMember, area: Rect) {
    let theme = pen.theme;
    let is_its = |one: &&GroupPartition| member.owns.contains(&one.name) || member.awaits.contains(&one.name);
    let rows: Vec<&GroupPartition> = group.partitions.iter().filter(is_its).collect();
    let read = rows.iter().filter(|one| member.owns.contains(&one.name));
    let behind: u64 = read.filter_map(|one| one.lag()).sum();
    let title = format!("Reads {}, {} behind", plural(member.owns.len() as u64, "partition"), count(behind));
    pen.rule(area.x, area.right(), area.y, &[piece(title, theme.bold(Role::Text))], &[]);
    let names = rows.iter().map(|one| width(&one.name.to_string())).max().unwrap_or(9).clamp(9, 28);
    let head = ["COMMITTED", "END", "LAG", "BEHIND BY"];
    let room = usize::from(area.height.saturating_sub(2));
    let y = area.y + 1;
    pen.text(area.x, y, names, "PARTITION", theme.fg(Role::Faint));
    let end = |column: u16| area.x + names + (column + 1) * 12;
    for (column, word) in (0..).zip(head) {
        pen.right(end(column) - 11, end(column), y, word, theme.fg(Role::Faint));
    }
    for (at, one) in (0..).zip(rows.iter().take(room)) {
        let y = y + 1 + at;
        if rows.len() > room && usize::from(at) + 1 == room {
            let more = format!("and {} more", plural((rows.len() - usize::from(at)) as u64, "partition"));
            pen.text(area.x, y, area.width, &more, theme.fg(Role::Dim));
            break;
        }
        let name = one.name.to_string();
        pen.text(area.x, y, names, &cut_middle(&name, names), theme.fg(Role::Text));
        let unknown = || UNKNOWN.to_owned();
        let told = [
            one.committed.map_or_else(unknown, offset),
            one.end.map_or_else(unknown, offset),
            one.lag().map_or_else(unknown, count),
            behind_by(one),
        ];
        for (column, text) in (0..).zip(told) {
            pen.right(end(column) - 11, end(column), y, &text, theme.fg(Role::Text));
        }
        let (word, role) = if member.gives_back.contains(&one.name) {
            ("gives it back", Role::Lag)
        } else if member.awaits.contains(&one.name) {
            ("will read it", Role::Lag)
        } else {
            ("", Role::Dim)
        };
        pen.text(end(3) + 2, y, area.right().saturating_sub(end(3) + 2), word, theme.fg(role));
    }
}
