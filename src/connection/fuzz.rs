//! What the fuzzer checks of connection plans: that no settings send a token unencrypted to another machine.
//!
//! An input is a text. Its first line names the driver; then each line is a setting, up to a line `%%`, after which a service
//! file begins:
//!
//! ```text
//! libpq 180000
//! a host=db.example.com       an argument
//! e PGSSLMODE=prefer          a variable
//! + insecure                  a flag: insecure, password, opaque
//! u a,b:5433                  of asyncpg's URL: the authority (u), host and port in its query (q, p)
//! %%
//! [mine]
//! sslmode=disable
//! ```

#![allow(clippy::expect_used, reason = "a panic is how a target fails")]

use std::{
    fs,
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use super::{
    ConnectionPlan, Driver, Given,
    asyncpg::HostSources,
    params::{Environment, Param},
};
use crate::{error::Error, platform::scratch::Scratch};

const PASSWORD: &str = "dr0wss4p-of-the-caller";
const AZURE: [&str; 4] = [
    ".postgres.database.azure.com",
    ".postgres.database.usgovcloudapi.net",
    ".postgres.database.chinacloudapi.cn",
    ".postgres.cosmos.azure.com",
];

/// Makes a plan of the settings in `input`, and compares it with what the driver would do.
///
/// # Panics
/// A property does not hold.
pub fn check(input: &[u8]) {
    let Some(drawn) = Drawn::read(input) else { return };
    let (has_password, given) = (drawn.given.has_password, drawn.given.clone());
    let allow_insecure = given.allow_insecure;
    let shown = format!("{given:?}");
    assert!(!shown.contains(PASSWORD), "settings show a password: {shown}");
    let plan = match ConnectionPlan::new(drawn.driver, given, &drawn) {
        Ok(plan) => plan,
        Err(error) => {
            assert!(matches!(error, Error::InsecureTransport { .. }), "{error:?}");
            assert!(!allow_insecure, "refused although insecure connections are allowed: {error}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(PASSWORD), "an error shows a password: {shown}");
            return;
        }
    };
    let shown = format!("{plan:?}");
    assert!(!shown.contains(PASSWORD), "a plan shows a password: {shown}");
    let is_time = |seconds: f64| seconds > 0.0 && Duration::try_from_secs_f64(seconds).is_ok();
    assert!(plan.timeout().is_none_or(is_time), "{:?}", plan.timeout());
    let user = plan.param(Param::User);
    assert_eq!(plan.has_credentials, user.is_some() && (has_password || plan.param(Param::Password).is_some()));
    let _ = plan.scope();
    if !allow_insecure && !plan.has_credentials {
        match drawn.driver {
            Driver::Libpq(version) => check_libpq(&drawn, &plan, version),
            Driver::Asyncpg | Driver::Pg8000 => check_target(&drawn, &plan),
        }
    }
}

/// asyncpg and pg8000 are given the plan's target and TLS.
fn check_target(drawn: &Drawn, plan: &ConnectionPlan) {
    let Some(tls) = &plan.tls else {
        let target = plan.target.as_ref().expect("an unknown target needs TLS");
        let sockets = matches!(drawn.driver, Driver::Asyncpg);
        assert!(target.is_named() && target.hosts.iter().all(|host| is_local(host, sockets)), "{plan:?}");
        return;
    };
    assert!(["require", "verify-ca", "verify-full"].contains(&&*tls.sslmode), "{plan:?}");
}

/// libpq is given the plan's settings, and reads the others by itself.
fn check_libpq(drawn: &Drawn, plan: &ConnectionPlan, version: u32) {
    let settings = plan.libpq_settings();
    let service = drawn.service();
    assert!(plan.has_unresolved_service || !matches!(service, Service::Unknown), "a service is guessed: {plan:?}");
    // None: the decision depends on a service that cannot be read.
    let read = |param: Param| -> Option<String> {
        let said = settings.get(param).or_else(|| drawn.given.arguments.get(param));
        match (said, &service) {
            (Some(said), _) => Some(said.to_owned()),
            (None, Service::Unknown) => None,
            (None, Service::Section(pairs)) => {
                let first = pairs.iter().find(|(name, _)| name == param.keyword());
                let value = first.map(|(_, value)| value.clone()).or_else(|| drawn.var(param.variable()?));
                Some(value.unwrap_or_default())
            }
        }
    };
    let mode = read(Param::SslMode);
    if plan.tls.is_some() && version >= 120_000 {
        assert_eq!(read(Param::GssEncMode).as_deref(), Some("disable"), "GSS comes before TLS: {plan:?}");
    }
    if mode.as_deref().is_some_and(|mode| ["require", "verify-ca", "verify-full"].contains(&mode)) {
        return;
    }
    let (Some(hosts), Some(addresses)) = (read(Param::Host), read(Param::HostAddr)) else {
        panic!("sslmode={mode:?} to wherever a service leads: {plan:?}");
    };
    assert!(!hosts.is_empty() || !addresses.is_empty(), "sslmode={mode:?} to the driver's default: {plan:?}");
    let is_list = !hosts.is_empty() && !addresses.is_empty();
    let (hosts, addresses): (Vec<_>, Vec<_>) = (hosts.split(',').collect(), addresses.split(',').collect());
    if is_list && hosts.len() != addresses.len() {
        // libpq refuses them.
        return;
    }
    let count = hosts.len().max(addresses.len());
    let at = |list: &[&str], index: usize| list.get(index).copied().unwrap_or_default().to_owned();
    for index in 0..count {
        let (host, address) = (at(&hosts, index), at(&addresses, index));
        let place = if address.is_empty() { &host } else { &address };
        let is_azure = AZURE.iter().any(|suffix| {
            let host = host.to_ascii_lowercase();
            let host = host.trim_end_matches('.');
            host.len() > suffix.len() && host.ends_with(suffix)
        });
        assert!(is_local(place, true) && !is_azure, "sslmode={mode:?} to {host} {address}: {plan:?}");
    }
}

fn is_local(place: &str, sockets: bool) -> bool {
    match place.as_bytes() {
        [] => true,
        [b'/', ..] => sockets,
        _ => match place.parse() {
            Ok(IpAddr::V4(address)) => address.octets()[0] == 127,
            Ok(IpAddr::V6(address)) => address == Ipv6Addr::LOCALHOST,
            Err(_) => {
                let name = place.strip_suffix('.').unwrap_or(place).to_ascii_lowercase();
                name == "localhost"
                    || place.split_once('%').is_some_and(|(address, _)| address.parse() == Ok(Ipv6Addr::LOCALHOST))
            }
        },
    }
}

/// What an input says.
struct Drawn {
    driver: Driver,
    given: Given,
    variables: Vec<(String, String)>,
    /// The content of the service file; empty for no file.
    file: Vec<u8>,
}

enum Service {
    /// Empty if none is named.
    Section(Vec<(String, String)>),
    Unknown,
}

impl Environment for Drawn {
    fn var(&self, name: &str) -> Option<String> {
        match name {
            "PGSYSCONFDIR" => Some(folder().to_string_lossy().into_owned()),
            // No file of this machine's is read but the input's.
            "PGSERVICEFILE" => None,
            _ => self.variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()),
        }
    }

    fn libpq_home(&self) -> Option<PathBuf> {
        None
    }
}

impl Drawn {
    fn read(input: &[u8]) -> Option<Self> {
        let at = input.windows(4).position(|part| part == b"\n%%\n");
        let (settings, file) = at.map_or((input, &b""[..]), |at| (&input[..at], &input[at + 4..]));
        let mut lines = str::from_utf8(settings).ok()?.lines();
        let driver = match lines.next()?.split_once(' ') {
            Some(("libpq", version)) => Driver::Libpq(version.parse().ok()?),
            Some(("asyncpg", _)) => Driver::Asyncpg,
            Some(("pg8000", _)) => Driver::Pg8000,
            _ => return None,
        };
        let (mut given, mut variables) = (Given::default(), Vec::new());
        for line in lines {
            let (kind, text) = line.split_once(' ')?;
            match (kind, text.split_once('=')) {
                ("a", Some(("password", _))) => given.arguments.set(Param::Password, PASSWORD.to_owned()),
                ("a", Some((keyword, value))) => match Param::of_keyword(keyword)? {
                    Param::ServiceFile => return None,
                    param => given.arguments.set(param, value.to_owned()),
                },
                ("e", Some((name, value))) => variables.push((name.to_owned(), value.to_owned())),
                ("+", None) if text == "insecure" => given.allow_insecure = true,
                ("+", None) if text == "password" => given.has_password = true,
                ("+", None) if text == "opaque" => given.is_opaque = true,
                ("u", _) => given.host_sources.authority = Some(text.to_owned()),
                ("q", _) => given.host_sources.listed[0].0 = Some(text.to_owned()),
                ("p", _) => given.host_sources.listed[0].1 = Some(text.to_owned()),
                _ => return None,
            }
        }
        if let (Driver::Asyncpg, Some(host)) = (driver, given.arguments.get(Param::Host)) {
            let HostSources { hosts, .. } = &mut given.host_sources;
            *hosts = vec![host.to_owned()];
        }
        let drawn = Self { driver, given, variables, file: file.to_vec() };
        let path = folder().join("pg_service.conf");
        // As an existing file, so that reading it is what is checked.
        fs::write(path, &drawn.file).expect("the folder is writable");
        Some(drawn)
    }

    /// libpq's reading of the file, written down a second time.
    fn service(&self) -> Service {
        let name = self.given.arguments.get(Param::Service).map(str::to_owned).or_else(|| self.var("PGSERVICE"));
        let Some(name) = name else { return Service::Section(Vec::new()) };
        let mut pairs = None::<Vec<(String, String)>>;
        let mut rest = &self.file[..];
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(end);
            rest = after;
            if line.len() > 1022 {
                return Service::Unknown;
            }
            let line = &line[..line.iter().position(|byte| *byte == 0).unwrap_or(line.len())];
            let is_space = |byte: &u8| b" \t\n\x0b\x0c\r".contains(byte);
            let line: Vec<u8> = line.iter().copied().skip_while(|byte| is_space(byte)).collect();
            let kept = line.iter().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
            let line = &line[..kept];
            match (line.first(), &mut pairs) {
                (Some(b'['), Some(_)) => break,
                (Some(b'['), None) => {
                    if line.starts_with(format!("[{name}]").as_bytes()) {
                        pairs = Some(Vec::new());
                    }
                }
                (None | Some(b'#'), _) | (Some(_), None) => {}
                (Some(_), Some(pairs)) => {
                    let text = String::from_utf8_lossy(line);
                    match text.split_once('=') {
                        Some((keyword, value))
                            if !text.starts_with("ldap") && !matches!(keyword, "service" | "servicefile") =>
                        {
                            pairs.push((keyword.to_owned(), value.to_owned()));
                        }
                        _ => return Service::Unknown,
                    }
                }
            }
        }
        pairs.map_or(Service::Unknown, Service::Section)
    }
}

/// A folder of this thread's own.
fn folder() -> PathBuf {
    thread_local! {
        static FOLDER: Scratch = Scratch::folder();
    }
    FOLDER.with(|folder| folder.to_path_buf())
}
