//! The lower part of the Quorum screen: who led when, what is under way, and the newest records or votes.
//!
//! Invariants: newest first; what does not fit is the oldest.

use crate::cluster::view::{ClusterView, MetadataLine, QuorumMessage, QuorumView, Term, VoteNote};
use crate::tui::glyphs;
use crate::tui::model::Model;
use crate::tui::numbers::{offset, plural, round_span, span_ms};
use crate::tui::pen::{Pen, Piece, cut_middle, piece, width, wrap};
use crate::tui::theme::Role;
use ratatui::layout::Rect;

/// The ribbon goes back so far at most, in milliseconds.
const RIBBON_MS: u64 = 600_000;
/// ... and so far at least.
const RIBBON_LEAST_MS: u64 = 10_000;

/// Draws all of it.
pub(super) fn draw(
    pen: &mut Pen<'_>,
    model: &Model,
    view: &ClusterView,
    quorum: &QuorumView,
    area: Rect,
    bordered: bool,
) {
    if area.height < 2 {
        return;
    }
    if !bordered {
        ribbon(pen, view, quorum, Rect { height: 2, ..area });
        let list = Rect { y: area.y + 2, height: area.height - 2, ..area };
        newest(pen, model, view, quorum, list);
        return;
    }
    let left = Rect { width: (area.width / 2).saturating_sub(1), ..area };
    let right = Rect { x: left.right() + 2, width: area.width.saturating_sub(left.width + 2), ..area };
    let ribbon_rows = if area.height >= 10 { 3 } else { 2 };
    ribbon(pen, view, quorum, Rect { height: ribbon_rows, ..left });
    let mut y = left.y + ribbon_rows;
    let rows = if area.height >= 10 { 3 } else { 2 };
    let texts = what_waits(view, quorum).map(|text| wrap(&text, left.width));
    let fits = texts.iter().find(|lines| lines.len() <= rows).unwrap_or(&texts[2]);
    for line in fits.iter().take(rows) {
        pen.text(left.x, y, left.width, line, pen.theme.fg(Role::Dim));
        y += 1;
    }
    if y + 2 <= left.bottom() {
        under_way(pen, quorum, Rect { y, height: left.bottom() - y, ..left });
    }
    newest(pen, model, view, quorum, right);
}

/// What waits for the controller, and what does not, in three lengths, the longest first.
fn what_waits(view: &ClusterView, quorum: &QuorumView) -> [String; 3] {
    let open = quorum.replicas.iter().map(|replica| replica.uncommitted(quorum.committed)).max().unwrap_or(0);
    if view.situation.contest.is_none() {
        let state = match open {
            0 => "Every record is committed.".to_owned(),
            open => format!("{} not committed yet.", plural(open, "record")),
        };
        let leader = "The leader of the quorum is the active controller: it alone changes metadata.";
        return [format!("{state} {leader}"), leader.to_owned(), state];
    }
    let mut waiting = Vec::new();
    if view.totals.no_leader > 0 {
        waiting.push(format!("{} for a leader", plural(u64::from(view.totals.no_leader), "partition")));
    }
    if open > 0 {
        waiting.push(format!("{} to be committed", plural(open, "record")));
    }
    let waiting = if waiting.is_empty() { String::new() } else { format!(" Waiting: {}.", waiting.join(", ")) };
    [
        format!(
            "Without a controller brokers go on to serve reads and writes. Only changes of metadata wait: leaders, ISR, \
             topics.{waiting}"
        ),
        format!("Reads and writes go on. Only changes of metadata wait.{waiting}"),
        "Reads and writes go on; changes of metadata wait.".to_owned(),
    ]
}

fn ribbon(pen: &mut Pen<'_>, view: &ClusterView, quorum: &QuorumView, area: Rect) {
    let theme = pen.theme;
    let first_ms = quorum.terms.first().map_or(view.at_ms, |term| term.from_ms);
    let span_ms = view.at_ms.saturating_sub(first_ms).clamp(RIBBON_LEAST_MS, RIBBON_MS).min(view.at_ms);
    let from_ms = view.at_ms - span_ms;
    let facts = [piece(format!("last {}", round_span(span_ms.next_multiple_of(1_000))), theme.fg(Role::Dim))];
    pen.rule(area.x, area.right(), area.y, &[piece("Who led when", theme.bold(Role::Text))], &facts);
    let contest = view.situation.contest.as_ref();
    let tail = contest.map_or_else(String::new, |contest| match contest.standing.is_empty() {
        true => " ?".to_owned(),
        false => format!(" {} ?", contest.epoch),
    });
    let cells = u64::from(area.width.saturating_sub(width(&tail)));
    let column = |at_ms: u64| {
        let place = at_ms.saturating_sub(from_ms).min(span_ms) * cells / span_ms.max(1);
        area.x + u16::try_from(place).unwrap_or(0)
    };
    let is_shown = |term: &&Term| term.until_ms.is_none_or(|until| until >= from_ms);
    for term in quorum.terms.iter().filter(is_shown) {
        let x = column(term.from_ms);
        let until = column(term.until_ms.unwrap_or(view.at_ms)).max(x + 1);
        // A narrow gap tells one from the next.
        let room = if until > x + 2 { until - x - u16::from(term.until_ms.is_some()) } else { until - x };
        let style = theme.epoch(term.epoch);
        let text = format!(" {}  broker {}", term.epoch, term.leader);
        let text = if width(&text) > room { format!("{} {}", term.epoch, term.leader) } else { text };
        let text = if width(&text) > room { String::new() } else { text };
        let filler = if style.bg.is_some() || term.epoch % 2 != 0 { " " } else { glyphs::ABOVE_HW };
        for y in area.y + 1..area.bottom() {
            pen.repeat(x, y, room, filler, style);
        }
        pen.text(x, area.y + 1, room, &text, style);
    }
    if !tail.is_empty() {
        pen.right(area.x, area.right(), area.y + 1, &tail, theme.bold(Role::Lead));
    }
}

