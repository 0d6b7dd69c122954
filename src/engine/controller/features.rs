//! Features: what the cluster as a whole has agreed to do (KIP-584, KIP-1022), and the first records of a new cluster.
//!
//! Invariant: a finalized level is one that this release supports; level 0 is "off".

use crate::engine::controller::draft::Draft;
use crate::engine::controller::record::{ConfigResource, MetadataRecord};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use kafka_protocol::protocol::StrBytes;

/// A feature and the levels that are supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Kafka's name.
    pub name: &'static str,
    /// The lowest level; 0 if it can be off.
    pub min: i16,
    /// The highest level.
    pub max: i16,
    /// The level of a new cluster.
    pub initial: i16,
}

/// Eligible leader replicas (KIP-966).
pub const ELIGIBLE_LEADER_REPLICAS: &str = "eligible.leader.replicas.version";

/// Groups: 1 has the consumer protocol (KIP-848).
pub const GROUP_VERSION: &str = "group.version";

/// Kafka's version of the metadata: 27 is 4.1-IV1, 7 is 3.3-IV3.
pub const METADATA_VERSION: &str = "metadata.version";

/// Transactions: 1 has a record format with tagged fields, 2 is KIP-890.
pub const TRANSACTION_VERSION: &str = "transaction.version";

/// Every feature there is, by name: what ApiVersions tells as supported.
pub const FEATURES: &[Feature] = &[
    Feature { name: ELIGIBLE_LEADER_REPLICAS, min: 0, max: 1, initial: 1 },
    Feature { name: GROUP_VERSION, min: 0, max: 1, initial: 1 },
    Feature { name: "kraft.version", min: 0, max: 1, initial: 1 },
    Feature { name: METADATA_VERSION, min: 7, max: 27, initial: 27 },
    Feature { name: TRANSACTION_VERSION, min: 0, max: 2, initial: 2 },
];

/// The first records of a new cluster. As in Kafka, `min.insync.replicas` is set for the cluster where ELR is on:
/// whether a replica stays eligible must not hang on what one broker's file says.
pub(super) fn bootstrap(draft: &mut Draft) {
    for feature in FEATURES.iter().filter(|feature| feature.initial > 0) {
        draft.push(MetadataRecord::Feature { name: feature.name.to_owned(), level: feature.initial });
    }
    let key = "min.insync.replicas".to_owned();
    let is_set = draft.image.config(&ConfigResource::Cluster, &key).is_some();
    if !is_set {
        let value = Some(draft.config.min_insync_replicas.to_string());
        draft.push(MetadataRecord::Config { resource: ConfigResource::Cluster, key, value });
    }
}

/// UpdateFeatures (key 57): all updates or none.
pub(super) fn update(draft: &mut Draft, version: i16, request: &UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    let mut records = Vec::new();
    let mut failure = None;
    let mut results = Vec::new();
    for (index, asked) in request.feature_updates.iter().enumerate() {
        let name = asked.feature.as_str();
        let is_repeated = request.feature_updates[..index].iter().any(|other| other.feature == asked.feature);
        let upgrade_type = match version {
            0 if asked.allow_downgrade => 2,
            0 => 1,
            _ => asked.upgrade_type,
        };
        let outcome = if is_repeated {
            Err((ErrorCode::InvalidRequest, format!("Feature {name} was given twice.")))
        } else {
            check(draft, name, asked.max_version_level, upgrade_type)
        };
        let result = UpdatableFeatureResult::default().with_feature(asked.feature.clone());
        results.push(match outcome {
            Ok(()) => {
                records.push(MetadataRecord::Feature { name: name.to_owned(), level: asked.max_version_level });
                result
            }
            Err((error, message)) => {
                let message = StrBytes::from_string(message);
                failure.get_or_insert((error, message.clone()));
                result.with_error_code(error.code()).with_error_message(Some(message))
            }
        });
    }
    let is_elr_off = |record: &MetadataRecord| match record {
        MetadataRecord::Feature { name, level } => name == ELIGIBLE_LEADER_REPLICAS && *level == 0,
        _ => false,
    };
    if failure.is_none() && !request.validate_only {
        if records.iter().any(is_elr_off) {
            draft.change_all(|partition| !partition.elr.is_empty(), |_, change| change.forgets_elr = true);
        }
        for record in records {
            draft.push(record);
        }
    }
    // From version 2 on there is one error for all.
    let results = if version <= 1 { results } else { Vec::new() };
    let response = UpdateFeaturesResponse::default().with_results(results);
    match failure {
        Some((error, message)) if version >= 2 => {
            response.with_error_code(error.code()).with_error_message(Some(message))
        }
        _ => response,
    }
}

fn check(draft: &Draft, name: &str, level: i16, upgrade_type: i8) -> Result<(), (ErrorCode, String)> {
    let invalid = |why: String| {
        Err((ErrorCode::InvalidUpdateVersion, format!("Invalid update version {level} for feature {name}. {why}")))
    };
    let Some(feature) = FEATURES.iter().find(|feature| feature.name == name) else {
        return invalid("The controller does not support the given feature.".to_owned());
    };
    if level < feature.min || level > feature.max {
        return invalid(format!("The controller only supports versions {}-{}", feature.min, feature.max));
    }
    let current = draft.image.feature(name);
    if name == ELIGIBLE_LEADER_REPLICAS && level == 0 {
        // Without ELR nobody would remember who has what was acknowledged there.
        let without_isr = draft.image.partitions().find(|(_, _, partition)| partition.isr.is_empty());
        if let Some((id, topic, _)) = without_isr {
            return invalid(format!("Partition {}-{} has no in-sync replica.", topic.name, id.partition));
        }
    }
    match upgrade_type {
        1 if level < current => invalid(
            "Can't downgrade the version of this feature without setting the upgrade type to \
                     either safe or unsafe downgrade."
                .to_owned(),
        ),
        2 | 3 if level > current => invalid("Can't downgrade to a newer version.".to_owned()),
        1..=3 => Ok(()),
        other => invalid(format!("The controller does not support the given upgrade type {other}.")),
    }
}

#[cfg(test)]
mod tests;
