//! Requests that change something, by whom they may be sent.
//!
//! The original changes graphs by GET, too. HEAD never changes anything, so it is not answered there; and what changes
//! something is refused when a browser sends it for a page of somebody else, which a link or a form there is enough for.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::ApiError;

/// Routes whose GET changes something.
const LEGACY: [&str; 3] = ["/graphs/{name}/start", "/graphs/{name}/stop", "/graphs/{name}/placement"];

/// Whether GET may change something ([`Settings::legacy_get`](crate::config::Settings::legacy_get)).
#[derive(Debug, Clone, Copy)]
pub(super) struct LegacyGet(pub(super) bool);

/// Refuses requests that must not change anything.
pub(super) async fn guard(
    State(LegacyGet(enabled)): State<LegacyGet>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let is_legacy = route.is_some_and(|route| LEGACY.contains(&route));
    match *request.method() {
        Method::HEAD if is_legacy => return not_allowed(enabled, "HEAD changes nothing; use POST"),
        Method::GET if is_legacy && !enabled => {
            return not_allowed(enabled, "changing graphs by GET is switched off (legacy_get); use POST");
        }
        Method::GET if !is_legacy => {}
        Method::HEAD | Method::OPTIONS => {}
        _ if is_cross_site(request.headers()) => {
            let message = "a browser sent this for a page of another site";
            return ApiError::new(StatusCode::FORBIDDEN, message).into_response();
        }
        _ => {}
    }
    next.run(request).await
}

fn not_allowed(get_enabled: bool, message: &str) -> Response {
    let mut response = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).into_response();
    let allowed = if get_enabled { "GET,POST" } else { "POST" };
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Whether a browser says that the page which caused the request is of another origin. Programs say nothing of that.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return !matches!(site, "same-origin" | "none");
    }
    let page = text(header::ORIGIN).or_else(|| text(header::REFERER));
    let host = text(header::HOST);
    let origin = page.and_then(|page| page.parse::<Uri>().ok());
    page.is_some() && origin.as_ref().and_then(|page| page.authority().map(|a| a.as_str())) != host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cross_site(headers: &[(&'static str, &str)]) -> bool {
        let pairs = headers.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        is_cross_site(&pairs.collect())
    }

    #[test]
    fn only_browsers_on_pages_of_others_are_cross_site() {
        assert!(!cross_site(&[]), "a program");
        for (site, refused) in
            [("same-origin", false), ("none", false), ("same-site", true), ("cross-site", true)]
        {
            assert_eq!(cross_site(&[("sec-fetch-site", site), ("host", "smo:8000")]), refused, "{site}");
        }
        for (page, refused) in [
            ("http://smo:8000/docs/", false),
            ("http://smo:3000/", true),
            ("https://evil.example/a", true),
            ("null", true),
        ] {
            assert_eq!(cross_site(&[("referer", page), ("host", "smo:8000")]), refused, "{page}");
            assert_eq!(cross_site(&[("origin", page), ("host", "smo:8000")]), refused, "{page}");
        }
    }
}
