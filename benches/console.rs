//! What a frame of the console costs: the aim is under 5 ms at 160 × 45, whatever the number of partitions.

#[path = "../tests/it/console/fake.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod fake;

use divan::Bencher;
use fake::{FakeCluster, Scene};
use kafkarium::cluster::command::parse_line;
use kafkarium::cluster::sim::run::Run;
use kafkarium::cluster::sim::stage::Stage;
use kafkarium::cluster::view::{ClusterPort, TailBatch, TailRecord};
use kafkarium::tui::commands;
use kafkarium::tui::draw::draw;
use kafkarium::tui::messages::{KEPT, Messages};
use kafkarium::tui::model::{Model, Screen};
use kafkarium::tui::msg::Msg;
use kafkarium::tui::theme::{Theme, ThemeName};
use kafkarium::tui::update::update;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

fn main() {
    divan::main();
}

fn model(cluster: &mut FakeCluster, columns: u16, rows: u16) -> Model {
    let commands = commands::palette(cluster.commands()).into();
    let mut model = Model::new(Theme::new(ThemeName::Dark), commands, Rect::new(0, 0, columns, rows));
    let view = cluster.view(&model.view_request());
    update(&mut model, Msg::View(view));
    model
}

/// A frame of 10,000 partitions and 9 brokers, drawn from a picture that is there.
#[divan::bench(args = [(80, 24), (160, 45), (200, 60)])]
fn frame_of_ten_thousand_partitions(bencher: Bencher<'_, '_>, size: (u16, u16)) {
    let mut cluster = FakeCluster::new(Scene::Large);
    let model = model(&mut cluster, size.0, size.1);
    let mut buffer = Buffer::empty(model.area);
    bencher.bench_local(|| draw(&model, &model.view, &model.theme, model.area, &mut buffer));
}

/// The frame with the most on it.
#[divan::bench]
fn frame_of_a_failover(bencher: Bencher<'_, '_>) {
    let mut cluster = FakeCluster::new(Scene::Failover);
    let model = model(&mut cluster, 160, 45);
    let mut buffer = Buffer::empty(model.area);
    bencher.bench_local(|| draw(&model, &model.view, &model.theme, model.area, &mut buffer));
}

/// The Partition screen while a copy is being cut, of 10,000 partitions.
#[divan::bench(args = [(80, 24), (160, 45), (200, 60)])]
fn frame_of_a_partition(bencher: Bencher<'_, '_>, size: (u16, u16)) {
    let mut cluster = FakeCluster::new(Scene::Large);
    let mut model = model(&mut cluster, size.0, size.1);
    model.screen = Screen::Partition;
    for _ in 0..3 {
        let view = cluster.view(&model.view_request());
        update(&mut model, Msg::View(view));
    }
    let mut buffer = Buffer::empty(model.area);
    bencher.bench_local(|| draw(&model, &model.view, &model.theme, model.area, &mut buffer));
}

/// The Groups screen with 500 groups.
#[divan::bench]
fn frame_of_five_hundred_groups(bencher: Bencher<'_, '_>) {
    let mut cluster = FakeCluster::new(Scene::Large);
    let mut model = model(&mut cluster, 160, 45);
    model.screen = Screen::Groups;
    let view = cluster.view(&model.view_request());
    update(&mut model, Msg::View(view));
    let mut buffer = Buffer::empty(model.area);
    bencher.bench_local(|| draw(&model, &model.view, &model.theme, model.area, &mut buffer));
}

/// The Topics screen with 500 topics of 10,000 partitions.
#[divan::bench]
fn frame_of_five_hundred_topics(bencher: Bencher<'_, '_>) {
    let mut cluster = FakeCluster::new(Scene::Large);
    let mut model = model(&mut cluster, 160, 45);
    model.screen = Screen::Topics;
    let view = cluster.view(&model.view_request());
    update(&mut model, Msg::View(view));
    let mut buffer = Buffer::empty(model.area);
    bencher.bench_local(|| draw(&model, &model.view, &model.theme, model.area, &mut buffer));
}

/// The messages screen with as many records as it keeps.
#[divan::bench]
fn frame_of_two_thousand_messages(bencher: Bencher<'_, '_>) {
    let mut cluster = FakeCluster::new(Scene::Large);
    let mut model = model(&mut cluster, 160, 45);
    model.screen = Screen::Topics;
    let record = |offset: i64| TailRecord {
        offset,
        timestamp_ms: offset,
        key: Some(format!("eu-{offset}")),
        value: Some(format!("{{\"id\":{offset},\"total\":{offset}.40,\"items\":[{{\"sku\":\"KB-{offset}\"}}]}}")),
        ..TailRecord::default()
    };
    let mut messages = Messages::new("orders");
    messages.add(TailBatch { records: (0..KEPT as i64).map(record).collect(), ..TailBatch::default() });
    messages.select(KEPT / 2);
    model.messages = Some(messages);
    let view = cluster.view(&model.view_request());
    update(&mut model, Msg::View(view));
    let mut buffer = Buffer::empty(model.area);
    bencher.bench_local(|| draw(&model, &model.view, &model.theme, model.area, &mut buffer));
}

/// The Faults screen of the largest scripted cluster.
#[divan::bench]
fn frame_of_faults(bencher: Bencher<'_, '_>) {
    let mut cluster = FakeCluster::new(Scene::Large);
    let mut model = model(&mut cluster, 160, 45);
    model.screen = Screen::Faults;
    let mut buffer = Buffer::empty(model.area);
    bencher.bench_local(|| draw(&model, &model.view, &model.theme, model.area, &mut buffer));
}

/// A simulated world that stands still with a full ring of messages, and the Wire screen on it.
fn wire() -> (Stage, Model) {
    let mut stage = Stage::new(Run::open(7, 3), 7);
    for line in ["demo", "run 5s"] {
        assert!(stage.execute(parse_line(line).expect("a command")).is_done(), "{line}");
    }
    let commands = commands::palette(stage.commands()).into();
    let mut model = Model::new(Theme::new(ThemeName::Dark), commands, Rect::new(0, 0, 160, 45));
    model.screen = Screen::Wire;
    model.wire.routine = true;
    let view = stage.view(&model.view_request());
    update(&mut model, Msg::View(view));
    (stage, model)
}

/// The Wire screen with a full ring.
#[divan::bench]
fn frame_of_a_full_ring(bencher: Bencher<'_, '_>) {
    let (_, model) = wire();
    let mut buffer = Buffer::empty(model.area);
    bencher.bench_local(|| draw(&model, &model.view, &model.theme, model.area, &mut buffer));
}

/// The picture behind it, made anew of a full ring.
#[divan::bench]
fn picture_of_a_full_ring(bencher: Bencher<'_, '_>) {
    let (mut stage, model) = wire();
    let want = model.view_request();
    bencher.bench_local(|| stage.view(&want));
}
