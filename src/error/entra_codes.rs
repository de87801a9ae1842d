//! What to do about Entra ID's common refusals, by their AADSTS code.
//!
//! Sources: "Microsoft Entra authentication and authorization error codes", and what people asked about them.

/// Each sentence ends what the service said itself.
const ADVICE: &[(u32, &str)] = &[
    (7_000_215, "The client secret is wrong: it has to be the secret's value, which is shown once, not its id."),
    (7_000_222, "The client secret has expired: make a new one at the application's Certificates & secrets."),
    (7_000_216, "The application needs a secret, a certificate or a federated credential to show."),
    (7_000_112, "The application is disabled in its tenant: have an administrator enable it."),
    (7_000_229, "The application has no service principal in this tenant: have an administrator consent to it."),
    (700_016, "The application is not known in this tenant: check the client id, then the tenant id."),
    (700_027, "The certificate is not one that the application knows, or it has expired: upload its public part."),
    (700_030, "The certificate's subject is not the one that the application trusts."),
    (50_012, "The assertion was signed with another key than that of the certificate that it names."),
    (
        700_024,
        "The assertion is too old or not valid yet: check this machine's clock, and that its token file is renewed.",
    ),
    (
        500_133,
        "The assertion is too old or not valid yet: check this machine's clock, and that its token file is renewed.",
    ),
    (
        70_021,
        "No federated credential of the application matches: compare its issuer, subject and audience to the token's.",
    ),
    (700_211, "No federated credential of the application has the token's issuer."),
    (
        700_212,
        "No federated credential of the application has the token's audience, usually api://AzureADTokenExchange.",
    ),
    (
        700_213,
        "No federated credential of the application has the token's subject; for Kubernetes, namespace and account.",
    ),
    (90_002, "There is no such tenant in this cloud: check the tenant id, and AZURE_AUTHORITY_HOST for the cloud."),
    (900_023, "The tenant id is neither a GUID nor a domain."),
    (50_034, "The user does not exist in this tenant: sign in to the user's own, or have the user invited as a guest."),
    (50_020, "The user belongs to another tenant and is no guest of this one: name the user's own tenant."),
    (50_057, "The user's account is disabled: have an administrator enable it."),
    (50_053, "The account is locked after too many failed attempts; wait, or have an administrator unlock it."),
    (50_055, "The user's password has expired: sign in with a browser once to change it."),
    (50_126, "User name or password is wrong."),
    (50_105, "The application lets only assigned users in: have an administrator assign this one."),
    (50_076, "Multi-factor authentication is required: sign in with a browser."),
    (50_079, "Multi-factor authentication has to be set up: sign in with a browser."),
    (50_173, "The sign-in was revoked, after a change of password for one: sign in again."),
    (700_082, "The sign-in has expired after a long time without use: sign in again."),
    (70_043, "The sign-in has expired by a policy of the tenant: sign in again."),
    (53_000, "Conditional access asks for a compliant device, which this one is not."),
    (53_001, "Conditional access asks for a device that has joined the domain, which this one has not."),
    (53_003, "Conditional access forbids it: ask the tenant's administrator which policy does, with the ids above."),
    (530_003, "Conditional access asks for a managed device, which this one is not."),
    (500_011, "The tenant does not know the resource: the scope may belong to another cloud than the authority."),
    (650_057, "The application has no permission for this resource: add it to the application's API permissions."),
    (65_001, "Nobody consented to the application: have the user or an administrator do so."),
    (1_002_012, "A scope for applications ends in /.default."),
];

/// The code in a text of Entra ID's.
fn code(text: &str) -> Option<u32> {
    const PREFIX: &str = "AADSTS";
    let digits = &text[text.find(PREFIX)? + PREFIX.len()..];
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// What to do about a refusal that Entra ID worded like this; `None` where its own words say it best.
#[must_use]
pub fn advice(text: &str) -> Option<&'static str> {
    let code = code(text)?;
    ADVICE.iter().find(|(known, _)| *known == code).map(|(_, advice)| *advice)
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
        assert!(advice("AADSTS7000215: x").is_some_and(|text| text.contains("secret")));
        assert_eq!(advice("AADSTS1: x"), None);
    }

    #[test]
    fn every_code_is_there_once_and_every_sentence_ends() {
        for (index, (code, advice)) in ADVICE.iter().enumerate() {
            assert!(ADVICE[index + 1..].iter().all(|(other, _)| other != code), "{code} twice");
            assert!(advice.ends_with('.') && advice.len() <= 120, "{advice}");
        }
    }
}
