//! Requests that are refused before they reach a handler: those that must not change something, and addresses with
//! the character NUL.
//!
//! The original changes graphs by GET, too. HEAD never changes anything, so it is not answered there; and what changes
//! something is refused when a browser sends it for a page of somebody else, which a link or a form there is enough for.

use std::convert::Infallible;
use std::future::ready;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use reqwest::Url;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::csrf::CsrfLayer;

use super::problem::ApiError;

/// Routes whose GET changes something.
const LEGACY: [&str; 3] = ["/graphs/{name}/start", "/graphs/{name}/stop", "/graphs/{name}/placement"];

/// Whether GET may change something ([`Settings::legacy_get`](crate::config::Settings::legacy_get)).
#[derive(Debug, Clone, Copy)]
pub(super) struct LegacyGet(pub(super) bool);

/// Refuses requests that must not change anything, and those that no name can be read from.
pub(super) async fn guard(
    State(LegacyGet(enabled)): State<LegacyGet>,
    request: Request,
    next: Next,
) -> Response {
    if has_nul(request.uri()) {
        let message = "the character NUL (%00) is not allowed in paths and queries";
        return ApiError::new(StatusCode::BAD_REQUEST, message).into_response();
    }
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let is_legacy = route.is_some_and(|route| LEGACY.contains(&route));
    match *request.method() {
        Method::HEAD if is_legacy => return not_allowed(enabled, "HEAD changes nothing; use POST"),
        Method::GET if is_legacy && !enabled => {
            return not_allowed(enabled, "changing graphs by GET is switched off (legacy_get); use POST");
        }
        Method::GET if !is_legacy => {}
        Method::HEAD | Method::OPTIONS => {}
        _ if is_cross_site(as_post(&request)).await => {
            let message = "a browser sent this for a page of another site";
            return ApiError::new(StatusCode::FORBIDDEN, message).into_response();
        }
        _ => {}
    }
    next.run(request).await
}

/// Whether a decoded name would hold the character NUL, which PostgreSQL has no texts with. It cannot stand there
/// undisguised.
fn has_nul(address: &Uri) -> bool {
    [Some(address.path()), address.query()].into_iter().flatten().any(|text| text.contains("%00"))
}

fn not_allowed(get_enabled: bool, message: &str) -> Response {
    let mut response = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).into_response();
    let allowed = if get_enabled { "GET,POST" } else { "POST" };
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Whether a browser says that the page which caused the request is of another origin, as tower-http judges a POST.
/// Programs say nothing of that.
async fn is_cross_site(as_post: Request<()>) -> bool {
    let accepted = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(()))));
    let Ok(answer) = CsrfLayer::new().layer(accepted).oneshot(as_post).await;
    answer.status() == StatusCode::FORBIDDEN
}

/// The head of the request as a POST: tower-http lets every GET pass, and of the original's some change something. Over
/// plain HTTP the page of a GET stands in `Referer` alone, if that page does not hide it.
fn as_post<B>(request: &Request<B>) -> Request<()> {
    let mut post = Request::new(());
    *post.method_mut() = Method::POST;
    *post.uri_mut() = request.uri().clone();
    *post.headers_mut() = request.headers().clone();
    if let Some(page) = request.headers().get(header::REFERER) {
        post.headers_mut().entry(header::ORIGIN).or_insert_with(|| origin_of(page));
    }
    post
}

/// The origin of a page, as browsers write it.
fn origin_of(page: &HeaderValue) -> HeaderValue {
    let url = page.to_str().ok().and_then(|page| Url::parse(page).ok());
    let origin = url.and_then(|url| HeaderValue::try_from(url.origin().ascii_serialization()).ok());
    origin.unwrap_or(HeaderValue::from_static("null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn cross_site(headers: &[(&str, &str)]) -> bool {
        let request =
            headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        is_cross_site(as_post(&request.body(()).unwrap())).await
    }

    #[tokio::test]
    async fn only_browsers_on_pages_of_others_are_cross_site() {
        assert!(!cross_site(&[]).await, "a program");
        let sites = [("same-origin", false), ("none", false), ("same-site", true), ("cross-site", true)];
        for (site, refused) in sites {
            assert_eq!(
                cross_site(&[("sec-fetch-site", site), ("host", "smo:8000")]).await,
                refused,
                "{site}"
            );
        }
        let pages = [
            ("http://smo:8000", false),
            ("http://smo:3000", true),
            ("https://evil.example", true),
            ("null", true),
        ];
        for (page, refused) in pages {
            let path = format!("{page}/docs/");
            assert_eq!(cross_site(&[("origin", page), ("host", "smo:8000")]).await, refused, "{page}");
            assert_eq!(cross_site(&[("referer", &path), ("host", "smo:8000")]).await, refused, "{path}");
        }
        let told = [("sec-fetch-site", "none"), ("referer", "https://evil.example/"), ("host", "smo:8000")];
        assert!(!cross_site(&told).await, "what a browser says of the site counts more than the page");
    }
}
