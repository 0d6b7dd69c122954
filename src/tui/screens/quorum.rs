//! The Quorum screen: who votes, who leads, what each voter's metadata log holds, and what an election waits for.
//!
//! ```text
//! ╭╌ ✕ broker 1 cut off ╌╌╌╌╌╌╮ ╭─ ● broker 2 follows ──────╮ ╭─ ☆ broker 3 candidate ────╮
//! ╎ thinks it leads 11        ╎ │ follows 1                 │ │ stands for epoch 12       │
//! ╰╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╯ ╰───────────────────────────╯ ╰───────────────────────────╯
//! Votes for epoch 12 ───────────────────────────────────────────────── majority = 2 of 3
//! 1 of 2 needed ▆▆▆▆▆ ✓ 3 ▆▆▆▆▆▆▆ ? 2, asked            ┃ – 1, link is cut
//! Metadata log ────────────────────────────────────────── newest 24 records, by epoch
//! ★ broker 1   epoch 10▏ ▏ ▏ ▏epoch 11▏ ▏ ▏ ▏ ▏ ▏ ▏ ▏ ▏ ▏┃▂▂▂▂▂▂       3 not committed
//! ```
//! Invariants: draws brokers, rings and nothing else, so that it costs the same whatever the cluster holds; an epoch has one fill, in
//! logs, ribbon and list.
//!
//! Deliberately not here: how logs and lists are drawn (`lanes`, `lists`).

mod lanes;
mod lists;

use crate::cluster::view::{
    Ballot, BrokerId, ClockMode, ClusterView, QuorumReplica, QuorumStanding, QuorumView, Reach, Vote,
};
use crate::tui::glyphs;
use crate::tui::layout::{Frame, Height};
use crate::tui::model::Model;
use crate::tui::numbers::{UNKNOWN, offset, span_ms};
use crate::tui::pen::{Pen, Piece, cut_middle, piece, width};
use crate::tui::theme::{Ground, Role};
use crate::tui::widgets::hints::{self, HintRow};
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

/// Cells for `1 of 2 needed`.
const TALLY_CELLS: u16 = 15;
/// The votes of so many candidates are shown.
const BALLOTS_MAX: usize = 2;

/// Where the parts stand.
struct Plan {
    cards: Rect,
    votes: Rect,
    ballot_rows: u16,
    log: Rect,
    lanes: usize,
    lane_rows: u16,
    lane_gap: u16,
    bottom: Rect,
}

/// Whether there is room for borders.
fn is_bordered(frame: Frame) -> bool {
    frame.height > Height::Short
}

fn plan(quorum: &QuorumView, frame: Frame) -> Plan {
    let body = Rect { x: frame.body.x + 1, width: frame.body.width.saturating_sub(2), ..frame.body };
    let bordered = is_bordered(frame);
    let roomy = body.height >= 32;
    let card_rows = match (bordered, roomy) {
        (false, _) => 3,
        (true, false) => 6,
        (true, true) => 8,
    };
    let ballot_rows = if roomy { 2 } else { 1 };
    let ballots = u16::try_from(quorum.ballots.len().clamp(1, BALLOTS_MAX)).unwrap_or(1);
    let votes = 1 + ballots * ballot_rows + u16::from(bordered);
    let (around, bottom_least) =
        if bordered { (3, if roomy { 8 } else { 7 }) } else { (1 + u16::from(body.height >= 18), 2) };
    let room = body.height.saturating_sub(card_rows + votes + around + bottom_least);
    let voters = quorum.replicas.iter().filter(|replica| replica.is_voter).count();
    let all = quorum.replicas.len();
    let rows_of = |lanes: usize, rows: u16, gap: u16| {
        let tall = lanes.min(voters) as u16 * (rows + gap);
        tall + lanes.saturating_sub(voters) as u16
    };
    let fits = |lanes: usize, rows: u16, gap: u16| rows_of(lanes, rows, gap) <= room;
    let shapes: &[(u16, u16)] = if bordered { &[(3, 1), (2, 1), (1, 1), (1, 0)] } else { &[(1, 0)] };
    // All of them small rather than some of them tall, as far as there is room.
    let lanes = (voters..=all).rev().find(|lanes| fits(*lanes, 1, 0)).unwrap_or(voters.min(usize::from(room)));
    let (lane_rows, lane_gap) = shapes.iter().copied().find(|(rows, gap)| fits(lanes, *rows, *gap)).unwrap_or((1, 0));
    let log_rows = around + rows_of(lanes, lane_rows, lane_gap);
    let mut y = body.y;
    let mut take = |height: u16| {
        let part = Rect { y, height: height.min(body.bottom().saturating_sub(y)), ..body };
        y = part.bottom();
        part
    };
    let (cards, votes, log) = (take(card_rows), take(votes), take(log_rows));
    let bottom = take(u16::MAX);
    Plan { cards, votes, ballot_rows, log, lanes, lane_rows, lane_gap, bottom }
}

