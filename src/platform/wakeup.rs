//! Descriptors that wake threads and event loops of Python's, from threads that must not touch Python.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

use super::{
    fork,
    socket::{self, PairedSocket},
};

/// A descriptor that becomes readable when one of the waits that it serves is over. One serves a whole event loop.
#[derive(Debug)]
pub struct Wakeup {
    reader: Mutex<Option<PairedSocket>>,
    writer: Arc<Writer>,
}

/// The engine's end, which makes the descriptor readable.
#[derive(Debug)]
struct Writer {
    state: Mutex<State>,
    turns: Option<&'static Turns>,
}

#[derive(Debug)]
struct State {
    /// None once the wait has ended: an exception keeps the frames that refer to it for as long as its handler likes.
    socket: Option<PairedSocket>,
    /// Keys of the waits that are over and that [`Wakeup::drain`] has not returned yet.
    woken: Vec<u64>,
    /// Written to, and not drained yet.
    is_readable: bool,
}

impl Writer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the descriptor readable, if somebody still waits. Return whether it was not before.
    fn write(&self) -> bool {
        let mut state = self.state();
        if state.is_readable || state.woken.is_empty() {
            return false;
        }
        let Some(socket) = &mut state.socket else { return false };
        // Err: the reader was detached and has been closed.
        let _ = socket.write(&[1]);
        state.is_readable = true;
        true
    }
}

/// Wakes one wait.
struct KeyWaker {
    writer: Arc<Writer>,
    key: u64,
}

impl Wake for KeyWaker {
    fn wake(self: Arc<Self>) {
        let _guard = fork::guarded();
        self.writer.state().woken.push(self.key);
        match self.writer.turns {
            Some(turns) => turns.of_this_process().wake(&self.writer),
            None => drop(self.writer.write()),
        }
    }
}

impl Wakeup {
    /// For an event loop, which is woken at once.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn for_loop() -> io::Result<Self> {
        Self::new(None)
    }

    /// For a thread. Threads of the same `turns` are woken a few at a time.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn for_thread(turns: &'static Turns) -> io::Result<Self> {
        Self::new(Some(turns))
    }

    fn new(turns: Option<&'static Turns>) -> io::Result<Self> {
        let (reader, socket) = socket::pair()?;
        let state = State { socket: Some(socket), woken: Vec::new(), is_readable: false };
        let writer = Arc::new(Writer { state: Mutex::new(state), turns });
        Ok(Self { reader: Mutex::new(Some(reader)), writer })
    }

    fn reader(&self) -> MutexGuard<'_, Option<PairedSocket>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the wait with this key.
    #[must_use]
    pub fn waker(&self, key: u64) -> Waker {
        Waker::from(Arc::new(KeyWaker { writer: Arc::clone(&self.writer), key }))
    }

    /// Its number, or -1 once it is closed or detached.
    pub fn number(&self) -> i64 {
        self.reader().as_ref().map_or(-1, socket::number)
    }

    /// Its number, for a caller who reads it, and closes it.
    pub fn detach(&self) -> i64 {
        self.reader().take().map_or(-1, socket::release)
    }

    /// Keys of the waits that are over.
    pub fn drain(&self) -> Vec<u64> {
        let _guard = fork::guarded();
        if let Some(reader) = self.reader().as_mut() {
            while matches!(reader.read(&mut [0; 64]), Ok(64)) {}
        }
        let (woken, was_readable) = {
            let mut state = self.writer.state();
            (std::mem::take(&mut state.woken), std::mem::take(&mut state.is_readable))
        };
        if was_readable {
            self.end_turn();
        }
        woken
    }

    /// Closes both ends.
    pub fn close(&self) {
        let _guard = fork::guarded();
        drop(self.reader().take());
        let was_readable = {
            let mut state = self.writer.state();
            drop(state.socket.take());
            std::mem::take(&mut state.is_readable)
        };
        if was_readable {
            self.end_turn();
        }
    }

    fn end_turn(&self) {
        if let Some(turns) = self.writer.turns {
            turns.of_this_process().end();
        }
    }
}

