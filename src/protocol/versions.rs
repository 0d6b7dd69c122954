//! The answer to ApiVersions: the table of `api.rs` and the cluster's features, as each version of the response can
//! tell them.
//!
//! It is the one request that is answered whatever its version: a client asks before it knows what is served (KIP-511).

use crate::protocol::api::ApiKey;
use crate::protocol::codec::{self, DecodeError, EncodedFrame, RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::protocol::StrBytes;

/// A feature that the brokers support (KIP-584).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupportedFeature {
    /// Kafka's name, such as `metadata.version`.
    pub name: &'static str,
    /// The lowest level; 0 if the feature can be off.
    pub min_level: i16,
    /// The highest level.
    pub max_level: i16,
}

/// What the cluster has agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalizedFeatures {
    /// The offset in the metadata log up to which `levels` are known; −1 if nothing is known yet.
    pub epoch: i64,
    /// Name and level; a level of 0 is "off" and is not told.
    pub levels: Vec<(String, i16)>,
}

/// The body of the answer to a request of a version.
pub fn api_versions_response(
    version: i16,
    supported: &[SupportedFeature],
    finalized: &FinalizedFeatures,
) -> ApiVersionsResponse {
    let response = ApiVersionsResponse::default().with_api_keys(api_keys());
    if version < 3 {
        return response;
    }
    // Clients before version 4 take a lowest level of 0 for an error (KAFKA-17011).
    let is_told = |feature: &&SupportedFeature| version >= 4 || feature.min_level > 0;
    let supported = supported.iter().filter(is_told).map(|feature| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version(feature.min_level)
            .with_max_version(feature.max_level)
    });
    let levels = finalized.levels.iter().filter(|(_, level)| *level > 0).map(|(name, level)| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_max_version_level(*level)
            .with_min_version_level(*level)
    });
    response
        .with_supported_features(supported.collect())
        .with_finalized_features_epoch(finalized.epoch)
        .with_finalized_features(levels.collect())
}

fn api_keys() -> Vec<ApiVersion> {
    let one = |api: &ApiKey| {
        ApiVersion::default()
            .with_api_key(api.key())
            .with_min_version(api.advertised_min_version())
            .with_max_version(api.max_version())
    };
    ApiKey::ALL.iter().map(one).collect()
}

/// What to answer to a frame that is no request that is served; `None` if the connection is to be closed without a
/// word, as Kafka does. Only ApiVersions of too high a version gets an answer: version 0 with UNSUPPORTED_VERSION and
/// the table, so that the client can ask again in a version that both have.
pub fn answer_to_unserved(error: &DecodeError) -> Option<EncodedFrame> {
    let DecodeError::UnsupportedVersion { api: ApiKey::ApiVersions, correlation_id, .. } = *error else { return None };
    let header =
        RequestHeader { api: ApiKey::ApiVersions, version: 0, correlation_id, client_id: None, client_host: None };
    let response =
        ApiVersionsResponse::default().with_error_code(ErrorCode::UnsupportedVersion.code()).with_api_keys(api_keys());
    codec::encode_response(&header, &Response::ApiVersions(response)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUPPORTED: &[SupportedFeature] = &[
        SupportedFeature { name: "kraft.version", min_level: 0, max_level: 1 },
        SupportedFeature { name: "metadata.version", min_level: 7, max_level: 27 },
    ];

    fn read(version: i16, response: ApiVersionsResponse) -> ApiVersionsResponse {
        let header =
            RequestHeader { api: ApiKey::ApiVersions, version, correlation_id: 1, client_id: None, client_host: None };
        let frame = codec::encode_response(&header, &Response::ApiVersions(response)).expect("encodes").to_bytes();
        match codec::decode_response(ApiKey::ApiVersions, version, frame.slice(4..)) {
            Ok((1, Response::ApiVersions(read))) => read,
            other => panic!("version {version}: {other:?}"),
        }
    }

    #[test]
    fn every_version_tells_the_table_and_as_much_of_features_as_it_can() {
        let levels = vec![("kraft.version".to_owned(), 1), ("off".to_owned(), 0)];
        let finalized = FinalizedFeatures { epoch: 9, levels };
        for version in 0..=4 {
            let read = read(version, api_versions_response(version, SUPPORTED, &finalized));
            assert_eq!(read.api_keys.len(), ApiKey::ALL.len());
            let produce = read.api_keys.iter().find(|api| api.api_key == 0).expect("Produce");
            assert_eq!((produce.min_version, produce.max_version), (0, 13));
            let told: Vec<&str> = read.supported_features.iter().map(|feature| feature.name.as_str()).collect();
            match version {
                0..=2 => assert!(told.is_empty()),
                3 => assert_eq!(told, ["metadata.version"]),
                _ => assert_eq!(told, ["kraft.version", "metadata.version"]),
            }
            assert_eq!(read.finalized_features.len(), usize::from(version >= 3));
            assert_eq!(read.finalized_features_epoch, if version >= 3 { 9 } else { -1 });
        }
    }

    #[test]
    fn a_version_from_the_future_is_answered_with_version_zero() {
        let unsupported = |api| DecodeError::UnsupportedVersion { api, version: 5, correlation_id: 77 };
        let frame = answer_to_unserved(&unsupported(ApiKey::ApiVersions)).expect("an answer").to_bytes();
        // Length, correlation id, then version 0: error, count, six bytes an API.
        assert_eq!(&frame[4..10], &[0, 0, 0, 77, 0, 35]);
        assert_eq!(frame.len(), 4 + 4 + 2 + 4 + 6 * ApiKey::ALL.len());
        assert_eq!(answer_to_unserved(&unsupported(ApiKey::Produce)), None);
        assert_eq!(answer_to_unserved(&DecodeError::UnknownApi(99)), None);
    }
}
