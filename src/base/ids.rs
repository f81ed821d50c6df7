//! Newtype ids: one per kind of thing, so that a server's number is never taken for a tool's.

use std::fmt;

/// A shard of this process, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// An upstream server's place in one `Snapshot`. Its name is what lasts; this number lives as long as the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u16);

/// A tool's place in one `Catalog`. Lives as long as the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToolId(pub u32);

/// A prompt's place in one `Catalog`. Lives as long as the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PromptId(pub u32);

/// A resource's place in one `Catalog`. Lives as long as the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId(pub u32);

/// A resource template's place in one `Catalog`. Lives as long as the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TemplateId(pub u32);

/// A distinct `Grant` of one `Snapshot`; keys with equal rights share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantId(pub u32);

/// The number of a `Snapshot`, counted up from 1 at every swap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// The number of an `Entry` in one shard's journal, counted from 1 without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

/// The public half of a virtual key: up to 16 characters of `[a-z0-9]`; `anonymous` is reserved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId {
    len: u8,
    text: [u8; 16],
}

impl KeyId {
    /// The principal of a request without a key where the configuration allows one.
    pub const ANONYMOUS: Self = {
        let mut text = [0; 16];
        let word = b"anonymous";
        let mut at = 0;
        while at < word.len() {
            text[at] = word[at];
            at += 1;
        }
        Self { len: 9, text }
    };

    /// Reads an id; nothing if it is empty, longer than 16 or holds anything but `[a-z0-9]`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let fits = (1..=16).contains(&bytes.len());
        if !fits || !bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            return None;
        }
        let mut id = Self { len: u8::try_from(bytes.len()).ok()?, text: [0; 16] };
        id.text[..bytes.len()].copy_from_slice(bytes);
        Some(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or("")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.as_str())
    }
}

/// The name of one approval: 16 letters of lower-case base32, too many to guess one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApprovalId([u8; 16]);

impl ApprovalId {
    /// Makes an id of secret random bytes: five bits of each.
    pub fn from_entropy(entropy: [u8; 16]) -> Self {
        Self(entropy.map(|byte| b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(byte & 31)]))
    }

    /// Reads an id; nothing if it is not of the exact shape.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 16] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(b)).then_some(Self(bytes))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApprovalId({})", self.as_str())
    }
}

/// Where an entry stands: in which shard's journal, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The shard.
    pub shard: ShardId,
    /// The entry.
    pub seq: Seq,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_id_takes_only_its_alphabet() {
        assert_eq!(KeyId::parse("anonymous"), Some(KeyId::ANONYMOUS));
        let id = ApprovalId::from_entropy([255; 16]);
        assert_eq!((id.as_str(), ApprovalId::parse(id.as_str())), ("7777777777777777", Some(id)));
        for bad in ["", "777777777777777", "77777777777777777", "7777777777777771", "777777777777777A"] {
            assert_eq!(ApprovalId::parse(bad), None, "{bad}");
        }
        for bad in ["", "Upper", "has_underscore", "seventeen-letters", "12345678901234567", "é"] {
            assert_eq!(KeyId::parse(bad), None, "{bad}");
        }
    }
}
