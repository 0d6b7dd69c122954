//! `kafkarium up` in a terminal, with brokers on real ports: what a user does in the first minute, by key.
//!
//! Every step awaits what the screen says; nothing sleeps.

use super::terminal::Terminal;
use portable_pty::CommandBuilder;
use std::path::Path;

/// The program with its demo workload, on free ports, leaving nothing behind.
fn up(home: &Path, arguments: &[&str]) -> CommandBuilder {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_kafkarium"));
    command.args(["up", "--port", "0", "--reduced-motion"]);
    command.args(arguments);
    command.env("HOME", home);
    command.env("XDG_RUNTIME_DIR", home);
    command.env("XDG_DATA_HOME", home);
    for variable in ["NO_COLOR", "KAFKARIUM_DATA", "KAFKARIUM_SOCKET"] {
        command.env_remove(variable);
    }
    command
}

/// The broker whose column the leader's glyph of a partition stands in.
fn leader_of(terminal: &Terminal, partition: &str) -> Option<usize> {
    let column_of = |row: &str, text: &str| row.find(text).map(|at| row[..at].chars().count());
    let (_, heads) = terminal.row_with(" broker 1 ")?;
    let columns = (1..=3).map(|id| column_of(&heads, &format!(" broker {id} "))).collect::<Option<Vec<_>>>()?;
    let (_, row) = terminal.row_with(&format!(" {partition} "))?;
    let leader = column_of(&row, "◆")?;
    // A column's glyphs stand a little before the words of its card.
    columns.iter().rposition(|column| column.saturating_sub(4) <= leader).map(|index| index + 1)
}

/// The in-sync replicas that a partition's row tells: `2/3`.
fn isr_of(terminal: &Terminal, partition: &str) -> Option<String> {
    let (_, row) = terminal.row_with(&format!(" {partition} "))?;
    row.split_whitespace().find(|word| word.len() == 3 && word.contains('/')).map(str::to_owned)
}

fn lives(terminal: &mut Terminal) {
    terminal.until("a healthy cluster with its orders", |terminal| {
        let text = terminal.text();
        text.contains("HEALTHY") && text.contains("records acknowledged") && leader_of(terminal, "orders-0").is_some()
    });
}

#[test]
fn a_leader_dies_by_key_and_another_takes_over() {
    let home = tempfile::tempdir().expect("a folder");
    let mut terminal = Terminal::start(up(home.path(), &["--ephemeral"]), 160, 45);
    lives(&mut terminal);
    assert!(!terminal.is_cooked(), "the console reads single keys");
    let victim = leader_of(&terminal, "orders-0").expect("a leader");

    // Told first, then done.
    terminal.keys(if victim == 1 { "lh" } else { &"ll"[..victim - 1] });
    terminal.shows(&format!("K kill {victim}  ▲"));
    terminal.keys("K");
    terminal.shows(" DEAD ");
    terminal.until("another leader", |terminal| {
        leader_of(terminal, "orders-0").is_some_and(|leader| leader != victim)
            && isr_of(terminal, "orders-0").as_deref() == Some("2/3")
    });
    terminal.shows("0 lost   0 duplicated");

    terminal.keys("R");
    terminal.until("the broker to be back in sync", |terminal| {
        let text = terminal.text();
        text.contains("HEALTHY") && !text.contains(" DEAD ") && isr_of(terminal, "orders-0").as_deref() == Some("3/3")
    });

    terminal.resize(80, 24);
    terminal.until("the picture at 80 × 24", |terminal| {
        let row = |text| terminal.row_with(text).map(|(number, _)| number);
        row("kfk") == Some(0) && row("? help") == Some(23) && row("orders-0").is_some()
    });

    terminal.keys("q");
    terminal.shows("Quit");
    terminal.keys("\x03");
    assert_eq!(terminal.ends(), 0);
    terminal.is_clean();
}

#[test]
fn a_termination_stops_the_brokers_and_gives_the_terminal_back() {
    let home = tempfile::tempdir().expect("a folder");
    let data = home.path().join("data");
    let mut terminal = Terminal::start(up(home.path(), &["--data", &data.to_string_lossy()]), 120, 36);
    lives(&mut terminal);
    terminal.signal(rustix::process::Signal::TERM);
    assert_eq!(terminal.ends(), 0);
    terminal.is_clean();
    // The same data open again, and nothing has to be kept from being lost: leaving asks nothing.
    let mut terminal = Terminal::start(up(home.path(), &["--empty", "--data", &data.to_string_lossy()]), 80, 24);
    terminal.until("the orders of before", |terminal| terminal.row_with(" orders-0 ").is_some());
    terminal.keys("q");
    assert_eq!(terminal.ends(), 0);
    terminal.is_clean();
}

#[test]
fn the_past_of_a_live_cluster_is_viewed_and_left() {
    let home = tempfile::tempdir().expect("a folder");
    let mut terminal = Terminal::start(up(home.path(), &["--ephemeral"]), 160, 45);
    lives(&mut terminal);
    let victim = leader_of(&terminal, "orders-0").expect("a leader");
    terminal.keys(if victim == 1 { "lh" } else { &"ll"[..victim - 1] });
    terminal.shows(&format!("K kill {victim}  ▲"));
    terminal.keys("K");
    terminal.until("another leader", |terminal| {
        let leader = leader_of(terminal, "orders-0");
        terminal.text().contains(" DEAD ") && leader.is_some_and(|leader| leader != victim)
    });

    // Fact by fact back to before the death and on to it.
    terminal.keys("{");
    terminal.shows("◂ REWOUND T−");
    terminal.shows("the past: changes are off");
    let walk = |terminal: &mut Terminal, key: &str, is_there: &dyn Fn(&Terminal) -> bool| {
        while !is_there(terminal) {
            let before = terminal.row_with("Timeline").expect("a timeline").1;
            terminal.keys(key);
            terminal.until("another fact", |terminal| terminal.row_with("Timeline").is_some_and(|row| row.1 != before));
        }
    };
    walk(&mut terminal, "{", &|terminal| !terminal.text().contains(" DEAD "));
    walk(&mut terminal, "}", &|terminal| terminal.text().contains(" DEAD "));
    terminal.keys("w");
    terminal.shows(&format!("Broker {victim} was killed (kill −9)."));
    terminal.keys("\x1b");
    terminal.until("the page gone", |terminal| !terminal.text().contains("was killed (kill −9)."));
    // One picture before it the broker lives, and leads.
    terminal.keys(",");
    terminal.until("the broker alive and in its office", |terminal| {
        let text = terminal.text();
        !text.contains(" DEAD ") && text.contains("◂ REWOUND") && leader_of(terminal, "orders-0") == Some(victim)
    });
    assert_eq!(isr_of(&terminal, "orders-0").as_deref(), Some("3/3"));

    // Other screens are of the same moment, and nothing can be changed in it.
    terminal.keys("6");
    terminal.until("the quorum of then", |terminal| {
        let text = terminal.text();
        text.contains("◂ REWOUND") && text.contains(" 6 Quorum ") && !text.contains(" DEAD ")
    });
    terminal.keys("1K");
    terminal.shows("Nothing can be changed in the past.");

    terminal.keys("\x1b[F");
    terminal.until("the present", |terminal| {
        let text = terminal.text();
        text.contains("● LIVE") && text.contains(" DEAD ") && !text.contains("REWOUND")
    });
    terminal.shows("0 lost   0 duplicated");
    terminal.keys("q");
    terminal.shows("Quit");
    terminal.keys("\x03");
    assert_eq!(terminal.ends(), 0);
    terminal.is_clean();
}
