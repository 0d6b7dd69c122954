//! What the messages screen holds: the records of one topic that were read, what was asked for, and what is typed.
//!
//! Invariants: at most [`KEPT`] records are kept. While it follows, the oldest go; while it is browsed from somewhere on, reading stops
//! when they are full. A record is held once; the selected one stays selected whatever comes.
//!
//! Deliberately not here: keys (`update::messages`), how it looks (`screens::messages`), and the reading itself (the cluster's).

use crate::cluster::command::values::duration;
use crate::cluster::query::{self, Query};
use crate::cluster::view::{ClusterView, PartitionName, ReadRequest, TailBatch, TailFrom, TailRecord};
use crate::tui::numbers::{clock, offset, span_ms};
use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;
use tui_input::Input;

/// How many records are kept.
pub const KEPT: usize = 2_000;
/// So many records of each partition are read at first.
const LAST: u32 = 50;
/// At most so many are taken at once.
const AT_ONCE: usize = 500;

/// Names a record, in the order in which they are shown: time, partition, offset.
pub type Place = (i64, i32, i64);

/// What is typed in the query bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Which records.
    Where,
    /// From which offset on.
    Offset,
    /// From which time on.
    Time,
}

/// A field while it is typed.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Which.
    pub field: Field,
    /// The text.
    pub input: Input,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Messages {
    /// The topic.
    pub topic: Arc<str>,
    /// What is read.
    pub request: ReadRequest,
    /// The condition as it was typed.
    pub condition: String,
    /// Where is read from, as people say it.
    pub from: String,
    /// What is typed.
    pub prompt: Option<Prompt>,
    /// The records that were read.
    pub records: BTreeMap<Place, TailRecord>,
    /// The selected one; `None`: the newest while following, else the first.
    pub selected: Option<Place>,
    /// Records that were looked at.
    pub read: u64,
    /// Of those, the ones that meet the condition.
    pub matched: u64,
    /// Records that came faster than they could be shown.
    pub skipped: u64,
    /// Why nothing comes.
    pub problem: String,
    /// Values are shown as they came, not as JSON.
    pub is_raw: bool,
    /// The record has the keys, not the list.
    pub on_detail: bool,
    /// The first line of the record that is shown.
    pub detail_line: usize,
    /// The moment of the last picture, to notice that time went back.
    pub seen_at_ms: u64,
    /// Only records up to this moment are shown, in milliseconds since 1970 UTC: the past is viewed.
    pub until_ms: Option<i64>,
}

impl Messages {
    /// The newest records of a topic, followed.
    pub fn new(topic: &str) -> Messages {
        let request = ReadRequest { topic: topic.to_owned(), from: TailFrom::Last(LAST), ..ReadRequest::default() };
        Messages {
            topic: Arc::from(topic),
            request,
            condition: String::new(),
            from: format!("last {LAST} of each"),
            prompt: None,
            records: BTreeMap::new(),
            selected: None,
            read: 0,
            matched: 0,
            skipped: 0,
            problem: String::new(),
            is_raw: false,
            on_detail: false,
            detail_line: 0,
            seen_at_ms: 0,
            until_ms: None,
        }
    }

    /// Whether the newest come first and go on coming.
    pub fn follows(&self) -> bool {
        !self.request.from.is_browsed()
    }

    /// How many records can be taken now.
    pub fn room(&self) -> usize {
        if self.follows() { AT_ONCE } else { KEPT.saturating_sub(self.records.len()).min(AT_ONCE) }
    }

    /// Forgets what was read: it is read anew.
    pub fn begin(&mut self) {
        self.records.clear();
        (self.selected, self.detail_line) = (None, 0);
        (self.read, self.matched, self.skipped) = (0, 0, 0);
        self.problem.clear();
    }

    /// Records have come.
    pub fn add(&mut self, batch: TailBatch) {
        self.problem = batch.problem;
        self.skipped += batch.skipped;
        self.read += batch.read;
        self.matched += batch.records.len() as u64;
        for record in batch.records {
            self.records.insert((record.timestamp_ms, record.partition, record.offset), record);
        }
        while self.records.len() > KEPT {
            self.records.pop_first();
        }
        if let Some(selected) = self.selected.filter(|place| !self.records.contains_key(place)) {
            // It is too old to be kept: the oldest is next.
            self.selected = self.records.range(selected..).next().map(|(place, _)| *place);
        }
    }

