//! References of charts: to an OCI registry, to a chart in a repository over HTTP, to an archive.
//!
//! A reference is kept and shown as one text. Parts of it end up on command lines and in URLs, so only what could be
//! served is accepted.

use std::fmt;

use http::Uri;
use oci_spec::distribution::Reference;

use super::version::VersionRange;

const OCI: &str = "oci://";
const MAX_REFERENCE: usize = 512;
/// Most characters of the name of a chart.
const MAX_NAME: usize = 128;

/// Where a chart comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChartSource {
    /// An OCI reference: `oci://HOST/PATH`, maybe with a tag or a digest.
    Oci(String),
    /// A chart in a repository, which has an `index.yaml`: `URL#CHART` or `URL#CHART:VERSION`.
    Repository {
        /// URL of the repository, without a slash at its end.
        url: String,
        /// Name of the chart.
        chart: String,
        /// Version, or a range of versions; `None` for the newest one that is no prerelease.
        version: Option<String>,
    },
    /// The URL of an archive, whose path ends in `.tgz`.
    Archive(String),
}

impl ChartSource {
    /// Reads a reference.
    ///
    /// # Errors
    /// Why it is none: a clause that follows the reference.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_length(text)?;
        if text.starts_with(OCI) {
            return check_oci(text).map(|()| Self::Oci(text.to_owned()));
        }
        if !is_http(text) {
            return Err(format!("it begins neither with {OCI} nor with https:// or http://"));
        }
        match text.split_once('#') {
            Some((url, chart)) => {
                let (chart, version) = chart.split_once(':').map_or((chart, None), |(c, v)| (c, Some(v)));
                Self::in_repository(url, chart, version)
            }
            None => {
                let path = check_url(text)?;
                if !path.ends_with(".tgz") {
                    return Err("its path does not end in .tgz".to_owned());
                }
                Ok(Self::Archive(text.to_owned()))
            }
        }
    }

    /// A chart in a repository.
    ///
    /// # Errors
    /// The URL, the name or the version is wrong: says which, and why.
    pub fn in_repository(url: &str, chart: &str, version: Option<&str>) -> Result<Self, String> {
        check_url(url).map_err(|problem| format!("repo: {problem}"))?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if chart.is_empty() || chart.len() > MAX_NAME || !chart.chars().all(is_name) {
            return Err(format!("chart: the name has 1 to {MAX_NAME} letters, digits, '-', '_' and '.'"));
        }
        if let Some(version) = version {
            VersionRange::parse(version).map_err(|problem| format!("version: {problem}"))?;
        }
        let (chart, version) = (chart.to_owned(), version.map(|version| version.trim().to_owned()));
        let source = Self::Repository { url: url.trim_end_matches('/').to_owned(), chart, version };
        check_length(&source.to_string()).map(|()| source)
    }

    /// The chart whatever its version, as scaling profiles name it: `HOST/PATH/CHART`.
    #[must_use]
    pub fn profile_key(&self) -> String {
        let place = |text: &str| text.split_once("://").map_or(text, |(_, place)| place).to_owned();
        match self {
            Self::Repository { url, chart, .. } => format!("{}/{chart}", place(url)),
            Self::Archive(text) => place(text),
            Self::Oci(text) => {
                let place = place(text);
                let (path, name) = place.rsplit_once('/').unwrap_or(("", &place));
                format!("{path}/{}", name.split([':', '@']).next().unwrap_or(name))
            }
        }
    }

    /// The name of the chart, as far as the reference shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Repository { chart, .. } => chart,
            Self::Oci(text) | Self::Archive(text) => {
                let name = text.rsplit('/').next().unwrap_or(text);
                name.split([':', '@']).next().unwrap_or(name).trim_end_matches(".tgz")
            }
        }
    }
}

impl fmt::Display for ChartSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oci(text) | Self::Archive(text) => f.write_str(text),
            Self::Repository { url, chart, version: None } => write!(f, "{url}#{chart}"),
            Self::Repository { url, chart, version: Some(version) } => write!(f, "{url}#{chart}:{version}"),
        }
    }
}

