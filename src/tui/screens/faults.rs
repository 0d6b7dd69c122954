//! The Faults screen: every link with what is wrong with it, one link from the inside, what acts now, and what an action would do.
//!
//! ```text
//! ╭─ Links ─────────────── row sends to column ─╮ ╭─ Broker 3 ──────────────────╮
//! │ FROM  TO ▸  broker 1   broker 2   clients   │ │ K kill −9   the cache stays │
//! │ broker 1       ╲        ✕ cut        ·      │ │ If you kill 3 now ───────── │
//! ╰─────────────────────────────────────────────╯ ╰─────────────────────────────╯
//! ╭─ Link 1 → 2 ────────────────────────────────╮ ╭─ Active faults ─────────────╮
//! ```
//! Invariants: a link is directed, so that a cut in one direction looks like one; only what deviates is bright; what an action would
//! do is the host's forecast, never a guess of the screen's; what is not known never looks harmless.
//!
//! Deliberately not here: times of healthy links (nobody measures them); what keys mean (`update::faults`).

mod link;
mod matrix;
mod side;

use crate::cluster::link::CLIENTS;
use crate::cluster::view::{BrokerId, BrokerState, ClusterView, FaultKind};
use crate::tui::glyphs;
use crate::tui::layout::{Frame, Width};
use crate::tui::model::{FaultsPane, Model};
use crate::tui::pen::{Pen, Piece, piece};
use crate::tui::theme::Role;
use crate::tui::widgets::hints::HintRow;
use ratatui::layout::Rect;

pub use side::listed as active_faults;

/// A link's panel needs so many rows with its border.
const LINK_ROWS: u16 = 8;
/// ... and shows everything without blank rows in so many.
const LINK_ROWS_EASY: u16 = 11;
/// The rows of a broker's actions, of the forecast's heading and of its points.
const BROKER_ROWS: u16 = 8 + 1 + 5 + 2;

/// The ends of links: the brokers in order, then the clients.
pub fn ends(view: &ClusterView) -> Vec<BrokerId> {
    view.brokers.iter().map(|card| card.id).chain([CLIENTS]).collect()
}

/// The selected link, its sender first.
pub fn selected(model: &Model) -> Option<(BrokerId, BrokerId)> {
    let ends = ends(&model.view);
    let has = |end: Option<BrokerId>| end.filter(|end| ends.contains(end));
    let first = *ends.first().filter(|_| ends.len() > 1)?;
    Some((has(model.faults.from).unwrap_or(first), has(model.faults.to).unwrap_or(ends[1])))
}

/// The line that the forecast is about: the one that waits for its key, else the kill (or the start) of the broker.
pub fn foretold(model: &Model) -> Option<String> {
    if let Some(armed) = &model.armed {
        return Some(armed.forecast.line.clone());
    }
    let card = model.view.brokers.iter().find(|card| Some(card.id) == model.cluster.broker)?;
    Some(if card.state.is_dead() { format!("start {}", card.id) } else { format!("kill {}", card.id) })
}

/// What is where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panels {
    /// The matrix, with its border where there is one.
    pub links: Rect,
    /// The selected link; no rows where there is no room.
    pub link: Rect,
    /// Actions on the broker and what they would do.
    pub broker: Rect,
    /// The list of active faults.
    pub active: Rect,
    /// Whether they have borders.
    pub framed: bool,
}

