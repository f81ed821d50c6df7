//! Ids of the events on a legacy session's streams (2025-11-25 transports, resumability): a client whose connection
//! breaks comes back with the last one it had.
//!
//! An id is the stream it belongs to, sealed, and the event's place in it: `STREAM.7`, or `STREAM.7e` where nothing
//! comes after. The seal names the session, so no other session's id is taken for one of its own. The place is not
//! sealed: who alters it asks for another part of what was said to them anyway.

use super::seal::{Purpose, Reader, Sealing, Writer, sealed_len};
use crate::base::ids::ShardId;
use crate::base::limits::{EVENT_ID_MAX, RPC_ID_MAX};

/// Longest plain state: session, shard, number, the raw id of a request.
const STATE_MAX: usize = 16 + 2 + 8 + RPC_ID_MAX;
/// Longest place, with its dot and the mark of a last event.
const PLACE_MAX: usize = 22;
/// Stands behind the place of the last event.
const LAST: &str = "e";

const _: () = assert!(sealed_len(STATE_MAX) + PLACE_MAX <= EVENT_ID_MAX);

/// A stream of a legacy session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventStream {
    /// What tells its session from every other.
    pub session: [u8; 16],
    /// The shard that keeps it.
    pub shard: ShardId,
    /// Its number there.
    pub number: u64,
    /// The raw id of the request that it answers; nothing for a GET stream.
    pub request: Option<Box<[u8]>>,
}

/// An id that a client came back with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventId {
    /// The stream of the event.
    pub stream: EventStream,
    /// Its place in it.
    pub at: u64,
    /// Whether nothing comes after it.
    pub is_last: bool,
}

/// What stands for a stream in the ids of its events.
pub fn seal(sealing: &Sealing, stream: &EventStream) -> String {
    let mut out = Writer::new(STATE_MAX);
    out.bytes(&stream.session).bytes(&stream.shard.0.to_le_bytes()).bytes(&stream.number.to_le_bytes());
    out.bytes(stream.request.as_deref().unwrap_or_default());
    sealing.seal(Purpose::Stream, out.finish())
}

/// The id of an event at this place of a stream.
pub fn event_id(sealed: &str, at: u64, is_last: bool) -> String {
    format!("{sealed}.{at}{}", if is_last { LAST } else { "" })
}

/// Opens an id that is presented in a session. Nothing, whatever it is that is wrong with it: not ours, altered, or
/// another session's.
pub fn open(sealing: &Sealing, text: &str, session: &[u8; 16]) -> Option<EventId> {
    let (sealed, place) = text.rsplit_once('.').filter(|_| text.len() <= EVENT_ID_MAX)?;
    let (place, is_last) = place.strip_suffix(LAST).map_or((place, false), |place| (place, true));
    let at = place.parse().ok().filter(|_| place.bytes().all(|byte| byte.is_ascii_digit()))?;
    let stream = decode(&sealing.open(Purpose::Stream, sealed, EVENT_ID_MAX)?)?;
    (stream.session == *session).then_some(EventId { stream, at, is_last })
}

fn decode(state: &[u8]) -> Option<EventStream> {
    let mut state = Reader::new(state);
    let session = state.bytes()?;
    let shard = ShardId(u16::from_le_bytes(state.bytes()?));
    let number = u64::from_le_bytes(state.bytes()?);
    let request = Some(state.rest()).filter(|raw| !raw.is_empty()).map(Box::from);
    Some(EventStream { session, shard, number, request })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(request: Option<&[u8]>) -> EventStream {
        EventStream { session: [7; 16], shard: ShardId(3), number: u64::MAX - 1, request: request.map(Box::from) }
    }

    #[test]
    fn an_id_opens_in_its_own_session_alone() {
        let (sealing, foreign) = (Sealing::new(&[1; 32]), Sealing::new(&[2; 32]));
        for request in [None, Some(&b"\"a\""[..])] {
            let sealed = seal(&sealing, &stream(request));
            for (at, is_last) in [(0, false), (41, true), (u64::MAX, true)] {
                let id = event_id(&sealed, at, is_last);
                let opened = open(&sealing, &id, &[7; 16]).unwrap();
                assert_eq!(opened, EventId { stream: stream(request), at, is_last });
                assert_eq!(open(&sealing, &id, &[8; 16]), None, "another session");
                assert_eq!(open(&foreign, &id, &[7; 16]), None, "another gate");
            }
        }
    }

    #[test]
    fn the_longest_id_fits_and_ids_are_one_visible_word() {
        let sealing = Sealing::new(&[1; 32]);
        let id = event_id(&seal(&sealing, &stream(Some(&[b'9'; RPC_ID_MAX]))), u64::MAX, true);
        assert!(id.len() <= EVENT_ID_MAX && id.bytes().all(|byte| byte.is_ascii_graphic()), "{}", id.len());
        assert!(open(&sealing, &id, &[7; 16]).is_some());
    }

    #[test]
    fn what_is_altered_is_no_id() {
        let sealing = Sealing::new(&[1; 32]);
        let sealed = seal(&sealing, &stream(None));
        for place in ["", ".", ".e", ".-1", ".+1", ".1 ", ".1ee", ".1e1", ".99999999999999999999", "1"] {
            assert_eq!(open(&sealing, &format!("{sealed}{place}"), &[7; 16]), None, "{place}");
        }
        for at in 0..sealed.len() {
            let mut altered = sealed.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert_eq!(open(&sealing, &event_id(&altered, 1, false), &[7; 16]), None, "{at}");
        }
        let task = sealing.seal(Purpose::Task, [0; 40].to_vec());
        assert_eq!(open(&sealing, &event_id(&task, 1, false), &[0; 16]), None, "sealed for something else");
    }

    #[test]
    fn any_text_is_refused_without_panic() {
        let sealing = Sealing::new(&[1; 32]);
        bolero::check!().with_type::<(String, Vec<u8>)>().for_each(|(text, state)| {
            assert_eq!(open(&sealing, text, &[0; 16]), None);
            let _ = decode(state);
        });
    }
}