/// Whether this may be the [`ChartSource::profile_key`] of a chart.
#[must_use]
pub fn is_profile_key(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.:/~%+".contains(c);
    text.len() <= MAX_REFERENCE && text.contains('/') && text.chars().all(is_part)
}

fn check_length(text: &str) -> Result<(), String> {
    if text.len() > MAX_REFERENCE {
        return Err(format!("it is longer than {MAX_REFERENCE} bytes"));
    }
    Ok(())
}

fn is_http(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// The path of a URL that a server can be asked for.
fn check_url(text: &str) -> Result<String, String> {
    if !is_http(text) {
        return Err("it does not begin with https:// or http://".to_owned());
    }
    let url: Uri = text.parse().map_err(|error| format!("it is no URL: {error}"))?;
    let authority = url.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err("credentials belong into the setting helm.repositories".to_owned());
    }
    if url.host().is_none_or(str::is_empty) || text.contains('#') || url.query().is_some() {
        return Err("it is not of the form https://host/path".to_owned());
    }
    Ok(url.path().to_owned())
}

fn check_oci(text: &str) -> Result<(), String> {
    let reference = text.trim_start_matches(OCI);
    let (host, path) = reference.split_once('/').ok_or("it has no path to a chart")?;
    if host.is_empty() {
        return Err("it has no host".to_owned());
    }
    // Helm writes the '+' of a semantic version as '_', which tags allow.
    let (path, tag) = path.rsplit_once(':').map_or((path, String::new()), |(path, tag)| {
        (path, format!(":{}", if path.contains('@') { tag.to_owned() } else { tag.replace('+', "_") }))
    });
    let parsed: Result<Reference, _> = format!("{host}/{path}{tag}").parse();
    parsed.map(|_| ()).map_err(|error| {
        if path.chars().any(|c| c.is_ascii_uppercase()) {
            "the path must be lower case".to_owned()
        } else {
            error.to_string()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_every_kind_are_read_and_shown_as_they_were() {
        for (text, name) in [
            ("oci://registry.example:5000/a/web:1.0.0", "web"),
            (
                "oci://registry.example/web@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                "web",
            ),
            ("https://charts.example/stable#podinfo", "podinfo"),
            ("https://charts.example/stable#podinfo:6.7.1", "podinfo"),
            ("http://127.0.0.1:8080#podinfo:~6.7 || >=7, <8", "podinfo"),
            ("https://files.example/releases/web-1.0.0.tgz", "web-1.0.0"),
        ] {
            let source = ChartSource::parse(text).unwrap();
            assert_eq!((source.to_string().as_str(), source.name()), (text, name));
        }
        let slashes = ChartSource::in_repository("https://charts.example//", "a", Some(" 1.0 ")).unwrap();
        assert_eq!(slashes.to_string(), "https://charts.example#a:1.0");
    }

    #[test]
    fn what_nothing_could_serve_is_refused_with_the_cause() {
        for (text, cause) in [
            ("podinfo", "neither with oci://"),
            ("ftp://h/a.tgz", "neither with oci://"),
            ("https://h/a.zip", "does not end in .tgz"),
            ("https://me:secret@h/a.tgz", "helm.repositories"),
            ("https://me:secret@h#a", "helm.repositories"),
            ("https:///a.tgz", "no URL"),
            ("https://h/a.tgz?token=1", "not of the form"),
            ("https://h/charts#", "chart: the name"),
            ("https://h/charts#a/b", "chart: the name"),
            ("https://h/charts#a:", "version: "),
            ("https://h/charts#a:1;2", "version: "),
            ("https://h/charts#a:latest", "version: latest is no version or range"),
            ("oci://h", "no path"),
            ("oci:///a", "no host"),
            ("oci://h/A", "lower case"),
        ] {
            let problem = ChartSource::parse(text).unwrap_err();
            assert!(problem.contains(cause), "{text}: {problem}");
        }
        assert!(ChartSource::parse(&format!("https://h/{}.tgz", "a".repeat(600))).is_err());
        let long = format!("https://h/{}", "a".repeat(495));
        assert!(ChartSource::in_repository(&long, "web-frontend", None).is_err());
    }
}
