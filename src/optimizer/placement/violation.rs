//! Violated constraints in words.

use std::fmt;

use super::Violation;
use crate::hdag::{Dimension, cores_text, ram_rounded, ram_text, storage_rounded, storage_text};
use crate::optimizer::text::cores;

impl Violation {
    /// Too little of a resource.
    pub(in crate::optimizer) fn shortage(dimension: Dimension, needed: i64, free: i64) -> Self {
        match dimension {
            Dimension::Cpu => Self::Cpu { needed, free },
            Dimension::Ram => Self::Ram { needed, free },
            Dimension::Storage => Self::Storage { needed, free },
            Dimension::Gpus => Self::Gpu { needed, free },
        }
    }

    /// The resource that is lacking, with the amounts needed and free; `None` for any other constraint.
    pub(in crate::optimizer) fn lacking(&self) -> Option<(Dimension, i64, i64)> {
        match *self {
            Self::Cpu { needed, free } => Some((Dimension::Cpu, needed, free)),
            Self::Ram { needed, free } => Some((Dimension::Ram, needed, free)),
            Self::Storage { needed, free } => Some((Dimension::Storage, needed, free)),
            Self::Gpu { needed, free } => Some((Dimension::Gpus, needed, free)),
            Self::Unavailable
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
            Self::Cpu { needed, free } => {
                write!(f, "cpu: needs {}, {} free", cores(*needed), cores_text(*free))
            }
            Self::Ram { needed, free } => write_bytes(f, "ram", *needed, *free, ram_text, ram_rounded),
            Self::Storage { needed, free } => {
                write_bytes(f, "storage", *needed, *free, storage_text, storage_rounded)
            }
            Self::Gpu { needed, free } => write!(f, "gpu: needs {needed}, {free} free"),
            Self::Pinned { cluster } => write!(f, "must stay on {cluster}"),
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

/// Rounded, unless both would then look the same.
fn write_bytes(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    needed: i64,
    free: i64,
    exact: fn(i64) -> String,
    rounded: fn(i64) -> String,
) -> fmt::Result {
    let (short_needed, short_free) = (rounded(needed), rounded(free));
    if short_needed == short_free {
        write!(f, "{what}: needs {}, {} free", exact(needed), exact(free))
    } else {
        write!(f, "{what}: needs {short_needed}, {short_free} free")
    }
}
