//! Who may do something with a file, by its access control list.

use std::{fs::File, io, mem, os::windows::io::AsRawHandle, ptr};

use windows::{
    Win32::{
        Foundation::{CloseHandle, HANDLE, HLOCAL, LocalFree},
        Security::{
            ACCESS_ALLOWED_ACE, ACE_HEADER, ACL,
            Authorization::{GetSecurityInfo, SE_FILE_OBJECT},
            DACL_SECURITY_INFORMATION, EqualSid, GetAce, GetTokenInformation, IsWellKnownSid, LookupAccountSidW,
            OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SECURITY_MAX_SID_SIZE, SID_NAME_USE, TOKEN_QUERY,
            TOKEN_USER, TokenUser, WinBuiltinAdministratorsSid, WinCreatorOwnerRightsSid, WinCreatorOwnerSid,
            WinLocalSystemSid,
        },
        System::{
            SystemServices::{ACCESS_ALLOWED_ACE_TYPE, ACCESS_DENIED_ACE_TYPE},
            Threading::{GetCurrentProcess, OpenProcessToken},
        },
    },
    core::PWSTR,
};

/// Checks that a file or folder belongs to this user and is closed to all others but the system and its administrators.
///
/// # Errors
/// It is not, with the reason as the rest of a sentence about it.
pub fn check_private(file: &File) -> Result<(), String> {
    let unknown = |error: io::Error| format!("does not say who has access to it ({error})");
    let user = User::current().map_err(unknown)?;
    let access = Access::of(file).map_err(unknown)?;
    if !user.trusts(access.owner) {
        return Err(format!("belongs to {}", name(access.owner)));
    }
    for entry in access.entries().map_err(unknown)? {
        match entry {
            Entry::Allowed(account) if !user.trusts(account) => return Err(format!("is open to {}", name(account))),
            Entry::Other => return Err("has access rules of an unusual kind".to_owned()),
            Entry::Allowed(_) | Entry::Denied => {}
        }
    }
    Ok(())
}

/// The account that this process runs as, with room for the identifier that it points to.
#[repr(C)]
struct User {
    account: TOKEN_USER,
    _identifier: [u8; SECURITY_MAX_SID_SIZE as usize],
}

#[allow(unsafe_code)]
impl User {
    fn current() -> io::Result<Box<Self>> {
        let mut user = Box::new(Self { account: TOKEN_USER::default(), _identifier: [0; _] });
        let size = u32::try_from(mem::size_of::<Self>()).map_err(io::Error::other)?;
        let mut token = HANDLE::default();
        let mut length = 0;
        // SAFETY: the pseudo handle of this process needs no closing; the token is closed below.
        unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token)? };
        let into = Some(ptr::from_mut(&mut *user).cast());
        // SAFETY: there is room for the structure and, behind it, for the longest identifier.
        let told = unsafe { GetTokenInformation(token, TokenUser, into, size, &raw mut length) };
        // SAFETY: it was opened above and is used no more.
        unsafe { CloseHandle(token)? };
        told?;
        Ok(user)
    }

    /// Whether it is this user, or somebody who may do everything on this machine anyway.
    fn trusts(&self, account: PSID) -> bool {
        // It points into this structure, which is in a box and does not move.
        let this = self.account.User.Sid;
        let trusted = [WinLocalSystemSid, WinBuiltinAdministratorsSid, WinCreatorOwnerSid, WinCreatorOwnerRightsSid];
        // SAFETY: both are identifiers that Windows wrote, in buffers that live.
        unsafe {
            EqualSid(account, this).is_ok() || trusted.into_iter().any(|kind| IsWellKnownSid(account, kind).as_bool())
        }
    }
}

enum Entry {
    Allowed(PSID),
    Denied,
    Other,
}

/// A file's owner and access control list.
struct Access {
    /// What the others point into.
    descriptor: PSECURITY_DESCRIPTOR,
    owner: PSID,
    list: *mut ACL,
}

#[allow(unsafe_code)]
impl Access {
    fn of(file: &File) -> io::Result<Self> {
        let mut access =
            Self { descriptor: PSECURITY_DESCRIPTOR::default(), owner: PSID::default(), list: ptr::null_mut() };
        // SAFETY: the handle is open as long as `file` is borrowed; Windows writes pointers into what `descriptor` holds.
        let told = unsafe {
            GetSecurityInfo(
                HANDLE(file.as_raw_handle()),
                SE_FILE_OBJECT,
                OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                Some(&raw mut access.owner),
                None,
                Some(&raw mut access.list),
                None,
                Some(&raw mut access.descriptor),
            )
        };
        told.ok()?;
        Ok(access)
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        if self.list.is_null() {
            // Without a list, everybody may do everything.
            return Ok(vec![Entry::Other]);
        }
        // SAFETY: `of` has had it written, and `descriptor` holds it.
        let count = unsafe { (*self.list).AceCount };
        (0..count.into()).map(|index| self.entry(index)).collect()
    }

    fn entry(&self, index: u32) -> io::Result<Entry> {
        let mut entry = ptr::null_mut();
        // SAFETY: the list is a valid one, and knows how many entries it has.
        unsafe { GetAce(self.list, index, &raw mut entry)? };
        // SAFETY: every entry begins with a header.
        let kind = u32::from(unsafe { (*entry.cast::<ACE_HEADER>()).AceType });
        Ok(match kind {
            // The identifier begins in the structure's last field and is followed by the rest of it.
            // SAFETY: the header tells that it is this structure.
            ACCESS_ALLOWED_ACE_TYPE => {
                Entry::Allowed(PSID(unsafe { (&raw mut (*entry.cast::<ACCESS_ALLOWED_ACE>()).SidStart).cast() }))
            }
            ACCESS_DENIED_ACE_TYPE => Entry::Denied,
            _ => Entry::Other,
        })
    }
}

#[allow(unsafe_code)]
impl Drop for Access {
    fn drop(&mut self) {
        // SAFETY: GetSecurityInfo allocated it for us to free.
        unsafe { LocalFree(Some(HLOCAL(self.descriptor.0))) };
    }
}

/// An account's name for people.
#[allow(unsafe_code)]
fn name(account: PSID) -> String {
    const SIZE: u32 = 256;
    let (mut name, mut domain) = ([0_u16; SIZE as usize], [0_u16; SIZE as usize]);
    let (mut name_length, mut domain_length) = (SIZE, SIZE);
    let mut kind = SID_NAME_USE::default();
    // SAFETY: the buffers are as long as the lengths say.
    let found = unsafe {
        LookupAccountSidW(
            None,
            account,
            Some(PWSTR(name.as_mut_ptr())),
            &raw mut name_length,
            Some(PWSTR(domain.as_mut_ptr())),
            &raw mut domain_length,
            &raw mut kind,
        )
    };
    if found.is_err() {
        return "an account that this machine does not know".to_owned();
    }
    let text = |units: &[u16], length: u32| String::from_utf16_lossy(&units[..length as usize]);
    let (domain, name) = (text(&domain, domain_length), text(&name, name_length));
    if domain.is_empty() { name } else { format!("{domain}\\{name}") }
}
