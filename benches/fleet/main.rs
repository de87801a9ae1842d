//! What 10,000 processes send to the identity service in a day: `make fleet`.
//!
//! 1,250 machines with 8 processes each start within a minute, as in a deployment, and each process opens a connection every half
//! minute on average, for a day. The rules are the package's own ([`_core::cache::policy`]) on a clock of the program's, beside
//! those of azure-identity as its sources have them. The service answers at once, or says at once that it cannot; what a
//! client retries within one request for a token is not counted. The same seed gives the same day.
//!
//! Why it matters: a virtual machine's metadata service takes 20 requests for a token a second and 5 at once, and Entra ID
//! throttles a tenant by limits that are not published.
//!
//! # `benches/fleet.json`
//! What it assumes (`processes`, `machines`, `seconds_between_logins`, `seed`) and a list of `scenarios`, each with
//!
//! | | |
//! |---|---|
//! | `name` | what is simulated, in words; unique together with `life_hours` |
//! | `client` | `this package` or whose rules they are otherwise |
//! | `life_hours` | how long a token lives |
//! | `total`, `mean_per_second`, `peak_per_second` | requests that reach the service |
//! | `peak_per_second_later` | the same peak without the ten minutes after the start, and after each further deployment |
//! | `peak_per_second_on_a_machine` | the most that one machine sends in a second |
//! | `failed_logins` | logins that found no usable token |
//! | `outage` | first and last minute of the time when the service answers nothing; null if it never does |
//! | `peak_per_second_after_outage` | in the ten minutes after it; null without one |
//! | `deployments` | the minutes in which all processes restart |
//! | `requests_per_minute` | 1,440 numbers |
//!
//! An outage begins in the busiest minute of the same scenario without one, where it hurts that client most.

#![allow(clippy::print_stdout, reason = "a program for people")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]

mod clients;
mod machine;
mod service;

use std::{fmt::Write as _, fs};

use clients::{Client, EachLogin, Ours, Theirs};
use machine::{Machine, Plan};
use serde_json::{Value, json};
use service::{DAY, Outage, Service};

const SEED: u64 = 1;
const MACHINES: u64 = 1250;
const OUTAGE: u64 = 20 * 60;
/// The start is what it is; what follows shows how a client spreads its renewals.
const AFTERMATH: u64 = 600;
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/fleet.json");

#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    Nothing,
    Outage,
    /// With a deployment in the middle of it.
    OutageAndDeployment,
}

struct Scenario {
    name: &'static str,
    client: &'static str,
    hours: u64,
    trouble: Trouble,
    plan: Plan,
    new: fn(&Machine) -> Box<dyn Client>,
}

const OURS: &str = "this package";
const THEIRS: &str = "azure-postgresql-auth 1.1.0 with azure-identity 1.27.0";

fn scenarios() -> Vec<Scenario> {
    use Trouble::{Nothing, Outage, OutageAndDeployment};
    type New = fn(&Machine) -> Box<dyn Client>;
    let ours: New = |machine| Box::new(Ours::new(machine.spread(), None));
    let alike: New = |_| Box::new(Ours::new(0.0, None));
    let shared: New = |machine| Box::new(Ours::new(machine.spread(), Some(machine.folder())));
    let identity: New = |_| Box::new(Theirs::managed_identity());
    let secret: New = |_| Box::new(Theirs::client_secret());
    let command: New = |_| Box::new(EachLogin);
    let apart = Plan { forked: false, names: false };
    let forked = Plan { forked: true, names: false };
    let named = Plan { forked: false, names: true };
    let all = [Nothing, Outage, OutageAndDeployment];
    let mut scenarios = Vec::new();
    let mut add = |name, client, hours: &[u64], troubles: &[Trouble], plan, new| {
        for &trouble in troubles {
            for &hours in hours {
                scenarios.push(Scenario { name, client, hours, trouble, plan, new });
            }
        }
    };
    add("each process by itself", OURS, &[1, 24], &all, apart, ours);
    add("each process by itself, without jitter", OURS, &[1, 24], &[Nothing, Outage], apart, alike);
    add("8 workers forked from a parent with a token", OURS, &[1, 24], &all, forked, ours);
    add("a shared cache folder on each machine", OURS, &[1, 24], &all, apart, shared);
    add("each process by itself, user names from tokens", OURS, &[24], &[Nothing], named, ours);
    add("managed identity", THEIRS, &[1, 24], &all, apart, identity);
    add("managed identity, user names from tokens", THEIRS, &[24], &[Nothing], named, identity);
    add("client secret", THEIRS, &[1], &all, apart, secret);
    add("Azure CLI", THEIRS, &[1], &[Nothing, Outage], apart, command);
    scenarios
}

