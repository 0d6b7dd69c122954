//! The consumer groups of the scripted cluster.

use super::Scene;
use kafkarium::cluster::view::*;
use std::sync::Arc;

/// How many groups the scripted cluster has where there are many.
const MANY: usize = 500;

fn partition(topic: &str, number: i32, committed: i64, end: i64, owner: Option<usize>) -> GroupPartition {
    let lag = u64::try_from(end - committed).unwrap_or(0);
    GroupPartition {
        name: PartitionName::new(topic, number),
        committed: Some(committed),
        end: Some(end),
        owner,
        behind_ms: Some(lag * 5).map(|behind_ms| behind_ms.min(BEHIND_MAX_MS)),
        lag_history: (0..20).map(|n| lag * (3 + n * n % 5) / 8 + if n > 17 { lag } else { 0 }).collect(),
    }
}

fn member(number: u32, owns: &[i32], awaits: &[i32], seen_ms: Option<u64>) -> GroupMember {
    let names = |numbers: &[i32]| numbers.iter().map(|number| PartitionName::new("orders", *number)).collect();
    GroupMember {
        id: Arc::from(format!("billing-{number}-0f3a{number}b7c")),
        client: Arc::from(format!("billing-{number}")),
        instance: None,
        seen_ms,
        session_timeout_ms: 6_000,
        host: Arc::from("/10.0.0.17"),
        subscribes: vec![Arc::from("orders")],
        rebalance_timeout_ms: 60_000,
        epoch: None,
        owns: names(owns),
        gives_back: Vec::new(),
        awaits: names(awaits),
    }
}

fn billing(now_ms: u64) -> GroupDetail {
    let ends = [(12_310, 12_873), (11_982, 12_690), (11_540, 12_733), (10_810, 12_602), (11_402, 12_655)];
    GroupDetail {
        name: Arc::from("billing"),
        state: GroupState::Preparing,
        since_ms: now_ms - 2_400,
        stable_until_ms: Some(now_ms - 2_400),
        state_ends_ms: Some(now_ms + 7_400),
        reads_on: false,
        is_consumer_protocol: false,
        assignor: Some(Arc::from("range")),
        generation: 43,
        target_epoch: None,
        coordinator: BrokerId(4),
        coordinator_before: Some(BrokerId(2)),
        members: vec![
            member(7, &[0, 1], &[], None),
            member(8, &[2, 3], &[], None),
            member(9, &[], &[4], Some(now_ms - 3_100)),
        ],
        partitions: (0..)
            .zip(ends)
            .map(|(number, (committed, end))| {
                partition("orders", number, committed, end, usize::try_from(number / 2).ok().filter(|owner| *owner < 2))
            })
            .collect(),
        rebalances: vec![
            GroupRebalance {
                at_ms: now_ms - 2_400,
                generation: 42,
                cause: "coordinator moved 2 → 4".into(),
                effect: None,
            },
            GroupRebalance {
                at_ms: now_ms - 252_000,
                generation: 41,
                cause: "billing-9-0f3a9b7c joined".into(),
                effect: Some(GroupEffect { took_ms: 340, moved: 2, members: 3 }),
            },
            GroupRebalance {
                at_ms: now_ms - 590_000,
                generation: 40,
                cause: "billing-8-0f3a8b7c was silent for too long".into(),
                effect: None,
            },
        ],
    }
}

/// What a host would answer.
pub fn view(want: &GroupsRequest, now_ms: u64, scene: Scene) -> GroupsView {
    let mut rows = Vec::new();
    if !matches!(scene, Scene::Empty | Scene::Starting) {
        let row = |name: &str, state, members, lag| GroupRow {
            name: Arc::from(name),
            state,
            members,
            lag,
            lag_history: (0..want.spark_samples as u64).map(|n| n * n % 7 * lag.unwrap_or(0) / 7).collect(),
        };
        rows.push(row("billing", GroupState::Preparing, 3, Some(6_214)));
        rows.push(row("email", GroupState::Stable, 2, Some(12)));
        rows.push(row("fraud-check", GroupState::NoCoordinator, 2, Some(188)));
        rows.push(row("reports-of-the-whole-company", GroupState::Empty, 0, Some(1_204_113)));
        let more = if scene == Scene::Large { MANY } else { 0 };
        rows.extend((0..more).map(|n| row(&format!("team-{n:03}"), GroupState::Stable, 2, Some(n as u64))));
    }
    let known = rows.len();
    rows.retain(|row| row.name.contains(&want.filter));
    if want.by_lag {
        rows.sort_by_key(|row| std::cmp::Reverse(row.lag));
    }
    let total = rows.len();
    let selected = rows.iter().position(|row| want.selected.as_ref() == Some(&row.name)).unwrap_or(0);
    let detail = rows.get(selected).map(|row| {
        let detail = GroupDetail { name: Arc::clone(&row.name), ..billing(now_ms) };
        Box::new(match row.state {
            GroupState::Preparing => detail,
            GroupState::Empty => GroupDetail { state: row.state, members: Vec::new(), stable_until_ms: None, ..detail },
            state => GroupDetail { state, is_consumer_protocol: true, reads_on: true, stable_until_ms: None, ..detail },
        })
    });
    let rows = rows.into_iter().skip(want.first_row).take(want.row_count).collect();
    GroupsView { rows, first_row: want.first_row, total, known, selected_index: selected, detail }
}
