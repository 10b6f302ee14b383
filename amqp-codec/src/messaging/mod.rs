//! Messages, termini and outcomes (part 3).

mod body;
mod borrowed;
mod header;
mod message;
mod outcome;
mod properties;
mod section_start;
mod sections;
mod terminus;

pub use body::{Body, DataSections};
pub use borrowed::{BodyRef, MessageSections, SectionsIter, SectionsRef};
pub use header::Header;
pub use message::Message;
pub use outcome::{Accepted, DeliveryState, Modified, Received, Rejected, Released};
pub use properties::{
    AnnotationKey, AnnotationKeyRef, Annotations, AnnotationsRef, ApplicationProperties,
    ApplicationPropertiesRef, MessageId, MessageIdRef, Properties, PropertiesRef,
};
pub use section_start::SectionStart;
pub use terminus::{
    LifetimePolicy, Source, Target, TargetArchetype, TerminusDurability, TerminusExpiryPolicy,
};