fn under_way(pen: &mut Pen<'_>, quorum: &QuorumView, area: Rect) {
    let theme = pen.theme;
    let facts = [piece(quorum.messages.len().to_string(), theme.fg(Role::Dim))];
    pen.rule(area.x, area.right(), area.y, &[piece("Requests under way", theme.bold(Role::Text))], &facts);
    for (y, message) in (area.y + 1..area.bottom()).zip(&quorum.messages) {
        let QuorumMessage { from, to, name, detail, lost } = message;
        let role = match (*name, lost) {
            (_, Some(_)) => Role::Dead,
            ("Vote" | "PreVote", None) => Role::Lag,
            _ => Role::Text,
        };
        let x = pen.text(area.x, y, 11, name, theme.bold(role)).max(area.x + 11);
        let x = pen.text(x, y, 12, &format!("{from} → {to}"), theme.fg(Role::Text)).max(x + 8);
        let lost = lost.map(|why| format!(", {why} {}", glyphs::DEAD)).unwrap_or_default();
        let pieces = [piece(detail.as_str(), theme.fg(Role::Dim)), piece(lost, theme.fg(Role::Dead))];
        pen.pieces(x, y, area.right().saturating_sub(x), &pieces);
    }
}

/// The newest records, or the votes that were asked for.
fn newest(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, quorum: &QuorumView, area: Rect) {
    if area.height < 2 {
        return;
    }
    let theme = pen.theme;
    let (title, other) =
        if model.quorum.shows_votes { ("Votes asked for", " records") } else { ("Newest metadata records", " votes") };
    let facts = [piece("v", theme.bold(Role::Focus)), piece(other, theme.fg(Role::Dim))];
    pen.rule(area.x, area.right(), area.y, &[piece(title, theme.bold(Role::Text))], &facts);
    let rows = Rect { y: area.y + 1, height: area.height - 1, ..area };
    if model.quorum.shows_votes {
        votes(pen, view, &quorum.answers, rows);
    } else {
        records(pen, view, &quorum.records, rows);
    }
}

fn ago(view: &ClusterView, at_ms: u64) -> String {
    span_ms(view.at_ms.saturating_sub(at_ms))
}

fn records(pen: &mut Pen<'_>, view: &ClusterView, records: &[MetadataLine], area: Rect) {
    let theme = pen.theme;
    if records.is_empty() {
        pen.text(area.x, area.y, area.width, "none is known since these brokers started", theme.fg(Role::Dim));
    }
    for (y, line) in (area.y..area.bottom()).zip(records) {
        pen.right(area.x, area.x + 7, y, &offset(line.offset), theme.fg(Role::Text));
        let epoch = format!(" e{} ", line.epoch);
        let x = pen.text(area.x + 8, y, width(&epoch), &epoch, theme.epoch(line.epoch)) + 1;
        let mut facts: Vec<Piece<'_>> = Vec::new();
        if !line.is_committed {
            facts.push(piece("not committed  ", theme.fg(Role::Lag)));
        }
        facts.push(piece(format!("{} ago", ago(view, line.at_ms)), theme.fg(Role::Dim)));
        let until = pen.pieces_right(x, area.right(), y, &facts);
        let cells = until.saturating_sub(x + 1);
        pen.text(x, y, cells, &cut_middle(&line.text, cells), theme.fg(Role::Text));
    }
}

fn votes(pen: &mut Pen<'_>, view: &ClusterView, votes: &[VoteNote], area: Rect) {
    let theme = pen.theme;
    if votes.is_empty() {
        pen.text(
            area.x,
            area.y,
            area.width,
            "nobody has asked for a vote since these brokers started",
            theme.fg(Role::Dim),
        );
    }
    for (y, note) in (area.y..area.bottom()).zip(votes) {
        let told = format!("{} ago", ago(view, note.at_ms));
        let until = pen.right(area.x, area.right(), y, &told, theme.fg(Role::Dim));
        let name = if note.is_pre_vote { "pre-vote" } else { "vote" };
        let (glyph, role, why) = match &note.refusal {
            None => (glyphs::DONE, Role::Sync, "granted"),
            Some(why) => (glyphs::DEAD, Role::Dead, why.as_str()),
        };
        let pieces = [
            piece(format!("{:<9}", name), theme.fg(Role::Dim)),
            piece(format!("{} asks {} ", note.candidate, note.voter), theme.bold(Role::Text)),
            piece(format!("for epoch {:<4}", note.epoch), theme.fg(Role::Text)),
            piece(format!("{glyph} {why}"), theme.fg(role)),
        ];
        pen.pieces(area.x, y, until.saturating_sub(area.x + 1), &pieces);
    }
}
