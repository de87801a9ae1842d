//! One side of a connection: a socket, with or without TLS, that never holds more than a bounded number of bytes.
//!
//! What passes through uses buffers that belong to the thread. A connection has memory of its own only for what is left over:
//! the beginning of a TLS record whose end has not come, and bytes that its peer has not taken yet. An idle one has neither.

use std::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustls::{
    client::{ClientConnectionData, UnbufferedClientConnection},
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::platform::local_socket;

/// What one system call reads or writes at most.
const AT_ONCE: usize = 128 * 1024;
/// What TLS adds to that many bytes: at most 22 bytes a record in TLS 1.3, 29 in TLS 1.2, and a record of its own now and then.
const OVERHEAD: usize = 1024;

struct Scratch {
    /// As it comes from the network.
    received: Box<[u8]>,
    /// Without TLS.
    plain: Vec<u8>,
    /// For the network.
    encrypted: Box<[u8]>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        received: vec![0; AT_ONCE].into(),
        plain: Vec::with_capacity(AT_ONCE),
        encrypted: vec![0; AT_ONCE + OVERHEAD].into(),
    });
}

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// Of this machine or another.
    Tcp(TcpStream),
    /// Of this machine.
    Local(local_socket::AsyncStream),
}

impl Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Local(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Local(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        written.map(|written| {
            written.and_then(|count| if count == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(count) })
        })
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Local(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// TLS as either side.
pub enum Tls {
    /// Towards the server.
    Client(UnbufferedClientConnection),
    /// Towards a client.
    Server(UnbufferedServerConnection),
}

impl Tls {
    fn is_handshaking(&self) -> bool {
        match self {
            Self::Client(session) => session.is_handshaking(),
            Self::Server(session) => session.is_handshaking(),
        }
    }

    /// Decrypts whole records into `plain`; what TLS itself has to say goes to `outgoing`.
    fn decrypt(&mut self, received: &mut [u8], plain: &mut Vec<u8>, outgoing: &mut Vec<u8>) -> io::Result<Decrypted> {
        match self {
            Self::Client(session) => decrypt(session, received, plain, outgoing),
            Self::Server(session) => decrypt(session, received, plain, outgoing),
        }
    }

    /// Encrypts all of `plain` into `encrypted`, and says how long that is.
    fn encrypt(&mut self, plain: &[u8], encrypted: &mut [u8], outgoing: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Client(session) => write(session, outgoing, |traffic| traffic.encrypt(plain, encrypted)),
            Self::Server(session) => write(session, outgoing, |traffic| traffic.encrypt(plain, encrypted)),
        }
    }

    /// Says that nothing more will be sent.
    fn close(&mut self, outgoing: &mut Vec<u8>) {
        let mut alert = [0; 64];
        let length = match self {
            Self::Client(session) => write(session, outgoing, |traffic| traffic.queue_close_notify(&mut alert)),
            Self::Server(session) => write(session, outgoing, |traffic| traffic.queue_close_notify(&mut alert)),
        };
        // Err: the session has failed, or never began.
        outgoing.extend_from_slice(&alert[..length.unwrap_or(0)]);
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

trait Session {
    type Data;
    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Session for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(received)
    }
}

impl Session for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(received)
    }
}

/// What became of some bytes.
#[derive(Default)]
struct Decrypted {
    /// So many of them are done with.
    used: usize,
    /// The peer has said that it sends nothing any more.
    closed: bool,
}

fn decrypt<S: Session>(
    session: &mut S,
    received: &mut [u8],
    plain: &mut Vec<u8>,
    outgoing: &mut Vec<u8>,
) -> io::Result<Decrypted> {
    let mut done = Decrypted::default();
    loop {
        let UnbufferedStatus { mut discard, state } = session.process(&mut received[done.used..]);
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                tell_why(session, outgoing);
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        };
        let goes_on = match state {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
                true
            }
            ConnectionState::EncodeTlsData(mut data) => {
                append(outgoing, |buffer| data.encode(buffer))?;
                true
            }
            ConnectionState::TransmitTlsData(data) => {
                // It waits in `outgoing`, ahead of all that comes later.
                data.done();
                true
            }
            ConnectionState::PeerClosed => {
                done.closed = true;
                true
            }
            ConnectionState::Closed => {
                done.closed = true;
                false
            }
            _ => false,
        };
        done.used += discard;
        if !goes_on {
            return Ok(done);
        }
    }
}

/// After an error: the alert that says what it was.
fn tell_why<S: Session>(session: &mut S, outgoing: &mut Vec<u8>) {
    while let Ok(ConnectionState::EncodeTlsData(mut data)) = session.process(&mut []).state {
        if append(outgoing, |buffer| data.encode(buffer)).is_err() {
            return;
        }
    }
}

