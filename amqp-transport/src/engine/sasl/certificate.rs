//! The certificate that a client showed, and the names in it (RFC 5280, §4.1 and §4.2.1.6).

use bytes::Bytes;
use std::fmt;

/// A certificate that a client showed in the TLS handshake and that was verified there.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    der: Bytes,
}

impl ClientCertificate {
    /// From its DER form. Whoever drives the engine vouches for it.
    #[must_use]
    pub fn new(der: impl Into<Bytes>) -> Self {
        Self { der: der.into() }
    }

    /// The certificate itself.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The most specific common name of the subject.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        let mut found = None;
        let mut names = Der(self.subject()?);
        while let Some(name) = names.element(SET) {
            let mut attributes = Der(name);
            while let Some(attribute) = attributes.element(SEQUENCE) {
                let mut attribute = Der(attribute);
                let is_common_name = attribute.element(OBJECT_IDENTIFIER) == Some(COMMON_NAME);
                if is_common_name
                    && let Some((UTF8_STRING | PRINTABLE_STRING | IA5_STRING, text)) = attribute.next()
                {
                    found = printable(text);
                }
            }
        }
        found
    }

    /// The DNS names among the subject's alternative names.
    #[must_use]
    pub fn dns_names(&self) -> Vec<String> {
        self.alternative_names(DNS_NAME)
    }

    /// The mail addresses among the subject's alternative names.
    #[must_use]
    pub fn email_addresses(&self) -> Vec<String> {
        self.alternative_names(RFC822_NAME)
    }

    /// The URIs among the subject's alternative names, such as a SPIFFE ID.
    #[must_use]
    pub fn uris(&self) -> Vec<String> {
        self.alternative_names(URI)
    }

    /// What follows the issuer in the part that is signed: validity first.
    fn after_issuer(&self) -> Option<Der<'_>> {
        let mut signed = Der(Der(Der(&self.der).element(SEQUENCE)?).element(SEQUENCE)?);
        if signed.0.first() == Some(&VERSION) {
            signed.next()?;
        }
        signed.element(INTEGER)?;
        signed.element(SEQUENCE)?;
        signed.element(SEQUENCE)?;
        Some(signed)
    }

    fn subject(&self) -> Option<&[u8]> {
        let mut rest = self.after_issuer()?;
        rest.element(SEQUENCE)?;
        rest.element(SEQUENCE)
    }

    fn extension(&self, wanted: &[u8]) -> Option<&[u8]> {
        let mut rest = self.after_issuer()?;
        let extensions = loop {
            let (tag, content) = rest.next()?;
            if tag == EXTENSIONS {
                break Der(content).element(SEQUENCE)?;
            }
        };
        let mut extensions = Der(extensions);
        while let Some(extension) = extensions.element(SEQUENCE) {
            let mut extension = Der(extension);
            if extension.element(OBJECT_IDENTIFIER) == Some(wanted) {
                if extension.0.first() == Some(&BOOLEAN) {
                    extension.next()?;
                }
                return extension.element(OCTET_STRING);
            }
        }
        None
    }

    fn alternative_names(&self, wanted: u8) -> Vec<String> {
        let names = self.extension(SUBJECT_ALTERNATIVE_NAME).and_then(|names| Der(names).element(SEQUENCE));
        let mut names = Der(names.unwrap_or_default());
        std::iter::from_fn(|| names.next())
            .filter(|(tag, _)| *tag == wanted)
            .filter_map(|(_, name)| printable(name))
            .collect()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").field("common_name", &self.common_name()).finish_non_exhaustive()
    }
}

/// A name that can be compared without surprises: no control character cuts it short.
fn printable(octets: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(octets).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const RFC822_NAME: u8 = 0x81;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// A run of DER elements. What is not well-formed ends it.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The tag and content of the next element.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, length], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match length {
            short @ 0..=0x7f => (usize::from(short), rest),
            0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
            0x82 => rest
                .split_first_chunk()
                .map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
            0x83 => {
                let (&[high, middle, low], rest) = rest.split_first_chunk()?;
                (usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element, which must have this tag.
    fn element(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }
}
