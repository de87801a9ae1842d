//! A TLS session: encrypts and decrypts in buffers of the caller.
//!
//! rustls' unbuffered API keeps nothing of what passes through, so an idle connection takes no memory for it.

use std::{
    fmt,
    io::{self, ErrorKind},
};

use rustls::{
    client::{ClientConnectionData, UnbufferedClientConnection},
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic},
};

/// A TLS session in either role.
pub enum TlsSession {
    /// With the server.
    Client(UnbufferedClientConnection),
    /// With a client.
    Server(UnbufferedServerConnection),
}

impl TlsSession {
    /// Return whether the handshake is still under way.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        match self {
            Self::Client(session) => session.is_handshaking(),
            Self::Server(session) => session.is_handshaking(),
        }
    }

    /// Decrypts complete records and appends them to `plain`. TLS' own messages, such as those of the handshake and alerts, are
    /// appended to `outgoing`.
    ///
    /// # Errors
    /// The bytes are not TLS, were tampered with, or the peer's certificate is not trusted.
    pub fn decrypt(
        &mut self,
        received: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> io::Result<Decrypted> {
        match self {
            Self::Client(session) => decrypt(session, received, plain, outgoing),
            Self::Server(session) => decrypt(session, received, plain, outgoing),
        }
    }

    /// Encrypts all of `plain` into `encrypted` and returns the length. TLS' own messages, which must be sent first, are appended
    /// to `outgoing`.
    ///
    /// # Errors
    /// The session has failed or is closed, or `encrypted` is too short.
    pub fn encrypt(&mut self, plain: &[u8], encrypted: &mut [u8], outgoing: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Client(session) => write(session, outgoing, |traffic| traffic.encrypt(plain, encrypted)),
            Self::Server(session) => write(session, outgoing, |traffic| traffic.encrypt(plain, encrypted)),
        }
    }

    /// Appends the alert that announces the end of what is sent.
    pub fn close(&mut self, outgoing: &mut Vec<u8>) {
        let mut alert = [0; 64];
        let length = match self {
            Self::Client(session) => write(session, outgoing, |traffic| traffic.queue_close_notify(&mut alert)),
            Self::Server(session) => write(session, outgoing, |traffic| traffic.queue_close_notify(&mut alert)),
        };
        // A session that has failed, or never began, has no such alert.
        outgoing.extend_from_slice(&alert[..length.unwrap_or(0)]);
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsSession(..)")
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

/// The result of decrypting received bytes.
#[derive(Debug, Default)]
pub struct Decrypted {
    /// How many bytes were consumed. The rest is the beginning of a record.
    pub used: usize,
    /// Whether the peer has announced the end of what it sends.
    pub closed: bool,
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
                append_alert(session, outgoing);
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
                // It is in `outgoing`, ahead of all that follows.
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

/// Appends the alert that tells the peer about an error.
fn append_alert<S: Session>(session: &mut S, outgoing: &mut Vec<u8>) {
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

/// Calls `encode` once the session is ready for application data.
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
