//! What is asked for: one feature, or a bundle as people write it.

use std::{fmt, str::FromStr};

use leasehold::Item;
use leasehold_protocol::vocab::{FeatureName, SeatCount, Version};

/// One feature, or alternatives of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    text: String,
    /// Empty if it is one feature and nothing else.
    alternatives: Vec<Vec<Item>>,
}

impl Wanted {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it says itself how many of what.
    #[must_use]
    pub const fn is_bundle(&self) -> bool {
        !self.alternatives.is_empty()
    }

    /// The alternatives of a bundle.
    #[must_use]
    pub fn alternatives(&self) -> &[Vec<Item>] {
        &self.alternatives
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if FeatureName::new(text).is_ok() {
            return Ok(Self { text: text.to_owned(), alternatives: Vec::new() });
        }
        // A name may hold a plus itself, so between two names it stands alone.
        let spaced = text.replace('|', " | ").replace(',', " ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let alternatives =
            words.split(|word| matches!(*word, "|" | "or")).map(alternative).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), alternatives })
    }
}

fn alternative(words: &[&str]) -> Result<Vec<Item>, String> {
    words.split(|word| matches!(*word, "+" | "and")).map(item).collect()
}

/// `SOLVER`, `2 SOLVER`, `2-4 SOLVER` (as many as 4, 2 will do), each with `@5.0` for the lowest version.
fn item(words: &[&str]) -> Result<Item, String> {
    let (count, name) = match words {
        [name] => (None, *name),
        [count, name] => (Some(*count), *name),
        [] => return Err(format!("a feature is missing; {FORM}")),
        more => return Err(format!("{:?} is no feature; {FORM}", more.join(" "))),
    };
    let (name, version) = name.split_once('@').map_or((name, None), |(name, version)| (name, Some(version)));
    FeatureName::new(name).map_err(|e| format!("{name:?} is no feature: {e}; {FORM}"))?;
    let mut item = Item::new(name);
    if let Some(version) = version {
        version.parse::<Version>().map_err(|e| format!("{version:?} in {name}@{version}: {e}"))?;
        item = item.version(version);
    }
    let Some(count) = count else { return Ok(item) };
    let number = |text: &str| {
        let number = text.parse().ok().and_then(|seats| SeatCount::new(seats).ok());
        number.map(SeatCount::get).ok_or_else(|| format!("{count:?} before {name} is no number of seats; {FORM}"))
    };
    Ok(match count.split_once('-') {
        None => item.seats(number(count)?),
        Some((least, most)) if number(least)? <= number(most)? => item.seats(number(most)?).at_least(number(least)?),
        Some(_) => return Err(format!("{count:?} before {name}: the fewest come first, as in 2-4")),
    })
}

const FORM: &str = "write several like '2 SOLVER + MESH | SUITE'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_feature_is_one_feature_and_more_are_a_bundle() {
        assert!(!"VR_MODE".parse::<Wanted>().unwrap().is_bundle());
        let solver = || Item::new("SOLVER").seats(2);
        let same = vec![vec![solver(), Item::new("MESH")], vec![Item::new("SUITE")]];
        for text in ["2 SOLVER + MESH | SUITE", "2 SOLVER and 1 MESH, or 1 SUITE", "2 SOLVER + MESH|SUITE"] {
            assert_eq!(text.parse::<Wanted>().unwrap().alternatives(), same, "{text}");
        }
        let named = vec![vec![Item::new("C++").seats(2)]];
        assert_eq!("2 C++".parse::<Wanted>().unwrap().alternatives(), named, "a plus may be of the name");
        let fewer = "2-4 SOLVER@5.0".parse::<Wanted>().unwrap();
        assert_eq!(fewer.alternatives(), [vec![Item::new("SOLVER").seats(4).at_least(2).version("5.0")]]);
    }

    #[test]
    fn what_is_no_bundle_says_where_and_how_to_write_one() {
        for (text, part) in [
            ("2 SOLVER +", "a feature is missing"),
            ("| SUITE", "a feature is missing"),
            ("two SOLVER", "\"two\" before SOLVER"),
            ("4-2 SOLVER", "fewest come first"),
            ("0 SOLVER", "\"0\" before SOLVER"),
            ("2 SOLVER MESH", "\"2 SOLVER MESH\" is no feature"),
            ("SOLVER@x + MESH", "\"x\" in SOLVER@x"),
        ] {
            let error = text.parse::<Wanted>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
