//! Every verb of the language on a simulated stage: what is said, and what is so afterwards.

use crate::cluster::command::parse_line;
use crate::cluster::sim::run::Run;
use crate::cluster::sim::timeline::Timeline;
use crate::engine::observe::{EventKind, QuorumRole};
use std::time::Duration;

/// Plays lines: `pass D` lets time pass, `! LINE` has to fail and to say what follows `=>`; every other line has to be done, and to say what
/// follows `=>` if anything does.
fn play(seed: u64, lines: &str) {
    play_on(3, seed, lines);
}

fn play_on(brokers: i32, seed: u64, lines: &str) {
    let mut timeline = Timeline::new(Run::open(seed, brokers));
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(time) = line.strip_prefix("pass ") {
            let time: Duration = humantime::parse_duration(time).expect("a duration");
            timeline.run_to(timeline.now() + time);
            continue;
        }
        let (said, expected) = line.split_once("=>").unwrap_or((line, ""));
        let (said, fails) = said.trim().strip_prefix("! ").map_or((said.trim(), false), |said| (said, true));
        let reply = timeline.command(parse_line(said).unwrap_or_else(|error| panic!("{said}: {error}")));
        assert_eq!(reply.is_done(), !fails, "{said}: {reply:?}");
        let told = format!("{reply:?}");
        assert!(told.contains(expected.trim()), "{said}: {told}");
    }
    assert_eq!(timeline.broken(), None, "{lines}");
}

const BEGIN: &str = "topic create orders --partitions 1 --replicas 3 --config min.insync.replicas=2
    wait isr orders-0 = 1,2,3 --within 10s\n";

#[test]
fn records_are_written_and_read_by_hand() {
    play(
        1,
        &format!(
            "{BEGIN}
            produce orders --key alice --value hello => Sent 1 record to orders-0 at offset 0
            produce orders --value %n --count 20 --acks 1 => Sent 20 records
            produce orders --value loud --acks 0 --header a=b
            pass 100ms
            consume orders --from earliest => orders-0@0 alice  hello
            consume orders --from -2 => loud
            consume orders --from 5 --max 1 => orders-0@5
            consume orders --group billing --max 10 => orders-0@9
            group describe billing => orders
            consume orders --group billing --max 1 => orders-0@10
            consume orders --group lazy --protocol consumer --max 3 => orders-0@2
            ! consume nothing --from earliest => nothing
            ! consume orders --follow => --follow needs --max
            ! produce orders --value x --partition 7 => orders
            ! expect acked > 0 => acked is not known"
        ),
    );
}

#[test]
fn a_load_keeps_its_rate_and_its_ledger() {
    play(
        2,
        &format!(
            "{BEGIN}
            produce orders --rate 50/s --acks all --name shop => `produce stop shop` ends it
            ! produce orders --rate 50/s --name shop => runs already
            produce orders --rate 10/s --acks 1 --name fast
            produce orders --rate 10/s --acks 0
            pass 2s
            expect acked > 110
            expect acked < 130
            produce stop fast => stopped fast
            produce stop orders
            ! produce stop fast => no load fast runs
            kill leader of orders-0
            wait leader orders-0 != none --within 10s
            wait acked > 150 --within 5s
            undo
            produce stop => stopped shop
            pass 2s
            expect lost = 0
            expect duplicated = 0
            expect reordered = 0
            expect readable > 150
            topic delete orders
            produce stop => no load runs"
        ),
    );
}

#[test]
fn members_stay_in_groups_are_stopped_killed_paused_and_slowed() {
    play(
        9,
        "topic create orders --partitions 4 --replicas 3
        produce orders --rate 50/s
        consume orders --group app --name one --session-timeout 2s => one reads orders in the group app
        ! consume orders --group app --name one => runs already
        wait members app = 1 --within 10s
        wait state app = stable --within 10s
        consume orders --group app --name two --session-timeout 2s
        wait members app = 2 --within 10s
        wait state app = stable --within 10s
        wait lag app < 60 --within 5s
        group describe app => two
        consume slow one 1/s
        wait lag app > 100 --within 20s
        consume resume one
        wait lag app < 60 --within 10s
        consume pause two
        wait members app = 1 --within 10s
        consume resume two
        wait members app = 2 --within 10s
        consume kill two
        pass 1s
        expect members app = 2
        wait members app = 1 --within 10s
        expect generation app >= 3
        expect committed app orders-0 > 0
        kill coordinator of app
        wait state app = stable --within 20s
        start killed
        consume orders --group new --name three --protocol consumer --rate 5/s
        wait members new = 1 --within 10s
        consume stop one => stopped one
        wait members app = 0 --within 5s
        expect state app = empty
        ! consume pause one => no reader one runs
        group reset app orders --to earliest --execute
        group delete app
        consume stop => stopped three
        consume stop => no reader runs
        expect lost = 0",
    );
}

