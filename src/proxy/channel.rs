//! One side of a connection: a socket, with or without TLS, and a bounded number of bytes in memory.
//!
//! Bytes pass through buffers that belong to the thread. A connection has memory of its own only for a TLS record that has not
//! arrived completely and for bytes that the peer has not taken yet, so an idle one has none.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, ErrorKind},
    task::{Context, Poll, ready},
};

use super::tls::TlsSession;
use crate::platform::stream::Stream;

/// The most that one system call reads or writes.
const CHUNK: usize = 128 * 1024;
/// What TLS adds to that: at most 22 bytes a record in TLS 1.3, 29 in TLS 1.2, and now and then a record of its own.
const TLS_OVERHEAD: usize = 1024;

/// The buffers of a thread.
pub(super) struct Buffers {
    pub input: Input,
    /// TLS records on their way to the network.
    pub encrypted: Box<[u8]>,
}

/// The buffers that a channel receives into.
pub(super) struct Input {
    /// Bytes from the network.
    received: Box<[u8]>,
    /// The same bytes decrypted.
    plain: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        input: Input { received: vec![0; CHUNK].into(), plain: Vec::with_capacity(CHUNK) },
        encrypted: vec![0; CHUNK + TLS_OVERHEAD].into(),
    });
}

/// Lends out this thread's buffers.
pub(super) fn with_buffers<T>(f: impl FnOnce(&mut Buffers) -> T) -> T {
    BUFFERS.with_borrow_mut(f)
}

/// One side of a connection.
#[derive(Debug)]
pub struct Channel {
    stream: Stream,
    tls: Option<Box<TlsSession>>,
    /// The beginning of a TLS record.
    incoming: Vec<u8>,
    outgoing: Outgoing,
    /// The peer sends nothing more.
    ended: bool,
    /// The end of what is sent has been announced in TLS.
    closing: bool,
}

/// Bytes that the socket has not taken yet.
#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    /// How many of them it has taken in the meantime.
    sent: usize,
}

impl Outgoing {
    fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            self.sent += ready!(stream.poll_write(cx, &self.bytes[self.sent..]))?;
        }
        if self.sent > 0 {
            *self = Self::default();
        }
        Poll::Ready(Ok(()))
    }
}

impl Channel {
    /// Creates a channel without TLS.
    #[must_use]
    pub const fn new(stream: Stream) -> Self {
        let outgoing = Outgoing { bytes: Vec::new(), sent: 0 };
        Self { stream, tls: None, incoming: Vec::new(), outgoing, ended: false, closing: false }
    }

