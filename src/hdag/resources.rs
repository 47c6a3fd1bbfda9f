//! Amounts of the resources that placement counts, in exact integer units.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An amount of each resource that a service needs or a cluster offers.
///
/// Integers keep sums exact: a thousand services of 0.1 cores add up to 100 cores, not to 99.999….
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resources {
    /// Thousandths of a CPU core.
    pub cpu_millicores: i64,
    /// Memory in bytes.
    pub ram_bytes: i64,
    /// Ephemeral storage in bytes.
    pub storage_bytes: i64,
    /// Whole GPUs.
    pub gpus: i64,
}

impl Resources {
    /// The larger of the two amounts, resource by resource.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            cpu_millicores: self.cpu_millicores.max(other.cpu_millicores),
            ram_bytes: self.ram_bytes.max(other.ram_bytes),
            storage_bytes: self.storage_bytes.max(other.storage_bytes),
            gpus: self.gpus.max(other.gpus),
        }
    }

    /// This amount for each of `replicas` replicas.
    #[must_use]
    pub fn times(self, replicas: i64) -> Self {
        Self {
            cpu_millicores: self.cpu_millicores.saturating_mul(replicas),
            ram_bytes: self.ram_bytes.saturating_mul(replicas),
            storage_bytes: self.storage_bytes.saturating_mul(replicas),
            gpus: self.gpus.saturating_mul(replicas),
        }
    }

    /// The remainder after `used` is subtracted; never below zero.
    #[must_use]
    pub fn minus_clamped(self, used: Self) -> Self {
        let left = |have: i64, used: i64| have.saturating_sub(used).max(0);
        Self {
            cpu_millicores: left(self.cpu_millicores, used.cpu_millicores),
            ram_bytes: left(self.ram_bytes, used.ram_bytes),
            storage_bytes: left(self.storage_bytes, used.storage_bytes),
            gpus: left(self.gpus, used.gpus),
        }
    }
}

impl Add for Resources {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu_millicores: self.cpu_millicores.saturating_add(other.cpu_millicores),
            ram_bytes: self.ram_bytes.saturating_add(other.ram_bytes),
            storage_bytes: self.storage_bytes.saturating_add(other.storage_bytes),
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }
}

impl AddAssign for Resources {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
