//! The body of a message (§3.2.6 to §3.2.8).

use crate::types::Value;
use bytes::Bytes;
use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;

/// What a message carries.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Body {
    /// No body at all, which the format does not allow; some peers send it. Encoded as a null value.
    #[default]
    Empty,
    /// Opaque octets, in one section or several; no section at all is encoded as an empty one.
    Data(DataSections),
    /// Lists, in one section or several; no section at all is encoded as an empty one.
    Sequence(Vec<Vec<Value>>),
    /// One value.
    Value(Value),
}

/// The data sections of a body (§3.2.6), as a slice of their octets. One section, which is what nearly all messages have,
/// takes no memory of its own.
///
/// ```
/// use amqp_codec::messaging::{Body, DataSections, Message};
///
/// let message = Message { body: Body::Data(DataSections::from("octets")), ..Message::default() };
/// let Body::Data(sections) = message.body else { unreachable!() };
/// assert_eq!(sections.len(), 1);
/// assert_eq!(sections[0], "octets");
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DataSections(SmallVec<[Bytes; 1]>);

impl DataSections {
    /// Adds a section behind the others.
    pub fn push(&mut self, section: impl Into<Bytes>) {
        self.0.push(section.into());
    }
}

impl<T: Into<Bytes>> From<T> for DataSections {
    /// One section.
    fn from(section: T) -> Self {
        Self(SmallVec::from_buf([section.into()]))
    }
}

impl<T: Into<Bytes>> FromIterator<T> for DataSections {
    fn from_iter<I: IntoIterator<Item = T>>(sections: I) -> Self {
        Self(sections.into_iter().map(Into::into).collect())
    }
}

impl Deref for DataSections {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        &self.0
    }
}

impl IntoIterator for DataSections {
    type Item = Bytes;
    type IntoIter = smallvec::IntoIter<[Bytes; 1]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a DataSections {
    type Item = &'a Bytes;
    type IntoIter = std::slice::Iter<'a, Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Debug for DataSections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}
