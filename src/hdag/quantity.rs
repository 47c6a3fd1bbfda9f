//! Quantities, exact: Kubernetes' notation (`1500m`, `2Gi`, `1e3`) and the descriptor's (`500MiB`, `10GB`) to
//! integers and back. No floating point; rounding is always up.

use thiserror::Error;

/// Why a text is not a usable quantity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// Not a number with a known unit.
    #[error("{0:?} is not a quantity such as 1500m, 0.5, 2Gi or 10GB")]
    Syntax(String),
    /// Below zero.
    #[error("quantity {0:?} is negative")]
    Negative(String),
    /// Too large, or with more digits than can be kept exact.
    #[error("quantity {0:?} is too large or has too many digits")]
    Range(String),
    /// A count with a fraction.
    #[error("quantity {0:?} is not a whole number")]
    Fraction(String),
}

/// Thousandths of a CPU core, rounded up.
///
/// # Errors
/// The text is no quantity, negative, or above 9.2e15 cores.
pub fn millicores(text: &str) -> Result<i64, QuantityError> {
    scaled(text, 1000).map(|(value, _)| value)
}

/// Bytes, rounded up.
///
/// # Errors
/// The text is no quantity, negative, or above 8 EiB.
pub fn bytes(text: &str) -> Result<i64, QuantityError> {
    scaled(text, 1).map(|(value, _)| value)
}

/// A whole number, such as a number of GPUs.
///
/// # Errors
/// The text is no quantity, negative, too large, or has a fraction.
pub fn count(text: &str) -> Result<i64, QuantityError> {
    match scaled(text, 1)? {
        (value, true) => Ok(value),
        (_, false) => Err(QuantityError::Fraction(text.to_owned())),
    }
}

/// `text` times `factor`, rounded up, and whether that was exact.
fn scaled(text: &str, factor: u128) -> Result<(i64, bool), QuantityError> {
    let error = |kind: fn(String) -> QuantityError| kind(text.chars().take(40).collect());
    let (number, unit) = split(text.trim());
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(error(QuantityError::Syntax));
    }
    let unit = Unit::parse(unit).ok_or_else(|| error(QuantityError::Syntax))?;
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok((0, true));
    }
    if negative {
        return Err(error(QuantityError::Negative));
    }
    rounded_up(digits, fraction.len(), &unit, factor).ok_or_else(|| error(QuantityError::Range))
}

/// `digits` · 10^-`decimals` · unit · factor; `None` when that cannot be kept.
fn rounded_up(digits: &str, decimals: usize, unit: &Unit, factor: u128) -> Option<(i64, bool)> {
    let exponent = unit.exponent.checked_sub(i32::try_from(decimals).ok()?)?;
    let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
    let mut numerator = digits.parse::<u128>().ok()?.checked_mul(factor)?.checked_mul(unit.multiplier)?;
    let mut denominator = 1;
    if exponent >= 0 {
        numerator = numerator.checked_mul(power)?;
    } else {
        denominator = power;
    }
    let value = i64::try_from(numerator.div_ceil(denominator)).ok()?;
    Some((value, numerator.is_multiple_of(denominator)))
}

/// The leading sign, digits and point; and the rest.
fn split(text: &str) -> (&str, &str) {
    let sign = usize::from(text.starts_with(['+', '-']));
    let mut points = 0;
    let length = text[sign..]
        .bytes()
        .take_while(|byte| {
            points += usize::from(*byte == b'.');
            byte.is_ascii_digit() || (*byte == b'.' && points == 1)
        })
        .count();
    text.split_at(sign + length)
}

/// multiplier · 10^exponent
struct Unit {
    multiplier: u128,
    exponent: i32,
}

impl Unit {
    fn parse(text: &str) -> Option<Self> {
        if let Some(exponent) = text.strip_prefix(['e', 'E'])
            && exponent.ends_with(|c: char| c.is_ascii_digit())
        {
            return Some(Self { multiplier: 1, exponent: exponent.parse().ok()? });
        }
        let decimal = |exponent| Some(Self { multiplier: 1, exponent });
        let binary = |power: u32| Some(Self { multiplier: 1 << (10 * power), exponent: 0 });
        match text {
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "" | "B" => decimal(0),
            "k" | "kB" | "KB" => decimal(3),
            "M" | "MB" => decimal(6),
            "G" | "GB" => decimal(9),
            "T" | "TB" => decimal(12),
            "P" | "PB" => decimal(15),
            "E" | "EB" => decimal(18),
            "Ki" | "KiB" => binary(1),
            "Mi" | "MiB" => binary(2),
            "Gi" | "GiB" => binary(3),
            "Ti" | "TiB" => binary(4),
            "Pi" | "PiB" => binary(5),
            "Ei" | "EiB" => binary(6),
            _ => None,
        }
    }
}

const BINARY: [(&str, i64); 6] = [
    ("EiB", 1 << 60),
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];
const DECIMAL: [(&str, i64); 6] = [
    ("EB", 1_000_000_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
];

/// Cores as text, exact: `0.5`, `1`, `4`.
#[must_use]
pub fn cores_text(millicores: i64) -> String {
    let sign = if millicores < 0 { "-" } else { "" };
    let (cores, rest) = (millicores.unsigned_abs() / 1000, millicores.unsigned_abs() % 1000);
    if rest == 0 {
        return format!("{sign}{cores}");
    }
    let rest = format!("{rest:03}");
    format!("{sign}{cores}.{}", rest.trim_end_matches('0'))
}

/// Memory as text, exact, in the largest binary unit that divides it: `500MiB`, `1GiB`.
#[must_use]
pub fn ram_text(bytes: i64) -> String {
    in_largest_unit(bytes, &BINARY)
}

/// Storage as text, exact, in the largest decimal unit that divides it: `10GB`.
#[must_use]
pub fn storage_text(bytes: i64) -> String {
    in_largest_unit(bytes, &DECIMAL)
}

fn in_largest_unit(bytes: i64, units: &[(&str, i64)]) -> String {
    units
        .iter()
        .find(|(_, size)| bytes != 0 && bytes % size == 0)
        .map_or_else(|| format!("{bytes}B"), |(unit, size)| format!("{}{unit}", bytes / size))
}

/// Memory for a person: at most two decimals of the largest binary unit, cut off, as in `3.42GiB`.
#[must_use]
pub fn ram_rounded(bytes: i64) -> String {
    rounded_down(bytes, &BINARY)
}

/// Storage for a person: at most two decimals of the largest decimal unit, cut off, as in `19.5GB`.
#[must_use]
pub fn storage_rounded(bytes: i64) -> String {
    rounded_down(bytes, &DECIMAL)
}

fn rounded_down(bytes: i64, units: &[(&str, i64)]) -> String {
    let Some((unit, size)) = units.iter().find(|(_, size)| bytes >= *size) else {
        return format!("{bytes}B");
    };
    let hundredths = i128::from(bytes) * 100 / i128::from(*size);
    let (whole, rest) = (hundredths / 100, format!("{:02}", hundredths % 100));
    match rest.trim_end_matches('0') {
        "" => format!("{whole}{unit}"),
        rest => format!("{whole}.{rest}{unit}"),
    }
}
