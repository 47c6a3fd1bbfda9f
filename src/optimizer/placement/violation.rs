//! Violated constraints in words.

use std::fmt;

use super::Violation;
use crate::hdag::{Dimension, Resources};
use crate::optimizer::text::amounts;

impl Violation {
    /// Too little of a resource.
    pub(in crate::optimizer) fn shortage(dimension: Dimension, needed: i64, free: i64) -> Self {
        match dimension {
            Dimension::Cpu => Self::Cpu { needed, free },
            Dimension::Ram => Self::Ram { needed, free },
            Dimension::Storage => Self::Storage { needed, free },
            Dimension::Gpus => Self::Gpu { needed, free },
            Dimension::Pods => Self::Pods { needed, free },
        }
    }

    /// The resource that is lacking, with the amounts needed and free; `None` for any other constraint.
    pub(in crate::optimizer) fn lacking(&self) -> Option<(Dimension, i64, i64)> {
        match *self {
            Self::Cpu { needed, free } => Some((Dimension::Cpu, needed, free)),
            Self::Ram { needed, free } => Some((Dimension::Ram, needed, free)),
            Self::Storage { needed, free } => Some((Dimension::Storage, needed, free)),
            Self::Gpu { needed, free } => Some((Dimension::Gpus, needed, free)),
            Self::Pods { needed, free } => Some((Dimension::Pods, needed, free)),
            Self::Unavailable
            | Self::Node { .. }
            | Self::Pinned { .. }
            | Self::Attribute { .. }
            | Self::Latency { .. }
            | Self::AntiAffinity { .. } => None,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => f.write_str("unavailable"),
            Self::Cpu { .. }
            | Self::Ram { .. }
            | Self::Storage { .. }
            | Self::Gpu { .. }
            | Self::Pods { .. } => self
                .lacking()
                .map_or(Ok(()), |(dimension, needed, free)| write_shortage(f, dimension, needed, free)),
            Self::Node { needed, largest } => {
                let sizes: Vec<String> = largest.iter().map(|node| told(*node)).collect();
                write!(
                    f,
                    "node: a pod needs {}; the largest nodes have {}",
                    told(*needed),
                    sizes.join(" or ")
                )
            }
            Self::Pinned { cluster, because: None } => write!(f, "must stay on {cluster}"),
            Self::Pinned { cluster, because: Some(why) } => write!(f, "must stay on {cluster} ({why})"),
            Self::Attribute { intent, attribute, wanted, found } => {
                let found = found.as_deref().unwrap_or("unknown");
                write!(f, "{intent}: {attribute} must be {wanted}, is {found}")
            }
            Self::Latency { service, wanted, milliseconds: Some(ms) } => {
                write!(f, "latency to {service}: {ms} ms, wanted {wanted}")
            }
            Self::Latency { service, wanted, milliseconds: None } => {
                write!(f, "latency to {service}: unknown, wanted {wanted}")
            }
            Self::AntiAffinity { service } => write!(f, "must be apart from {service}"),
        }
    }
}

/// Without what is not there.
pub(super) fn told(amount: Resources) -> String {
    let none: Vec<Dimension> =
        Dimension::ALL.into_iter().filter(|dimension| amount.get(*dimension) == 0).collect();
    amounts(amount, &none)
}

/// Rounded, unless both would then look the same.
fn write_shortage(f: &mut fmt::Formatter<'_>, dimension: Dimension, needed: i64, free: i64) -> fmt::Result {
    let texts = |text: fn(Dimension, i64) -> String| (text(dimension, needed), text(dimension, free));
    let rounded = texts(Dimension::rounded);
    let cores =
        if dimension == Dimension::Cpu { format!(" {}", dimension.noun(needed)) } else { String::new() };
    let (needed, free) = if rounded.0 == rounded.1 { texts(Dimension::exact) } else { rounded };
    write!(f, "{}: needs {needed}{cores}, {free} free", dimension.name())
}
