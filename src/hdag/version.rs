//! Versions of charts and ranges of them, as Helm reads them: the grammar of Masterminds/semver, which is wider than
//! that of Cargo and means other things by versions with parts left out.

use semver::{Prerelease, Version};

/// A semantic version; parts that are left out are 0, and a leading `v` is ignored. `None` for any other text.
#[must_use]
pub fn parse_version(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (core, rest) = text.split_at(end);
    let missing = 3_usize.checked_sub(core.split('.').count())?;
    Version::parse(&format!("{core}{}{rest}", ".0".repeat(missing))).ok()
}

/// Some versions of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange {
    /// Any of these, of each of which all must hold.
    any: Vec<Vec<Bound>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    operator: Operator,
    /// The version, zeros where parts are left out.
    version: Version,
    /// Parts that were written: none for a wildcard alone.
    parts: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Above,
    Below,
    AtLeast,
    AtMost,
    Tilde,
    Caret,
}

impl VersionRange {
    /// Reads a range: `1.2.3`, `1.2`, `~1.2`, `^1`, `>=1.2 <1.5`, `1.2 - 1.4`, `1.x || 2.x`.
    ///
    /// # Errors
    /// The part that cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let any = text.split("||").map(bounds).collect::<Result<_, _>>()?;
        Ok(Self { any })
    }

    /// Whether a version is in the range. A prerelease is only in ranges that name one.
    #[must_use]
    pub fn contains(&self, version: &Version) -> bool {
        self.any.iter().any(|all| all.iter().all(|bound| bound.holds(version)))
    }
}

fn bounds(text: &str) -> Result<Vec<Bound>, String> {
    if let Some((from, to)) = text.split_once(" - ") {
        return Ok(vec![bound(">=", from.trim())?, bound("<=", to.trim())?]);
    }
    let is_operator = |c: char| "=!<>~^".contains(c);
    let mut rest = text.trim();
    let mut bounds = Vec::new();
    while !rest.is_empty() {
        let (operator, tail) = rest.split_at(rest.find(|c| !is_operator(c)).unwrap_or(rest.len()));
        let tail = tail.trim_start();
        let end = tail.find(|c: char| c == ',' || c.is_whitespace() || is_operator(c)).unwrap_or(tail.len());
        let (version, tail) = tail.split_at(end);
        bounds.push(bound(operator, version)?);
        rest = tail.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
    }
    if bounds.is_empty() { Err("a range is empty".to_owned()) } else { Ok(bounds) }
}

fn bound(operator: &str, text: &str) -> Result<Bound, String> {
    let unreadable = || format!("{operator}{text} is no version or range such as 1.2.3, ~1.2 or >=1.2 <2");
    let operator = match operator {
        "" | "=" | "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        ">" => Operator::Above,
        "<" => Operator::Below,
        ">=" | "=>" => Operator::AtLeast,
        "<=" | "=<" => Operator::AtMost,
        "~" | "~>" => Operator::Tilde,
        "^" => Operator::Caret,
        _ => return Err(unreadable()),
    };
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (core, rest) = text.split_at(end);
    let is_wildcard = |part: &&str| matches!(*part, "x" | "X" | "*");
    let written: Vec<&str> = core.split('.').take_while(|part| !is_wildcard(part)).collect();
    let wild = core.split('.').skip(written.len());
    if core.split('.').count() > 3 || !wild.clone().all(|part| is_wildcard(&part)) {
        return Err(unreadable());
    }
    let rest = if wild.count() > 0 { "" } else { rest };
    let whole = if written.is_empty() { "0".to_owned() } else { written.join(".") };
    let version = parse_version(&format!("{whole}{rest}")).ok_or_else(unreadable)?;
    Ok(Bound { operator, version, parts: written.len() })
}

impl Bound {
    fn holds(&self, version: &Version) -> bool {
        if !version.pre.is_empty() && self.version.pre.is_empty() {
            return false;
        }
        let own = &self.version;
        let above = || version.cmp_precedence(own).is_gt() && !(self.parts < 3 && self.begins(version));
        let at_least = || version.cmp_precedence(own).is_ge();
        let below = |end: Version| version.cmp_precedence(&end).is_lt();
        match self.operator {
            Operator::Equal if self.parts == 3 => version.cmp_precedence(own).is_eq(),
            Operator::Equal => self.begins(version),
            Operator::NotEqual if self.parts == 3 => version.cmp_precedence(own).is_ne(),
            Operator::NotEqual => !self.begins(version),
            Operator::Above => above(),
            Operator::Below => below(own.clone()),
            Operator::AtLeast => at_least(),
            Operator::AtMost => version.cmp_precedence(own).is_le() || self.parts < 3 && self.begins(version),
            Operator::Tilde => match self.parts {
                0 => true,
                1 => at_least() && version.major == own.major,
                _ => at_least() && (version.major, version.minor) == (own.major, own.minor),
            },
            Operator::Caret => at_least() && (self.parts == 0 || below(self.next_breaking())),
        }
    }

    /// Whether a version has the parts that were written.
    fn begins(&self, version: &Version) -> bool {
        let own = [self.version.major, self.version.minor, self.version.patch];
        let found = [version.major, version.minor, version.patch];
        own.iter().zip(found).take(self.parts).all(|(own, found)| *own == found)
    }