    /// The records in the order in which they are listed.
    pub fn listed(&self) -> Box<dyn Iterator<Item = (&Place, &TailRecord)> + '_> {
        if self.follows() { Box::new(self.shown().rev()) } else { Box::new(self.shown()) }
    }

    /// The records that are shown, in the order of time: of the past, those that there were, as far as they were read.
    fn shown(&self) -> btree_map::Range<'_, Place, TailRecord> {
        match self.until_ms {
            Some(until_ms) => self.records.range(..=(until_ms, i32::MAX, i64::MAX)),
            None => self.records.range(..),
        }
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.shown().next().is_none()
    }

    /// The selected record, if it is shown.
    fn selected(&self) -> Option<Place> {
        self.selected.filter(|(timestamp_ms, ..)| self.until_ms.is_none_or(|until_ms| *timestamp_ms <= until_ms))
    }

    /// Where the selected record stands in the list.
    pub fn selected_index(&self) -> usize {
        match self.selected() {
            None => 0,
            Some(place) if self.follows() => self.shown().rev().take_while(|(shown, _)| **shown > place).count(),
            Some(place) => self.records.range(..place).count(),
        }
    }

    /// Selects the record at an index of the list. The first one of a list that follows is whichever comes newest.
    pub fn select(&mut self, index: usize) {
        let index = index.min(self.shown().count().saturating_sub(1));
        let place = self.listed().nth(index).map(|(place, _)| *place);
        self.selected = place.filter(|_| index > 0);
        self.detail_line = 0;
    }

    /// The record in detail.
    pub fn record(&self) -> Option<&TailRecord> {
        match self.selected() {
            Some(place) => self.records.get(&place),
            None => self.listed().next().map(|(_, record)| record),
        }
    }

    /// The partition of the record in detail.
    pub fn place(&self) -> Option<PartitionName> {
        self.record().map(|record| PartitionName { topic: Arc::clone(&self.topic), partition: record.partition })
    }

    /// What the typed text means: the request it leads to, or why it cannot be read. `view` tells the time.
    ///
    /// # Errors
    /// A few words.
    pub fn read_prompt(&self, prompt: &Prompt, view: &ClusterView) -> Result<(ReadRequest, String), String> {
        let text = prompt.input.value().trim();
        let mut request = self.request.clone();
        let from = match prompt.field {
            Field::Where => {
                request.query = query::parse(text, view.wall_ms, view.utc_offset_s)?;
                self.from.clone()
            }
            Field::Offset => offset_of(text, &mut request)?,
            Field::Time => time_of(text, &mut request, view)?,
        };
        Ok((request, from))
    }

    /// Follows the newest records of every partition.
    pub fn follow(&mut self) {
        self.request.from = TailFrom::Last(LAST);
        self.request.partitions.clear();
        self.from = format!("last {LAST} of each");
        self.begin();
    }

    /// Whether a condition is in force.
    pub fn is_filtered(&self) -> bool {
        self.request.query != Query::default()
    }
}

/// `12,840` in every partition, `3:12840` in one, or `start`, `end`.
fn offset_of(text: &str, request: &mut ReadRequest) -> Result<String, String> {
    let (partition, number) = text.split_once([':', '@']).map_or((None, text), |(left, right)| (Some(left), right));
    let partitions = match partition.map(|text| text.trim().parse::<i32>()) {
        None => Vec::new(),
        Some(Ok(partition)) if partition >= 0 => vec![partition],
        Some(_) => return Err("write OFFSET, or PARTITION:OFFSET".to_owned()),
    };
    let (from, told) = match number.trim() {
        "start" => (TailFrom::Start, "the start".to_owned()),
        "end" => (TailFrom::End, "now on".to_owned()),
        number => {
            let number = number.replace(',', "").parse::<i64>().ok().filter(|number| *number >= 0);
            let number = number.ok_or("a number, start or end; 3:120 in partition 3")?;
            (TailFrom::Offset(number), format!("offset {}", offset(number)))
        }
    };
    (request.from, request.partitions) = (from, partitions);
    Ok(told)
}

