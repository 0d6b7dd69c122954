//! Draws the console: a pure function from model, picture, theme and size to a buffer.
//!
//! ```text
//! kafkarium  1 Cluster     local · 5 brokers  y localhost:9092,…   ● LIVE  12:04:31.520
//!
//!  FAILOVER  Broker 2 died 2.4 s ago. 3 partitions have new leaders.             w why?
//! ▲ ledger  …
//! (screen)
//! Timeline ─────────────────────────────────────────────────────────────────────────────
//! K kill −9  R restart  S suspend  p produce …                        : command  ? help
//! ```
//! Invariants: no input beside its arguments; the same arguments give the same cells; reduction to 16 colours and to
//! ASCII comes last, over the finished buffer.

use super::glyphs;
use super::headline::{self, Mood, Tone};
use super::keymap::{self, Action};
use super::layout::{Frame, Height, Width};
use super::model::{Model, Pane, Screen};
use super::numbers::{count, moment, plural, span_ms};
use super::overlays::{self, Overlay, toast};
use super::pen::{Pen, Piece, piece, pieces_width, width};
use super::screens::{cluster, empty, faults, groups, messages, partition, quorum, start, topics, wire};
use super::theme::{Ground, Role, Theme};
use super::widgets::hints::{HintRow, space};
use super::widgets::timeline;
use crate::cluster::view::{ClockMode, ClusterView, Weight, WorldFacts};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tui_input::Input;

/// Draws everything into `area` of `buffer`.
pub fn draw(model: &Model, view: &ClusterView, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let mut pen = Pen { buffer, theme };
    pen.clear(area, Ground::Canvas);
    match Frame::of(area, model.is_dense()) {
        None => start::too_small(&mut pen, area, view.host.can.pause),
        Some(frame) => framed(&mut pen, model, view, frame),
    }
    finish(theme, buffer);
}

/// The last pass over a finished buffer: fewer colours, only ASCII.
pub fn finish(theme: &Theme, buffer: &mut Buffer) {
    theme.reduce(buffer);
    if theme.ascii {
        glyphs::ascii(buffer);
    }
}

fn framed(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    header(pen, model, view, frame);
    headline_row(pen, view, frame);
    if let Some(y) = frame.ledger {
        ledger(pen, view, frame, y);
    }
    if model.is_empty() {
        let body = Rect { height: frame.body.height + frame.timeline.height, ..frame.body };
        empty::draw(pen, view, body);
    } else if model.screen == Screen::Partition {
        partition::draw(pen, model, view, frame);
        timeline::draw(pen, &frame, view, model.cluster.event, false);
    } else if model.screen == Screen::Groups {
        groups::draw(pen, model, view, frame);
        timeline::draw(pen, &frame, view, model.cluster.event, false);
    } else if let Some(shown) = model.shown_messages() {
        messages::draw(pen, shown, view, frame);
        timeline::draw(pen, &frame, view, model.cluster.event, false);
    } else if model.screen == Screen::Topics {
        topics::draw(pen, model, view, frame);
        timeline::draw(pen, &frame, view, model.cluster.event, false);
    } else if model.screen == Screen::Quorum {
        quorum::draw(pen, model, view, frame);
        timeline::draw(pen, &frame, view, model.cluster.event, false);
    } else if model.screen == Screen::Wire {
        wire::draw(pen, model, view, frame);
        timeline::draw(pen, &frame, view, model.cluster.event, false);
    } else if model.screen == Screen::Faults {
        faults::draw(pen, model, view, frame);
        timeline::draw(pen, &frame, view, model.cluster.event, false);
    } else {
        cluster::draw(pen, model, view, frame);
        let focused = model.cluster.pane == Pane::Timeline;
        timeline::draw(pen, &frame, view, model.cluster.event, focused);
    }
    if matches!(view.clock, ClockMode::Rewound { .. }) {
        left_edge(pen, frame);
    }
    hints(pen, model, view, frame);
    let below_header = Rect { y: frame.header + 1, height: frame.hints.saturating_sub(frame.header + 1), ..frame.area };
    let beside = model.shown_messages().and_then(|_| messages::beside_list(frame));
    for overlay in &model.overlays {
        // Who produces wants to see what comes of it.
        if let (Overlay::Form(_), Some(area)) = (overlay, beside) {
            overlay.draw(pen, model, view, area);
            continue;
        }
        pen.theme.grey_out(pen.buffer, below_header);
        overlay.draw(pen, model, view, below_header);
    }
    toast::draw(pen, &model.toasts, below_header);
}

