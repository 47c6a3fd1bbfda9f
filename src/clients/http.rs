//! Errors of systems that are spoken to over plain HTTP.

use reqwest::StatusCode;

use super::ClientErrorKind as Kind;

/// The kind of failure of an answer that is none.
pub(super) fn kind_of(status: StatusCode) -> Kind {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Unauthorised,
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Kind::Invalid,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => Kind::Unreachable,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Kind::Timeout,
        _ => Kind::Failed,
    }
}