/// `10m` or `-10m` ago, or a time of the day.
fn time_of(text: &str, request: &mut ReadRequest, view: &ClusterView) -> Result<String, String> {
    if let (Some(virtual_time), true) = (text.strip_prefix('T'), view.host.world.is_some()) {
        let joined: String = virtual_time.split_whitespace().collect();
        let since = duration(&joined).ok().and_then(|since| i64::try_from(since.as_millis()).ok());
        let since = since.ok_or_else(|| format!("`{text}` is no time: write T 4.2s"))?;
        let began = view.wall_ms.saturating_sub_unsigned(view.at_ms);
        request.from = TailFrom::Time(began.saturating_add(since));
        return Ok(text.to_owned());
    }
    let is_ago = !text.contains(':') && !text.starts_with(['-', '−']) && text.parse::<i64>().is_err();
    let ago = if is_ago { format!("-{text}") } else { text.to_owned() };
    let at_ms = query::moment(&ago, view.wall_ms, view.utc_offset_s)?;
    request.from = TailFrom::Time(at_ms);
    let distance = u64::try_from(view.wall_ms.saturating_sub(at_ms)).unwrap_or(0);
    Ok(format!("{} ({} before now)", clock(at_ms, view.utc_offset_s, 0), span_ms(distance)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(offsets: std::ops::Range<i64>) -> TailBatch {
        let record = |offset| TailRecord { offset, timestamp_ms: 10 * offset, ..TailRecord::default() };
        TailBatch { records: offsets.map(record).collect(), read: 3, ..TailBatch::default() }
    }

    #[test]
    fn what_is_selected_stays_while_others_come_and_the_oldest_go() {
        let mut messages = Messages::new("orders");
        messages.add(batch(0..10));
        assert_eq!(messages.record().map(|record| record.offset), Some(9), "the newest is followed");
        messages.select(3);
        assert_eq!((messages.record().map(|record| record.offset), messages.selected_index()), (Some(6), 3));
        messages.add(batch(10..14));
        assert_eq!((messages.record().map(|record| record.offset), messages.selected_index()), (Some(6), 7));
        messages.add(batch(5..12));
        assert_eq!(messages.records.len(), 14, "none is held twice");
        messages.add(batch(14..14 + KEPT as i64));
        assert_eq!(messages.records.len(), KEPT);
        assert_eq!(messages.record().map(|record| record.offset), Some(14), "the oldest kept took its place");
        messages.select(0);
        assert_eq!(messages.selected, None);
    }

    #[test]
    fn browsing_begins_with_the_oldest_and_stops_when_full() {
        let mut messages = Messages::new("orders");
        messages.request.from = TailFrom::Start;
        messages.add(batch(0..1_900));
        assert_eq!((messages.record().map(|record| record.offset), messages.room()), (Some(0), 100));
        messages.add(batch(1_900..KEPT as i64));
        assert_eq!(messages.room(), 0);
        messages.select(5);
        assert_eq!(messages.selected_index(), 5);
    }

    #[test]
    fn what_is_typed_says_where_to_read_from() {
        let messages = Messages::new("orders");
        let view = ClusterView { wall_ms: 43_471_520, ..ClusterView::default() };
        let read = |field, text: &str| {
            let prompt = Prompt { field, input: Input::new(text.to_owned()) };
            messages.read_prompt(&prompt, &view).map(|(request, _)| (request.from, request.partitions))
        };
        assert_eq!(read(Field::Offset, "12,840"), Ok((TailFrom::Offset(12_840), vec![])));
        assert_eq!(read(Field::Offset, "3:7"), Ok((TailFrom::Offset(7), vec![3])));
        assert_eq!(read(Field::Offset, "start"), Ok((TailFrom::Start, vec![])));
        assert!(read(Field::Offset, "x:7").is_err() && read(Field::Offset, "-1").is_err());
        assert_eq!(read(Field::Time, "10m"), Ok((TailFrom::Time(43_471_520 - 600_000), vec![])));
        assert_eq!(read(Field::Time, "-10m"), read(Field::Time, "10m"));
        assert_eq!(read(Field::Time, "12:04:31"), Ok((TailFrom::Time(43_471_000), vec![])));
        assert!(read(Field::Time, "later").is_err() && read(Field::Where, "price > 1").is_err());
    }
}
