//! Standard input as lines, by a thread that may block; standard output as lines.

use crate::base::error::{Error, Kind, Result};
use crate::base::limits::STDIO_LINE_MAX;
use crate::rt::mailbox::{Sender, TrySend};
use crate::wire::rpc;
use std::io::{self, BufRead, Read as _, Write as _};
use std::time::Duration;

/// Pause before a line is offered again to a bridge that is busy.
const PAUSE: Duration = Duration::from_millis(2);

/// Reads standard input to its end on a thread of its own; the mailbox ends with it.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn read_stdin(sender: Sender<Vec<u8>>) -> Result<()> {
    let reader = move || {
        if let Err(error) = read(&mut io::stdin().lock(), &sender) {
            tracing::error!("standard input: {error}");
        }
    };
    std::thread::Builder::new().name("stdin".into()).spawn(reader)?;
    Ok(())
}

/// Sends every line that is not blank, without its end.
pub(super) fn read(input: &mut impl BufRead, sender: &Sender<Vec<u8>>) -> Result<()> {
    loop {
        let mut line = Vec::new();
        let max = u64::try_from(STDIO_LINE_MAX).unwrap_or(u64::MAX);
        let got = input.by_ref().take(max).read_until(b'\n', &mut line)?;
        if got == STDIO_LINE_MAX && line.last() != Some(&b'\n') {
            return Err(Error::new(Kind::TooLarge, format!("a line is longer than {STDIO_LINE_MAX} bytes")));
        }
        let blank = line.iter().all(u8::is_ascii_whitespace);
        if !blank && !offer(sender, line) {
            return Ok(());
        }
        if got == 0 {
            return Ok(());
        }
    }
}

/// Hands a line over, waiting while there is no room; false if nobody takes lines any more.
fn offer(sender: &Sender<Vec<u8>>, mut line: Vec<u8>) -> bool {
    loop {
        match sender.try_send(line) {
            Ok(()) => return true,
            Err(TrySend::Full(back)) => line = back,
            Err(TrySend::Closed(_)) => return false,
        }
        std::thread::park_timeout(PAUSE);
    }
}

/// Where answers go, one line each.
pub(super) trait Output: 'static {
    /// Writes one message, on one line.
    ///
    /// # Errors
    /// Nobody reads any more.
    fn message(&self, message: Vec<u8>) -> Result<()>;
}

/// Standard output. It blocks while its reader is slow, and the bridge with it: there is one client.
pub(super) struct Stdout;

impl Output for Stdout {
    fn message(&self, mut message: Vec<u8>) -> Result<()> {
        rpc::one_line(&mut message);
        message.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&message).and_then(|()| out.flush()).map_err(|error| Error::from(error).at("standard output"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::mailbox;

    #[test]
    fn lines_come_whole_and_blank_ones_not_at_all() {
        let (sender, mut receiver) = mailbox::try_mailbox(8).expect("an eventfd");
        read(&mut &b"{}\n\n  \r\n{\"a\":1}\r\nlast"[..], &sender).expect("lines");
        let lines: Vec<Vec<u8>> = std::iter::from_fn(|| receiver.try_recv()).collect();
        assert_eq!(lines, [&b"{}\n"[..], b"{\"a\":1}\r\n", b"last"]);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let (sender, _receiver) = mailbox::try_mailbox(8).expect("an eventfd");
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        assert_eq!(read(&mut endless, &sender).expect_err("endless").kind, Kind::TooLarge);
    }

    #[test]
    fn reading_ends_when_nobody_listens() {
        let (sender, receiver) = mailbox::try_mailbox(1).expect("an eventfd");
        drop(receiver);
        read(&mut io::BufReader::new(&b"a\nb\nc\n"[..]), &sender).expect("ended");
    }
}