/// What is shown is not the present: the left edge of everything below the headline says so.
fn left_edge(pen: &mut Pen<'_>, frame: Frame) {
    let style = pen.theme.bold(Role::Lead);
    for y in frame.body.y..frame.hints {
        // The mark of the selected row stays.
        if pen.buffer.cell((frame.area.x, y)).is_some_and(|cell| cell.symbol() != glyphs::SELECTED) {
            pen.text(frame.area.x, y, 1, glyphs::BAR, style);
        }
    }
}

/// The key that was pressed and what it means, for whoever looks on.
fn echo(pen: &mut Pen<'_>, action: Action, frame: Frame) {
    let theme = pen.theme;
    let row = keymap::binding(action);
    let pieces = [
        piece(format!("   {}   ", row.shown), theme.chip(Role::Focus)),
        piece(format!("  {}", row.help), theme.bold(Role::Text)),
    ];
    pen.pieces(frame.area.x + 1, frame.hints, frame.area.width.saturating_sub(2), &pieces);
}

/// The keys of a recording, on every screen: nothing else can be done in the past.
fn past_hints(pen: &mut Pen<'_>, model: &Model, frame: Frame) {
    let plays = model.past.is_some_and(|past| past.played_at_ms.is_some());
    HintRow::begin(pen, frame).keys(
        pen,
        &[
            ("End", "live", true),
            ("[ ]", "1 s", true),
            (", .", "picture", true),
            ("{ }", "event", true),
            ("Space", if plays { "stop" } else { "play" }, true),
            ("w", "why?", true),
            ("m '", "mark", frame.width >= Width::Medium),
            ("", "the past: changes are off", true),
        ],
    );
}

fn clock_chip(view: &ClusterView) -> (String, Role) {
    match view.clock {
        ClockMode::Live { speed_permille: 1_000 } => (format!(" {} LIVE ", glyphs::ALIVE), Role::Sync),
        ClockMode::Live { speed_permille } => {
            let speed = f64::from(speed_permille) / 1_000.0;
            (format!(" {} LIVE ×{speed} ", glyphs::ALIVE), Role::Sync)
        }
        ClockMode::Paused { stale_ms: None } => (format!(" {} PAUSED ", glyphs::HALTED), Role::Lag),
        ClockMode::Paused { stale_ms: Some(stale) } => {
            (format!(" {} STALE {} s ", glyphs::HALTED, stale / 1_000), Role::Lag)
        }
        ClockMode::Rewound { behind_ms } => {
            let behind = format!("{}.{} s", behind_ms / 1_000, behind_ms % 1_000 / 100);
            (format!(" {} REWOUND T−{behind} ", glyphs::REWOUND), Role::Lead)
        }
    }
}

fn header(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let theme = pen.theme;
    let (x, y, end) = (frame.area.x, frame.header, frame.area.right());
    pen.ground(Rect { y, height: 1, ..frame.area }, Ground::Raise);
    let mut at = if frame.width == Width::Narrow {
        pen.text(x + 1, y, 4, "kfk", theme.bold(Role::Text)) + 1
    } else {
        let brand = pen.text(x + 1, y, 5, "kafka", theme.bold(Role::Focus));
        pen.text(brand, y, 4, "rium", theme.bold(Role::Text)) + 2
    };
    let decimals = if frame.width >= Width::Full { 3 } else { 1 };
    let time = format!(" {} ", moment(view, view.at_ms, decimals));
    let (chip, role) = clock_chip(view);
    // Where not all fits beside the clock, the faults lose their key first, then the tabs their names, but for the open one.
    let names: u16 = Screen::ALL.iter().map(|(.., name)| width(name) + 4).sum();
    let fits = |faults: &[Piece<'_>]| {
        let needed = names + 2 + width(&time) + width(&chip) + pieces_width(faults);
        frame.width >= Width::Medium && at + needed <= end
    };
    let has_key = frame.width >= Width::Medium && model.past.is_none();
    let (mut faults, bare) = (faults_chip(view, theme, has_key), faults_chip(view, theme, false));
    let has_names = fits(&bare);
    if has_names && !fits(&faults) {
        faults = bare;
    }
    for (screen, digit, name) in Screen::ALL {
        let is_open = screen == model.screen;
        let text = if is_open || has_names { format!(" {digit} {name} ") } else { format!(" {digit} ") };
        let style = if is_open { theme.chip(Role::Focus) } else { theme.fg(Role::Dim) };
        at = pen.text(at, y, width(&text), &text, style);
    }
    at += 1;
    let mut right = pen.right(at, end, y, &time, theme.bold(Role::Text));
    right = pen.right(at, right, y, &chip, theme.chip(role)).saturating_sub(1);
    if let Some(notice) = &view.host.notice {
        right =
            pen.pieces_right(at, right, y, &[piece(format!("{} {notice}  ", glyphs::ATTENTION), theme.fg(Role::Lag))]);
    }
    if !faults.is_empty() {
        right = pen.pieces_right(at, right, y, &faults);
    }
    match view.host.world {
        Some(world) => world_facts(pen, view, world, at, right, y),
        None => servers(pen, view, at, right, y),
    }
}