/// Draws the screen into the frame's body.
pub fn draw(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let Some(quorum) = &view.quorum else { return };
    if quorum.replicas.iter().all(|replica| replica.standing == QuorumStanding::Unknown) {
        nobody(pen, frame.body);
        return;
    }
    let plan = plan(quorum, frame);
    cards(pen, model, view, quorum, plan.cards, is_bordered(frame));
    votes(pen, quorum, &plan, is_bordered(frame));
    let shape = lanes::Shape { rows: plan.lane_rows, gap: plan.lane_gap, lanes: plan.lanes };
    lanes::draw(pen, quorum, plan.log, shape, frame);
    lists::draw(pen, model, view, quorum, plan.bottom, is_bordered(frame));
}

fn nobody(pen: &mut Pen<'_>, body: Rect) {
    let text = "No voter has been heard of yet: each reads its log, then they elect a controller.";
    let y = body.y + body.height / 2;
    let cells = width(text).min(body.width);
    pen.text(body.x + (body.width - cells) / 2, y, cells, text, pen.theme.fg(Role::Dim));
}

/// How a broker is shown: glyph, role and word.
fn mark(replica: &QuorumReplica) -> (&'static str, Role, &'static str) {
    match (replica.reach, replica.standing) {
        (Reach::Down, _) => (glyphs::DEAD, Role::Dead, "down"),
        (Reach::Frozen, _) => (glyphs::HALTED, Role::Lag, "suspended"),
        (_, QuorumStanding::Unknown) => (glyphs::STARTING, Role::Lag, "starting"),
        (Reach::Few, QuorumStanding::Leader) => (glyphs::CONTROLLER, Role::Dead, "cut off"),
        (Reach::Few, _) if !replica.cut_from.is_empty() => (glyphs::DEAD, Role::Dead, "cut off"),
        (_, QuorumStanding::Leader) => (glyphs::CONTROLLER, Role::Lead, "controller"),
        (_, QuorumStanding::Candidate) => (glyphs::VOTER, Role::Lead, "candidate"),
        (_, QuorumStanding::Prospective) => (glyphs::VOTER, Role::Lead, "asks first"),
        (_, QuorumStanding::Follower) => (glyphs::ALIVE, Role::Sync, "follows"),
        (_, QuorumStanding::Observer) => (glyphs::ALIVE, Role::Sync, "observes"),
        (_, QuorumStanding::Unattached) => (glyphs::OUT_OF_SYNC, Role::Lag, "knows no leader"),
        (_, QuorumStanding::Resigned) => (glyphs::OUT_OF_SYNC, Role::Lag, "has resigned"),
    }
}

