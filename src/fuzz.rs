//! The targets of the fuzzer, which lives in `fuzz/`.
//!
//! A target is a function of arbitrary bytes that panics where a property does not hold. It stands beside the code that it
//! checks, in a module that only tests and the fuzzer compile. Tests replay what the fuzzer has kept of its inputs (`fuzz/corpus`).

pub use crate::{
    connection::fuzz::check as plan,
    credential::fuzz::{answers, certificates, shared_cache, tools},
    login::fuzz::check as claims,
    proxy::{
        scram::fuzz::check as scram, startup::check as startup, upstream::fuzz::check as server,
        wire::fuzz::check as messages,
    },
};

/// A target.
pub type Check = fn(&[u8]);

/// All targets by their names, which are those of the folders of their inputs.
pub const TARGETS: [(&str, Check); 10] = [
    ("answers", answers),
    ("certificates", certificates),
    ("claims", claims),
    ("messages", messages),
    ("plan", plan),
    ("scram", scram),
    ("server", server),
    ("shared_cache", shared_cache),
    ("startup", startup),
    ("tools", tools),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::PathBuf};

    use super::*;

    /// Small enough for every clone.
    const LARGEST_CORPUS: usize = 100_000;

    fn corpus() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
    }

    fn replay(name: &str) {
        let (_, check) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
        let entries = fs::read_dir(corpus().join(name)).unwrap();
        let inputs: Vec<_> = entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
        assert!(inputs.len() >= 10 && inputs.iter().map(Vec::len).sum::<usize>() < LARGEST_CORPUS);
        for input in inputs {
            check(&input);
        }
    }

    macro_rules! replays {
        ($($target:ident)*) => {
            $(
                #[test]
                fn $target() {
                    replay(stringify!($target));
                }
            )*

            #[test]
            fn every_target_is_replayed() {
                let names: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
                assert_eq!(names, [$(stringify!($target).to_owned()),*].into());
                let folders = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
                assert_eq!(names, folders.collect());
            }
        };
    }

    replays!(answers certificates claims messages plan scram server shared_cache startup tools);
}
