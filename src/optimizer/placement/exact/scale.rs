//! Integers of up to 10^13 as coefficients that a floating-point solver can distinguish.

/// Amounts in multiples of `unit`, which is exact, times a power of two, which keeps the digits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// Greatest common divisor of the amounts.
    unit: i64,
    /// Brings the largest amount below [`Scale::LARGEST`].
    factor: f64,
}

impl Scale {
    /// The largest coefficient: far enough above the solvers' tolerance of 1e-6.
    const LARGEST: i64 = 1 << 16;

    /// Ten times the tolerance.
    const LEEWAY: f64 = 1e-5;

    /// The scale for some amounts, none of them negative.
    pub(super) fn of(amounts: impl Iterator<Item = i64>) -> Self {
        let (mut unit, mut largest) = (0, 0);
        for amount in amounts {
            unit = gcd(unit, amount);
            largest = largest.max(amount);
        }
        let unit = unit.max(1);
        let mut factor = 1.0;
        let mut largest = largest / unit;
        while largest > Self::LARGEST {
            largest /= 2;
            factor /= 2.0;
        }
        Self { unit, factor }
    }

    /// The amount that corresponds to a lower bound in coefficients: the smallest multiple of the unit that
    /// is not below it, up to the exactness of solvers, about 1e-6 in small and nine digits in large numbers.
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    pub(super) fn at_least(self, bound: f64) -> i64 {
        let certain = bound - 1e-5 - 1e-9 * bound.abs();
        ((certain / self.factor).ceil().max(0.0) as i64).saturating_mul(self.unit)
    }

    /// Whether every coefficient is an integer.
    pub(super) fn is_exact(self) -> bool {
        self.factor >= 1.0
    }

    /// An amount as a coefficient.
    #[expect(clippy::cast_precision_loss, reason = "checked in integers afterwards")]
    pub(super) fn coefficient(self, amount: i64) -> f64 {
        amount.div_euclid(self.unit) as f64 * self.factor
    }

    /// An upper limit of sums of the amounts, rounded down to units, which loses no solution.
    ///
    /// Where coefficients are no integers it is a little too large: sums that meet a limit exactly are
    /// common, and a solver should not have to decide about them within its tolerance.
    pub(super) fn limit(self, amount: i64) -> f64 {
        self.coefficient(amount) + if self.is_exact() { 0.0 } else { Self::LEEWAY }
    }

    /// An amount in coefficients, without rounding to units.
    #[expect(clippy::cast_precision_loss, reason = "fifteen digits suffice")]
    pub(super) fn ratio(self, amount: i64) -> f64 {
        amount as f64 / self.unit as f64 * self.factor
    }
}

fn gcd(one: i64, other: i64) -> i64 {
    if other == 0 { one } else { gcd(other, one % other) }
}
