//! Entra ID's refusals by their AADSTS code: what each means, and what to do about it.
//!
//! Sources: "Microsoft Entra authentication and authorization error codes", and what people asked about them.

/// A refusal that is known.
#[derive(Debug)]
pub struct EntraError {
    /// The number after [`PREFIX`].
    pub code: u32,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// The same by the credential that was asked, where it can be said more precisely.
    pub remedies: &'static [(&'static str, &'static str)],
}

impl EntraError {
    /// What to do where this credential was refused.
    #[must_use]
    pub fn remedy_for(&self, credential: &str) -> &'static str {
        self.remedies.iter().find(|(name, _)| *name == credential).map_or(self.remedy, |(_, remedy)| *remedy)
    }
}

/// Where an application signs its assertions itself, Entra ID knows their keys by the certificates that were uploaded.
const UPLOAD_CERTIFICATE: &str = "upload the certificate's public part to the application, a new one if it has expired";

/// The remedy for a sign-in that is over.
pub const SIGN_IN_AGAIN: &str = "sign in again";

const fn known(
    code: u32,
    meaning: &'static str,
    remedy: &'static str,
    remedies: &'static [(&'static str, &'static str)],
) -> EntraError {
    EntraError { code, meaning, remedy, remedies }
}

/// What begins each code.
pub const PREFIX: &str = "AADSTS";

/// The refusals.
pub const ENTRA_ERRORS: &[EntraError] = &[
    known(
        7_000_215,
        "The client secret is wrong",
        "use the secret's value, which is shown once, not its id",
        &[("EnvironmentCredential", "put a secret that is valid now into AZURE_CLIENT_SECRET: its value, not its id")],
    ),
    known(
        7_000_222,
        "The client secret has expired",
        "make a new one at the application's Certificates & secrets",
        &[("EnvironmentCredential", "put a secret that is valid now into AZURE_CLIENT_SECRET: its value, not its id")],
    ),
    known(
        7_000_216,
        "The application is confidential and was given no secret, certificate or federated credential",
        "give it one of them",
        &[],
    ),
    known(7_000_112, "The application is disabled in its tenant", "have an administrator enable it", &[]),
    known(
        7_000_229,
        "The application has no service principal in this tenant",
        "have an administrator consent to it",
        &[],
    ),
    known(
        700_016,
        "The application is not known in this tenant",
        "check the client id, then the tenant id",
        &[(
            "EnvironmentCredential",
            "check AZURE_CLIENT_ID and AZURE_TENANT_ID: the application is not in that tenant",
        )],
    ),
    known(
        700_027,
        "The assertion was signed with a key that Entra ID does not know for it",
        "check that the token comes from the issuer that it names, and that the issuer publishes the key that signed it",
        &[("CertificateCredential", UPLOAD_CERTIFICATE), ("EnvironmentCredential", UPLOAD_CERTIFICATE)],
    ),
    known(
        700_030,
        "The certificate's subject is not the one that the application trusts",
        "compare it with the application's trusted subjects",
        &[],
    ),
    known(
        50_012,
        "The assertion was signed with another key than that of the certificate that it names",
        "give the certificate with its own private key",
        &[],
    ),
    known(
        700_024,
        "The assertion is too old or not valid yet",
        "check this machine's clock, and that its token file is renewed",
        &[
            ("EnvironmentCredential", "set this machine's clock, and keep it synchronized (NTP)"),
            ("CertificateCredential", "set this machine's clock, and keep it synchronized (NTP)"),
            (
                "WorkloadIdentityCredential",
                "see that the federated token's file, AZURE_FEDERATED_TOKEN_FILE, is renewed",
            ),
        ],
    ),
    known(
        500_133,
        "The assertion is too old or not valid yet",
        "check this machine's clock, and that its token file is renewed",
        &[
            ("EnvironmentCredential", "set this machine's clock, and keep it synchronized (NTP)"),
            ("CertificateCredential", "set this machine's clock, and keep it synchronized (NTP)"),
            (
                "WorkloadIdentityCredential",
                "see that the federated token's file, AZURE_FEDERATED_TOKEN_FILE, is renewed",
            ),
        ],
    ),
    known(
        70_021,
        "No federated credential of the application matches",
        "compare its issuer, subject and audience to the token's",
        &[],
    ),
    known(
        700_211,
        "No federated credential of the application has the token's issuer",
        "add one that matches the token's issuer, subject and audience",
        &[],
    ),
    known(
        700_212,
        "No federated credential of the application has the token's audience, usually api://AzureADTokenExchange",
        "add one that matches the token's issuer, subject and audience",
        &[],
    ),
    known(
        700_213,
        "No federated credential of the application has the token's subject; for Kubernetes, namespace and account",
        "add one that matches the token's issuer, subject and audience",
        &[],
    ),
    known(
        90_002,
        "There is no such tenant in this cloud",
        "check the tenant id, and the cloud that AZURE_AUTHORITY_HOST names",
        &[
            ("EnvironmentCredential", "check AZURE_TENANT_ID, and the cloud that AZURE_AUTHORITY_HOST names"),
            ("WorkloadIdentityCredential", "check AZURE_TENANT_ID, and the cloud that AZURE_AUTHORITY_HOST names"),
        ],
    ),
    known(
        900_023,
        "The tenant id is neither a GUID nor a domain",
        "check the tenant id",
        &[
            ("EnvironmentCredential", "check AZURE_TENANT_ID, and the cloud that AZURE_AUTHORITY_HOST names"),
            ("WorkloadIdentityCredential", "check AZURE_TENANT_ID, and the cloud that AZURE_AUTHORITY_HOST names"),
        ],
    ),
    known(
        50_034,
        "The user does not exist in this tenant",
        "sign in to the user's own, or have the user invited as a guest",
        &[],
    ),
    known(50_020, "The user belongs to another tenant and is no guest of this one", "name the user's own tenant", &[]),
    known(50_057, "The user's account is disabled", "have an administrator enable it", &[]),
    known(
        50_053,
        "The account is locked after too many failed attempts",
        "wait, or have an administrator unlock it",
        &[],
    ),
    known(50_055, "The user's password has expired", "sign in with a browser once to change it", &[]),
    known(50_126, "The user name or the password is wrong", "correct them", &[]),
    known(50_105, "The application admits assigned users only", "have an administrator assign this one", &[]),
    known(50_076, "Multi-factor authentication is required", "sign in with a browser", &[]),
    known(50_079, "Multi-factor authentication has to be set up", "sign in with a browser", &[]),
    known(50_173, "The sign-in was revoked, for example by a change of the password", SIGN_IN_AGAIN, &[]),
    known(700_082, "The sign-in has expired after a long time without use", SIGN_IN_AGAIN, &[]),
    known(70_043, "The sign-in has expired by a policy of the tenant", SIGN_IN_AGAIN, &[]),
    known(53_000, "Conditional access asks for a compliant device, which this one is not", "sign in on one", &[]),
    known(
        53_001,
        "Conditional access asks for a device that has joined the domain, which this one has not",
        "sign in on one",
        &[],
    ),
    known(
        53_003,
        "Conditional access forbids it",
        "ask the tenant's administrator which policy does, with the ids above",
        &[],
    ),
    known(530_003, "Conditional access asks for a managed device, which this one is not", "sign in on one", &[]),
    known(
        500_011,
        "The tenant does not know the resource",
        "the scope may belong to another cloud than the authority",
        &[],
    ),
    known(
        650_057,
        "The application has no permission for this resource",
        "add it to the application's API permissions",
        &[],
    ),
    known(65_001, "Nobody consented to the application", "have the user or an administrator do so", &[]),
    known(1_002_012, "A scope for applications ends in /.default", "add /.default to it", &[]),
];

