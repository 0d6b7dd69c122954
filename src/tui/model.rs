//! The console's state: everything [`super::draw`] needs beside the picture of the cluster.
//!
//! Invariants: only [`super::update`] changes it; it holds names of what is selected, never positions in a list that
//! may have changed meanwhile.

use super::keymap::Action;
use super::layout::Frame;
use super::messages::Messages;
use super::msg::Forecast;
use super::overlays::Overlay;
use super::overlays::toast::Toast;
use super::screens;
use super::theme::{Depth, Theme};
use crate::cluster::view::{
    BrokerId, ClusterView, CommandDoc, FaultsRequest, GroupDetail, GroupState, GroupsRequest, PartitionName,
    PartitionRow, RowSort, TopicDetail, TopicsRequest, ViewRequest, WhyAbout, WireRequest, XrayRequest,
};
use ratatui::layout::Rect;
use std::sync::Arc;
use tui_input::Input;

/// The state of the console.
#[derive(Debug, Clone)]
pub struct Model {
    /// The newest picture of the cluster.
    pub view: Arc<ClusterView>,
    /// Every command of the palette: the cluster's, then the console's own.
    pub commands: Arc<[CommandDoc]>,
    /// The terminal.
    pub area: Rect,
    /// Real time since the console started.
    pub now_ms: u64,
    /// Colours.
    pub theme: Theme,
    /// How many colours the terminal has.
    pub depth: Depth,
    /// Whether the mouse is ours.
    pub mouse: bool,
    /// Whether the legend is shown.
    pub legend: bool,
    /// What the body shows.
    pub screen: Screen,
    /// The Cluster screen.
    pub cluster: ClusterScreen,
    /// The Partition screen.
    pub partition: PartitionScreen,
    /// The Groups screen.
    pub groups: GroupsScreen,
    /// The Topics screen.
    pub topics: TopicsScreen,
    /// The Quorum screen.
    pub quorum: QuorumScreen,
    /// The Wire screen.
    pub wire: WireScreen,
    /// The messages of a topic, on the Topics screen, if they are open.
    pub messages: Option<Messages>,
    /// The Faults screen.
    pub faults: FaultsScreen,
    /// Dialogs, the top one last.
    pub overlays: Vec<Overlay>,
    /// Short messages, the newest last.
    pub toasts: Vec<Toast>,
    /// Lines that were run, the newest last, each once.
    pub history: Vec<String>,
    /// The consequence that stands in the hint row.
    pub armed: Option<Armed>,
    /// The change that waits for its consequence: it is run if it is harmless, else shown first.
    pub asked_change: Option<String>,
    /// The newest fact that was looked at for toasts.
    pub seen_event: Option<u64>,
    /// The moment of the recording that is viewed; `None`: the present.
    pub past: Option<Past>,
    /// Moments that were marked, in cluster time.
    pub marks: Vec<u64>,
    /// Whether every key is shown with what it means, for whoever looks on.
    pub presents: bool,
    /// The key that is shown, and since when, in real time.
    pub echo: Option<(Action, u64)>,
    /// When and where the mouse was pressed last, for the double click.
    pub last_click: Option<(u64, u16, u16)>,
}

/// A moment of the recording of a live cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// The moment, in cluster time.
    pub at_ms: u64,
    /// Where the timeline ends, in cluster time: it stands still while one looks around.
    pub end_ms: u64,
    /// The recording plays: up to when it has, in real time.
    pub played_at_ms: Option<u64>,
}

/// A consequence in the hint row: the key of this line acts at once now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Armed {
    /// The line and what it would do.
    pub forecast: Forecast,
    /// Since when it is shown, in real time.
    pub since_ms: u64,
}

/// What has the keys on the Cluster screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pane {
    /// Brokers and partitions.
    #[default]
    Matrix,
    /// The timeline.
    Timeline,
}

/// What the body shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Screen {
    /// Brokers and partitions.
    #[default]
    Cluster,
    /// One partition from the inside.
    Partition,
    /// Messages on their way.
    Wire,
    /// Consumer groups.
    Groups,
    /// Topics and their settings.
    Topics,
    /// The metadata quorum.
    Quorum,
    /// Links, faults, and what would come of more.
    Faults,
}

