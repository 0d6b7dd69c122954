//! Brokers and links fail one after the other under load, and nothing that was acknowledged is lost, there twice or out of order.
//!
//! Invariants: one fault at a time, and a broker only fails while another in-sync replica of each of its partitions lives: then
//! Kafka's contract holds for every fault here, a loss of power included.

use super::load::{Load, PARTITIONS};
use super::{config, create_topic, replicas};
use crate::support::{Server, eventually, number};
use kafkarium::engine::prng::Prng;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::{Duration, Instant};

const TOPIC: &str = "orders";
/// How long a cut lasts that the load does not get over: longer than the produce requests' timeout.
const CUT_TIME: Duration = Duration::from_secs(10);

/// A fault, and the command that ends it if it does not end by itself.
fn pick(random: &mut Prng) -> (String, Option<String>) {
    let broker = 1 + random.below(3);
    let (next, after) = (broker % 3 + 1, (broker + 1) % 3 + 1);
    let (fault, end) = match random.below(7) {
        0 => (format!("kill {broker}"), Some(format!("start {broker}"))),
        1 => (format!("suspend {broker}"), Some(format!("resume {broker}"))),
        2 => (format!("powerloss {broker}"), Some(format!("start {broker}"))),
        3 => (format!("restart {broker}"), None),
        4 => (format!("link cut {broker} {next},{after}"), Some("heal".to_owned())),
        5 => (format!("link cut {broker} {next}"), Some("heal".to_owned())),
        _ => ("kill controller".to_owned(), Some("start killed".to_owned())),
    };
    (fault, end)
}

/// Whether each partition can do without any one broker: it has two replicas in sync.
fn any_may_fail(client: &BaseConsumer) -> bool {
    let metadata = eventually("metadata", || client.fetch_metadata(Some(TOPIC), Duration::from_secs(5)).ok());
    metadata.topics()[0].partitions().iter().all(|partition| partition.isr().len() >= 2)
}

#[test]
fn nothing_acknowledged_is_lost_while_brokers_and_links_fail() {
    let events = number("KILL_EVENTS", 20);
    let seed = number("KILL_SEED", 20_251_123);
    let mut random = Prng::new(seed);
    // Power takes what only the operating system had: with files, and not synced, there is something to take.
    let server = Server::start(&["--durability=process"]);
    create_topic(&server, TOPIC, PARTITIONS);
    let client: BaseConsumer = config(&server).create().expect("a client");
    let mut load = Load::start(&server, TOPIC);
    load.await_progress(&server, "before the first fault");
    let begun = Instant::now();
    for event in 0..events {
        let (fault, end) = pick(&mut random);
        eventually("no broker is the last in-sync replica", || any_may_fail(&client).then_some(()));
        println!("{:>7.2} s  {:>6} acknowledged  {event}: {fault}", begun.elapsed().as_secs_f64(), load.acknowledged());
        // Between two controllers there is none to kill.
        eventually("the fault can be made", || server.try_ctl(&fault).ok());
        // librdkafka repeats what timed out at a leader that is cut off, and asks for no metadata: if it has nobody else to
        // produce to, it learns of the new leaders only when the links are whole.
        let goes_on = !fault.starts_with("link cut") || load.progress(CUT_TIME).is_ok();
        if goes_on {
            load.await_progress(&server, &format!("seed {seed}, after `{fault}`"));
        }
        if let Some(end) = end {
            server.ctl(&end);
        }
        if !goes_on {
            load.await_progress(&server, &format!("seed {seed}, after the end of `{fault}`"));
        }
        // Otherwise the next one comes while followers still catch up after this one.
        if random.below(2) == 0 {
            server.ctl("wait under-replicated = 0 --within 60s");
        }
    }
    server.ctl("wait under-replicated = 0 --within 60s");
    load.await_progress(&server, "after the last fault");
    let (acknowledged, gap) = load.stop();
    load.verify(&server);
    replicas::assert_equal(&server, TOPIC, PARTITIONS);
    println!(
        "{events} faults with KILL_SEED={seed}, {acknowledged} records acknowledged, at most {gap:.2?} without one"
    );
}