/// What it does, in a sentence without an end.
fn status(view: &ClusterView, replica: &QuorumReplica, quorum: &QuorumView) -> String {
    let left = |word: &str| match &replica.timer {
        Some(timer) => format!("{word} in {}", span_ms(timer.at_ms.saturating_sub(view.at_ms) / 10 * 10)),
        None => String::new(),
    };
    // At full speed it would only flicker.
    let is_slow = !matches!(view.clock, ClockMode::Live { speed_permille } if speed_permille > 250);
    let epoch = replica.epoch;
    match (replica.reach, replica.standing) {
        (Reach::Down | Reach::Frozen, QuorumStanding::Leader) => format!("led epoch {epoch}"),
        (Reach::Down | Reach::Frozen, _) => "no answer".to_owned(),
        (_, QuorumStanding::Unknown) => "reads its log".to_owned(),
        (Reach::Few, QuorumStanding::Leader) => format!("thinks it leads {epoch}, {}", left("resigns")),
        (_, QuorumStanding::Leader) => {
            let since = quorum.terms.iter().rev().find(|term| term.leader == replica.broker);
            let since = since.map(|term| span_ms(view.at_ms.saturating_sub(term.from_ms)));
            since.map_or(format!("leads epoch {epoch}"), |since| format!("leads epoch {epoch} for {since}"))
        }
        (_, QuorumStanding::Candidate) => match &replica.timer {
            Some(timer) if timer.why == "election backoff" => {
                format!("did not win {epoch}, {}", left("tries again"))
            }
            _ => format!("stands for epoch {epoch}"),
        },
        (_, QuorumStanding::Prospective) => format!("asks whether it would win {}", epoch + 1),
        (_, QuorumStanding::Follower | QuorumStanding::Observer) => {
            let leader = replica.leader.map_or_else(|| UNKNOWN.to_owned(), |leader| leader.to_string());
            match is_slow && replica.is_voter && replica.timer.is_some() {
                true => format!("follows {leader}, misses it {}", left("").trim()),
                false => format!("follows {leader}"),
            }
        }
        (_, QuorumStanding::Unattached | QuorumStanding::Resigned) => {
            let voted = match replica.voted_for {
                _ if replica.standing == QuorumStanding::Resigned => format!("resigned in epoch {epoch}"),
                Some(other) => format!("voted for {other} in {epoch}"),
                None => format!("has not voted in {epoch}"),
            };
            if replica.timer.is_some() { format!("{voted}, {}", left("stands")) } else { voted }
        }
    }
}

/// The voter whose card is at a place.
pub fn card_at(view: &ClusterView, frame: Frame, x: u16, y: u16) -> Option<BrokerId> {
    let quorum = view.quorum.as_ref()?;
    let area = plan(quorum, frame).cards;
    if !area.contains(Position { x, y }) {
        return None;
    }
    let place = usize::from((x - area.x) / card_step(quorum, area));
    voters(quorum).nth(place).map(|replica| replica.broker)
}

/// From card to card.
fn card_step(quorum: &QuorumView, area: Rect) -> u16 {
    let count = u16::try_from(voters(quorum).count()).unwrap_or(1).max(1);
    ((area.width + 1) / count).max(1)
}

fn voters(quorum: &QuorumView) -> impl Iterator<Item = &QuorumReplica> {
    quorum.replicas.iter().filter(|replica| replica.is_voter)
}

/// A card for each voter, side by side.
fn cards(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, quorum: &QuorumView, area: Rect, bordered: bool) {
    let each = card_step(quorum, area);
    for (at, replica) in (0..).zip(voters(quorum)) {
        let card = Rect { x: area.x + at * each, width: each.saturating_sub(1), ..area };
        let is_selected = model.cluster.broker == Some(replica.broker);
        if bordered {
            big_card(pen, view, quorum, replica, card, is_selected);
        } else {
            small_card(pen, view, quorum, replica, card, is_selected);
        }
    }
}

fn voted(replica: &QuorumReplica) -> String {
    match replica.voted_for {
        Some(other) if other == replica.broker => "itself".to_owned(),
        Some(other) => other.to_string(),
        None if replica.standing == QuorumStanding::Unattached => "undecided".to_owned(),
        None => UNKNOWN.to_owned(),
    }
}

