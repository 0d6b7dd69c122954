//! The active controller: decides changes of the cluster's metadata. Decide, then apply: a decision is records and a reply, the
//! records go through the quorum's log, and [`image::MetadataImage::apply`] is the only mutator, on the controller and elsewhere.

pub mod image;
pub mod record;
