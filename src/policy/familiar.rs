//! The key that a connection presented last, so that the same one is not digested again with each request.

use super::key::{KeyRing, Principal, Refusal};
use super::token::Credential;
use crate::base::clock::WallTime;
use crate::base::ids::Epoch;
use zeroize::{Zeroize, Zeroizing};

/// A token that was found good on this connection. Wiped from memory when it is replaced or dropped.
#[derive(Default)]
pub struct Familiar(Option<Box<Known>>);

struct Known {
    token: Zeroizing<Vec<u8>>,
    /// The configuration it was found good under.
    epoch: Epoch,
}

impl Familiar {
    /// As [`KeyRing::authenticate`], without the digest where this connection presented the same token before under the
    /// same configuration. Whether the key has expired is looked at each time.
    ///
    /// # Errors
    /// As there.
    pub fn authenticate(
        &mut self,
        ring: &KeyRing,
        epoch: Epoch,
        credential: &Credential<'_>,
        now: WallTime,
    ) -> Result<Principal, Refusal> {
        let Credential::Token(token) = credential else { return ring.authenticate(credential, now) };
        // In constant time: a proxy may send other people's guesses over this connection.
        let same = |known: &Known| {
            aws_lc_rs::constant_time::verify_slices_are_equal(&known.token, token.text()).is_ok()
                && known.epoch == epoch
        };
        if self.0.as_deref().is_some_and(same)
            && let Some(principal) = ring.standing(token.id(), now)
        {
            return Ok(principal);
        }
        let principal = ring.authenticate(credential, now)?;
        self.remember(token.text(), epoch);
        Ok(principal)
    }

    /// Keys may take turns on one connection, so the room of the last one serves the next.
    fn remember(&mut self, token: &[u8], epoch: Epoch) {
        let fresh = || Box::new(Known { token: Zeroizing::new(Vec::with_capacity(token.len())), epoch });
        let known = self.0.get_or_insert_with(fresh);
        known.token.zeroize();
        known.token.extend_from_slice(token);
        known.epoch = epoch;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::GrantId;
    use crate::policy::{KeyEntry, Pepper, Presented, Token, VirtualKey};
    use std::sync::Arc;

    fn token(seed: u8) -> Token {
        Token::from_entropy(&mut [seed; Token::ENTROPY])
    }

    fn ring(tokens: &[&Token], revoked: bool) -> KeyRing {
        let pepper = || Pepper::new(&mut [7; 32]);
        let entry = |token: &&Token| {
            let mac = pepper().mac(&token.presented());
            let expires = Some(WallTime(1_000));
            let (id, rights, team, allowance) = (token.id(), Arc::default(), None, None);
            let key = VirtualKey { id, name: "k".into(), mac, expires, revoked, rights, team, allowance };
            KeyEntry { key, grant: GrantId(1), chain: None }
        };
        KeyRing::new(pepper(), tokens.iter().map(entry).collect(), None).unwrap()
    }

    #[test]
    fn what_was_good_is_good_again_until_it_ends_and_nothing_else_is() {
        let (one, two) = (token(1), token(2));
        let good = ring(&[&one, &two], false);
        let mut familiar = Familiar::default();
        let mut ask = |ring: &KeyRing, epoch, text: &str, now| {
            let credential = Presented::parse(text).map_or(Credential::Malformed, Credential::Token);
            familiar.authenticate(ring, Epoch(epoch), &credential, WallTime(now)).map(|principal| principal.key)
        };
        for _ in 0..2 {
            assert_eq!(ask(&good, 1, one.reveal(), 10), Ok(one.id()));
        }
        // The same id with another secret.
        let guess = one.reveal()[..16].to_owned() + &two.reveal()[16..];
        assert_eq!(ask(&good, 1, &guess, 10), Err(Refusal::Unknown));
        assert_eq!(ask(&good, 1, two.reveal(), 10), Ok(two.id()));
        assert_eq!(ask(&good, 1, two.reveal(), 1_000), Err(Refusal::Expired));
        assert_eq!(ask(&good, 1, "tg_nonsense", 10), Err(Refusal::Malformed));
        // A new configuration has its own say.
        assert_eq!(ask(&ring(&[&two], true), 2, two.reveal(), 10), Err(Refusal::Revoked));
        assert_eq!(ask(&ring(&[&one], false), 3, two.reveal(), 10), Err(Refusal::Unknown));
    }
}
