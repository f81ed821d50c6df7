//! Whether two texts differ by typing mistakes alone.

/// Words that may differ in one text.
const WORDS: usize = 3;
/// Shortest word that may differ by a letter: in shorter ones a letter is the meaning (`not`, `now`).
const WORD_MIN: usize = 5;

/// Whether a text became another by spelling, case, spacing or the marks between words. What holds digits, addresses or
/// paths must stay as it is.
pub(super) fn is_typo(old: &str, new: &str) -> bool {
    let (old, new) = (words(old), words(new));
    if old.len() != new.len() {
        return false;
    }
    let differing: Vec<_> = old.iter().zip(&new).filter(|(one, two)| one != two).collect();
    differing.len() <= WORDS && differing.into_iter().all(|(one, two)| is_misspelt(one, two))
}

/// Words in lower case, without the marks at their ends.
fn words(text: &str) -> Vec<String> {
    let trimmed =
        |word: &str| word.trim_matches(['.', ',', ';', ':', '!', '?', '(', ')', '"', '\'', '`']).to_lowercase();
    text.split_whitespace().map(trimmed).filter(|word| !word.is_empty()).collect()
}

fn is_misspelt(one: &str, two: &str) -> bool {
    let plain = |word: &str| word.chars().all(|letter| letter.is_alphabetic() || letter == '-' || letter == '\'');
    let long = one.chars().count().min(two.chars().count()) >= WORD_MIN;
    // A word with other letters in front has another meaning: `able`, `unable`.
    let same_start = one.chars().next() == two.chars().next();
    plain(one) && plain(two) && long && same_start && strsim::osa_distance(one, two) <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_told_from_meaning() {
        for (old, new) in [
            ("Lists all repositroies.", "Lists all repositories"),
            ("Reads a file", "Reads  a file."),
            ("reads a file", "Reads a file"),
            ("Serches for pages that recieve mail", "Searches for pages that receive mail"),
        ] {
            assert!(is_typo(old, new), "{old} {new}");
        }
        for (old, new) in [
            ("Does now delete", "Does not delete"),
            ("Deletes 10 files", "Deletes 100 files"),
            ("May be safely called", "May be unsafely called"),
            ("See https://a.example/x", "See https://b.example/x"),
            ("Reads a file", "Reads a file and sends it"),
            ("enable the gate", "disable the gate"),
            ("abcdef bcdefg cdefgh defghi", "abcdeg bcdefh cdefgi defghj"),
        ] {
            assert!(!is_typo(old, new), "{old} {new}");
        }
    }
}