impl Drop for Wakeup {
    fn drop(&mut self) {
        self.close();
    }
}

/// Lets threads wake up a few at a time.
///
/// A thread that wakes up needs the GIL first. If a thousand do at once, each tries every five milliseconds to take it away
/// from the others, which costs several times as much as their logins. So only a few descriptors are made readable; each that
/// is drained or closed makes way for the next.
#[derive(Debug, Default)]
pub struct Turns(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    generation: u32,
    /// How many have been written to and not been drained or closed since.
    readable: usize,
    waiting: VecDeque<Arc<Writer>>,
}

impl Turns {
    /// While one of them runs, the other one wakes up.
    const AT_ONCE: usize = 2;

    /// Creates an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Queue { generation: 0, readable: 0, waiting: VecDeque::new() }))
    }

    fn of_this_process(&self) -> MutexGuard<'_, Queue> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = fork::generation();
        if queue.generation != generation {
            // The parent's threads do not exist in this process.
            let parents = std::mem::replace(&mut *queue, Queue { generation, ..Queue::default() });
            std::mem::forget(parents);
        }
        queue
    }
}

impl Queue {
    fn wake(&mut self, writer: &Arc<Writer>) {
        if self.readable >= Turns::AT_ONCE {
            self.waiting.push_back(Arc::clone(writer));
        } else if writer.write() {
            self.readable += 1;
        }
    }

    fn end(&mut self) {
        // 0: the turn began before a fork.
        self.readable = self.readable.saturating_sub(1);
        while self.readable < Turns::AT_ONCE
            && let Some(next) = self.waiting.pop_front()
        {
            self.wake(&next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of them are readable.
    fn readable(wakeups: &[Wakeup]) -> Vec<usize> {
        let is_readable = |(number, wakeup): (usize, &Wakeup)| {
            let reader = wakeup.reader();
            let socket = socket2::SockRef::from(reader.as_ref()?);
            socket.peek(&mut [std::mem::MaybeUninit::uninit()]).is_ok().then_some(number)
        };
        wakeups.iter().enumerate().filter_map(is_readable).collect()
    }

    #[test]
    fn threads_wake_up_two_at_a_time() {
        static TURNS: Turns = Turns::new();
        let wakeups: Vec<_> = (0..6).map(|_| Wakeup::for_thread(&TURNS).unwrap()).collect();
        let wakers: Vec<_> = wakeups.iter().map(|wakeup| wakeup.waker(7)).collect();
        for waker in &wakers {
            waker.wake_by_ref();
            waker.wake_by_ref();
        }
        assert_eq!(readable(&wakeups), [0, 1]);
        assert_eq!(wakeups[0].drain(), [7, 7]);
        assert_eq!(readable(&wakeups), [1, 2]);
        // Neither one that has ended before its turn nor one that ends in its turn holds up the others.
        wakeups[3].close();
        wakeups[1].close();
        assert_eq!(readable(&wakeups), [2, 4]);
        // One that looks before its turn has its keys, and is no longer to be woken.
        assert_eq!(wakeups[5].drain(), [7, 7]);
        wakeups[2].drain();
        wakeups[4].drain();
        assert!(readable(&wakeups).is_empty());
        // All over again.
        wakers[0].wake_by_ref();
        wakers[4].wake_by_ref();
        assert_eq!(readable(&wakeups), [0, 4]);
    }

    #[test]
    fn a_loop_is_woken_at_once_and_written_to_once() {
        let wakeup = Wakeup::for_loop().unwrap();
        for key in 0..1000 {
            wakeup.waker(key).wake();
        }
        let others: Vec<_> = (0..4).map(|_| Wakeup::for_loop().unwrap()).collect();
        for other in &others {
            other.waker(0).wake();
        }
        assert_eq!(readable(&others), [0, 1, 2, 3]);
        assert_eq!(wakeup.reader().as_mut().unwrap().read(&mut [0; 8]).unwrap(), 1);
        assert_eq!(wakeup.drain(), (0..1000).collect::<Vec<_>>());
        wakeup.waker(5).wake();
        assert_eq!(wakeup.drain(), [5]);
    }
}
