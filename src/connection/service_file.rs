//! Connection service files as libpq reads them.
//!
//! Source: `parseServiceInfo` and `parseServiceFile` in PostgreSQL's `fe-connect.c`. libpq reads line by line, takes the first
//! section of the name and of each keyword the first value, knows no default section, trims a line but not the parts around
//! its `=`, and refuses what it does not understand in the section that it looks for (but nowhere else).

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::params::{Environment, Param, Params};
use crate::platform::{folders, variables};

/// libpq reads lines into a buffer of 1,024 bytes and refuses one that fills it.
const LONGEST_LINE: usize = 1022;

/// The service is not found, or is in a place or a form that only libpq can read. Nothing is known about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Unresolved;

/// Look up a service.
///
/// `file` is libpq's `servicefile` parameter (PostgreSQL 18).
///
/// # Errors
/// [`Unresolved`].
pub fn lookup(name: &str, file: Option<&str>, environment: &dyn Environment) -> Result<Params, Unresolved> {
    let first = file.map(str::to_owned).or_else(|| environment.var(variables::PGSERVICEFILE)).map(PathBuf::from);
    // A named file has to exist; the user's own may be missing.
    let own = || environment.libpq_home().map(|folder| folder.join(".pg_service.conf"));
    let first = first.or_else(|| own().filter(|path| path.exists()));
    if let Some(path) = first
        && let Some(params) = section(&path, name)?
    {
        return Ok(params);
    }
    let directory = environment
        .var(variables::PGSYSCONFDIR)
        .or_else(|| folders::LIBPQ_SYSTEM.map(str::to_owned))
        .ok_or(Unresolved)?;
    // Put together as libpq does: an empty directory is the root.
    section(Path::new(&format!("{directory}/pg_service.conf")), name)?.ok_or(Unresolved)
}

fn section(path: &Path, name: &str) -> Result<Option<Params>, Unresolved> {
    match std::fs::read(path) {
        Ok(text) => parse(&text, name),
        // libpq opens a directory, and then finds no line in it.
        Err(error) if error.kind() == ErrorKind::IsADirectory => Ok(None),
        Err(_) => Err(Unresolved),
    }
}

fn parse(text: &[u8], name: &str) -> Result<Option<Params>, Unresolved> {
    let mut found: Option<Params> = None;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.len() > LONGEST_LINE {
            return Err(Unresolved);
        }
        // C strings end at a NUL.
        let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
        // isspace() of the C locale knows the vertical tab, which trim_ascii does not.
        let line = trimmed(line);
        if line.is_empty() || line[0] == b'#' {
            continue;
        }
        if line[0] == b'[' {
            if found.is_some() {
                break;
            }
            if line[1..].strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b']')) {
                found = Some(Params::default());
            }
            continue;
        }
        let Some(params) = &mut found else { continue };
        // libpq looks it up in a directory server, if it is built to.
        if line.starts_with(b"ldap") {
            return Err(Unresolved);
        }
        let equals = line.iter().position(|byte| *byte == b'=').ok_or(Unresolved)?;
        let keyword = std::str::from_utf8(&line[..equals]).map_err(|_| Unresolved)?;
        match Param::of_keyword(keyword) {
            Some(Param::Service | Param::ServiceFile) => return Err(Unresolved),
            Some(param) if params.get(param).is_none() => {
                params.set(param, String::from_utf8(line[equals + 1..].to_vec()).map_err(|_| Unresolved)?);
            }
            _ => {}
        }
    }
    Ok(found)
}

