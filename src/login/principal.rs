//! From claims to the name of a PostgreSQL role.

use super::claims::Claims;

const RESOURCE_ID: &str = "xms_mirid";
const USER_ASSIGNED: &str = "providers/microsoft.managedidentity/userassignedidentities";

/// Name of the user-assigned managed identity in an `xms_mirid` claim; `None` for any other resource.
#[must_use]
pub fn user_assigned_identity(resource_id: &str) -> Option<&str> {
    let (parent, name) = resource_id.rsplit_once('/')?;
    (!name.is_empty() && parent.to_ascii_lowercase().ends_with(USER_ASSIGNED)).then_some(name)
}

/// Name of the Azure resource in an `xms_mirid` claim, which is the role of a system-assigned identity.
///
/// The name of a nested resource consists of all segments after its type: `shop/slots/staging` for a deployment slot of App Service.
fn resource_name(resource_id: &str) -> Option<&str> {
    const PROVIDERS: &str = "/providers/";
    let begin = resource_id.to_ascii_lowercase().rfind(PROVIDERS)? + PROVIDERS.len();
    let name = resource_id[begin..].splitn(3, '/').nth(2)?;
    name.split('/').all(|segment| !segment.is_empty()).then_some(name)
}

/// The mark of a guest in a user principal name.
const GUEST: &str = "#EXT#";

/// Home account of a guest whose token lacks the guest's name in this tenant, which is the role's name.
///
/// Such tokens have no `upn`. Their other names are the account's in its own tenant, for a personal one with the identity
/// provider before it (`live.com#pat@example.org`). `idp` is then another than this tenant's issuer: Microsoft's "Access
/// token claims reference".
#[must_use]
pub fn guest_account(claims: &Claims) -> Option<&str> {
    let name = claims.text("preferred_username").or_else(|| claims.text("unique_name"))?;
    if claims.text("upn").is_some() || name.contains(GUEST) {
        return None;
    }
    let elsewhere = match (claims.text("idp"), claims.text("tid")) {
        (Some(idp), Some(tenant)) => !idp.to_ascii_lowercase().contains(&tenant.to_ascii_lowercase()),
        _ => false,
    };
    (elsewhere || name.contains('#')).then_some(name)
}

/// Form of a guest's role name, `pat_example.org#EXT#@TENANT.onmicrosoft.com`; the tenant's own domain is not
/// in the token.
#[must_use]
pub fn guest_role(account: &str) -> String {
    let mail = account.rsplit_once('#').map_or(account, |(_, mail)| mail);
    format!("{}{GUEST}@TENANT.onmicrosoft.com", mail.replace('@', "_"))
}

/// The claim that names the role, and the role's name.
///
/// A user-assigned identity's name is certain, so it comes first; then the names of users; then the resource of a
/// system-assigned identity; then an application's display name, which few tokens carry. A guest's home account is not a role
/// name, see [`guest_account`]. The name can still be wrong, because roles match by object id and an administrator may give
/// them any name. That is why an explicit user always wins.
#[must_use]
pub fn principal(claims: &Claims) -> Option<(&'static str, &str)> {
    let named = |claim| claims.text(claim).map(|name| (claim, name));
    let in_resource_id =
        |name: fn(&str) -> Option<&str>| claims.text(RESOURCE_ID).and_then(name).map(|name| (RESOURCE_ID, name));
    if guest_account(claims).is_some() {
        return None;
    }
    in_resource_id(user_assigned_identity)
        .or_else(|| named("upn"))
        .or_else(|| named("preferred_username"))
        .or_else(|| named("unique_name"))
        .or_else(|| in_resource_id(resource_name))
        .or_else(|| named("app_displayname"))
}

