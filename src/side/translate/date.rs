//! Days and instants in the forms that sides write them in.

use jiff::{Timestamp, civil::Date, fmt::strtime, tz::TimeZone};

use crate::field::DateForm;

/// The milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Whether a bare whole number is milliseconds since 1970 where no form says so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// It is, as on a side that writes every value as a text.
    Millis,
    /// It is no date.
    Nothing,
}

/// The day that a text names, `YYYY-MM-DD`; `None` if it names none.
///
/// An instant names a day only at its midnight, UTC: any other would be moved, and not come back.
pub fn hear_day(text: &str, form: Option<&DateForm>, bare: Bare) -> Option<String> {
    if let Some(DateForm::Pattern(pattern)) = form
        && let Ok(parsed) = strtime::parse(pattern, text)
        && let Ok(day) = parsed.to_date()
    {
        return print_day(day);
    }
    if let Ok(day) = text.parse::<Date>()
        && text.len() == "2026-03-01".len()
    {
        return print_day(day);
    }
    let millis = exact_millis(&instant(text, form, bare)?)?;
    let day = Timestamp::from_millisecond(millis).ok().filter(|_| millis.rem_euclid(DAY) == 0)?;
    print_day(day.to_zoned(TimeZone::UTC).date())
}

/// The instant that a text names, RFC 3339 in UTC, cut to milliseconds; `None` if it names none.
pub fn hear_instant(text: &str, form: Option<&DateForm>, bare: Bare) -> Option<String> {
    if let Some(DateForm::Pattern(pattern)) = form
        && let Ok(parsed) = strtime::parse(pattern, text)
    {
        let exact = parsed.to_timestamp().ok();
        let instant =
            exact.or_else(|| parsed.to_datetime().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp()));
        return print_instant(instant?);
    }
    if let Ok(day) = text.parse::<Date>()
        && text.len() == "2026-03-01".len()
    {
        return print_instant(day.to_zoned(TimeZone::UTC).ok()?.timestamp());
    }
    print_instant(instant(text, form, bare)?)
}

/// A day in normal form as a side writes it; `None` if it is no day in normal form.
pub fn say_day(day: &str, form: Option<&DateForm>) -> Option<String> {
    let day: Date = day.parse().ok()?;
    let midnight = day.to_zoned(TimeZone::UTC).ok()?;
    write(&midnight.timestamp(), form).or_else(|| print_day(day))
}

/// An instant in normal form as a side writes it; `None` if it is no instant.
pub fn say_instant(instant: &str, form: Option<&DateForm>) -> Option<String> {
    let instant: Timestamp = instant.parse().ok()?;
    write(&instant, form).or_else(|| print_instant(instant))
}

fn write(instant: &Timestamp, form: Option<&DateForm>) -> Option<String> {
    match form? {
        DateForm::EpochMillis => Some(instant.as_millisecond().to_string()),
        DateForm::EpochSeconds => Some(instant.as_millisecond().div_euclid(1000).to_string()),
        DateForm::Pattern(pattern) => strtime::format(pattern, &instant.to_zoned(TimeZone::UTC)).ok(),
    }
}

fn instant(text: &str, form: Option<&DateForm>, bare: Bare) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<i64>() {
        return match (form, bare) {
            (Some(DateForm::EpochSeconds), _) => Timestamp::from_second(number).ok(),
            (Some(DateForm::EpochMillis), _) | (_, Bare::Millis) => Timestamp::from_millisecond(number).ok(),
            _ => None,
        };
    }
    text.parse().ok()
}

/// Years of more than four digits are no dates of ours.
fn print_day(day: Date) -> Option<String> {
    (day.year() >= 0).then(|| day.to_string())
}

fn print_instant(instant: Timestamp) -> Option<String> {
    // The floor, also before 1970: cutting what is cut already changes nothing.
    let millis = i64::try_from(instant.as_nanosecond().div_euclid(1_000_000)).ok()?;
    let cut = Timestamp::from_millisecond(millis).ok()?;
    (cut.to_zoned(TimeZone::UTC).year() >= 0).then(|| cut.to_string())
}

/// The milliseconds since 1970, if there is nothing finer.
fn exact_millis(instant: &Timestamp) -> Option<i64> {
    let nanos = instant.as_nanosecond();
    (nanos % 1_000_000 == 0).then(|| i64::try_from(nanos / 1_000_000).ok())?
}