impl Screen {
    /// Every screen with its digit and its name, in the order of the tabs.
    pub const ALL: [(Screen, char, &'static str); 7] = [
        (Screen::Cluster, '1', "Cluster"),
        (Screen::Partition, '2', "Partition"),
        (Screen::Wire, '3', "Wire"),
        (Screen::Groups, '4', "Groups"),
        (Screen::Topics, '5', "Topics"),
        (Screen::Quorum, '6', "Quorum"),
        (Screen::Faults, '7', "Faults"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Screen::ALL.iter().find(|(screen, ..)| *screen == self).expect("every screen has a tab").2
    }
}

/// A frame of a truncation that is shown again stands for so long, in milliseconds of real time.
const FRAME_MS: u64 = 1_500;

/// The state of the Partition screen. Which partition and which broker are those of the Cluster screen.
#[derive(Debug, Clone, Default)]
pub struct PartitionScreen {
    /// The first offset in view.
    pub from: i64,
    /// Offsets a cell.
    pub per_cell: u64,
    /// Cells of the axis.
    pub cells: u16,
    /// The user's own first offset; `None` while the axis follows the end.
    pub pinned: Option<i64>,
    /// The user's own scale; `None` while it fits by itself.
    pub zoom: Option<u64>,
    /// Which table comes first where there is no room for all.
    pub pane: u8,
    /// The last truncation is shown again since then, in real time.
    pub replay_since_ms: Option<u64>,
}

impl PartitionScreen {
    /// The frame of the truncation that is shown again, from 1 to 4.
    pub fn frame(&self, now_ms: u64) -> Option<u8> {
        let frame = now_ms.saturating_sub(self.replay_since_ms?) / FRAME_MS + 1;
        u8::try_from(frame).ok().filter(|frame| *frame <= 4)
    }
}

/// The state of the Groups screen.
#[derive(Debug, Clone, Default)]
pub struct GroupsScreen {
    /// The selected group.
    pub selected: Option<Arc<str>>,
    /// Where it was last.
    pub selected_index: usize,
    /// The first row in view.
    pub first_row: usize,
    /// The row at `selected_index` is the selected one: the next picture tells its name.
    pub find_name: bool,
    /// The filter in force.
    pub filter: String,
    /// The filter while it is typed.
    pub filter_input: Option<Input>,
    /// Those furthest behind stand first.
    pub by_lag: bool,
    /// What has the keys.
    pub pane: GroupsPane,
    /// The selected member, by its id; the first one if it has left.
    pub member: Option<Arc<str>>,
    /// All that is known of the selected member is shown.
    pub is_open: bool,
    /// The selected partition; the one furthest behind if there is none.
    pub partition: Option<PartitionName>,
    /// Readers that were told to stand still here and not yet to go on.
    pub paused: Vec<Arc<str>>,
}

impl GroupsScreen {
    /// The place of the selected member.
    pub fn member_index(&self, detail: &GroupDetail) -> usize {
        detail.members.iter().position(|member| Some(&member.id) == self.member.as_ref()).unwrap_or(0)
    }
}

/// What has the keys on the Groups screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupsPane {
    /// The list of groups.
    #[default]
    List,
    /// The members of the group.
    Members,
    /// What it reads.
    Partitions,
}

/// The state of the Topics screen.
#[derive(Debug, Clone, Default)]
pub struct TopicsScreen {
    /// The selected topic.
    pub selected: Option<Arc<str>>,
    /// Where it was last.
    pub selected_index: usize,
    /// The first row in view.
    pub first_row: usize,
    /// The row at `selected_index` is the selected one: the next picture tells its name.
    pub find_name: bool,
    /// Kafka's own topics are shown too.
    pub internal: bool,
    /// The filter in force.
    pub filter: String,
    /// The filter while it is typed.
    pub filter_input: Option<Input>,
    /// The settings have the keys, not the list.
    pub on_settings: bool,
    /// The form that edits the selected topic opens with the picture that tells its settings.
    pub edit_waits: bool,
    /// The selected setting.
    pub setting: Option<&'static str>,
}

impl TopicsScreen {
    /// The place of the selected setting.
    pub fn setting_index(&self, detail: &TopicDetail) -> usize {
        let is_selected = |name| detail.settings.iter().position(|setting| setting.name == name);
        self.setting.and_then(is_selected).unwrap_or(0)
    }
}

/// The state of the Quorum screen. The selected voter is the broker of [`ClusterScreen::broker`].
#[derive(Debug, Clone, Copy, Default)]
pub struct QuorumScreen {
    /// The list shows votes, not records.
    pub shows_votes: bool,
}

/// The state of the Wire screen.
#[derive(Debug, Clone, Default)]
pub struct WireScreen {
    /// The chosen message; `None`: the newest.
    pub selected: Option<u64>,
    /// Heartbeats and fetches that bring nothing are shown too.
    pub routine: bool,
    /// The filter in force.
    pub filter: String,
    /// The filter while it is typed.
    pub filter_input: Option<Input>,
    /// The message's fields have the keys, not the list.
    pub on_detail: bool,
    /// The chosen field.
    pub field: usize,
}

/// The state of the Faults screen. [`CLIENTS`](crate::cluster::link::CLIENTS) stands for the clients.
#[derive(Debug, Clone, Default)]
pub struct FaultsScreen {
    /// Who sends.
    pub from: Option<BrokerId>,
    /// Who receives.
    pub to: Option<BrokerId>,
    /// What has the keys.
    pub pane: FaultsPane,
    /// The chosen fault of the list, by its words; `None`: the newest.
    pub fault: Option<String>,
}

/// What has the keys on the Faults screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FaultsPane {
    /// The matrix of links.
    #[default]
    Links,
    /// The broker and its actions.
    Broker,
    /// The list of active faults.
    Active,
}

