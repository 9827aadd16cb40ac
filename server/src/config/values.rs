//! Text to typed values. Each parser says what it expected in words that finish "expected …".

use std::{
    fmt::Display,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use leasehold_protocol::licence::nearest::nearest;

use crate::settings::{HttpListen, ListenOn, LogFormat};

/// Why a text is not a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Finishes "expected …".
    pub expected: String,
    /// What to do, where that is not plain from `expected`.
    pub help: Option<String>,
}

pub(super) type Read<T> = Result<T, Wrong>;

fn wrong<T>(expected: impl Display) -> Read<T> {
    Err(Wrong { expected: expected.to_string(), help: None })
}

fn wrong_because<T>(expected: impl Display, help: impl Display) -> Read<T> {
    Err(Wrong { expected: expected.to_string(), help: Some(help.to_string()) })
}

pub(super) fn port(text: &str) -> Read<u16> {
    number::<u16>(text).map_or_else(|| wrong("a port number, 0 to 65535 (0 picks a free one)"), Ok)
}

/// A whole number from `min` to `max`; underscores between digits are allowed.
pub(super) fn count(text: &str, min: u32, max: u32) -> Read<u32> {
    let found = number::<u32>(text).filter(|n| (min..=max).contains(n));
    found.map_or_else(|| wrong(format!("a whole number, {min} to {max}")), Ok)
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_digit());
    plain.then(|| text.replace('_', "").parse().ok()).flatten()
}

pub(super) fn path(text: &str) -> Read<PathBuf> {
    if text.is_empty() { wrong("a path") } else { Ok(PathBuf::from(text)) }
}

pub(super) fn switch(text: &str) -> Read<bool> {
    match text {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        other => wrong_word(other, &["on", "off"]),
    }
}

pub(super) fn log_format(text: &str) -> Read<LogFormat> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        other => wrong_word(other, &["auto", "human", "json"]),
    }
}

pub(super) fn log_filter(text: &str) -> Read<String> {
    const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
    // One bare word that is no level would be taken for the name of a module and log nothing at all.
    if !text.contains(['=', ',']) && !LEVELS.contains(&text) {
        return wrong_word(text, LEVELS);
    }
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(e) => wrong_because("a level, or directives such as info,leasehold_server::net=debug", e),
    }
}

fn wrong_word<T>(text: &str, words: &[&str]) -> Read<T> {
    let expected = format!("one of {}", words.join(", "));
    match nearest(text, words.iter().copied()) {
        Some(word) => wrong_because(expected, format!("did you mean \"{word}\"?")),
        None => wrong(expected),
    }
}

/// A time with its unit, from `min` to `max`.
pub(super) fn time(text: &str, min: Duration, max: Duration) -> Read<Duration> {
    let expected = || format!("a time from {} to {}, such as 90s, 5m or 1h", show_time(min), show_time(max));
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit_us: u64 = match text[digits..].trim_start() {
        "us" | "µs" => 1,
        "ms" => 1000,
        "s" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        "" if digits > 0 => return wrong_because(expected(), format!("give the unit: {text}s for seconds")),
        _ => return wrong(expected()),
    };
    let us = text[..digits].parse::<u64>().ok().and_then(|n| n.checked_mul(unit_us)).map(Duration::from_micros);
    us.filter(|time| (min..=max).contains(time)).map_or_else(|| wrong(expected()), Ok)
}

/// `time` in its largest whole unit up to hours, as [`time`] reads it back.
pub(super) fn show_time(time: Duration) -> String {
    let us = time.as_micros();
    let units = [(3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1000, "ms")];
    let whole = units.iter().find(|(unit, _)| us >= *unit && us.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) => format!("{}{name}", us / unit),
        None if us == 0 => "0s".into(),
        None => format!("{us}us"),
    }
}

