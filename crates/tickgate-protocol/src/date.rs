//! Dates of trading sessions.

/// The UTC date of a Unix time as YYYYMMDD, in the proleptic Gregorian calendar.
///
/// Days are counted from 1 March of year 0, so that the leap day ends a year; a 400-year era has
/// 146,097 days, and the months from March on follow the pattern (153 m + 2) / 5. 0 for a year that
/// has no four digits.
#[must_use]
pub fn date_of(unix_s: i64) -> u32 {
    const DAYS_TO_1970: i64 = 719_468;
    let days = unix_s.div_euclid(86_400) + DAYS_TO_1970;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    match year {
        0..=9_999 => u32::try_from(year * 10_000 + month * 100 + day).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_days() {
        for (seconds, expected) in [
            (0i64, 19_700_101),
            (951_782_400, 20_000_229),
            (1_723_161_253, 20_240_808),
            (1_735_689_599, 20_241_231),
            (-1, 19_691_231),
            (253_402_300_800, 0),
            (i64::MIN, 0),
        ] {
            assert_eq!(date_of(seconds), expected, "{seconds}");
        }
    }
}
