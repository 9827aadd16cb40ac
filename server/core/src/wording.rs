//! Numbers and instants as people read them.

use leasehold_protocol::time::UnixMillis;

/// `n` seats.
pub(crate) fn seats(n: u32) -> String {
    match n {
        1 => "1 seat".to_owned(),
        n => format!("{n} seats"),
    }
}

/// `seats are` or `1 seat is`.
pub(crate) fn seats_are(n: u32) -> String {
    match n {
        1 => "1 seat is".to_owned(),
        n => format!("{n} seats are"),
    }
}

/// An instant, to the second: `2026-12-31T22:59:59Z`.
pub(crate) fn instant(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(seconds) {
        Ok(stamp) => stamp.to_string(),
        Err(_) => format!("{} ms after 1970", at.0),
    }
}

/// A span, roughly: two of its units at most.
pub(crate) fn span(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..=119 => format!("{s} s"),
        120..=7199 => format!("{} min", s / 60),
        7200..=172_799 => format!("{} h", s / 3600),
        _ => format!("{} days", s / 86_400),
    }
}

/// `text`, cut at a character so that it takes at most `len_max` bytes, with an ellipsis where something is gone.
pub(crate) fn clip(mut text: String, len_max: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() > len_max {
        let end = (0..=len_max - ELLIPSIS.len()).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push_str(ELLIPSIS);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_to_the_second_in_utc() {
        assert_eq!(instant(UnixMillis(1_798_761_599_999)), "2026-12-31T23:59:59Z");
        assert_eq!(instant(UnixMillis(u64::MAX)), "18446744073709551615 ms after 1970");
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_character() {
        assert_eq!(clip("short".into(), 10), "short");
        assert_eq!(clip("ééééé".into(), 8), "éé…");
        assert_eq!(clip("ééééé".into(), 10), "ééééé");
    }
}