#[test]
fn brokers_end_come_back_come_and_go() {
    play(
        3,
        &format!(
            "{BEGIN}
            stop 2 => stopped
            ! stop 2 => does not run
            start 2 => up
            kill 3
            restart killed => up
            suspend 1
            ! stop 1 => is suspended
            wait leader orders-0 != 1 --within 10s
            resume 1
            wait isr orders-0 = 1,2,3 --within 20s
            powerloss 2
            start 2
            wait isr orders-0 = 1,2,3 --within 20s
            wipe 3 => empty disk
            start 3
            wait isr orders-0 = 1,2,3 --within 20s
            kill controller
            kill controller
            wait controller = none --within 5s
            start killed
            wait controller != none --within 10s
            broker add => Broker 4 is up
            reassign start orders-0 --to 4,2,3
            wait replicas orders-0 = 4,2,3 --within 10s
            ! broker remove 4 => holds a replica
            ! broker remove 1 => votes
            reassign start orders-0 --to 1,2,3
            wait replicas orders-0 = 1,2,3 --within 20s
            wait isr orders-0 = 1,2,3 --within 20s
            broker remove 4 => no longer part
            ! kill 4 => there is no broker 4
            broker list => 3
            expect alive = 3
            pass 5s"
        ),
    );
}

#[test]
fn links_between_brokers_and_to_clients_are_broken_and_mended() {
    play(
        4,
        &format!(
            "{BEGIN}
            produce orders --rate 100/s --name shop
            wait acked > 20 --within 5s
            link cut 1 2,3
            wait isr orders-0 = 2,3 --within 20s
            expect faults > 0
            link heal 1 2,3
            wait isr orders-0 = 1,2,3 --within 20s
            expect faults = 0
            link delay 1 2 20ms --jitter 5ms
            link lose 1 to 3 5%
            link throttle 2 3 64KiB/s
            link hold 3 to 2
            pass 500ms
            link release 3 to 2
            heal
            wait isr orders-0 = 1,2,3 --within 20s
            link cut 1,2,3 clients
            expect faults > 0
            pass 1s
            produce stop shop
            link heal 1,2,3 clients
            pass 1s
            ! consume orders --from 100000000 --max 1 --partition 9
            link delay 1,2,3 clients 100ms
            produce orders --value late
            link throttle 1,2,3 clients 1KiB/s
            produce orders --value slow
            heal
            link hold clients to 1,2,3
            link release clients to 1,2,3
            drop next response of Produce
            produce orders --value twice
            expect faults = 0
            drop next request of Fetch --count 2 --broker 1
            heal
            expect lost = 0
            expect duplicated = 0
            ! link cut 1 9 => no broker 9"
        ),
    );
}

