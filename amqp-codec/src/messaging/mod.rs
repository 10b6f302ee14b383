//! Messages, termini and outcomes (part 3).

mod body;
mod header;
mod message;
mod outcome;
mod properties;
mod section_start;
mod sections;
mod terminus;

pub use body::{Body, DataSections};
pub use header::Header;
pub use message::Message;
pub use outcome::{Accepted, DeliveryState, Modified, Received, Rejected, Released};
pub use properties::{AnnotationKey, Annotations, ApplicationProperties, MessageId, Properties};
pub use section_start::SectionStart;
pub use sections::MessageSections;
pub use terminus::{
    LifetimePolicy, Source, Target, TargetArchetype, TerminusDurability, TerminusExpiryPolicy,
};
