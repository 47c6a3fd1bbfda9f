//! Exact quantities.

use proptest::prelude::*;

use super::super::quantity::*;

#[test]
fn millicores_of_all_spellings() {
    for (text, wanted) in [
        ("0", 0),
        ("1", 1000),
        ("0.5", 500),
        (".5", 500),
        ("1.", 1000),
        ("1500m", 1500),
        ("1e3", 1_000_000),
        ("5e-1", 500),
        ("1E-3", 1),
        ("1k", 1_000_000),
        ("100u", 1),
        ("1n", 1),
        ("1000001n", 2),
        ("0.0001", 1),
        ("0.1", 100),
        ("+2", 2000),
        (" 3 ", 3000),
        ("-0", 0),
        ("0e99", 0),
        ("00.500", 500),
        ("9223372036854775807m", i64::MAX),
    ] {
        assert_eq!(millicores(text), Ok(wanted), "{text}");
    }
}

#[test]
fn bytes_of_all_spellings() {
    for (text, wanted) in [
        ("1", 1),
        ("100m", 1),
        ("1Ki", 1024),
        ("1KiB", 1024),
        ("500MiB", 524_288_000),
        ("500Mi", 524_288_000),
        ("1.5Gi", 1_610_612_736),
        ("0.1Gi", 107_374_183),
        ("10GB", 10_000_000_000),
        ("10G", 10_000_000_000),
        ("129e6", 129_000_000),
        ("1kB", 1000),
        ("7B", 7),
        ("5E", 5_000_000_000_000_000_000),
        ("5e18", 5_000_000_000_000_000_000),
        ("7Ei", 7 << 60),
        ("2Ti", 2 << 40),
        ("3P", 3_000_000_000_000_000),
        ("3Pi", 3 << 50),
        ("9223372036854775807", i64::MAX),
        ("123456789012345678901234567n", 123_456_789_012_345_679),
    ] {
        assert_eq!(bytes(text), Ok(wanted), "{text}");
    }
}

#[test]
fn rubbish_is_refused() {
    for text in [
        "", " ", ".", "m", "Gi", "1 Gi", "1..2", "1.2.3", "1gi", "1K", "0x10", "1_000", "1e", "1e+", "e5",
        "--1", "1m1", "NaN", "inf", "١", "1é", "1e1.5",
    ] {
        assert_eq!(bytes(text), Err(QuantityError::Syntax(text.to_owned())), "{text}");
    }
    for text in ["8Ei", "9223372036854775808", "1e19", "1e99999", "1e-99", "100E", "1e99999999999999999999"] {
        assert!(matches!(bytes(text), Err(QuantityError::Range(_) | QuantityError::Syntax(_))), "{text}");
    }
    assert_eq!(bytes("-1"), Err(QuantityError::Negative("-1".into())));
    assert_eq!(millicores("9223372036854775808m"), Err(QuantityError::Range("9223372036854775808m".into())));
    let long = format!("{}x", "9".repeat(100_000));
    assert!(bytes(&long).unwrap_err().to_string().len() < 200);
}

#[test]
fn counts_are_whole() {
    assert_eq!((count("2"), count("1k"), count("1e1"), count("2000m")), (Ok(2), Ok(1000), Ok(10), Ok(2)));
    assert_eq!(count("0.5"), Err(QuantityError::Fraction("0.5".into())));
}

#[test]
fn texts_of_the_original() {
    assert_eq!(
        [500, 1000, 4000, 8000, 1234, 10, 0].map(cores_text),
        ["0.5", "1", "4", "8", "1.234", "0.01", "0"]
    );
    assert_eq!(
        [500 << 20, 1 << 30, 8 << 30, 1536 << 20, 1000, 0].map(ram_text),
        ["500MiB", "1GiB", "8GiB", "1536MiB", "1000B", "0B"]
    );
    assert_eq!(
        [10_000_000_000, 40_000_000_000, 1_500_000_000, 999, 0].map(storage_text),
        ["10GB", "40GB", "1500MB", "999B", "0B"]
    );
}

#[test]
fn rounded_texts_never_promise_more_than_there_is() {
    assert_eq!(
        [(7 << 30) / 2, (1 << 30) - 1, 1023, 3_672_197_038].map(ram_rounded),
        ["3.5GiB", "1023.99MiB", "1023B", "3.41GiB"]
    );
    assert_eq!([19_500_000_000, 1_009_999_999].map(storage_rounded), ["19.5GB", "1GB"]);
}

proptest! {
    #[test]
    fn texts_read_back(amount in 0..i64::MAX) {
        prop_assert_eq!(millicores(&cores_text(amount)), Ok(amount));
        prop_assert_eq!(bytes(&ram_text(amount)), Ok(amount));
        prop_assert_eq!(bytes(&storage_text(amount)), Ok(amount));
    }

    #[test]
    fn decimals_round_up_exactly(whole in 0..1_000_000_i64, fraction in 0..1_000_000_i64) {
        // whole.fraction cores, in millionths, to thousandths.
        let wanted = whole * 1000 + (fraction + 999) / 1000;
        prop_assert_eq!(millicores(&format!("{whole}.{fraction:06}")), Ok(wanted));
    }

    #[test]
    fn binary_units_multiply(amount in 0..(1_i64 << 33)) {
        for (unit, size) in [("Ki", 1_i64 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)] {
            let wanted = amount.checked_mul(size);
            prop_assert_eq!(bytes(&format!("{amount}{unit}")).ok(), wanted);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "[-+0-9.eEmkKMGi \\PC]{0,40}") {
        for read in [millicores, bytes, count] {
            if let Ok(amount) = read(&text) {
                prop_assert!(amount >= 0);
            }
        }
    }
}