fn trimmed(line: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    let start = line.iter().position(|byte| !is_space(byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &line[start..end]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::platform::scratch::Scratch;

    fn found(text: &[u8], name: &str) -> HashMap<&'static str, String> {
        let params = parse(text, name).unwrap().unwrap();
        Param::ALL.into_iter().filter_map(|param| Some((param.keyword(), params.get(param)?.to_owned()))).collect()
    }

    fn host(text: &[u8], name: &str) -> Option<String> {
        found(text, name).remove("host")
    }

    #[test]
    fn the_first_section_and_the_first_value_count() {
        assert_eq!(host(b"[a]\nhost=x\nhost=y\n[a]\nhost=z\nport=1\n", "a").as_deref(), Some("x"));
        assert_eq!(found(b"[a]\nhost=x\n[a]\nport=1\n", "a").get("port"), None);
    }

    #[test]
    fn lines_before_and_outside_of_the_section_may_be_anything() {
        assert_eq!(host(b"stray\n[b]\nno equals sign\n[a]\nhost=x\n", "a").as_deref(), Some("x"));
        assert_eq!(host(b"# caf\xe9\n[b]\nuser=\xe9\n[a]\n# caf\xe9\nhost=x\n[c\n", "a").as_deref(), Some("x"));
    }

    #[test]
    fn no_section_is_a_default() {
        assert_eq!(host(b"[DEFAULT]\nhost=d\n[a]\nport=1\n", "a"), None);
        assert_eq!(host(b"[DEFAULT]\nhost=d\n", "DEFAULT").as_deref(), Some("d"));
    }

    #[test]
    fn lines_are_trimmed_and_their_parts_are_not() {
        assert_eq!(host(b"  [a] ignored\r\n \t host=x y \r\n", "a").as_deref(), Some("x y"));
        assert_eq!(host(b"[a]\nhost= x\n", "a").as_deref(), Some(" x"));
        // An unknown keyword: libpq refuses it, and says so.
        assert_eq!(host(b"[a]\nhost =x\n", "a"), None);
        assert_eq!(host(b"[a]\nhost=\n", "a").as_deref(), Some(""));
        assert_eq!(host(b"[a]\nhost=x\0y\n", "a").as_deref(), Some("x"));
    }

    #[test]
    fn what_libpq_refuses_or_looks_up_elsewhere_is_not_guessed() {
        for text in [
            &b"[a]\nno equals sign\nhost=x\n"[..],
            b"[a]\nservice=b\nhost=x\n",
            b"[a]\nldap://directory/x\nhost=x\n",
            b"[a]\nhost=\xe9\n",
            &[&b"[b]\n#"[..], &[b'x'; 1100], b"\n[a]\nhost=x\n"].concat(),
        ] {
            assert_eq!(parse(text, "a"), Err(Unresolved), "{}", text.escape_ascii());
        }
        assert_eq!(parse(b"[ab]\nhost=x\n", "a"), Ok(None));
    }

    struct Variables<'a>(&'a [(&'a str, String)]);

    impl Environment for Variables<'_> {
        fn var(&self, name: &str) -> Option<String> {
            self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
        }

        fn libpq_home(&self) -> Option<PathBuf> {
            self.var("HOME").map(PathBuf::from)
        }
    }

    #[test]
    fn files_are_read_in_libpqs_order() {
        let folder = Scratch::folder();
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        for (name, text) in [
            ("home/.pg_service.conf", "[a]\nhost=home\n"),
            ("system/pg_service.conf", "[a]\nhost=system\n[s]\nhost=s\n"),
            ("named", "[a]\nhost=named\n"),
            ("broken", "[a]\nbroken\n"),
        ] {
            std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.join(name), text).unwrap();
        }
        let look = |service: &str, variables: &[(&str, String)]| {
            lookup(service, None, &Variables(variables)).ok()?.get(Param::Host).map(ToOwned::to_owned)
        };
        let home = ("HOME", path("home"));
        let system = ("PGSYSCONFDIR", path("system"));
        let file = |name: &str| ("PGSERVICEFILE", path(name));
        for (service, variables, expected) in [
            ("a", vec![home.clone(), system.clone()], Some("home")),
            ("s", vec![home.clone(), system.clone()], Some("s")),
            ("a", vec![("HOME", path("nowhere")), system.clone()], Some("system")),
            ("a", vec![home.clone(), system.clone(), file("named")], Some("named")),
            ("s", vec![home.clone(), system.clone(), file("named")], Some("s")),
            // libpq complains, and looks no further.
            ("a", vec![home.clone(), system.clone(), file("broken")], None),
            ("a", vec![home, system.clone(), file("absent")], None),
            ("a", vec![system.clone(), file("")], Some("system")),
            ("absent", vec![system], None),
        ] {
            assert_eq!(look(service, &variables).as_deref(), expected, "{service} {variables:?}");
        }
        let named = lookup("a", Some(&path("named")), &Variables(&[("PGSERVICEFILE", path("broken"))]));
        assert_eq!(named.unwrap().get(Param::Host), Some("named"));
    }
}
