//! The pieces screens are made of. Each draws data it is given; none knows the model.

pub mod card;
pub mod hints;
pub mod json;
pub mod logbar;
pub mod mark;
pub mod offsets;
pub mod spark;
pub mod timeline;
