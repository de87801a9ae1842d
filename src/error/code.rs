//! The kinds of failure, by names that programs may rely on; the documentation's page of error codes is generated from this table.

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// No credential is set up, or none of those that are is ready.
    CredentialUnavailable,
    /// A credential's settings are invalid.
    Misconfigured,
    /// The identity service refused a credential.
    AuthenticationFailed,
    /// The identity service could not be reached, did not answer, or failed itself.
    NoAnswer,
    /// The identity service is throttling requests.
    Throttled,
    /// The caller's timeout ended before there was a token.
    Timeout,
    /// A credential gave a token that has expired.
    ExpiredToken,
    /// A credential gave an empty token.
    EmptyToken,
    /// The server refused a token and the one before it.
    RefusedToken,
    /// A credential object of the caller's raised an exception.
    CredentialRaised,
    /// The fetch ended without an answer.
    Abandoned,
    /// The connection could send its token unencrypted.
    InsecureTransport,
    /// A token cannot be read.
    MalformedToken,
    /// A token names no user.
    NoUserName,
    /// A token is a guest's and does not name the role.
    GuestName,
    /// A token names no user, and one for Azure Resource Manager could not be obtained.
    ManagementToken,
    /// The `credential` argument is not a credential object, or does not fit here.
    InvalidCredential,
    /// An argument or a variable is invalid.
    InvalidArgument,
    /// The hosts take tokens of different scopes.
    AmbiguousScope,
}

/// What the documentation says of a code.
#[derive(Debug)]
pub struct Documented {
    /// The code.
    pub code: Code,
    /// Its name, which does not change.
    pub name: &'static str,
    /// The exception that carries it.
    pub exception: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

const fn documented(
    code: Code,
    name: &'static str,
    exception: &'static str,
    meaning: &'static str,
    remedy: &'static str,
) -> Documented {
    Documented { code, name, exception, meaning, remedy }
}

const LOGIN: &str = "EntraConnectionValueError";

/// All codes, in the order of the enumeration.
pub const CODES: [Documented; 19] = [
    documented(
        Code::CredentialUnavailable,
        "credential_unavailable",
        LOGIN,
        "No credential is set up here, or none of those that are is ready to be used.",
        "Sign in (`az login`), give the machine or app a managed identity, or set the variables of a service principal; \
         `attempts` lists what each credential needs.",
    ),
    documented(
        Code::Misconfigured,
        "misconfigured",
        LOGIN,
        "A setting of a credential is invalid, such as a certificate that cannot be read.",
        "Correct the setting that `cause` names.",
    ),
    documented(
        Code::AuthenticationFailed,
        "authentication_failed",
        LOGIN,
        "Microsoft Entra ID or a managed identity endpoint refused the credential.",
        "Look up `service_code`, the AADSTS code; `remedy` is specific to the common ones.",
    ),
    documented(
        Code::NoAnswer,
        "no_answer",
        LOGIN,
        "The identity service could not be reached, did not answer in time, or failed itself (HTTP 500 and above).",
        "Check the network, the proxy and the certificates that the process trusts; `remedy` says which. If the service itself \
         fails, try again later.",
    ),
    documented(
        Code::Throttled,
        "throttled",
        LOGIN,
        "The identity service is throttling requests.",
        "Wait for `retry_after` seconds, and share one credential object among connections.",
    ),
    documented(
        Code::Timeout,
        "timeout",
        LOGIN,
        "The time that the caller allows for connecting ended before there was a token.",
        "Allow more time, or find out why the identity service is slow; `attempts` has the outcome of the previous attempt.",
    ),
    documented(
        Code::ExpiredToken,
        "expired_token",
        LOGIN,
        "The credential gave a token that has already expired by this machine's clock.",
        "Set this machine's clock, then check the credential.",
    ),
    documented(
        Code::EmptyToken,
        "empty_token",
        LOGIN,
        "The credential gave an empty token.",
        "Check the credential object that the program passes.",
    ),
    documented(
        Code::RefusedToken,
        "refused_token",
        LOGIN,
        "The server refused a token and the one before it, so another one is not requested.",
        "Compare the role and the identity; see the server's message.",
    ),
    documented(
        Code::CredentialRaised,
        "credential_raised",
        LOGIN,
        "A credential object that the program passes raised an exception, which is the `__cause__`.",
        "See that exception.",
    ),
    documented(
        Code::Abandoned,
        "abandoned",
        LOGIN,
        "A request for a token ended without an answer: no thread could be started, or its event loop ended.",
        "Check the process's limits of threads and file descriptors.",
    ),
    documented(
        Code::InsecureTransport,
        "insecure_transport",
        "InsecureTransportError",
        "The connection's settings could send the token unencrypted, so none was requested.",
        "Use `sslmode=require` or stronger; without sslmode, Azure's servers get `verify-full`.",
    ),
    documented(
        Code::MalformedToken,
        "malformed_token",
        "TokenDecodeError",
        "The token is not a JWT whose payload can be read.",
        "Check that the credential is for Microsoft Entra ID, or pass `user`, which needs no claims.",
    ),
    documented(
        Code::NoUserName,
        "no_user_name",
        "UsernameExtractionError",
        "No claim of the token names a PostgreSQL role.",
        "Pass `user`, the name of the role that was created for the identity.",
    ),
    documented(
        Code::GuestName,
        "guest_name",
        "UsernameExtractionError",
        "The token belongs to a guest of the tenant and names the home account, which is not the role's name.",
        "Pass `user`, the guest's name in the server's tenant.",
    ),
    documented(
        Code::ManagementToken,
        "management_token",
        "ScopePermissionError",
        "The token names no user, and a token for Azure Resource Manager, which might, could not be obtained.",
        "Pass `user`, the name of the role; the second token is not needed then.",
    ),
    documented(
        Code::InvalidCredential,
        "invalid_credential",
        "CredentialValueError",
        "The `credential` argument is not a credential object, or does not fit here.",
        "Pass an object with `get_token`, asynchronous only where there is an event loop.",
    ),
    documented(
        Code::InvalidArgument,
        "invalid_argument",
        "ValueError",
        "An argument or an environment variable is invalid.",
        "Correct what the message names.",
    ),
    documented(
        Code::AmbiguousScope,
        "ambiguous_scope",
        "ValueError",
        "The hosts belong to different Azure clouds or services, and no token is valid for two of them.",
        "Pass `scope` to choose one.",
    ),
];

impl Code {
    /// The name for programs, which does not change.
    #[must_use]
    pub const fn name(self) -> &'static str {
        CODES[self as usize].name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_code_at_its_place() {
        for (index, documented) in CODES.iter().enumerate() {
            assert_eq!(documented.code as usize, index, "{}", documented.name);
            assert!(CODES[index + 1..].iter().all(|other| other.name != documented.name), "{}", documented.name);
            assert!(documented.name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'));
        }
    }
}
