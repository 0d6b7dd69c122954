//! Where everything stands, by the size of the terminal: the breakpoints of the design in one place.
//!
//! Invariants: a pure function of size, brokers and a few flags, so that drawing and the mouse agree; the same thing is
//! always in the same place; nothing depends on the number of partitions.
//!
//! ```text
//! header │ (blank) │ headline │ (ledger) │ heads, table, legend │ timeline │ hints
//! ```

use crate::cluster::view::{BrokerCard, BrokerId, BrokerState, PartitionRow};
use crate::tui::widgets::logbar::CellShape;
use ratatui::layout::Rect;

/// The smallest size the cluster is drawn at.
pub const LEAST: (u16, u16) = (60, 16);

/// Classes of width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// 60–99: one pane, digits as tabs, the short headline.
    Narrow,
    /// 100–139: short labels, the medium headline.
    Medium,
    /// 140–179: everything.
    Full,
    /// 180 and more: wider bars.
    Wide,
}

/// Classes of height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Height {
    /// 16–29: no borders, one row of timeline.
    Short,
    /// 30–39: cards of 5 rows, timeline of 4.
    Middle,
    /// 40 and more: cards of 6 rows, timeline of 6.
    Tall,
}

/// The frame around every screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// All of it.
    pub area: Rect,
    /// Class of width.
    pub width: Width,
    /// Class of height.
    pub height: Height,
    /// Row of the header.
    pub header: u16,
    /// Row of the headline.
    pub headline: u16,
    /// Row of the ledger's verdict, where there is room.
    pub ledger: Option<u16>,
    /// What the screen has.
    pub body: Rect,
    /// The timeline.
    pub timeline: Rect,
    /// Row of the hints.
    pub hints: u16,
}

impl Frame {
    /// The frame for an area, or `None` where it is too small. `dense` gives the body every row it can.
    pub fn of(area: Rect, dense: bool) -> Option<Frame> {
        if area.width < LEAST.0 || area.height < LEAST.1 {
            return None;
        }
        let width = match area.width {
            ..100 => Width::Narrow,
            100..140 => Width::Medium,
            140..180 => Width::Full,
            _ => Width::Wide,
        };
        let height = match area.height {
            ..30 => Height::Short,
            30..40 => Height::Middle,
            _ => Height::Tall,
        };
        let (headline, body_from) = if height == Height::Short { (1, 2) } else { (2, 4) };
        let timeline = match height {
            _ if dense => 1,
            Height::Short => 1,
            Height::Middle => 4,
            Height::Tall => 6,
        };
        let hints = area.bottom() - 1;
        let timeline = Rect { x: area.x, y: hints - timeline, width: area.width, height: timeline };
        let body_y = area.y + body_from;
        Some(Frame {
            area,
            width,
            height,
            header: area.y,
            headline: area.y + headline,
            ledger: (height != Height::Short).then_some(area.y + 3),
            body: Rect { x: area.x, y: body_y, width: area.width, height: timeline.y.saturating_sub(body_y) },
            timeline,
            hints,
        })
    }
}

/// One broker's column of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Place of the broker in [`crate::cluster::view::ClusterView::brokers`].
    pub index: usize,
    /// The broker.
    pub broker: BrokerId,
    /// Where the column begins.
    pub x: u16,
}

/// The Cluster screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterLayout {
    /// The frame around it.
    pub frame: Frame,
    /// Totals and cards.
    pub heads: Rect,
    /// Row of the column headings.
    pub headings: Option<u16>,
    /// The rows of partitions with their group headings and the `… more` line.
    pub table: Rect,
    /// Row of the legend.
    pub legend: Option<u16>,
    /// The columns that fit.
    pub columns: Vec<Column>,
    /// Brokers that do not fit.
    pub hidden: usize,
    /// How a cell of the matrix is laid out.
    pub shape: CellShape,
    /// Cells for a partition's name, from column 3.
    pub name_cells: u16,
    /// Column where the epoch ends.
    pub epoch_end: Option<u16>,
    /// Column of the ISR.
    pub isr: u16,
    /// Columns of the high watermark: it ends at the first, its rate begins at the second.
    pub high_watermark: Option<(u16, u16)>,
}

