//! Settings of the Helm program.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use serde_json::Value;

use super::value::{Parse, http_url};

/// The Helm program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmSettings {
    /// Program name or path.
    pub bin: PathBuf,
    /// Use plain HTTP for the registry (`INSECURE_REGISTRY`).
    pub plain_http: bool,
    /// Helm operations that install or upgrade at the same time.
    pub parallel: usize,
    /// Helm operations that uninstall at the same time, besides those.
    pub parallel_removals: usize,
    /// Kinds of objects that a chart may bring although they would act on Karmada itself.
    pub allowed_kinds: Vec<String>,
    /// Logins of chart repositories.
    pub repositories: Vec<RepositoryLogin>,
}

impl Default for HelmSettings {
    fn default() -> Self {
        Self {
            bin: PathBuf::from("helm"),
            plain_http: false,
            parallel: 8,
            parallel_removals: 4,
            allowed_kinds: Vec::new(),
            repositories: Vec::new(),
        }
    }
}

/// The login of a chart repository: what is below its URL is asked for with it.
#[derive(Clone, PartialEq, Eq)]
pub struct RepositoryLogin {
    /// URL of the repository, without the login.
    pub url: Url,
    /// Name of the user.
    pub user: String,
    /// Their password.
    pub password: String,
}

impl RepositoryLogin {
    /// Whether a URL is that of the repository, or below it.
    #[must_use]
    pub fn is_for(&self, url: &Url) -> bool {
        let own = self.url.path().trim_end_matches('/');
        let below = url.path().strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.url.origin() == url.origin() && below
    }
}

/// Shows the URL without the password.
impl fmt::Debug for RepositoryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.show().as_str().unwrap_or_default())
    }
}

/// Written as one URL, `https://USER:PASSWORD@HOST/PATH`.
impl Parse for RepositoryLogin {
    fn parse(value: &Value) -> Result<Self, String> {
        let mut url = Url::parse(&http_url(value)?).map_err(|error| format!("is not a URL: {error}"))?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
        if user.is_empty() {
            return Err("names no user; write https://user:password@host/path".to_owned());
        }
        // Both work on a URL with a host.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        Ok(Self { url, user, password })
    }

    fn show(&self) -> Value {
        let shown = self.url.as_str().replacen("://", &format!("://{}:***@", self.user), 1);
        shown.trim_end_matches('/').into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_for_its_repository_and_never_shown() {
        let login = RepositoryLogin::parse(&"https://me:p%40ss@charts.example/private/".into()).unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("me", "p@ss"));
        for (url, is_its) in [
            ("https://charts.example/private", true),
            ("https://charts.example/private/index.yaml", true),
            ("https://charts.example/privateer/index.yaml", false),
            ("https://charts.example/", false),
            ("http://charts.example/private/index.yaml", false),
            ("https://charts.example:8443/private/a", false),
            ("https://other.example/private/a", false),
        ] {
            assert_eq!(login.is_for(&Url::parse(url).unwrap()), is_its, "{url}");
        }
        assert_eq!(login.show(), "https://me:***@charts.example/private");
        assert_eq!(format!("{login:?}"), "https://me:***@charts.example/private");
        let error = RepositoryLogin::parse(&"https://charts.example".into()).unwrap_err();
        assert!(error.contains("names no user"), "{error}");
    }
}