/// `2 faults u undo `: nothing while there are none.
fn faults_chip(view: &ClusterView, theme: &Theme, has_key: bool) -> Vec<Piece<'static>> {
    if view.faults.is_empty() {
        return Vec::new();
    }
    let text = plural(view.faults.len() as u64, "fault");
    let mut chip = vec![piece(format!(" {text} "), theme.chip(Role::Lag))];
    if has_key {
        chip.push(piece(" u", theme.bold(Role::Focus)));
        chip.push(piece(" undo ", theme.fg(Role::Dim)));
    }
    chip.push(piece(" ", theme.fg(Role::Dim)));
    chip
}

/// Which simulated world this is: as much as fits.
fn world_facts(pen: &mut Pen<'_>, view: &ClusterView, world: WorldFacts, from: u16, until: u16, y: u16) {
    let theme = pen.theme;
    let host = format!("{} · {}   ", view.host.name, plural(view.brokers.len() as u64, "broker"));
    let branch = if world.branch > 1 { format!("  branch {}", world.branch) } else { String::new() };
    let seed = format!("seed {}", world.seed);
    let step = format!("  step {}", count(world.steps));
    for (host, step) in [(host.as_str(), step.as_str()), (&host, ""), ("", "")] {
        let pieces = [
            piece(host, theme.fg(Role::Dim)),
            piece(seed.as_str(), theme.fg(Role::Client)),
            piece(branch.as_str(), theme.bold(Role::Lead)),
            piece(step, theme.fg(Role::Dim)),
            piece("  ", theme.fg(Role::Dim)),
        ];
        if from + pieces_width(&pieces) <= until {
            pen.pieces_right(from, until, y, &pieces);
            return;
        }
    }
}

/// Who hosts, and where clients connect to: as much as fits.
fn servers(pen: &mut Pen<'_>, view: &ClusterView, from: u16, until: u16, y: u16) {
    let theme = pen.theme;
    let host = format!("{} · {}", view.host.name, plural(view.brokers.len() as u64, "broker"));
    let all = &view.host.bootstrap_servers;
    let first = all.split(',').next().unwrap_or_default();
    let more = all.split(',').count().saturating_sub(1);
    let short = if more > 0 { format!("{first} +{more}") } else { first.to_string() };
    let range = port_range(all).unwrap_or_else(|| short.clone());
    let forms =
        [(host.as_str(), all.as_str()), (&host, &range), (&host, &short), ("", &range), ("", &short), ("", first)];
    for (host, servers) in forms {
        let mut pieces: Vec<Piece<'_>> = Vec::new();
        if !host.is_empty() {
            pieces.push(piece(format!("{host}   "), theme.fg(Role::Dim)));
        }
        if !servers.is_empty() {
            pieces.push(piece("y ", theme.bold(Role::Focus)));
            pieces.push(piece(servers.to_string(), theme.fg(Role::Client)));
        }
        pieces.push(piece("  ", theme.fg(Role::Dim)));
        if from + pieces_width(&pieces) <= until {
            pen.pieces_right(from, until, y, &pieces);
            return;
        }
    }
}

/// `localhost:9092–9096` for servers of one host with ports in a row.
fn port_range(servers: &str) -> Option<String> {
    let mut host = None;
    let mut ports: Vec<u16> = Vec::new();
    for server in servers.split(',') {
        let (name, port) = server.rsplit_once(':')?;
        if *host.get_or_insert(name) != name {
            return None;
        }
        ports.push(port.parse().ok()?);
    }
    let in_a_row = ports.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
    let (first, last) = (ports.first()?, ports.last()?);
    (in_a_row && ports.len() > 1).then(|| format!("{}:{first}–{last}", host.unwrap_or_default()))
}

