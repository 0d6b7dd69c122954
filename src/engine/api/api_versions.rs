//! ApiVersions (key 18), v0 to v4: what is served, and the features that are finalized. A version that is too high is answered by the
//! connection with a v0 body and error 35 (KIP-511).

use crate::engine::controller::features::FEATURES;
use crate::engine::controller::image::MetadataImage;
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::versions::{FinalizedFeatures, SupportedFeature, api_versions_response};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

/// The answer from the table and the finalized features.
pub fn answer(header: &RequestHeader, request: &ApiVersionsRequest, image: &MetadataImage) -> Response {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let is_named = |name: &str| !name.is_empty() && name.chars().all(is_allowed);
    if header.version >= 3 && !(is_named(&request.client_software_name) && is_named(&request.client_software_version)) {
        let refusal = ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
        return Response::ApiVersions(refusal);
    }
    let supported: Vec<SupportedFeature> = FEATURES
        .iter()
        .map(|feature| SupportedFeature { name: feature.name, min_level: feature.min, max_level: feature.max })
        .collect();
    let levels = image.features.iter().map(|(name, level)| (name.clone(), *level)).collect();
    let finalized = FinalizedFeatures { epoch: image.end_offset - 1, levels };
    Response::ApiVersions(api_versions_response(header.version, &supported, &finalized))
}
