//! PLAIN (RFC 4616): `[authzid] NUL authcid NUL password`, in UTF-8.

use super::SaslFault;

/// The client's message, in the name of the user itself.
pub(super) fn response(user: &str, password: &str) -> Result<Vec<u8>, SaslFault> {
    // The octet that separates the parts: inside of one it would move the borders.
    if user.contains('\0') || password.contains('\0') {
        return Err(SaslFault::Unusable("PLAIN has no way to say a user name or password with a zero octet"));
    }
    Ok(format!("\0{user}\0{password}").into_bytes())
}

/// The parts of a client's message: in whose name, who, password.
pub(super) fn parts(response: &[u8]) -> Option<(&str, &str, &str)> {
    let mut parts = response.split(|octet| *octet == 0).map(std::str::from_utf8);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(authzid)), Some(Ok(user)), Some(Ok(password)), None) => Some((authzid, user, password)),
        _ => None,
    }
}
