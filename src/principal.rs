//! From claims to the name of a PostgreSQL role.

use crate::claims::Claims;

const RESOURCE_ID: &str = "xms_mirid";
const USER_ASSIGNED: &str = "providers/microsoft.managedidentity/userassignedidentities";

/// Name of the user-assigned managed identity that an `xms_mirid` claim names; `None` for every other resource.
#[must_use]
pub fn user_assigned_identity(resource_id: &str) -> Option<&str> {
    let (parent, name) = resource_id.rsplit_once('/')?;
    (!name.is_empty() && parent.to_ascii_lowercase().ends_with(USER_ASSIGNED)).then_some(name)
}

/// Name of the Azure resource that an `xms_mirid` claim names: the role of a system-assigned identity is called so.
fn resource_name(resource_id: &str) -> Option<&str> {
    let (parent, name) = resource_id.rsplit_once('/')?;
    (!name.is_empty() && parent.to_ascii_lowercase().contains("/providers/")).then_some(name)
}

/// The claim that names a role, and the role's name, as a token's claims suggest it.
///
/// A user-assigned identity's name is certain, so it comes first; then what users are called; then the resource of a
/// system-assigned identity; then an application's display name, which few tokens carry. A name can still be wrong: roles
/// match by object id and an administrator may have called them anything. That is why an explicit user always wins.
#[must_use]
pub fn principal(claims: &Claims) -> Option<(&'static str, &str)> {
    let said = |claim| claims.text(claim).map(|name| (claim, name));
    let in_resource_id =
        |name: fn(&str) -> Option<&str>| claims.text(RESOURCE_ID).and_then(name).map(|name| (RESOURCE_ID, name));
    in_resource_id(user_assigned_identity)
        .or_else(|| said("upn"))
        .or_else(|| said("preferred_username"))
        .or_else(|| said("unique_name"))
        .or_else(|| in_resource_id(resource_name))
        .or_else(|| said("app_displayname"))
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
