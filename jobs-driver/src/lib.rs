//! jobs-driver
