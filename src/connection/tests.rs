use std::path::PathBuf;

use super::*;

const AZURE: &str = "srv.postgres.database.azure.com";
const LIBPQ: Driver = Driver::Libpq(180_000);

struct Variables<'a>(&'a [(&'a str, &'a str)]);

impl Environment for Variables<'_> {
    fn var(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    fn libpq_home(&self) -> Option<PathBuf> {
        None
    }
}

fn plan(driver: Driver, arguments: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<ConnectionPlan, Error> {
    let arguments = arguments.iter().copied().collect();
    ConnectionPlan::new(driver, Given { arguments, ..Given::default() }, &Variables(variables))
}

fn driver_settings(plan: &ConnectionPlan) -> Vec<(&'static str, String)> {
    let settings = plan.libpq_settings();
    Param::ALL.into_iter().filter_map(|param| Some((param.keyword(), settings.get(param)?.to_owned()))).collect()
}

fn pairs(list: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    list.iter().map(|(keyword, value)| (*keyword, (*value).to_owned())).collect()
}

#[test]
fn all_that_a_decision_rests_on_is_told() {
    let remote = plan(LIBPQ, &[("host", AZURE)], &[]).unwrap();
    let settings = [("host", AZURE), ("hostaddr", ""), ("sslmode", "verify-full"), ("gssencmode", "disable")];
    assert_eq!(driver_settings(&remote), pairs(&settings));
    let local = plan(LIBPQ, &[], &[("PGHOST", "localhost"), ("PGPORT", "7"), ("PGSSLMODE", "disable")]).unwrap();
    let settings = [("host", "localhost"), ("hostaddr", ""), ("port", "7"), ("sslmode", "disable")];
    assert_eq!(driver_settings(&local), pairs(&settings));
    let nowhere = plan(LIBPQ, &[("sslrootcert", "mine.pem")], &[]).unwrap();
    let settings = [
        ("host", ""),
        ("hostaddr", ""),
        ("sslmode", "verify-full"),
        ("sslrootcert", "mine.pem"),
        ("gssencmode", "disable"),
    ];
    assert_eq!(driver_settings(&nowhere), pairs(&settings));
}

#[test]
fn gssencmode_is_not_told_to_a_libpq_that_does_not_know_it() {
    let old = plan(Driver::Libpq(110_000), &[("host", AZURE)], &[]).unwrap();
    assert!(driver_settings(&old).iter().all(|(keyword, _)| *keyword != "gssencmode"));
}

#[test]
fn in_libpq_an_empty_host_hides_the_environment() {
    let plan = plan(LIBPQ, &[("host", ""), ("user", "")], &[("PGHOST", AZURE), ("PGUSER", "ada")]).unwrap();
    assert_eq!(plan.target.as_ref().map(|target| &*target.hosts), Some(&[][..]));
    assert_eq!(plan.param(Param::User), Some("ada"));
}

#[test]
fn a_service_that_cannot_be_looked_up_may_lead_anywhere() {
    let missing = [("PGSERVICE", "mine"), ("PGSERVICEFILE", "/nonexistent"), ("PGHOST", "localhost")];
    let unknown = plan(LIBPQ, &[], &missing).unwrap();
    assert!(unknown.target.is_none() && unknown.has_unresolved_service);
    assert_eq!(driver_settings(&unknown), pairs(&[("sslmode", "verify-full"), ("gssencmode", "disable")]));
    assert!(plan(LIBPQ, &[("sslmode", "prefer")], &missing).is_err());
    // What the caller names wins over a service, whatever that says.
    let known = plan(LIBPQ, &[("host", "localhost")], &missing).unwrap();
    assert_eq!(driver_settings(&known), pairs(&[("host", "localhost"), ("hostaddr", "")]));
    // And that wins over the environment, of which only what decides about protection is disregarded.
    let with_port = [&missing[..], &[("PGPORT", "7"), ("PGCONNECT_TIMEOUT", "5")]].concat();
    let known = plan(LIBPQ, &[("host", "localhost")], &with_port).unwrap();
    assert_eq!(known.timeout(), Some(5.0));
    assert_eq!(driver_settings(&known), pairs(&[("host", "localhost"), ("hostaddr", "")]));
}

#[test]
fn a_service_that_cannot_be_read_says_what_protects_the_connection_before_the_environment_does() {
    let missing = [("PGSERVICE", "mine"), ("PGSERVICEFILE", "/nonexistent"), ("PGSSLMODE", "prefer")];
    let remote = plan(LIBPQ, &[("host", "db.example.com")], &missing).unwrap();
    let settings =
        [("host", "db.example.com"), ("hostaddr", ""), ("sslmode", "verify-full"), ("gssencmode", "disable")];
    assert_eq!(driver_settings(&remote), pairs(&settings));
    let local = plan(LIBPQ, &[("host", "localhost")], &missing).unwrap();
    assert_eq!(driver_settings(&local), pairs(&[("host", "localhost"), ("hostaddr", "")]));
    assert!(plan(LIBPQ, &[("host", "db.example.com"), ("sslmode", "prefer")], &missing).is_err());
}

#[test]
fn settings_show_no_password() {
    let given = plan(LIBPQ, &[("host", "localhost"), ("user", "ada"), ("password", "s3cret")], &[]).unwrap();
    assert_eq!(format!("{:?}", given.params), r#"{"user": "ada", "password": "****", "host": "localhost"}"#);
}

#[test]
fn each_driver_has_its_own_variables() {
    let variables = [("PGHOST", "localhost"), ("PGHOSTADDR", "127.0.0.1"), ("PGSSLMODE", "require"), ("PGUSER", "ada")];
    let hosts = |driver| {
        let plan = plan(driver, &[], &variables).unwrap();
        assert_eq!(plan.param(Param::User), Some("ada"));
        assert_eq!(plan.param(Param::SslMode), Some("require"));
        let target = plan.target.unwrap();
        (target.hosts, target.addresses)
    };
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(hosts(LIBPQ), (texts(&["localhost"]), texts(&["127.0.0.1"])));
    assert_eq!(hosts(Driver::Asyncpg), (texts(&["localhost"]), texts(&[])));
    assert_eq!(hosts(Driver::Pg8000), (texts(&[]), texts(&[])));
    let target = plan(Driver::Pg8000, &[("host", "a"), ("port", "7")], &variables).unwrap().target.unwrap();
    assert_eq!((target.hosts, target.ports), (texts(&["a"]), texts(&["7"])));
}

#[test]
fn a_plain_login_stays_as_it_is() {
    let own = plan(LIBPQ, &[("host", "db.example.com"), ("user", "ada"), ("password", "x")], &[]).unwrap();
    assert!(own.has_credentials && driver_settings(&own).is_empty());
    let azure = plan(LIBPQ, &[("host", AZURE), ("user", "ada"), ("password", "x")], &[]).unwrap();
    assert_eq!(driver_settings(&azure), pairs(&[("sslmode", "verify-full")]));
    assert!(!plan(LIBPQ, &[("host", AZURE), ("password", "x")], &[]).unwrap().has_credentials);
    // For programs that ask for no Entra login.
    assert!(!plan(LIBPQ, &[("host", AZURE), ("user", "ada")], &[("PGPASSWORD", "x")]).unwrap().has_credentials);
}

#[test]
fn the_limit_is_a_number_of_seconds() {
    let timeout = |value| plan(LIBPQ, &[("connect_timeout", value)], &[]).unwrap().timeout();
    assert_eq!(timeout("7"), Some(7.0));
    assert_eq!(timeout(" 0.5 "), Some(0.5));
    for none in ["0", "-1", "soon", "", "inf", "nan", "1e300"] {
        assert_eq!(timeout(none), None, "{none}");
    }
    // asyncpg's own default.
    let timeout = |arguments: &[_]| plan(Driver::Asyncpg, arguments, &[]).unwrap().timeout();
    assert_eq!((timeout(&[]), timeout(&[("connect_timeout", "7")])), (Some(60.0), Some(7.0)));
}

#[test]
fn the_hosts_decide_for_which_service_a_token_is() {
    let scope = |host| plan(LIBPQ, &[("host", host)], &[]).unwrap().scope();
    let china = "srv.postgres.database.chinacloudapi.cn";
    assert_eq!(scope(AZURE).unwrap(), cloud::Cloud::Public.database_scope());
    assert_eq!(scope(china).unwrap(), cloud::Cloud::China.database_scope());
    assert!(matches!(scope(&format!("{AZURE},{china}")), Err(Error::AmbiguousScope)));
}
