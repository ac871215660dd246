//! The normal form of numbers: exact, whatever their size.

use std::borrow::Cow;

/// The longest number that is written out in plain digits.
const PLAIN_MAX: i128 = 1024;
/// The greatest power of ten that is read at all.
const POWER_MAX: i64 = 1 << 40;

/// A number as 0.DIGITS times ten to a power; no digits are zero.
struct Number<'a> {
    negative: bool,
    digits: Cow<'a, str>,
    power: i128,
}

/// The normal form of a number in any usual spelling, times ten to `exponent`; `None` if the text is no number.
///
/// Plain digits without needless zeros; above a thousand digits `1.5e2000`. Always a JSON number.
pub fn normal(text: &str, exponent: i8) -> Option<String> {
    let mut number = parse(text)?;
    if !number.digits.is_empty() {
        number.power += i128::from(exponent);
    }
    Some(print(&number))
}

fn parse(text: &str) -> Option<Number<'_>> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let exponent: i64 = exponent.parse().ok().filter(|power| (-POWER_MAX..=POWER_MAX).contains(power))?;
    let digits: Cow<'_, str> = match (whole, fraction) {
        (whole, "") => whole.into(),
        (whole, fraction) => format!("{whole}{fraction}").into(),
    };
    let leading = digits.len() - digits.trim_start_matches('0').len();
    let digits: Cow<'_, str> = match digits {
        Cow::Borrowed(digits) => digits.trim_matches('0').into(),
        Cow::Owned(digits) => digits.trim_matches('0').to_owned().into(),
    };
    let power = whole.len() as i128 - leading as i128 + i128::from(exponent);
    Some(Number { negative: negative && !digits.is_empty(), digits, power })
}

fn print(number: &Number<'_>) -> String {
    let Number { negative, digits, power } = number;
    if digits.is_empty() {
        return "0".to_owned();
    }
    let sign = if *negative { "-" } else { "" };
    let count = digits.len() as i128;
    let length = count.max(*power).max(count - *power);
    if length > PLAIN_MAX.max(count) {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{point}{rest}e{}", power - 1);
    }
    match usize::try_from(*power) {
        Ok(0) | Err(_) => format!("{sign}0.{}{digits}", "0".repeat(power.unsigned_abs() as usize)),
        Ok(whole) if whole >= digits.len() => format!("{sign}{digits}{}", "0".repeat(whole - digits.len())),
        Ok(whole) => format!("{sign}{}.{}", &digits[..whole], &digits[whole..]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::compare_numbers;

    #[test]
    fn spellings_of_one_number_are_one() {
        let cases = [
            ("1.50", "1.5"),
            ("+007", "7"),
            ("-0.00", "0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1E3", "1000"),
            ("12.5e-3", "0.0125"),
            ("9007199254740993", "9007199254740993"),
            ("-120", "-120"),
            ("1e2000", "1e2000"),
            ("15e2000", "1.5e2001"),
            ("-2e-3000", "-2e-3000"),
        ];
        for (written, due) in cases {
            assert_eq!(normal(written, 0).as_deref(), Some(due), "{written}");
        }
        for wrong in [
            "",
            "-",
            ".",
            "1,5",
            "1 000",
            "0x1",
            "e5",
            "1e",
            "1e5.0",
            "--1",
            "+-1",
            "1e99999999999999999999",
            "NaN",
            "١",
        ] {
            assert_eq!(normal(wrong, 0), None, "{wrong}");
        }
    }

    #[test]
    fn scales_move_the_point() {
        assert_eq!(normal("12.34", 2).as_deref(), Some("1234"));
        assert_eq!(normal("5", -2).as_deref(), Some("0.05"));
        assert_eq!(normal("0", 18).as_deref(), Some("0"));
    }

    proptest! {
        #[test]
        fn the_normal_form_means_the_same_and_is_its_own(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?") {
            let normal_form = normal(&text, 0).expect("a number");
            prop_assert!(compare_numbers(&text, &normal_form).is_eq());
            prop_assert_eq!(normal(&normal_form, 0), Some(normal_form.clone()));
            prop_assert!(crate::value::Value::from_json(&normal_form).is_ok());
        }

        #[test]
        fn a_scale_is_undone_exactly(text in "-?[0-9]{1,40}(\\.[0-9]{1,20})?", exponent in -18i8..=18) {
            let there = normal(&text, exponent).expect("a number");
            prop_assert_eq!(normal(&there, -exponent), normal(&text, 0));
        }

        #[test]
        fn any_text_is_a_number_or_not(text in "\\PC{0,12}") {
            normal(&text, 0);
        }
    }
}