fn mood_role(mood: Mood) -> Role {
    match mood {
        Mood::Good => Role::Sync,
        Mood::Notice => Role::Lag,
        Mood::Bad => Role::Dead,
        Mood::Election => Role::Lead,
    }
}

fn headline_row(pen: &mut Pen<'_>, view: &ClusterView, frame: Frame) {
    let theme = pen.theme;
    let y = frame.headline;
    let headline = headline::of(view);
    let why = [piece("w", theme.bold(Role::Focus)), piece(" why?", theme.fg(Role::Dim))];
    let end = frame.area.right().saturating_sub(1);
    let x = frame.area.x + u16::from(frame.width != Width::Narrow);
    let chip = format!(" {} ", headline.chip);
    let at = pen.text(x, y, end.saturating_sub(x), &chip, theme.chip(mood_role(headline.mood))) + 1;
    let room = end.saturating_sub(at);
    // On a narrow terminal the sentence comes first and `w why?` only where it leaves room.
    let reserve = if frame.width == Width::Narrow { 0 } else { 7 };
    let sentence = headline.fitting(room.saturating_sub(reserve));
    let pieces: Vec<Piece<'_>> = sentence
        .iter()
        .map(|(tone, text)| {
            let style = match tone {
                Tone::Plain | Tone::Keys => theme.fg(Role::Text),
                Tone::Strong => theme.bold(Role::Text),
                Tone::Bad => theme.bold(Role::Dead),
                Tone::Waits => theme.fg(Role::Lag),
            };
            piece(text.as_str(), style)
        })
        .collect();
    let after = pen.pieces(at, y, room, &pieces);
    pen.pieces_right(after + 1, end, y, &why);
}

/// The verdict on the records of our own clients.
fn ledger(pen: &mut Pen<'_>, view: &ClusterView, frame: Frame, y: u16) {
    let Some(ledger) = view.ledger else { return };
    let theme = pen.theme;
    let dim = theme.fg(Role::Dim);
    let bad = ledger.lost > 0 || ledger.duplicated > 0 || ledger.reordered > 0;
    let (glyph, role) = match (bad, ledger.unknown_since_ms) {
        (true, _) => (glyphs::DEAD, Role::Dead),
        (false, Some(_)) => (glyphs::ATTENTION, Role::Lag),
        (false, None) => (glyphs::DONE, Role::Sync),
    };
    let x = frame.area.x + 1;
    let mut pieces: Vec<Piece<'_>> = vec![
        piece(format!("{glyph} "), theme.bold(role)),
        piece(count(ledger.acked), theme.bold(Role::Text)),
        piece(" records acknowledged", dim),
        piece(format!("   {}", count(ledger.readable)), theme.bold(Role::Text)),
        piece(" readable", dim),
    ];
    for (number, word) in [(ledger.lost, "lost"), (ledger.duplicated, "duplicated"), (ledger.reordered, "reordered")] {
        let style = if number > 0 { theme.bold(Role::Dead) } else { theme.bold(Role::Text) };
        pieces.push(piece(format!("   {}", count(number)), style));
        pieces.push(piece(format!(" {word}"), dim));
    }
    if let Some(since) = ledger.unknown_since_ms {
        let ago = span_ms(view.at_ms.saturating_sub(since));
        pieces.push(piece(format!("   not known for sure since {ago} ago"), theme.fg(Role::Lag)));
    }
    pen.pieces(x, y, frame.area.width.saturating_sub(2), &pieces);
}