#[test]
fn topics_settings_moves_and_elections_are_the_cluster_s_own() {
    play(
        5,
        &format!(
            "{BEGIN}
            topic list => orders
            topic describe orders-0 => orders-0
            topic alter orders --partitions 3
            wait leader orders-2 != none --within 5s
            topic alter orders --config retention.ms=60000
            config describe topic orders => retention.ms
            config alter topic orders --delete retention.ms
            config alter brokers --set log.retention.ms=100000
            config describe brokers => 100000
            produce orders --partition 0 --count 10
            topic delete-records orders-0 --before 4
            consume orders --partition 0 --max 1 => orders-0@4
            reassign start orders-1 --to 1,2
            wait replicas orders-1 = 1,2 --within 10s
            reassign list
            ! reassign cancel orders-1
            kill 1
            wait leader orders-0 != 1 --within 10s
            start 1
            wait isr orders-0 = 1,2,3 --within 20s
            elect preferred
            produce orders --key alice --tombstone --partition 2
            consume orders --partition 2 => (tombstone)
            kill controller
            elect align
            wait controller != none --within 20s
            start killed
            quorum describe => voter
            group list
            transaction list
            ! transaction describe nobody
            ! group delete nobody
            disk slow 2 20ms
            disk full 3
            produce orders --partition 0 --acks 1
            wait alive = 2 --within 5s
            disk heal 2,3
            start 3
            disk fail 1
            wait alive = 2 --within 5s
            ! start 1
            heal
            start killed
            wait alive = 3 --within 5s
            pass 1s
            clock skew 2 +5s
            expect faults = 1
            clock skew 2 +0s
            expect faults = 0
            topic delete orders"
        ),
    );
}

#[test]
fn what_kafka_s_contract_does_not_promise_is_lost_and_named_and_breaks_no_rule() {
    play_on(
        5,
        6,
        "topic create orders --assignment 3:4:5 --config min.insync.replicas=1
        wait isr orders-0 = 3,4,5 --within 10s
        produce orders --rate 100/s --acks all --name shop
        wait acked > 20 --within 5s
        kill 4 5
        wait isr orders-0 = 3 --within 10s
        pass 1s
        produce stop shop
        pass 1s
        expect lost = 0
        kill 3
        start 4 5
        pass 1s
        elect unclean orders-0
        wait leader orders-0 != none --within 10s
        produce orders --value on
        wait lost > 0 --within 5s
        start 3
        wait isr orders-0 = 3,4,5 --within 20s
        produce orders --value on
        pass 3s
        expect lost > 0",
    );
    play(
        7,
        "topic create orders --partitions 1 --replicas 3
        wait isr orders-0 = 1,2,3 --within 10s
        produce orders --rate 100/s --acks all --name shop
        wait acked > 120 --within 5s
        powerloss 1 2 3
        start 1 2 3
        wait leader orders-0 != none --within 20s
        pass 5s
        produce orders --value on
        wait isr orders-0 = 1,2,3 --within 20s
        pass 3s
        expect lost > 0
        heal",
    );
    play(
        8,
        "topic create orders --assignment 1:2:3
        wait isr orders-0 = 1,2,3 --within 10s
        link delay 2,3 to 1 200ms
        produce orders --rate 100/s --acks 1 --name shop
        wait acked > 120 --within 5s
        kill 1
        wait leader orders-0 != none --within 10s
        wait lost > 0 --within 5s
        heal
        expect alive = 2
        start killed
        wait isr orders-0 = 1,2,3 --within 10s
        expect duplicated = 0",
    );
}

#[test]
fn aligned_timers_split_the_vote() {
    let split_votes = |seed: u64, aligns: bool| {
        let mut timeline = Timeline::new(Run::open(seed, 3));
        let mut say = |line: &str| {
            let reply = timeline.command(parse_line(line).expect("a command"));
            assert!(reply.is_done(), "{line}: {reply:?}");
            timeline.run_mut().world.told.take()
        };
        say("wait controller != none");
        say("kill controller");
        if aligns {
            say("elect align");
        }
        say("wait controller = none");
        say("wait alive = 2");
        timeline.run_mut().world.told = Some(Vec::new());
        timeline.run_to(timeline.now().plus_millis(5_000));
        let told = timeline.run_mut().world.told.take().expect("it was kept");
        let stood = told.iter().filter_map(|event| match event.kind {
            EventKind::QuorumRole { to: QuorumRole::Candidate, epoch, .. } => Some(epoch),
            _ => None,
        });
        let stood: Vec<i32> = stood.collect();
        stood.windows(2).filter(|pair| pair[0] == pair[1]).count()
    };
    let seeds = 1..=10;
    let aligned = seeds.clone().filter(|seed| split_votes(*seed, true) > 0).count();
    let left_alone = seeds.filter(|seed| split_votes(*seed, false) > 0).count();
    assert!(aligned >= 8 && left_alone <= 4, "{aligned} and {left_alone} of 10");
}
