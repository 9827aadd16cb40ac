//! "Did you mean": the nearest of the words there are.

/// The word of `known` nearest to `word`, if one is near enough to be what was meant.
///
/// Case does not count, and neither do the signs between parts: `vr-mode` is `VR_MODE`.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word);
    let scored = known.into_iter().map(|name| (strsim::jaro_winkler(&word, &folded(name)), name));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= NEAR_ENOUGH).then_some(best.1)
}

/// Of 1.0 for equal; clap itself suggests from 0.7, where short words already meet by chance.
const NEAR_ENOUGH: f64 = 0.8;

fn folded(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: [&str; 3] = ["CAD_PRO", "VR_MODE", "SOLVER"];

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        assert_eq!(nearest("VR_MOED", FEATURES), Some("VR_MODE"));
        assert_eq!(nearest("vr-mode", FEATURES), Some("VR_MODE"));
        assert_eq!(nearest("SOLVR", FEATURES), Some("SOLVER"));
    }

    #[test]
    fn nothing_is_suggested_where_nothing_is_near() {
        assert_eq!(nearest("PHOTO", FEATURES), None);
        assert_eq!(nearest("x", []), None);
    }
}