    /// Return whether the channel uses TLS.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Return whether the peer has ended.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Receives what the peer has sent, decrypted. Nothing comes at the end and after a step of the TLS handshake.
    pub(super) fn poll_receive<'input>(
        &mut self,
        cx: &mut Context<'_>,
        input: &'input mut Input,
    ) -> Poll<io::Result<&'input [u8]>> {
        if self.ended {
            return Poll::Ready(Ok(&[]));
        }
        if self.tls.is_some() {
            input.plain.clear();
            ready!(self.poll_decrypt(cx, input))?;
            return Poll::Ready(Ok(&input.plain));
        }
        let count = ready!(self.stream.poll_read(cx, &mut input.received))?;
        self.ended = count == 0;
        Poll::Ready(Ok(&input.received[..count]))
    }

    fn poll_decrypt(&mut self, cx: &mut Context<'_>, Input { received, plain }: &mut Input) -> Poll<io::Result<()>> {
        let Some(tls) = &mut self.tls else { return Poll::Ready(Ok(())) };
        let handshaking = tls.is_handshaking();
        while plain.is_empty() && !self.ended {
            // TLS' own messages: the peer may be waiting for them. Only now, so that what is sent after a handshake takes the end of
            // the handshake along, which saves a packet and wakes the peer once.
            if let Poll::Ready(flushed) = self.outgoing.poll_flush(&mut self.stream, cx) {
                flushed?;
            }
            let begun = self.incoming.len();
            received[..begun].copy_from_slice(&self.incoming);
            let count = ready!(self.stream.poll_read(cx, &mut received[begun..]))?;
            if count == 0 {
                self.ended = true;
                break;
            }
            let filled = begun + count;
            let decrypted =
                tls.decrypt(&mut received[..filled], plain, &mut self.outgoing.bytes).inspect_err(|_| {
                    // The alert about it.
                    let _ = self.outgoing.poll_flush(&mut self.stream, cx);
                })?;
            keep(&mut self.incoming, &received[decrypted.used..filled]);
            if self.incoming.len() >= received.len() {
                return Poll::Ready(Err(ErrorKind::InvalidData.into()));
            }
            self.ended = decrypted.closed;
            if handshaking {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends as much as the socket takes and keeps the rest.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, plain: &[u8], encrypted: &mut [u8]) -> io::Result<()> {
        let bytes = match &mut self.tls {
            Some(tls) => {
                let length = tls.encrypt(plain, encrypted, &mut self.outgoing.bytes)?;
                &encrypted[..length]
            }
            None => plain,
        };
        let mut written = 0;
        while self.outgoing.bytes.is_empty() && written < bytes.len() {
            match self.stream.poll_write(cx, &bytes[written..]) {
                Poll::Ready(count) => written += count?,
                Poll::Pending => break,
            }
        }
        if written < bytes.len() {
            self.outgoing.bytes.extend_from_slice(&bytes[written..]);
        }
        Ok(())
    }

    /// Sends what was kept.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_flush(&mut self.stream, cx)
    }

    /// Sends what was kept, and tells the peer that nothing more will follow.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            self.closing = true;
            if let Some(tls) = &mut self.tls {
                tls.close(&mut self.outgoing.bytes);
            }
        }
        ready!(self.poll_flush(cx))?;
        Poll::Ready(self.stream.shutdown())
    }

    /// Stops watching for room to write unless some is needed. If it returns true, the channel has to be polled again.
    pub(super) fn unwatch_room(&mut self) -> io::Result<bool> {
        if self.outgoing.bytes.is_empty() { self.stream.unwatch_room() } else { Ok(false) }
    }

    /// See [`Stream::set_low_water`].
    pub(super) fn set_low_water(&self, bytes: i32) {
        self.stream.set_low_water(bytes);
    }

    /// Receives at least one byte more and appends it to `plain`, unless the peer has ended. Return the number of bytes, which
    /// may be 0 during the TLS handshake, too.
    ///
    /// # Errors
    /// The connection is broken, or the bytes are not TLS.
    pub async fn receive(&mut self, plain: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| {
            with_buffers(|buffers| {
                let received = ready!(self.poll_receive(cx, &mut buffers.input))?;
                plain.extend_from_slice(received);
                Poll::Ready(Ok(received.len()))
            })
        })
        .await
    }

    /// Receives exactly one byte, without TLS. What follows it may be TLS.
    ///
    /// # Errors
    /// The connection is broken or has ended.
    pub async fn receive_byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        match poll_fn(|cx| self.stream.poll_read(cx, &mut byte)).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(byte[0]),
        }
    }

    /// Sends all bytes.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn send(&mut self, plain: &[u8]) -> io::Result<()> {
        for part in plain.chunks(CHUNK) {
            poll_fn(|cx| Poll::Ready(with_buffers(|buffers| self.poll_send(cx, part, &mut buffers.encrypted)))).await?;
            poll_fn(|cx| self.poll_flush(cx)).await?;
        }
        Ok(())
    }

    /// Continues under TLS. Data that arrives together with the end of the handshake is appended to `plain`; this side's end of
    /// the handshake leaves with what is sent next, or before the next wait for the peer.
    ///
    /// # Errors
    /// The connection is broken, the peer does not speak TLS, or its certificate is not trusted.
    pub async fn encrypt(&mut self, mut tls: TlsSession, plain: &mut Vec<u8>) -> io::Result<()> {
        tls.decrypt(&mut [], plain, &mut self.outgoing.bytes)?;
        self.tls = Some(Box::new(tls));
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            self.receive(plain).await?;
            if self.ended {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Tells the peer that nothing more will be sent.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn close(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_close(cx)).await
    }

    /// Receives and discards a bounded number of bytes until the peer ends. Without this it may lose what was sent last: closing
    /// a TCP socket that holds unread bytes resets the connection.
    pub async fn drain(&mut self) {
        let mut discarded = Vec::new();
        let mut left = CHUNK;
        while let Ok(count @ 1..) = self.receive(&mut discarded).await {
            discarded.clear();
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
    }
}

/// Replaces what is kept, in no more memory than it needs.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() {
        *kept = Vec::new();
    } else {
        kept.clear();
        kept.extend_from_slice(bytes);
    }
}