fn small_card(
    pen: &mut Pen<'_>,
    view: &ClusterView,
    quorum: &QuorumView,
    replica: &QuorumReplica,
    card: Rect,
    is_selected: bool,
) {
    let theme = pen.theme;
    let (glyph, role, word) = mark(replica);
    if is_selected {
        pen.ground(Rect { height: 1, ..card }, Ground::Raise);
        pen.text(card.x, card.y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
    }
    let inside = Rect { x: card.x + 1, width: card.width.saturating_sub(1), ..card };
    let name =
        [piece(format!("{glyph} broker {} ", replica.broker), theme.bold(role)), piece(word, theme.fg(Role::Dim))];
    pen.pieces(inside.x, inside.y, inside.width, &name);
    let text = status(view, replica, quorum);
    let text =
        if width(&text) > inside.width { format!("epoch {}, vote {}", replica.epoch, voted(replica)) } else { text };
    let style = theme.fg(if role == Role::Sync { Role::Dim } else { role });
    pen.text(inside.x, inside.y + 1, inside.width, &text, style);
    let ends = [
        piece("end ", theme.fg(Role::Dim)),
        piece(offset(replica.log_end), theme.bold(Role::Text)),
        piece("  hw ", theme.fg(Role::Dim)),
        piece(offset(replica.high_watermark), theme.fg(Role::Text)),
    ];
    pen.pieces(inside.x, inside.y + 2, inside.width, &ends);
}

fn big_card(
    pen: &mut Pen<'_>,
    view: &ClusterView,
    quorum: &QuorumView,
    replica: &QuorumReplica,
    card: Rect,
    is_selected: bool,
) {
    let theme = pen.theme;
    let (glyph, role, word) = mark(replica);
    let border = match role {
        _ if is_selected => Role::Focus,
        Role::Sync => Role::Line,
        other => other,
    };
    let dashed = replica.reach != Reach::Majority;
    let title =
        [piece(format!("{glyph} broker {} ", replica.broker), theme.bold(role)), piece(word, theme.fg(Role::Dim))];
    let inside = pen.frame(card, theme.fg(border), dashed, &title, &[]);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    let style = if role == Role::Sync { theme.fg(Role::Dim) } else { theme.bold(role) };
    let text = status(view, replica, quorum);
    pen.text(inside.x, inside.y, inside.width, &cut_middle(&text, inside.width), style);
    let is_tall = inside.height >= 6;
    let mut y = inside.y + if is_tall { 2 } else { 1 };
    let mut row = |pen: &mut Pen<'_>, name: &str, value: &[Piece<'_>]| {
        if y < inside.bottom() {
            let x = pen.text(inside.x, y, 11, name, theme.fg(Role::Dim)).max(inside.x + 11);
            pen.pieces(x, y, inside.right().saturating_sub(x), value);
        }
        y += 1;
    };
    let (value, number) = (theme.fg(Role::Text), theme.bold(Role::Text));
    let open = replica.uncommitted(quorum.committed);
    let beyond =
        if open > 0 && inside.width >= 34 && !is_tall { format!("  {open} not committed") } else { String::new() };
    if is_tall {
        row(pen, "epoch", &[piece(replica.epoch.to_string(), number)]);
    } else {
        let vote = piece(format!("  vote {}", voted(replica)), theme.fg(Role::Dim));
        row(pen, "epoch", &[piece(replica.epoch.to_string(), number), vote]);
    }
    row(pen, "log end", &[piece(offset(replica.log_end), number), piece(beyond, theme.fg(Role::Dim))]);
    row(pen, "watermark", &[piece(offset(replica.high_watermark), value)]);
    if is_tall {
        row(pen, "voted for", &[piece(voted(replica), number)]);
        badge(pen, quorum, replica.broker, inside);
    }
}

