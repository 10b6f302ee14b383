//! OAUTHBEARER (RFC 7628) and XOAUTH2: a bearer token, and the peer's reason if it does not like it.

use super::{SaslFault, scram};
use std::fmt;
use std::fmt::Write as _;

/// What OAUTHBEARER parts its pairs with, and what acknowledges an error (RFC 7628, §3.1 and §3.2.3).
pub(super) const SEPARATOR: &[u8] = b"\x01";

/// What a client showed, for [`Authenticator::bearer`](super::Authenticator::bearer) to check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BearerToken<'a> {
    user: Option<&'a str>,
    token: &'a str,
}

impl<'a> BearerToken<'a> {
    /// On whose behalf the client says it comes. Only the token proves anything.
    #[must_use]
    pub const fn user(&self) -> Option<&'a str> {
        self.user
    }

    /// The token. Keep it out of logs.
    #[must_use]
    pub const fn token(&self) -> &'a str {
        self.token
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerToken").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why a listener does not take a token, as the client is told (RFC 7628, §3.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct BearerRefusal {
    status: String,
    scope: Option<String>,
    openid_configuration: Option<String>,
}

impl BearerRefusal {
    /// With a status such as `invalid_token` or `insufficient_scope`.
    pub fn new(status: impl Into<String>) -> Self {
        Self { status: status.into(), scope: None, openid_configuration: None }
    }

    /// The scope that a token needs here.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Where the client finds out how to get a token: an `OpenID` discovery document.
    pub fn openid_configuration(mut self, url: impl Into<String>) -> Self {
        self.openid_configuration = Some(url.into());
        self
    }

    /// The JSON object that the client gets.
    pub(super) fn to_json(&self) -> String {
        let mut json = String::from("{\"status\":");
        put_json_string(&mut json, &self.status);
        for (name, value) in [("scope", &self.scope), ("openid-configuration", &self.openid_configuration)] {
            if let Some(value) = value {
                json.push(',');
                put_json_string(&mut json, name);
                json.push(':');
                put_json_string(&mut json, value);
            }
        }
        json.push('}');
        json
    }
}

fn put_json_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            control if control.is_control() => {
                // Writing to a text cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(control));
            }
            other => json.push(other),
        }
    }
    json.push('"');
}

/// Whether this can be said at all: RFC 6750, §2.1, has visible ASCII only, and a separator would forge a pair.
fn check_token(token: &str) -> Result<(), SaslFault> {
    let is_usable = !token.is_empty() && token.bytes().all(|octet| octet.is_ascii_graphic());
    let complaint = "a bearer token is not empty and made of visible ASCII characters";
    is_usable.then_some(()).ok_or(SaslFault::Unusable(complaint))
}

/// OAUTHBEARER's message of the client.
pub(super) fn oauthbearer(user: Option<&str>, token: &str) -> Result<Vec<u8>, SaslFault> {
    check_token(token)?;
    let user = match user {
        Some(user) => format!("a={}", scram::escape_name(user)?),
        None => String::new(),
    };
    Ok(format!("n,{user},\x01auth=Bearer {token}\x01\x01").into_bytes())
}

/// XOAUTH2's message of the client.
pub(super) fn xoauth2(user: &str, token: &str) -> Result<Vec<u8>, SaslFault> {
    check_token(token)?;
    if user.contains('\x01') {
        return Err(SaslFault::Unusable("XOAUTH2 has no way to say this user name"));
    }
    Ok(format!("user={user}\x01auth=Bearer {token}\x01\x01").into_bytes())
}

/// Calls `check` with what an OAUTHBEARER message says; nothing if it is malformed.
pub(super) fn on_oauthbearer<R>(message: &[u8], check: impl FnOnce(BearerToken<'_>) -> R) -> Option<R> {
    let message = std::str::from_utf8(message).ok()?;
    let (header, pairs) = message.split_once('\x01')?;
    let (_, authzid) =
        header.strip_suffix(',')?.split_once(',').filter(|(flag, _)| matches!(*flag, "n" | "y"))?;
    let user = match authzid.strip_prefix("a=") {
        Some(name) => Some(scram::unescape_name(name)?),
        None if authzid.is_empty() => None,
        None => return None,
    };
    let token = token_of(pairs)?;
    Some(check(BearerToken { user: user.as_deref(), token }))
}

/// Calls `check` with what an XOAUTH2 message says; nothing if it is malformed.
pub(super) fn on_xoauth2<R>(message: &[u8], check: impl FnOnce(BearerToken<'_>) -> R) -> Option<R> {
    let (user, pairs) = std::str::from_utf8(message).ok()?.strip_prefix("user=")?.split_once('\x01')?;
    Some(check(BearerToken { user: Some(user), token: token_of(pairs)? }))
}

/// The token among `key=value` pairs, each ended by a separator, with one more at the end.
fn token_of(pairs: &str) -> Option<&str> {
    let mut pairs = pairs.strip_suffix("\x01\x01")?.split('\x01');
    let authorization = pairs.find_map(|pair| pair.strip_prefix("auth="))?;
    let (scheme, token) = authorization.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer") && check_token(token).is_ok();
    is_bearer.then_some(token)
}