struct Played {
    service: Service,
    outage: Option<Outage>,
    deployments: Vec<u64>,
    failed: u64,
}

fn play(scenario: &Scenario, outage: Option<Outage>, deployments: Vec<u64>) -> Played {
    let mut service = Service::new(scenario.hours * 3600, outage.clone());
    let mut failed = 0;
    for number in 0..MACHINES {
        service.next_machine();
        failed += Machine::new(SEED << 32 | number).day(scenario.plan, scenario.new, &deployments, &mut service);
    }
    Played { service, outage, deployments, failed }
}

fn with_trouble(scenario: &Scenario) -> Played {
    let quiet = play(scenario, None, vec![0]);
    if scenario.trouble == Trouble::Nothing {
        return quiet;
    }
    let minutes = quiet.service.per_minute();
    let later = (AFTERMATH / 60) as usize..minutes.len() - (OUTAGE / 60) as usize;
    // The first of several that are equally busy.
    let busiest = later.rev().max_by_key(|&minute| minutes[minute]).unwrap_or_default() as u64 * 60;
    let mut deployments = vec![0];
    if scenario.trouble == Trouble::OutageAndDeployment {
        deployments.push(busiest + OUTAGE / 2);
    }
    play(scenario, Some(busiest..busiest + OUTAGE), deployments)
}

impl Played {
    fn report(&self, scenario: &Scenario) -> Value {
        let service = &self.service;
        let quiet = |second: u64| !self.deployments.iter().any(|start| (*start..start + AFTERMATH).contains(&second));
        let after = self.outage.as_ref().map(|outage| outage.end..outage.end + AFTERMATH);
        json!({
            "name": match scenario.trouble {
                Trouble::Nothing => scenario.name.to_owned(),
                Trouble::Outage => format!("{}; outage of 20 minutes", scenario.name),
                Trouble::OutageAndDeployment => format!("{}; deployment during an outage of 20 minutes", scenario.name),
            },
            "client": scenario.client,
            "life_hours": scenario.hours,
            "total": service.total(),
            "mean_per_second": (service.total() as f64 / DAY as f64 * 1000.0).round() / 1000.0,
            "peak_per_second": service.peak(|_| true),
            "peak_per_second_later": service.peak(quiet),
            "peak_per_second_on_a_machine": service.peak_on_a_machine(),
            "failed_logins": self.failed,
            "outage": self.outage.as_ref().map(|outage| [outage.start / 60, outage.end / 60 - 1]),
            "peak_per_second_after_outage": after.map(|after| service.peak(|second| after.contains(&second))),
            "deployments": self.deployments.iter().map(|start| start / 60).collect::<Vec<_>>(),
            "requests_per_minute": service.per_minute(),
        })
    }
}

fn main() -> std::io::Result<()> {
    let columns = ["life h", "total", "mean/s", "peak/s", "later/s", "machine/s", "back/s", "failed"];
    let mut head = format!("{:86}", "requests for a token in a day");
    for column in columns {
        let _ = write!(head, "{column:>11}"); // cannot fail
    }
    println!("{head}");
    let mut reports = Vec::new();
    for scenario in scenarios() {
        let report = with_trouble(&scenario).report(&scenario);
        let of = if scenario.client == OURS { "" } else { "azure-identity, " };
        let mut line = format!("{:86}", format!("{of}{}", report["name"].as_str().unwrap_or_default()));
        for column in [
            "life_hours",
            "total",
            "mean_per_second",
            "peak_per_second",
            "peak_per_second_later",
            "peak_per_second_on_a_machine",
            "peak_per_second_after_outage",
            "failed_logins",
        ] {
            let value = &report[column];
            let _ = write!(line, "{:>11}", if value.is_null() { "–".to_owned() } else { value.to_string() });
        }
        println!("{line}");
        reports.push(report.to_string());
    }
    let assumed = json!({
        "processes": MACHINES * machine::PROCESSES as u64,
        "machines": MACHINES,
        "seconds_between_logins": machine::BETWEEN_LOGINS,
        "seed": SEED,
    });
    let assumed = assumed.to_string();
    let assumed = assumed.trim_end_matches('}');
    // A line for each scenario, so that a change shows where it is.
    fs::write(FILE, format!("{assumed},\"scenarios\":[\n{}\n]}}\n", reports.join(",\n")))
}
