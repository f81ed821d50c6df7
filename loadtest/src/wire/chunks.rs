//! Chunked transfer coding (RFC 9112, 7.1), fed in any pieces. Extensions and trailers are skipped.

/// Where in the coding the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    SizeRest,
    Data,
    AfterData,
    TrailerStart,
    Trailer,
    Done,
}

/// Takes a chunked body apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunks {
    state: State,
    /// Bytes left of the current chunk; its size while that is read.
    left: usize,
    digits: u8,
}

/// Most hex digits of a chunk's size that are believed.
const DIGITS_MAX: u8 = 8;

impl Chunks {
    /// Decodes, appending to `body`; how many bytes of `input` belonged to this body. Nothing if it is malformed.
    pub(super) fn decode(&mut self, input: &[u8], body: &mut Vec<u8>) -> Option<usize> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let some = self.left.min(input.len() - at);
                body.extend_from_slice(&input[at..at + some]);
                self.left -= some;
                at += some;
                if self.left == 0 {
                    self.state = State::AfterData;
                }
            } else {
                self.step(input[at])?;
                at += 1;
            }
        }
        Some(at)
    }

    /// Whether the last chunk and the trailers are read.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn step(&mut self, byte: u8) -> Option<()> {
        self.state = match (self.state, byte) {
            (State::Size, b'\n') => self.after_size()?,
            (State::Size, b'\r' | b';' | b' ' | b'\t') => State::SizeRest,
            (State::Size, _) => self.digit(byte)?,
            (State::SizeRest, b'\n') => self.after_size()?,
            (State::AfterData, b'\n') => State::Size,
            (State::AfterData, b'\r') => State::AfterData,
            (State::AfterData, _) => return None,
            (State::TrailerStart, b'\n') => State::Done,
            (State::Trailer, b'\n') => State::TrailerStart,
            (State::TrailerStart, b'\r') => State::TrailerStart,
            (State::TrailerStart, _) => State::Trailer,
            (other, _) => other,
        };
        Some(())
    }

    fn digit(&mut self, byte: u8) -> Option<State> {
        let digit = char::from(byte).to_digit(16)?;
        self.digits += 1;
        self.left = self.left << 4 | digit as usize;
        (self.digits <= DIGITS_MAX).then_some(State::Size)
    }

    fn after_size(&mut self) -> Option<State> {
        let digits = std::mem::take(&mut self.digits);
        match self.left {
            _ if digits == 0 => None,
            0 => Some(State::TrailerStart),
            _ => Some(State::Data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: &[u8] = b"5\r\nhello\r\n00a; x=y\r\n, chunked!\r\n0\r\nTrailer: 1\r\n\r\nnext";

    #[test]
    fn any_split_gives_the_same_body() {
        for cut in 0..WIRE.len() {
            let (mut chunks, mut body, mut used) = (Chunks::default(), Vec::new(), 0);
            for piece in [&WIRE[..cut], &WIRE[cut..]] {
                used += chunks.decode(piece, &mut body).unwrap();
            }
            assert!(chunks.is_done(), "{cut}");
            assert_eq!((&body[..], &WIRE[used..]), (&b"hello, chunked!"[..], &b"next"[..]));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for wire in ["x\r\n", "\r\n", "3\r\nabcd", "fffffffff\r\n"] {
            assert_eq!(Chunks::default().decode(wire.as_bytes(), &mut Vec::new()), None, "{wire}");
        }
    }
}