/// What the voter says to whoever stands: a small box at the right.
fn badge(pen: &mut Pen<'_>, quorum: &QuorumView, voter: BrokerId, inside: Rect) {
    let theme = pen.theme;
    let Some(ballot) = quorum.ballots.first().filter(|ballot| !ballot.is_won) else { return };
    let own = quorum.ballots.iter().find(|ballot| ballot.candidate == voter && !ballot.is_pre_vote);
    let ballot = own.unwrap_or(ballot);
    let vote = ballot.votes.iter().find(|(other, _)| *other == voter).map(|(_, vote)| vote);
    let (text, role) = match vote {
        Some(Vote::Granted) if ballot.candidate == voter => (format!("{} own vote", glyphs::DONE), Role::Lead),
        Some(Vote::Granted) => (format!("{} votes for {}", glyphs::DONE, ballot.candidate), Role::Lead),
        Some(Vote::Asked) => ("vote asked".to_owned(), Role::Lag),
        Some(Vote::Refused(_)) => (format!("{} refuses", glyphs::DEAD), Role::Dead),
        Some(Vote::Silent(_)) => ("no answer".to_owned(), Role::Faint),
        Some(Vote::Open) | None => return,
    };
    let cells = width(&text) + 4;
    if inside.width < cells + 26 || inside.height < 5 {
        return;
    }
    let area = Rect { x: inside.right() - cells, y: inside.y + 2, width: cells, height: 3 };
    let is_silent = matches!(vote, Some(Vote::Silent(_)));
    let inside = pen.frame(area, theme.fg(role), is_silent, &[], &[]);
    pen.text(inside.x + 1, inside.y, inside.width, &text, theme.bold(role));
}

fn votes(pen: &mut Pen<'_>, quorum: &QuorumView, plan: &Plan, bordered: bool) {
    let (area, theme) = (plan.votes, pen.theme);
    let count = voters(quorum).count();
    let title = match quorum.ballots.first() {
        Some(ballot) if ballot.is_pre_vote => format!("Pre-votes for epoch {}", ballot.epoch),
        Some(ballot) if ballot.is_won => format!("Votes for epoch {}, won by {}", ballot.epoch, ballot.candidate),
        Some(ballot) => format!("Votes for epoch {}", ballot.epoch),
        None => format!("Votes for epoch {}", quorum.epoch),
    };
    let facts = [piece(format!("majority = {} of {count}", quorum.needed), theme.fg(Role::Dim))];
    pen.rule(area.x, area.right(), area.y, &[piece(title, theme.bold(Role::Text))], &facts);
    if quorum.ballots.is_empty() {
        pen.text(area.x, area.y + 1, area.width, "no vote of this epoch is known any more", theme.fg(Role::Dim));
        return;
    }
    let bar_at = area.x + TALLY_CELLS;
    let each = (area.right().saturating_sub(bar_at + 1) / u16::try_from(count.max(1)).unwrap_or(1)).max(4);
    let needed = u16::try_from(quorum.needed).unwrap_or(1);
    let mark_at = bar_at + needed * each;
    let many = quorum.ballots.len() > 1;
    let mut y = area.y + 1;
    for ballot in quorum.ballots.iter().take(BALLOTS_MAX) {
        ballot_bar(pen, ballot, Rect { y, height: plan.ballot_rows, ..area }, each, (needed, quorum.needed), many);
        y += plan.ballot_rows;
    }
    for row in area.y + 1..y {
        pen.text(mark_at, row, 1, glyphs::BAR, theme.bold(Role::Text));
    }
    if bordered {
        let text = "majority";
        let x = mark_at.saturating_sub(width(text) / 2).min(area.right().saturating_sub(width(text)));
        pen.text(x, y, width(text), text, theme.bold(Role::Text));
    }
}

/// In which order votes stand in the bar: what counts comes first.
fn rank(vote: &Vote) -> u8 {
    match vote {
        Vote::Granted => 0,
        Vote::Asked => 1,
        Vote::Open => 2,
        Vote::Refused(_) => 3,
        Vote::Silent(_) => 4,
    }
}

