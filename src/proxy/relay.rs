//! Passes bytes between a client and its server until one of them ends.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

use super::{
    channel::{Channel, with_buffers},
    metrics::{Counters, add},
};

/// How far one direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// More bytes may follow.
    Open,
    /// The sender has ended, and the receiver is about to be told.
    Closing,
    /// The receiver has been told.
    Closed,
}

/// The side that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Sender,
    Receiver,
}

/// Passes bytes both ways until the server has ended or the client is gone. Return whether the client may still be sending.
pub async fn relay(client: &mut Channel, mut server: Channel, counters: &Counters) -> bool {
    let (mut up, mut down) = (Flow::Open, Flow::Open);
    let mut answer = Answer::default();
    poll_fn(|cx| {
        loop {
            let (mut sent, mut received) = (0, 0);
            let upwards = pump(cx, client, &mut server, &mut up, &mut sent);
            let downwards = pump(cx, &mut server, client, &mut down, &mut received);
            add(&counters.bytes_up, sent);
            add(&counters.bytes_down, received);
            match upwards {
                Err(Broken::Sender) => return Poll::Ready(()),
                // What the server said before it went away is still to be passed on.
                Err(Broken::Receiver) => up = Flow::Closed,
                Ok(()) => {}
            }
            if downwards.is_err() || down == Flow::Closed {
                return Poll::Ready(());
            }
            answer.gather(cx, &server, sent, received);
            if sent + received > 0 {
                return Poll::Pending;
            }
            // Woken for nothing: most likely by room to write that is not needed any more.
            match (client.unwatch_room(), server.unwatch_room()) {
                (Ok(false), Ok(false)) => return Poll::Pending,
                (Ok(_), Ok(_)) => {}
                _ => return Poll::Ready(()),
            }
        }
    })
    .await;
    up == Flow::Open && down == Flow::Closed
}

/// Passes on what has arrived until one side has to be waited for. Nothing more is read before the receiver has taken what was
/// read before.
fn pump(
    cx: &mut Context<'_>,
    sender: &mut Channel,
    receiver: &mut Channel,
    flow: &mut Flow,
    bytes: &mut u64,
) -> Result<(), Broken> {
    with_buffers(|buffers| {
        while *flow == Flow::Open {
            match receiver.poll_flush(cx) {
                Poll::Ready(flushed) => flushed.map_err(|_| Broken::Receiver)?,
                Poll::Pending => return Ok(()),
            }
            let Poll::Ready(arrived) = sender.poll_receive(cx, &mut buffers.input) else { return Ok(()) };
            let arrived = arrived.map_err(|_| Broken::Sender)?;
            if !arrived.is_empty() {
                *bytes += arrived.len() as u64;
                receiver.poll_send(cx, arrived, &mut buffers.encrypted).map_err(|_| Broken::Receiver)?;
            }
            if sender.has_ended() {
                *flow = Flow::Closing;
            }
        }
        if *flow == Flow::Closing
            && let Poll::Ready(closed) = receiver.poll_close(cx)
        {
            closed.map_err(|_| Broken::Receiver)?;
            *flow = Flow::Closed;
        }
        Ok(())
    })
}

/// An answer this long is read in larger pieces.
const LONG_ANSWER: u64 = 4 * 1024 * 1024;
/// The size of these pieces.
const PIECE: i32 = 96 * 1024;
/// How long a piece may take to become complete.
const PIECE_TIMEOUT: Duration = Duration::from_millis(1);

/// What the server sends between two messages of the client.
///
/// PostgreSQL sends 8 kB at a time. Waking up for each of them costs the server, the proxy and the client more than passing the
/// bytes on, so a long answer is gathered into larger pieces: the kernel reports its bytes once there are enough of them. If they
/// do not arrive in time, the answer is over or slow, and every byte is reported again.
#[derive(Debug, Default)]
struct Answer {
    bytes: u64,
    /// Runs while pieces are gathered.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Answer {
    fn gather(&mut self, cx: &mut Context<'_>, server: &Channel, sent: u64, received: u64) {
        if sent > 0 {
            self.restart(server);
            return;
        }
        self.bytes += received;
        if self.bytes < LONG_ANSWER {
            return;
        }
        let timer = self.timer.get_or_insert_with(|| {
            server.set_low_water(PIECE);
            Box::pin(sleep(PIECE_TIMEOUT))
        });
        if received > 0 {
            timer.as_mut().reset(Instant::now() + PIECE_TIMEOUT);
        }
        if timer.as_mut().poll(cx).is_ready() {
            self.restart(server);
        }
    }

    fn restart(&mut self, server: &Channel) {
        self.bytes = 0;
        if self.timer.take().is_some() {
            server.set_low_water(1);
        }
    }
}
