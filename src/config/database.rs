//! Where the database is: one URL, or the original's separate variables.
//!
//! Order: `DATABASE_URL` (or its flag, or the file), then `FLASK_SQLALCHEMY_DATABASE_URI`, then `SQLALCHEMY_URI`, then
//! `DB_*`, then a SQLite file in the data folder. Messages never repeat a URL, since it may hold a password.

use std::collections::BTreeMap;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::value::Parse;

/// Variables of the original that together name a PostgreSQL database.
const PARTS: [&str; 5] = ["DB_USER", "DB_PASSWORD", "DB_HOST", "DB_PORT", "DB_NAME"];
/// Variables of the original and of its fork with a whole URL; the first one that is set counts.
pub(super) const WHOLE: [&str; 2] = ["FLASK_SQLALCHEMY_DATABASE_URI", "SQLALCHEMY_URI"];

/// The variables above with their meaning, for the documentation.
pub(super) const ORIGINAL_DATABASE: &[(&[&str], &str)] = &[
    (
        &PARTS,
        "PostgreSQL, when any of them is set and no URL of the database is; defaults `root`, `password`, `localhost`, \
         5432, `smo`.",
    ),
    (&WHOLE, "The database as SQLAlchemy names it, when `DATABASE_URL` is not set; the first one counts."),
];

/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The SQLite file in the data folder.
pub(super) fn default_url(data_dir: &Path) -> String {
    format!("sqlite://{}", data_dir.join("smo.db").display())
}

/// A database URL that the store understands.
pub(super) fn url(value: &Value) -> Result<String, String> {
    let text = String::parse(value)?;
    match text.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => reqwest::Url::parse(&text)
            .map(|_| text)
            .map_err(|error| format!("is not a URL ({error}); encode special characters of the password")),
        Some("sqlite") => Ok(text),
        Some(scheme) => Err(format!("has the scheme {scheme:?}, expected postgres or sqlite")),
        None => Err("is not a URL; expected postgres://… or sqlite://…".to_owned()),
    }
}

/// The URL from the original's variables, if any of them is set.
pub(super) fn from_original(env: &BTreeMap<String, String>) -> Option<Result<String, String>> {
    if let Some((name, uri)) = WHOLE.iter().find_map(|name| Some((name, env.get(*name)?))) {
        return Some(
            url(&Value::String(from_sqlalchemy(uri))).map_err(|message| format!("{name}: {message}")),
        );
    }
    if !PARTS.iter().any(|name| env.contains_key(*name)) {
        return None;
    }
    let part = |name: &str, default: &str| env.get(name).map_or(default, String::as_str).to_owned();
    let encoded = |name: &str, default: &str| utf8_percent_encode(&part(name, default), RESERVED).to_string();
    let (user, password) = (encoded("DB_USER", "root"), encoded("DB_PASSWORD", "password"));
    let (host, name) = (part("DB_HOST", "localhost"), encoded("DB_NAME", "smo"));
    let port = part("DB_PORT", "5432");
    if port.trim().parse::<u16>().is_err() {
        return Some(Err(format!("DB_PORT: {port:?} is not a port from 0 to {}", u16::MAX)));
    }
    let text = format!("postgres://{user}:{password}@{host}:{}/{name}", port.trim());
    Some(url(&Value::String(text)).map_err(|_| format!("DB_HOST: {host:?} is not a host name")))
}

/// `SQLAlchemy` names a driver after a `+`, and its `sqlite:///x` is a relative path.
fn from_sqlalchemy(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    match scheme.split('+').next().unwrap_or_default() {
        "sqlite" => format!("sqlite://{}", rest.strip_prefix('/').unwrap_or(rest)),
        scheme => format!("{scheme}://{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Option<Result<String, String>> {
        from_original(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn any_part_means_postgresql_with_the_originals_defaults() {
        assert_eq!(from(&[]), None);
        assert_eq!(
            from(&[("DB_HOST", "db.example")]),
            Some(Ok("postgres://root:password@db.example:5432/smo".to_owned()))
        );
    }

    #[test]
    fn the_port_is_that_of_the_fork() {
        assert_eq!(
            from(&[("DB_PORT", " 6543"), ("DB_NAME", "x")]),
            Some(Ok("postgres://root:password@localhost:6543/x".to_owned()))
        );
        let wrong = "DB_PORT: \"65536\" is not a port from 0 to 65535";
        assert_eq!(from(&[("DB_PORT", "65536")]), Some(Err(wrong.to_owned())));
    }

    #[test]
    fn either_variable_names_the_whole_database_and_the_originals_wins() {
        let both = [("SQLALCHEMY_URI", "postgresql://f/f"), ("DB_HOST", "h"), (WHOLE[0], "postgresql://o/o")];
        assert_eq!(from(&both), Some(Ok("postgresql://o/o".to_owned())));
        assert_eq!(from(&both[..2]), Some(Ok("postgresql://f/f".to_owned())));
        let wrong = from(&[("SQLALCHEMY_URI", "mysql+pymysql://u:p@h/smo")]).unwrap().unwrap_err();
        assert_eq!(wrong, "SQLALCHEMY_URI: has the scheme \"mysql\", expected postgres or sqlite");
    }

    #[test]
    fn special_characters_of_a_password_are_encoded() {
        assert_eq!(
            from(&[("DB_PASSWORD", "p@s/s:%41")]),
            Some(Ok("postgres://root:p%40s%2Fs%3A%2541@localhost:5432/smo".to_owned()))
        );
    }

    #[test]
    fn sqlalchemy_urls_are_translated() {
        let translated = |uri| from(&[(WHOLE[0], uri)]);
        let ok = |url: &str| Some(Ok(url.to_owned()));
        assert_eq!(translated("postgresql+psycopg2://u:p@h:5432/smo"), ok("postgresql://u:p@h:5432/smo"));
        assert_eq!(translated("sqlite:///smo.db"), ok("sqlite://smo.db"));
        assert_eq!(translated("sqlite:////var/smo.db"), ok("sqlite:///var/smo.db"));
    }

    #[test]
    fn a_wrong_url_is_refused_without_repeating_it() {
        let message = url(&Value::String("mysql://u:secret@h/smo".to_owned())).unwrap_err();
        assert_eq!(message, "has the scheme \"mysql\", expected postgres or sqlite");
        let message = url(&Value::String("postgres://u:secret@h:port/smo".to_owned())).unwrap_err();
        assert!(!message.contains("secret"), "{message}");
    }
}
