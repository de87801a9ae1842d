//! How many instructions each step of a login takes, held against those of `benches/counts.json`: part of `make test`.
//!
//! Times vary with the machine and with what else it does; instructions, as valgrind counts them, hardly do. So a step that
//! became dearer is noticed wherever the tests run. Each operation runs N and 2N times in a process of its own, and the
//! difference is what N cost, without start and preparation.
//!
//! Compilers differ in what they make of the same source: with another one than the file was written with, only an increase
//! that no compiler explains is a failure. On another kind of processor nothing can be said.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod operations;

use std::{
    env::{args, consts::ARCH, current_exe, var_os},
    error::Error,
    fs,
    io::Write,
    process::{Command, ExitCode},
};

use serde_json::{Map, Value, json};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts.json");
/// How often an operation is counted that seems to be dearer: a thread that waits spins a little longer on a busy machine.
const TRIES: usize = 3;
/// More than this above the file is a failure, in per cent.
const TOLERANCE: u64 = 10;
const TOLERANCE_AMONG_COMPILERS: u64 = 50;

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Operation {
    name: &'static str,
    /// Enough for what is done once in a while, such as the growth of a table, to weigh nothing.
    times: u32,
    run: fn(u32),
}

fn repeat(times: u32, operation: impl Fn()) {
    for _ in 0..times {
        operation();
    }
}

const OPERATIONS: [Operation; 9] = [
    Operation { name: "cached_login", times: 2000, run: |times| repeat(times, operations::cached_login()) },
    Operation { name: "cached_token", times: 2000, run: |times| repeat(times, operations::cached_token(1)) },
    Operation { name: "cached_token_of_20", times: 2000, run: |times| repeat(times, operations::cached_token(20)) },
    Operation { name: "claims_1_kb", times: 200, run: |times| repeat(times, operations::claims(1)) },
    Operation { name: "claims_2_kb", times: 200, run: |times| repeat(times, operations::claims(2)) },
    Operation { name: "claims_7_kb", times: 200, run: |times| repeat(times, operations::claims(7)) },
    Operation { name: "cold_login", times: 1000, run: |times| repeat(times, operations::cold_login()) },
    Operation { name: "decision", times: 2000, run: |times| repeat(times, operations::decision()) },
    Operation { name: "principal_name", times: 2000, run: |times| repeat(times, operations::name()) },
];

fn main() -> ExitCode {
    let args: Vec<_> = args().skip(1).filter(|arg| arg != "--bench").collect();
    let outcome = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => check(),
        ["--write"] => write(),
        [name, times] => run(name, times),
        _ => Err("expected nothing, --write, or an operation's name and how often to do it".into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn run(name: &str, times: &str) -> Outcome<ExitCode> {
    let operation = OPERATIONS.iter().find(|operation| operation.name == name).ok_or("no such operation")?;
    (operation.run)(times.parse()?);
    Ok(ExitCode::SUCCESS)
}

fn write() -> Outcome<ExitCode> {
    let mut counts = Map::new();
    for operation in &OPERATIONS {
        counts.insert(operation.name.to_owned(), count(operation)?.into());
    }
    let counts = json!({"rustc": rustc()?, "processor": ARCH, "instructions": counts});
    writeln!(fs::File::create(FILE)?, "{counts:#}")?;
    println!("{FILE} is written");
    Ok(ExitCode::SUCCESS)
}

fn check() -> Outcome<ExitCode> {
    let known: Value = serde_json::from_str(&fs::read_to_string(FILE)?)?;
    let (rustc, processor) = (rustc()?, known["processor"].as_str().unwrap_or_default());
    if processor != ARCH {
        println!("instructions are not compared: {FILE} has those of {processor}, and this is {ARCH}");
        return Ok(ExitCode::SUCCESS);
    }
    let same_compiler = known["rustc"] == *rustc;
    let tolerance = if same_compiler { TOLERANCE } else { TOLERANCE_AMONG_COMPILERS };
    if !same_compiler {
        println!("the counts are those of {}, and this is {rustc}: {tolerance} % more are allowed", known["rustc"]);
    }
    let mut dearer = Vec::new();
    for operation in &OPERATIONS {
        let name = operation.name;
        let before =
            known["instructions"][name].as_u64().ok_or_else(|| format!("{FILE} has no {name}: `make counts`"))?;
        let most = before * (100 + tolerance) / 100;
        let mut now = count(operation)?;
        for _ in 1..TRIES {
            if now > most {
                now = now.min(count(operation)?);
            }
        }
        println!("{name:20} {now:>8} instructions, {before:>8} in the file");
        if now > most {
            dearer.push(name);
        }
    }
    if dearer.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(format!(
        "more than {tolerance} % above benches/counts.json: {}. If it is worth that, write the new counts with `make counts`, \
         commit them and say why; else `valgrind --tool=callgrind {} {} 1000` and `callgrind_annotate` show where they go.",
        dearer.join(", "),
        current_exe()?.display(),
        dearer[0],
    )
    .into())
}

/// Instructions that an operation takes.
fn count(operation: &Operation) -> Outcome<u64> {
    let once = instructions(operation.name, operation.times)?;
    let twice = instructions(operation.name, 2 * operation.times)?;
    Ok((twice - once) / u64::from(operation.times))
}

/// Instructions of a whole process.
fn instructions(name: &str, times: u32) -> Outcome<u64> {
    let ran = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(current_exe()?)
        .args([name, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let report = String::from_utf8_lossy(&ran.stderr).into_owned();
    let total = report.lines().find_map(|line| Some(line.split_once("refs:")?.1.trim().replace(',', "")));
    let total = total.filter(|_| ran.status.success()).ok_or_else(|| format!("valgrind did not count: {report}"))?;
    Ok(total.parse()?)
}

fn rustc() -> Outcome<String> {
    let rustc = var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("--version").output()?;
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}
