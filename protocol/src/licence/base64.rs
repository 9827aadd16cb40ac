//! Bytes as base64 text: the standard alphabet of RFC 4648, no padding.
//!
//! Hand-made because it is twenty lines and the SDK's dependency tree is counted. Strict: every text decodes to bytes that
//! encode to that text again, or to nothing.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `bytes` as base64.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(group >> (18 - 6 * i) & 63) as usize]));
        }
    }
    out
}

/// The bytes that `text` spells, or `None` if a character is not of the alphabet, the length is impossible, or bits that
/// stand for nothing are set.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let group = chunk.iter().try_fold(0u32, |group, &c| Some(group << 6 | value(c)?))?;
        let spare_bits = match chunk.len() {
            4 => 0,
            3 => 2,
            2 => 4,
            _ => return None,
        };
        if group & ((1 << spare_bits) - 1) != 0 {
            return None;
        }
        let bytes = (group >> spare_bits).to_be_bytes();
        out.extend_from_slice(&bytes[4 - chunk.len() * 6 / 8..]);
    }
    Some(out)
}

fn value(c: u8) -> Option<u32> {
    ALPHABET.iter().position(|&a| a == c).and_then(|at| u32::try_from(at).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold_without_their_padding() {
        for (bytes, text) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
    }

    #[test]
    fn only_what_encodes_back_to_itself_decodes() {
        for bad in ["Z", "Zg==", "Zh", "Zm9", "Zm9vZ", "Zm 8", "Zm-8", "é"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
