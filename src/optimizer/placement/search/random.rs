//! Random numbers and the Metropolis test, in integers only: the same on every platform and in every release.

/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The stream `stream` of a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut mixer = Self(seed);
        let start = mixer.next() ^ stream.wrapping_mul(0xD134_2543_DE82_EF95);
        Self(Self(start).next())
    }

    /// 64 fresh bits.
    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }
}

/// Maps the low 32 random bits to a number below `bound`, or 0; the bias is below `bound / 2³²`.
#[inline]
pub(super) fn below(bits: u64, bound: usize) -> usize {
    (((bits & 0xFFFF_FFFF) * bound as u64) >> 32) as usize
}

const STEPS: usize = 1024;
/// `−ln u` for `u` at the middle of each of [`STEPS`] equal intervals, in units of 2⁻¹⁶.
static NEGATIVE_LOG: [i64; STEPS] = negative_log();

/// The largest worsening that the Metropolis rule accepts at a temperature for ten random bits: `T · −ln u`.
#[inline]
pub(super) fn tolerance(temperature: i64, bits: u64) -> i64 {
    ((i128::from(temperature) * i128::from(NEGATIVE_LOG[bits as usize % STEPS])) >> 16) as i64
}

const fn negative_log() -> [i64; STEPS] {
    let mut table = [0; STEPS];
    let mut step = 0;
    while step < STEPS {
        let log = ln(STEPS as f64 / (step as f64 + 0.5));
        table[step] = (log * 65536.0) as i64;
        step += 1;
    }
    table
}

/// `ln x` for `x ≥ 1` by basic arithmetic, which IEEE 754 rounds equally everywhere; `f64::ln` may differ.
const fn ln(x: f64) -> f64 {
    let mut mantissa = x;
    let mut log = 0.0;
    while mantissa >= 2.0 {
        mantissa /= 2.0;
        log += std::f64::consts::LN_2;
    }
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let mut power = ratio;
    let mut odd = 1.0;
    while odd < 40.0 {
        log += 2.0 * power / odd;
        power *= ratio * ratio;
        odd += 2.0;
    }
    log
}