fn hints(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let theme = pen.theme;
    let y = frame.hints;
    pen.ground(Rect { y, height: 1, ..frame.area }, Ground::Raise);
    let end = frame.area.right().saturating_sub(1);
    let x = frame.area.x + 1;
    if let Some((action, _)) = model.echo.filter(|_| model.armed.is_none()) {
        return echo(pen, action, frame);
    }
    let is_typing = [&model.cluster.filter_input, &model.topics.filter_input, &model.groups.filter_input];
    if model.past.is_some() && is_typing.iter().all(|input| input.is_none()) {
        return past_hints(pen, model, frame);
    }
    if let Some(input) = &model.cluster.filter_input {
        filter_hint(pen, input, view.rows.total, " show all   ! inverts", frame);
        return;
    }
    match model.screen {
        Screen::Partition => return partition::hints(pen, model, view, frame),
        Screen::Groups => return groups::hints(pen, model, view, frame),
        Screen::Topics => {
            return match &model.messages {
                Some(shown) => messages::hints(pen, model, shown, view, frame),
                None => topics::hints(pen, model, view, frame),
            };
        }
        Screen::Quorum => {
            return match &model.armed {
                Some(armed) => armed_hint(pen, armed, x, end, y),
                None => quorum::hints(pen, model, view, frame),
            };
        }
        Screen::Wire => return wire::hints(pen, model, view, frame),
        Screen::Faults => return faults::hints(pen, model, frame),
        Screen::Cluster => {}
    }
    let bindings = keymap::hints(view.host.can);
    let (left, right): (Vec<&keymap::Binding>, Vec<_>) = bindings.into_iter().partition(|row| row.hint_rank < 20);
    let mut tail: Vec<Piece<'_>> = Vec::new();
    for row in right {
        let key = row.shown.split(' ').next().unwrap_or(row.shown);
        tail.push(piece(format!("  {key}"), theme.bold(Role::Focus)));
        if frame.width >= Width::Medium || row.action == Action::Help {
            tail.push(piece(format!(" {}", row.hint), theme.fg(Role::Dim)));
        }
    }
    let until = pen.pieces_right(x, end, y, &tail);
    if let Some(armed) = &model.armed {
        armed_hint(pen, armed, x, until, y);
        return;
    }
    let mut at = x;
    if !model.cluster.filter.is_empty() {
        at = pen.text(at, y, 24, &format!(" /{} ", model.cluster.filter), theme.chip(Role::Focus)) + 2;
    }
    let empty = model.is_empty();
    for row in left.into_iter().take(if frame.height == Height::Short { 7 } else { 9 }) {
        if empty && !matches!(row.action, Action::NewTopic | Action::PauseOrRun | Action::Kill | Action::Restart) {
            continue;
        }
        let word = if row.action == Action::PauseOrRun { space(view) } else { row.hint };
        let key = row.shown.split(' ').next().unwrap_or(row.shown);
        let cells = width(key) + width(word) + 3;
        if at + cells > until {
            continue;
        }
        at = pen.text(at, y, cells, key, theme.bold(Role::Focus));
        at = pen.text(at, y, cells, &format!(" {word}"), theme.fg(Role::Dim)) + 2;
    }
}

/// The filter while it is typed, with what it finds and what `Esc` does.
pub(super) fn filter_hint(pen: &mut Pen<'_>, input: &Input, found: usize, escape: &str, frame: Frame) {
    let (theme, y, end) = (pen.theme, frame.hints, frame.area.right().saturating_sub(1));
    let at = pen.text(frame.area.x + 1, y, 8, "filter ", theme.fg(Role::Dim));
    let at = pen.text(at, y, 1, "/", theme.bold(Role::Focus));
    let at = overlays::field(pen, at, y, 30.min(end.saturating_sub(at)), input, true);
    let pieces = [
        piece(format!("  {} found   ", count(found as u64)), theme.fg(Role::Dim)),
        piece("↵", theme.bold(Role::Focus)),
        piece(" keep   ", theme.fg(Role::Dim)),
        piece("Esc", theme.bold(Role::Focus)),
        piece(escape, theme.fg(Role::Dim)),
    ];
    pen.pieces(at, y, end.saturating_sub(at), &pieces);
}

/// `K kill 3  ▲ Killing 3 now leaves 1 of 3 voters: no controller until one returns.`
pub(super) fn armed_hint(pen: &mut Pen<'_>, armed: &super::model::Armed, x: u16, until: u16, y: u16) {
    let theme = pen.theme;
    let line = &armed.forecast.line;
    let verb = line.split(' ').next().unwrap_or_default();
    let key = keymap::key_for_command(verb).unwrap_or("");
    let (weight, text) = match &armed.forecast.consequence {
        Some(consequence) => (consequence.weight, consequence.text.as_str()),
        None => (Weight::Harmless, ""),
    };
    let (role, glyph) = overlays::palette::weight(weight);
    let undo = match (&armed.forecast.undo, weight) {
        (_, Weight::Refused) | (None, _) => String::new(),
        (Some(_), _) => "  u undoes it".to_string(),
    };
    let head = [piece(key, theme.bold(Role::Focus)), piece(format!(" {line}  "), theme.bold(Role::Text))];
    let at = pen.pieces(x, y, until.saturating_sub(x), &head);
    let told = if text.is_empty() { String::new() } else { format!("{glyph} {text}") };
    let at = pen.text(at, y, until.saturating_sub(at), &told, theme.fg(role));
    pen.text(at, y, until.saturating_sub(at), &undo, theme.fg(Role::Dim));
}
