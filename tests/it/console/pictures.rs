//! The pictures of the README: one a screen, drawn by the program itself, and never stale.
//!
//! `KAFKARIUM_WRITE_PICTURE=1` writes them anew.

use super::fake::Scene;
use super::{Console, faults, theme};
use kafkarium::tui::screenshot;
use kafkarium::tui::theme::ThemeName;

/// A file in `docs/`, and the console that it shows.
fn pictures() -> [(&'static str, Console); 4] {
    let screen = |keys: &str| {
        let mut console = Console::dark(Scene::Failover, 120, 36);
        console.keys(keys);
        console.refresh();
        console
    };
    [
        ("console.svg", Console::dark(Scene::Failover, 160, 45)),
        ("groups.svg", screen("4")),
        ("topics.svg", screen("5")),
        ("faults.svg", faults::faults(theme(ThemeName::Dark), 120, 36, "lll")),
    ]
}

#[test]
fn the_pictures_in_the_readme_are_not_stale() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("a README");
    let mut stale = Vec::new();
    for (name, console) in pictures() {
        let file = root.join("docs").join(name);
        let drawn = screenshot::svg(&console.buffer());
        if std::env::var_os("KAFKARIUM_WRITE_PICTURE").is_some() {
            std::fs::write(&file, &drawn).expect("written");
        }
        if std::fs::read_to_string(&file).ok() != Some(drawn) {
            stale.push(name);
        }
        assert!(readme.contains(&format!("(docs/{name})")), "the README does not show {name}");
    }
    assert!(stale.is_empty(), "{stale:?} in docs/ are stale: CONTRIBUTING.md says how they are written");
}
