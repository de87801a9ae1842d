//! Time limits that several modules share or that depend on each other; a limit of one module is beside its use.

use std::time::Duration;

use socket2::TcpKeepalive;

/// How long a login waits for its token unless the caller sets a limit.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one fetch may take in all, whatever the links of a chain take each: a second less than [`LOGIN_TIMEOUT`], so that the
/// callers get the fetch's own error.
pub const FETCH_LIMIT: Duration = Duration::from_secs(LOGIN_TIMEOUT.as_secs() - 1);

/// How long a developer tool may run by default, as in azure-identity for Python (`process_timeout`).
pub const PROCESS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a TCP connection may take to be established, to an identity service or to one address of a server.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// When the proxy's connections are probed: well before load balancers drop silent ones, which Azure's do after four minutes.
pub const TCP_KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10));

/// The longest life of a token. Later dates are mistakes, such as milliseconds for seconds, or mean "never", such as
/// `sys.maxsize`; and dates must not overflow.
pub const LIFE_AT_MOST: Duration = Duration::from_secs(366 * 24 * 3600);