fn ballot_bar(pen: &mut Pen<'_>, ballot: &Ballot, area: Rect, each: u16, needed: (u16, usize), many: bool) {
    let theme = pen.theme;
    let has = piece(ballot.granted().to_string(), theme.bold(Role::Lead));
    let of = piece(format!(" of {}", needed.1), theme.fg(Role::Text));
    let tally = match many {
        true => {
            let what = if ballot.is_pre_vote { "pre" } else { "for" };
            vec![piece(format!("{what} {}  ", ballot.candidate), theme.fg(Role::Text)), has, of]
        }
        false if ballot.is_won => vec![has, piece(format!(" of {} voted", ballot.votes.len()), theme.fg(Role::Dim))],
        false => vec![has, of, piece(" needed", theme.fg(Role::Dim))],
    };
    pen.pieces(area.x, area.y, TALLY_CELLS - 1, &tally);
    let mut votes: Vec<&(BrokerId, Vote)> = ballot.votes.iter().collect();
    votes.sort_by_key(|(voter, vote)| (rank(vote), *voter != ballot.candidate, *voter));
    for (at, (voter, vote)) in (0u16..).zip(votes) {
        let after_mark = u16::from(at >= needed.0);
        let x = area.x + TALLY_CELLS + at * each + after_mark;
        let cells = each - 1;
        let (text, style, line): (String, Style, Role) = match vote {
            Vote::Granted if cells < 12 => (format!("{} {voter}", glyphs::DONE), theme.chip(Role::Lead), Role::Lead),
            Vote::Granted => (format!("{} broker {voter}", glyphs::DONE), theme.chip(Role::Lead), Role::Lead),
            Vote::Asked => (format!("? {voter}, asked"), theme.bold(Role::Lag), Role::LagLow),
            Vote::Open if *voter == ballot.candidate => {
                (format!("? {voter}, being written"), theme.bold(Role::Lag), Role::LagLow)
            }
            Vote::Open if ballot.is_won => (format!("· {voter}, was not needed"), theme.fg(Role::Dim), Role::Line),
            Vote::Open => (format!("· {voter}, not asked yet"), theme.fg(Role::Dim), Role::Line),
            Vote::Refused(why) => (refused(*voter, why, cells), theme.fg(Role::Dead), Role::DeadLow),
            Vote::Silent(why) => (format!("– {voter}, {why}"), theme.fg(Role::Dim), Role::Line),
        };
        if *vote == Vote::Granted {
            for row in area.rows() {
                pen.text(x, row.y, cells, &" ".repeat(usize::from(cells)), style);
            }
        } else if area.height > 1 {
            pen.repeat(x, area.bottom() - 1, cells, "▁", theme.fg(line));
        }
        let text = cut_middle(&text, cells);
        pen.text(x + cells.saturating_sub(width(&text)) / 2, area.y, cells, &text, style);
    }
}

/// `✕ 2, it chose itself`, or shorter.
fn refused(voter: BrokerId, why: &str, cells: u16) -> String {
    let long = format!("{} {voter}, {why}", glyphs::DEAD);
    let short = format!("{} {voter} {}", glyphs::DEAD, why.trim_start_matches("it "));
    if width(&long) <= cells { long } else { short }
}

/// The row of keys.
pub fn hints(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let row = HintRow::begin(pen, frame);
    let time = hints::space(view);
    let list = if model.quorum.shows_votes { "records" } else { "votes" };
    let can = view.host.can;
    let keys = [
        ("h l", "voter", true),
        (".", "next step", can.step),
        ("v", list, true),
        ("K", "kill −9", can.faults),
        ("X", "cut link", can.faults),
        ("↵", "actions", can.faults),
        ("Space", time, can.pause),
        ("[ ]", "±1 s", can.rewind),
        ("Esc", "cluster", true),
    ];
    row.keys(pen, &keys);
}
