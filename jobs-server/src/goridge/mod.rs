//! The framing that RoadRunner workers speak: [`frame`] turns one frame into bytes and back, [`pipe`] carries
//! frames over a child's standard input and output.

pub(crate) mod frame;
pub(crate) mod pipe;
