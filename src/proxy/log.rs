//! The log: a JSON object on each line of stderr.
//!
//! A thread of its own writes it, so that a slow reader does not delay connections. Lines that do not fit its queue are counted.

use std::{
    io::Write,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::SystemTime,
};

use serde_json::{Map, Value};

use crate::{
    error::date,
    platform::log_buffer::{Entry, Level},
};

const QUEUED: usize = 1024;

/// Takes events from every thread.
#[derive(Debug)]
pub struct Log {
    lines: SyncSender<String>,
    debug: bool,
    lost: AtomicU64,
}

const fn name(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warning => "warning",
    }
}

/// Return one line, in ASCII: names that clients choose may contain characters that control a terminal, such as U+009B.
fn line(object: &Value) -> String {
    let json = object.to_string();
    let mut line = String::with_capacity(json.len() + 1);
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(ascii @ b' '..=b'~') => line.push(char::from(ascii)),
            _ => line.extend(["\\u", &format!("{unit:04x}")]),
        }
    }
    line.push('\n');
    line
}

impl Log {
    /// Starts the thread, which ends after the log is dropped.
    ///
    /// # Errors
    /// The operating system has no resources left.
    pub fn start(debug: bool) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (lines, queue) = sync_channel(QUEUED);
        let thread = thread::Builder::new().name("proxy-log".to_owned()).spawn(move || write(&queue))?;
        Ok((Self { lines, debug, lost: AtomicU64::new(0) }, thread))
    }

    /// Writes an event with its fields, except for those that are null.
    pub fn event(&self, level: Level, event: &str, fields: &[(&str, Value)]) {
        self.write(SystemTime::now(), level, event, fields);
    }

    /// Writes an entry of the engine's log.
    pub fn engine(&self, entry: &Entry) {
        self.write(entry.at, entry.level, "token", &[("message", Value::from(&*entry.text))]);
    }

    fn write(&self, at: SystemTime, level: Level, event: &str, fields: &[(&str, Value)]) {
        if level == Level::Debug && !self.debug {
            return;
        }
        let mut object = Map::new();
        object.insert("time".to_owned(), date(at).into());
        object.insert("level".to_owned(), name(level).into());
        object.insert("event".to_owned(), event.into());
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            object.insert((*name).to_owned(), value.clone());
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            object.insert("lost_before".to_owned(), lost.into());
        }
        if self.lines.try_send(line(&Value::Object(object))).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

fn write(queue: &Receiver<String>) {
    for line in queue {
        // It fails if nobody reads stderr any more, which is no reason to stop.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_contains_no_terminal_controls() {
        let object = Value::from("a\u{9b}31m\u{7f}\n\"\u{2028}\u{1f600}");
        let found = line(&object);
        assert_eq!(found, "\"a\\u009b31m\\u007f\\n\\\"\\u2028\\ud83d\\ude00\"\n");
        assert_eq!(serde_json::from_str::<Value>(&found).unwrap(), object);
    }
}