impl Panels {
    /// What is where in a frame.
    pub fn of(frame: Frame, view: &ClusterView) -> Panels {
        let body = frame.body;
        let ends = u16::try_from(view.brokers.len()).unwrap_or(u16::MAX).saturating_add(1);
        if frame.width < Width::Medium {
            let inside = Rect { x: body.x + 1, width: body.width.saturating_sub(2), ..body };
            let links = Rect { height: (ends + 1).min(body.height.saturating_sub(9).max(3)), ..inside };
            let link =
                Rect { y: links.bottom(), height: 2.min(body.bottom().saturating_sub(links.bottom())), ..inside };
            let rest = body.bottom().saturating_sub(link.bottom());
            let broker = Rect { y: link.bottom(), height: rest.min((rest / 2).clamp(3, 5)), ..inside };
            let active = Rect { y: broker.bottom(), height: rest - broker.height, ..inside };
            return Panels { links, link, broker, active, framed: false };
        }
        let right = (body.width / 3).clamp(40, 54);
        let left = Rect { width: body.width - right - 1, ..body };
        let side = Rect { x: left.right() + 1, width: right, ..body };
        // Rows of three, two or one, as high as leaves the link its panel.
        let tall = |rows: u16, room: u16| (ends * rows + 3 + room <= body.height).then_some(ends * rows + 3);
        let height = tall(3, LINK_ROWS_EASY).or(tall(2, LINK_ROWS_EASY)).or(tall(2, LINK_ROWS)).or(tall(1, LINK_ROWS));
        let links =
            Rect { height: height.unwrap_or(body.height.saturating_sub(LINK_ROWS).max(6)).min(body.height), ..left };
        let link = Rect { y: links.bottom(), height: body.height - links.height, ..left };
        let upper = (BROKER_ROWS + 3 * u16::from(body.height > BROKER_ROWS + 10)).min(body.height * 2 / 3);
        let broker = Rect { height: upper, ..side };
        let active = Rect { y: broker.bottom(), height: side.height - upper, ..side };
        Panels { links, link, broker, active, framed: true }
    }
}

/// What stands at a place of the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hit {
    /// A link of the matrix.
    Link(BrokerId, BrokerId),
    /// Somewhere else about links.
    Links,
    /// The panel of the broker.
    Broker,
    /// A fault of the list, by its words; `None`: no fault.
    Active(Option<String>),
    /// Nothing of this screen's.
    Nothing,
}

/// What stands at a cell.
pub fn hit(model: &Model, view: &ClusterView, frame: Frame, x: u16, y: u16) -> Hit {
    let panels = Panels::of(frame, view);
    let is_in = |area: Rect| area.contains(ratatui::layout::Position { x, y });
    if is_in(panels.links) {
        let grid = matrix::Grid::of(model, view, inner(panels, panels.links));
        return grid.at(x, y).map_or(Hit::Links, |(from, to)| Hit::Link(from, to));
    }
    match () {
        () if is_in(panels.link) => Hit::Links,
        () if is_in(panels.broker) => Hit::Broker,
        () if is_in(panels.active) => {
            let area = inner(panels, panels.active);
            let first = if panels.framed { area.y } else { area.y + 1 };
            let rows = area.bottom().saturating_sub(first);
            let place = usize::from(y.saturating_sub(first));
            let (skip, shown) = side::window(model, view, rows);
            let fault = view.faults.iter().skip(skip).take(shown).nth(place).filter(|_| y >= first);
            Hit::Active(fault.map(|fault| fault.text.clone()))
        }
        () => Hit::Nothing,
    }
}

/// The inside of a panel.
fn inner(panels: Panels, area: Rect) -> Rect {
    if !panels.framed {
        return area;
    }
    Rect { x: area.x + 2, y: area.y + 1, width: area.width.saturating_sub(4), height: area.height.saturating_sub(2) }
}