fn append(outgoing: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) -> io::Result<()> {
    let begin = outgoing.len();
    let mut room = 1024;
    loop {
        outgoing.resize(begin + room, 0);
        match encode(&mut outgoing[begin..]) {
            Ok(length) => {
                outgoing.truncate(begin + length);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) if required_size > room => {
                room = required_size;
            }
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

/// Has `encode` write application data; what TLS itself has to say first goes to `outgoing`.
fn write<S: Session>(
    session: &mut S,
    outgoing: &mut Vec<u8>,
    encode: impl FnOnce(&mut WriteTraffic<'_, S::Data>) -> Result<usize, EncryptError>,
) -> io::Result<usize> {
    loop {
        match session.process(&mut []).state.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))? {
            ConnectionState::WriteTraffic(mut traffic) => return encode(&mut traffic).map_err(io::Error::other),
            ConnectionState::EncodeTlsData(mut data) => append(outgoing, |buffer| data.encode(buffer))?,
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => {}
            _ => return Err(ErrorKind::NotConnected.into()),
        }
    }
}

/// One side of a connection.
#[derive(Debug)]
pub struct Channel {
    socket: Socket,
    tls: Option<Box<Tls>>,
    /// The beginning of a TLS record.
    incoming: Vec<u8>,
    /// What the socket has not taken yet, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    /// Nothing more will come.
    ended: bool,
    /// TLS has been told that nothing more will go.
    closing: bool,
}

impl Channel {
    /// Without TLS as yet.
    #[must_use]
    pub const fn new(socket: Socket) -> Self {
        Self { socket, tls: None, incoming: Vec::new(), outgoing: Vec::new(), sent: 0, ended: false, closing: false }
    }

    /// Whether it has TLS.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Takes what the peer has sent, in plain text: so many bytes have been added to `plain`; none at the end, or after a
    /// step of TLS' handshake.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let Some(tls) = &mut self.tls else {
            let count = ready!(self.poll_receive_plain(cx, received))?;
            plain.extend_from_slice(&received[..count]);
            return Poll::Ready(Ok(count));
        };
        let before = plain.len();
        loop {
            let begun = self.incoming.len();
            received[..begun].copy_from_slice(&self.incoming);
            let mut buffer = ReadBuf::new(&mut received[begun..]);
            ready!(self.socket.poll_read(cx, &mut buffer))?;
            let filled = begun + buffer.filled().len();
            if filled == begun {
                self.ended = true;
                return Poll::Ready(Ok(0));
            }
            let handshaking = tls.is_handshaking();
            let decrypted = tls.decrypt(&mut received[..filled], plain, &mut self.outgoing);
            // An alert, or the answer to what TLS asked: nobody else may have anything to send for a long time.
            let flushed = flush(&mut self.socket, cx, &mut self.outgoing, &mut self.sent);
            let decrypted = decrypted?;
            if let Poll::Ready(Err(error)) = flushed {
                return Poll::Ready(Err(error));
            }
            keep(&mut self.incoming, &received[decrypted.used..filled]);
            if self.incoming.len() >= received.len() {
                return Poll::Ready(Err(ErrorKind::InvalidData.into()));
            }
            self.ended = decrypted.closed;
            if plain.len() > before || self.ended || handshaking {
                return Poll::Ready(Ok(plain.len() - before));
            }
        }
    }

    /// The same without TLS, where the bytes are left as they come: at the beginning of `received`.
    fn poll_receive_plain(&mut self, cx: &mut Context<'_>, received: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let mut buffer = ReadBuf::new(received);
        ready!(self.socket.poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        self.ended = count == 0;
        Poll::Ready(Ok(count))
    }

    /// Sends as much as the socket takes, and keeps the rest.
    fn poll_send(&mut self, cx: &mut Context<'_>, plain: &[u8], encrypted: &mut [u8]) -> io::Result<()> {
        let bytes = match &mut self.tls {
            Some(tls) => {
                let length = tls.encrypt(plain, encrypted, &mut self.outgoing)?;
                &encrypted[..length]
            }
            None => plain,
        };
        let mut written = 0;
        while self.outgoing.is_empty() && written < bytes.len() {
            match self.socket.poll_write(cx, &bytes[written..]) {
                Poll::Ready(count) => written += count?,
                Poll::Pending => break,
            }
        }
        if written < bytes.len() {
            self.outgoing.extend_from_slice(&bytes[written..]);
        }
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        flush(&mut self.socket, cx, &mut self.outgoing, &mut self.sent)
    }

    /// Sends the rest, and that there will be no more.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            self.closing = true;
            if let Some(tls) = &mut self.tls {
                tls.close(&mut self.outgoing);
            }
        }
        ready!(self.poll_flush(cx))?;
        self.socket.poll_shutdown(cx)
    }

    /// Receives at least one byte more into `plain`, unless the peer has ended.
    ///
    /// # Errors
    /// The connection is broken, or what came is not TLS.
    pub async fn receive(&mut self, plain: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| SCRATCH.with_borrow_mut(|scratch| self.poll_receive(cx, &mut scratch.received, plain))).await
    }

    /// The same for exactly one byte: what comes after it is not ours yet.
    ///
    /// # Errors
    /// The connection is broken, or has ended.
    pub async fn receive_byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut byte);
            ready!(self.socket.poll_read(cx, &mut buffer))?;
            let ended = buffer.filled().is_empty();
            Poll::Ready(if ended { Err(io::Error::from(ErrorKind::UnexpectedEof)) } else { Ok(()) })
        })
        .await?;
        Ok(byte[0])
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn send(&mut self, plain: &[u8]) -> io::Result<()> {
        for part in plain.chunks(AT_ONCE) {
            poll_fn(|cx| self.poll_flush(cx)).await?;
            poll_fn(|cx| {
                let sent = SCRATCH.with_borrow_mut(|scratch| self.poll_send(cx, part, &mut scratch.encrypted));
                Poll::Ready(sent)
            })
            .await?;
        }
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Goes on under TLS. What comes with the end of the peer's handshake is added to `plain`.
    ///
    /// # Errors
    /// The connection is broken, the peer speaks something else, or its certificate is not to be trusted.
    pub async fn encrypt(&mut self, mut tls: Tls, plain: &mut Vec<u8>) -> io::Result<()> {
        tls.decrypt(&mut [], plain, &mut self.outgoing)?;
        self.tls = Some(Box::new(tls));
        loop {
            poll_fn(|cx| self.poll_flush(cx)).await?;
            if !self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
                return Ok(());
            }
            self.receive(plain).await?;
            if self.ended {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Says that nothing more will come.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn close(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_close(cx)).await
    }

    /// Waits until the peer ends as well, so that it gets what was sent last: closing a TCP socket that holds unread bytes
    /// resets the connection.
    pub async fn drain(&mut self) {
        let mut passed_over = Vec::new();
        let mut left = AT_ONCE;
        while let Ok(count @ 1..) = self.receive(&mut passed_over).await {
            passed_over.clear();
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
    }
}

fn flush(socket: &mut Socket, cx: &mut Context<'_>, outgoing: &mut Vec<u8>, sent: &mut usize) -> Poll<io::Result<()>> {
    while *sent < outgoing.len() {
        *sent += ready!(socket.poll_write(cx, &outgoing[*sent..]))?;
    }
    if outgoing.capacity() > 0 {
        *outgoing = Vec::new();
        *sent = 0;
    }
    Poll::Ready(Ok(()))
}

/// Makes `bytes` all that `kept` holds, without room to spare.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() {
        *kept = Vec::new();
    } else {
        kept.clear();
        kept.extend_from_slice(bytes);
    }
}