/// The role name alone.
#[must_use]
pub fn principal_name(claims: &Claims) -> Option<&str> {
    principal(claims).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    use super::*;

    const USER_ASSIGNED_ID: &str =
        "/subscriptions/1/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";
    const VIRTUAL_MACHINE_ID: &str =
        "/subscriptions/1/resourcegroups/rg/providers/Microsoft.Compute/virtualMachines/vm-1";
    const SLOT_ID: &str = "/subscriptions/1/resourceGroups/rg/providers/Microsoft.Web/sites/shop/slots/staging";

    fn name(claims: &Value) -> Option<String> {
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        principal_name(&Claims::of_token(&format!("h.{payload}.s")).unwrap()).map(ToOwned::to_owned)
    }

    #[test]
    fn precedence() {
        for (claims, expected) in [
            (json!({"xms_mirid": USER_ASSIGNED_ID, "upn": "a@b"}), Some("orders")),
            (json!({"upn": "a@b", "preferred_username": "c@d", "unique_name": "e@f"}), Some("a@b")),
            (json!({"preferred_username": "c@d", "unique_name": "e@f"}), Some("c@d")),
            (json!({"unique_name": "e@f", "app_displayname": "app"}), Some("e@f")),
            (json!({"xms_mirid": VIRTUAL_MACHINE_ID, "upn": "a@b"}), Some("a@b")),
            (json!({"xms_mirid": VIRTUAL_MACHINE_ID, "app_displayname": "app"}), Some("vm-1")),
            (json!({"app_displayname": "app"}), Some("app")),
            (json!({"xms_mirid": SLOT_ID}), Some("shop/slots/staging")),
            (json!({"xms_mirid": SLOT_ID.to_uppercase()}), Some("SHOP/SLOTS/STAGING")),
            (json!({"xms_mirid": format!("{SLOT_ID}/")}), None),
            (json!({"xms_mirid": format!("{VIRTUAL_MACHINE_ID}/providers/Microsoft.X/things/inner")}), Some("inner")),
            (json!({"xms_mirid": "/subscriptions/1/resourceGroups/rg/providers/Microsoft.Web/sites"}), None),
            (
                json!({"upn": "guest_gmail.com#EXT#@contoso.onmicrosoft.com"}),
                Some("guest_gmail.com#EXT#@contoso.onmicrosoft.com"),
            ),
            (json!({"xms_mirid": 7, "upn": ["a"], "unique_name": ""}), None),
            (json!({"xms_mirid": "no-slash"}), None),
            (json!({"oid": "1", "appid": "2"}), None),
        ] {
            assert_eq!(name(&claims).as_deref(), expected, "{claims}");
        }
    }

    #[test]
    fn a_guest_is_known_by_its_home_account_only() {
        let tenant = "0a0a";
        for (claims, account, role) in [
            (
                json!({"unique_name": "live.com#pat@example.org", "idp": "live.com", "tid": tenant}),
                Some("live.com#pat@example.org"),
                "pat_example.org#EXT#@TENANT.onmicrosoft.com",
            ),
            (
                json!({"preferred_username": "pat@example.org", "idp": "https://sts.windows.net/0b0b/", "tid": tenant}),
                Some("pat@example.org"),
                "pat_example.org#EXT#@TENANT.onmicrosoft.com",
            ),
            (
                json!({"unique_name": "mail#pat_a@example.org"}),
                Some("mail#pat_a@example.org"),
                "pat_a_example.org#EXT#@TENANT.onmicrosoft.com",
            ),
            (json!({"unique_name": "pat_e.org#EXT#@c.com", "idp": "live.com", "tid": tenant}), None, ""),
            (
                json!({"upn": "pat@c.com", "unique_name": "live.com#pat@e.org", "idp": "live.com", "tid": tenant}),
                None,
                "",
            ),
            (json!({"unique_name": "pat@c.com", "idp": "https://sts.windows.net/0A0A/", "tid": tenant}), None, ""),
            (json!({"unique_name": "pat@c.com", "tid": tenant}), None, ""),
        ] {
            let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
            let read = Claims::of_token(&format!("h.{payload}.s")).unwrap();
            assert_eq!(guest_account(&read), account, "{claims}");
            assert_eq!(principal(&read).is_none(), account.is_some(), "{claims}");
            if let Some(account) = account {
                assert_eq!(guest_role(account), role);
            }
        }
    }

    #[test]
    fn the_claim_is_told() {
        for (claims, expected) in [
            (json!({"xms_mirid": USER_ASSIGNED_ID, "upn": "a@b"}), "xms_mirid"),
            (json!({"xms_mirid": VIRTUAL_MACHINE_ID, "upn": "a@b"}), "upn"),
            (json!({"preferred_username": "c@d", "unique_name": "e@f"}), "preferred_username"),
            (json!({"unique_name": "e@f"}), "unique_name"),
            (json!({"xms_mirid": VIRTUAL_MACHINE_ID}), "xms_mirid"),
            (json!({"app_displayname": "app"}), "app_displayname"),
        ] {
            let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
            let claims = Claims::of_token(&format!("h.{payload}.s")).unwrap();
            assert_eq!(principal(&claims).unwrap().0, expected, "{claims:?}");
        }
    }

    #[test]
    fn user_assigned_identities_only() {
        for (resource_id, expected) in [
            (USER_ASSIGNED_ID, Some("orders")),
            ("PROVIDERS/MICROSOFT.MANAGEDIDENTITY/USERASSIGNEDIDENTITIES/Orders", Some("Orders")),
            ("/subscriptions/1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/", None),
            (VIRTUAL_MACHINE_ID, None),
            ("no-slash", None),
            ("", None),
        ] {
            assert_eq!(user_assigned_identity(resource_id), expected, "{resource_id}");
        }
    }
}