    /// The first version that may break what works with this one: the leftmost part that is not 0 is counted up.
    fn next_breaking(&self) -> Version {
        let Version { major, minor, patch, .. } = self.version;
        let mut next = match (major, minor, self.parts) {
            (1.., _, _) | (0, 0, 1) => Version::new(major + 1, 0, 0),
            (0, 1.., _) | (0, 0, 2) => Version::new(0, minor + 1, 0),
            _ => Version::new(0, 0, patch + 1),
        };
        // Prereleases of the next one are beyond the range, too.
        next.pre = Prerelease::new("0").unwrap_or_default();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_mean_what_helm_means() {
        for (range, inside, outside) in [
            ("1.2.3", &["1.2.3", "v1.2.3", "1.2.3+build"][..], &["1.2.4", "1.3.0", "1.2.3-rc.1"][..]),
            ("v1.2.3", &["1.2.3"], &["1.2.4"]),
            ("=1.2.3-hotfix.1", &["1.2.3-hotfix.1"], &["1.10.0", "1.2.3", "1.2.3-hotfix.2"]),
            ("1.2.3-next.1", &["1.2.3-next.1"], &["1.10.0"]),
            ("1.2", &["1.2.0", "1.2.9"], &["1.3.0", "1.1.9", "1.2.9-rc.1"]),
            ("1", &["1.0.0", "1.9.9"], &["2.0.0", "0.9.9"]),
            ("1.x", &["1.0.0", "1.9.9"], &["2.0.0"]),
            ("1.2.*", &["1.2.0", "1.2.9"], &["1.3.0"]),
            ("*", &["0.0.1", "9.9.9"], &["1.0.0-rc.1"]),
            ("!=1.2.3", &["1.2.4", "1.2.2"], &["1.2.3"]),
            ("!=1.2", &["1.3.0"], &["1.2.0", "1.2.9"]),
            ("> 1.2", &["1.3.0"], &["1.2.0", "1.2.9"]),
            (">1.2.3", &["1.2.4", "2.0.0"], &["1.2.3"]),
            ("< 2", &["1.9.9"], &["2.0.0", "2.0.0-rc.1"]),
            (">=1.2", &["1.2.0", "5.0.0"], &["1.1.9", "1.3.0-rc.1"]),
            ("=>1.2", &["1.2.0"], &["1.1.9"]),
            ("<=1.2", &["1.2.9", "1.0.0"], &["1.3.0"]),
            (">=1.2.0-0", &["1.2.0", "1.2.0-rc.1", "1.9.0-rc.1"], &["1.1.9"]),
            (">0.0.0-0", &["1.0.0-rc.1", "1.0.0"], &["0.0.0-0"]),
            ("~ 1.2", &["1.2.0", "1.2.9"], &["1.3.0"]),
            ("~1", &["1.0.0", "1.9.0"], &["2.0.0"]),
            ("~1.2.3", &["1.2.3", "1.2.9"], &["1.2.2", "1.3.0"]),
            ("~>1.2.3", &["1.2.9"], &["1.3.0"]),
            ("^1.2.3", &["1.2.3", "1.9.0"], &["1.2.2", "2.0.0", "2.0.0-rc.1"]),
            ("^v1.2", &["1.2.0", "1.9.0"], &["2.0.0"]),
            ("^0.2.3", &["0.2.3", "0.2.9"], &["0.3.0"]),
            ("^0.0.3", &["0.0.3"], &["0.0.4"]),
            ("^0.0", &["0.0.9"], &["0.1.0"]),
            ("^0", &["0.9.9"], &["1.0.0"]),
            ("1.2 - 1.4.5", &["1.2.0", "1.4.5"], &["1.4.6", "1.1.9"]),
            ("1.2, <1.2.5", &["1.2.4"], &["1.2.5", "1.3.0"]),
            (">=1.2 <1.5, !=1.3.0", &["1.2.0", "1.4.9"], &["1.3.0", "1.5.0"]),
            ("~1.2 || >=3", &["1.2.9", "3.1.0"], &["1.3.0", "2.0.0"]),
        ] {
            let parsed = VersionRange::parse(range).unwrap();
            let within = |text: &&str| parsed.contains(&parse_version(text).unwrap());
            let wrong: Vec<_> = inside
                .iter()
                .filter(|text| !within(text))
                .chain(outside.iter().filter(|text| within(text)))
                .collect();
            assert!(wrong.is_empty(), "{range}: {wrong:?}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "latest", "1.2.3.4", "1..2", "1.x.3", "~", ">> 1", "1 ||", "a.b", ">=", "- 1"] {
            assert!(VersionRange::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn versions_with_parts_left_out_are_versions() {
        for (text, found) in
            [("1.10", "1.10.0"), ("v2", "2.0.0"), ("1.2-rc.1", "1.2.0-rc.1"), ("1.2.3", "1.2.3")]
        {
            assert_eq!(parse_version(text), Version::parse(found).ok(), "{text}");
        }
        assert_eq!((parse_version("latest"), parse_version("1.2.3.4")), (None, None));
    }
}