/// What a layout depends on besides the size.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// All brokers.
    pub brokers: &'a [BrokerCard],
    /// The broker of the selected column.
    pub selected_broker: Option<BrokerId>,
    /// The selected row.
    pub selected_row: Option<&'a PartitionRow>,
    /// As many rows as possible (`z`).
    pub dense: bool,
    /// Show the legend.
    pub legend: bool,
}

/// What a width gives to the columns beside the matrix: left, right, least and widest column.
fn measures(width: Width) -> (u16, u16, u16, u16) {
    match width {
        Width::Narrow => (18, 0, 12, 20),
        Width::Medium => (21, 14, 17, 28),
        Width::Full => (28, 22, 22, 36),
        Width::Wide => (38, 24, 24, 44),
    }
}

impl ClusterLayout {
    /// The layout for a frame.
    pub fn of(frame: Frame, wishes: Wishes<'_>) -> ClusterLayout {
        let compact = wishes.dense || frame.height == Height::Short;
        let head_rows = match frame.height {
            _ if compact => 2,
            Height::Middle | Height::Short => 5,
            Height::Tall => 6,
        };
        let body = frame.body;
        let heads = Rect { height: head_rows.min(body.height), ..body };
        let headings = (frame.height != Height::Short).then_some(heads.bottom());
        let table_y = heads.bottom() + u16::from(headings.is_some());
        let legend_rows = u16::from(wishes.legend && !wishes.dense && body.bottom() > table_y + 6);
        let table_end = body.bottom().saturating_sub(legend_rows).max(table_y);
        let (left, right, least, widest) = measures(frame.width);
        let room = frame.area.width - left - right;
        let fit = usize::from((room / least).max(1));
        let shown = visible_brokers(wishes, fit);
        let count = shown.len().max(1) as u16;
        let stride = (room / count).clamp(least, widest);
        let columns = shown
            .iter()
            .zip(0..)
            .map(|(&index, place)| Column {
                index,
                broker: wishes.brokers[index].id,
                x: frame.area.x + left + place * stride,
            })
            .collect();
        let matrix_end = frame.area.x + left + count * stride;
        let (bar, gap) = match frame.width {
            Width::Narrow => (stride - 7, 0),
            Width::Medium => (stride - 9, 1),
            Width::Full | Width::Wide => (stride - 11, 1),
        };
        let long_words = frame.width >= Width::Full;
        ClusterLayout {
            frame,
            heads,
            headings,
            table: Rect { y: table_y, height: table_end - table_y, ..body },
            legend: (legend_rows > 0).then_some(table_end),
            columns,
            hidden: wishes.brokers.len() - shown.len(),
            shape: CellShape { bar, gap, width: stride - 1, long_words },
            name_cells: match frame.width {
                Width::Narrow => 10,
                Width::Medium => 12,
                Width::Full => 15,
                Width::Wide => 23,
            },
            epoch_end: match frame.width {
                Width::Narrow | Width::Medium => None,
                Width::Full => Some(21),
                Width::Wide => Some(31),
            },
            isr: match frame.width {
                Width::Narrow => 14,
                Width::Medium => 16,
                Width::Full => 23,
                Width::Wide => 33,
            },
            high_watermark: match frame.width {
                Width::Narrow => None,
                Width::Medium => Some((matrix_end + 9, matrix_end + 10)),
                Width::Full | Width::Wide => Some((matrix_end + 9, matrix_end + 11)),
            },
        }
    }

    /// Width of a column with its gap.
    pub fn stride(&self) -> u16 {
        self.shape.width + 1
    }

    /// Whether brokers have cards, and not just two rows.
    pub fn has_cards(&self) -> bool {
        self.heads.height >= 5
    }

    /// The area of a column's card.
    pub fn card(&self, column: &Column) -> Rect {
        Rect { x: column.x, y: self.heads.y, width: self.shape.width, height: self.heads.height }
    }

    /// The column at a cell of the screen.
    pub fn column_at(&self, x: u16) -> Option<&Column> {
        self.columns.iter().find(|column| (column.x..column.x + self.stride()).contains(&x))
    }
}