pub(super) fn listen(text: &str) -> Read<ListenOn> {
    const EXPECTED: &str = "an IP address, or the name of a network interface";
    if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(ListenOn::Address(address));
    }
    if let Ok(both) = text.parse::<SocketAddr>() {
        let help = format!("say it in two settings: listen {} and port {}", both.ip(), both.port());
        return wrong_because(EXPECTED, help);
    }
    let name_like = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
    if text.is_empty() || text.len() > 15 || !text.chars().all(name_like) {
        return wrong(EXPECTED);
    }
    Ok(ListenOn::Interface(text.to_owned()))
}

pub(super) fn http(text: &str) -> Read<HttpListen> {
    const EXPECTED: &str = "a loopback address, with or without a port, or off";
    if text == "off" {
        return Ok(HttpListen::Off);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let (ip, port) = match (bare.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
        (Ok(ip), _) => (ip, None),
        (_, Ok(both)) => (both.ip(), Some(both.port())),
        _ if text == "localhost" => (IpAddr::from([127, 0, 0, 1]), None),
        _ => return wrong(EXPECTED),
    };
    if !ip.is_loopback() {
        return wrong_because(
            EXPECTED,
            "beyond this machine REST needs TLS, which this server does not speak: keep it on 127.0.0.1 and reach it \
             through a tunnel, such as ssh -L 5097:127.0.0.1:5097 HOST",
        );
    }
    Ok(HttpListen::On(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_time_has_a_unit_and_prints_as_it_reads() {
        let texts = [("90s", 90_000), ("5m", 300_000), ("1h", 3_600_000), ("250ms", 250), ("2 s", 2000), ("3000us", 3)];
        for (text, ms) in texts {
            let read = time(text, Duration::ZERO, HOUR).unwrap();
            assert_eq!(read, Duration::from_millis(ms), "{text}");
            assert_eq!(time(&show_time(read), Duration::ZERO, HOUR), Ok(read));
        }
        assert_eq!(show_time(Duration::from_micros(50)), "50us");
        assert_eq!(time("90", Duration::ZERO, HOUR).unwrap_err().help.unwrap(), "give the unit: 90s for seconds");
        for bad in ["", "s", "-1s", "1.5s", "61m", "99999999999999999999s", "5 parsecs"] {
            assert!(time(bad, Duration::ZERO, HOUR).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_keep_to_their_range_and_may_have_underscores() {
        assert_eq!(count("1_000_000", 1, 2_000_000), Ok(1_000_000));
        assert_eq!(port("65536").unwrap_err().expected, "a port number, 0 to 65535 (0 picks a free one)");
        for bad in ["0", "3000000", "", "_1", "1_", "+5", "0x10", "ten"] {
            assert!(count(bad, 1, 2_000_000).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rest_beyond_loopback_is_refused_with_the_reason() {
        assert_eq!(http("[::1]:8080"), Ok(HttpListen::On("::1".parse().unwrap(), Some(8080))));
        assert_eq!(http("127.0.0.1"), Ok(HttpListen::On([127, 0, 0, 1].into(), None)));
        assert_eq!(http("off"), Ok(HttpListen::Off));
        assert!(http("0.0.0.0:5097").unwrap_err().help.unwrap().contains("needs TLS"));
        assert!(http("example").is_err());
    }

    #[test]
    fn a_listening_place_is_an_address_or_an_interface() {
        assert_eq!(listen("10.0.4.2"), Ok(ListenOn::Address([10, 0, 4, 2].into())));
        assert_eq!(listen("[::1]"), Ok(ListenOn::Address("::1".parse().unwrap())));
        assert_eq!(listen("eth0"), Ok(ListenOn::Interface("eth0".into())));
        assert!(listen("10.0.4.2:99").unwrap_err().help.unwrap().contains("listen 10.0.4.2 and port 99"));
        assert!(listen("not an interface name").is_err());
    }

    #[test]
    fn a_misspelt_word_is_answered_with_the_nearest() {
        assert_eq!(log_filter("dbug").unwrap_err().help.unwrap(), "did you mean \"debug\"?");
        assert_eq!(log_format("jsn").unwrap_err().help.unwrap(), "did you mean \"json\"?");
        assert!(log_filter("info,leasehold_server::net=debug").is_ok());
        assert!(log_filter("info,x=loud").is_err());
    }
}
