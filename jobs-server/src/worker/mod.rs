//! Worker processes: [`process`] is one of them, [`answer`] what it says about a job, [`pool`] all of them at work,
//! [`source`] the line between the pool and whatever gives it jobs, [`settings`] their part of the configuration.

pub(crate) mod answer;
pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod settings;
pub(crate) mod source;