/// How far one direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Bytes may come.
    Open,
    /// The sender has ended; the receiver is being told.
    Closing,
    /// The receiver knows.
    Closed,
}

/// Which side failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The one that bytes come from.
    From,
    /// The one that they go to.
    To,
}

/// Passes on what is there, until one side has to be waited for. Nothing is read before everything that was read has been
/// taken by the other side.
///
/// # Errors
/// Either side is broken.
pub fn pump(
    cx: &mut Context<'_>,
    from: &mut Channel,
    to: &mut Channel,
    flow: &mut Flow,
    bytes: &mut u64,
) -> Result<(), Broken> {
    SCRATCH.with_borrow_mut(|Scratch { received, plain, encrypted }| {
        while *flow == Flow::Open {
            match to.poll_flush(cx) {
                Poll::Ready(flushed) => flushed.map_err(|_| Broken::To)?,
                Poll::Pending => return Ok(()),
            }
            plain.clear();
            let polled = if from.is_encrypted() {
                from.poll_receive(cx, received, plain)
            } else {
                from.poll_receive_plain(cx, received)
            };
            let Poll::Ready(count) = polled else { return Ok(()) };
            let count = count.map_err(|_| Broken::From)?;
            *bytes += count as u64;
            if count > 0 {
                let bytes = if from.is_encrypted() { &plain[..] } else { &received[..count] };
                to.poll_send(cx, bytes, encrypted).map_err(|_| Broken::To)?;
            }
            if from.ended {
                *flow = Flow::Closing;
            }
        }
        if *flow == Flow::Closing
            && let Poll::Ready(closed) = to.poll_close(cx)
        {
            closed.map_err(|_| Broken::To)?;
            *flow = Flow::Closed;
        }
        Ok(())
    })
}