/// The brokers that get a column when not all fit, in the order of their ids: the selected one, dead and slow ones, the
/// selected row's replicas, then the others.
fn visible_brokers(wishes: Wishes<'_>, fit: usize) -> Vec<usize> {
    let brokers = wishes.brokers;
    let mut order: Vec<usize> = (0..brokers.len()).collect();
    if brokers.len() > fit {
        let rank = |index: &usize| {
            let card = &brokers[*index];
            let in_row = |row: &PartitionRow| row.replicas.iter().any(|replica| replica.broker == card.id);
            if wishes.selected_broker == Some(card.id) {
                0
            } else if card.state != BrokerState::Running || !card.faults.is_empty() {
                1
            } else if wishes.selected_row.is_some_and(in_row) {
                2
            } else {
                3
            }
        };
        order.sort_by_key(rank);
        order.truncate(fit);
        order.sort_unstable();
    }
    order
}

/// A line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableLine {
    /// `Needs attention ─── 7`.
    AttentionHeading,
    /// `Healthy ─── 21`.
    HealthyHeading,
    /// The row of that index.
    Row(usize),
    /// `… 5 more healthy`.
    More(usize),
}

/// The lines of a table of `height` rows that begins with row `first`. `headed` puts a heading over the first group
/// too (left out where rows are scarce and the first group needs attention anyway).
pub fn table_lines(first: usize, total: usize, attention: usize, height: u16, headed: bool) -> Vec<TableLine> {
    let height = usize::from(height);
    let mut lines = Vec::with_capacity(height);
    let mut index = first.min(total);
    if index < attention {
        if headed {
            lines.push(TableLine::AttentionHeading);
        }
    } else if index < total {
        lines.push(TableLine::HealthyHeading);
    }
    while index < total && lines.len() < height {
        if index == attention && index > first {
            lines.push(TableLine::HealthyHeading);
            if lines.len() == height {
                break;
            }
        }
        lines.push(TableLine::Row(index));
        index += 1;
    }
    lines.truncate(height);
    if index < total && height > 3 {
        let hidden = total - index + usize::from(matches!(lines.last(), Some(TableLine::Row(_))));
        lines.pop();
        lines.push(TableLine::More(hidden));
    }
    lines
}

/// The first row to show so that `selected` is in view, moving as little as possible from `first`.
pub fn scroll(first: usize, selected: usize, total: usize, attention: usize, height: u16, headed: bool) -> usize {
    let mut first = first.min(total.saturating_sub(1)).min(selected);
    // A page below the selection at most: the loop is bounded by the height of the table.
    first = first.max((selected + 1).saturating_sub(usize::from(height)));
    while first < selected && !table_lines(first, total, attention, height, headed).contains(&TableLine::Row(selected))
    {
        first += 1;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_headings_and_what_is_hidden_is_counted() {
        use TableLine::*;
        assert_eq!(
            table_lines(0, 6, 2, 20, true),
            [AttentionHeading, Row(0), Row(1), HealthyHeading, Row(2), Row(3), Row(4), Row(5)]
        );
        assert_eq!(
            table_lines(0, 28, 2, 6, true),
            [AttentionHeading, Row(0), Row(1), HealthyHeading, Row(2), More(25)]
        );
        assert_eq!(table_lines(25, 28, 2, 6, true), [HealthyHeading, Row(25), Row(26), Row(27)]);
        assert_eq!(table_lines(0, 2, 2, 6, false), [Row(0), Row(1)]);
        assert!(table_lines(0, 0, 0, 6, true).is_empty());
    }

    /// Rows that are shown and rows that are counted as hidden add up, whatever the sizes.
    #[test]
    fn no_row_is_lost() {
        for total in 0..30 {
            for attention in 0..=total {
                for height in 4..20 {
                    let lines = table_lines(0, total, attention, height, true);
                    let rows = lines.iter().filter(|line| matches!(line, TableLine::Row(_))).count();
                    let hidden =
                        lines.iter().find_map(|line| if let TableLine::More(n) = line { Some(*n) } else { None });
                    assert_eq!(rows + hidden.unwrap_or(0), total, "{total} {attention} {height}: {lines:?}");
                    assert!(lines.len() <= usize::from(height));
                }
            }
        }
    }

    #[test]
    fn the_selection_is_always_in_view() {
        for height in 1..12 {
            for selected in 0..30 {
                for first in 0..30 {
                    let first = scroll(first, selected, 30, 7, height, true);
                    if height >= 3 {
                        let lines = table_lines(first, 30, 7, height, true);
                        assert!(lines.contains(&TableLine::Row(selected)), "{height} {selected} {first}");
                    }
                }
            }
        }
    }
}
