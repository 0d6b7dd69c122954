//! The console: one model, one update, one view.
//!
//! `msg` comes in, [`update::update`] changes the `model` and answers with commands as data, [`draw::draw`] draws
//! model and picture into a buffer, [`run::run`] is the loop around them. Screens and dialogs are closed enums.
//!
//! Invariants: the cluster is touched through [`crate::cluster::view::ClusterPort`] only; `draw` and `update` are
//! pure; colours are named in `theme` only, glyphs in `glyphs`, keys in `keymap`.

pub mod cast;
pub mod commands;
pub mod draw;
pub mod glyphs;
pub mod headline;
pub mod keymap;
pub mod layout;
pub mod messages;
pub mod model;
pub mod msg;
pub mod numbers;
pub mod overlays;
pub mod pen;
pub mod plain;
pub mod recording;
pub mod run;
pub mod saving;
pub mod screens;
pub mod screenshot;
pub mod terminal;
pub mod theme;
pub mod update;
pub mod widgets;