/// The code in a text of Entra ID's, or of a tool that quotes it.
#[must_use]
pub fn code(text: &str) -> Option<u32> {
    let digits = &text[text.find(PREFIX)? + PREFIX.len()..];
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// What is known of a code.
#[must_use]
pub fn find(code: u32) -> Option<&'static EntraError> {
    ENTRA_ERRORS.iter().find(|known| known.code == code)
}

/// The first sentence of a text that quotes Entra ID, from the code on: what follows are further explanations and ids.
#[must_use]
pub fn first_sentence(text: &str) -> &str {
    let text = text[text.find(PREFIX).unwrap_or_default()..].lines().next().unwrap_or_default();
    let is_end = |(at, _): &(usize, &str)| text[at + 2..].starts_with(|letter: char| letter.is_ascii_uppercase());
    let sentence = text.match_indices(". ").find(is_end).map_or(text, |(at, _)| &text[..at]);
    let ids = [" Trace ID:", " (Trace"].iter().filter_map(|begin| sentence.find(begin)).min();
    sentence[..ids.unwrap_or(sentence.len())].trim_end_matches(['.', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_text() {
        for (text, expected) in [
            ("AADSTS7000215: Invalid client secret provided.", Some(7_000_215)),
            ("ERROR: AADSTS53003", Some(53_003)),
            ("AADSTS: none", None),
            ("no code", None),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
        assert!(find(7_000_215).is_some_and(|known| known.meaning.contains("secret")));
        assert!(find(1).is_none());
    }

    #[test]
    fn the_first_sentence_has_no_ids() {
        for (text, expected) in [
            ("AADSTS1: Bad. Trace ID: 1 Correlation ID: 2", "AADSTS1: Bad"),
            ("ERROR: AADSTS1: Version 1.2 is old. This can happen.", "AADSTS1: Version 1.2 is old"),
            ("AADSTS1: Bad Trace ID: 1", "AADSTS1: Bad"),
            ("AADSTS1: Bad.\nMore", "AADSTS1: Bad"),
            ("AADSTS1", "AADSTS1"),
        ] {
            assert_eq!(first_sentence(text), expected, "{text}");
        }
    }

    #[test]
    fn every_code_is_there_once_and_has_clauses_to_join() {
        for (index, known) in ENTRA_ERRORS.iter().enumerate() {
            assert!(ENTRA_ERRORS[index + 1..].iter().all(|other| other.code != known.code), "{} twice", known.code);
            let remedies = known.remedies.iter().map(|(_, remedy)| *remedy);
            for clause in [known.meaning, known.remedy].into_iter().chain(remedies) {
                assert!(!clause.is_empty() && !clause.ends_with('.') && clause.len() <= 120, "{clause}");
            }
        }
    }
}
