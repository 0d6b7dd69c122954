//! The links of the scripted cluster: one that is cut one way, one that is slow both ways, one that loses messages; and what is told of them.

use super::NOW_MS;
use kafkarium::cluster::link::{CLIENTS, LinkFaults};
use kafkarium::cluster::view::{
    ActiveFault, BrokerId, Copies, FaultKind, FaultsRequest, FaultsView, LinkView, Outlook, Point, PointKind, Traffic,
    Weight,
};
use std::time::Duration;

/// What is wrong with links.
pub fn on_links() -> Vec<ActiveFault> {
    let fault = |kind, text: &str, ago_ms, undo: &str, links| ActiveFault {
        kind,
        text: text.into(),
        since_ms: NOW_MS - ago_ms,
        undo: undo.into(),
        links,
    };
    let (one, three, four, five) = (BrokerId(1), BrokerId(3), BrokerId(4), BrokerId(5));
    vec![
        fault(FaultKind::Cut, "link 1 → 5 cut", 8_400, "link heal 1 to 5", vec![(one, five)]),
        fault(FaultKind::Slow, "link 3 ⇄ 4 +120ms", 64_000, "link heal 3 4", vec![(three, four), (four, three)]),
        fault(FaultKind::Loss, "link clients → 3 loses 5 %", 69_000, "link heal clients to 3", vec![(CLIENTS, three)]),
    ]
}

/// What is told of what the screen asks for.
pub fn told(want: FaultsRequest) -> Box<FaultsView> {
    Box::new(FaultsView { link: want.link.map(link), outlook: want.line.map(outlook) })
}

/// What is told of a link: the one from 1 to 5 is cut, and so on.
fn link(ends: (BrokerId, BrokerId)) -> LinkView {
    let faults = match (ends.0.0, ends.1.0) {
        (1, 5) => LinkFaults { is_cut: true, ..LinkFaults::default() },
        (3, 4) | (4, 3) => {
            LinkFaults { delay: Duration::from_millis(120), jitter: Duration::from_millis(40), ..LinkFaults::default() }
        }
        (-1, 3) => LinkFaults { loss_per_million: 50_000, ..LinkFaults::default() },
        _ => LinkFaults::default(),
    };
    let copies = |partitions, in_sync, behind| Copies { partitions, in_sync, behind };
    LinkView {
        ends,
        faults,
        held: 0,
        since_ms: faults.is_cut.then_some(NOW_MS - 8_400),
        lost: if faults.is_cut { 1_204 } else { 0 },
        traffic: (ends.0.0 != 2).then_some(Traffic { messages: Some(31), bytes: 48_200, over_ms: 1_000 }),
        copies: if ends.0 == CLIENTS || ends.1 == CLIENTS { copies(0, 0, 0) } else { copies(4, 3, 120) },
        asks: if ends.0 == CLIENTS || ends.1 == CLIENTS { copies(0, 0, 0) } else { copies(2, 2, 0) },
        from_controller: ends.0.0 == 1,
        to_controller: ends.1.0 == 1,
        leaves_isr_at_ms: faults.is_cut.then_some(NOW_MS + 21_600),
        lag_time_max_ms: 30_000,
    }
}

/// What a line would do; what it says of 5 is that it has told nothing.
fn outlook(line: String) -> Outlook {
    let point = |kind, count: Option<u64>, text: &str| Point { kind, count, text: text.to_owned() };
    let points = match line.as_str() {
        "kill 5" => vec![point(PointKind::Unknown, None, "not known: no broker has told anything yet")],
        "start 2" => vec![point(PointKind::Said(Weight::Notice), None, "It copies what it missed in 11 partitions.")],
        _ => vec![
            point(PointKind::NewLeader, Some(8), "partitions elect a new leader"),
            point(PointKind::Offline, Some(2), "partitions lose their last in-sync copy: orders-0 and 1 more"),
            point(PointKind::BelowMin, Some(5), "partitions drop below min ISR: writes refused"),
            point(PointKind::AtRisk, Some(31), "records are not copied yet: lost if acks=1"),
            point(PointKind::NoQuorum, None, "quorum keeps 1 of 3 voters: no controller"),
        ],
    };
    Outlook { line, points }
}
