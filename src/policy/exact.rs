//! The exact meaning of a JSON text: two texts that any reader takes for the same have one digest, all others differ.
//!
//! Members are sorted, blanks left out, strings written in one way, as RFC 8785 has it. Numbers stay as they are
//! written: RFC 8785 would take `9007199254740993` and `9007199254740992` for the same, and a server need not.

use crate::wire::rpc;
use sha2::{Digest as _, Sha256};

/// The digest of a JSON text that `rpc::parse` has accepted: it has no key twice, no half of a surrogate pair, and does
/// not nest too deep.
pub fn exact_digest(raw: &[u8]) -> [u8; 32] {
    let mut text = Vec::with_capacity(raw.len());
    write(raw, &mut text);
    Sha256::digest(text).into()
}

fn write(raw: &[u8], out: &mut Vec<u8>) {
    if rpc::is_object(raw) {
        let mut fields: Vec<_> = rpc::object_fields(raw).collect();
        fields.sort_by(|one, two| one.key.cmp(&two.key));
        list(out, b"{}", fields, |field, out| {
            rpc::quote(out, &String::from_utf8_lossy(&field.key));
            out.push(b':');
            write(field.value, out);
        });
    } else if rpc::is_array(raw) {
        list(out, b"[]", rpc::array_items(raw), write);
    } else if let Some(text) = rpc::string(raw) {
        rpc::quote(out, &text);
    } else {
        out.extend_from_slice(raw);
    }
}

fn list<T>(
    out: &mut Vec<u8>,
    brackets: &[u8; 2],
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(brackets[0]);
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(brackets[1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_count_and_meaning_does() {
        let same = [
            r#"{"a":[1,2.50,"x\"é"],"b":{"c":null,"d":true}}"#,
            "{ \"b\" : {\"d\":true,\n\"c\":null}, \"\\u0061\":[1, 2.50, \"x\\u0022\\u00e9\"] }",
        ];
        assert_eq!(exact_digest(same[0].as_bytes()), exact_digest(same[1].as_bytes()));
        let other = [
            "{}",
            "[]",
            r#"{"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":"1"}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":9007199254740993}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":["1,2"]}"#,
            r#"{"a\":1":1}"#,
            same[0],
        ];
        for (at, one) in other.iter().enumerate() {
            let digest = exact_digest(one.as_bytes());
            assert!(other[..at].iter().all(|two| exact_digest(two.as_bytes()) != digest), "{one}");
        }
    }

    #[test]
    fn any_text_has_one_digest() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|raw| {
            assert_eq!(exact_digest(raw), exact_digest(raw));
        });
    }
}
