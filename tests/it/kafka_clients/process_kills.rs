//! kill -9 of the whole program under load: what was acknowledged is there when it runs again.

use super::create_topic;
use super::load::{Load, PARTITIONS};
use super::replicas;
use crate::support::{Server, number};

fn kill_again_and_again(mode: &str, kills: u64) {
    let mut server = Server::start(&[&format!("--durability={mode}")]);
    create_topic(&server, "orders", PARTITIONS);
    let mut load = Load::start(&server, "orders");
    let mut opened = Vec::new();
    for _ in 0..kills {
        load.await_progress(&server, "between two kills");
        server.kill_process();
        server.start_process();
        opened.push(server.opened_in);
    }
    load.await_progress(&server, "after the last kill");
    let (acknowledged, gap) = load.stop();
    load.verify(&server);
    server.ctl("wait under-replicated = 0 --within 60s");
    replicas::assert_equal(&server, "orders", PARTITIONS);
    opened.sort();
    let (middle, longest) = (opened[opened.len() / 2], opened[opened.len() - 1]);
    println!(
        "mode {mode}: {kills} kills, {acknowledged} records acknowledged, open again in {middle:.2?} (median), {longest:.2?} at most; \
         at most {gap:.2?} without an acknowledgement"
    );
}

#[test]
fn nothing_acknowledged_is_lost_when_the_program_is_killed_in_mode_process() {
    kill_again_and_again("process", number("PROCESS_KILLS", 3));
}

#[test]
fn nothing_acknowledged_is_lost_when_the_program_is_killed_in_mode_sync() {
    kill_again_and_again("sync", number("SYNC_KILLS", 3));
}
