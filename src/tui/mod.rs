//! The console: one model, one update, one view.