/// The state of the Cluster screen.
#[derive(Debug, Clone, Default)]
pub struct ClusterScreen {
    /// The selected partition.
    pub selected: Option<PartitionName>,
    /// Where it was last.
    pub selected_index: usize,
    /// The name of the row at `selected_index` is not known yet: the next picture tells it.
    pub find_name: bool,
    /// The place of `selected` is not known yet: the next picture tells it, and the window moves there.
    pub find_place: bool,
    /// The first row in view.
    pub first_row: usize,
    /// The broker of the selected column.
    pub broker: Option<BrokerId>,
    /// The order.
    pub sort: RowSort,
    /// The filter in force.
    pub filter: String,
    /// The filter while it is typed.
    pub filter_input: Option<Input>,
    /// Every row for partitions (`z`).
    pub dense: bool,
    /// Length of the timeline.
    pub window_ms: u64,
    /// What has the keys.
    pub pane: Pane,
    /// The fact the user looks at.
    pub event: Option<u64>,
}

impl Model {
    /// The state at the start.
    pub fn new(theme: Theme, commands: Arc<[CommandDoc]>, area: Rect) -> Model {
        Model {
            view: Arc::new(ClusterView::default()),
            commands,
            area,
            now_ms: 0,
            theme,
            depth: theme.depth,
            mouse: true,
            legend: true,
            screen: Screen::Cluster,
            partition: PartitionScreen::default(),
            groups: GroupsScreen::default(),
            topics: TopicsScreen::default(),
            quorum: QuorumScreen::default(),
            wire: WireScreen::default(),
            messages: None,
            faults: FaultsScreen::default(),
            cluster: ClusterScreen { window_ms: 60_000, ..ClusterScreen::default() },
            overlays: Vec::new(),
            toasts: Vec::new(),
            history: Vec::new(),
            armed: None,
            asked_change: None,
            seen_event: None,
            past: None,
            marks: Vec::new(),
            presents: false,
            echo: None,
            last_click: None,
        }
    }

    /// The frame, or `None` where the terminal is too small.
    pub fn frame(&self) -> Option<Frame> {
        Frame::of(self.area, self.is_dense())
    }

    /// Whether the body has every row it can.
    pub fn is_dense(&self) -> bool {
        self.cluster.dense || self.screen == Screen::Partition
    }

    /// What is wanted of the inside of the selected partition.
    fn xray_request(&self) -> Option<XrayRequest> {
        let partition = self.cluster.selected.clone()?;
        let PartitionScreen { from, per_cell, cells, .. } = self.partition;
        let length = i64::try_from(per_cell.saturating_mul(u64::from(cells))).unwrap_or(i64::MAX);
        Some(XrayRequest { partition, from, to: from.saturating_add(length) })
    }

