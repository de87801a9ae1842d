//! What the fuzzer checks of developers' tools: whatever they print, no error shows a token.
//!
//! An input is the name of a tool and its exit code on a line, its standard output, a line `%%`, and its standard error.

use std::process::ExitStatus;

use super::{Output, azure_cli, azure_developer_cli, azure_powershell, without_controls};
use crate::credential::fuzz::{TOKEN, check_outcome};

/// Read `input` as the output of a tool.
///
/// # Panics
/// A property does not hold.
pub fn check(input: &[u8]) {
    // Tools write anything; what is no text has been replaced before it is read.
    let text = String::from_utf8_lossy(input);
    let Some((head, output)) = text.split_once('\n') else { return };
    let (stdout, stderr) = output.split_once("\n%%\n").unwrap_or((output, ""));
    let plain = |text: &str| {
        let plain = without_controls(text);
        assert!(plain.len() <= text.len() && !plain.contains("\x1b["), "a colour is left: {plain:?}");
        plain.replace("{token}", TOKEN)
    };
    let (tool, code) = head.split_once(' ').unwrap_or((head, ""));
    let status = code.parse().ok().map(exit_status);
    let output = Output { status, stdout: plain(stdout), stderr: plain(stderr) };
    let outcome = match tool {
        "az" => azure_cli::answer(&output, None),
        "azd" => azure_developer_cli::answer(&output, Some("contoso.example")),
        "pwsh" => azure_powershell::answer(&output, None),
        _ => return,
    };
    if let Ok(token) = &outcome {
        assert!(status.is_none_or(|status| status.success()), "a tool that failed gives a token");
        assert!(!token.secret.expose().is_empty(), "a token has letters");
    }
    check_outcome(&outcome, &[]);
}

#[cfg(unix)]
fn exit_status(code: u8) -> ExitStatus {
    std::os::unix::process::ExitStatusExt::from_raw(i32::from(code) << 8)
}

#[cfg(windows)]
fn exit_status(code: u8) -> ExitStatus {
    std::os::windows::process::ExitStatusExt::from_raw(code.into())
}
