//! The word somebody probably meant.

/// The one of `words` nearest to `typed`, if any is near: at most a third of its letters, and no fewer than one, typed
/// wrong, left out, put in or swapped with their neighbour. `-` and `_` are the same here, and so are cases.
#[must_use]
pub fn nearest<'w>(typed: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let typed = folded(typed);
    if typed.len() > LEN_MAX {
        return None;
    }
    let measured = words.into_iter().map(|word| (distance(&typed, &folded(word)), word));
    let (mistakes, word) = measured.min_by_key(|&(mistakes, _)| mistakes)?;
    (mistakes <= (word.len() / 3).max(1)).then_some(word)
}

/// Nobody means a word this long; and the cost grows with the square.
const LEN_MAX: usize = 64;

fn folded(word: &str) -> Vec<char> {
    word.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Optimal string alignment distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0].iter_mut().enumerate().for_each(|(j, cell)| *cell = j);
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let words = ["publisher", "feature", "version", "count", "end", "server-keys"];
        for (typed, meant) in [
            ("featrue", Some("feature")),
            ("Count", Some("count")),
            ("server_key", Some("server-keys")),
            ("ned", Some("end")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, words), meant, "{typed:?}");
        }
    }
}