    /// What is wanted of the cluster for the next picture. A window as large as the body is asked for, whatever is on
    /// it.
    pub fn view_request(&self) -> ViewRequest {
        let rows = usize::from(self.area.height.max(16));
        let why = self.overlays.iter().rev().find_map(|overlay| match overlay {
            Overlay::Why(about) => Some(about.clone()),
            _ => None,
        });
        ViewRequest {
            first_row: self.cluster.first_row,
            row_count: rows,
            filter: self.cluster.filter_input.as_ref().map_or(&self.cluster.filter[..], Input::value).to_string(),
            sort: self.cluster.sort,
            selected: self.cluster.selected.clone(),
            why,
            at_ms: self.past.map(|past| past.at_ms),
            end_ms: self.past.map(|past| past.end_ms),
            window_ms: self.cluster.window_ms,
            strip_samples: usize::from(self.area.width.clamp(60, 240)),
            spark_samples: 32,
            xray: self.xray_request().filter(|_| self.screen == Screen::Partition),
            groups: (self.screen == Screen::Groups).then(|| GroupsRequest {
                filter: self.groups.filter_input.as_ref().map_or(&self.groups.filter[..], Input::value).to_string(),
                by_lag: self.groups.by_lag,
                first_row: self.groups.first_row,
                row_count: rows,
                selected: self.groups.selected.clone(),
                spark_samples: 24,
            }),
            topics: (self.screen == Screen::Topics && self.messages.is_none()).then(|| TopicsRequest {
                first_row: self.topics.first_row,
                row_count: rows,
                selected: self.topics.selected.clone(),
                internal: self.topics.internal,
                filter: self.topics.filter_input.as_ref().map_or(&self.topics.filter[..], Input::value).to_string(),
                spark_samples: 16,
            }),
            place: self.shown_messages().and_then(Messages::place),
            placement: self.overlays.iter().rev().find_map(|overlay| match overlay {
                Overlay::Form(form) => form.placement(),
                _ => None,
            }),
            quorum: self.screen == Screen::Quorum,
            faults: (self.screen == Screen::Faults).then(|| FaultsRequest {
                link: screens::faults::selected(self),
                line: screens::faults::foretold(self),
            }),
            wire: (self.screen == Screen::Wire).then(|| WireRequest {
                selected: self.wire.selected,
                routine: self.wire.routine,
                filter: self.wire.filter_input.as_ref().map_or(&self.wire.filter[..], Input::value).to_string(),
            }),
        }
    }

    /// How many records the tail that is open may hand over now.
    pub fn tail_room(&self) -> usize {
        let has_dialog = self.overlays.iter().any(|overlay| matches!(overlay, Overlay::Tail(_)));
        self.messages.as_ref().filter(|_| !has_dialog).map_or(500, Messages::room)
    }

    /// The messages, if they are on the screen.
    pub fn shown_messages(&self) -> Option<&Messages> {
        self.messages.as_ref().filter(|_| self.screen == Screen::Topics)
    }

    /// The selected partition's row, if it is in the window.
    pub fn selected_row(&self) -> Option<&PartitionRow> {
        let name = self.cluster.selected.as_ref()?;
        self.view.rows.rows.iter().find(|row| row.name == *name)
    }

    /// Whether the page for an empty cluster is shown.
    pub fn is_empty(&self) -> bool {
        self.screen == Screen::Cluster
            && self.view.situation.no_topics
            && self.view.rows.total == 0
            && self.cluster.filter.is_empty()
    }

    /// What `w` is about: the quorum on its screen, a group that does not simply read on the Groups
    /// screen, a partition that needs attention, else the headline.
    pub fn why_about(&self) -> WhyAbout {
        use crate::cluster::view::PartitionSeverity::Healthy;
        if self.screen == Screen::Quorum {
            return WhyAbout::Quorum;
        }
        if let Some(detail) = self.view.groups.as_ref().and_then(|groups| groups.detail.as_ref()) {
            return match detail.state {
                GroupState::Stable | GroupState::Empty => WhyAbout::Headline,
                _ => WhyAbout::Group(Arc::clone(&detail.name)),
            };
        }
        match self.selected_row() {
            Some(row) if row.severity != Healthy => WhyAbout::Partition(row.name.clone()),
            _ => WhyAbout::Headline,
        }
    }

    /// Moves the window so that the selection is in view.
    pub fn keep_selection_in_view(&mut self) {
        let Some(frame) = self.frame() else { return };
        let view = Arc::clone(&self.view);
        let layout = screens::cluster::layout(self, &view, frame);
        let (total, attention) = (view.rows.total, view.rows.attention_total);
        let headed = screens::cluster::headed(&layout);
        let selected = self.cluster.selected_index.min(total.saturating_sub(1));
        let height = layout.table.height;
        self.cluster.first_row =
            super::layout::scroll(self.cluster.first_row, selected, total, attention, height, headed);
    }
}
