//! The four messages of SCRAM (RFC 5802, §5 and §7), taken apart.

use super::{SaslFault, from_base64, normalize};

/// What a name must look like between commas: `SASLprep`, then `=` and `,` written as `=3D` and `=2C`.
pub(in super::super) fn escape_name(name: &str) -> Result<String, SaslFault> {
    let name = normalize(name);
    if name.is_empty() || name.contains(['\0', '\x01']) {
        return Err(SaslFault::Unusable("the user name is empty or has control characters in it"));
    }
    Ok(name.replace('=', "=3D").replace(',', "=2C"))
}

/// The name behind it; nothing if a `=` stands for anything else.
pub(in super::super) fn unescape_name(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut unescaped = parts.next()?.to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("3D"), part.strip_prefix("2C")) {
            (Some(rest), _) => ('=', rest),
            (_, Some(rest)) => (',', rest),
            _ => return None,
        };
        unescaped.push(character);
        unescaped.push_str(rest);
    }
    Some(unescaped).filter(|name| !name.is_empty())
}

/// A message's text.
pub(super) fn text<'a>(message: &'a [u8], what: &'static str) -> Result<&'a str, SaslFault> {
    std::str::from_utf8(message).map_err(|_| SaslFault::Malformed(what))
}

/// The next attribute, which must have this name.
fn attribute<'a>(
    attributes: &mut impl Iterator<Item = &'a str>,
    name: &str,
    what: &'static str,
) -> Result<&'a str, SaslFault> {
    let value = attributes.next().and_then(|attribute| attribute.strip_prefix(name)?.strip_prefix('='));
    value.filter(|value| !value.is_empty()).ok_or(SaslFault::Malformed(what))
}

/// `client-first-message`: the GS2 header and the rest.
pub(super) struct ClientFirst<'a> {
    pub(super) gs2_header: &'a str,
    pub(super) bare: &'a str,
    pub(super) authzid: Option<String>,
    pub(super) user: String,
    pub(super) nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, SaslFault> {
        const WHAT: &str = "first message of SCRAM is malformed";
        let malformed = || SaslFault::Malformed(WHAT);
        let message = text(message, WHAT)?;
        let (flag, rest) = message.split_once(',').ok_or_else(malformed)?;
        // "p" would bind to a channel, which is not offered here.
        if !matches!(flag, "n" | "y") {
            return Err(SaslFault::Malformed("first message of SCRAM asks for channel binding"));
        }
        let (authzid, bare) = rest.split_once(',').ok_or_else(malformed)?;
        let gs2_header = message.strip_suffix(bare).ok_or_else(malformed)?;
        let authzid = match authzid.strip_prefix("a=") {
            Some(name) => Some(unescape_name(name).ok_or_else(malformed)?),
            None if authzid.is_empty() => None,
            None => return Err(malformed()),
        };
        // A mandatory extension, `m=`, would stand first and is not known here: the name is missing then.
        let mut attributes = bare.split(',');
        let user = unescape_name(attribute(&mut attributes, "n", WHAT)?).ok_or_else(malformed)?;
        let nonce = attribute(&mut attributes, "r", WHAT)?;
        Ok(Self { gs2_header, bare, authzid, user, nonce })
    }
}

/// `server-first-message`.
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u64,
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(message: &'a str) -> Result<Self, SaslFault> {
        const WHAT: &str = "challenge of SCRAM is malformed";
        let mut attributes = message.split(',');
        let nonce = attribute(&mut attributes, "r", WHAT)?;
        let salt = from_base64(attribute(&mut attributes, "s", WHAT)?, WHAT)?;
        let iterations = attribute(&mut attributes, "i", WHAT)?;
        if !iterations.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err(SaslFault::Malformed(WHAT));
        }
        Ok(Self { nonce, salt, iterations: iterations.parse().unwrap_or(u64::MAX) })
    }
}

/// `client-final-message`.
pub(super) struct ClientFinal<'a> {
    pub(super) without_proof: &'a str,
    pub(super) channel_binding: Vec<u8>,
    pub(super) nonce: &'a str,
    pub(super) proof: Vec<u8>,
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, SaslFault> {
        const WHAT: &str = "last message of SCRAM is malformed";
        let (without_proof, proof) =
            text(message, WHAT)?.rsplit_once(",p=").ok_or(SaslFault::Malformed(WHAT))?;
        let mut attributes = without_proof.split(',');
        let channel_binding = from_base64(attribute(&mut attributes, "c", WHAT)?, WHAT)?;
        let nonce = attribute(&mut attributes, "r", WHAT)?;
        Ok(Self { without_proof, channel_binding, nonce, proof: from_base64(proof, WHAT)? })
    }
}

/// `server-final-message`: the server's signature, or its error.
pub(super) fn server_signature(message: &[u8]) -> Result<Vec<u8>, SaslFault> {
    const WHAT: &str = "last message of SCRAM is malformed";
    let first = text(message, WHAT)?.split(',').next().unwrap_or_default();
    match (first.strip_prefix("v="), first.strip_prefix("e=")) {
        (Some(signature), _) => from_base64(signature, WHAT),
        (_, Some(error)) => Err(SaslFault::refused(error.as_bytes())),
        _ => Err(SaslFault::Malformed(WHAT)),
    }
}