/// Draws the screen into the frame's body.
pub fn draw(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let panels = Panels::of(frame, view);
    let border = |pane| if model.faults.pane == pane { Role::Focus } else { Role::Line };
    let name = |pane| if model.faults.pane == pane { Role::Focus } else { Role::Text };
    let theme = *pen.theme;
    if panels.framed {
        let facts = [piece("row sends to column", theme.fg(Role::Dim))];
        let title = [piece("Links", theme.bold(name(FaultsPane::Links)))];
        pen.frame(panels.links, theme.fg(border(FaultsPane::Links)), false, &title, &facts);
    }
    matrix::draw(pen, model, view, inner(panels, panels.links));
    if panels.link.height > 1 {
        link::draw(pen, model, view, panels);
    }
    let (title, facts) = side::broker_title(model, view, theme.bold(name(FaultsPane::Broker)), &theme);
    if panels.framed {
        pen.frame(panels.broker, theme.fg(border(FaultsPane::Broker)), false, &title, &facts);
        side::actions(pen, model, view, inner(panels, panels.broker));
    } else {
        side::forecast(pen, model, view, panels.broker);
    }
    if panels.active.height < 2 {
        return;
    }
    let is_short = panels.active.width < 44;
    let keys = match (model.faults.pane == FaultsPane::Active, is_short) {
        (true, false) => [("↵", " undo it   "), ("H", " heal all")],
        (false, false) => [("u", " undo last   "), ("H", " heal all")],
        (true, true) => [("↵", " undo  "), ("H", " all")],
        (false, true) => [("u", " undo  "), ("H", " all")],
    };
    let keys: Vec<Piece<'_>> = keys
        .into_iter()
        .flat_map(|(key, word)| [piece(key, theme.bold(Role::Focus)), piece(word, theme.fg(Role::Dim))])
        .collect();
    let title = [piece("Active faults", theme.bold(name(FaultsPane::Active)))];
    let area = if panels.framed {
        pen.frame(panels.active, theme.fg(border(FaultsPane::Active)), false, &title, &keys);
        inner(panels, panels.active)
    } else {
        pen.rule(panels.active.x, panels.active.right(), panels.active.y, &title, &keys);
        Rect { y: panels.active.y + 1, height: panels.active.height - 1, ..panels.active }
    };
    side::active(pen, model, view, area);
}

/// `3`, `clients`: an end of a link as the matrix names it.
fn end_name(end: BrokerId, is_long: bool) -> String {
    match (end == CLIENTS, is_long) {
        (true, _) => "clients".to_owned(),
        (false, true) => format!("broker {end}"),
        (false, false) => end.to_string(),
    }
}

/// How a kind of fault is shown.
fn mark(kind: FaultKind) -> (&'static str, Role) {
    match kind {
        FaultKind::Down | FaultKind::Cut | FaultKind::Disk => (glyphs::DEAD, Role::Dead),
        FaultKind::Suspended => (glyphs::HALTED, Role::Lag),
        FaultKind::Slow | FaultKind::Clock => (glyphs::SLOW, Role::Lag),
        FaultKind::Loss => (glyphs::LOSSY, Role::Lag),
    }
}

/// Whether an end does not answer.
fn is_down(view: &ClusterView, end: BrokerId) -> bool {
    view.brokers.iter().any(|card| card.id == end && card.state.is_dead())
}

/// Whether an end is frozen.
fn is_frozen(view: &ClusterView, end: BrokerId) -> bool {
    view.brokers.iter().any(|card| card.id == end && card.state == BrokerState::Suspended)
}

/// The row of keys.
pub fn hints(pen: &mut Pen<'_>, model: &Model, frame: Frame) {
    let row = HintRow::begin(pen, frame);
    let (links, broker, active) = match model.faults.pane {
        FaultsPane::Links => (true, false, false),
        FaultsPane::Broker => (false, true, false),
        FaultsPane::Active => (false, false, true),
    };
    let can = model.view.host.can.faults;
    let keys = [
        ("hjkl", "link", links),
        ("h l", "other broker", broker),
        ("j k", "fault", active),
        ("↵", "edit", links && can),
        ("↵", "undo it", active && can),
        ("c", "cut one way", links && can),
        ("X", "cut both", links && can),
        ("t", "delay", links && can),
        ("o", "loss", links && can),
        ("K", "kill −9", broker && can),
        ("W", "slow disk", broker && can),
        ("u", "undo last", can),
        ("H", "heal all", can),
        ("Tab", "next pane", true),
        ("Esc", "cluster", true),
    ];
    row.keys(pen, &keys);
}
